"""Turn latents into calibrated estimates, each with its interval."""

import numpy as np

from rankaae_stream.model.card import FEWEST_COMPOUNDS, Level, ModelCard, Output
from rankaae_stream.model.maps import apply_map
from rankaae_stream.report import Estimate
from rankaae_stream.spectrum import Floats

__all__ = ["describe", "describe_many", "nearest_level"]


def describe(latents: Floats, card: ModelCard) -> tuple[Estimate, ...]:
    """Return the estimates of one spectrum from its latents and those of its perturbed copies.

    Parameters
    ----------
    latents : (members, 1 + 2 p, latent) array
        Row 0 is the spectrum itself; rows 1 + 2 i and 2 + 2 i are its copies moved one
        standard deviation of nuisance i (energy shift, edge step) to either side, as
        `regrid.perturbed` returns them.
    card : ModelCard

    Returns
    -------
    tuple of Estimate
        In the order of the card's outputs.

    Notes
    -----
    The half-width is the square root of a sum of squares: the model's own half-width
    (`describe_many`) and, for each nuisance, the larger of its two effects times the
    output's `axis_factor`. Near a valence that few measured compounds have, it is no
    smaller than the output's `unsupported_half`.
    """
    values, halves = describe_many(latents, card)
    return tuple(
        _estimate(output, values[:, k], float(halves[0, k]))
        for k, output in enumerate(card.outputs)
    )


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
        Half-width of the interval on an exact energy axis, by conformal prediction from
        the standard deviation of the members' estimates. That spread separates hard from
        easy spectra among oxides; it does not separate a metal from an oxide.
    """
    each = [  # (members, n) for each output
        np.stack([apply_map(m, latents[i, :, output.latent]) for i, m in enumerate(output.maps)])
        for output in card.outputs
    ]
    values = [members.mean(axis=0) for members in each]
    halves = [
        output.error_constant + output.error_per_spread * members.std(axis=0)
        for output, members in zip(card.outputs, each, strict=True)
    ]
    return np.stack(values, axis=1), np.stack(halves, axis=1)


def nearest_level(output: Output, value: float) -> Level | None:
    """Return the level of an output that a value lies nearest to; None where it has none."""
    return min(output.levels, key=lambda level: abs(level.value - value), default=None)


def _estimate(output: Output, values: Floats, model_half: float) -> Estimate:
    value = float(values[0])
    effects = np.abs(values[1:].reshape(-1, 2) - value).max(axis=1)
    half = float(np.sqrt(model_half**2 + np.sum((output.axis_factor * effects) ** 2)))
    level = nearest_level(output, value)
    if level is not None and level.compounds < FEWEST_COMPOUNDS:
        half = max(half, output.unsupported_half)
    low, high = output.range
    return Estimate(
        name=output.name,
        value=value,
        low=max(value - half, low),
        high=min(value + half, high),
        level=output.level,
        unit=output.unit,
    )
