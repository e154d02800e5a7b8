"""Compute with many spectra at once, a row each, whose parts may differ from row to row.

What rows share (an axis, a mask) may have one row for all. Rows that are shorter than others are
filled up: energies from `NO_POINT` on are no points. No row's result depends on the others.
"""

from collections.abc import Sequence
from typing import Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray

from rankaae_stream.spectrum import Floats

__all__ = [
    "NO_POINT",
    "Between",
    "Window",
    "below",
    "between",
    "filled",
    "median_of",
    "median_within",
    "on_like_axes",
    "ordered_within",
    "points_of",
]

NO_POINT = 1e6
"""Energies from here on only make a row as long as others, eV: no edge lies as far."""

FEWEST_ALIKE = 4
"""Spectra on one axis that are worth a group of their own."""


def on_like_axes(energies: Sequence[Floats]) -> list[tuple[list[int], Floats]]:
    """Group spectra, so that each group can be computed at once.

    Parameters
    ----------
    energies : sequence of (n,) arrays
        Of different lengths, eV.

    Returns
    -------
    list of (indices, axes)
        `axes` is (1, n) where all of a group have the same, else (k, n), filled up.

    Examples
    --------
    >>> short, long = np.array([1.0, 2.0]), np.array([1.0, 2.0, 3.0])
    >>> ((indices, axes),) = on_like_axes([short, long])
    >>> indices, points_of(axes).tolist()
    ([0, 1], [2, 3])
    """
    if len(energies) == 1:
        return [([0], energies[0][None])]
    same: dict[bytes, list[int]] = {}
    for i, energy in enumerate(energies):
        same.setdefault(energy.tobytes(), []).append(i)
    if len(same) == 1:
        return [(list(range(len(energies))), energies[0][None])]
    found = [
        (group, energies[group[0]][None]) for group in same.values() if len(group) >= FEWEST_ALIKE
    ]
    others = [i for group in same.values() if len(group) < FEWEST_ALIKE for i in group]
    if others:
        found.append((others, _axes([energies[i] for i in others])))
    return found


def _axes(energies: Sequence[Floats]) -> Floats:
    longest = max(energy.size for energy in energies)
    found = np.empty((len(energies), longest))
    # Ten times as far, so that no shift of an axis brings one back; increasing as energies do.
    found[:] = 10.0 * NO_POINT + np.arange(longest)
    for row, energy in zip(found, energies, strict=True):
        row[: energy.size] = energy
    return found


def filled(values: Sequence[Floats], length: int) -> Floats:
    """Return values of spectra as rows (k, length): the last of each stands on to the end."""
    if all(each.size == length for each in values):
        return np.array(values)
    found = np.empty((len(values), length))
    for row, each in zip(found, values, strict=True):
        row[: each.size] = each
        row[each.size :] = each[-1]
    return found


def points_of(axes: Floats) -> NDArray[np.intp]:
    """Return how many points each of some axes (p, n) has, (p,)."""
    if len(axes) == 1:  # Nobody is there to be as long as.
        return np.array(axes.shape[1:])
    return (axes < NO_POINT).sum(axis=1)


def below(axes: Floats, at: Floats, side: Literal["left", "right"] = "left") -> NDArray[np.intp]:
    """Return how many points of axes (p, n) lie below energies (q,), or at them; p or q may be 1.

    `side` is that of an energy on which those at it lie: "right" counts them.
    """
    if len(axes) == 1:
        return axes[0].searchsorted(at, side)
    wanted = at[:, None]
    return (axes < wanted if side == "left" else axes <= wanted).sum(axis=1)


class Window(NamedTuple):
    """Points `first` to the one before `stop` of each row, (q,); q is 1 where all have the same.

    `part` holds the windows of all rows, and a point more; `ends` (q, 2) are first and stop in it.
    """

    first: NDArray[np.intp]
    stop: NDArray[np.intp]
    part: slice
    ends: NDArray[np.intp]

    @classmethod
    def between(cls, first: NDArray[np.intp], stop: NDArray[np.intp]) -> "Window":
        """Return the window of points `first` to the one before `stop`, each (q,)."""
        part = slice(int(first.min()), int(stop.max()) + 1)
        ends = np.empty((len(first), 2), dtype=np.intp)
        ends[:, 0], ends[:, 1] = first - part.start, stop - part.start
        return cls(first, stop, part, ends)

    def sums(self, values: Floats) -> Floats:
        """Sum each row of `part` (k, w) over its window alone: (k, 1)."""
        rows = max(len(values), len(self.first))
        if len(values) < rows:
            values = values.repeat(rows, axis=0)
        ends = self.ends
        if rows > 1:
            ends = ends + values.shape[1] * np.arange(rows)[:, None]
        return np.add.reduceat(values.ravel(), ends.ravel())[::2, None]


class Between(NamedTuple):
    """Where positions lie between the points of p axes; p is 1 where all rows share one.

    `left` (p, g), the point before each; `along` (p, g), how far behind it, in distances to the
    next point.
    """

    left: NDArray[np.intp]
    along: Floats

    def first(self, count: int) -> "Between":
        """Return the first positions of each axis only."""
        return Between(self.left[:, :count], self.along[:, :count])

    def of(self, values: Floats) -> Floats:
        """Interpolate rows (k, m, n) linearly, m on each axis, or (1, m, n) on all."""
        left = self.left
        if len(left) == 1:
            low, high = values[..., left[0]], values[..., left[0] + 1]
        else:
            every = values.ravel()
            first = np.arange(0, every.size, values.shape[2], dtype=np.intp)
            at = left[:, None] + first.reshape(len(values), -1, 1)
            low, high = every.take(at), every.take(at + 1)
        return low + self.along[:, None] * (high - low)


def between(axes: Floats, at: Floats) -> Between:
    """Find positions on axes; beyond an axis the value at its end holds.

    Parameters
    ----------
    axes : (p, n) array
        Strictly increasing, eV; one row, or one for each row of what is interpolated.
    at : (1, g) or (q, g) array
        Positions, eV.

    Examples
    --------
    >>> found = between(np.array([[0.0, 1.0, 3.0]]), np.array([[-1.0, 0.5, 2.0]]))
    >>> found.of(np.array([[[0.0, 2.0, 6.0]], [[1.0, 1.0, 1.0]]])).tolist()
    [[[0.0, 1.0, 4.0]], [[1.0, 1.0, 1.0]]]
    """
    if len(axes) == 1:
        before, offset = axes[0].searchsorted(at, "right"), 0
    else:
        before = np.empty((len(axes), at.shape[1]), dtype=np.intp)
        for i, (axis, row) in enumerate(zip(axes, before, strict=True)):
            row[:] = axis.searchsorted(at[min(i, len(at) - 1)], "right")
        offset = axes.shape[1] * np.arange(len(axes))[:, None]
    left = np.minimum(np.maximum(before - 1, 0), points_of(axes)[:, None] - 2)
    every, here = axes.ravel(), left + offset
    start = every.take(here)
    along = (at - start) / (every.take(here + 1) - start)
    return Between(left, np.minimum(np.maximum(along, 0.0), 1.0))


def median_of(values: Floats, used: NDArray[np.bool_] | None = None) -> Floats:
    """Return the median of the used values of each row (k, n), inf where there is none, (k,).

    Examples
    --------
    >>> median_of(np.array([[3.0, 1.0, 9.0]]), np.array([[True, True, False]])).tolist()
    [2.0]
    """
    if used is None:
        return _middle(np.sort(values, axis=1), values.shape[1])
    return _middle(np.sort(np.where(used, values, np.inf), axis=1), used.sum(axis=1))


def ordered_within(values: Floats, first: NDArray[np.intp], stop: NDArray[np.intp]) -> Floats:
    """Return values of rows (k, n) in ascending order, then inf.

    Those of points `first` to the one before `stop`, (k,) or, of all rows, (1,).
    """
    if len(first) == 1:
        return np.sort(values[:, int(first[0]) : int(stop[0])], axis=1)
    low, high = int(first.min()), int(stop.max())
    at = np.arange(low, high)
    used = (at >= first[:, None]) & (at < stop[:, None])
    return np.sort(np.where(used, values[:, low:high], np.inf), axis=1)


def median_within(values: Floats, first: NDArray[np.intp], stop: NDArray[np.intp]) -> Floats:
    """Return the median (k,) of some points of each row, inf where these are none.

    Parameters are those of `ordered_within`.
    """
    ordered, count = ordered_within(values, first, stop), stop - first
    return _middle(ordered, count if len(count) > 1 else int(count[0]))


def _middle(ordered: Floats, count: NDArray[np.intp] | int) -> Floats:
    """Return the median (k,) of the first `count` of ascending values (k, n), inf if none."""
    if not ordered.shape[1]:
        return np.full(len(ordered), np.inf)
    if isinstance(count, int):
        return 0.5 * (ordered[:, max(count - 1, 0) // 2] + ordered[:, count // 2])
    rows = np.arange(len(ordered))
    return 0.5 * (ordered[rows, np.maximum(count - 1, 0) // 2] + ordered[rows, count // 2])
