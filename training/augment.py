"""What a beamline does to a spectrum that a simulation does not know.

Every function takes a batch and one generator, and changes nothing in place.
Spectra live on a uniform axis of step `STEP`; the last step, `onto_grid`, moves
them onto the model's grid.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from training.config import Augment

__all__ = [
    "Batch",
    "augment",
    "broaden",
    "height_and_slope",
    "mix",
    "noise",
    "onto_grid",
    "over_absorb",
]

Floats = NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class Batch:
    """What one training step sees.

    Attributes
    ----------
    flat : (n, g) array
        Augmented spectra on the model's grid: the encoder's input.
    target : (n, g) array
        The same with their broadening, but unshifted, without noise, tilt and damping.
    weight : (n, g) array
        1 where the target was simulated, 0 where it is only the tail.
    labels : (n, k) array
        NaN where masked.
    """

    flat: Floats
    target: Floats
    weight: Floats
    labels: Floats


def augment(
    axis: Floats,
    mu: Floats,
    first: Floats,
    labels: Floats,
    grid: Floats,
    settings: Augment,
    rng: np.random.Generator,
) -> Batch:
    """One augmented copy of every spectrum.

    Parameters
    ----------
    axis : (f,) array
        Uniform, eV from the tabulated edge.
    mu : (n, f) array
    first : (n,) array
        First simulated energy, eV.
    labels : (n, k) array
    grid : (g,) array
        The model's grid, eV from the tabulated edge.
    settings : Augment
    rng : numpy.random.Generator
    """
    n = len(mu)
    mu, first, labels = mix(mu, first, labels, settings.mixture_share, rng)
    clean = broaden(mu, rng.uniform(*settings.broadening, n), axis[1] - axis[0])
    target = onto_grid(axis, clean, grid, np.zeros(n))
    damped = over_absorb(clean, settings.over_absorption, settings.over_absorption_share, rng)
    moved = onto_grid(axis, damped, grid, rng.normal(0.0, settings.shift, n))
    tilted = height_and_slope(moved, grid, settings.height, settings.slope, rng)
    flat = noise(tilted, settings.noise, rng)
    return Batch(flat, target, (grid >= first[:, None]).astype(float), labels)


def mix(
    mu: Floats, first: Floats, labels: Floats, share: float, rng: np.random.Generator
) -> tuple[Floats, Floats, Floats]:
    """Replace a share of the spectra by a mixture with another one.

    The first two labels, valence and coordination number, of a mixture are the
    weighted means, as chemists state them; the geometric ones mean nothing there
    and become NaN.
    """
    n = len(mu)
    part = np.where(rng.random(n) < share, rng.uniform(0.0, 0.5, n), 0.0)
    partner = rng.permutation(n)
    keep = 1.0 - part
    mixed = keep[:, None] * mu + part[:, None] * mu[partner]
    blended = keep[:, None] * labels + part[:, None] * labels[partner]
    blended[part == 0.0] = labels[part == 0.0]
    blended[part > 0.0, 2:] = np.nan
    return mixed, np.where(part > 0.0, np.maximum(first, first[partner]), first), blended


def broaden(mu: Floats, sigma: Floats, step: float) -> Floats:
    """Convolve each spectrum with a Gaussian of its own width.

    Parameters
    ----------
    mu : (n, f) array
    sigma : (n,) array
        eV.
    step : float
        Step of the axis, eV.
    """
    # Mirrored once, the periodic transform sees no jump at the ends.
    mirrored = np.concatenate([mu, mu[:, ::-1]], axis=1)
    frequency = 2.0 * np.pi * np.fft.rfftfreq(mirrored.shape[1], step)
    damping = np.exp(-0.5 * (sigma[:, None] * frequency) ** 2)
    smooth = np.fft.irfft(np.fft.rfft(mirrored, axis=1) * damping, mirrored.shape[1], axis=1)
    return smooth[:, : mu.shape[1]]


def over_absorb(mu: Floats, strength: float, share: float, rng: np.random.Generator) -> Floats:
    """Damp a share of the spectra as self-absorption in fluorescence does.

    ``mu (1 + a) / (1 + a mu)``: what stands above 1 is lowered, the step stays.
    """
    a = np.where(rng.random(len(mu)) < share, rng.uniform(0.0, strength, len(mu)), 0.0)[:, None]
    return mu * (1.0 + a) / (1.0 + a * mu)


def onto_grid(axis: Floats, mu: Floats, grid: Floats, shift: Floats) -> Floats:
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
    position = (grid[None] - shift[:, None] - axis[0]) / (axis[1] - axis[0])
    position = np.clip(position, 0.0, axis.size - 1.0)
    left = np.minimum(position.astype(np.intp), axis.size - 2)
    fraction = position - left
    low = np.take_along_axis(mu, left, axis=1)
    return low + fraction * (np.take_along_axis(mu, left + 1, axis=1) - low)


def height_and_slope(
    mu: Floats, grid: Floats, height: float, slope: float, rng: np.random.Generator
) -> Floats:
    """Multiply by a random height and by a line that turns about the edge.

    `height` is the standard deviation of its logarithm, `slope` that of the
    line's rise over 50 eV. Below the edge the line is flat: a pre-edge is
    subtracted before a model sees a spectrum.
    """
    n = len(mu)
    line = 1.0 + rng.normal(0.0, slope, n)[:, None] * np.maximum(grid, 0.0) / 50.0
    return mu * np.exp(rng.normal(0.0, height, n))[:, None] * line


def noise(mu: Floats, largest: float, rng: np.random.Generator) -> Floats:
    """Add point noise; each spectrum's standard deviation is uniform in [0, `largest`]."""
    return mu + rng.uniform(0.0, largest, (len(mu), 1)) * rng.normal(size=mu.shape)
