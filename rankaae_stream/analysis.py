"""Analyse spectra: the steps from mu(E) to reports, in the order of the data.

Live scans, files and replays all end in `Analysis.answer`; one spectrum is a batch of one.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from rankaae_stream.answers.axis import Axis
from rankaae_stream.answers.case import Asked, Case, Columns, Earlier
from rankaae_stream.answers.complete import answer_complete
from rankaae_stream.answers.flat import alike
from rankaae_stream.answers.part import answer_parts
from rankaae_stream.edges import contradicting_edge
from rankaae_stream.errors import Refusal, Refused
from rankaae_stream.model.networks import Model
from rankaae_stream.report import Flag, FoilShift, Report, RunFoil, Shifts
from rankaae_stream.spectra import defects, quality
from rankaae_stream.spectra.axis import AxisRules, FoilLibrary, calibrate
from rankaae_stream.spectra.glitches import without_glitches
from rankaae_stream.spectrum import Edge, Floats, Origin, Spectrum

__all__ = ["AT_ONCE", "Analysis", "Asked", "Columns"]

AT_ONCE = 64
"""Spectra that are answered together: their numbers stay in a processor's cache."""


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
        self._axis = Axis(foils, axis or AxisRules(), compounds or {})

    @property
    def device(self) -> str:
        """Where the models run now, such as ``CPU``; see `model.runtime.Device`."""
        return ", ".join(sorted({str(model.device) for model in self.models.values()}))

    def process_columns(
        self,
        energy: Floats,
        mu: Floats,
        edge: Edge,
        origin: Origin,
        reference: tuple[Floats, Floats] | None = None,
        **more: Any,
    ) -> Report:
        """Answer columns as they were measured; `more` are further fields of `Columns`."""
        return self.answer([Columns(energy, mu, edge, origin, reference, **more)])[0]

    def process(
        self,
        spectrum: Spectrum,
        reference: Spectrum | Refusal | None = None,
        flags: Sequence[Flag] = (),
        earlier: Earlier | None = None,
        beside: Spectrum | None = None,
    ) -> Report:
        """Answer a spectrum, or refuse it with the reason; see `Asked`."""
        return self.answer([Asked(spectrum, reference, flags, earlier, beside)])[0]

    def answer(self, asked: Sequence[Asked | Columns]) -> list[Report]:
        """Answer spectra, or refuse each with the reason; no answer depends on the others.

        Parameters
        ----------
        asked : sequence of Asked or Columns
            Of any edges, on any axes; spectra on the same axis cost less.

        Returns
        -------
        list of Report
        """
        parts = range(0, len(asked), AT_ONCE)
        return [one for at in parts for one in self._answer(asked[at : at + AT_ONCE])]

    def _answer(self, asked: Sequence[Asked | Columns]) -> list[Report]:
        found: dict[int, Report] = {}
        read: list[tuple[int, Asked]] = []
        for i, one in enumerate(asked):
            if isinstance(one, Asked):
                read.append((i, one))
                continue
            try:
                read.append((i, one.read()))
            except Refused as refused:
                why = refused.refusal
                found[i] = self.refuse(why, one.energy, one.origin, edge=one.edge, flags=one.flags)
        for group in alike(read, lambda pair: pair[1].spectrum.edge):
            places, same = zip(*(read[k] for k in group), strict=True)
            found.update(zip(places, self._of_edge(same), strict=True))
        return [found[i] for i in range(len(asked))]

    def _of_edge(self, asked: Sequence[Asked]) -> list[Report]:
        """Answer spectra of one edge."""
        edge = asked[0].spectrum.edge
        model = self.models.get(str(edge))
        if model is None:
            known = ", ".join(sorted(self.models)) or "none"
            why = Refusal("no_model", f"there is no model for {edge}; models here: {known}")
            return [self._refused(why, Case(one.spectrum, Shifts(), one.flags)) for one in asked]
        cases = self._cases(model, asked)
        rule, found, axis = model.card.partial, dict[int, Report | Refusal](), self._axis
        whole = [i for i, case in enumerate(cases) if rule is None or _complete(model, case)]
        answers = answer_complete(model, [cases[i] for i in whole], axis)
        found.update(zip(whole, answers, strict=True))
        left = [i for i in range(len(cases)) if i not in found]
        if rule is not None and left:
            parts = answer_parts(model, rule, [cases[i] for i in left], axis)
            found.update(zip(left, parts, strict=True))
        each = ((case, found[i]) for i, case in enumerate(cases))
        return [self._refused(one, case) if isinstance(one, Refusal) else one for case, one in each]

    def _cases(self, model: Model, asked: Sequence[Asked]) -> list[Case]:
        """Find what shifts each axis, and leave out glitches."""
        clean = without_glitches([one.spectrum for one in asked])
        cases: list[Case] = []
        for one, (spectrum, glitch) in zip(asked, clean, strict=True):
            shifts, flags = self._axis.shifts(model.card, one.reference, one.earlier)
            flags = [*one.flags, *flags, *([glitch] if glitch is not None else [])]
            cases.append(Case(spectrum, shifts, flags, one.beside, self.code_version))
        return cases

    def _refused(self, refusal: Refusal, case: Case) -> Report:
        """Report a refusal; a finished scan's energies may tell that another edge is stated."""
        spectrum = case.spectrum
        flags = [*case.flags, *_wrong_element(spectrum, refusal)]
        return self.refuse(
            refusal,
            spectrum.energy,
            spectrum.origin,
            edge=spectrum.edge,
            flags=flags,
            shifts=case.shifts,
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


def _complete(model: Model, case: Case) -> bool:
    """Return whether a spectrum reaches so far that it can be normalised."""
    energy, card = case.spectrum.energy + case.shifts.calibration, model.card
    return quality.complete_enough(
        energy,
        card.edge.e0,
        card.grid,
        case.shifts.theory,
        complete=case.spectrum.origin.complete,
    )


def _wrong_element(spectrum: Spectrum, refusal: Refusal) -> list[Flag]:
    """Return the flag of a finished scan that is refused because another edge is stated."""
    if not spectrum.origin.complete or refusal.name not in ("coverage", "no_edge", "normalization"):
        return []
    found = contradicting_edge(spectrum.energy, spectrum.mu, spectrum.edge)
    return [defects.wrong_element_flag(spectrum.edge, found)] if found is not None else []
