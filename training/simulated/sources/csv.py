"""The original authors' format: one row a site, labels and spectrum in one line.

Two index columns (material and site), then ``AUX_*`` descriptor columns in any
subset and order, then ``ENE_<eV>`` columns on one grid. Lines that begin with
``#`` are comments.

References
----------
Z. Liang et al., Phys. Rev. Materials 7, 053802 (2023).
"""

import csv
import math
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from rankaae_stream.spectrum import Floats
from training.descriptors import DESCRIPTORS
from training.simulated.sources.site import Site, SourceError, unlabelled

__all__ = ["AUX", "Table", "read", "write_table"]

AUX = {
    "OS": "oxidation_state",
    "CN": "coordination_number",
    "OCN": "ligand_coordination",
    "NNRS": "bond_length_spread",
    "MOOD": "min_ligand_distance",
}
"""Their names of our descriptors; a column may also bear our name (``AUX_angle_spread``)."""


@dataclass(frozen=True, eq=False)
class Table:
    """What a file is made of.

    Attributes
    ----------
    index : (str, str)
        Headings of the two index columns.
    material, site : tuples of n str
    energy : (e,) array
        eV.
    mu : (n, e) array
    aux : dict of (n,) arrays
        By heading without ``AUX_``, in the order of the columns; NaN where a cell is empty.
    comments : tuple of str
        Lines that began with ``#``, without it.
    """

    index: tuple[str, str]
    material: tuple[str, ...]
    site: tuple[str, ...]
    energy: Floats
    mu: Floats
    aux: dict[str, Floats]
    comments: tuple[str, ...] = ()


def read(path: Path, element: str) -> Iterator[Site | SourceError]:
    """Read sites in the order of the rows; an error in place of a row that is none.

    The format does not say its element, so the configuration does. Materials
    are their own groups.

    Raises
    ------
    SourceError
        When the file is no text or its heading is wrong.
    """
    head, rows = _lines(path)
    energy, aux = _heading(path, head)
    for line, cells in rows:
        row = f"line {line}"
        try:
            labels, mu = _numbers(path, line, cells, head, aux)
        except SourceError as error:
            yield error
            continue
        known = unlabelled()
        for name, value in zip(aux, labels, strict=True):
            ours = _ours(name)
            if ours is not None:
                known[list(DESCRIPTORS).index(ours)] = value
        yield Site(
            file=path.name,
            row=f"{row} ({cells[0]}, {cells[1]})",
            element=element,
            energy=energy,
            mu=mu,
            oxidation_state=float(known[0]),
            group=cells[0] or row,
            labels=known,
        )


def write_table(path: Path, table: Table) -> None:
    """Write a file that `read` reads back to the last bit.

    Raises
    ------
    ValueError
        When a material, a site or a comment holds a line break, or a line would
        begin with ``#`` without being a comment.
    """
    words = (*table.index, *table.material, *table.site, *table.comments)
    broken = [word for word in words if "\n" in word or "\r" in word]
    hidden = [word for word in (table.index[0], *table.material) if word.startswith("#")]
    if broken or hidden:
        raise ValueError(f"{(broken + hidden)[0]!r} would not be read back")
    energies = [float(energy) for energy in table.energy]
    with path.open("w", encoding="utf-8", newline="") as handle:
        handle.writelines(f"#{comment}\n" for comment in table.comments)
        writer = csv.writer(handle, lineterminator="\n")
        writer.writerow(
            [
                *table.index,
                *(f"AUX_{name}" for name in table.aux),
                *(f"ENE_{e!r}" for e in energies),
            ]
        )
        for i in range(len(table.material)):
            labels = [_text(values[i]) for values in table.aux.values()]
            spectrum = [_text(value) for value in table.mu[i]]
            writer.writerow([table.material[i], table.site[i], *labels, *spectrum])


def _text(value: float) -> str:
    return "" if math.isnan(value) else repr(float(value))


def _lines(path: Path) -> tuple[list[str], list[tuple[int, list[str]]]]:
    """Return heading and numbered rows."""
    try:
        text = path.read_bytes().decode("utf-8-sig")
        lines = [line.removesuffix("\r") for line in text.split("\n")]
        kept = [(i, line) for i, line in enumerate(lines, start=1) if _is_row(line)]
        rows = [(i, next(csv.reader([line], strict=True), list[str]())) for i, line in kept]
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise SourceError(
            path.name, f"cannot be read ({error})", "comma-separated UTF-8 text"
        ) from error
    if not rows:
        raise SourceError(
            path.name, "no heading", "two index columns, AUX_* columns, ENE_<eV> columns"
        )
    return rows[0][1], rows[1:]


def _is_row(line: str) -> bool:
    return bool(line.strip()) and not line.startswith("#")


def _heading(path: Path, head: list[str]) -> tuple[Floats, tuple[str, ...]]:
    """Return energies of the ``ENE_`` columns and names of the ``AUX_`` columns."""
    aux = [name for name in head[2:] if name.startswith("AUX_")]
    energies = head[2 + len(aux) :]
    if head[2:] != [*aux, *energies] or any(not name.startswith("ENE_") for name in energies):
        wrong = next(
            name
            for i, name in enumerate(head[2:])
            if not name.startswith("AUX_" if i < len(aux) else "ENE_")
        )
        raise _bad_heading(path, f"the column {wrong!r} stands where none may")
    if len(energies) < 2:
        raise _bad_heading(path, f"{len(energies)} ENE_ columns")
    try:
        energy = np.array([float(name.removeprefix("ENE_")) for name in energies])
    except ValueError as error:
        raise _bad_heading(path, str(error)) from error
    if not np.isfinite(energy).all():
        raise _bad_heading(path, "an energy is no number")
    falls = np.flatnonzero(np.diff(energy) < 0)
    if falls.size:
        raise _bad_heading(
            path, f"the energies fall from {energies[falls[0]]} to {energies[falls[0] + 1]}"
        )
    names = tuple(name.removeprefix("AUX_") for name in aux)
    ours = [_ours(name) or name for name in names]
    doubled = {name for name in ours if ours.count(name) > 1}
    if doubled:
        raise _bad_heading(path, f"{', '.join(sorted(doubled))} is there twice")
    return energy, names


def _bad_heading(path: Path, problem: str) -> SourceError:
    return SourceError(
        path.name,
        problem,
        "two index columns (material, site), then AUX_* (of "
        f"{', '.join(AUX)}), then at least 2 columns ENE_<eV> with ascending energies",
        "heading",
    )


def _numbers(
    path: Path, line: int, cells: list[str], head: list[str], aux: tuple[str, ...]
) -> tuple[Floats, Floats]:
    """Return labels and spectrum of one row; NaN where a cell is empty."""
    if len(cells) != len(head):
        raise SourceError(
            path.name, f"{len(cells)} columns", f"{len(head)} as in the heading", f"line {line}"
        )
    values = np.empty(len(head) - 2)
    for i, cell in enumerate(cells[2:]):
        try:
            values[i] = float(cell) if cell.strip() else np.nan
        except ValueError as error:
            raise SourceError(
                path.name,
                f"{cell[:40]!r} in column {head[i + 2]}",
                "a number, or nothing where a label is unknown",
                f"line {line}",
            ) from error
    return values[: len(aux)], values[len(aux) :]


def _ours(name: str) -> str | None:
    """Return our descriptor for a heading without ``AUX_``, if it is one."""
    return AUX.get(name.upper()) or (name if name in DESCRIPTORS else None)
