"""Turn what a network says of a part of a spectrum into estimates with intervals."""

import math
from dataclasses import replace

import numpy as np

from rankaae_stream.model.card import ModelCard, Output, PartialRule
from rankaae_stream.model.estimates import estimate
from rankaae_stream.model.intervals import Causes, advise, normal_quantile
from rankaae_stream.model.maps import apply_map
from rankaae_stream.report import Domain, Estimate
from rankaae_stream.spectrum import Floats

__all__ = ["OTHERS", "complete_causes", "describe_part", "domain_of_part", "part_causes"]

OTHERS = "metals, sulfides and other compounds without oxygen"
"""Kinds that a part of a spectrum may be of, if no oxide; the complete one tells which."""


def describe_part(
    found: Floats, card: ModelCard, rule: PartialRule, reach: float, sigma: float
) -> tuple[tuple[Estimate, ...], str]:
    """Return the estimates of the part of a spectrum that a scan has seen.

    Parameters
    ----------
    found : (1 + c, 2, 2 k + 1) array
        What the network says of the part, and of c noisy copies; see
        `networks.Model.answer_parts`.
    card : ModelCard
    rule : PartialRule
        The card's.
    reach : float
        Up to which energy the scan has come, eV from the tabulated edge.
    sigma : float
        Standard deviation of the energy axis, eV.

    Returns
    -------
    tuple of Estimate
        In the order of the card's outputs.
    str
        What would narrow the first one's interval most.
    """
    each = [part_causes(found, card, rule, reach, sigma, k) for k in range(len(card.outputs))]
    return tuple(estimate(*one) for one in each), advise(*each[0], sigma)


def part_causes(
    found: Floats, card: ModelCard, rule: PartialRule, reach: float, sigma: float, k: int
) -> tuple[Output, float, Causes]:
    """Return the card's output `k`, its value for a part, and the causes of its interval.

    Parameters are those of `describe_part`.
    """
    output = card.outputs[k]
    factors: Floats = rule.factors[output.name]
    value, steeper = float(found[0, 0, k]), 1.0
    changed = rule.values.get(output.name)
    if changed is not None:
        steeper = float(np.ptp(changed.value) / np.ptp(changed.latent))
        value = float(apply_map(changed, np.asarray(value)))
    off: Floats = found[1:, 0, k] - found[0, 0, k]
    noise = float(np.sqrt(np.mean(off**2))) if off.size else 0.0
    own = math.exp(float(found[0, 0, len(card.outputs) + k]))
    causes = replace(
        complete_causes(output, own, sigma),
        extent=float(np.interp(reach, rule.reach, factors)) * float(found[0, 1, k]) * steeper,
        noise=normal_quantile(output.level) * noise * steeper,
    )
    low, high = output.range
    return output, min(max(value, low), high), causes


def complete_causes(output: Output, own: float, sigma: float) -> Causes:
    """Return the causes that remain when a part has become a complete spectrum.

    `own` is the half-width that the model itself will give it.
    """
    return Causes(ensemble=own, axis=normal_quantile(output.level) * output.per_ev * sigma)


def domain_of_part(found: Floats, rule: PartialRule, reach: float) -> Domain:
    """Return the probability that a part (2, 2 k + 1) up to a reach, eV, is of no oxide."""
    share = 1.0 / (1.0 + math.exp(-float(found[0, -1])))
    return Domain(share, float(np.interp(reach, rule.reach, rule.thresholds)), OTHERS)
