"""Analyse one spectrum: the steps from mu(E) to a report, in the order of the data.

Live scans, files and replays all call `Analysis.process`.
"""

import contextlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from rankaae_stream.documents.sweeps import to_spectrum
from rankaae_stream.edges import contradicting_edge
from rankaae_stream.errors import Refusal, Refused
from rankaae_stream.model.card import ModelCard, PartialRule
from rankaae_stream.model.domain import edge_aligned, fit_nuisances, judge_domain, poor_fit
from rankaae_stream.model.estimates import describe, estimate
from rankaae_stream.model.intervals import little_shown
from rankaae_stream.model.networks import Model
from rankaae_stream.model.over_absorption import own_damping
from rankaae_stream.model.parts import describe_part, domain_of_part, part_causes
from rankaae_stream.report import (
    Curves,
    Estimate,
    Flag,
    FoilShift,
    Report,
    RunFoil,
    Shifts,
)
from rankaae_stream.spectra import defects, quality
from rankaae_stream.spectra.axis import AxisRules, FoilLibrary, calibrate
from rankaae_stream.spectra.glitches import without_glitches
from rankaae_stream.spectra.noise import noise_copies, point_noise
from rankaae_stream.spectra.normalize import normalize
from rankaae_stream.spectra.partial import Seen, on_seen_grid, prepared
from rankaae_stream.spectra.regrid import perturbed, regrid
from rankaae_stream.spectrum import Edge, Floats, NormalizationRanges, Origin, Spectrum

__all__ = ["Analysis"]

NOISY = 6
"""Noisy copies of a spectrum that show what its noise changes."""

OTHER_RANGES = ((20.0, -10.0, 15.0, -30.0), (-20.0, 5.0, -10.0, 30.0))
"""What is added to pre1, pre2, norm1 and norm2, eV, to see what the choice of ranges changes."""

UNLIKE_FOIL = 0.17
"""Root mean square, edge steps, by which the edge-aligned metal differs at most from the library
foil: pressed down by .45 and normalised 10 % wrong it does by .10 to .16, as it is by .006, oxides
by .11 to .28. Beyond, no foil is fitted to the sample, which costs as much as its answer."""

Earlier = Callable[[Edge], RunFoil | None]
"""Finds the foil of an earlier run for a scan of an edge that has none of its own."""


class Analysis:
    """Turn spectra into reports with the models and foils of one beamline.

    Parameters
    ----------
    models : mapping of Model
        By edge, ``"Fe K"``.
    foils : mapping of FoilLibrary
        By edge.
    code_version : str
        Version of this program, as reports name it.
    axis : AxisRules, optional
        How foil shifts are used.
    compounds : mapping of RunFoil, optional
        By edge: the shift by a known compound, for scans for which there is no foil.
    """

    def __init__(
        self,
        models: Mapping[str, Model],
        foils: Mapping[str, FoilLibrary],
        code_version: str = "",
        axis: AxisRules | None = None,
        compounds: Mapping[str, RunFoil] | None = None,
    ) -> None:
        self.models = models
        self.code_version = code_version
        self.foils = foils
        self._axis = axis or AxisRules()
        self._compounds = compounds or {}
        self._aligned: dict[str, Floats | None] = {}

    def process_columns(
        self,
        energy: Floats,
        mu: Floats,
        edge: Edge,
        origin: Origin,
        reference: tuple[Floats, Floats] | None = None,
        *,
        reference_source: str | None = None,
        beside: tuple[Floats, Floats] | None = None,
        problem: str = "",
        flags: Sequence[Flag] = (),
        earlier: Earlier | None = None,
    ) -> Report:
        """Answer columns as they were measured, in any order and with bad points.

        Parameters
        ----------
        energy, mu : (n,) arrays
            eV and absorption.
        edge : Edge
        origin : Origin
        reference : pair of (m,) arrays, optional
            Energy, eV, and absorption of a foil.
        reference_source : str, optional
            Where the foil comes from; ``origin.source`` by default.
        beside : pair of (m,) arrays, optional
            Energy, eV, and the transmission of the same scan, to judge fluorescence by.
        problem : str, optional
            Why the first bad point could not be read.
        flags, earlier
            See `process`.

        Returns
        -------
        Report
        """
        flags = list(flags)
        try:
            spectrum, bad = to_spectrum(energy, mu, edge, origin, problem)
            missing = quality.unusable_points(energy, bad, problem)
        except Refused as refused:
            return self.refuse(refused.refusal, energy, origin, edge=edge, flags=flags)
        foil: Spectrum | Refusal | None = None
        if reference is not None:
            named = origin.source if reference_source is None else reference_source
            try:
                foil, _ = to_spectrum(*reference, edge, Origin(named, "reference"))
            except Refused as refused:
                foil = refused.refusal
        transmission: Spectrum | None = None
        if beside is not None and origin.complete:
            with contextlib.suppress(Refused):
                transmission, _ = to_spectrum(*beside, edge, Origin(origin.source))
        known = [*flags, missing] if missing else flags
        return self.process(spectrum, foil, known, earlier, transmission)

    def process(
        self,
        spectrum: Spectrum,
        reference: Spectrum | Refusal | None = None,
        flags: Sequence[Flag] = (),
        earlier: Earlier | None = None,
        beside: Spectrum | None = None,
    ) -> Report:
        """Answer a spectrum, or refuse it with the reason.

        Parameters
        ----------
        spectrum : Spectrum
        reference : Spectrum or Refusal, optional
            The foil channel of the same scan, on the same axis, or why it cannot be used.
        flags : sequence of Flag, optional
            What is already known of the spectrum.
        earlier : callable, optional
            Asked for an earlier run's foil of this edge where `reference` gives no shift.
        beside : Spectrum, optional
            The transmission of the same scan, to judge fluorescence by.

        Returns
        -------
        Report
        """
        edge, flags, shifts = spectrum.edge, list(flags), Shifts()
        try:
            model = self.models.get(str(edge))
            if model is None:
                known = ", ".join(sorted(self.models)) or "none"
                raise Refused("no_model", f"there is no model for {edge}; models here: {known}")
            shifts, axis_flags = self._calibrate(model, reference, earlier)
            flags += axis_flags
            spectrum, glitches = without_glitches(spectrum)
            flags += [glitches] if glitches is not None else []
            if model.card.partial is not None and not quality.complete_enough(
                spectrum.energy + shifts.calibration,
                edge.e0,
                model.card.grid,
                shifts.theory,
                complete=spectrum.origin.complete,
            ):
                return self._answer_part(spectrum, model, model.card.partial, shifts, flags)
            cover = quality.coverage(
                spectrum.energy + shifts.calibration,
                edge.e0,
                model.card.normalization,
                model.card.grid,
                shifts.theory,
                complete=spectrum.origin.complete,
            )
            flags += [cover.flag] if cover.flag is not None else []
            return self._answer(spectrum, model, shifts, cover, flags, beside)
        except Refused as refused:
            flags += _wrong_element(spectrum, refused.refusal)
            return self.refuse(
                refused.refusal,
                spectrum.energy,
                spectrum.origin,
                edge=edge,
                flags=flags,
                shifts=shifts,
            )

    def refuse(
        self,
        refusal: Refusal,
        energy: Floats,
        origin: Origin,
        *,
        edge: Edge | None = None,
        element: str = "",
        flags: Sequence[Flag] = (),
        shifts: Shifts | None = None,
    ) -> Report:
        """Report a refusal.

        Parameters
        ----------
        refusal : Refusal
        energy : (n,) array
            Measured energies, eV; may be empty.
        origin : Origin
        edge : Edge, optional
        element : str
            As stated, where there is no `edge`.
        flags : sequence of Flag
        shifts : Shifts, optional

        Returns
        -------
        Report
        """
        energy = energy[np.isfinite(energy)]
        model = self.models.get(str(edge))
        return Report(
            source=origin.source,
            element=edge.element if edge else element,
            edge=edge,
            channel=origin.channel,
            sweep=origin.sweep,
            points=energy.size,
            energy_range=(float(energy.min()), float(energy.max())) if energy.size else None,
            complete=origin.complete,
            flags=tuple(flags),
            refusal=refusal,
            model=model.card.title if model else None,
            shifts=shifts or Shifts(),
            code_version=self.code_version,
        )

    def foil_shift(self, reference: Spectrum) -> FoilShift:
        """Return what a foil's spectrum adds to the energy axis; see `spectra.axis.calibrate`."""
        return calibrate(reference.energy, reference.mu, self.foils[str(reference.edge)])

    def _calibrate(
        self, model: Model, reference: Spectrum | Refusal | None, earlier: Earlier | None
    ) -> tuple[Shifts, list[Flag]]:
        """Return the shifts by the scan's own foil, an earlier run's, or none, with their flags."""
        edge, rules = model.card.edge, self._axis
        own = self._own_foil(edge, reference)
        used = own if isinstance(own, RunFoil) else None
        if used is None and earlier is not None:
            used = earlier(edge)
        if used is None:
            used = self._compounds.get(str(edge))
        foil, run, age = (used.shift, used.run, used.age) if used else (None, "", 0.0)
        added = foil.value if foil is not None and rules.apply else 0.0
        shifts = Shifts(
            added, model.card.theory_shift.value, run, age, rules.uncertainty(foil, age), foil
        )
        flags: list[Flag] = []
        if isinstance(own, Refusal):
            flags.append(quality.foil_flag(own.message, shifts))
        large = quality.shift_flag(shifts, rules.limit, applied=rules.apply)
        if large is not None:
            flags.append(large)
        return shifts, flags

    def _own_foil(self, edge: Edge, reference: Spectrum | Refusal | None) -> RunFoil | Refusal:
        """Return the shift of the scan's own foil, or why it has none."""
        if reference is None or str(edge) not in self.foils:
            return Refusal("no_foil", "the scan has no reference channel")
        if isinstance(reference, Refusal):
            return reference
        try:
            return RunFoil(self.foil_shift(reference), reference.origin.source, 0.0)
        except Refused as refused:
            return refused.refusal

    def _resembles_foil(self, card: ModelCard, aligned: Floats) -> bool:
        """Return whether an edge-aligned spectrum may be the metal: a fit of the foil tells."""
        edge = str(card.edge)
        if edge not in self._aligned:
            self._aligned[edge] = _aligned_foil(self.foils.get(edge), card)
        foil = self._aligned[edge]
        return foil is None or float(np.sqrt(np.mean((aligned - foil) ** 2))) < UNLIKE_FOIL

    def _metal(self, sample: Spectrum) -> FoilShift | None:
        """Return the foil's shift on the sample itself, where that is the metal."""
        found = self._own_foil(sample.edge, sample)
        return found.shift if isinstance(found, RunFoil) else None

    def _answer(
        self,
        spectrum: Spectrum,
        model: Model,
        shifts: Shifts,
        cover: quality.Coverage,
        flags: Sequence[Flag],
        beside: Spectrum | None,
    ) -> Report:
        card, origin, e0 = model.card, spectrum.origin, spectrum.edge.e0
        theory = card.theory_shift
        energy = spectrum.energy + shifts.calibration
        normalized = normalize(energy, spectrum.mu, e0, cover.ranges)
        on_theory = energy + theory.value
        relative = card.grid.relative()
        sigma = _axis_sigma(shifts, card)
        raw_noise = point_noise(energy, spectrum.mu, e0)
        noise = raw_noise / normalized.edge_step
        # One call of the encoder answers the spectrum and its perturbed copies.
        copies = perturbed(
            on_theory,
            normalized.flat,
            card.grid,
            e0,
            sigma,
            cover.step_error,
            _otherwise(energy, spectrum.mu, e0, cover.ranges, normalized.flat),
            noise_copies(noise, energy.size, NOISY),
        )
        flat = copies[0]
        latents = model.encode(copies).astype(np.float64)

        decoded = model.decode(latents[:, :1]).mean(axis=0)[0].astype(np.float64)
        reconstruction = fit_nuisances(flat, decoded, relative, card.domain.start)
        misfit, region = poor_fit(flat, reconstruction, relative, card.domain.start)
        # The simulations begin there; below, nothing has taught the decoder what to draw.
        reconstruction[relative < card.domain.start] = np.nan
        aligned = edge_aligned(relative, flat[None], card.domain.aligned)
        domain = judge_domain(model.judge(aligned)[0].astype(np.float64), card.domain)
        estimates, advice = describe(latents, card, sigma)
        part = self._part(spectrum, model, shifts, raw_noise)
        metal = self._metal(spectrum) if self._resembles_foil(card, aligned[0]) else None
        outside = quality.domain_flag(domain, spectrum.edge, metal)
        found = (
            outside,
            quality.poor_fit_flag(misfit, card.domain.poor_fit, region),
            defects.noisy_flag(noise),
            defects.small_step_flag(origin.channel, normalized.edge_step),
            defects.coarse_flag(energy, e0, cover.gap),
            _over_absorption(model, flat, misfit, origin, shifts, beside),
            # Of a number that should not be used there is no more to say.
            *(_valence_flags(card, estimates) if outside is None else ()),
            quality.disagreement_flag(estimates, part),
        )
        return self._report(
            spectrum,
            card,
            shifts,
            estimates,
            (*flags, *found),
            edge_step=normalized.edge_step,
            domain=domain,
            latent=tuple(float(value) for value in latents[:, 0].mean(axis=0)),
            normalization=normalized.ranges,
            curves=Curves(e0 + relative, flat, reconstruction),
            part_answer=part,
            advice=advice,
        )

    def _answer_part(
        self,
        spectrum: Spectrum,
        model: Model,
        rule: PartialRule,
        shifts: Shifts,
        flags: Sequence[Flag],
    ) -> Report:
        """Answer what a growing or a short scan has seen, on raw absorption."""
        card, origin, e0 = model.card, spectrum.origin, spectrum.edge.e0
        noise = point_noise(spectrum.energy + shifts.calibration, spectrum.mu, e0)
        part, shown, found, sigma = _seen(spectrum, model, rule, shifts, noise, NOISY)
        estimates, advice = describe_part(found, card, rule, part.reach[1], sigma)
        domain = domain_of_part(found[0], rule, part.reach[1])
        outside = quality.domain_flag(domain, spectrum.edge, self._metal(spectrum))
        more = (
            quality.part_flag(part.reach, complete=origin.complete),
            outside,
            *(_valence_flags(card, estimates) if outside is None else ()),
        )
        relative = card.grid.relative()
        drawn = np.where(part.seen, shown, np.nan)
        return self._report(
            spectrum,
            card,
            shifts,
            estimates,
            (*flags, *more),
            domain=domain,
            curves=Curves(
                e0 + relative,
                np.interp(relative, rule.grid.relative() + shifts.theory, drawn),
                np.full(relative.size, np.nan),
            ),
            extent=part.reach,
            advice=advice,
        )

    def _report(
        self,
        spectrum: Spectrum,
        card: ModelCard,
        shifts: Shifts,
        estimates: tuple[Estimate, ...],
        flags: Sequence[Flag | None],
        **more: Any,
    ) -> Report:
        """Report the estimates of a spectrum; `more` are further fields of `Report`."""
        origin = spectrum.origin
        return Report(
            source=origin.source,
            element=spectrum.edge.element,
            edge=spectrum.edge,
            channel=origin.channel,
            sweep=origin.sweep,
            points=spectrum.energy.size,
            energy_range=spectrum.span,
            complete=origin.complete,
            estimates=estimates,
            flags=tuple(flag for flag in flags if flag is not None),
            model=card.title,
            shifts=shifts,
            code_version=self.code_version,
            measured=spectrum,
            **more,
        )

    def _part(
        self, spectrum: Spectrum, model: Model, shifts: Shifts, noise: float
    ) -> Estimate | None:
        """Return the valence of a complete spectrum as its raw absorption alone would give it."""
        card = model.card
        names = [output.name for output in card.outputs]
        if card.partial is None or "oxidation_state" not in names:
            return None
        try:
            part, _, found, sigma = _seen(spectrum, model, card.partial, shifts, noise, 0)
        except Refused:  # a raw edge that is hard to see may be normalised all the same
            return None
        k = names.index("oxidation_state")
        return estimate(*part_causes(found, card, card.partial, part.reach[1], sigma, k))


def _seen(
    spectrum: Spectrum, model: Model, rule: PartialRule, shifts: Shifts, noise: float, copies: int
) -> tuple[Seen, Floats, Floats, float]:
    """Return the seen part, as the network sees it, what it says of it, and the axis' sigma.

    `noise` is of a point of mu; the network answers as many noisy copies, too.
    """
    e0 = spectrum.edge.e0
    energy = spectrum.energy + shifts.calibration + shifts.theory
    part = on_seen_grid(energy, spectrum.mu, rule.grid, e0, noise)
    relative = rule.grid.relative()
    added = noise_copies(noise / part.scale, energy.size, copies)
    rows: list[Floats] = [np.interp(e0 + relative, energy, row) for row in added]
    values = np.stack([part.values, *(part.values + row for row in rows)])
    inputs = prepared(values, np.broadcast_to(part.seen, values.shape), relative)
    found = model.answer_parts(inputs).astype(np.float64)
    return part, inputs[0, : relative.size], found, _axis_sigma(shifts, model.card)


def _axis_sigma(shifts: Shifts, card: ModelCard) -> float:
    """Return the standard deviation of the axis towards the model's, eV."""
    return float(np.hypot(shifts.uncertainty or 0.0, card.theory_shift.uncertainty))


def _otherwise(
    energy: Floats, mu: Floats, e0: float, ranges: NormalizationRanges, flat: Floats
) -> list[Floats]:
    """Return the spectrum normalised with other ranges; `flat` where those hold too few points."""
    found: list[Floats] = []
    for moved in OTHER_RANGES:
        pre1, pre2, norm1, norm2 = np.add(
            moved, (ranges.pre1, ranges.pre2, ranges.norm1, ranges.norm2)
        )
        other = replace(ranges, pre1=pre1, pre2=pre2, norm1=norm1, norm2=norm2)
        try:
            found.append(normalize(energy, mu, e0, other).flat)
        except Refused:
            found.append(flat)
    return found


def _wrong_element(spectrum: Spectrum, refusal: Refusal) -> list[Flag]:
    """Return the flag of a finished scan that is refused because another edge is stated."""
    if not spectrum.origin.complete or refusal.name not in ("coverage", "no_edge", "normalization"):
        return []
    found = contradicting_edge(spectrum.energy, spectrum.mu, spectrum.edge)
    return [defects.wrong_element_flag(spectrum.edge, found)] if found is not None else []


def _over_absorption(
    model: Model,
    flat: Floats,
    misfit: float,
    origin: Origin,
    shifts: Shifts,
    beside: Spectrum | None,
) -> Flag | None:
    """Flag damped fluorescence by the transmission of its scan, or else by the model's curve."""
    if origin.channel not in ("fluorescence", "pips") or not origin.complete:
        return None
    transmission = _flattened(model, beside, shifts) if beside is not None else None
    if transmission is not None:
        rest = defects.damped_beside(flat, transmission)
        highest = f"fluorescence reaches {flat.max():.2f} edge steps"
        seen = f"{highest}, transmission {transmission.max():.2f}"
        return defects.over_absorption_flag(rest, seen, sure=True) if rest else None
    own = own_damping(model, flat, misfit)
    if own is None:
        return None
    seen = f"with a damping undone the model's curve misses by {own[1]:.1%} instead of {misfit:.1%}"
    return defects.over_absorption_flag(own[0], seen, sure=False)


def _aligned_foil(foil: FoilLibrary | None, card: ModelCard) -> Floats | None:
    """Return the library foil, edge-aligned; None where it cannot be normalised."""
    if foil is None:
        return None
    try:
        flat = normalize(foil.energy, foil.mu, card.edge.e0, card.normalization).flat
        on_grid = regrid(foil.energy, flat, card.grid, card.edge.e0)
    except Refused:
        return None
    return edge_aligned(card.grid.relative(), on_grid[None], card.domain.aligned)[0]


def _flattened(model: Model, spectrum: Spectrum, shifts: Shifts) -> Floats | None:
    """Return another channel's spectrum on the model's grid; None where it can judge nothing."""
    card, e0 = model.card, spectrum.edge.e0
    spectrum, _ = without_glitches(spectrum)
    energy = spectrum.energy + shifts.calibration
    try:
        cover = quality.coverage(
            energy, e0, card.normalization, card.grid, shifts.theory, complete=True
        )
        found = normalize(energy, spectrum.mu, e0, cover.ranges)
        if defects.noisy_flag(point_noise(energy, spectrum.mu, e0) / found.edge_step) is not None:
            return None
        return regrid(energy + shifts.theory, found.flat, card.grid, e0)
    except Refused:
        return None


def _valence_flags(card: ModelCard, estimates: Sequence[Estimate]) -> list[Flag | None]:
    """Return what a reader should know of the valence, if the model estimates one."""
    for output, state in zip(card.outputs, estimates, strict=True):
        if output.name == "oxidation_state":
            flags = [quality.mixed_flag(state)]
            if card.own is not None:
                flags.append(quality.outside_standards_flag(state.value, card.own.range))
            level = little_shown(output, state.value)
            if level is not None:
                flags.append(
                    quality.few_standards_flag(card.edge.element, level.value, level.compounds)
                )
            return flags
    return []
