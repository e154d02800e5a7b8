"""Measured spectra of known compounds, calibrated and normalised as in live use."""

import csv
from dataclasses import dataclass
from pathlib import Path

from rankaae_stream.documents.sweeps import to_spectrum
from rankaae_stream.errors import Refused
from rankaae_stream.files.xdi import read_xdi
from rankaae_stream.resources import folder
from rankaae_stream.spectra.axis import calibrate
from rankaae_stream.spectra.library import library_foil
from rankaae_stream.spectra.normalize import normalize
from rankaae_stream.spectra.quality import coverage
from rankaae_stream.spectra.regrid import regrid
from rankaae_stream.spectrum import K_EDGES, Edge, EnergyGrid, Floats, NormalizationRanges
from training.folders import STANDARDS
from training.measured.crystals import descriptors_of
from training.simulated.sources.site import unlabelled

__all__ = ["CHANNEL", "Standard", "channel_shift", "foil_shift", "load"]


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
    energy, flat : (n,) arrays
        eV, moved by the foil where there is one; normalised at the card's ranges.
    foil : str
        File whose foil calibrated the axis, `CHANNEL` for the file's own
        reference channel; empty where none did.
    shift : float
        What the foil added, eV.
    session : str
        Files without a foil that share one err together; empty with a foil.
    labels : (k,) array
        From the crystal structure, columns as in `DESCRIPTORS`; NaN where unknown,
        and everywhere for foils and other compounds outside the domain.
    """

    file: str
    compound: str
    role: str
    oxidation_state: float
    coordination_number: float
    energy: Floats
    flat: Floats
    foil: str
    shift: float
    session: str
    labels: Floats

    def on_grid(self, grid: EnergyGrid, e0: float, theory_shift: float) -> Floats:
        """Flat on the model's grid after the theory shift, (grid.points,)."""
        return regrid(self.energy + theory_shift, self.flat, grid, e0)


DEGRADED = 0.033
"""Structure that a file's own reference channel may leave, in edge steps: labels.csv says
that it is the metal, so one that is thick or broadened counts too."""


def load(element: str, grid: EnergyGrid, where: Path = STANDARDS) -> tuple[Standard, ...]:
    """Every labelled file of an element.

    Parameters
    ----------
    element : str
    grid : EnergyGrid
        The model's; it has a part in how a short scan is normalised.
    where : Path
        Folder of labels.csv and of the files that it names and the package does not ship.
    """
    e0 = K_EDGES[element]
    with (where / "labels.csv").open(encoding="utf-8", newline="") as handle:
        rows = [row for row in csv.DictReader(handle) if row["element"] == element]
    found: list[Standard] = []
    for row in rows:
        energy, mu = _columns(row["file"], element, where)
        foil = row["file"] if row["role"] == "foil" else row["foil"]
        shift = _axis_shift(row["file"], foil, element, where)
        energy = energy + shift
        ranges = coverage(energy, e0, NormalizationRanges(), grid, 0.0, complete=True).ranges
        found.append(
            Standard(
                file=row["file"],
                compound=row["compound"],
                role=row["role"],
                oxidation_state=float(row["oxidation_state"]),
                coordination_number=float(row["coordination_number"]),
                energy=energy,
                flat=normalize(energy, mu, e0, ranges).flat,
                foil=foil,
                shift=shift,
                session=row.get("session", ""),
                labels=(
                    descriptors_of(row["compound"])
                    if row["role"] in {"standard", "suspect"}
                    else unlabelled()
                ),
            )
        )
    return tuple(found)


def foil_shift(file: str, element: str, where: Path = STANDARDS) -> float:
    """What a foil file adds to the axis of its session, eV, as a live scan's reference channel."""
    energy, mu = _columns(file, element, where)
    return calibrate(energy, mu, library_foil(element)).value


def channel_shift(file: str, element: str, where: Path = STANDARDS) -> float:
    """What a file's own reference channel adds to its axis, eV.

    Raises
    ------
    Refused
        ``file`` when it has no reference channel, ``no_foil`` when that is not the metal.
    """
    xdi = read_xdi(_path(file, where))
    reference = xdi.reference()
    if reference is None:
        raise Refused("file", f"{file} has no reference channel")
    energy, mu = _sorted(xdi.energy(), reference, element)
    return calibrate(energy, mu, library_foil(element), DEGRADED).value


def _axis_shift(file: str, foil: str, element: str, where: Path) -> float:
    if foil == CHANNEL:
        return channel_shift(file, element, where)
    return foil_shift(foil, element, where) if foil else 0.0


def _columns(file: str, element: str, where: Path) -> tuple[Floats, Floats]:
    xdi = read_xdi(_path(file, where))
    return _sorted(xdi.energy(), xdi.mu(), element)


def _path(file: str, where: Path) -> Path:
    shipped = folder("profiles/spectra") / file
    return shipped if shipped.is_file() else where / file


def _sorted(energy: Floats, mu: Floats, element: str) -> tuple[Floats, Floats]:
    """Sorted, averaged and cleaned as a live scan's points are."""
    edge = Edge(element, "K", K_EDGES[element])
    spectrum, _ = to_spectrum(energy, mu, edge, "transmission")
    return spectrum.energy, spectrum.mu
