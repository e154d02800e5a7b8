"""Spectra in memory and in files, through exactly the live way.

`infer` and `infer_series` take arrays, `infer_file` takes a file; all end in
`Analysis.process`, as a live scan does.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike

from rankaae_stream.analysis import Analysis
from rankaae_stream.documents.sweeps import to_spectrum
from rankaae_stream.errors import ConfigurationError, Refused
from rankaae_stream.files.base import Measured
from rankaae_stream.files.read import read_file
from rankaae_stream.loading import default_analysis
from rankaae_stream.report import Report
from rankaae_stream.spectrum import Channel, Floats, edge_of

__all__ = ["Answer", "find_files", "infer", "infer_file", "infer_series", "read_foil"]

SUFFIXES = frozenset(
    {".xdi", ".xd", ".prj", ".dat", ".txt", ".csv", ".xmu", ".nor", ".asc", ".tsv"}
)
"""Files taken from a folder; a file that is named is read whatever its ending."""


class Answer(NamedTuple):
    """One spectrum of a file: its report, what was guessed or converted, and what was read.

    `measured` is None for a file that could not be read.
    """

    report: Report
    notes: tuple[str, ...]
    measured: Measured | None


def infer(
    energy: ArrayLike,
    mu: ArrayLike,
    element: str | None = None,
    *,
    reference: ArrayLike | None = None,
    shell: str = "K",
    channel: Channel = "transmission",
    source: str = "",
    analysis: Analysis | None = None,
) -> Report:
    """Oxidation state and coordination of one spectrum.

    Parameters
    ----------
    energy : (n,) array
        eV, in any order; repeated energies are averaged.
    mu : (n,) array
        Absorption, any height and background; it is normalised here.
    element : str, optional
        Of the absorber; else the energies have to span exactly one known edge.
    reference : (n,) array, optional
        Absorption of a metal foil on the same energies, which calibrates the axis.
    shell : str
    channel : {"transmission", "fluorescence"}
    source : str
        What the report names as its source.
    analysis : Analysis, optional
        Other models than the shipped ones.

    Returns
    -------
    Report
        With estimates, or with a refusal and its reason.

    Raises
    ------
    ValueError
        When the arrays are not one-dimensional and of equal length.

    Examples
    --------
    >>> import numpy as np
    >>> report = infer(np.linspace(7000, 7300, 301), np.zeros(301), element="Fe")
    >>> report.refusal.name
    'no_edge'
    """
    energy, mu = _column(energy, "energy"), _column(mu, "mu")
    foil = None if reference is None else _column(reference, "reference")
    for name, column in (("mu", mu), ("reference", foil)):
        if column is not None and column.shape != energy.shape:
            raise ValueError(f"{name} has {column.size} points, energy has {energy.size}")
    measured = Measured(energy, mu, foil, element, shell, channel=channel)
    return _process(analysis or default_analysis(), measured, source)


def infer_series(
    energy: ArrayLike, mu: ArrayLike, element: str | None = None, **options: object
) -> list[Report]:
    """The same for a series on one energy axis, such as an operando run.

    Parameters
    ----------
    energy : (n,) array
    mu : (k, n) array
        One spectrum a row.
    element : str, optional
    **options
        As for `infer`.

    Returns
    -------
    list of k Report
    """
    rows = np.asarray(mu, dtype=float)
    if rows.ndim != 2:
        raise ValueError(f"mu has shape {rows.shape}, needs one spectrum a row: (k, n)")
    return [infer(energy, row, element, **options) for row in rows]  # type: ignore[arg-type]


def infer_file(
    path: Path | str,
    element: str | None = None,
    *,
    shell: str | None = None,
    columns: Mapping[str, str] | None = None,
    foil: Measured | None = None,
    analysis: Analysis | None = None,
) -> list[Answer]:
    """Every spectrum of a file: XDI, Athena project, or columns.

    Parameters
    ----------
    path : Path or str
        ``project.prj::group`` names one group.
    element, shell : str, optional
        Stand above what the file says.
    columns : mapping, optional
        Role to column name or number, see `files.columns.read_columns`.
    foil : Measured, optional
        A metal foil of the same session, see `read_foil`; it stands above a
        reference channel of the file's own.
    analysis : Analysis, optional

    Returns
    -------
    list of Answer
        A file that cannot be read gives one report with the refusal ``file``.
    """
    text = str(path)
    name, _, group = text.partition("::")
    analysis = analysis or default_analysis()
    try:
        spectra = _select(read_file(Path(name), columns), group)
    except Refused as refused:
        report = analysis.refuse(
            refused.refusal, np.empty(0), element=element, shell=shell or "K", source=text
        )
        return [Answer(report, (), None)]
    answers: list[Answer] = []
    for one in spectra:
        source = f"{name}::{one.label}" if one.label else name
        stated = Measured(
            one.energy,
            one.mu,
            one.reference,
            element or one.element,
            shell or one.shell,
            channel=one.channel,
        )
        answers.append(Answer(_process(analysis, stated, source, foil), one.notes, stated))
    return answers


def read_foil(path: Path, element: str | None = None) -> Measured:
    """Read a metal foil that calibrates the axis of other files.

    Raises
    ------
    ConfigurationError
        When it cannot be read or is not the metal's foil: with it every answer
        would be wrong.
    """
    try:
        (foil, *_) = read_file(path)
        edge = edge_of(element or foil.element, foil.energy, foil.shell or "K")
        spectrum, _ = to_spectrum(foil.energy, foil.mu, edge, "reference")
        default_analysis().foil_shift(spectrum)
        foil = replace(foil, label=str(path))
    except Refused as refused:
        raise ConfigurationError(
            f"--foil {path}: {refused.message}; give a foil of the scans' element and session, "
            "or none"
        ) from refused
    return foil


def find_files(names: Sequence[str]) -> Iterator[str]:
    """Files, folders and patterns to files; what does not exist is passed on to be refused."""
    for name in names:
        path = Path(name)
        if path.is_dir():
            found = sorted(p for p in path.rglob("*") if p.suffix.lower() in SUFFIXES)
            yield from (str(p) for p in found)
        elif any(mark in name for mark in "*?[") and not path.exists():
            parent = Path(path.anchor) if path.is_absolute() else Path()
            pattern = str(path.relative_to(path.anchor)) if path.is_absolute() else name
            found = sorted(p for p in parent.glob(pattern) if p.is_file())
            yield from (str(p) for p in found) if found else (name,)
        else:
            yield name


def _process(
    analysis: Analysis, measured: Measured, source: str, foil: Measured | None = None
) -> Report:
    reference = None
    if foil is not None:
        reference = foil.energy, foil.mu
    elif measured.reference is not None:
        reference = measured.energy, measured.reference
    return analysis.process_columns(
        measured.energy,
        measured.mu,
        reference,
        element=measured.element,
        shell=measured.shell or "K",
        channel=measured.channel,
        source=source,
        reference_source=foil.label if foil else None,
    )


def _select(spectra: tuple[Measured, ...], group: str) -> tuple[Measured, ...]:
    if not group:
        return spectra
    found = tuple(one for one in spectra if one.label == group)
    if not found:
        known = ", ".join(one.label for one in spectra if one.label) or "none"
        raise Refused("file", f"no group {group!r}; groups: {known}")
    return found


def _column(values: ArrayLike, name: str) -> Floats:
    column = np.asarray(values, dtype=float)
    if column.ndim != 1:
        raise ValueError(f"{name} has shape {column.shape}, needs one dimension")
    return column
