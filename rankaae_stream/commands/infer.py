"""Run `rankaae-stream infer`: many files to one table, or to one JSON object a line."""

import json
import os
from collections.abc import Sequence
from pathlib import Path

from rich.console import Console
from rich.markup import escape
from rich.progress import track

from rankaae_stream.errors import ConfigurationError
from rankaae_stream.inference import find_files, infer_file, read_foil
from rankaae_stream.loading import default_analysis
from rankaae_stream.report import Report, to_dict
from rankaae_stream.show.table import report_table
from rankaae_stream.spectrum import Floats

__all__ = ["run_infer"]


def run_infer(
    console: Console,
    names: Sequence[str],
    *,
    element: str | None = None,
    shell: str | None = None,
    columns: str | None = None,
    foil: Path | None = None,
    plot: Path | None = None,
    as_json: bool = False,
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
    foil : Path, optional
    plot : Path, optional
    as_json : bool

    Returns
    -------
    bool
        Whether every spectrum was answered.

    Raises
    ------
    ConfigurationError
        For a wrong option, a foil that cannot be used, or when no file is found.
    """
    files = list(find_files(names))
    if not files:
        raise ConfigurationError(f"no spectrum in {', '.join(names)}; name files or folders")
    choice = _choice(columns) if columns else None
    analysis = default_analysis()
    reference = read_foil(foil, element) if foil else None
    # Progress goes to the error stream: the output holds answers only.
    quiet = as_json or len(files) < 20
    reports: list[Report] = []
    raw: list[tuple[Floats, Floats] | None] = []
    notes: list[tuple[str, tuple[str, ...]]] = []
    for name in track(
        files, "reading", console=Console(stderr=True), disable=quiet, transient=True
    ):
        for report, remarks, measured in infer_file(
            name, element, shell=shell, columns=choice, foil=reference, analysis=analysis
        ):
            reports.append(report)
            raw.append((measured.energy, measured.mu) if measured else None)
            notes += [(report.source, remarks)] if remarks else []
            if as_json:
                print(json.dumps(to_dict(report), allow_nan=False), flush=True)  # noqa: T201
    if not as_json:
        console.print(report_table(reports, _short([report.source for report in reports])))
        for source, remarks in notes:
            console.print(f"{escape(source)}: {escape('; '.join(remarks))}", style="dim")
    if plot is not None:
        from rankaae_stream.show.plot import save

        ranges = {
            output.name: output.range
            for model in analysis.models.values()
            for output in model.card.outputs
        }
        save(reports, plot, ranges, raw)
        if not as_json:
            console.print(f"drawn into {escape(str(plot))}", style="dim")
    return all(report.refusal is None for report in reports)


def _choice(text: str) -> dict[str, str]:
    pairs = [part.split("=", 1) for part in text.split(",") if part.strip()]
    if not pairs or any(len(pair) != 2 for pair in pairs):
        raise ConfigurationError(f"--columns {text!r}: write energy=1,mu=2 or energy=1,i0=2,it=3")
    return {role.strip(): column.strip() for role, column in pairs}


def _short(sources: list[str]) -> list[str]:
    """Return the sources without the folders that they all share."""
    paths = [Path(source.partition("::")[0]).absolute() for source in sources]
    shared = os.path.commonpath([path.parent for path in paths])
    return [
        os.path.relpath(path, shared) + "".join(source.partition("::")[1:])
        for path, source in zip(paths, sources, strict=True)
    ]
