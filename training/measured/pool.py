"""Calibrate on the measured compounds of all elements together: one element has few.

A model that is built takes what the compounds of the other models showed beside its own,
so eight elements are built twice: the second time, with every trial kept, takes seconds.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from rankaae_stream.model.card import FEWEST_COMPOUNDS, MonotoneMap
from rankaae_stream.model.intervals import calibrated
from rankaae_stream.spectrum import Floats
from training.measured.shown import Shown
from training.trials.select import rank_correlation

__all__ = [
    "FALSE_ALARMS",
    "FEWEST_FOR_QUANTILE",
    "HELD",
    "RANKED",
    "Calibration",
    "calibration",
    "is_shown",
    "levels",
    "near",
    "poor_fit_limit",
    "unsupported_half",
]

FALSE_ALARMS = 0.05
"""Share of good measured oxides that a flag may strike."""

LEAST = 0.2
"""A network's own error is never nothing."""

FEWEST_FOR_QUANTILE = 9
"""Compounds below which a 90 % quantile is the largest value, and more than that unknown."""

ENOUGH_FOR_GROUPS = 40
"""Compounds from which on flat and steep ones, half of them each, have factors of their own.
With three groups of the 62 of today the middle one held the few that err most, and all of its
intervals were as wide as theirs."""

HELD, RANKED = 0.8, 0.5
"""Share of intervals that must hold, and rank correlation, for a descriptor to be shown."""

LEVEL_WIDTH = 0.34
"""Compounds this close to a whole valence count for it: mixed ones for both neighbours hardly."""


@dataclass(frozen=True, slots=True)
class Calibration:
    """Half-widths that hold measured compounds, by whole ones; see `model.intervals.calibrated`."""

    knots: tuple[float, ...]
    halves: tuple[float, ...]

    def half(self, whole: Floats) -> Floats:
        """Return the half-width at each whole one, of the same shape."""
        return calibrated(MonotoneMap(np.array(self.knots), np.array(self.halves)), whole)

    def at_least_whole(self) -> "Calibration":
        """Return the calibration made nowhere narrower than the whole half-width."""
        return Calibration(self.knots, tuple(np.maximum(self.halves, self.knots)))


def calibration(name: str, pool: Sequence[Shown], level: float) -> Calibration:
    """Fit, conformally, half-widths that hold measured compounds to the whole ones.

    The whole half-width of a compound is made of what simulated compounds call for at its
    members' spread and of what the energy axis changes; the error of a compound that was left
    out contains both. Compounds of all elements together, because one element has few. Where
    the estimate hardly answers to anything, simulation overrates the error; so compounds are
    halved by their whole half-width, and each half has its own quantile.

    Parameters
    ----------
    name : str
        Of the descriptor.
    pool : sequence of Shown
    level : float

    Returns
    -------
    Calibration
        A factor of at least `LEAST` in each group; of at least 1 with fewer than
        `FEWEST_FOR_QUANTILE` compounds.
    """
    known = [one for one in pool if name in one.error]
    if not known:
        return Calibration((1.0,), (1.0,))
    whole = np.array([one.whole(name, level) for one in known])
    scores = np.abs([one.error[name] for one in known]) / whole
    least = LEAST if len(known) >= FEWEST_FOR_QUANTILE else 1.0
    order = np.argsort(whole, kind="stable")
    knots, halves = list[float](), list[float]()
    for rows in np.array_split(order, 2 if len(known) >= ENOUGH_FOR_GROUPS else 1):
        ranked = np.sort(scores[rows])
        rank = min(int(np.ceil(level * (rows.size + 1))), rows.size)
        knots.append(float(np.median(whole[rows])))
        halves.append(max(float(ranked[rank - 1]), least) * knots[-1])
    return Calibration(tuple(knots), tuple(np.maximum.accumulate(halves)))


def is_shown(own: Sequence[Shown], name: str, fitted: Calibration, level: float) -> bool:
    """Tell whether measured compounds support a descriptor, by the card's evidence rule."""
    known = [one for one in own if name in one.error]
    truth = np.array([one.truth[name] for one in known])
    if truth.size < FEWEST_COMPOUNDS or np.ptp(truth) == 0.0:
        return False
    halves = fitted.half(np.array([one.whole(name, level) for one in known]))
    missed = sum(abs(one.error[name]) > half for one, half in zip(known, halves, strict=True))
    return bool(
        missed <= max(1.0, (1.0 - HELD) * truth.size)
        and rank_correlation(np.array([one.estimate[name] for one in known]), truth) >= RANKED
    )


def levels(own: Sequence[Shown], valences: Sequence[float]) -> list[dict[str, float | int]]:
    """Count the measured compounds of an element near each valence, each once."""
    counts = [len({shown.compound for shown in near(own, one)}) for one in valences]
    return [
        {"value": float(one), "compounds": count}
        for one, count in zip(valences, counts, strict=True)
    ]


def near(own: Sequence[Shown], valence: float) -> list[Shown]:
    """Return the compounds that count for a whole valence, see `LEVEL_WIDTH`."""
    return [one for one in own if abs(one.oxidation_state - valence) < LEVEL_WIDTH]


def unsupported_half(pool: Sequence[Shown], level: float) -> float:
    """Return the half-width of a valence that few compounds show: others' left-out errors."""
    errors = sorted(abs(one.error["oxidation_state"]) for one in pool if one.error)
    if not errors:
        return 0.0
    rank = int(np.ceil(level * (len(errors) + 1)))
    return float(errors[min(rank, len(errors)) - 1])


def poor_fit_limit(pool: Sequence[Shown]) -> float:
    """Return the misfit that `FALSE_ALARMS` of good measured oxides exceed, edge steps."""
    return float(np.quantile([one.misfit for one in pool], 1.0 - FALSE_ALARMS)) if pool else np.inf
