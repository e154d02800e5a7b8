"""From ranks to physical numbers: monotone maps, intervals, and the theory shift.

Numpy only: training calls it when a model is exported, a beamline may call it
with standards of its own.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from rankaae_stream.card import MonotoneMap
from rankaae_stream.spectrum import AXIS_UNCERTAINTY, Floats

__all__ = [
    "ShiftFit",
    "ShiftScan",
    "absolute_quantile",
    "apply_map",
    "fit_monotone",
    "fit_theory_shift",
    "leave_one_compound_out",
]

RESAMPLES = 200
"""Bootstrap samples behind the theory shift's uncertainty."""

AGREEMENT = 0.5
"""Two optima of the theory shift closer than this agree, eV."""


def fit_monotone(latent: Floats, value: Floats, weights: Floats | None = None) -> MonotoneMap:
    """Least-squares non-decreasing map from a latent to its descriptor.

    Pool-adjacent-violators (R. E. Barlow et al., Statistical Inference under
    Order Restrictions, 1972). Each pooled block gives one knot, at the block's
    mean latent with its mean value, so that between two valences the map rises
    in a line instead of a jump: mixed valences lie there.

    Parameters
    ----------
    latent, value : (n,) arrays
        Any order; NaN values are left out.
    weights : (n,) array, optional
        Positive.

    Returns
    -------
    MonotoneMap
        Knots strictly increasing in latent, non-decreasing in value, at least two.

    Raises
    ------
    ValueError
        With fewer than two different latents.

    Examples
    --------
    >>> fitted = fit_monotone(np.array([0.0, 1.0, 2.0, 3.0]), np.array([2.0, 2.0, 4.0, 3.0]))
    >>> fitted.latent, fitted.value
    (array([0.5, 2.5]), array([2. , 3.5]))
    """
    weight = np.ones_like(latent) if weights is None else weights
    known = np.isfinite(value) & np.isfinite(latent) & (weight > 0)
    points, where = np.unique(latent[known], return_inverse=True)
    if points.size < 2:
        raise ValueError(f"a monotone map needs two different latents, got {points.size}")
    mass: Floats = np.bincount(where, weight[known]).astype(np.float64)
    mean = np.bincount(where, weight[known] * value[known]) / mass
    blocks = _pool(mean, mass)
    knot = np.array([np.average(points[a:b], weights=mass[a:b]) for a, b in blocks])
    level = np.array([np.average(mean[a:b], weights=mass[a:b]) for a, b in blocks])
    if knot.size == 1:
        return MonotoneMap(points[[0, -1]], np.repeat(level, 2))
    return MonotoneMap(knot, level)


def _pool(value: Floats, weight: Floats) -> list[tuple[int, int]]:
    """Half-open blocks of equal fitted value, values ascending from block to block."""
    starts: list[int] = []
    levels: list[float] = []
    masses: list[float] = []
    for i in range(value.size):
        start, level, mass = i, float(value[i]), float(weight[i])
        while levels and levels[-1] >= level:
            before = masses.pop()
            level = (levels.pop() * before + level * mass) / (before + mass)
            mass += before
            start = starts.pop()
        starts.append(start)
        levels.append(level)
        masses.append(mass)
    return list(zip(starts, [*starts[1:], value.size], strict=True))


def apply_map(fitted: MonotoneMap, latent: Floats) -> Floats:
    """Descriptor at each latent: linear between knots, constant beyond them."""
    return np.interp(latent, fitted.latent, fitted.value)


def absolute_quantile(residual: Floats, level: float) -> float:
    """Quantile of the absolute residual, with the finite-sample correction of conformal sets.

    Parameters
    ----------
    residual : (n,) array
        NaN where the truth is unknown.
    level : float
        Probability that a new residual lies below.
    """
    known = np.sort(np.abs(residual[np.isfinite(residual)]))
    rank = int(np.ceil(level * (known.size + 1)))
    return float(known[min(rank, known.size) - 1])


@dataclass(frozen=True, slots=True, eq=False)
class ShiftScan:
    """What a model says of measured standards at every trial shift, one column a compound.

    Replicates of a compound are averaged before they come here.

    Attributes
    ----------
    shift : (s,) array
        eV, increasing, added to calibrated energies.
    residual : (s, c) array
        Root mean square of the reconstruction residual where simulation exists,
        positive; best with the compound's known valence held, because an encoder
        answers a wrong shift with another valence.
    estimate : (s, c) array
        Estimated valence.
    truth : (c,) array
        Formal valence.
    calibrated : (c,) array of bool
        Whether a foil stood behind the compound's energy axis.
    """

    shift: Floats
    residual: Floats
    estimate: Floats
    truth: Floats
    calibrated: NDArray[np.bool_]

    def of(self, keep: NDArray[np.intp]) -> "ShiftScan":
        """The same for the compounds at these positions."""
        return ShiftScan(
            self.shift,
            self.residual[:, keep],
            self.estimate[:, keep],
            self.truth[keep],
            self.calibrated[keep],
        )

    def estimates_at(self, shift: float) -> Floats:
        """Estimated valence of every compound, (c,), between trial shifts by interpolation."""
        columns = range(self.truth.size)
        return np.array([float(np.interp(shift, self.shift, self.estimate[:, i])) for i in columns])


@dataclass(frozen=True, slots=True)
class ShiftFit:
    """Theory shift, its standard deviation, and the two optima behind it, eV."""

    value: float
    uncertainty: float
    by_residual: float
    by_valence: float


def fit_theory_shift(scan: ShiftScan, residual_weight: float = 0.5) -> ShiftFit:
    """One constant that carries measured energies to the simulation's axis.

    `by_residual` minimises the residual (its geometric mean over compounds, so
    that none outweighs the others by being badly simulated), `by_valence` the
    root mean square of the valence error. Neither is right alone: the simulation
    misplaces single compounds by 1-2 eV, and the valence error also absorbs the
    training set's prior. The value is their mean, weighted by `residual_weight`.

    The uncertainty adds in quadrature: the spread of the value over resampled
    compounds (seeded bootstrap, those of one valence left out); `AXIS_UNCERTAINTY`
    for the share of compounds without a foil, whose axes err together; and half
    the optima's difference where it exceeds `AGREEMENT`.

    Parameters
    ----------
    scan : ShiftScan
    residual_weight : float
        Weight of the residual's optimum, in [0, 1].

    Raises
    ------
    ValueError
        When the standards hold fewer than two valences: the valence error then
        has no optimum.
    """
    if np.unique(scan.truth).size < 2:
        raise ValueError(
            f"the standards hold {np.unique(scan.truth).size} valence; the theory shift needs two"
        )
    by_residual, by_valence = _optima(scan)
    value = residual_weight * by_residual + (1.0 - residual_weight) * by_valence
    variance = AXIS_UNCERTAINTY**2 * float(np.mean(~scan.calibrated))
    rng = np.random.default_rng(0)
    resampled = [
        scan.of(rng.integers(0, scan.truth.size, scan.truth.size)) for _ in range(RESAMPLES)
    ]
    optima = np.array([_optima(one) for one in resampled if np.unique(one.truth).size > 1])
    variance += float(np.var(optima @ np.array([residual_weight, 1.0 - residual_weight])))
    if abs(by_residual - by_valence) > AGREEMENT:
        variance += ((by_residual - by_valence) / 2.0) ** 2
    return ShiftFit(value, float(np.sqrt(variance)), by_residual, by_valence)


def leave_one_compound_out(scan: ShiftScan, residual_weight: float = 0.5) -> Floats:
    """Valence error of each compound, (c,), at the shift that the others give."""
    errors: list[float] = []
    for i in range(scan.truth.size):
        by_residual, by_valence = _optima(scan.of(np.delete(np.arange(scan.truth.size), i)))
        shift = residual_weight * by_residual + (1.0 - residual_weight) * by_valence
        errors.append(float(scan.estimates_at(shift)[i] - scan.truth[i]))
    return np.array(errors)


def _optima(scan: ShiftScan) -> tuple[float, float]:
    residual = np.mean(np.log(scan.residual), axis=1)
    valence = np.sqrt(np.mean((scan.estimate - scan.truth) ** 2, axis=1))
    return _lowest(scan.shift, residual), _lowest(scan.shift, valence)


def _lowest(shift: Floats, score: Floats) -> float:
    """Position of the minimum, by a parabola through the lowest point and its neighbours."""
    i = int(np.argmin(score))
    if i in (0, shift.size - 1):
        return float(shift[i])
    left, middle, right = (float(score[j]) for j in (i - 1, i, i + 1))
    curvature = left - 2.0 * middle + right
    offset = 0.5 * (left - right) / curvature if curvature > 0.0 else 0.0
    return float(shift[i] + offset * (shift[i + 1] - shift[i]))
