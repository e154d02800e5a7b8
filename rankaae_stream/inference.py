"""Answer spectra in memory and in files exactly as live scans are answered.

`infer` and `infer_series` take arrays, `infer_file` and `infer_files` take files; all end in
`Analysis.answer`, as a live scan does.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike

from rankaae_stream.analysis import AT_ONCE, Analysis, Columns
from rankaae_stream.documents.sweeps import out_of_order, to_spectrum
from rankaae_stream.edges import find_edge, read_stated
from rankaae_stream.errors import ConfigurationError, Refusal, Refused
from rankaae_stream.files.base import Measured, from_scans
from rankaae_stream.files.columns import MOST
from rankaae_stream.files.read import looks_like_data, read_file
from rankaae_stream.layouts.rebin import FRAGMENT, turning_points
from rankaae_stream.loading import default_analysis
from rankaae_stream.report import Flag, Report
from rankaae_stream.spectrum import Channel, Edge, Floats, Origin

__all__ = [
    "Answer",
    "find_files",
    "infer",
    "infer_file",
    "infer_files",
    "infer_series",
    "read_foil",
]

SUFFIXES = frozenset(
    {".xdi", ".xd", ".prj", ".dat", ".txt", ".csv", ".xmu", ".nor", ".asc", ".tsv"}
)
"""Files taken from a folder whatever they hold; of the others those that look like data."""
Found = tuple[Edge | Refusal, Flag | None]
"""The edge of a scan, with a flag where it was deduced; or why it is not known."""
NO_STEP = 0.01
"""A channel whose signal rises by less than this share of itself has no edge, where another has."""
_OTHER_KINDS = {
    "chi": "is chi(k) or its transform, not mu(E)",
    "difference": "is a difference of two spectra, not mu(E)",
    "herfd": "is a HERFD spectrum by its name or header, and no model here is trained for HERFD",
}


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
    """Return oxidation state and coordination of one spectrum.

    Parameters
    ----------
    energy : (n,) array
        eV, in any order; repeated energies are averaged.
    mu : (n,) array
        Absorption, any height and background; it is normalised here.
    element : str, optional
        Of the absorber; else the edge is the tabulated one at which mu rises.
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
    return infer_series(
        energy,
        _column(mu, "mu")[None],
        element,
        reference=reference,
        shell=shell,
        channel=channel,
        source=source,
        analysis=analysis,
    )[0]


def infer_series(
    energy: ArrayLike,
    mu: ArrayLike,
    element: str | None = None,
    *,
    reference: ArrayLike | None = None,
    shell: str = "K",
    channel: Channel = "transmission",
    source: str = "",
    analysis: Analysis | None = None,
) -> list[Report]:
    """Answer a series of spectra on one energy axis, such as an operando run.

    Parameters
    ----------
    energy : (n,) array
    mu : (k, n) array
        One spectrum a row.
    element, reference, shell, channel, source, analysis
        As for `infer`, the same for all.

    Returns
    -------
    list of k Report
    """
    rows = np.asarray(mu, dtype=float)
    if rows.ndim != 2:
        raise ValueError(f"mu has shape {rows.shape}, needs one spectrum a row: (k, n)")
    energy = _column(energy, "energy")
    foil = None if reference is None else _column(reference, "reference")
    for name, count in (("mu", rows.shape[1]), ("reference", None if foil is None else foil.size)):
        if count is not None and count != energy.size:
            raise ValueError(f"{name} has {count} points, energy has {energy.size}")
    each = [Measured(energy, row, foil, element, shell, channel=channel) for row in rows]
    asked = [_Asked(one, _find_edge([one]), source) for one in each]
    return [answer.report for answer in _answers(analysis or default_analysis(), asked)]


def infer_file(
    path: Path | str,
    element: str | None = None,
    *,
    shell: str | None = None,
    columns: Mapping[str, str] | None = None,
    foil: Measured | None = None,
    analysis: Analysis | None = None,
) -> list[Answer]:
    """Answer every spectrum of a file: each scan, each sweep of it, each channel that has an edge.

    Parameters
    ----------
    path : Path or str
        ``project.prj::group`` names one group, or one scan of another file.
    element, shell : str, optional
        Take precedence over what the file states.
    columns : mapping, optional
        Role to column names or numbers, see `files.channels.measure`.
    foil : Measured, optional
        A metal foil of the same session, see `read_foil`; it takes precedence over
        the file's own reference channel.
    analysis : Analysis, optional

    Returns
    -------
    list of Answer
        A file that cannot be read gives one report with the refusal ``file``.
    """
    given = element, shell, columns, foil, analysis or default_analysis()
    (answers,) = _of_files(given[-1], [_read(str(path), *given)])
    return answers


def infer_files(
    paths: Iterable[Path | str],
    element: str | None = None,
    *,
    shell: str | None = None,
    columns: Mapping[str, str] | None = None,
    foil: Measured | None = None,
    analysis: Analysis | None = None,
) -> Iterator[tuple[str, list[Answer]]]:
    """Answer every spectrum of many files as `infer_file` does, those of several files together.

    Parameters
    ----------
    paths : iterable of Path or str
        Read one after the other, and no further than `AT_ONCE` spectra before these are answered.
    element, shell, columns, foil, analysis
        As for `infer_file`.

    Yields
    ------
    path : str
        In the order of `paths`.
    answers : list of Answer
    """
    given = element, shell, columns, foil, analysis or default_analysis()
    names: list[str] = []
    waiting: list[_Read] = []
    spectra = 0
    for path in paths:
        names.append(str(path))
        waiting.append(_read(names[-1], *given))
        spectra += 1 if isinstance(waiting[-1], Answer) else sum(map(len, waiting[-1]))
        if spectra >= AT_ONCE:
            yield from zip(names, _of_files(given[-1], waiting), strict=True)
            names, waiting, spectra = [], [], 0
    yield from zip(names, _of_files(given[-1], waiting), strict=True)


def _read(
    text: str,
    element: str | None,
    shell: str | None,
    columns: Mapping[str, str] | None,
    foil: Measured | None,
    analysis: Analysis,
) -> "_Read":
    """Read the scans of a file, or answer that it cannot be read."""
    name, _, group = text.partition("::")
    try:
        scans = _scans(name, columns, group)
    except Refused as refused:
        nothing = Measured(np.empty(0), np.empty(0), element=element, shell=shell)
        edge = _find_edge([nothing])
        return Answer(_refuse(analysis, refused.refusal, nothing, Origin(text), edge), (), None)
    asked: list[list[_Asked]] = []
    for scan in scans:
        channels = [
            replace(found, element=element or found.element, shell=shell or found.shell)
            for found in scan
        ]
        edge = _find_edge(channels)
        asked.append([_Asked(one, edge, name, foil, channels) for one in channels])
    return asked


def _of_files(analysis: Analysis, files: Sequence["_Read"]) -> list[list[Answer]]:
    """Answer what was read of files together; a list for each file."""
    scans = [scan for read in files if not isinstance(read, Answer) for scan in read]
    answers = iter(_answers(analysis, [one for scan in scans for one in scan]))
    return [
        [read]
        if isinstance(read, Answer)
        else [found for scan in read for found in _with_edges([next(answers) for _ in scan])]
        for read in files
    ]


def _find_edge(channels: Sequence[Measured]) -> Found:
    """Return the edge of a scan by all of its channels, or why it is not known."""
    first = channels[0]
    curves = [(channel.energy, channel.mu) for channel in channels if channel.kind == "xas"]
    try:
        return find_edge(read_stated(first.element, first.shell), curves, first.e0)
    except Refused as refused:
        return refused.refusal, None


class _Asked(NamedTuple):
    """A spectrum of the file `name`, a foil that is given beside it, and all of its scan."""

    measured: Measured
    found: Found
    name: str
    foil: Measured | None = None
    channels: Sequence[Measured] = ()


_Read = list[list[_Asked]] | Answer
"""What a file holds, its scans with their channels; or the answer that it cannot be read."""


def _answers(analysis: Analysis, asked: Sequence[_Asked]) -> list[Answer]:
    """Answer spectra together, or say that one is of another kind."""
    given = [_columns(analysis, one) for one in asked]
    reports = iter(analysis.answer([one for one in given if isinstance(one, Columns)]))
    answers: list[Answer] = []
    for one, columns in zip(asked, given, strict=True):
        notes = one.measured.notes
        report = next(reports) if isinstance(columns, Columns) else columns
        if isinstance(columns, Columns) and one.found[1] is not None:
            notes = (*notes, one.found[1].message)
        answers.append(Answer(report, notes, one.measured))
    return answers


def _columns(analysis: Analysis, asked: _Asked) -> Columns | Report:
    """Return the columns of a spectrum, or the report that refuses it."""
    measured, found, name, foil, channels = asked
    source = f"{name}::{measured.label}" if measured.label else name
    origin = Origin(source, measured.channel)
    edge, deduced = found
    kind = "herfd" if "herfd" in Path(name).name.lower() else measured.kind
    model = analysis.models.get(str(edge))
    if kind != "xas" and not (model is not None and kind in model.card.trained_for):
        refusal = Refusal("not_xas", f"{measured.label or 'the file'} {_OTHER_KINDS[kind]}")
        return _refuse(analysis, refusal, measured, origin, found)
    if isinstance(edge, Refusal):
        return _refuse(analysis, edge, measured, origin, found)
    reference = None
    if foil is not None:
        reference = foil.energy, foil.mu
    elif measured.reference is not None:
        own = measured.reference_energy
        reference = measured.energy if own is None else own, measured.reference
    transmission = [(one.energy, one.mu) for one in channels if one.channel == "transmission"]
    return Columns(
        measured.energy,
        measured.mu,
        edge,
        origin,
        reference,
        reference_source=foil.label if foil else None,
        beside=transmission[0] if transmission else None,
        flags=[deduced] if deduced is not None else [],
    )


def _refuse(
    analysis: Analysis, refusal: Refusal, measured: Measured, origin: Origin, found: Found
) -> Report:
    edge = found[0] if isinstance(found[0], Edge) else None
    element = read_stated(measured.element).symbol
    return analysis.refuse(refusal, measured.energy, origin, edge=edge, element=element)


def _with_edges(channels: list[Answer]) -> list[Answer]:
    """Leave out the channels of a scan that have no edge where another one has.

    The idle chamber behind a sample measured in fluorescence is such a channel.
    """
    kept = [answer for answer in channels if _has_edge(answer)]
    if not kept or len(kept) == len(channels):
        return channels
    left_out = [
        f"{' and '.join(answer.measured.columns)} ({answer.report.channel}) show no edge and were "
        "not used"
        for answer in channels
        if answer not in kept and answer.measured is not None
    ]
    return [answer._replace(notes=(*answer.notes, *left_out)) for answer in kept]


def _has_edge(answer: Answer) -> bool:
    report, measured = answer.report, answer.measured
    if measured is None or report.refusal is not None:
        return report.refusal is not None and report.refusal.name not in ("no_edge", "bad_signal")
    level = float(np.nanmedian(np.abs(measured.mu))) if report.channel != "transmission" else 1.0
    return report.edge_step is None or report.edge_step > NO_STEP * level


def read_foil(path: Path | str, element: str | None = None) -> Measured:
    """Read a metal foil that calibrates the axis of other files.

    Parameters
    ----------
    path : Path or str
        ``project.prj::group`` names one group.
    element : str, optional
        Of the foil; else what the file says, or its energies.

    Raises
    ------
    ConfigurationError
        When it cannot be read or is not the metal's foil: with it every answer
        would be wrong.
    """
    name, _, group = str(path).partition("::")
    try:
        foil = _scans(name, None, group)[0][0]
        stated = read_stated(element or foil.element, foil.shell)
        edge, _ = find_edge(stated, [(foil.energy, foil.mu)], foil.e0)
        spectrum, _ = to_spectrum(foil.energy, foil.mu, edge, Origin(str(path), "reference"))
        default_analysis().foil_shift(spectrum)
        foil = replace(foil, label=str(path))
    except Refused as refused:
        raise ConfigurationError(
            f"--foil {path}: {refused.message}; give a foil of the scans' element and session, "
            "or none"
        ) from refused
    return foil


def find_files(names: Sequence[str], left_out: list[str] | None = None) -> Iterator[str]:
    """Yield the files that names, folders and patterns stand for.

    What does not exist is passed on to be refused. Of a folder every file is taken that looks
    like data, whatever its ending; the others are appended to `left_out`.
    """
    for name in names:
        path = Path(name)
        try:
            is_folder, is_there = path.is_dir(), path.exists()
        except (OSError, ValueError):  # too long for a name, a NUL: refused when it is read
            yield name
            continue
        if is_folder:
            for found in sorted(path.rglob("*")):
                hidden = any(part.startswith(".") for part in found.relative_to(path).parts)
                if hidden or not found.is_file():
                    continue
                if found.suffix.lower() in SUFFIXES or looks_like_data(found):
                    yield str(found)
                elif left_out is not None:
                    left_out.append(str(found))
        elif any(mark in name for mark in "*?[") and not is_there:
            parent = Path(path.anchor) if path.is_absolute() else Path()
            pattern = str(path.relative_to(path.anchor)) if path.is_absolute() else name
            try:
                found = sorted(p for p in parent.glob(pattern) if p.is_file())
            except (OSError, ValueError, IndexError):  # ``a**``, or a pattern of dots only
                found = []
            yield from (str(p) for p in found) if found else (name,)
        else:
            yield name


def _scans(name: str, columns: Mapping[str, str] | None, group: str) -> list[list[Measured]]:
    """Read the scans of a file, each as its channels, split at the turning points of the motion.

    `group` selects those of one label; without it references of other groups are left out.
    """
    together: list[list[Measured]] = []
    for found in read_file(Path(name), columns):
        before = together[-1] if together else []
        channels = {channel.channel for channel in before}
        if before and before[0].label == found.label and found.channel not in channels:
            before.append(found)
        else:
            together.append([found])
    scans, notes = from_scans(
        together,
        lambda scan: map(list, zip(*map(_sweeps, scan), strict=True)),
        "were left out",
    )
    scans[0] = [replace(found, notes=(*found.notes, *notes)) for found in scans[0]]
    if not group:
        return [scan for scan in scans if scan[0].channel != "reference"] or scans
    chosen = [scan for scan in scans if scan[0].label.strip() == group.strip()]
    if not chosen:
        known = ", ".join(dict.fromkeys(scan[0].label for scan in scans if scan[0].label)) or "none"
        raise Refused("file", f"no group {group!r}; groups: {known}")
    return chosen


def _sweeps(measured: Measured) -> list[Measured]:
    """Split a scan as a live run is: motion back by more than a few eV is another sweep.

    Pieces of a few points are left out with a note. Rows in no order, each energy once, are
    one spectrum that somebody has shuffled.
    """
    finite = np.flatnonzero(np.isfinite(measured.energy))
    energy = measured.energy[finite]
    if measured.kind in ("chi", "difference") or energy.size < 2:
        return [measured]
    pieces = turning_points(energy)
    whole = [piece for piece in pieces if piece.stop - piece.start >= FRAGMENT]
    if len(pieces) == 1:
        return [measured]
    if 2 * len(whole) < len(pieces) and (len(pieces) >= 4 or not whole):
        if np.unique(energy).size == energy.size:
            note = f"the energy reverses {len(pieces) - 1} times; the rows were sorted"
            return [replace(measured, notes=(*measured.notes, note))]
        raise out_of_order([piece.stop - piece.start for piece in pieces])
    if len(whole) > MOST:
        raise Refused("file", f"the energy sweeps {len(whole)} times; up to {MOST} are answered")
    short = energy.size - sum(piece.stop - piece.start for piece in whole)
    notes = (f"{short} points in pieces of a few were left out",) if short else ()
    sweeps: list[Measured] = []
    for number, piece in enumerate(whole, 1):
        rows = finite[piece]
        foil = measured.reference
        if foil is not None and measured.reference_energy is None:
            foil = foil[rows]
        label = measured.label
        if len(whole) > 1:
            label = f"{label}.{number}" if label else str(number)
        sweeps.append(
            replace(
                measured,
                energy=measured.energy[rows],
                mu=measured.mu[rows],
                reference=foil,
                label=label,
                notes=(*measured.notes, *notes),
            )
        )
    return sweeps


def _column(values: ArrayLike, name: str) -> Floats:
    column = np.asarray(values, dtype=float)
    if column.ndim != 1:
        raise ValueError(f"{name} has shape {column.shape}, needs one dimension")
    return column
