"""Turn what a network says of a part of a spectrum into estimates with intervals."""

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from rankaae_stream.model.card import ModelCard, Output, PartialRule
from rankaae_stream.model.estimates import estimates
from rankaae_stream.model.intervals import Causes, advise, normal_quantile
from rankaae_stream.model.maps import apply_map
from rankaae_stream.report import Domain, Estimate
from rankaae_stream.spectrum import Floats

__all__ = ["OTHERS", "complete_causes", "describe_part", "domain_of_part", "part_causes"]

OTHERS = "metals, sulfides and other compounds without oxygen"
"""Kinds that a part of a spectrum may be of, if no oxide; the complete one tells which."""


def describe_part(
    found: Floats, card: ModelCard, rule: PartialRule, reach: Floats, sigma: Floats
) -> tuple[list[tuple[Estimate, ...]], list[str]]:
    """Return the estimates of the parts of spectra that scans have seen.

    Parameters
    ----------
    found : (k, 1 + c, 2, 2 o + 1) array
        What the network says of k parts, and of c noisy copies of each, for the o outputs; see
        `networks.Model.answer_parts`.
    card : ModelCard
    rule : PartialRule
        The card's.
    reach : (k,) array
        Up to which energy each scan has come, eV from the tabulated edge.
    sigma : (k,) array
        Standard deviation of the energy axis, eV.

    Returns
    -------
    list of k tuples of Estimate
        In the order of the card's outputs.
    list of k str
        What would narrow the first one's interval most.
    """
    every = range(len(card.outputs))
    outputs, value, causes = part_causes(found, card, rule, reach, sigma, every)
    advice = advise(outputs[0], value[0], causes.of(0), sigma)
    return estimates(outputs, value, causes), advice


def part_causes(
    found: Floats,
    card: ModelCard,
    rule: PartialRule,
    reach: Floats,
    sigma: Floats,
    wanted: Sequence[int],
) -> tuple[list[Output], Floats, Causes]:
    """Return some of the card's outputs, their values for parts, and the causes of their intervals.

    Parameters are those of `describe_part`, and which outputs; values and causes are (o, k).
    """
    outputs = [card.outputs[i] for i in wanted]
    said = found.transpose(3, 0, 1, 2)  # (2 o + 1, k, 1 + c, 2)
    own = np.exp(said[[len(card.outputs) + i for i in wanted], :, 0, 0])
    asked = said[list(wanted)]
    value, scale = asked[..., 0, 0].copy(), asked[..., 0, 1]
    off = asked[..., 1:, 0] - value[..., None]
    noise = np.sqrt((off**2).sum(axis=-1) / max(off.shape[-1], 1))
    steeper, factors = np.ones((len(outputs), 1)), np.empty(value.shape)
    for i, output in enumerate(outputs):
        factors[i] = np.interp(reach, rule.reach, rule.factors[output.name])
        changed = rule.values.get(output.name)
        if changed is not None:
            steeper[i] = np.ptp(changed.value) / np.ptp(changed.latent)
            value[i] = apply_map(changed, value[i])
    normal = np.array([[normal_quantile(output.level)] for output in outputs])
    causes = replace(
        complete_causes(outputs, own, sigma),
        extent=factors * scale * steeper,
        noise=normal * noise * steeper,
    )
    ends = np.array([output.range for output in outputs])
    return outputs, np.clip(value, ends[:, :1], ends[:, 1:]), causes


def complete_causes(outputs: Sequence[Output], own: Floats, sigma: Floats | float) -> Causes:
    """Return the causes that remain when parts have become complete spectra.

    `own` (o, k) are the half-widths that the model itself will give them.
    """
    axis = np.array([[normal_quantile(one.level) * one.per_ev] for one in outputs]) * sigma
    return Causes(ensemble=own, axis=axis)


def domain_of_part(found: Floats, rule: PartialRule, reach: Floats) -> list[Domain]:
    """Return the probability that parts (k, 2, 2 o + 1) up to a reach (k,), eV, are of no oxide."""
    shares = 1.0 / (1.0 + np.exp(-found[:, 0, -1]))
    limits = np.interp(reach, rule.reach, rule.thresholds)
    return [Domain(*pair, OTHERS) for pair in zip(shares.tolist(), limits.tolist(), strict=True)]
