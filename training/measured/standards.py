"""Measured spectra of known compounds, and the foil that calibrates each one's axis."""

# pyright: basic
# pyarrow and pymatgen have no types

import csv
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from pymatgen.core import Composition

from rankaae_stream.documents.sweeps import to_spectrum
from rankaae_stream.errors import ConfigurationError, Refused
from rankaae_stream.files.read import read_spectrum
from rankaae_stream.report import FoilShift, RunFoil
from rankaae_stream.resources import folder
from rankaae_stream.spectra.axis import calibrate
from rankaae_stream.spectra.library import library_foil
from rankaae_stream.spectra.normalize import normalize
from rankaae_stream.spectra.quality import coverage
from rankaae_stream.spectrum import (
    K_EDGES,
    Edge,
    Floats,
    NormalizationRanges,
    Origin,
    Spectrum,
)
from training.config import Grid
from training.descriptors import DESCRIPTORS
from training.folders import STANDARDS
from training.measured.crystals import descriptors_of
from training.simulated.sources.site import unlabelled

__all__ = ["CHANNEL", "Standard", "find_file", "formula_of", "load", "read_table"]

MEASURED = (
    "element",
    "compound",
    "oxidation_state",
    "coordination_number",
    "kind",
    "energy",
    "mu",
)
"""Columns that a table of measured spectra must have."""

CHANNEL = "channel"
"""In the column `foil`: the metal lies in the file's own reference channel."""


@dataclass(frozen=True, eq=False)
class Standard:
    """One measured file.

    Attributes
    ----------
    file, compound, role : str
        As in labels.csv; role is standard, foil, suspect or other.
    oxidation_state, coordination_number : float
        Formal.
    spectrum : Spectrum
        As measured: sorted and without bad points, its axis not yet calibrated.
    foil : str
        File whose foil calibrates the axis, `CHANNEL` for the file's own
        reference channel; empty where none does.
    shift : FoilShift or None
        Shift that the foil gives; None without a foil, and for a reference channel
        that a live scan would refuse.
    session : str
        Files without a foil that share one axis error; empty with a foil.
    labels : (k,) array
        From the crystal structure, columns as in `DESCRIPTORS`; NaN where unknown,
        and everywhere for foils and other compounds outside the domain.
    formula : str
        Reduced, as simulated compounds are named; empty where there is none.
    source : str
        Where a spectrum that is not in the repository was published.
    """

    file: str
    compound: str
    role: str
    oxidation_state: float
    coordination_number: float
    spectrum: Spectrum
    foil: str
    shift: FoilShift | None
    session: str
    labels: Floats
    formula: str = ""
    source: str = ""

    @property
    def calibration(self) -> float:
        """Shift that the foil adds to the measured energy, eV; 0 without a foil."""
        return self.shift.value if self.shift else 0.0

    @property
    def elements(self) -> frozenset[str]:
        """Symbols of the elements in its formula; empty where there is none."""
        return frozenset(Composition(self.formula).as_dict()) if self.formula else frozenset()

    def earlier(self, edge: Edge) -> RunFoil | None:
        """Return the foil as `Analysis.process` asks for it: an earlier run's of the session."""
        del edge  # a file's foil is of its own element
        return RunFoil(self.shift, self.foil, 0.0) if self.shift else None

    def normalized(self) -> tuple[Floats, Floats]:
        """Return energies after the foil, eV from the tabulated edge, and the flat spectrum.

        Raises
        ------
        Refused
            Where the scan does not cover the edge.
        """
        e0, energy = self.spectrum.edge.e0, self.spectrum.energy + self.calibration
        ranges = NormalizationRanges()
        used = coverage(energy, e0, ranges, Grid().energy_grid(), 0.0, complete=True).ranges
        return energy - e0, normalize(energy, self.spectrum.mu, e0, used).flat


def load(element: str, where: Path = STANDARDS) -> tuple[Standard, ...]:
    """Read every labelled file of an element.

    Parameters
    ----------
    element : str
    where : Path
        Folder of labels.csv and of the files that it names and the package does not ship.

    Raises
    ------
    Refused
        ``no_foil`` when a file that labels.csv names as a foil is not the metal,
        ``file`` when one with `CHANNEL` has no reference channel.
    """
    with (where / "labels.csv").open(encoding="utf-8", newline="") as handle:
        rows = [row for row in csv.DictReader(handle) if row["element"] == element]
    return tuple(_standard(row, where) for row in rows)


def read_table(path: Path) -> tuple[Standard, ...]:
    """Read measured spectra from a table, one row a spectrum: those that cannot be shipped.

    Parameters
    ----------
    path : Path
        Parquet with the columns element, compound, oxidation_state, coordination_number,
        kind (``oxide`` or another), energy (eV), mu, and, where known, reference (the
        absorption of a foil), source and number.

    Raises
    ------
    ConfigurationError
        When it is no such table.
    Refused
        Where a row's energies or mu cannot be used.
    """
    try:
        table = pq.read_table(path)
    except (pa.ArrowException, OSError) as error:
        raise ConfigurationError(f"{path}: cannot be read as a Parquet file ({error})") from error
    missing = [name for name in MEASURED if name not in table.column_names]
    if missing:
        raise ConfigurationError(f"{path}: no column {', '.join(missing)}; see read_table")
    rows: list[dict[str, Any]] = table.to_pylist()
    return tuple(_of_row(path.stem, number, row) for number, row in enumerate(rows, start=1))


def formula_of(compound: str) -> str:
    """Return the reduced formula in a compound's name, ``FeHO2`` of ``alpha-FeOOH goethite``."""
    for word in compound.replace("alpha-", "").replace("gamma-", "").split():
        try:
            return Composition(word).reduced_formula
        except ValueError:
            continue
    return ""


def find_file(name: str, where: Path = STANDARDS) -> Path:
    """Return the path of a file that labels.csv names: shipped with the package, or in `where`."""
    shipped = folder("profiles/spectra") / name
    return shipped if shipped.is_file() else where / name


def _standard(row: Mapping[str, str], where: Path) -> Standard:
    file, role, element = row["file"], row["role"], row["element"]
    edge = Edge(element, "K", K_EDGES[element])
    xdi = read_spectrum(find_file(file, where))
    foil = file if role == "foil" else row["foil"]
    known = role in {"standard", "suspect"}
    return Standard(
        file=file,
        compound=row["compound"],
        role=role,
        oxidation_state=float(row["oxidation_state"]),
        coordination_number=float(row["coordination_number"]),
        spectrum=to_spectrum(xdi.energy, xdi.mu, edge, Origin(file))[0],
        foil=foil,
        shift=_shift(file, foil, edge, where) if foil else None,
        session=row.get("session", ""),
        labels=descriptors_of(row["compound"]) if known else unlabelled(),
        formula=formula_of(row["compound"]),
    )


def _of_row(table: str, number: int, row: Mapping[str, Any]) -> Standard:
    element, kind = row["element"], row["kind"]
    edge, energy = Edge(element, "K", K_EDGES[element]), np.asarray(row["energy"], dtype=float)
    file = f"{table} {row.get('number', number)}"
    role = {"oxide": "standard", "metal": "foil"}.get(kind, "other")
    labels = unlabelled()
    if role == "standard":
        shell = float(row["coordination_number"] or np.nan)
        names = list(DESCRIPTORS)
        labels[names.index("oxidation_state")] = row["oxidation_state"]
        labels[names.index("coordination_number")] = shell if shell.is_integer() else np.nan
    reference, shift = row.get("reference"), None
    if reference is not None and len(reference) == energy.size:
        with suppress(Refused):
            shift = _calibrated(energy, np.asarray(reference, dtype=float), edge)
    return Standard(
        file=file,
        compound=row["compound"],
        role=role,
        oxidation_state=float(row["oxidation_state"]),
        coordination_number=float(row["coordination_number"] or np.nan),
        spectrum=to_spectrum(energy, np.asarray(row["mu"], dtype=float), edge, Origin(file))[0],
        foil=CHANNEL if shift else "",
        shift=shift,
        session=str(row.get("source", table)),
        labels=labels,
        formula=formula_of(row["compound"]),
        source=str(row.get("source", table)),
    )


def _shift(file: str, foil: str, edge: Edge, where: Path) -> FoilShift | None:
    """Return the shift by a foil's file or by the file's own channel, as a live scan takes it."""
    if foil != CHANNEL:
        xdi = read_spectrum(find_file(foil, where))
        return _calibrated(xdi.energy, xdi.mu, edge)
    xdi = read_spectrum(find_file(file, where))
    reference = xdi.reference
    if reference is None:
        raise Refused("file", f"{file} has no reference channel, but labels.csv says it has")
    try:
        return _calibrated(xdi.energy, reference, edge)
    except Refused:
        return None


def _calibrated(energy: Floats, mu: Floats, edge: Edge) -> FoilShift:
    spectrum, _ = to_spectrum(energy, mu, edge, Origin())
    return calibrate(spectrum.energy, spectrum.mu, library_foil(edge.element))
