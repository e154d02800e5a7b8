"""Latents to calibrated estimates, each with its interval."""

from statistics import NormalDist

import numpy as np

from rankaae_stream.calibration import apply_map
from rankaae_stream.card import ModelCard, Output
from rankaae_stream.report import Estimate
from rankaae_stream.spectrum import Floats

__all__ = ["describe"]


def describe(latents: Floats, card: ModelCard) -> tuple[Estimate, ...]:
    """Estimates from the latents of one spectrum and of its perturbed copies.

    Parameters
    ----------
    latents : (members, 1 + 2 p, latent) array
        Row 0 is the spectrum as it is; rows 1 + 2 i and 2 + 2 i are the spectrum
        moved down and up by one standard deviation of nuisance i (energy shift,
        edge step).
    card : ModelCard

    Returns
    -------
    tuple of Estimate
        In the order of the card's outputs.

    Notes
    -----
    The half-width adds in quadrature: the quantile of the error on simulated
    compounds, that on measured standards left out of the fit, and for each
    nuisance the larger of its two effects times the normal quantile of the
    level. The spread of the ensemble is no part of it: members agree on metals
    that none of them has seen.
    """
    return tuple(_estimate(latents, output) for output in card.outputs)


def _estimate(latents: Floats, output: Output) -> Estimate:
    mapped = np.mean(
        [apply_map(one, latents[m, :, output.latent]) for m, one in enumerate(output.maps)], axis=0
    )
    value = float(mapped[0])
    effects = np.abs(mapped[1:].reshape(-1, 2) - value).max(axis=1)
    normal = NormalDist().inv_cdf(0.5 + output.level / 2)
    half = float(
        np.sqrt(
            output.simulated_error**2 + output.standards_error**2 + np.sum((normal * effects) ** 2)
        )
    )
    low, high = output.range
    return Estimate(
        name=output.name,
        value=value,
        low=max(value - half, low),
        high=min(value + half, high),
        level=output.level,
        unit=output.unit,
    )
