"""Bring the seen part of a spectrum onto a grid, where nothing can be normalised yet.

Before the post-edge is there, the edge step is unknown, and a background can only be guessed
from what lies before the edge. So a network that answers the part of a scan sees it without
its background and divided by its own highest value, together with what has been seen; it was
trained on spectra that were cut and prepared by the same function.
"""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from rankaae_stream.errors import Refusal, Refused
from rankaae_stream.spectra.rows import between, median_of, points_of
from rankaae_stream.spectrum import EnergyGrid, Floats

__all__ = ["ABOVE", "BELOW", "Seen", "on_seen_grid", "prepared", "seen_rows"]

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
    rows = (energy - e0)[None], mu[None]
    (found,) = seen_rows(*rows, grid, e0, np.array([noise]))
    if isinstance(found, Refusal):
        raise Refused(found.name, found.message)
    return found


def seen_rows(
    axes: Floats, mu: Floats, grid: EnergyGrid, e0: float, noise: Floats
) -> list[Seen | Refusal]:
    """Interpolate raw absorption of many spectra at once; see `on_seen_grid`.

    Parameters
    ----------
    axes : (k, n) or (1, n) array
        Energies of each row, or of all, eV from the tabulated edge; see `rows`.
    mu : (k, n) array
    grid : EnergyGrid
    e0 : float
        Tabulated edge, eV.
    noise : (k,) array
    """
    relative = grid.relative()
    points = points_of(axes)
    short = [_too_short(x[:n], relative) for x, n in zip(axes, points.tolist(), strict=True)]
    short *= len(mu) // len(axes)
    if None not in short:
        return [refusal for refusal in short if refusal is not None]
    used = (axes >= relative[0] - FIRST) & (axes <= relative[-1] + FIRST)
    middle = median_of(mu, used)
    scale = np.where(used, np.abs(mu - middle[:, None]), 0.0).max(axis=1)
    below = axes <= 0.0
    base = median_of(mu, below & (below[:, ::-1].cumsum(axis=1)[:, ::-1] <= FEWEST))
    highest = np.partition(np.where(used & ~below, mu, -np.inf), -3, axis=1)[:, -3:]
    top = median_of(highest, np.isfinite(highest))
    rise, least = top - base, np.maximum(LEAST_RISE * noise, TINY * np.abs(middle))
    step = relative[1] - relative[0]
    first, last = axes[:, :1], axes[np.arange(len(axes)), points - 1][:, None]
    seen = (relative >= first - step / 2) & (relative <= last + step / 2)
    scaled = (mu - middle[:, None]) / np.where(scale > 0.0, scale, 1.0)[:, None]
    values = np.where(seen, between(axes, relative[None]).of(scaled[:, None])[:, 0], 0.0)
    found: list[Seen | Refusal] = []
    for i, too_short in enumerate(short):
        k, no_edge = min(i, len(axes) - 1), None
        if not rise[i] > least[i]:
            no_edge = Refusal(
                "no_edge",
                f"mu rises by {rise[i]:.3g} across {e0:.1f} eV, where the noise of a point is "
                f"{noise[i]:.3g}; check the element, and that the sample was in the beam",
            )
        reach = float(first[k, 0]), float(last[k, 0])
        one = Seen(values[i], seen[k], reach, float(scale[i]))
        found.append(too_short or no_edge or one)
    return found


def _too_short(x: Floats, relative: Floats) -> Refusal | None:
    """Say why energies (n,), eV from the edge, show too little of it; None where they do not."""
    first, last = float(x[0]), float(x[-1])
    reach = f"the scan covers {first:+.1f} to {last:+.1f} eV around the edge"
    if first > BELOW or last < ABOVE:
        return Refusal(
            "coverage",
            f"{reach}; an answer needs {BELOW:+.0f} to {ABOVE:+.0f} eV at least",
        )
    near = x[(x >= BELOW - LARGEST_GAP) & (x <= relative[-1])]
    gaps = np.diff(near)
    if near.size < FEWEST or gaps.max() > LARGEST_GAP:
        return Refusal(
            "coverage",
            f"{near.size} points lie from the edge to {min(last, relative[-1]):+.0f} eV, up to "
            f"{gaps.max() if gaps.size else 0.0:.1f} eV apart; {FEWEST} are needed, at most "
            f"{LARGEST_GAP:.0f} eV apart",
        )
    return None


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
