"""Apply and invert the monotone maps between latents and descriptors."""

import numpy as np

from rankaae_stream.model.card import MonotoneMap
from rankaae_stream.spectrum import Floats

__all__ = ["apply_map", "invert_map"]


def apply_map(fitted: MonotoneMap, latent: Floats) -> Floats:
    """Return the descriptor at each latent: linear between knots, constant beyond them."""
    return np.interp(latent, fitted.latent, fitted.value)


def invert_map(fitted: MonotoneMap, value: Floats, near: Floats) -> Floats:
    """Return the latent at which a monotone map gives a value.

    Where the map is flat, or beyond its ends, many latents give the same value: the
    nearest to `near` is returned. For a value outside the map's range, the latent of the
    nearest end is returned.

    Parameters
    ----------
    fitted : MonotoneMap
    value, near : (n,) arrays

    Returns
    -------
    (n,) array

    Examples
    --------
    >>> steps = MonotoneMap(np.array([-1.0, 0.0, 1.0, 2.0]), np.array([2.0, 3.0, 3.0, 4.0]))
    >>> invert_map(steps, np.array([2.5, 3.0, 3.0, 3.0]), np.array([0.0, -1.0, 0.7, 2.0]))
    array([-0.5,  0. ,  0.7,  1. ])
    >>> invert_map(steps, np.array([2.0, 4.0, 9.0]), np.array([-3.0, 0.0, 0.0]))
    array([-3.,  2.,  2.])
    """
    knot, level = fitted.latent, fitted.value
    value = np.clip(value, level[0], level[-1])
    above = np.searchsorted(level, value, side="left")  # first knot at the value or above it
    below = np.searchsorted(level, value, side="right") - 1  # last knot at it or below it
    rise = level[above] - level[below]
    share = np.divide(value - level[below], rise, out=np.zeros_like(rise), where=rise > 0)
    between = knot[below] + share * (knot[above] - knot[below])
    # Knots of exactly this value bound its flat part; beyond its ends the map is flat.
    first = np.where(above == 0, -np.inf, knot[above])
    last = np.where(below == knot.size - 1, np.inf, knot[below])
    on_knot = above <= below
    return np.clip(near, np.where(on_knot, first, between), np.where(on_knot, last, between))
