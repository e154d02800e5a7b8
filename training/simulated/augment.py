"""Disturb simulated spectra as a beamline and a sample do.

Every function takes a batch and one generator, and changes nothing in place.
Spectra live on a uniform axis; `onto_grid` moves them onto the model's grid, and what
happens to measured points comes after it. Energies are eV from the tabulated edge.
"""

# pyright: basic
# scipy has no types

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import fft

from rankaae_stream.spectra.quality import USABLE
from rankaae_stream.spectrum import NormalizationRanges
from training.config import Augment

__all__ = [
    "AnyFloats",
    "Batch",
    "augment",
    "broaden",
    "curvature",
    "ends_early",
    "gap",
    "glitch",
    "height_and_slope",
    "mix",
    "noise",
    "onto_grid",
    "over_absorb",
    "starts_late",
]

AnyFloats = NDArray[np.floating]
"""Single precision while training, double elsewhere."""

PRECISION = np.float32
"""Half the bytes are half the time, and a network sees no more than single precision."""

RANGES = NormalizationRanges()

LATE_PRE_EDGE_END = -10.0
"""Up to here a scan that starts late has its pre-edge averaged by `quality.coverage`."""


@dataclass(frozen=True, eq=False)
class Batch:
    """What one training step sees; single precision but for the labels.

    Attributes
    ----------
    flat : (n, g) array
        Augmented spectra on the model's grid: the encoder's input.
    target : (n, g) array
        The same with their broadening, but unshifted and without what else was done.
    weight : (n, g) array
        1 where the target was simulated, 0 where it is only the tail.
    labels : (n, k) array
        NaN where masked.
    """

    flat: AnyFloats
    target: AnyFloats
    weight: AnyFloats
    labels: AnyFloats


def augment(
    axis: AnyFloats,
    mu: AnyFloats,
    first: AnyFloats,
    labels: AnyFloats,
    grid: AnyFloats,
    settings: Augment,
    rng: np.random.Generator,
    averaged: tuple[int, ...] = (0, 1),
) -> Batch:
    """Return one augmented copy of every spectrum.

    Parameters
    ----------
    axis : (f,) array
        Uniform, eV from the tabulated edge.
    mu : (n, f) array
    first : (n,) array
        First simulated energy, eV.
    labels : (n, k) array
    grid : (g,) array
        The model's grid, uniform, eV from the tabulated edge.
    settings : Augment
    rng : numpy.random.Generator
    averaged : tuple of int
        See `mix`.
    """
    n = len(mu)
    mixed, first, labels = mix(
        mu.astype(PRECISION), first, labels, settings.mixture_share, rng, averaged
    )
    sigma, width = rng.uniform(*settings.broadening, n), rng.uniform(*settings.core_hole, n)
    clean = broaden(mixed, sigma, axis[1] - axis[0], width)
    target = onto_grid(axis, clean, grid, np.zeros(n))
    damped = over_absorb(clean, settings.over_absorption, settings.over_absorption_share, rng)
    moved = onto_grid(axis, damped, grid, rng.normal(0.0, settings.shift, n))
    late = starts_late(moved, grid, settings.pre_edge, settings.short_share, rng)
    short = ends_early(late, grid, settings.post_edge, settings.short_share, rng)
    tilted = height_and_slope(short, grid, settings.height, settings.slope, rng)
    bent = curvature(tilted, grid, settings.curvature, rng)
    noisy = noise(bent, grid, settings.noise, settings.drift, settings.drift_length, rng)
    glitched = glitch(
        noisy, grid, settings.glitch, settings.glitch_width, settings.glitch_share, rng
    )
    flat = gap(glitched, grid, settings.gap, settings.gap_share, rng)
    return Batch(flat, target, (grid >= first[:, None]).astype(PRECISION), labels)


def mix(
    mu: AnyFloats,
    first: AnyFloats,
    labels: AnyFloats,
    share: float,
    rng: np.random.Generator,
    averaged: tuple[int, ...] = (0, 1),
) -> tuple[AnyFloats, AnyFloats, AnyFloats]:
    """Replace a share of the spectra by sums with one or two others, as often the one as the other.

    The weights are uniform on their simplex. An operando sample is such a sum, and its known
    labels are the mean valence and the mean coordination number; the geometric
    labels mean nothing there and become NaN. A mean of something unknown is unknown.

    Parameters
    ----------
    mu : (n, f) array
    first : (n,) array
        A mixture was simulated where all its parts were.
    labels : (n, k) array
    share : float
    rng : numpy.random.Generator
    averaged : tuple of int
        Columns of `labels` that hold valence and coordination number.
    """
    n = len(mu)
    rows = np.flatnonzero(rng.random(n) < share) if n > 1 else np.empty(0, dtype=np.intp)
    others = (rows[:, None] + rng.integers(1, max(n, 2), (rows.size, 2))) % n  # never the row
    sites = np.column_stack([rows, others])  # (m, 3)
    weights = rng.standard_exponential(sites.shape)
    weights[rng.random(rows.size) < 0.5, 2] = 0.0
    weights /= weights.sum(axis=1, keepdims=True)
    part = weights > 0.0

    mixed, begin, blended = mu.copy(), first.copy(), labels.copy()
    mixed[rows] = np.matmul(weights[:, None].astype(mu.dtype), mu[sites])[:, 0]
    begin[rows] = np.where(part, first[sites], -np.inf).max(axis=1)
    shares = np.where(part[..., None], weights[..., None] * labels[sites], 0.0)
    masked = ~np.isin(np.arange(labels.shape[1]), averaged)
    blended[rows] = np.where(masked, np.nan, shares.sum(axis=1))
    return mixed, begin, blended


def broaden(
    mu: AnyFloats, sigma: AnyFloats, step: float, width: AnyFloats | None = None
) -> AnyFloats:
    """Convolve each spectrum with a Gaussian and a Lorentzian of its own widths.

    The Gaussian is the monochromator's, the Lorentzian what core hole and final state
    have beyond the simulation's.

    Parameters
    ----------
    mu : (n, f) array
    sigma : (n,) array
        Of the Gaussian, eV.
    step : float
        Step of the axis, eV.
    width : (n,) array, optional
        Full width of the Lorentzian at half its height, eV.
    """
    # The cosine transform mirrors a spectrum at its ends, and sees no jump there.
    frequency = np.pi * np.arange(mu.shape[1]) / (mu.shape[1] * step)
    exponent = -0.5 * _column(sigma**2, mu) * (frequency**2).astype(mu.dtype)
    if width is not None:
        exponent -= 0.5 * _column(width, mu) * frequency.astype(mu.dtype)
    damped = np.asarray(fft.dct(mu, axis=1)) * np.exp(exponent)
    return np.asarray(fft.idct(damped, axis=1, overwrite_x=True))


def over_absorb(
    mu: AnyFloats, strength: float, share: float, rng: np.random.Generator
) -> AnyFloats:
    """Damp a share of the spectra as self-absorption in fluorescence does.

    ``mu (1 + a) / (1 + a mu)``: values above 1 are lowered, the step stays.
    """
    a = np.where(rng.random(len(mu)) < share, rng.uniform(0.0, strength, len(mu)), 0.0)
    a = _column(a, mu)
    return mu * (1.0 + a) / (1.0 + a * mu)


def onto_grid(axis: AnyFloats, mu: AnyFloats, grid: AnyFloats, shift: AnyFloats) -> AnyFloats:
    """Interpolate linearly after moving each spectrum by its own shift.

    Parameters
    ----------
    axis : (f,) array
        Uniform; beyond its ends the last value holds.
    mu : (n, f) array
    grid : (g,) array
    shift : (n,) array
        eV, added to the spectrum's energies.

    Returns
    -------
    (n, g) array
    """
    # Where all move alike, one row of positions serves all: half the time.
    moved = shift[:, None] if np.ptp(shift) else shift[:1, None]
    position = (grid - moved - axis[0]) / (axis[1] - axis[0])
    position = np.clip(position, 0.0, axis.size - 1.0)
    left = np.minimum(position.astype(np.intp), axis.size - 2)
    fraction = (position - left).astype(mu.dtype)
    if len(left) == 1:
        low, high = mu.take(left[0], axis=1), mu.take(left[0] + 1, axis=1)
    else:
        left += np.arange(0, mu.size, axis.size)[:, None]
        low, high = mu.take(left), mu.take(left + 1)
    return low + fraction * (high - low)


def starts_late(
    mu: AnyFloats, grid: AnyFloats, slope: float, share: float, rng: np.random.Generator
) -> AnyFloats:
    """Leave a pre-edge slope in a share of the spectra: their scans start after -30 eV.

    The grid itself is always covered, the runtime refuses a scan that does not reach
    it. But where it begins so late that no line can be fitted to the pre-edge,
    `quality.coverage` takes a constant: the line stays, and the step, taken where it
    has gone on to the edge, is as much too large. Above the edge the flattening
    takes the line away again.

    Parameters
    ----------
    mu : (n, g) array
    grid : (g,) array
    slope : float
        Standard deviation, edge steps per 50 eV.
    share : float
    rng : numpy.random.Generator
    """
    rows = _chosen(mu, share if grid[0] > RANGES.pre2 else 0.0, rng)
    start = rng.uniform(RANGES.pre2, max(grid[0], RANGES.pre2), rows.size)
    rise = rng.normal(0.0, slope, rows.size) / 50.0
    zero = (start + LATE_PRE_EDGE_END) / 2.0  # where line and constant cross
    line = rise[:, None] * (np.minimum(grid, 0.0) - zero[:, None])
    step = 1.0 - (rise * zero)[:, None]
    # Above the edge: 1 + (mu - 1) / step, which is the same with the line held at its value there.
    result = mu.copy()
    result[rows] = (mu[rows] + line) / step
    return result


def ends_early(
    mu: AnyFloats, grid: AnyFloats, slope: float, share: float, rng: np.random.Generator
) -> AnyFloats:
    """Leave a post-edge slope in a share of the spectra: their scans end before +100 eV.

    The grid itself is always covered, the runtime refuses a scan that does not reach
    it. But where it ends too early for a line, `quality.coverage` divides by the mean
    of what is there from +50 eV on: neither slope nor fine structure averages out.

    Parameters
    ----------
    mu : (n, g) array
    grid : (g,) array
    slope : float
        Standard deviation, edge steps per 50 eV.
    share : float
    rng : numpy.random.Generator
    """
    begin = RANGES.norm1
    rows = _chosen(mu, share if grid[-1] < USABLE[1] else 0.0, rng)
    end = rng.uniform(min(max(grid[-1], begin + 1.0), USABLE[1]), USABLE[1], rows.size)
    rise = rng.normal(0.0, slope, rows.size) / 50.0
    height = 1.0 + rise * (begin + end) / 2.0
    if grid[-1] > begin:  # of what lies behind the grid the step is all that is known
        seen = (mu[rows][:, grid >= begin] - 1.0).mean(axis=1)
        height += seen * (np.minimum(end, grid[-1]) - begin) / (end - begin)
    result = mu.copy()
    result[rows] = (mu[rows] + rise[:, None] * np.maximum(grid, 0.0)) / height[:, None]
    return result


def height_and_slope(
    mu: AnyFloats, grid: AnyFloats, height: float, slope: float, rng: np.random.Generator
) -> AnyFloats:
    """Multiply by a random height and by a line that turns about the edge.

    `height` is the standard deviation of its logarithm, `slope` that of the
    line's rise over 50 eV. Below the edge the line is flat: a pre-edge is
    subtracted before a model sees a spectrum.
    """
    n = len(mu)
    above = (np.maximum(grid, 0.0) / 50.0).astype(mu.dtype)
    line = 1.0 + _column(rng.normal(0.0, slope, n), mu) * above
    return mu * _column(np.exp(rng.normal(0.0, height, n)), mu) * line


def curvature(
    mu: AnyFloats, grid: AnyFloats, largest: float, rng: np.random.Generator
) -> AnyFloats:
    """Multiply by a parabola that begins at the edge with height 1 and no slope.

    `largest` is the standard deviation of what it adds at +50 eV: what a line through
    the post-edge does not take away.
    """
    above = ((np.maximum(grid, 0.0) / 50.0) ** 2).astype(mu.dtype)
    return mu * (1.0 + _column(rng.normal(0.0, largest, len(mu)), mu) * above)


def noise(
    mu: AnyFloats,
    grid: AnyFloats,
    largest: float,
    drift: float,
    length: tuple[float, float],
    rng: np.random.Generator,
) -> AnyFloats:
    """Add the noise of counting, and drifts of beam, monochromator and sample.

    Counting noise is white. A drift is alike over some eV: its correlation falls as
    ``exp(-distance / length)``.

    Parameters
    ----------
    mu : (n, g) array
    grid : (g,) array
        Uniform.
    largest, drift : float
        Each spectrum's standard deviations are uniform in [0, `largest`] for counting,
        in [0, `drift`] for the drift.
    length : pair of float
        Each spectrum's length is uniform between them, eV.
    rng : numpy.random.Generator
    """
    n, g = mu.shape
    # One draw is coloured by both spectra, in a transform half as long again as the
    # grid: it closes on itself.
    m = g + g // 2
    alike = _column(np.exp(-(grid[1] - grid[0]) / rng.uniform(*length, n)), mu)  # of neighbours
    cosine = np.cos(2.0 * np.pi * np.arange(m // 2 + 1) / m).astype(mu.dtype)
    power = (1.0 - alike**2) / (1.0 + alike**2 - 2.0 * alike * cosine)
    counting = _column(rng.uniform(0.0, largest, n), mu)
    drifting = _column(rng.uniform(0.0, drift, n), mu)
    dtype = np.float32 if mu.dtype == np.float32 else np.float64
    white = np.asarray(fft.rfft(rng.standard_normal((n, m), dtype=dtype), axis=1))
    colour = np.sqrt(counting**2 + drifting**2 * power)
    return mu + np.asarray(fft.irfft(white * colour, m, axis=1, overwrite_x=True))[:, :g]


def glitch(
    mu: AnyFloats,
    grid: AnyFloats,
    height: float,
    width: tuple[float, float],
    share: float,
    rng: np.random.Generator,
) -> AnyFloats:
    """Add one narrow peak or dip to a share of the spectra: a second reflection of the crystal.

    Parameters
    ----------
    mu : (n, g) array
    grid : (g,) array
    height : float
        Standard deviation of the peak's height.
    width : pair of float
        Its full width at half height is uniform between them, eV.
    share : float
    rng : numpy.random.Generator
    """
    rows = _chosen(mu, share, rng)
    centre = rng.uniform(grid[0], grid[-1], rows.size)[:, None]
    sigma = rng.uniform(*width, rows.size)[:, None] / np.sqrt(8.0 * np.log(2.0))
    peak = np.exp(-0.5 * ((grid - centre) / np.maximum(sigma, 1e-9)) ** 2)
    result = mu.copy()
    result[rows] += (rng.normal(0.0, height, rows.size)[:, None] * peak).astype(mu.dtype)
    return result


def gap(
    mu: AnyFloats,
    grid: AnyFloats,
    width: tuple[float, float],
    share: float,
    rng: np.random.Generator,
) -> AnyFloats:
    """Bridge a range without points by a line in a share of the spectra.

    That is what the runtime feeds: points without a signal are left out, up to
    `quality.LARGEST_GAP` may lie between neighbours, and `regrid` interpolates.

    Parameters
    ----------
    mu : (n, g) array
    grid : (g,) array
    width : pair of float
        Uniform between them, eV.
    share : float
    rng : numpy.random.Generator
    """
    rows = _chosen(mu, share, rng)
    wide = np.minimum(rng.uniform(*width, rows.size), grid[-1] - grid[0])
    begin = rng.uniform(grid[0], grid[-1] - wide)
    # The last point before and the first point behind it.
    left = np.searchsorted(grid, begin, side="right") - 1
    right = np.minimum(np.searchsorted(grid, begin + wide), grid.size - 1)
    low, high = mu[rows, left][:, None], mu[rows, right][:, None]
    points = np.arange(grid.size)
    along = (points - left[:, None]) / np.maximum(right - left, 1)[:, None]
    inside = (along > 0.0) & (along < 1.0)
    result = mu.copy()
    result[rows] = np.where(inside, low + along * (high - low), mu[rows])
    return result


def _chosen(mu: AnyFloats, share: float, rng: np.random.Generator) -> NDArray[np.intp]:
    return np.flatnonzero(rng.random(len(mu)) < share)


def _column(values: AnyFloats, like: AnyFloats) -> AnyFloats:
    """Return one value a spectrum as a column, in the precision of the spectra."""
    return values[:, None].astype(like.dtype)
