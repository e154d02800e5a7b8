"""Run `rankaae-stream series`: a folder of scans as repeats, or as mixtures that change."""

import csv
import io
import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from rich import box
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from rankaae_stream.analysis import Analysis
from rankaae_stream.commands.infer import read_columns
from rankaae_stream.errors import ConfigurationError
from rankaae_stream.files.base import Measured
from rankaae_stream.inference import find_files, infer_file, read_foil
from rankaae_stream.loading import analysis_with, default_analysis, load_analysis
from rankaae_stream.past.archive import open_archive
from rankaae_stream.past.in_files import ENDINGS
from rankaae_stream.past.selection import Selection
from rankaae_stream.profile import Profile, load_profile
from rankaae_stream.replay import replay
from rankaae_stream.report import Report
from rankaae_stream.results.compose_series import about
from rankaae_stream.series.changes import Change
from rankaae_stream.series.live import SeriesResult
from rankaae_stream.series.resolve import Resolved, resolve
from rankaae_stream.series.stack import in_words
from rankaae_stream.series.state import rows, to_dict
from rankaae_stream.show.progress import progress_bar
from rankaae_stream.show.terminal import Terminal

__all__ = ["run_series"]

SHOWN = 40
"""Spectra that the table lists; of more, so many at equal distances."""
QUIET = 20
"""Files below which no progress is shown."""
GOOD_FIT = 2.0
"""Misfit in units of the noise above which a fit is called incomplete."""


@dataclass(frozen=True, slots=True, eq=False)
class Shown:
    """A series as a person sees it.

    Attributes
    ----------
    found : Resolved
    title : str
        What its scans have in common; empty for files.
    about : mapping
        What is known of each spectrum beside its numbers, by its name.
    against : str
        What rates are given by; empty for files, whose order is all that is known.
    """

    found: Resolved
    title: str = ""
    about: Mapping[str, Mapping[str, Any]] = field(default_factory=dict[str, Mapping[str, Any]])
    against: str = ""

    def label(self, source: str) -> str:
        """Return a short name of a spectrum: its file, or its scan's number."""
        told = self.about.get(source)
        if told is None:
            return Path(source).name
        scan = told.get("scan_id")
        name = f"scan {scan}" if scan is not None else str(told["raw_uid"])[:8]
        return f"{name}, sweep {told['sweep'] + 1}" if told["sweep"] else name


def run_series(
    console: Console,
    names: Sequence[str],
    *,
    ends: Sequence[str] = (),
    element: str | None = None,
    columns: str | None = None,
    foil: str | None = None,
    model: Path | None = None,
    stop_at: float | None = None,
    profile: str | Path = "sim",
    selection: Selection | None = None,
    against: Sequence[str] = (),
    plot: Path | None = None,
    table: Path | None = None,
    as_json: bool = False,
) -> list[Resolved]:
    """Resolve scans of files, in the order of their names, or stored runs, and show the result.

    Parameters
    ----------
    console : Console
    names : sequence of str
        Files, folders, patterns; or the address of a Tiled catalog of raw runs, or a file of
        documents, whose series are found by the profile's rules.
    ends : sequence of str
        Files of known references that the series is fitted with.
    element, columns, foil : str, optional
        Of files, as for `rankaae-stream infer`.
    model : Path, optional
        For files; stored runs are answered by the profile's models.
    stop_at : float, optional
        Half-width of the valence's interval that repeats should reach, e.
    profile : str or Path
    selection : Selection, optional
        Of stored runs.
    against : sequence of str
        Start keys of stored runs whose number rates are given by, before those of the profile.
    plot, table : Path, optional
        Picture, of several series a .pdf with a page each; and CSV.
    as_json : bool
        Print a line of JSON a series.

    Raises
    ------
    ConfigurationError
        When no file is found, a reference cannot be used, or there is no series.
    """
    choice = read_columns(columns) if columns else None
    if len(names) == 1 and _is_archive(names[0]):
        settings = load_profile(profile)
        rules = settings.series.model_copy(
            update={
                "stop_at": stop_at or settings.series.stop_at,
                "against": (*against, *settings.series.against),
            }
        )
        settings = settings.model_copy(update={"series": rules})
        analysis = load_analysis(settings)
        known = _references(ends, element, choice, analysis)
        shown = _stored(names[0], settings, selection or Selection(), known, analysis, console)
    else:
        analysis = analysis_with(model) if model else default_analysis()
        reference = read_foil(foil, element) if foil else None
        known = _references(ends, element, choice, analysis)
        reports = _answered(names, element, choice, reference, analysis)
        shown = [Shown(_resolved(reports, analysis, known, stop_at))]
    for one in shown:
        if as_json:
            print(json.dumps(_plain(one), allow_nan=False))  # noqa: T201
        else:
            _show(console, one)
    if table is not None:
        table.write_text(_csv(shown), encoding="utf-8")
    if plot is not None:
        from rankaae_stream.show.plot import save_figures
        from rankaae_stream.show.series_plot import draw_series

        save_figures([draw_series(one.found, one.title, one.label) for one in shown], plot)
        if not as_json:
            console.print(f"drawn into {escape(str(plot))}", style="dim")
    return [one.found for one in shown]


def _is_archive(name: str) -> bool:
    return name.lower().startswith(("http://", "https://")) or name.endswith(ENDINGS)


def _references(
    ends: Sequence[str],
    element: str | None,
    columns: Mapping[str, str] | None,
    analysis: Analysis,
) -> list[Report]:
    found = [infer_file(name, element, columns=columns, analysis=analysis) for name in ends]
    return [answer.report for answers in found for answer in answers]


def _answered(
    names: Sequence[str],
    element: str | None,
    columns: Mapping[str, str] | None,
    foil: Measured | None,
    analysis: Analysis,
) -> list[Report]:
    files = sorted(find_files(names), key=_natural)
    if not files:
        raise ConfigurationError(f"no spectrum in {', '.join(names)}; name files or folders")
    reports: list[Report] = []
    with progress_bar(Terminal(stderr=True), "") as bar:
        task = bar.add_task("reading", total=len(files), visible=len(files) >= QUIET)
        for file in files:
            found = infer_file(file, element, columns=columns, foil=foil, analysis=analysis)
            reports += [one.report for one in found]
            bar.advance(task)
    return reports


def _resolved(
    reports: Sequence[Report],
    analysis: Analysis,
    known: Sequence[Report],
    stop_at: float | None,
    at: Sequence[float] | None = None,
) -> Resolved:
    try:
        found = resolve(reports, analysis, known, stop_at, at)
    except ValueError as error:
        raise ConfigurationError(f"--end: {error}") from error
    if not isinstance(found, Resolved):
        why = "; ".join(f"{one.source}: {one.reason}" for one in found[:3]) or "only one is there"
        raise ConfigurationError(f"a series needs two complete spectra of one edge ({why})")
    return found


def _stored(
    source: str,
    profile: Profile,
    selection: Selection,
    known: Sequence[Report],
    analysis: Analysis,
    console: Console,
) -> list[Shown]:
    """Answer stored runs and return their series, those that began first before the others."""
    rules = profile.series.build()
    found: list[SeriesResult] = []
    progress = progress_bar(Terminal(stderr=True), "runs")
    with open_archive(source, selection, profile.own_server) as archive, progress:
        task = progress.add_task("answering", total=archive.total)
        done = replay(
            archive.runs,
            profile,
            dry_run=True,
            selection=selection,
            told=lambda _: progress.advance(task),
            series=found.append,
        )
    if done.lost:
        console.print(f"the archive could not be read to its end: {done.lost}", style="yellow")
    if not found:
        raise ConfigurationError(
            f"the {len(done.outcomes)} runs of {source} make no series; [series] of the profile "
            "says which scans belong together, its key group first"
        )
    shown: list[Shown] = []
    for one in sorted(found, key=lambda one: one.results[0].time):
        resolved = one.found
        if known:
            starts = [result.start for result in one.results]
            reports = [result.report for result in one.results]
            resolved = _resolved(reports, analysis, known, rules.stop_at, rules.along(starts)[1])
        title = ", ".join(one.group.values())
        shown.append(Shown(resolved, title, about(one, rules), one.against))
    return shown


def _natural(name: str) -> list[tuple[int, str]]:
    """Return a key that sorts scan_2 before scan_10."""
    return [(int(part), "") if part.isdigit() else (0, part) for part in re.split(r"(\d+)", name)]


def _show(console: Console, shown: Shown) -> None:
    found = shown.found
    series, mixtures = found.series, found.mixtures
    if shown.title:
        console.print(f"[bold]{escape(shown.title)}[/]")
    kind = "repeats of one spectrum" if mixtures is None else f"{found.components} components"
    console.print(
        f"[bold]{len(series.sources)} spectra: {kind}[/], noise {series.noise:.2%} of the step"
    )
    console.print(_table(shown))
    if mixtures is not None:
        for number, name in enumerate(mixtures.names, 1):
            console.print(f"component {number}: {escape(shown.label(name))}")
        misfit = float(np.median(mixtures.misfit))
        if misfit > GOOD_FIT:
            console.print(
                f"the fit leaves {misfit:.1f} times the noise: something else is in the samples",
                style="yellow",
            )
    for change in found.changes:
        console.print(_change(shown, change), soft_wrap=True)
    if found.merged is not None:
        _show_merged(console, found)
    labels = {source: shown.label(source) for source in series.sources}
    for flag in found.flags:
        console.print(in_words(flag.message, labels), style="yellow", markup=False)
    for one in found.left_out:
        name = escape(shown.label(one.source))
        console.print(f"left out: {name}: {escape(one.reason)}", style="dim", soft_wrap=True)


def _show_merged(console: Console, found: Resolved) -> None:
    report, repeats = found.merged, found.repeats
    if report is None or repeats is None:
        return
    state = report.estimate("oxidation_state")
    if state is None:
        why = report.refusal.message if report.refusal else "no valence"
        console.print(f"the mean of {len(repeats.taken)} repeats: refused, {escape(why)}")
        return
    console.print(
        f"the mean of {len(repeats.taken)} repeats: [bold]{state.value:+.2f}[/] "
        f"({state.low:.2f} to {state.high:.2f})"
    )
    said = found.advice.sentence if found.advice is not None else report.advice
    if said:
        console.print(said)


def _change(shown: Shown, change: Change) -> str:
    """Say where the course changes, and from which rate to which."""
    name = escape(shown.label(shown.found.series.sources[change.at]))
    place = f"{name} (± {change.within} spectra)"
    if change.at_value is not None:
        place += f", {escape(shown.against)} {change.at_value:.4g}"
        if change.at_within is not None:
            place += f" ± {change.at_within:.2g}"
    mixtures = shown.found.mixtures
    levels = ("", "")
    if mixtures is not None:
        levels = tuple(f"{mixtures.valence[i]:+.2f}, " for i in (change.at - 1, change.at))
    before = f"{levels[0]}{change.before:+.4f} a spectrum"
    return f"the course changes at {place}: from {before}, to {levels[1]}{change.after:+.4f}"


def _table(shown: Shown) -> Table:
    series, mixtures = shown.found.series, shown.found.mixtures
    table = Table(box=box.SIMPLE_HEAD)
    table.add_column("spectrum")
    table.add_column("alone", justify="right")
    if mixtures is not None:
        for number in range(1, len(mixtures.ends) + 1):
            table.add_column(f"share {number}", justify="right")
        table.add_column("valence", justify="right")
        table.add_column("misfit", justify="right")
    total = len(series.sources)
    places = np.linspace(0, total - 1, min(SHOWN, total)).round()
    for i in sorted({int(place) for place in places}):
        cells = [
            escape(shown.label(series.sources[i])),
            f"{series.valence[i]:+.2f} ±{series.half[i]:.2f}",
        ]
        if mixtures is not None:
            pairs = zip(mixtures.fractions[i], mixtures.sigma[i], strict=True)
            cells += [f"{share:.3f} ±{1.645 * sigma:.3f}" for share, sigma in pairs]
            cells += [
                f"{mixtures.valence[i]:+.2f} ±{mixtures.half[i]:.2f}",
                f"{mixtures.misfit[i]:.1f}",
            ]
        table.add_row(*cells)
    return table


def _csv(shown: Sequence[Shown]) -> str:
    lines = [
        {
            **({"series": one.title} if one.title else {}),
            **one.about.get(row["spectrum"], {}),
            **row,
        }
        for one in shown
        for row in rows(one.found)
    ]
    text = io.StringIO()
    columns = list(dict.fromkeys(key for line in lines for key in line))
    writer = csv.DictWriter(text, columns, lineterminator="\n")
    writer.writeheader()
    writer.writerows(lines)
    return text.getvalue()


def _plain(shown: Shown) -> dict[str, Any]:
    told = {"series": shown.title, "against": shown.against} if shown.title else {}
    return {**told, **to_dict(shown.found, shown.about)}
