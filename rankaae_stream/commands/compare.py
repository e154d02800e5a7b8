"""Run `rankaae-stream replay --compare`: what would be answered now, beside what was."""

import csv
import io
import time
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from rich import box
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from rankaae_stream.errors import ConfigurationError
from rankaae_stream.model.folder import checked_files
from rankaae_stream.past.archive import browse_address, open_archive
from rankaae_stream.past.compare import (
    Compared,
    Place,
    Said,
    choose,
    compare,
    published_answers,
    said_of,
)
from rankaae_stream.past.selection import Selection
from rankaae_stream.profile import Profile, load_profile
from rankaae_stream.profile.settings import ModelSettings
from rankaae_stream.replay import Outcome, Replayed, Workers, replay
from rankaae_stream.results.sinks import Unavailable
from rankaae_stream.show.comparison import COUNTED, MAIN, by_size, label, what_differs
from rankaae_stream.show.comparison_page import Sides, comparison_page
from rankaae_stream.show.progress import RateColumn, progress_bar, time_left

__all__ = ["run_compare"]

SHOWN = 40
"""Rows of the table, those with the largest differences; the CSV file has all."""


def run_compare(
    console: Console,
    source: str,
    *,
    profile: str | Path = "sim",
    selection: Selection | None = None,
    model: Path | None = None,
    workers: Workers | None = None,
    table: Path | None = None,
    page: Path | None = None,
) -> bool:
    """Answer an archive, compare with the published answers or with another model's, and show it.

    Nothing is published, spooled or noted.

    Parameters
    ----------
    console : Console
    source : str
        See `past.archive.open_archive`.
    profile : str or Path
    selection : Selection, optional
    model : Path, optional
        Folder of a model: the profile's answers are compared with its answers, of its edge.
        Without it, what is published in the profile's Tiled is compared with the profile's.
    workers : Workers, optional
    table : Path, optional
        CSV file with a row for each descriptor of each spectrum.
    page : Path, optional
        HTML file with a plot and the largest differences.

    Returns
    -------
    bool
        Whether all runs could be read, and any were compared; differences are an answer.

    Raises
    ------
    ConfigurationError
        As for `commands.replay.run_replay`, and when the published results cannot be read.
    """
    settings, wanted = load_profile(profile), selection or Selection()
    for file in (table, page):
        if file is not None and not file.absolute().parent.is_dir():
            raise ConfigurationError(f"there is no folder for {file}; make it before")
    now, raw = _answered(console, source, settings, wanted, workers)
    if model is None:
        done, names = [now], ("published", "replayed")
        after = _by_place(now.outcomes, settings)
        before = _published(settings, now.outcomes, after)
    else:
        other, edge = _with_model(settings, model)
        then, _ = _answered(console, source, other, wanted, workers)
        done, names = [now, then], ("profile", "model")
        before = _by_place(now.outcomes, settings, edge)
        after = _by_place(then.outcomes, other, edge)
    places = dict.fromkeys([*before, *after])
    found = [compare(place, before.get(place), after.get(place)) for place in places]
    starts = {outcome.name: outcome.start for outcome in now.outcomes}
    _show(console, found, starts, names)
    for line in _lines(found, done):
        console.print(line, markup=False, highlight=False, soft_wrap=True)
    if table is not None:
        table.write_text(_csv(found, starts, names), encoding="utf-8")
        console.print(f"wrote {table}", markup=False, highlight=False)
    if page is not None:
        server = settings.tiled
        results = browse_address(server.uri, server.node.split("/")) if model is None else ""
        sides = Sides(*names, source, settings.name, raw, results, time.time())
        page.write_text(comparison_page(found, starts, sides), encoding="utf-8")
        console.print(f"wrote {page}", markup=False, highlight=False)
    return bool(found) and not any(one.failed for one in done)


def _answered(
    console: Console,
    source: str,
    settings: Profile,
    selection: Selection,
    workers: Workers | None,
) -> tuple[Replayed, str]:
    """Answer an archive; return also where its runs can be looked at."""
    with (
        open_archive(source, selection, settings.own_server) as archive,
        progress_bar(console, "runs", RateColumn(), time_left()) as progress,
    ):
        task = progress.add_task("answering", total=archive.total)
        done = replay(
            archive.runs if workers is None else archive.references,
            settings,
            dry_run=True,
            selection=selection,
            told=lambda _: progress.advance(task),
            workers=workers,
        )
        return done, archive.browse


def _by_place(
    outcomes: Sequence[Outcome], settings: Profile, edge: str | None = None
) -> dict[Place, Said]:
    """Return what the answers say, of one edge only if it is given."""
    settings_hash = settings.analysis_hash()
    return dict(
        said_of(report, settings_hash)
        for outcome in outcomes
        for report in outcome.reports
        if edge is None or str(report.edge) == edge
    )


def _published(
    settings: Profile, outcomes: Sequence[Outcome], after: Mapping[Place, Said]
) -> dict[Place, Said]:
    runs = [outcome.name for outcome in outcomes if outcome.reports]
    try:
        said = published_answers(settings.tiled.uri, settings.tiled.node, settings.known_key, runs)
    except Unavailable as error:
        raise ConfigurationError(str(error)) from error
    chosen = {place: choose(answers, after.get(place, Said())) for place, answers in said.items()}
    return {place: one for place, one in chosen.items() if one is not None}


def _with_model(settings: Profile, folder: Path) -> tuple[Profile, str]:
    """Return the profile with another model for its edge, and the edge."""
    card, _ = checked_files(folder.expanduser(), None)
    one = ModelSettings(path=str(folder.expanduser().resolve()), id=card.id)
    models = {**settings.models, str(card.edge): one}
    return settings.model_copy(update={"models": models}), str(card.edge)


def _show(
    console: Console,
    found: Sequence[Compared],
    starts: Mapping[str, Mapping[str, Any]],
    names: tuple[str, str],
) -> None:
    rows = by_size(found)
    if not rows:
        return
    table = Table(box=box.SIMPLE_HEAD, padding=(0, 1), pad_edge=False)
    table.add_column("spectrum", overflow="fold")
    for name in names:
        table.add_column(name, no_wrap=True)
    table.add_column("difference", justify="right", no_wrap=True)
    table.add_column("what differs")
    for one in rows[:SHOWN]:
        difference = one.difference(MAIN)
        shift = "-" if difference is None else f"{difference:+.3f}"
        start = starts.get(one.place.run, {})
        table.add_row(
            escape(label(one.place, start)),
            _words(one.before),
            _words(one.after, interval=False),
            shift if one.verdict != "beyond" else f"[bold red]{shift}[/]",
            escape(what_differs(one)),
        )
    console.print(table)
    if len(rows) > SHOWN:
        console.print(f"{len(rows) - SHOWN} more differ by less; --table FILE.csv has all.")


def _words(said: Said | None, *, interval: bool = True) -> str:
    if said is None:
        return "-"
    value = said.values.get(MAIN)
    if value is None:
        return escape(said.refusal) or "-"
    known = f" ({value.low:+.2f} to {value.high:+.2f})" if interval else ""
    return f"{value.value:+.2f}{known}"


def _lines(found: Sequence[Compared], done: Sequence[Replayed]) -> Iterator[str]:
    counts = Counter(one.verdict for one in found)
    told = ", ".join(f"{counts[kind]} {words}" for kind, words in COUNTED.items() if counts[kind])
    yield f"{len(found)} spectra compared: {told or 'none'}; nothing was published."
    for outcome in done[0].outcomes:
        if outcome.problem:
            yield f"not answered: {outcome.name}: {outcome.problem}"
    for lost in dict.fromkeys(one.lost for one in done if one.lost):
        yield f"the archive could not be read to its end: {lost}."
    for uid in done[0].missing:
        yield f"no run has a uid that begins with {uid}."


def _csv(
    found: Sequence[Compared], starts: Mapping[str, Mapping[str, Any]], names: tuple[str, str]
) -> str:
    lines = [line for one in found for line in _csv_lines(one, starts, names)]
    text = io.StringIO()
    writer = csv.DictWriter(text, list(lines[0]) if lines else [], lineterminator="\n")
    writer.writeheader()
    writer.writerows(lines)
    return text.getvalue()


def _csv_lines(
    one: Compared, starts: Mapping[str, Mapping[str, Any]], names: tuple[str, str]
) -> Iterator[dict[str, Any]]:
    """Yield a row for each descriptor, or one where both answers are refusals."""
    start = starts.get(one.place.run, {})
    sides = dict(zip(names, (one.before or Said(), one.after or Said()), strict=True))
    descriptors = dict.fromkeys(name for said in sides.values() for name in said.values)
    for descriptor in descriptors or [""]:
        row: dict[str, Any] = {
            "raw_uid": one.place.run,
            "scan_id": start.get("scan_id", ""),
            "sample_name": start.get("sample_name", ""),
            "time": start.get("time", ""),
            "channel": one.place.channel,
            "sweep": one.place.sweep,
            "descriptor": descriptor,
        }
        for name, said in sides.items():
            value = said.values.get(descriptor)
            row |= {
                name: value.value if value else "",
                f"{name}_low": value.low if value else "",
                f"{name}_high": value.high if value else "",
                f"{name}_refusal": said.refusal,
                f"{name}_flags": " ".join(sorted(said.flags)),
                f"{name}_model": said.model,
            }
        difference = one.difference(descriptor)
        row["difference"] = "" if difference is None else difference
        row["beyond"] = descriptor in one.beyond
        row["verdict"] = one.verdict
        yield row
