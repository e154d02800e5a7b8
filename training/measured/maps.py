"""Fit monotone maps from latents to descriptors."""

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
    "Maps",
    "estimate",
    "fit_counts",
    "fit_maps",
    "fit_monotone",
    "member_estimates",
    "valence_weights",
]


KNOTS = 64
"""Knots of a map of whole numbers, at quantiles of the latent."""


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


def fit_counts(latent: Floats, count: Floats) -> MonotoneMap:
    """Fit a non-decreasing map to whole numbers that leans to the likeliest of them.

    The mean of a four-fold and a six-fold neighbour is five, which neither is. For each whole
    number the probability p of at least that many is fitted, monotone in the latent, and sharpened
    to ``p^2 / (p^2 + (1 - p)^2)``; their sum is the map. Unsharpened it would be the mean.

    Parameters
    ----------
    latent, count : (n,) arrays
        NaN counts are left out; others are rounded.

    Returns
    -------
    MonotoneMap
        Of at most `KNOTS` knots.

    Examples
    --------
    >>> counts = np.repeat([4.0, 6.0, 4.0, 6.0], [8, 2, 2, 8])
    >>> fitted = fit_counts(np.repeat([0.0, 1.0], 10), counts)
    >>> fitted.value[[0, -1]].round(2)
    array([4.12, 5.88])
    """
    known = np.isfinite(count)
    latent, whole = latent[known], np.round(count[known])
    knots = np.unique(np.quantile(latent, np.linspace(0.0, 1.0, KNOTS)))
    lowest, highest = round(float(whole.min())), round(float(whole.max()))
    value = np.full(knots.size, float(lowest))
    for step in range(lowest + 1, highest + 1):
        share = np.asarray(
            apply_map(fit_monotone(latent, (whole >= step).astype(float)), knots), dtype=float
        )
        value += share**2 / (share**2 + (1.0 - share) ** 2)
    return MonotoneMap(knots, np.maximum.accumulate(value))


Maps = tuple[tuple[MonotoneMap, ...], ...]
"""One tuple a descriptor, in it one map a member."""


COUNTED = "coordination_number"
"""The descriptor that is a whole number at every site; see `fit_counts`."""


UNSEEN = 0.5
"""Weight of a row whose valence no native site of the element has."""


def fit_maps(config: Config, simulated: Simulated, split: Split, ensemble: Ensemble) -> Maps:
    """Fit monotone maps to the training part, augmented as in training, mixtures included.

    The energy shift is left out: its effect on an estimate is added where a
    spectrum's own shift is known. The valence's map weighs rows by `valence_weights`,
    the others all alike. The coordination number's map is `fit_counts` on single sites.
    """
    seen = augmented(config, simulated, split.train, mixtures=True)
    labels = np.asarray(seen.labels, dtype=float)
    weights: list[Floats | None] = [None] * labels.shape[1]
    if "oxidation_state" in config.network.descriptors:
        k = config.network.descriptors.index("oxidation_state")
        weights[k] = valence_weights(simulated, split.train, labels[:, k])
    latent = ensemble.encode(seen.flat)
    maps = [
        tuple(fit_monotone(member[:, k], labels[:, k], weights[k]) for member in latent)
        for k in range(labels.shape[1])
    ]
    if COUNTED in config.network.descriptors:
        k = config.network.descriptors.index(COUNTED)
        single = augmented(config, simulated, split.train, mixtures=False)
        counts = np.asarray(single.labels, dtype=float)[:, k]
        encoded = ensemble.encode(single.flat)
        maps[k] = tuple(fit_counts(member[:, k], counts) for member in encoded)
    return tuple(maps)


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
