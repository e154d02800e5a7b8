"""Calibrate on the measured compounds of all elements together: one element has few.

A model that is built takes what the compounds of the other models showed beside its own,
so eight elements are built twice: the second time, with every trial kept, takes seconds.
"""

from collections.abc import Sequence
from statistics import NormalDist

import numpy as np

from rankaae_stream.model.card import FEWEST_COMPOUNDS
from training.measured.shown import Shown
from training.trials.select import rank_correlation

__all__ = [
    "FALSE_ALARMS",
    "HELD",
    "RANKED",
    "factor",
    "is_shown",
    "levels",
    "poor_fit_limit",
    "unsupported_half",
]

FALSE_ALARMS = 0.05
"""Share of good measured oxides that a flag may strike."""

LEAST = 0.2
"""A network's own error is never nothing."""

FEWEST_FOR_QUANTILE = 9
"""Compounds below which a 90 % quantile is the largest value, and more than that unknown."""

HELD, RANKED = 0.8, 0.5
"""Share of intervals that must hold, and rank correlation, for a descriptor to be shown."""

LEVEL_WIDTH = 0.34
"""Compounds this close to a whole valence count for it: mixed ones for both neighbours hardly."""


def factor(name: str, pool: Sequence[Shown], level: float) -> float:
    """Fit, conformally, what whole half-widths are multiplied by to hold measured compounds.

    The half-width of a compound is made of what simulated compounds call for at its members'
    spread and of what the energy axis changes; the error of a compound that was left out
    contains both. One factor for all elements, because one element has few compounds.

    Parameters
    ----------
    name : str
        Of the descriptor.
    pool : sequence of Shown
    level : float

    Returns
    -------
    float
        At least `LEAST`; at least 1 with fewer than `FEWEST_FOR_QUANTILE` compounds.
    """
    known = [one for one in pool if name in one.error]
    if not known:
        return 1.0
    normal = NormalDist().inv_cdf(0.5 + level / 2)
    widths = [np.hypot(one.half[name], normal * one.axis[name]) for one in known]
    errors = np.abs([one.error[name] for one in known])
    scores = np.sort(errors / np.array(widths))
    rank = int(np.ceil(level * (scores.size + 1)))
    found = float(scores[min(rank, scores.size) - 1])
    return max(found, LEAST if len(known) >= FEWEST_FOR_QUANTILE else 1.0)


def is_shown(own: Sequence[Shown], name: str, widened: float, level: float) -> bool:
    """Tell whether measured compounds support a descriptor, by the card's evidence rule."""
    known = [one for one in own if name in one.error]
    truth = np.array([one.truth[name] for one in known])
    if truth.size < FEWEST_COMPOUNDS or np.ptp(truth) == 0.0:
        return False
    normal = NormalDist().inv_cdf(0.5 + level / 2)
    halves = [widened * np.hypot(one.half[name], normal * one.axis[name]) for one in known]
    missed = sum(abs(one.error[name]) > half for one, half in zip(known, halves, strict=True))
    return bool(
        missed <= max(1.0, (1.0 - HELD) * truth.size)
        and rank_correlation(np.array([one.estimate[name] for one in known]), truth) >= RANKED
    )


def levels(own: Sequence[Shown], valences: Sequence[float]) -> list[dict[str, float | int]]:
    """Count the measured compounds of an element near each valence."""
    states = np.array([one.oxidation_state for one in own])
    return [
        {"value": float(one), "compounds": int(np.sum(np.abs(states - one) < LEVEL_WIDTH))}
        for one in valences
    ]


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
