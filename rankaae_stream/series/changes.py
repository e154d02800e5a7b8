"""Find where a series changes its course, and whether repeats drift."""

from dataclasses import dataclass

import numpy as np

from rankaae_stream.series.stack import second_differences
from rankaae_stream.spectrum import Floats

__all__ = ["Change", "Drift", "change_points", "drift", "scatter"]

SHORTEST = 4
"""Points of a piece: two more than its line has parameters."""

PENALTY = 4.0
"""A further piece must lower the sum of squares by this times variance times log(n): three
parameters, by the Bayesian information criterion, and one more against chance."""

_DEGREES = np.array([1, 2, 3, 4, 5, 6, 8, 10, 15, 20, 30, 60, 1e9])
_STUDENT = np.array(
    [63.66, 9.925, 5.841, 4.604, 4.032, 3.707, 3.355, 3.169, 2.947, 2.845, 2.750, 2.660, 2.576]
)
"""Two-sided 1 % quantiles of Student's t."""


@dataclass(frozen=True, slots=True)
class Change:
    """A place where a series changes its course.

    `at` is the first position of the new piece, `within` how far off it may be; `before` and
    `after` the slopes a position.
    """

    at: int
    within: int
    before: float
    after: float


@dataclass(frozen=True, slots=True)
class Drift:
    """How a value moves over repeats.

    `rate` a repeat, its standard deviation `sigma`; `sure` where it is beyond chance at 1 %;
    `start` is the value before the first, its standard deviation `start_sigma`.
    """

    rate: float
    sigma: float
    sure: bool
    start: float
    start_sigma: float


def change_points(values: Floats, sigma: float | None = None) -> list[Change]:
    """Split a series into pieces of straight lines, as few as its scatter allows.

    Parameters
    ----------
    values : (n,) array
    sigma : float, optional
        Standard deviation of a value; else from second differences.
    """
    n = values.size
    if n < 2 * SHORTEST:
        return []
    spread = sigma if sigma is not None else scatter(values)
    cost = _costs(values)
    fine = PENALTY * spread**2 * np.log(n)
    best = np.full(n + 1, np.inf)
    best[0], came = -fine, np.zeros(n + 1, dtype=int)
    for stop in range(SHORTEST, n + 1):
        starts = np.arange(stop - SHORTEST + 1)
        total = best[starts] + cost[starts, stop - 1] + fine
        came[stop] = int(np.argmin(total))
        best[stop] = total[came[stop]]
    ends = [n]
    while ends[-1] > 0:
        ends.append(int(came[ends[-1]]))
    ends = ends[::-1]
    return [
        _change(values, cost, left, at, right, spread)
        for left, at, right in zip(ends, ends[1:], ends[2:], strict=False)
    ]


def _change(values: Floats, cost: Floats, left: int, at: int, right: int, spread: float) -> Change:
    places = np.arange(left + SHORTEST, right - SHORTEST + 1)
    total = cost[left, places - 1] + cost[places, right - 1]
    near = places[total <= total.min() + 2.7 * spread**2]  # 90 % of one parameter
    within = int(max(abs(near - at).max(), 1)) if near.size else 1
    before, after = (
        float(np.polyfit(np.arange(b - a), values[a:b], 1)[0]) for a, b in ((left, at), (at, right))
    )
    return Change(at, within, before, after)


def _costs(values: Floats) -> Floats:
    """Return the sum of squares (n, n) that the line through each piece leaves."""
    n = values.size
    x = np.arange(n, dtype=float)
    sums = [
        np.concatenate([[0.0], np.cumsum(one)]) for one in (x, x**2, values, values**2, x * values)
    ]
    start, stop = np.arange(n)[:, None], np.arange(1, n + 1)[None, :]
    count = np.maximum(stop - start, 1)
    sx, sxx, sy, syy, sxy = (one[stop] - one[start] for one in sums)
    spread = np.maximum(sxx - sx**2 / count, 1e-12)
    left = syy - sy**2 / count - (sxy - sx * sy / count) ** 2 / spread
    return np.where(stop > start, np.maximum(left, 0.0), np.inf)


def scatter(values: Floats) -> float:
    """Return the standard deviation of a value about a smooth course, from second differences."""
    if values.size < 3:
        return 1e-9
    second = np.abs(second_differences(values[:, None]))
    return max(float(np.median(second)) / 0.6745, 1e-9)


def drift(values: Floats) -> Drift | None:
    """Return the straight trend of repeats; None with fewer than five.

    Beam damage has either sign, so both are looked for.
    """
    n = values.size
    if n < 5:
        return None
    x = np.arange(n, dtype=float)
    off = x - x.mean()
    rate = float(off @ values / (off @ off))
    left = values - values.mean() - rate * off
    variance = max(float(left @ left) / (n - 2), 1e-18)
    sigma = float(np.sqrt(variance / (off @ off)))
    start = float(values.mean() - rate * (x.mean() + 0.5))
    start_sigma = float(np.sqrt(variance / n + (sigma * (x.mean() + 0.5)) ** 2))
    limit = float(np.interp(1.0 / (n - 2), 1.0 / _DEGREES[::-1], _STUDENT[::-1]))
    return Drift(rate, sigma, abs(rate) > limit * sigma, start, start_sigma)
