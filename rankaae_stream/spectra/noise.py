"""Estimate the noise of single points from a spectrum itself."""

from functools import lru_cache

import numpy as np

from rankaae_stream.spectra.rows import NO_POINT, median_of, points_of
from rankaae_stream.spectrum import Floats

__all__ = ["drawn_on", "point_noise", "point_noises"]

STEEP = (-15.0, 30.0)
"""Where a spectrum bends too much to tell noise from structure, eV from the tabulated edge."""

FEWEST = 8
"""Points that an estimate needs outside `STEEP`; with fewer all points take part."""


def point_noise(energy: Floats, mu: Floats, e0: float) -> float:
    """Return the standard deviation of the noise of one point, in the unit of `mu`.

    Parameters
    ----------
    energy, mu : (n,) arrays
        Strictly increasing energies, eV, and absorption.
    e0 : float
        Tabulated edge, eV.

    Returns
    -------
    float
        0 where there are fewer than four points.

    Notes
    -----
    From the distance of each point to the line between its neighbours, whose variance is that
    of a point times 1 + w^2 + (1 - w)^2; the median of the absolute values is not moved by a
    glitch. Structure of the spectrum adds to it, so the estimate is rather too large.

    Examples
    --------
    >>> energy = np.arange(7000.0, 7600.0, 2.0)
    >>> noise = np.random.default_rng(0).normal(0.0, 0.01, energy.size)
    >>> bool(abs(point_noise(energy, 0.001 * energy + noise, 7112.0) - 0.01) < 0.002)
    True
    """
    return float(point_noises(energy, mu[None], e0)[0])


def point_noises(energy: Floats, mu: Floats, e0: float | Floats) -> Floats:
    """Return the noise (k,) of spectra (k, n); see `point_noise`.

    On energies (n,) or (1, n), or (k, n) filled up as `rows` says. `e0` may be (k,): where the
    tabulated edge lies on the axis of each.
    """
    energy = np.atleast_2d(energy)
    distance = energy[:, 1:] - energy[:, :-1]
    left, right = distance[:, :-1], distance[:, 1:]
    share = right / (left + right)  # of the left neighbour
    off = mu[:, 1:-1] - share * mu[:, :-2] - (1.0 - share) * mu[:, 2:]
    scaled = np.abs(off) / np.sqrt(1.0 + share**2 + (1.0 - share) ** 2)
    relative = energy[:, 1:-1] - np.reshape(e0, (-1, 1))
    calm = (relative < STEEP[0]) | (relative > STEEP[1])
    there = energy[:, 2:] < NO_POINT
    calm &= there
    calm |= there & (calm.sum(axis=1, keepdims=True) < FEWEST)
    return np.where(points_of(energy) < 4, 0.0, median_of(scaled, calm) / 0.6745)


def drawn_on(axes: Floats, copies: int) -> Floats:
    """Return noise for each point of axes (p, n): (p, copies, n), or (1, copies, n) for all."""
    points = points_of(axes)
    if (points == axes.shape[1]).all():
        return _drawn(copies, axes.shape[1])[None]
    found = np.zeros((len(axes), copies, axes.shape[1]))
    for row, count in zip(found, points.tolist(), strict=True):
        row[:, :count] = _drawn(copies, count)
    return found


@lru_cache(maxsize=64)
def _drawn(copies: int, points: int) -> Floats:
    """Return noise (copies, points) of standard deviation 1, the same for the same arguments."""
    return np.resize(_DRAWN, (copies, points))


_DRAWN = np.random.default_rng(0).standard_normal(10_007)
"""Drawn once: a generator a spectrum would cost more than the answer of its copies. A prime, so
that no two rows are alike."""
