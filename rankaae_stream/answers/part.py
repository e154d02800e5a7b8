"""Answer what growing and short scans have seen, on raw absorption."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from rankaae_stream.answers.axis import Axis
from rankaae_stream.answers.case import Case, reported
from rankaae_stream.answers.flat import NOISY, axis_sigma, calibrated, noises
from rankaae_stream.answers.valence import valence_at, valence_flags
from rankaae_stream.errors import Refusal
from rankaae_stream.model.card import PartialRule
from rankaae_stream.model.estimates import estimates
from rankaae_stream.model.networks import Model
from rankaae_stream.model.parts import describe_part, domain_of_part, part_causes
from rankaae_stream.report import Curves, Estimate, Report
from rankaae_stream.spectra import quality
from rankaae_stream.spectra.noise import drawn_on
from rankaae_stream.spectra.partial import Seen, prepared, seen_rows
from rankaae_stream.spectra.rows import between, filled, on_like_axes
from rankaae_stream.spectrum import Floats

__all__ = ["answer_parts", "valences_of_parts"]


class _Parts(NamedTuple):
    """The parts of k spectra that have enough of the edge, and what the network says of them.

    `at` (k,) are their places among those asked; `shown` (k, g) is what the network saw, and
    `found` (k, 1 + c, 2, 2 o + 1) its answer to each and to c noisy copies.
    """

    at: list[int]
    seen: list[Seen]
    shown: Floats
    found: Floats
    reach: Floats
    sigma: Floats


def answer_parts(
    model: Model, rule: PartialRule, cases: Sequence[Case], axis: Axis
) -> list[Report | Refusal]:
    """Answer spectra that cannot be normalised yet, or never."""
    card, relative = model.card, model.card.grid.relative()
    noise = np.empty(len(cases))
    for group, axes in on_like_axes([case.spectrum.energy for case in cases]):
        same = [cases[i] for i in group]
        mu = filled([case.spectrum.mu for case in same], axes.shape[1])
        noise[group] = noises(same, axes, mu)
    reports, parts = _seen(model, rule, cases, noise, NOISY)
    if parts is None:
        return [reports[i] for i in range(len(cases))]
    described, advice = describe_part(parts.found, card, rule, parts.reach, parts.sigma)
    domains = domain_of_part(parts.found[:, 0], rule, parts.reach)
    for k, i in enumerate(parts.at):
        case, seen, shifts = cases[i], parts.seen[k], cases[i].shifts
        edge, complete = case.spectrum.edge, case.spectrum.origin.complete
        outside = quality.domain_flag(domains[k], edge, axis.metal(case.spectrum))
        flags = (
            quality.part_flag(seen.reach, complete=complete),
            outside,
            *(valence_flags(card, described[k]) if outside is None else ()),
        )
        drawn_curve = np.where(seen.seen, parts.shown[k], np.nan)
        curves = Curves(
            edge.e0 + relative,
            np.interp(relative, rule.grid.relative() + shifts.theory, drawn_curve),
            np.full(relative.size, np.nan),
        )
        reports[i] = reported(
            case,
            card,
            described[k],
            flags,
            domain=domains[k],
            curves=curves,
            extent=seen.reach,
            advice=advice[k],
        )
    return [reports[i] for i in range(len(cases))]


def valences_of_parts(model: Model, cases: Sequence[Case], noise: Floats) -> list[Estimate | None]:
    """Return the valence of complete spectra as their raw absorption alone would give it.

    `noise` (k,) is of a point of mu. None where the model, or a raw edge that is hard to see,
    gives none.
    """
    card, rule, at = model.card, model.card.partial, valence_at(model.card)
    answers: list[Estimate | None] = [None] * len(cases)
    if rule is None or at is None:
        return answers
    _, parts = _seen(model, rule, cases, noise, 0)
    if parts is not None:
        found = part_causes(parts.found, card, rule, parts.reach, parts.sigma, [at])
        for i, (one,) in zip(parts.at, estimates(*found), strict=True):
            answers[i] = one
    return answers


def _seen(
    model: Model, rule: PartialRule, cases: Sequence[Case], noise: Floats, copies: int
) -> tuple[dict[int, Report | Refusal], _Parts | None]:
    """Return why parts are refused, by their places, and the others with what they say."""
    refusals: dict[int, Report | Refusal] = {}
    known: dict[int, tuple[Seen, Floats]] = {}
    for group, measured in on_like_axes([case.spectrum.energy for case in cases]):
        same, e0 = [cases[i] for i in group], model.card.edge.e0
        axes = calibrated(same, measured, same[0].shifts.theory)
        mu = filled([case.spectrum.mu for case in same], axes.shape[1])
        added = _drawn_on(axes, rule, copies) if copies else None
        for k, one in enumerate(seen_rows(axes, mu, rule.grid, e0, noise[group])):
            i = group[k]
            if isinstance(one, Refusal):
                refusals[i] = one
                continue
            rows = one.values[None]
            if added is not None:
                noisy = noise[i] / one.scale * added[min(k, len(added) - 1)]
                rows = np.concatenate([rows, one.values + noisy])
            known[i] = one, rows
    if not known:
        return refusals, None
    at, seen = sorted(known), [known[i][0] for i in sorted(known)]
    values = np.concatenate([known[i][1] for i in at])
    masks = np.array([one.seen for one in seen]).repeat(1 + copies, axis=0)
    inputs = prepared(values, masks, rule.grid.relative())
    found = model.answer_parts(inputs).astype(np.float64)
    found = found.reshape(len(at), 1 + copies, *found.shape[1:])
    shown = inputs[:: 1 + copies, : rule.grid.points]
    reach = np.array([one.reach[1] for one in seen])
    sigma = np.array([axis_sigma(cases[i].shifts, model.card) for i in at])
    return refusals, _Parts(at, seen, shown, found, reach, sigma)


def _drawn_on(axes: Floats, rule: PartialRule, copies: int) -> Floats:
    """Return noise (1, copies, g) or (k, copies, g) that is drawn for the points of axes."""
    return between(axes, rule.grid.relative()[None]).of(drawn_on(axes, copies))
