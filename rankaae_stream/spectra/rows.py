"""Compute with many spectra at once, a row each, whose parts may differ from row to row.

What rows share (an axis, a mask) may have one row for all. No row's result depends on the others.
"""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from rankaae_stream.spectrum import Floats

__all__ = ["Between", "between", "median_of"]


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
        elif len(values) == 1:
            low, high = (np.moveaxis(values[0][:, at], 0, 1) for at in (left, left + 1))
        else:
            low, high = (np.take_along_axis(values, at[:, None], -1) for at in (left, left + 1))
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
    lefts: list[NDArray[np.intp]] = []
    alongs: list[Floats] = []
    for i in range(max(len(axes), len(at))):
        axis, wanted = axes[min(i, len(axes) - 1)], at[min(i, len(at) - 1)]
        before = axis.searchsorted(wanted, "right") - 1
        left = np.minimum(np.maximum(before, 0), axis.size - 2)
        along = (wanted - axis[left]) / (axis[left + 1] - axis[left])
        lefts.append(left)
        alongs.append(np.minimum(np.maximum(along, 0.0), 1.0))
    return Between(np.array(lefts), np.array(alongs))


def median_of(values: Floats, used: NDArray[np.bool_] | None = None) -> Floats:
    """Return the median of the used values of each row (k, n), inf where there is none, (k,).

    Examples
    --------
    >>> median_of(np.array([[3.0, 1.0, 9.0]]), np.array([[True, True, False]])).tolist()
    [2.0]
    """
    if used is not None and used.all():
        used = None
    if used is None:
        ordered, count = np.sort(values, axis=1), values.shape[1]
        return 0.5 * (ordered[:, max(count - 1, 0) // 2] + ordered[:, count // 2])
    ordered, count = np.sort(np.where(used, values, np.inf), axis=1), used.sum(axis=1)
    rows = np.arange(len(values))
    return 0.5 * (ordered[rows, np.maximum(count - 1, 0) // 2] + ordered[rows, count // 2])
