"""Turn latents into calibrated estimates, each with its interval."""

from statistics import NormalDist

import numpy as np

from rankaae_stream.model.card import FEWEST_COMPOUNDS, Level, ModelCard, MonotoneMap, Output
from rankaae_stream.model.maps import apply_map
from rankaae_stream.report import Estimate
from rankaae_stream.spectrum import Floats

__all__ = [
    "calibrated",
    "describe",
    "describe_many",
    "describe_output",
    "little_shown",
    "published_half",
]


def describe(latents: Floats, card: ModelCard, sigma: float = 0.0) -> tuple[Estimate, ...]:
    """Return the estimates of one spectrum from its latents and those of its perturbed copies.

    Parameters
    ----------
    latents : (members, 1 + 2 p, latent) array
        Row 0 is the spectrum itself; rows 1 + 2 i and 2 + 2 i are its copies moved one
        standard deviation of nuisance i (energy shift, edge step) to either side, as
        `regrid.perturbed` returns them.
    card : ModelCard
    sigma : float
        Standard deviation of the energy axis, eV.

    Returns
    -------
    tuple of Estimate
        In the order of the card's outputs.

    Notes
    -----
    The half-width is the square root of a sum of squares: the model's own half-width
    (`describe_many`) and, for each nuisance, the larger of its two effects times the
    normal quantile of the level, calibrated on measured compounds (`calibrated`). Near a
    valence that few measured compounds have, it is no smaller than the output's
    `unsupported_half`. The energy axis changes the estimate by `per_ev` times `sigma` at least.
    """
    return tuple(_estimate(output, latents, sigma) for output in card.outputs)


def describe_many(latents: Floats, card: ModelCard) -> tuple[Floats, Floats]:
    """Return the estimates of many spectra, and the uncertainty of the model alone.

    Parameters
    ----------
    latents : (members, n, latent) array
    card : ModelCard

    Returns
    -------
    values : (n, k) array
        Mean of the members' estimates, one column for each output of the card.
    halves : (n, k) array
        Half-width of the interval on an exact energy axis, by conformal prediction on
        simulated compounds from the standard deviation of the members' estimates, not yet
        calibrated on measured ones. That spread separates hard from
        easy spectra among oxides; it does not separate a metal from an oxide.
    """
    values, halves = zip(*(_mapped(output, latents) for output in card.outputs), strict=True)
    return np.stack(values, axis=1), np.stack(halves, axis=1)


def describe_output(output: Output, latents: Floats, sigma: float) -> tuple[float, float]:
    """Return value and whole half-width, not yet calibrated, of one output; see `describe`."""
    values, halves = _mapped(output, latents)
    value = float(values[0])
    effects = np.abs(values[1:].reshape(-1, 2) - value).max(axis=1)
    effects[0] = max(effects[0], output.per_ev * sigma)
    normal = NormalDist().inv_cdf(0.5 + output.level / 2)
    return value, float(np.sqrt(halves[0] ** 2 + np.sum((normal * effects) ** 2)))


def calibrated(calibration: MonotoneMap, whole: Floats) -> Floats:
    """Return half-widths that hold measured compounds, of the shape of the whole ones.

    Linear between the knots, in proportion beyond them.

    Examples
    --------
    >>> knots = MonotoneMap(np.array([1.0, 2.0]), np.array([0.3, 1.8]))
    >>> calibrated(knots, np.array([0.5, 1.5, 4.0]))
    array([0.15, 1.05, 3.6 ])
    """
    knot, half = calibration.latent, calibration.value
    inside = np.interp(whole, knot, half)
    below, above = whole * half[0] / knot[0], whole * half[-1] / knot[-1]
    return np.where(whole < knot[0], below, np.where(whole > knot[-1], above, inside))


def published_half(output: Output, value: float, whole: float) -> float:
    """Return the half-width that is published for an estimate with a whole one."""
    half = float(calibrated(output.calibration, np.asarray(whole)))
    return max(half, output.unsupported_half) if little_shown(output, value) else half


def little_shown(output: Output, value: float) -> Level | None:
    """Return the level nearest to a value where fewer than `FEWEST_COMPOUNDS` show it."""
    nearest = min(output.levels, key=lambda level: abs(level.value - value), default=None)
    few = nearest is not None and nearest.compounds < FEWEST_COMPOUNDS
    return nearest if few else None


def _mapped(output: Output, latents: Floats) -> tuple[Floats, Floats]:
    """Return values (n,) of one output, and the model's own half-widths (n,)."""
    members = np.stack(
        [apply_map(m, latents[i, :, output.latent]) for i, m in enumerate(output.maps)]
    )
    halves = output.error_constant + output.error_per_spread * members.std(axis=0)
    return members.mean(axis=0), halves


def _estimate(output: Output, latents: Floats, sigma: float) -> Estimate:
    value, whole = describe_output(output, latents, sigma)
    half = published_half(output, value, whole)
    low, high = output.range
    return Estimate(
        name=output.name,
        value=value,
        low=max(value - half, low),
        high=min(value + half, high),
        level=output.level,
        unit=output.unit,
    )
