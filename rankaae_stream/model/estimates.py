"""Turn latents into calibrated estimates, each with its interval."""

import math
from collections.abc import Sequence

import numpy as np

from rankaae_stream.model.card import ModelCard, Output
from rankaae_stream.model.intervals import Causes, advise, interval, normal_quantile
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
    found = _causes(latents, card.outputs, sigma)
    return tuple(estimate(*one) for one in found), advise(*found[0], sigma)


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
    return _mapped(latents, card.outputs)


def describe_output(output: Output, latents: Floats, sigma: float) -> tuple[float, float]:
    """Return value and whole half-width, not yet calibrated, of one output; see `describe`."""
    ((_, value, causes),) = _causes(latents, (output,), sigma)
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


def _causes(
    latents: Floats, outputs: Sequence[Output], sigma: float
) -> list[tuple[Output, float, Causes]]:
    """Return each output with its value, and the half-widths that single causes would give it."""
    values, halves = _mapped(latents, outputs)
    off = values[1:] - values[0]
    moved = np.abs(off[: MOVED - 1]).reshape(2, 2, -1).max(axis=1)  # axis and step, (2, k)
    others = _root_mean_square(off[MOVED - 1 : MOVED - 1 + ALTERNATES])
    noisy = _root_mean_square(off[MOVED - 1 + ALTERNATES :])
    square = halves[0] ** 2
    # The noisy copies have the noise twice: what it adds the second time it added the first.
    again = _root_mean_square(halves[MOVED + ALTERNATES :]) ** 2
    blurred = np.clip(again - square, 0.0, square)
    columns = (values[0], square, blurred, *moved, others, noisy)
    found: list[tuple[Output, float, Causes]] = []
    for output, row in zip(outputs, np.stack(columns, axis=1).tolist(), strict=True):
        value, whole, blur, axis, step, background, noise = row
        normal = normal_quantile(output.level)
        causes = Causes(
            ensemble=math.sqrt(whole - blur),
            blurred=math.sqrt(blur),
            axis=normal * max(axis, output.per_ev * sigma),
            step=normal * step,
            background=normal * background,
            noise=normal * noise,
        )
        found.append((output, value, causes))
    return found


def _mapped(latents: Floats, outputs: Sequence[Output]) -> tuple[Floats, Floats]:
    """Return values and the model's own half-widths, each (n, k), of some outputs."""
    each = np.array(
        [
            [apply_map(m, latents[i, :, output.latent]) for i, m in enumerate(output.maps)]
            for output in outputs
        ]
    )  # (k, members, n)
    constant = np.array([[output.error_constant] for output in outputs])
    spread = np.array([[output.error_per_spread] for output in outputs])
    return each.mean(axis=1).T, (constant + spread * each.std(axis=1)).T


def _root_mean_square(rows: Floats) -> Floats:
    """Return the root mean square (k,) over rows (n, k); 0 without rows."""
    return np.sqrt(np.einsum("nk,nk->k", rows, rows) / max(len(rows), 1))
