"""Answer complete spectra: one run of each network for all, then estimates, flags and curves."""

from collections.abc import Sequence

import numpy as np

from rankaae_stream.answers.axis import Axis
from rankaae_stream.answers.case import Case, reported
from rankaae_stream.answers.flat import Flat, axis_sigma, flattened
from rankaae_stream.answers.part import valences_of_parts
from rankaae_stream.answers.valence import valence_flags
from rankaae_stream.errors import Refusal
from rankaae_stream.model.domain import edge_aligned, fit_nuisances, judge_domain, poor_fit
from rankaae_stream.model.estimates import describe
from rankaae_stream.model.networks import Model
from rankaae_stream.model.over_absorption import own_damping
from rankaae_stream.report import Curves, Flag, Report
from rankaae_stream.spectra import defects, quality
from rankaae_stream.spectra.glitches import without_glitches
from rankaae_stream.spectrum import Floats

__all__ = ["answer_complete"]


def answer_complete(model: Model, cases: Sequence[Case], axis: Axis) -> list[Report | Refusal]:
    """Answer spectra of the model's edge that can be normalised, each or with why it cannot."""
    found = flattened(model.card, cases)
    flats = {i: one for i, one in enumerate(found) if isinstance(one, Flat)}
    answers: dict[int, Report | Refusal] = {
        i: one for i, one in enumerate(found) if isinstance(one, Refusal)
    }
    if flats:
        reports = _reports(model, [cases[i] for i in flats], list(flats.values()), axis)
        answers.update(zip(flats, reports, strict=True))
    return [answers[i] for i in range(len(cases))]


def _reports(
    model: Model, cases: Sequence[Case], flats: Sequence[Flat], axis: Axis
) -> list[Report]:
    card, e0, relative = model.card, model.card.edge.e0, model.card.grid.relative()
    copies = np.array([one.copies for one in flats])  # (k, c, g)
    latents = model.encode(copies.reshape(-1, relative.size)).astype(np.float64)
    latents = latents.reshape(len(latents), *copies.shape[:2], -1)  # (members, k, c, latent)
    flat, own = copies[:, 0], latents[:, :, 0]

    decoded = model.decode(own).mean(axis=0).astype(np.float64)
    reconstruction = fit_nuisances(flat, decoded, relative, card.domain.start)
    misfits, regions = poor_fit(flat, reconstruction, relative, card.domain.start)
    # The simulations begin there; below, nothing has taught the decoder what to draw.
    reconstruction[:, relative < card.domain.start] = np.nan
    aligned = edge_aligned(relative, flat, card.domain.aligned)
    domains = judge_domain(model.judge(aligned).astype(np.float64), card.domain)
    metallic = axis.resembles_foil(card, aligned)
    sigma = np.array([axis_sigma(case.shifts, card) for case in cases])
    described, advice = describe(latents, card, sigma)
    parts = valences_of_parts(model, cases, np.array([one.noise for one in flats]))
    dampings = _over_absorption(model, cases, flat, misfits)
    middle = own.mean(axis=0).tolist()

    reports: list[Report] = []
    for i, (case, one) in enumerate(zip(cases, flats, strict=True)):
        edge, estimates = case.spectrum.edge, described[i]
        metal = axis.metal(case.spectrum) if metallic[i] else None
        outside = quality.domain_flag(domains[i], edge, metal)
        flags = (
            one.short,
            outside,
            quality.poor_fit_flag(float(misfits[i]), card.domain.poor_fit, regions[i].tolist()),
            one.noisy,
            defects.small_step_flag(case.spectrum.origin.channel, one.edge_step),
            one.coarse,
            dampings[i],
            # Of a number that should not be used there is no more to say.
            *(valence_flags(card, estimates) if outside is None else ()),
            quality.disagreement_flag(estimates, parts[i]),
        )
        report = reported(
            case,
            card,
            estimates,
            flags,
            edge_step=one.edge_step,
            domain=domains[i],
            latent=tuple(middle[i]),
            normalization=one.ranges,
            curves=Curves(e0 + relative, flat[i].copy(), reconstruction[i].copy()),
            part_answer=parts[i],
            advice=advice[i],
        )
        reports.append(report)
    return reports


def _over_absorption(
    model: Model, cases: Sequence[Case], flat: Floats, misfits: Floats
) -> list[Flag | None]:
    """Flag damped fluorescence by the transmission of its scan, or else by the model's curve."""
    flags: list[Flag | None] = [None] * len(cases)
    asked = [
        i
        for i, case in enumerate(cases)
        if case.spectrum.origin.channel in ("fluorescence", "pips")
        and case.spectrum.origin.complete
    ]
    beside = _transmissions(model, cases, asked)
    alone = [i for i in asked if i not in beside]
    for i, transmission in beside.items():
        rest = defects.damped_beside(flat[i], transmission)
        highest = f"fluorescence reaches {flat[i].max():.2f} edge steps"
        seen = f"{highest}, transmission {transmission.max():.2f}"
        flags[i] = defects.over_absorption_flag(rest, seen, sure=True) if rest else None
    undone = own_damping(model, flat[alone], misfits[alone]) if alone else []
    for i, found in zip(alone, undone, strict=True):
        if found is not None:
            rest, left = found
            curve = "with a damping undone the model's curve misses by"
            seen = f"{curve} {left:.1%} instead of {misfits[i]:.1%}"
            flags[i] = defects.over_absorption_flag(rest, seen, sure=False)
    return flags


def _transmissions(model: Model, cases: Sequence[Case], asked: Sequence[int]) -> dict[int, Floats]:
    """Return the transmissions beside those asked, on the model's grid, that can judge them."""
    there = {i: spectrum for i in asked if (spectrum := cases[i].beside) is not None}
    if not there:
        return {}
    spectra = [spectrum for spectrum, _ in without_glitches(list(there.values()))]
    beside = [Case(one, cases[i].shifts, ()) for i, one in zip(there, spectra, strict=True)]
    found = flattened(model.card, beside, uncertain=False)
    return {
        i: one.copies[0]
        for i, one in zip(there, found, strict=True)
        if isinstance(one, Flat) and one.noisy is None
    }
