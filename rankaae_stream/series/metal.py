"""Find the metal in the spectra that a series is mixed of: its valence is 0, whatever a model of
oxides says.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from rankaae_stream.analysis import Analysis
from rankaae_stream.errors import Refused
from rankaae_stream.report import Flag
from rankaae_stream.series.mixtures import fractions, sum_to_one
from rankaae_stream.spectra.normalize import normalize
from rankaae_stream.spectrum import Edge, Floats

__all__ = ["Metal", "find_metal", "foil_curves", "metal_flag"]

SHIFTS = np.arange(-15, 16) / 10.0
"""Shifts of the foil that are tried, eV: axes without a foil differ by so much."""

UNEXPLAINED = 0.2
"""Part of an end's difference from the others that the foil may leave unexplained: .003 to .02 for
.1 to 1 of metal in 19 compounds, .41 and more for 44 pairs of compounds without metal."""

LEAST_SHARE = 0.03
"""A smaller share of metal is not reported."""

NEGATIVE = 0.05
"""Fractions that noise may make negative."""

SURELY = 5.0
"""An end differs from the others by so many times the noise."""

NARROWEST = 0.05
"""Smallest half-width of a metal's valence, e: foils differ by thickness and oxide on them."""


@dataclass(frozen=True, slots=True, eq=False)
class Metal:
    """One of the ends as a mixture of the others and the metal.

    `others` (k - 1,) are their fractions in it, `share` that of the metal, `unexplained` what it
    leaves of the difference from the others.
    """

    end: int
    others: Floats
    share: float
    unexplained: float

    def valence(self, valences: Floats, halves: Floats) -> tuple[float, float]:
        """Return the end's valence and half-width, by those of all ends."""
        rest = np.delete(valences, self.end)
        value = float(self.others @ rest)
        by_others = float(self.others @ np.delete(halves, self.end))
        by_share = self.unexplained * self.share * float(np.abs(rest).max())
        return value, max(math.hypot(by_others, 1.6449 * by_share), NARROWEST)


def foil_curves(analysis: Analysis, edge: Edge, energy: Floats) -> Floats | None:
    """Return the library foil (s, g) at all `SHIFTS` as reports show it; None where it is short."""
    foil, model = analysis.foils.get(str(edge)), analysis.models.get(str(edge))
    if foil is None or model is None:
        return None
    card = model.card
    try:
        flat = normalize(foil.energy, foil.mu, edge.e0, card.normalization).flat
    except Refused:
        return None
    axis = foil.energy + card.theory_shift.value
    return np.stack([np.interp(energy, axis + shift, flat) for shift in SHIFTS])


def find_metal(ends: Floats, foils: Floats, noise: float) -> Metal | None:
    """Return which end contains the metal, and how much; None where none does.

    Parameters
    ----------
    ends : (k, g) array
        Two or more.
    foils : (s, g) array
        The foil at several shifts.
    noise : float
        Standard deviation of a point.
    """
    found = [one for i in range(len(ends)) if (one := _in_one(ends, i, foils, noise)) is not None]
    return min(found, key=lambda one: one.unexplained, default=None)


def _in_one(ends: Floats, place: int, foils: Floats, noise: float) -> Metal | None:
    end, others = ends[place][None], np.delete(ends, place, axis=0)
    away = _power(end - fractions(end, others) @ others)
    if away < (SURELY * noise) ** 2:
        return None
    best: Metal | None = None
    for foil in foils:
        parts = np.vstack([others, foil])
        share = sum_to_one(end, parts)
        if share.min() < -NEGATIVE or share[0, -1] < LEAST_SHARE:
            continue
        left = math.sqrt(_power(end - share @ parts) / away)
        if left <= UNEXPLAINED and (best is None or left < best.unexplained):
            within = np.clip(share[0], 0.0, 1.0)
            within = within / within.sum()
            best = Metal(place, within[:-1], float(within[-1]), left)
    return best


def _power(rest: Floats) -> float:
    return float(np.mean(rest**2))


def metal_flag(found: Metal, names: Sequence[str], element: str, value: float) -> Flag:
    """Say in words which end contains metal."""
    return Flag(
        "metal",
        "info",
        found.share,
        "1",
        f"{names[found.end]} is to {found.share:.0%} {element} metal beside the other components: "
        f"its valence counts as {value:.2f}, by the foil and not by the model of oxides",
    )
