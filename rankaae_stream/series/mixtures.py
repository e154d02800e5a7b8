"""Resolve a series into its purest spectra and their fractions."""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import combinations
from typing import Any, cast

import numpy as np
from numpy.typing import NDArray

from rankaae_stream.series.axis import JITTER
from rankaae_stream.series.stack import LEAST_NOISE, Stack, second_differences
from rankaae_stream.spectrum import Floats

__all__ = [
    "MOST",
    "Mixtures",
    "count_components",
    "fractions",
    "mix",
    "purest",
    "smooth",
    "sum_to_one",
]

_linalg = cast("Any", np.linalg)  # its functions' types are not known

NO_MIXTURE = 4.0
"""Times the usual misfit at which a spectrum is no mixture of the ends."""

MOST = 4
"""Components that are looked for."""

ABOVE_NOISE = 1.3
"""A component is stronger than the strongest one of the noise by this factor."""

LEAST_SIGMA = 1e-3
"""No fraction is known better than this: what a shift of the axis changes beyond its slope."""

NORMAL = 1.6449
"""Of a 90 % interval."""


@dataclass(frozen=True, slots=True, eq=False)
class Mixtures:
    """A series as mixtures of k spectra.

    Attributes
    ----------
    ends : (k, g) array
        The spectra that are mixed.
    names : tuple of str
        Where they come from.
    fractions, sigma : (n, k) arrays
        Of each spectrum, adding to 1; and their standard deviations.
    valence, half : (n,) arrays
        Fractions times the ends' valences, and the half-width of its 90 % interval.
    residual : (n, g) array
    misfit : (n,) array
        Root mean square of the residual, in units of the noise; about 1 where the fit is good.
    r_factor : (n,) array
        Sum of squared residuals over that of the spectra.
    """

    ends: Floats
    names: tuple[str, ...]
    fractions: Floats
    sigma: Floats
    valence: Floats
    half: Floats
    residual: Floats
    misfit: Floats
    r_factor: Floats

    @property
    def unlike(self) -> NDArray[np.bool_]:
        """Which spectra (n,) are no mixture of the ends, by their misfit; never all."""
        return self.misfit > NO_MIXTURE * max(float(np.median(self.misfit)), 1.0)


def count_components(series: Stack) -> int:
    """Return how many spectra the series is mixed of, from 1 to `MOST`.

    A shift of the axis, another edge step and another slope each look like a component: their
    directions are taken out first. What is left is compared with the differences between
    neighbours, which hold the noise and nothing that changes evenly.
    """
    if len(series.flat) < 3:
        return 1
    mean = series.flat.mean(axis=0)
    nuisances, _ = np.linalg.qr(_nuisances(series.energy, mean).T)
    changes = series.flat - mean
    changes = changes - (changes @ nuisances) @ nuisances.T
    noise = second_differences(series.flat)
    noise = noise - (noise @ nuisances) @ nuisances.T
    rows = len(changes) / max(len(noise), 1)
    floor = float(_strengths(noise)[0]) * np.sqrt(rows)
    floor = max(floor, LEAST_NOISE * np.sqrt(changes.size))
    strong = int(np.sum(_strengths(changes) > ABOVE_NOISE * floor))
    return min(1 + strong, MOST, len(series.flat))


def _strengths(rows: Floats) -> Floats:
    """Return the singular values, strongest first, from the products of the shorter side."""
    products = rows.T @ rows if len(rows) > rows.shape[1] else rows @ rows.T
    return np.sqrt(np.maximum(np.linalg.eigvalsh(products)[::-1], 0.0))


def _nuisances(energy: Floats, mean: Floats) -> Floats:
    """Return what shift, edge step and slope change a spectrum by, (3, g)."""
    above = np.maximum(energy - energy[0], 0.0) / (energy[-1] - energy[0])
    return np.stack([np.gradient(mean, energy), mean, above * mean])


def purest(series: Stack, count: int) -> NDArray[np.intp]:
    """Return the positions (count,) of the spectra that lie farthest apart, in their order.

    The first lies farthest from the mean, each next one farthest from those before it and
    what can be mixed of them. Noise is taken out by what `count` components explain.
    """
    clean = smooth(series.flat, count)
    away = clean - clean.mean(axis=0)
    chosen = [int(np.argmax((away**2).sum(axis=1)))]
    while len(chosen) < count:
        left = clean - fractions(clean, clean[chosen]) @ clean[chosen]
        chosen.append(int(np.argmax((left**2).sum(axis=1))))
    return np.array(sorted(chosen), dtype=np.intp)


def smooth(flat: Floats, count: int, rows: NDArray[np.intp] | None = None) -> Floats:
    """Return spectra, or some rows of them, of what the strongest components explain."""
    mean = flat.mean(axis=0)
    some = flat if rows is None else flat[rows]
    if count < 2:
        return np.broadcast_to(mean, some.shape).copy()
    away = flat - mean
    if len(away) > away.shape[1]:  # the products of energies are the smaller matrix
        right: Floats = _linalg.eigh(away.T @ away)[1][:, ::-1].T
    else:
        right = _linalg.svd(away, full_matrices=False)[2]
    kept = right[: count - 1]
    return mean + ((some - mean) @ kept.T) @ kept


def fractions(flat: Floats, ends: Floats) -> Floats:
    """Return the fractions (n, k), none negative and adding to 1, that fit spectra best.

    Parameters
    ----------
    flat : (n, g) array
    ends : (k, g) array
        At most `MOST`.

    Notes
    -----
    Every choice of ends that take part is solved exactly, and the best that has no negative
    fraction is taken: of four ends there are fifteen.
    """
    n, k = len(flat), len(ends)
    best = np.full(n, np.inf)
    found = np.zeros((n, k))
    for size in range(1, k + 1):
        for chosen in combinations(range(k), size):
            part = ends[list(chosen)]
            share = np.zeros((n, k))
            share[:, chosen] = sum_to_one(flat, part)
            error = ((flat - share @ ends) ** 2).sum(axis=1)
            better = (error < best) & (share >= 0.0).all(axis=1)
            found[better], best[better] = share[better], error[better]
    return found


def sum_to_one(flat: Floats, ends: Floats) -> Floats:
    """Return fractions (n, k) of any sign that add to 1."""
    if len(ends) == 1:
        return np.ones((len(flat), 1))
    others = ends[:-1] - ends[-1]
    share: Floats = _linalg.lstsq(others.T, (flat - ends[-1]).T, rcond=None)[0].T
    return np.column_stack([share, 1.0 - share.sum(axis=1)])


def mix(
    series: Stack,
    ends: Floats,
    names: Sequence[str],
    valences: Floats,
    halves: Floats,
    axis: float = 0.0,
) -> Mixtures:
    """Fit a series as mixtures of given ends, with the uncertainties of the fractions.

    Parameters
    ----------
    series : Stack
    ends : (k, g) array
    names : sequence of str
    valences, halves : (k,) arrays
        Of the ends, and the half-widths of their intervals.
    axis : float, optional
        Standard deviation of the ends' own energy axes, eV.
    """
    share = fractions(series.flat, ends)
    residual = series.flat - share @ ends
    for _ in range(2):  # what an axis explains is told from noise better the second time
        left = series.flat - share @ ends
        flat = series.flat - _jitter(series, ends, share, left, _blur(residual))
        share = fractions(flat, ends)
        residual = flat - share @ ends
    sigma = np.hypot(
        _sigma(series, ends, share, _blur(residual)), _by_ends(series, ends, share, axis)
    )
    by_fractions = NORMAL * np.sqrt(((sigma * (valences - valences.mean())) ** 2).sum(axis=1))
    # The ends err alike, since one model answers them: their halves add as they are mixed.
    half = np.hypot(share @ halves, by_fractions)
    return Mixtures(
        ends=ends,
        names=tuple(names),
        fractions=share,
        sigma=sigma,
        valence=share @ valences,
        half=half,
        residual=residual,
        misfit=np.sqrt(np.mean(residual**2, axis=1)) / series.noise,
        r_factor=(residual**2).sum(axis=1) / (series.flat**2).sum(axis=1),
    )


def _jitters(series: Stack) -> Floats:
    """Return the variance (n,) of each axis beforehand, eV^2."""
    own = np.zeros(len(series.flat)) if series.axis is None else series.axis
    return JITTER**2 + own**2


def _jitter(series: Stack, ends: Floats, share: Floats, left: Floats, blur: float) -> Floats:
    """Return what a small shift of each axis explains of the residuals `left` (n, g).

    Of a shift only that part counts which no other fractions explain, and it is small
    beforehand: no spectrum is aligned to the ends.
    """
    slope: Floats = np.gradient(share @ ends, series.energy, axis=1)
    others = ends[:-1] - ends[-1]
    own = slope
    if len(others):
        inverse: Floats = _linalg.pinv(others)
        own = slope - (slope @ inverse) @ others
    weight: Floats = (own**2).sum(axis=1) + blur / _jitters(series)
    return ((own * left).sum(axis=1) / weight)[:, None] * slope


def _sigma(series: Stack, ends: Floats, share: Floats, blur: float) -> Floats:
    """Return standard deviations (n, k) of fractions, from noise and from jitter of the axis."""
    k = len(ends)
    if k == 1:
        return np.zeros_like(share)
    others = ends[:-1] - ends[-1]
    inverse: Floats = _linalg.pinv(others @ others.T)
    to_all = np.vstack([np.eye(k - 1), -np.ones(k - 1)])  # the last is 1 less the others
    noise = np.diag(to_all @ inverse @ to_all.T) * blur
    slope: Floats = np.gradient(share @ ends, series.energy, axis=1)
    along = slope @ others.T @ inverse
    own = ((slope - along @ others) ** 2).sum(axis=1)
    # What is left of the jitter once the residuals have told their part of it.
    left = blur / (own + blur / _jitters(series))
    return np.sqrt(noise + left[:, None] * (along @ to_all.T) ** 2 + LEAST_SIGMA**2)


def _by_ends(series: Stack, ends: Floats, share: Floats, axis: float) -> Floats:
    """Return standard deviations (n, k) of fractions, from those of the axes of the ends, eV."""
    if len(ends) == 1 or axis == 0.0:
        return np.zeros_like(share)
    slopes: Floats = np.gradient(ends, series.energy, axis=1)
    others = ends[:-1] - ends[-1]
    inverse: Floats = _linalg.pinv(others)
    along = slopes @ inverse
    along = np.column_stack([along, -along.sum(axis=1)])
    return axis * np.sqrt(share**2 @ along**2)


def _blur(residual: Floats) -> float:
    """Return the variance of a point by which fractions err: that of what the fit leaves."""
    each = np.mean(residual**2, axis=1)
    return max(float(np.median(each)), LEAST_NOISE**2) * _correlated(residual)


def _correlated(residual: Floats) -> float:
    """Return by how much neighbours that err alike raise a fit's variance: 1 for white noise."""
    products = residual.T @ residual
    points = residual.shape[1]
    power = float(np.trace(products)) / points
    if power <= 0.0:
        return 1.0
    total = 1.0
    for lag in range(1, points // 4):
        alike = float(np.trace(products, offset=lag)) / (points - lag) / power
        if alike <= 0.0:
            break
        total += 2.0 * alike
    return total
