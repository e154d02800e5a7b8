"""Run `rankaae-stream series`: a folder of scans as repeats, or as mixtures that change."""

import csv
import io
import json
import re
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from rich import box
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from rankaae_stream.commands.infer import read_columns
from rankaae_stream.errors import ConfigurationError
from rankaae_stream.inference import Answer, find_files, infer_file, read_foil
from rankaae_stream.loading import analysis_with, default_analysis
from rankaae_stream.report import Report
from rankaae_stream.series.resolve import Resolved, resolve
from rankaae_stream.series.stack import LeftOut
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
    plot: Path | None = None,
    table: Path | None = None,
    as_json: bool = False,
) -> Resolved:
    """Resolve the scans of files, in the order of their names, and show what they show.

    Parameters
    ----------
    console : Console
    names : sequence of str
        Files, folders, patterns.
    ends : sequence of str
        Files of known references that the series is fitted with.
    element, columns, foil : str, optional
        As for `rankaae-stream infer`.
    model : Path, optional
    stop_at : float, optional
        Half-width of the valence's interval that repeats should reach, e.
    plot, table : Path, optional
        Picture, and CSV.
    as_json : bool

    Raises
    ------
    ConfigurationError
        When no file is found, a reference cannot be used, or fewer than two scans remain.
    """
    files = sorted(find_files(names), key=_natural)
    if not files:
        raise ConfigurationError(f"no spectrum in {', '.join(names)}; name files or folders")
    choice = read_columns(columns) if columns else None
    analysis = analysis_with(model) if model else default_analysis()
    reference = read_foil(foil, element) if foil else None

    def answers(file: str) -> list[Answer]:
        return infer_file(file, element, columns=choice, foil=reference, analysis=analysis)

    scans: list[Report] = []
    with progress_bar(Terminal(stderr=True), "") as bar:
        task = bar.add_task("reading", total=len(files), visible=len(files) >= QUIET)
        for file in files:
            scans += [one.report for one in answers(file)]
            bar.advance(task)
    known = [one.report for name in ends for one in answers(name)]
    try:
        found = resolve(scans, analysis, known, stop_at)
    except ValueError as error:
        raise ConfigurationError(f"--end {' '.join(ends)}: {error}") from error
    if not isinstance(found, Resolved):
        why = "; ".join(f"{one.source}: {one.reason}" for one in found[:3]) or "only one is there"
        raise ConfigurationError(f"a series needs two complete spectra of one edge ({why})")
    if as_json:
        print(json.dumps(to_dict(found), allow_nan=False))  # noqa: T201
    else:
        _show(console, found)
    if table is not None:
        table.write_text(_csv(found), encoding="utf-8")
    if plot is not None:
        from rankaae_stream.show.plot import save_figure
        from rankaae_stream.show.series_plot import draw_series

        save_figure(draw_series(found), plot)
        if not as_json:
            console.print(f"drawn into {escape(str(plot))}", style="dim")
    return found


def _natural(name: str) -> list[tuple[int, str]]:
    """Return a key that sorts scan_2 before scan_10."""
    return [(int(part), "") if part.isdigit() else (0, part) for part in re.split(r"(\d+)", name)]


def _show(console: Console, found: Resolved) -> None:
    series, mixtures = found.series, found.mixtures
    kind = "repeats of one spectrum" if mixtures is None else f"{found.components} components"
    console.print(
        f"[bold]{len(series.sources)} spectra: {kind}[/], noise {series.noise:.2%} of the step"
    )
    console.print(_table(found))
    if mixtures is not None:
        for number, name in enumerate(mixtures.names, 1):
            console.print(f"component {number}: {escape(Path(name).name)}")
        misfit = float(np.median(mixtures.misfit))
        if misfit > GOOD_FIT:
            console.print(
                f"the fit leaves {misfit:.1f} times the noise: something else is in the samples",
                style="yellow",
            )
    for change in found.changes:
        name = Path(series.sources[change.at]).name
        console.print(
            f"the course changes at {escape(name)} (± {change.within} spectra): from "
            f"{change.before:+.4f} to {change.after:+.4f} a spectrum"
        )
    if found.merged is not None:
        _show_merged(console, found)
    for flag in found.flags:
        console.print(flag.message, style="yellow", markup=False)
    for one in found.left_out:
        console.print(_left_out(one), style="dim", soft_wrap=True)


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


def _left_out(one: LeftOut) -> str:
    return f"left out: {escape(Path(one.source).name)}: {escape(one.reason)}"


def _table(found: Resolved) -> Table:
    series, mixtures = found.series, found.mixtures
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
            escape(Path(series.sources[i]).name),
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


def _csv(found: Resolved) -> str:
    table, text = rows(found), io.StringIO()
    writer = csv.DictWriter(text, list(table[0]), lineterminator="\n")
    writer.writeheader()
    writer.writerows(table)
    return text.getvalue()
