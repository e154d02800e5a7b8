"""The noun that every source gives: one simulated site, checked."""

from dataclasses import dataclass, field, replace

import numpy as np

from rankaae_stream.errors import ConfigurationError
from rankaae_stream.spectrum import K_EDGES, Floats
from training.descriptors import DESCRIPTORS

__all__ = ["BEGINS", "REACHES", "Site", "SourceError", "checked", "unlabelled"]

BEGINS = 15.0
"""A spectrum has to begin before this, eV from the tabulated edge."""

REACHES = 45.0
"""A spectrum has to reach this, eV from the tabulated edge; FEFF normalises at about +50."""

ABSORBER_AT_ORIGIN = 0.01
"""How far the absorber of a cluster may lie from its origin, Å."""


class SourceError(ConfigurationError):
    """What cannot be read: which file, which row, and what was expected instead."""

    def __init__(self, file: str, problem: str, expected: str, row: str = "") -> None:
        self.file, self.row, self.problem, self.expected = file, row, problem, expected
        where = f"{file}, {row}" if row else file
        super().__init__(f"{where}: {problem}; expected {expected}")


@dataclass(frozen=True, eq=False)
class Site:
    """One absorber with its simulated spectrum.

    Attributes
    ----------
    file, row : str
        Where it was read, for messages.
    element : str
    energy, mu : (n,) arrays
        eV as FEFF gives it, strictly ascending; normalised absorption.
    oxidation_state : float
        Formal valence; NaN where nobody says.
    group : str
        What a split keeps together: the compound's reduced formula where it is known.
    native : bool
        A relaxed geometry in a host of its own metal.
    own_host : bool
        In a host of its own metal, relaxed or rattled; else another metal's place was taken.
    symbols : tuple of n str, xyz : (n, 3) array
        Cluster, absorber first and at the origin, Å; empty where there is no structure.
    labels : (k,) array
        Columns as in `DESCRIPTORS`, used where there is no structure; NaN where undefined.
    """

    file: str
    row: str
    element: str
    energy: Floats
    mu: Floats
    oxidation_state: float
    group: str
    native: bool = True
    own_host: bool = True
    symbols: tuple[str, ...] = ()
    xyz: Floats = field(default_factory=lambda: np.empty((0, 3)))
    labels: Floats = field(default_factory=lambda: np.full(len(DESCRIPTORS), np.nan))


def unlabelled() -> Floats:
    """Return labels of a site of which nothing is known, (k,)."""
    return np.full(len(DESCRIPTORS), np.nan)


def checked(site: Site) -> Site:
    """Check a site and average points at one energy.

    Raises
    ------
    SourceError
        When a number is none, the energies fall, the spectrum does not cover the
        edge, or the cluster does not begin with the absorber.
    """
    energy, mu = site.energy, site.mu
    if energy.ndim != 1 or energy.shape != mu.shape or energy.size < 2:
        raise _error(
            site,
            f"{energy.size} energies and {mu.size} values of mu",
            "as many of one as of the other, at least 2",
        )
    for name, values in (("energy", energy), ("mu", mu)):
        bad = np.flatnonzero(~np.isfinite(values))
        if bad.size:
            raise _error(
                site,
                f"{bad.size} of {values.size} points of {name} are no numbers, "
                f"the first is point {bad[0] + 1}",
                "finite numbers",
            )
    falls = np.flatnonzero(np.diff(energy) < 0)
    if falls.size:
        i = falls[0]
        raise _error(
            site,
            f"the energy falls from {energy[i]:g} to {energy[i + 1]:g} eV at point {i + 2}",
            "ascending energies",
        )
    e0 = K_EDGES[site.element]
    if energy[0] - e0 > BEGINS or energy[-1] - e0 < REACHES:
        raise _error(
            site,
            f"the spectrum spans {energy[0] - e0:+.1f} to {energy[-1] - e0:+.1f} eV from the "
            f"{site.element} K edge at {e0:g} eV",
            f"one that begins before {BEGINS:+g} eV and reaches {REACHES:+g} eV (cut short, "
            "or another element's?)",
        )
    if site.symbols:
        _check_cluster(site)
    if (np.diff(energy) == 0).any():
        points, where, count = np.unique(energy, return_inverse=True, return_counts=True)
        averaged = np.bincount(where, mu) / count
        return replace(site, energy=points, mu=averaged)
    return site


def _check_cluster(site: Site) -> None:
    if len(site.symbols) != len(site.xyz) or not np.isfinite(site.xyz).all():
        raise _error(
            site,
            f"{len(site.symbols)} symbols and coordinates of shape {site.xyz.shape}",
            "three finite coordinates a symbol",
        )
    if site.symbols[0] != site.element:
        raise _error(
            site,
            f"the cluster begins with {site.symbols[0]}",
            f"the absorber {site.element} first",
        )
    if np.linalg.norm(site.xyz[0]) > ABSORBER_AT_ORIGIN:
        raise _error(
            site,
            f"the absorber lies {np.linalg.norm(site.xyz[0]):.2f} Å from the origin",
            "the absorber at the origin",
        )


def _error(site: Site, problem: str, expected: str) -> SourceError:
    return SourceError(site.file, problem, expected, site.row)
