"""Read the metal foils that ship with the profiles."""

import functools

from rankaae_stream import resources
from rankaae_stream.files.read import read_spectrum
from rankaae_stream.spectra.axis import FoilLibrary
from rankaae_stream.spectrum import K_EDGES, Edge

__all__ = ["library_foil"]


@functools.cache
def library_foil(element: str) -> FoilLibrary:
    """Return the shipped foil of an element; its first inflection is at the tabulated edge."""
    foil = read_spectrum(resources.folder("profiles/spectra") / "foils" / f"{element}.xdi")
    edge = Edge(element, "K", K_EDGES[element])
    return FoilLibrary.from_measured(edge, foil.energy, foil.mu, f"foils/{element}.xdi")
