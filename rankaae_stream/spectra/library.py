"""Read the metal foils and the known compounds that ship with the profiles."""

import functools
import tomllib
from dataclasses import replace
from pathlib import Path

import numpy as np

from rankaae_stream import resources
from rankaae_stream.files.read import read_spectrum
from rankaae_stream.spectra.axis import FoilLibrary, KnownCompound, calibrate
from rankaae_stream.spectra.normalize import normalize
from rankaae_stream.spectrum import K_EDGES, Edge, NormalizationRanges

__all__ = ["known_compounds", "library_foil"]

OWN = "own"
"""In the list of compounds: the foil is the file's own reference channel."""
HALF = 0.5
"""Height that an edge is counted from, edge steps."""
WITH_FOIL = 0.25
"""Standard deviation of the shift by a compound whose own axis a foil calibrated, eV: against
the foils of nine spectra of other sessions it was off by 0.0 to 0.4."""
WITHOUT_FOIL = 0.5
"""The same where the compound's own axis is as published, eV."""


@functools.cache
def library_foil(element: str) -> FoilLibrary:
    """Return the shipped foil of an element; its first inflection is at the tabulated edge."""
    foil = read_spectrum(resources.folder("profiles/spectra") / "foils" / f"{element}.xdi")
    edge = Edge(element, "K", K_EDGES[element])
    return FoilLibrary.from_measured(edge, foil.energy, foil.mu, f"foils/{element}.xdi")


@functools.cache
def known_compounds(element: str) -> dict[str, KnownCompound]:
    """Return the shipped compounds of an element on calibrated axes, by name."""
    folder = resources.folder("profiles/spectra")
    table = tomllib.loads((folder / "compounds.toml").read_text(encoding="utf-8"))
    return {
        entry["name"]: _compound(folder, entry)
        for entry in table["compound"]
        if entry["element"] == element
    }


def _compound(folder: Path, entry: dict[str, str]) -> KnownCompound:
    element, foil = entry["element"], entry.get("foil", "")
    edge = Edge(element, "K", K_EDGES[element])
    measured = read_spectrum(folder / entry["file"])
    moved = 0.0
    if foil == OWN and measured.reference is not None:
        moved = calibrate(measured.energy, measured.reference, library_foil(element)).value
    elif foil:
        metal = read_spectrum(folder / foil)
        moved = calibrate(metal.energy, metal.mu, library_foil(element)).value
    energy = measured.energy + moved
    flat = normalize(energy, measured.mu, edge.e0, NormalizationRanges()).flat
    # The edge of an oxide lies some eV above the metal's: shifts are fitted around it.
    above = int(np.flatnonzero(flat < HALF)[-1]) + 1
    middle = replace(
        edge, e0=float(np.interp(HALF, flat[above - 1 :][:2], energy[above - 1 :][:2]))
    )
    spectrum = FoilLibrary(middle, energy, flat, entry["file"], moved)
    return KnownCompound(entry["name"], spectrum, WITH_FOIL if foil else WITHOUT_FOIL)
