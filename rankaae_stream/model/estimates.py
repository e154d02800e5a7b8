"""Turn latents into calibrated estimates, each with its interval."""

from collections.abc import Sequence

import numpy as np

from rankaae_stream.model.card import ModelCard, Output
from rankaae_stream.model.intervals import Causes, advise, interval, normal_quantile
from rankaae_stream.model.maps import apply_map
from rankaae_stream.report import Estimate, Shares
from rankaae_stream.spectrum import Floats

__all__ = ["ALTERNATES", "MOVED", "describe", "describe_many", "describe_output", "estimates"]

MOVED = 5
"""Rows of latents that are of the spectrum itself, and of its copies with the axis and the edge
step moved: the card's calibration rests on these."""

ALTERNATES = 2
"""Rows that follow: the spectrum normalised with other ranges. All others are noisy copies."""


def describe(
    latents: Floats, card: ModelCard, sigma: Floats
) -> tuple[list[tuple[Estimate, ...]], list[str]]:
    """Return the estimates of spectra from their latents and those of their perturbed copies.

    Parameters
    ----------
    latents : (members, k, c, latent) array
        Of k spectra; rows c as `regrid.perturbed_rows` returns them, `MOVED` or more.
    card : ModelCard
    sigma : (k,) array
        Standard deviation of the energy axis, eV.

    Returns
    -------
    list of k tuples of Estimate
        In the order of the card's outputs.
    list of k str
        What would narrow the first one's interval most; see `intervals.advise`.

    Notes
    -----
    For each nuisance the larger of its two effects counts, times the normal quantile of the
    level. The energy axis changes the estimate by `per_ev` times `sigma` at least.
    """
    value, causes = _causes(latents, card.outputs, sigma)
    first = causes.of(0)
    return estimates(card.outputs, value, causes), advise(card.outputs[0], value[0], first, sigma)


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
    values, halves = _mapped(latents, card.outputs)
    return values.T, halves.T


def describe_output(output: Output, latents: Floats, sigma: float) -> tuple[float, float]:
    """Return value and whole half-width, not yet calibrated, of one output of one spectrum.

    `latents` (members, c, latent); see `describe`.
    """
    value, causes = _causes(latents[:, None], (output,), np.array([sigma]))
    return float(value[0, 0]), float(causes.whole[0, 0])


def estimates(
    outputs: Sequence[Output], value: Floats, causes: Causes
) -> list[tuple[Estimate, ...]]:
    """Return the estimates of each of k spectra with their intervals, and what these are made of.

    Parameters
    ----------
    outputs : sequence of Output
    value : (o, k) array
        Of each output and spectrum.
    causes : Causes
        Of arrays (o, k).

    Returns
    -------
    list of k tuples of o Estimate
    """
    half, shares = interval(outputs, value, causes)
    ends = np.array([output.range for output in outputs])
    low, high = np.maximum(value - half, ends[:, :1]), np.minimum(value + half, ends[:, 1:])
    parts = np.array(list(shares.values())).transpose(1, 2, 0)
    columns = (each.swapaxes(0, 1).tolist() for each in (value, low, high, parts))
    return [
        tuple(map(_estimate, outputs, *row, [tuple(shares)] * len(outputs)))
        for row in zip(*columns, strict=True)
    ]


def _estimate(
    output: Output,
    value: float,
    low: float,
    high: float,
    shares: list[float],
    causes: tuple[str, ...],
) -> Estimate:
    known = Shares(**dict(zip(causes, shares, strict=True)))
    return Estimate(output.name, value, low, high, output.level, output.unit, known)


def _causes(latents: Floats, outputs: Sequence[Output], sigma: Floats) -> tuple[Floats, Causes]:
    """Return values (o, k), and the half-widths (o, k) that single causes would give them."""
    values, halves = _mapped(latents, outputs)  # (o, k, c)
    off = values[..., 1:] - values[..., :1]
    moved = np.abs(off[..., : MOVED - 1])
    others = _root_mean_square(off[..., MOVED - 1 : MOVED - 1 + ALTERNATES])
    noisy = _root_mean_square(off[..., MOVED - 1 + ALTERNATES :])
    square = halves[..., 0] ** 2
    # The noisy copies have the noise twice: what it adds the second time it added the first.
    again = _root_mean_square(halves[..., MOVED + ALTERNATES :]) ** 2
    blurred = np.minimum(np.maximum(again - square, 0.0), square)
    normal = np.array([[normal_quantile(output.level)] for output in outputs])
    per_ev = np.array([[output.per_ev] for output in outputs])
    causes = Causes(
        ensemble=np.sqrt(square - blurred),
        blurred=np.sqrt(blurred),
        axis=normal * np.maximum(moved[..., :2].max(axis=-1), per_ev * sigma),
        step=normal * moved[..., 2:].max(axis=-1),
        background=normal * others,
        noise=normal * noisy,
    )
    return values[..., 0], causes


def _mapped(latents: Floats, outputs: Sequence[Output]) -> tuple[Floats, Floats]:
    """Return values and the model's own half-widths, each (k, ...), of some outputs.

    `latents` (members, ..., latent).
    """
    each = np.array(
        [
            [apply_map(m, latents[i, ..., output.latent]) for i, m in enumerate(output.maps)]
            for output in outputs
        ]
    )  # (k, members, ...)
    shape = (-1, *(1,) * (each.ndim - 2))
    constant = np.reshape([output.error_constant for output in outputs], shape)
    spread = np.reshape([output.error_per_spread for output in outputs], shape)
    return each.mean(axis=1), constant + spread * each.std(axis=1)


def _root_mean_square(rows: Floats) -> Floats:
    """Return the root mean square over the last axis; 0 where that is empty."""
    return np.sqrt((rows**2).sum(axis=-1) / max(rows.shape[-1], 1))
