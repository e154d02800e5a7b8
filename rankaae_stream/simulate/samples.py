"""List the measured samples for the simulated beam, and the foils behind them."""

import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import lru_cache
from pathlib import Path
from typing import Literal

import numpy as np

from rankaae_stream.errors import ConfigurationError
from rankaae_stream.files.read import read_spectrum
from rankaae_stream.resources import folder
from rankaae_stream.spectrum import K_EDGES, Edge, Floats

__all__ = ["SERIES", "Curves", "Sample", "curves", "mixture", "series"]

BACKGROUND = 0.4
"""Absorption that is left at a played spectrum's lowest point: matrix, tape, air."""
SAMPLE_STEP, FOIL_STEP = 1.0, 1.5
"""Edge steps that a well-made sample and a foil of a few µm have."""


@dataclass(frozen=True, slots=True)
class Sample:
    """One sample and the foil of the third ion chamber.

    Attributes
    ----------
    name, element, formula : str
    spectrum, foil : str
        XDI files under ``profiles/spectra``; each plays on its own energy axis,
        as measured. A foil of the sample's own session calibrates the sample's axis.
    oxidation_state, coordination_number : float
        Of the compound, as known: mean over the sites of the element.
    role : {"standard", "foil", "other"}
        A foil as a sample is a metal, others are sulfides: outside what oxides teach.
    note : str
        For a foil that is not of the sample's session.
    parts : tuple of (Sample, float)
        Of a mixture: its samples and their shares of the element's atoms; `spectrum` is the
        first one's.
    """

    name: str
    element: str
    formula: str
    spectrum: str
    foil: str
    oxidation_state: float
    coordination_number: float
    role: Literal["standard", "foil", "other"] = "standard"
    note: str = ""
    parts: "tuple[tuple[Sample, float], ...]" = ()

    @property
    def edge(self) -> Edge:
        """Return the K edge that its scan crosses."""
        return Edge(self.element, "K", K_EDGES[self.element])


_TABLE = Path(__file__).with_name("samples.toml").read_text(encoding="utf-8")
SERIES = tuple(Sample(name, **row) for name, row in tomllib.loads(_TABLE).items())
"""Samples in the order of a demonstration; within an element by oxidation state."""


def series(element: str | None = None) -> tuple[Sample, ...]:
    """Return the samples of one element, or all.

    Raises
    ------
    ConfigurationError
        For an element without samples.
    """
    found = tuple(sample for sample in SERIES if element in (None, sample.element))
    if not found:
        known = ", ".join(dict.fromkeys(sample.element for sample in SERIES))
        raise ConfigurationError(f"no sample of {element} is shipped; there are {known}")
    return found


def mixture(name: str, parts: Mapping[Sample, float]) -> Sample:
    """Return a mixture of samples of one element by their shares of its atoms.

    Parameters
    ----------
    name : str
    parts : mapping of float
        Shares, 0 to 1, that add to 1; the mixture has the energies and the foil of the first.

    Raises
    ------
    ConfigurationError
        Where the shares do not add to 1, or the samples were not measured beside one foil: only
        that puts them on one axis.
    """
    first = next(iter(parts))
    if abs(sum(parts.values()) - 1.0) > 1e-9 or min(parts.values()) < 0:
        raise ConfigurationError(f"the shares of {name} must add to 1, not {[*parts.values()]}")
    if len({sample.foil for sample in parts}) > 1:
        raise ConfigurationError(
            f"the samples of {name} were measured beside several foils; mix samples that share one"
        )
    return replace(
        first,
        name=name,
        formula=" + ".join(sample.formula for sample in parts),
        oxidation_state=sum(share * one.oxidation_state for one, share in parts.items()),
        coordination_number=sum(share * one.coordination_number for one, share in parts.items()),
        parts=tuple(parts.items()),
    )


@dataclass(frozen=True, slots=True, eq=False)
class Curves:
    """Absorption in the beam, ready to be interpolated.

    Attributes
    ----------
    energy, mu : (n,) arrays
        The sample's file, eV, with mu scaled to an absorption that transmits.
    foil_energy, foil_mu : (m,) arrays
        The foil's, on its own file's axis.
    """

    energy: Floats
    mu: Floats
    foil_energy: Floats
    foil_mu: Floats

    @property
    def span(self) -> tuple[float, float]:
        """Return the lowest and highest energy of the sample's file, eV."""
        return float(self.energy[0]), float(self.energy[-1])

    def at(self, energy: float) -> tuple[float, float]:
        """Return mu of sample and foil at one energy; end values outside a file's range."""
        return (
            float(np.interp(energy, self.energy, self.mu)),
            float(np.interp(energy, self.foil_energy, self.foil_mu)),
        )


@lru_cache(maxsize=32)
def curves(sample: Sample) -> Curves:
    """Read a sample's and its foil's files; those of a mixture's parts are added by their shares.

    mu as published has any height and offset: a transmission file omits the
    detectors' gains, and some tables are scaled. It is scaled here to a usual
    edge step above a background that lets the beam through.

    Raises
    ------
    Refused
        When a file cannot be read as XDI.
    """
    if sample.parts:
        return _mixed([(curves(part), share) for part, share in sample.parts])
    energy, mu = _played(sample.spectrum, sample.edge.e0, SAMPLE_STEP)
    foil_energy, foil_mu = _played(sample.foil, sample.edge.e0, FOIL_STEP)
    return Curves(energy, mu, foil_energy, foil_mu)


def _mixed(parts: list[tuple[Curves, float]]) -> Curves:
    """Add spectra with equal edge steps, where all were measured."""
    first = parts[0][0]
    low, high = max(one.span[0] for one, _ in parts), min(one.span[1] for one, _ in parts)
    energy = first.energy[(first.energy >= low) & (first.energy <= high)]
    mu: Floats = np.zeros_like(energy)
    for one, share in parts:
        mu = mu + share * np.interp(energy, one.energy, one.mu)
    return replace(first, energy=energy, mu=mu)


def _played(file: str, e0: float, step: float) -> tuple[Floats, Floats]:
    xdi = read_spectrum(folder("profiles/spectra") / file)
    order = np.argsort(xdi.energy, kind="stable")
    energy, mu = xdi.energy[order], xdi.mu[order]
    before = mu[(energy > e0 - 60) & (energy < e0 - 20)].mean()
    after = mu[(energy > e0 + 40) & (energy < e0 + 160)].mean()
    near = np.abs(energy - e0) < 200  # the EXAFS part is never scanned here
    scaled = (mu - mu[near].min()) * step / (after - before) + BACKGROUND
    return energy, scaled
