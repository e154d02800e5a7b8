"""Fit monotone maps from latents to descriptors, and the valence's line on standards."""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import isotonic_regression

from rankaae_stream.model.card import MonotoneMap
from rankaae_stream.model.maps import apply_map
from rankaae_stream.spectrum import Floats
from training.config import Config
from training.network.ensemble import Ensemble
from training.simulated.dataset import Simulated, Split
from training.trials.select import augmented

__all__ = [
    "Line",
    "Maps",
    "apply_line",
    "estimate",
    "fit_line",
    "fit_maps",
    "fit_monotone",
    "member_estimates",
    "straighten",
    "valence_weights",
]

LINE_PRIOR = (0.1, 0.03)
"""Standard deviations that offset (e) and slope of the valence may have of 0 and 1: small,
because a freer line improved most standards of Fe, Mn and Cr and lost as much on the one left
out (Mn 0.20 without a line, 0.26 with three times these)."""


COMPOUND_ERROR = 0.25
"""Standard deviation of one compound's valence error that no line explains, e."""


def fit_monotone(latent: Floats, value: Floats, weights: Floats | None = None) -> MonotoneMap:
    """Fit a non-decreasing map from a latent to its descriptor by least squares.

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
    fitted: Any = isotonic_regression(mean, weights=mass)
    starts = np.asarray(fitted.blocks[:-1], dtype=np.intp)
    knot = np.add.reduceat(points * mass, starts) / np.add.reduceat(mass, starts)
    level = np.asarray(fitted.x, dtype=np.float64)[starts]
    if knot.size == 1:
        return MonotoneMap(points[[0, -1]], np.repeat(level, 2))
    return MonotoneMap(knot, level)


@dataclass(frozen=True, slots=True)
class Line:
    """A linear correction of the valence, added: ``offset + (slope - 1) (value - centre)``."""

    offset: float
    slope: float
    centre: float


def fit_line(estimate: Floats, truth: Floats) -> Line:
    """Fit offset and slope of the valence on standards, shrunk towards 0 and 1.

    Ridge regression of the error: `LINE_PRIOR` against `COMPOUND_ERROR`, so that one
    or two compounds move little and a dozen decide.

    Parameters
    ----------
    estimate, truth : (c,) arrays
        A compound each.

    Examples
    --------
    >>> line = fit_line(np.array([2.4, 3.4, 4.4] * 200), np.array([2.0, 3.0, 4.0] * 200))
    >>> round(line.offset, 2), round(line.slope, 2)
    (-0.4, 1.0)
    """
    centre = float(np.mean(estimate))
    design = np.stack([np.ones(estimate.size), estimate - centre], axis=1)
    prior = np.diag((COMPOUND_ERROR / np.array(LINE_PRIOR)) ** 2)
    found = np.linalg.solve(design.T @ design + prior, design.T @ (truth - estimate))
    return Line(float(found[0]), 1.0 + max(float(found[1]), -0.5), centre)


def apply_line(line: Line, value: Floats) -> Floats:
    """Apply the linear correction to valences."""
    return value + line.offset + (line.slope - 1.0) * (value - line.centre)


def straighten(fitted: MonotoneMap, line: Line) -> MonotoneMap:
    """Compose the monotone map with the linear correction.

    The mean over members commutes with a line.
    """
    # Levels that differ in their last digit may change places by rounding.
    return MonotoneMap(fitted.latent, np.maximum.accumulate(apply_line(line, fitted.value)))


Maps = tuple[tuple[MonotoneMap, ...], ...]
"""One tuple a descriptor, in it one map a member."""


UNSEEN = 0.5
"""Weight of a row whose valence no native site of the element has."""


def fit_maps(config: Config, simulated: Simulated, split: Split, ensemble: Ensemble) -> Maps:
    """Fit monotone maps to the training part, augmented as in training, mixtures included.

    The energy shift is left out: its effect on an estimate is added where a
    spectrum's own shift is known. The valence's map weighs rows by `valence_weights`,
    the others all alike.
    """
    seen = augmented(config, simulated, split.train, mixtures=True)
    labels = np.asarray(seen.labels, dtype=float)
    weights: list[Floats | None] = [None] * labels.shape[1]
    if "oxidation_state" in config.network.descriptors:
        k = config.network.descriptors.index("oxidation_state")
        weights[k] = valence_weights(simulated, split.train, labels[:, k])
    latent = ensemble.encode(seen.flat)
    return tuple(
        tuple(fit_monotone(member[:, k], labels[:, k], weights[k]) for member in latent)
        for k in range(labels.shape[1])
    )


def valence_weights(simulated: Simulated, rows: NDArray[np.intp], valence: Floats) -> Floats:
    """Down-weight valences that no native site has.

    Sites were substituted until every valence had about as many rows: where two
    valences share a latent, Mn(VII), of which no native site exists, would pull
    Mn(IV) up. Rows of such a valence weigh `UNSEEN`, all others 1; between two
    valences, where mixtures lie, the weight is interpolated linearly.

    Parameters
    ----------
    simulated : Simulated
    rows : (n,) array
        Whose native sites count.
    valence : (m,) array
        Where the weights are wanted; NaN gives NaN.

    Returns
    -------
    (m,) array
    """
    known = simulated.labels[rows, 0]
    levels = np.unique(known[np.isfinite(known)])
    native = np.unique(known[simulated.native[rows]])
    if not native.size:
        return np.where(np.isfinite(valence), 1.0, np.nan)
    return np.interp(valence, levels, np.where(np.isin(levels, native), 1.0, UNSEEN))


def member_estimates(maps: Maps, latent: Floats) -> Floats:
    """Map latents (m, n, l) to each member's estimates, (k, m, n)."""
    return np.stack(
        [
            np.stack([apply_map(one, latent[m, :, k]) for m, one in enumerate(members)])
            for k, members in enumerate(maps)
        ]
    )


def estimate(maps: Maps, latent: Floats) -> Floats:
    """Map latents (m, n, l) to estimates (n, k), averaged over the members."""
    return member_estimates(maps, latent).mean(axis=1).T
