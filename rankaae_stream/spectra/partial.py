"""Bring the seen part of a spectrum onto a grid, where nothing can be normalised yet.

Before the post-edge is there, the edge step is unknown, and a background can only be guessed
from what lies before the edge. So a network that answers the part of a scan sees it without
its background and divided by its own highest value, together with what has been seen; it was
trained on spectra that were cut and prepared by the same function.
"""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from rankaae_stream.errors import Refused
from rankaae_stream.spectrum import EnergyGrid, Floats

__all__ = ["ABOVE", "BELOW", "Seen", "on_seen_grid", "prepared"]

BELOW = -2.0
"""A part is answered that reaches down to here, eV from the tabulated edge."""

ABOVE = 8.0
"""A part is answered that reaches up to here, eV from the tabulated edge."""

PRE_EDGE = -12.0
"""Below is the pre-edge, eV."""

POST_EDGE = 35.0
"""Above the post-edge is straight enough to show the background's slope, eV."""

LEAST_SPAN = 15.0
"""Energies over which a background's line can be fitted, eV."""

FIRST = 6.0
"""Where no line can be fitted, the mean over so many eV from the first point is taken away."""

LARGEST_GAP = 6.0
"""Largest distance of points between `BELOW` and `ABOVE`, eV."""

FEWEST = 8
"""Points around the edge that an answer needs."""

TINY = 1e-6
"""A rise that is smaller than this part of mu itself is rounding."""

LEAST_RISE = 5.0
"""How far mu must rise within the part, in standard deviations of its noise."""


class Seen(NamedTuple):
    """The seen part of a spectrum on a grid.

    `values` (g,), absorption in units of `scale`, 0 where nothing was seen; `seen` (g,) true
    where something was; `reach`, the first and the last seen energy, eV from the tabulated edge.
    """

    values: Floats
    seen: NDArray[np.bool_]
    reach: tuple[float, float]
    scale: float


def on_seen_grid(
    energy: Floats, mu: Floats, grid: EnergyGrid, e0: float, noise: float = 0.0
) -> Seen:
    """Interpolate raw absorption onto a grid as far as it was measured.

    Parameters
    ----------
    energy, mu : (n,) arrays
        Calibrated energies, strictly increasing, eV; absorption of any height and background.
    grid : EnergyGrid
    e0 : float
        Tabulated edge, eV.
    noise : float
        Standard deviation of a point of `mu`.

    Raises
    ------
    Refused
        ``coverage`` where the edge has not been passed or points are missing there,
        ``no_edge`` where mu does not rise by more than its noise.
    """
    x = energy - e0
    first, last = float(x[0]), float(x[-1])
    reach = f"the scan covers {first:+.1f} to {last:+.1f} eV around the edge"
    if first > BELOW or last < ABOVE:
        raise Refused(
            "coverage",
            f"{reach}; an answer needs {BELOW:+.0f} to {ABOVE:+.0f} eV at least",
        )
    relative = grid.relative()
    near = np.flatnonzero((x >= BELOW - LARGEST_GAP) & (x <= relative[-1]))
    gaps = np.diff(x[near])
    if near.size < FEWEST or gaps.max() > LARGEST_GAP:
        raise Refused(
            "coverage",
            f"{near.size} points lie from the edge to {min(last, relative[-1]):+.0f} eV, up to "
            f"{gaps.max() if gaps.size else 0.0:.1f} eV apart; {FEWEST} are needed, at most "
            f"{LARGEST_GAP:.0f} eV apart",
        )
    used = (x >= relative[0] - FIRST) & (x <= relative[-1] + FIRST)
    middle = float(np.median(mu[used]))
    scale = float(np.abs(mu[used] - middle).max())
    base = float(np.median(mu[x <= 0.0][-FEWEST:]))
    top = float(np.median(np.sort(mu[(x > 0.0) & used])[-3:]))
    if not top - base > max(LEAST_RISE * noise, TINY * abs(middle)):
        raise Refused(
            "no_edge",
            f"mu rises by {top - base:.3g} across {e0:.1f} eV, where the noise of a point is "
            f"{noise:.3g}; check the element, and that the sample was in the beam",
        )
    step = relative[1] - relative[0]
    seen = (relative >= first - step / 2) & (relative <= last + step / 2)
    values = np.where(seen, np.interp(relative, x, (mu - middle) / scale), 0.0)
    return Seen(values, seen, (first, last), scale)


def prepared(values: Floats, seen: NDArray[np.bool_], relative: Floats) -> Floats:
    """Take away the background and the height of seen parts of spectra.

    Parameters
    ----------
    values : (n, g) array
        Absorption on a grid; any number where nothing was seen.
    seen : (n, g) array of bool
    relative : (g,) array
        The grid's energies, eV from the tabulated edge.

    Returns
    -------
    (n, 2 g) array
        Without the line through the pre-edge (where only the post-edge is long enough, without
        its slope) and divided by the highest seen value, 0 where nothing was seen; then 1
        where something was, else 0.

    Examples
    --------
    >>> energy = np.linspace(-30.0, 30.0, 61)
    >>> step = 1.0 / (1.0 + np.exp(-2.0 * energy))
    >>> both = np.stack([step, 3.0 + 0.02 * energy + 7.0 * step])
    >>> one, other = prepared(both, np.broadcast_to(energy <= 20.0, both.shape), energy)
    >>> bool(np.abs(one - other).max() < 1e-6)
    True
    """
    x = relative[None, :]
    before, after = seen & (x <= PRE_EDGE), seen & (x >= POST_EDGE)
    start = np.where(seen, x, np.inf).min(axis=1)
    first = seen & (x <= start[:, None] + FIRST)
    by_pre = _span(before, x) >= LEAST_SPAN
    by_post = ~by_pre & (_span(after, x) >= LEAST_SPAN)
    base = np.where(by_pre[:, None], before, first)
    middle, level = _mean(x, base), _mean(values, base)
    slope = np.where(
        by_pre, _slope(values, before, x), np.where(by_post, _slope(values, after, x), 0.0)
    )
    above = values - level[:, None] - slope[:, None] * (x - middle[:, None])
    height = np.where(seen, above, -np.inf).max(axis=1)
    scaled = np.where(seen, above / np.maximum(height, 1e-6)[:, None], 0.0)
    return np.concatenate([np.clip(scaled, -3.0, 3.0), seen.astype(float)], axis=1)


def _span(part: NDArray[np.bool_], x: Floats) -> Floats:
    """Return the energies (n,) over which parts (n, g) extend, eV."""
    low = np.where(part, x, np.inf).min(axis=1)
    high = np.where(part, x, -np.inf).max(axis=1)
    return np.where(np.isfinite(low), high - low, 0.0)


def _mean(values: Floats, part: NDArray[np.bool_]) -> Floats:
    return np.where(part, values, 0.0).sum(axis=1) / np.maximum(part.sum(axis=1), 1)


def _slope(values: Floats, part: NDArray[np.bool_], x: Floats) -> Floats:
    off = np.where(part, x - _mean(np.broadcast_to(x, part.shape), part)[:, None], 0.0)
    return (off * np.where(part, values, 0.0)).sum(axis=1) / np.maximum((off**2).sum(axis=1), 1e-9)
