"""Folders of FEFF runs: feff.inp or a structure file, and xmu.dat.

Headers of FEFF9 and FEFF10 are read. The cluster is feff.inp's; where that has no
ATOMS it is cut from POSCAR or the CIF. FEFF does not know valences: they come
from a table, or stay NaN.
"""

import re
import warnings
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from pymatgen.core import Element, Structure
from pymatgen.symmetry.analyzer import SpacegroupAnalyzer

from rankaae_stream.spectrum import Floats
from training.simulated.sources.site import Site, SourceError

__all__ = ["RADIUS", "FeffInput", "Xmu", "files", "parse_input", "parse_xmu", "read"]

RADIUS = 6.0
"""Clusters are cut here, as our own files are, Å."""

COLUMNS = "6 columns: omega, e, k, mu, mu0, chi"

FOREIGN = (ValueError, KeyError, IndexError, TypeError, AttributeError, ArithmeticError, OSError)
"""What pymatgen raises at a file that is none."""


@dataclass(frozen=True, eq=False)
class Xmu:
    """An xmu.dat: energy (eV, absolute), wave number (1/Å) and mu, each (n,); absorber, shell.

    `element` and `shell` are empty where the header does not tell.
    """

    energy: Floats
    k: Floats
    mu: Floats
    element: str
    shell: str


@dataclass(frozen=True, eq=False)
class FeffInput:
    """What a feff.inp says; empty or None where it says nothing.

    `symbols` and `xyz` (n, 3) are the cluster within `RADIUS`, absorber first.
    """

    element: str
    shell: str
    formula: str
    last_k: float | None
    symbols: tuple[str, ...]
    xyz: Floats


def files(folder: Path) -> list[Path]:
    """List the files of a run that `read` looks at."""
    structure = _structure_file(folder)
    named = [folder / "feff.inp", folder / "xmu.dat", *([structure] if structure else [])]
    return [path for path in named if path.is_file()]


def read(folder: Path, table: Mapping[str, Mapping[str, str]] | None = None) -> Site:
    """Read the site of one run.

    Parameters
    ----------
    folder : Path
        Its name is the id of the run in `table`.
    table : mapping, optional
        By id, the texts of `oxidation_state` and `host_formula`.

    Raises
    ------
    SourceError
        When a file is missing, cut short or contradicts another.
    """
    if not (folder / "xmu.dat").is_file():
        raise SourceError(folder.name, "no xmu.dat", "a finished FEFF run")
    spectrum = parse_xmu(_text(folder / "xmu.dat"), _name(folder, "xmu.dat"))
    inputs = (
        parse_input(_text(folder / "feff.inp"), _name(folder, "feff.inp"))
        if (folder / "feff.inp").is_file()
        else None
    )
    element, shell = _absorber(folder, spectrum, inputs)
    if shell != "K":
        raise SourceError(folder.name, f"the edge is {shell}", "a K edge")
    if inputs and inputs.last_k is not None and spectrum.k[-1] < inputs.last_k - 0.1:
        raise SourceError(
            _name(folder, "xmu.dat"),
            f"the last k is {spectrum.k[-1]:g} 1/Å",
            f"{inputs.last_k:g} 1/Å as feff.inp says (cut short?)",
            f"row {spectrum.k.size}",
        )
    structure = _structure(folder)
    if structure is not None and element not in structure.symbol_set:
        raise SourceError(
            folder.name,
            f"the structure holds {', '.join(structure.symbol_set)}",
            f"the absorber {element}",
        )
    if inputs and inputs.symbols:
        symbols, xyz = inputs.symbols, inputs.xyz
    elif structure is not None:
        symbols, xyz = _cut(folder, structure, element)
    else:
        raise SourceError(folder.name, "no structure", "feff.inp with ATOMS, or POSCAR or a CIF")
    formula = structure.composition.reduced_formula if structure is not None else ""
    given = (table or {}).get(folder.name, {})
    return Site(
        file=folder.name,
        row="xmu.dat",
        element=element,
        energy=spectrum.energy,
        mu=spectrum.mu,
        oxidation_state=float(given.get("oxidation_state") or "nan"),
        group=given.get("host_formula")
        or formula
        or (inputs.formula if inputs else "")
        or folder.name,
        symbols=symbols,
        xyz=xyz,
    )


def parse_xmu(text: str, name: str) -> Xmu:
    """Read an xmu.dat.

    Raises
    ------
    SourceError
        When a row has not its six numbers.
    """
    rows: list[list[float]] = []
    element = shell = ""
    for number, line in enumerate(text.splitlines(), start=1):
        words = line.split()
        if not rows and not (words and _is_number(words[0])):
            absorber = re.search(r"Abs\s+Z=\s*(\d+)", line)
            edge = re.search(r"\b([KLMN]\d?)\s+shell", line)
            try:
                element = _symbol(int(absorber[1])) if absorber else element
            except ValueError as error:
                raise SourceError(name, str(error), "an element's Z", f"line {number}") from error
            shell = edge[1] if edge and absorber else shell
            continue
        if not words:
            continue
        if len(words) != 6 or not all(_is_number(word) for word in words):
            raise SourceError(
                name, f"{line.strip()[:60]!r}", f"{COLUMNS} (cut short?)", f"line {number}"
            )
        rows.append([float(word) for word in words])
    if len(rows) < 2:
        raise SourceError(name, f"{len(rows)} rows of numbers", COLUMNS)
    columns = np.array(rows)
    return Xmu(columns[:, 0], columns[:, 2], columns[:, 3], element, shell)


def parse_input(text: str, name: str) -> FeffInput:
    """Read a feff.inp.

    Raises
    ------
    SourceError
        When a potential or an atom is none, or not exactly one atom has ipot 0.
    """
    shell = formula = card = ""
    last_k: float | None = None
    grid_k: float | None = None
    potentials: dict[int, str] = {}
    atoms: list[tuple[float, float, float, int]] = []
    where = ""
    try:
        for number, line in enumerate(text.splitlines(), start=1):
            where = f"line {number}"
            words = re.split(r"[*!#]", line)[0].split()
            if not words:
                continue
            if words[0][0].isalpha() and not (card == "EGRID" and "grid" in words[0]):
                card = words[0].upper()
                if card == "END":
                    break
                if card == "EDGE" and len(words) > 1:
                    shell = words[1].upper()
                elif card == "HOLE" and len(words) > 1:
                    shell = "K" if int(words[1]) == 1 else f"HOLE {words[1]}"
                elif card == "XANES" and len(words) > 1:
                    last_k = float(words[1])
                elif card == "TITLE" and "Reduced formula:" in line:
                    formula = words[-1]
            elif card == "EGRID" and words[0] == "k_grid":
                grid_k = float(words[2])
            elif card == "POTENTIALS":
                potentials[int(words[0])] = _symbol(int(words[1]))
            elif card == "ATOMS":
                x, y, z = (float(word) for word in words[:3])
                atoms.append((x, y, z, int(words[3])))
        where = ""
        symbols, xyz = _cluster(potentials, atoms)
    except (ValueError, IndexError, KeyError) as error:
        raise SourceError(
            name,
            str(error),
            "POTENTIALS (ipot Z ...) and ATOMS (x y z ipot), one atom of ipot 0: the absorber",
            where,
        ) from error
    return FeffInput(
        potentials.get(0, ""), shell, formula, grid_k if grid_k else last_k, symbols, xyz
    )


def _cluster(
    potentials: Mapping[int, str], atoms: list[tuple[float, float, float, int]]
) -> tuple[tuple[str, ...], Floats]:
    if not atoms:
        return (), np.empty((0, 3))
    absorbers = [i for i, atom in enumerate(atoms) if atom[3] == 0]
    if len(absorbers) != 1:
        raise ValueError(f"{len(absorbers)} atoms have ipot 0")
    unknown = {atom[3] for atom in atoms} - potentials.keys()
    if unknown:
        raise ValueError(f"no potential {min(unknown)}")
    xyz = np.array([atom[:3] for atom in atoms], dtype=float)
    return _nearest([potentials[atom[3]] for atom in atoms], xyz - xyz[absorbers[0]])


def _nearest(symbols: list[str], xyz: Floats) -> tuple[tuple[str, ...], Floats]:
    """Return the atoms within `RADIUS` of the origin, nearest first."""
    distance = np.linalg.norm(xyz, axis=1)
    order = [int(i) for i in np.argsort(distance, kind="stable") if distance[i] <= RADIUS]
    return tuple(symbols[i] for i in order), xyz[order]


def _absorber(folder: Path, spectrum: Xmu, inputs: FeffInput | None) -> tuple[str, str]:
    """Return element and shell, on which feff.inp and xmu.dat must agree."""
    found: list[str] = []
    for what, stated in (
        ("element", (spectrum.element, inputs.element if inputs else "")),
        ("edge", (spectrum.shell, inputs.shell if inputs else "")),
    ):
        names = {one for one in stated if one}
        if len(names) != 1:
            raise SourceError(
                folder.name,
                f"xmu.dat says {what} {stated[0] or '-'}, feff.inp {stated[1] or '-'}",
                f"one {what}, in the header of xmu.dat or in feff.inp (EDGE, POTENTIALS)",
            )
        found.append(names.pop())
    return found[0], found[1]


def _structure_file(folder: Path) -> Path | None:
    found = [folder / name for name in ("POSCAR", "CONTCAR")]
    found += sorted(folder.glob("*.cif"))
    return next((path for path in found if path.is_file()), None)


def _structure(folder: Path) -> Structure | None:
    path = _structure_file(folder)
    if path is None:
        return None
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            return Structure.from_file(path)
    except FOREIGN as error:
        raise SourceError(
            _name(folder, path.name), f"cannot be read ({error})", "a structure"
        ) from error


def _cut(folder: Path, structure: Structure, element: str) -> tuple[tuple[str, ...], Floats]:
    """Cut the cluster about the absorber of a structure in which all its sites are equivalent."""
    if not structure.is_ordered:
        raise SourceError(folder.name, "sites are partly occupied", "an ordered structure")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        analyzer: Any = SpacegroupAnalyzer(structure, symprec=0.01)
        alike = analyzer.get_symmetry_dataset()
    if alike is None:
        raise SourceError(folder.name, "the structure has no symmetry", "atoms apart")
    sites = [i for i, site in enumerate(structure) if site.specie.symbol == element]
    kinds = {int(alike.equivalent_atoms[i]) for i in sites}
    if len(kinds) > 1:
        raise SourceError(
            folder.name,
            f"{len(kinds)} different {element} sites",
            "feff.inp with ATOMS, which says whose spectrum it is",
        )
    centre = structure[sites[0]].coords
    near = structure.get_sites_in_sphere(centre, RADIUS)
    xyz = np.array([one.coords - centre for one in near])
    return _nearest([one.specie.symbol for one in near], xyz)


def _symbol(number: int) -> str:
    return Element.from_Z(number).symbol


def _is_number(word: str) -> bool:
    try:
        float(word)
    except ValueError:
        return False
    return True


def _name(folder: Path, file: str) -> str:
    return f"{folder.name}/{file}"


def _text(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8", errors="replace")
    except OSError as error:
        raise SourceError(
            _name(path.parent, path.name), f"cannot be read ({error})", "text"
        ) from error
