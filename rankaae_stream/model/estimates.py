"""Turn latents into calibrated estimates, each with its interval."""

from statistics import NormalDist

import numpy as np

from rankaae_stream.model.card import ModelCard, Output
from rankaae_stream.model.intervals import Causes, advise, interval
from rankaae_stream.model.maps import apply_map
from rankaae_stream.report import Estimate
from rankaae_stream.spectrum import Floats

__all__ = ["ALTERNATES", "MOVED", "describe", "describe_many", "describe_output", "estimate"]

MOVED = 5
"""Rows of latents that are of the spectrum itself, and of its copies with the axis and the edge
step moved: the card's calibration rests on these."""

ALTERNATES = 2
"""Rows that follow: the spectrum normalised with other ranges. All others are noisy copies."""


def describe(
    latents: Floats, card: ModelCard, sigma: float = 0.0
) -> tuple[tuple[Estimate, ...], str]:
    """Return the estimates of one spectrum from its latents and those of its perturbed copies.

    Parameters
    ----------
    latents : (members, c, latent) array
        Rows as `regrid.perturbed` returns them, `MOVED` or more.
    card : ModelCard
    sigma : float
        Standard deviation of the energy axis, eV.

    Returns
    -------
    tuple of Estimate
        In the order of the card's outputs.
    str
        What would narrow the first one's interval most; see `intervals.advise`.

    Notes
    -----
    For each nuisance the larger of its two effects counts, times the normal quantile of the
    level. The energy axis changes the estimate by `per_ev` times `sigma` at least.
    """
    found = [(output, *_causes(output, latents, sigma)) for output in card.outputs]
    output, value, causes = found[0]
    return tuple(estimate(*one) for one in found), advise(output, value, causes, sigma)


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
    value, causes = _causes(output, latents, sigma)
    return value, causes.whole


def estimate(output: Output, value: float, causes: Causes) -> Estimate:
    """Return one estimate with its interval and what that is made of."""
    half, shares = interval(output, value, causes)
    low, high = output.range
    return Estimate(
        name=output.name,
        value=value,
        low=max(value - half, low),
        high=min(value + half, high),
        level=output.level,
        unit=output.unit,
        shares=shares,
    )


def _causes(output: Output, latents: Floats, sigma: float) -> tuple[float, Causes]:
    """Return one output's value, and the half-widths that single causes would give it."""
    values, halves = _mapped(output, latents)
    value = float(values[0])
    off = values[1:] - value
    moved, others, noisy = np.split(off, [MOVED - 1, MOVED - 1 + ALTERNATES])
    # The noisy copies have the noise twice: what it adds the second time it added the first.
    again = halves[MOVED + ALTERNATES :]
    square = float(halves[0] ** 2)
    blurred = min(max(float(np.mean(again**2)) - square, 0.0), square) if again.size else 0.0
    axis, step = np.abs(moved.reshape(-1, 2)).max(axis=1)
    normal = NormalDist().inv_cdf(0.5 + output.level / 2)
    return value, Causes(
        ensemble=float(np.sqrt(square - blurred)),
        blurred=float(np.sqrt(blurred)),
        axis=normal * max(float(axis), output.per_ev * sigma),
        step=normal * float(step),
        background=normal * _root_mean_square(others),
        noise=normal * _root_mean_square(noisy),
    )


def _root_mean_square(values: Floats) -> float:
    return float(np.sqrt(np.mean(values**2))) if values.size else 0.0


def _mapped(output: Output, latents: Floats) -> tuple[Floats, Floats]:
    """Return values (n,) of one output, and the model's own half-widths (n,)."""
    members = np.stack(
        [apply_map(m, latents[i, :, output.latent]) for i, m in enumerate(output.maps)]
    )
    halves = output.error_constant + output.error_per_spread * members.std(axis=0)
    return members.mean(axis=0), halves
