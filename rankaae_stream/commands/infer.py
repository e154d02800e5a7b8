"""Run `rankaae-stream infer`: many files to one table, or to one JSON object a line."""

import json
import os
from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
from rich.console import Console
from rich.markup import escape
from rich.progress import track

from rankaae_stream.analysis import Analysis, Columns
from rankaae_stream.errors import ConfigurationError
from rankaae_stream.files.base import NO_ENERGIES, Measured
from rankaae_stream.inference import find_files, infer_files, read_foil
from rankaae_stream.loading import analysis_with, default_analysis
from rankaae_stream.report import Report, to_dict
from rankaae_stream.show.intervals import width_lines
from rankaae_stream.show.table import report_table
from rankaae_stream.show.terminal import Terminal
from rankaae_stream.spectrum import Floats

__all__ = ["read_columns", "run_infer"]

PIPED = 400
"""Width of the table where no terminal has one."""
TABLE = 45
"""Width of the table's columns of numbers."""
NOTES = 20
"""Notes that are printed below the table."""
SENTENCES = 5
"""Refusals that are printed in full below the table."""
WIDTHS = 3
"""Answers of which is printed below the table what their intervals are made of."""
REACHED = (*range(8, 60, 2), *range(60, 155, 5))
"""Energies at which a spectrum is cut to see its interval narrow, eV from the tabulated edge."""


def run_infer(
    console: Console,
    names: Sequence[str],
    *,
    element: str | None = None,
    shell: str | None = None,
    columns: str | None = None,
    foil: str | None = None,
    axis_from: Sequence[str] = (),
    model: Path | None = None,
    plot: Path | None = None,
    as_json: bool = False,
    verbose: bool = False,
) -> bool:
    """Answer every spectrum of the named files and show the answers.

    Parameters
    ----------
    console : Console
    names : sequence of str
        Files, folders, patterns.
    element, shell : str, optional
    columns : str, optional
        ``energy=1,mu=2``.
    foil : str, optional
        A file, or ``project.prj::group``.
    axis_from : sequence of str
        ``Cr2O3=scan.xdi``; see `loading.analysis_with`.
    model : Path, optional
        Folder of a model to use for its edge, such as `rankaae-stream calibrate` writes.
    plot : Path, optional
    as_json : bool
    verbose : bool
        Show every file and every note, and sentences in full.

    Returns
    -------
    bool
        Whether every spectrum was answered.

    Raises
    ------
    ConfigurationError
        For a wrong option, a foil that cannot be used, or when no file is found.
    """
    others: list[str] = []
    files = list(find_files(names, others))
    if not files:
        raise ConfigurationError(f"no spectrum in {', '.join(names)}; name files or folders")
    choice = read_columns(columns) if columns else None
    analysis = analysis_with(model, axis_from, choice) if model or axis_from else default_analysis()
    reference = read_foil(foil, element) if foil else None
    # Progress goes to the error stream: the output holds answers only.
    quiet = as_json or len(files) < 20
    reports: list[Report] = []
    raw: list[tuple[Floats, Floats] | None] = []
    grown: list[list[tuple[float, Report]]] = []
    notes: dict[str, list[str]] = {}
    read = track(files, "reading", console=Terminal(stderr=True), disable=quiet, transient=True)
    for name, answers in infer_files(
        read, element, shell=shell, columns=choice, foil=reference, analysis=analysis
    ):
        for report, remarks, measured in answers:
            refusal = report.refusal
            if name not in names and refusal and refusal.message.startswith(NO_ENERGIES):
                others.append(name)  # images and the like, in a folder
                continue
            reports.append(report)
            raw.append((measured.energy, measured.mu) if measured else None)
            if plot is not None:
                grown.append(_grown(analysis, report, measured, reference))
            for note in remarks:
                notes.setdefault(note, []).append(report.source)
            if as_json:
                print(json.dumps(to_dict(report), allow_nan=False), flush=True)  # noqa: T201
    if not as_json:
        _show(console, reports, notes, others, verbose=verbose)
    if plot is not None:
        from rankaae_stream.show.plot import save

        ranges = {
            output.name: output.range
            for model in analysis.models.values()
            for output in model.card.outputs
        }
        save(reports, plot, ranges, raw, grown)
        if not as_json:
            console.print(f"drawn into {escape(str(plot))}", style="dim")
    return all(report.refusal is None for report in reports)


def _grown(
    analysis: Analysis, report: Report, measured: Measured | None, foil: Measured | None
) -> list[tuple[float, Report]]:
    """Answer a spectrum as far as it goes at each energy of `REACHED`, as its scan would be."""
    if report.edge is None or measured is None or not report.estimates:
        return []
    edge, origin = report.edge, replace(report.origin, complete=False)
    whole = (foil.energy, foil.mu) if foil else None
    reach = float(np.nanmax(measured.energy)) - edge.e0
    ends = [float(reached) for reached in REACHED if reached < reach]
    columns = [
        Columns(
            *_up_to(edge.e0 + end, measured.energy, measured.mu),
            edge,
            origin,
            whole or _own_foil_up_to(edge.e0 + end, measured),
        )
        for end in ends
    ]
    found = list(zip(ends, analysis.answer(columns), strict=True))
    end = min(reach, float(REACHED[-1]))
    return [*found[: len(REACHED) - 1], (end, report)]


def _own_foil_up_to(end: float, measured: Measured) -> tuple[Floats, Floats] | None:
    """Return the foil of a file's own reference channel as it was seen up to an energy, eV."""
    if measured.reference is None:
        return None
    own = measured.reference_energy
    return _up_to(end, measured.energy if own is None else own, measured.reference)


def _up_to(end: float, energy: Floats, mu: Floats) -> tuple[Floats, Floats]:
    seen = energy <= end
    return energy[seen], mu[seen]


def read_columns(text: str) -> dict[str, str]:
    """Return role to column of an option such as ``energy=1,mu=2``."""
    pairs = [part.split("=", 1) for part in text.split(",") if part.strip()]
    if not pairs or any(len(pair) != 2 for pair in pairs):
        raise ConfigurationError(f"--columns {text!r}: write energy=1,mu=2 or energy=1,i0=2,it=3")
    return {role.strip(): column.strip() for role, column in pairs}


def _show(
    console: Console,
    reports: list[Report],
    notes: dict[str, list[str]],
    others: list[str],
    *,
    verbose: bool,
) -> None:
    """Print the table, one line for each spectrum, and below it what did not fit into a line."""
    rows = reports if verbose else [report for report in reports if not _other_edge(report)]
    rows = rows or reports[:1]
    if not console.is_terminal and "COLUMNS" not in os.environ:
        # Into a file or a pipe lines go as long as they are.
        console = Terminal(file=console.file, width=PIPED)
    room = console.width
    names = [_cut_middle(name, max(room - TABLE, 40) // 2) for name in _names(rows)]
    console.print(report_table(rows, names, one_line=not verbose))
    _show_widths(console, rows, names, len(rows) if verbose else WIDTHS)
    if not verbose:
        _show_cut(console, rows, room - TABLE - max(map(len, names)))
        _show_counted(console, [report for report in reports if report not in rows], others)
    for note, sources in list(notes.items())[: None if verbose else NOTES]:
        shown = len(sources) if verbose else 1
        more = f" and {_count(len(sources) - shown, 'other')}" if len(sources) > shown else ""
        line = f"{', '.join(sources[:shown])}{more}: {note}"
        console.print(escape(line), style="dim", soft_wrap=True)
    if len(notes) > NOTES and not verbose:
        console.print(f"{len(notes) - NOTES} more notes with --verbose", style="dim")


def _show_widths(console: Console, rows: list[Report], names: list[str], most: int) -> None:
    """Print what the valence's interval is made of, of the first answers that may be used."""
    usable = [
        (row, name)
        for row, name in zip(rows, names, strict=True)
        if row.estimates and all(flag.name != "out_of_domain" for flag in row.flags)
    ]
    for row, name in usable[:most]:
        if len(usable) > 1:
            console.print(escape(name), style="dim", soft_wrap=True)
        for line in width_lines(row):
            console.print(line, soft_wrap=True)


def _show_cut(console: Console, rows: list[Report], room: int) -> None:
    """Print in full, each once, the sentences that were cut for want of room in the table."""
    refusals = [f"{row.refusal.name}: {row.refusal.message}" for row in rows if row.refusal]
    sentences = Counter(sentence for sentence in refusals if len(sentence) > room)
    for sentence, count in list(sentences.items())[:SENTENCES]:
        times = f" ({count} times)" if count > 1 else ""
        console.print(f"{escape(sentence)}{times}", soft_wrap=True)
    if len(sentences) > SENTENCES:
        console.print(f"{len(sentences) - SENTENCES} more sentences with --verbose")


def _show_counted(console: Console, reports: list[Report], others: list[str]) -> None:
    """Print how many spectra are of other edges, and how many files hold none."""
    if reports:
        edges = ", ".join(sorted({report.element for report in reports}))
        files = _count(len({report.source.partition("::")[0] for report in reports}), "file")
        console.print(
            f"{files} of other edges than the models here ({edges}); --verbose lists them",
            soft_wrap=True,
        )
    if others:
        endings = sorted({Path(name).suffix or "no ending" for name in others})
        shown = ", ".join(endings[:8]) + (", ..." if len(endings) > 8 else "")
        console.print(
            f"{_count(len(others), 'file')} in the folders without a scan, left out "
            f"({escape(shown)})",
            soft_wrap=True,
        )


def _count(number: int, what: str) -> str:
    return f"{number} {what}{'s' if number != 1 else ''}"


def _cut_middle(name: str, room: int) -> str:
    """Shorten a name to `room` characters; its end tells more than its middle."""
    return name if len(name) <= room else f"{name[: room // 3]}…{name[-(room - room // 3 - 1) :]}"


def _other_edge(report: Report) -> bool:
    """Return whether a spectrum is refused because it states an edge that no model here is of."""
    refused = report.refusal is not None and report.refusal.name in ("unknown_element", "no_model")
    return refused and bool(report.element)


def _names(reports: list[Report]) -> list[str]:
    """Return each report's name in the table: its file, and one of several channels."""
    sources = [report.source for report in reports]
    return [
        f"{name} {report.channel}" if sources.count(report.source) > 1 else name
        for name, report in zip(_short(sources), reports, strict=True)
    ]


def _short(sources: list[str]) -> list[str]:
    """Return the sources without the folders that they all share."""
    paths = [Path(source.partition("::")[0]).absolute() for source in sources]
    shared = os.path.commonpath([path.parent for path in paths])
    return [
        os.path.relpath(path, shared) + "".join(source.partition("::")[1:])
        for path, source in zip(paths, sources, strict=True)
    ]
