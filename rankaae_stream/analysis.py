"""One spectrum to its report: the stations in the order of the data.

Live, files and replay all come through `Analysis.process`.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from rankaae_stream.documents.sweeps import to_spectrum
from rankaae_stream.errors import Refusal, Refused
from rankaae_stream.model.domain import domain_distance
from rankaae_stream.model.estimates import describe
from rankaae_stream.model.networks import Model
from rankaae_stream.report import (
    Curves,
    Domain,
    EarlierFoil,
    Flag,
    FoilShift,
    Report,
    Shifts,
)
from rankaae_stream.spectra import quality
from rankaae_stream.spectra.axis import AxisRules, FoilLibrary, calibrate
from rankaae_stream.spectra.normalize import normalize
from rankaae_stream.spectra.regrid import perturbed
from rankaae_stream.spectrum import Channel, Edge, Floats, Spectrum, edge_of

__all__ = ["Analysis"]

Earlier = Callable[[Edge], EarlierFoil | None]
"""Finds the foil of an earlier run for a scan of an edge that has none of its own."""


class Analysis:
    """Models and foils, and the way a spectrum takes through them.

    Parameters
    ----------
    models : mapping of Model
        By edge, ``"Fe K"``.
    foils : mapping of FoilLibrary
        By edge.
    code_version : str
        What reports say of this program.
    axis : AxisRules, optional
        What becomes of foil shifts.
    """

    def __init__(
        self,
        models: Mapping[str, Model],
        foils: Mapping[str, FoilLibrary],
        code_version: str = "",
        axis: AxisRules | None = None,
    ) -> None:
        self.models = models
        self.code_version = code_version
        self._foils = foils
        self._axis = axis or AxisRules()

    def process_columns(
        self,
        energy: Floats,
        mu: Floats,
        reference: tuple[Floats, Floats] | None = None,
        *,
        element: str | None,
        shell: str = "K",
        channel: Channel = "transmission",
        source: str = "",
        reference_source: str | None = None,
        sweep: int = 0,
        complete: bool = True,
        flags: Sequence[Flag] = (),
        earlier: Earlier | None = None,
    ) -> Report:
        """Answer columns as they were measured, in any order and with bad points.

        Parameters
        ----------
        energy, mu : (n,) arrays
        reference : pair of (m,) arrays, optional
            Energy and absorption of a foil.
        element : str or None
            As stated; else the energies have to tell.
        reference_source : str, optional
            Where the foil comes from; `source` by default.
        earlier : callable, optional
            See `process`.

        Returns
        -------
        Report
        """
        try:
            edge = edge_of(element, energy[np.isfinite(energy)], shell)
            spectrum, bad = to_spectrum(
                energy, mu, edge, channel, source=source, sweep=sweep, complete=complete
            )
            missing = quality.unusable_points(energy, bad)
        except Refused as refused:
            return self.refuse(
                refused.refusal,
                energy,
                element=element,
                shell=shell,
                channel=channel,
                source=source,
                sweep=sweep,
                complete=complete,
                flags=flags,
            )
        foil: Spectrum | Refusal | None = None
        if reference is not None:
            named = source if reference_source is None else reference_source
            try:
                foil, _ = to_spectrum(*reference, edge, "reference", source=named)
            except Refused as refused:
                foil = refused.refusal
        return self.process(spectrum, foil, [*flags, missing] if missing else flags, earlier)

    def refuse(
        self,
        refusal: Refusal,
        energy: Floats,
        *,
        element: str | None,
        shell: str = "K",
        channel: Channel = "transmission",
        source: str = "",
        sweep: int = 0,
        complete: bool = True,
        flags: Sequence[Flag] = (),
    ) -> Report:
        """A refusal of something that never became a Spectrum; `energy` (n,) may be empty."""
        energy = energy[np.isfinite(energy)]
        try:
            edge = edge_of(element, energy, shell)
        except Refused:
            edge = None
        model = self.models.get(str(edge))
        return Report(
            source=source,
            element=edge.element if edge else element or "",
            edge=edge,
            channel=channel,
            sweep=sweep,
            points=energy.size,
            energy_range=(float(energy.min()), float(energy.max())) if energy.size else None,
            complete=complete,
            flags=tuple(flags),
            refusal=refusal,
            model=model.card.title if model else None,
            code_version=self.code_version,
        )

    def process(
        self,
        spectrum: Spectrum,
        reference: Spectrum | Refusal | None = None,
        flags: Sequence[Flag] = (),
        earlier: Earlier | None = None,
    ) -> Report:
        """Answer a spectrum, or refuse it with the reason.

        Parameters
        ----------
        spectrum : Spectrum
        reference : Spectrum or Refusal, optional
            The foil channel of the same scan, on the same axis, or why it is none.
        flags : sequence of Flag, optional
            What is already known of it.
        earlier : callable, optional
            Asked for an earlier run's foil of this edge where `reference` gives no shift.

        Returns
        -------
        Report
        """
        edge, said = spectrum.edge, list(flags)
        model = self.models.get(str(edge))
        common: dict[str, Any] = {
            "source": spectrum.source,
            "element": edge.element,
            "edge": edge,
            "channel": spectrum.channel,
            "sweep": spectrum.sweep,
            "points": spectrum.energy.size,
            "energy_range": spectrum.span,
            "complete": spectrum.complete,
            "model": model.card.title if model else None,
            "code_version": self.code_version,
        }
        try:
            if model is None:
                known = ", ".join(sorted(self.models)) or "none"
                raise Refused("no_model", f"there is no model for {edge}; models here: {known}")
            common["shifts"] = self._calibrate(model, reference, said, earlier)
            return self._answer(spectrum, model, common, said)
        except Refused as refused:
            return Report(**common, flags=tuple(said), refusal=refused.refusal)

    def _calibrate(
        self,
        model: Model,
        reference: Spectrum | Refusal | None,
        said: list[Flag],
        earlier: Earlier | None,
    ) -> Shifts:
        """Shifts by the scan's own foil, an earlier run's, or none, and what to say of them."""
        edge, rules, theory = model.card.edge, self._axis, model.card.theory_shift.value
        foil, run, age = self._own_foil(edge, reference)
        reason = ""
        if isinstance(foil, Refusal):
            reason, foil = foil.message, None
            known = earlier(edge) if earlier is not None else None
            if known is not None:
                foil, run, age = known.shift, known.run, known.age
        added = foil.value if foil is not None and rules.apply else 0.0
        shifts = Shifts(added, theory, run, age, rules.uncertainty(foil, age), foil)
        if reason:
            said.append(quality.foil_flag(reason, shifts))
        large = quality.shift_flag(shifts, rules.limit, applied=rules.apply)
        if large is not None:
            said.append(large)
        return shifts

    def _own_foil(
        self, edge: Edge, reference: Spectrum | Refusal | None
    ) -> tuple[FoilShift | Refusal, str, float]:
        """The scan's own shift with its source and age, or why it has none."""
        if reference is None or str(edge) not in self._foils:
            return Refusal("no_foil", "the scan has no reference channel"), "", 0.0
        if isinstance(reference, Refusal):
            return reference, "", 0.0
        try:
            return self.foil_shift(reference), reference.source, 0.0
        except Refused as refused:
            return refused.refusal, "", 0.0

    def foil_shift(self, reference: Spectrum) -> FoilShift:
        """What a foil's spectrum adds to the energy axis; see `energy.calibrate`."""
        return calibrate(reference.energy, reference.mu, self._foils[str(reference.edge)])

    def _metal(self, sample: Spectrum) -> FoilShift | None:
        """The foil's shift on the sample itself, where that is the metal and no compound."""
        found, _, _ = self._own_foil(sample.edge, sample)
        return found if isinstance(found, FoilShift) else None

    def _answer(
        self,
        spectrum: Spectrum,
        model: Model,
        common: dict[str, Any],
        said: list[Flag],
    ) -> Report:
        card, e0 = model.card, spectrum.edge.e0
        theory, shifts = card.theory_shift, common["shifts"]
        energy = spectrum.energy + shifts.calibration
        cover = quality.coverage(
            energy, e0, card.normalization, card.grid, theory.value, complete=spectrum.complete
        )
        if cover.flag is not None:
            said.append(cover.flag)
        normalized = normalize(energy, spectrum.mu, e0, cover.ranges)
        on_theory = energy + theory.value
        relative = card.grid.relative()
        grid = e0 + relative
        sigma = float(np.hypot(shifts.uncertainty, theory.uncertainty))
        # One call of the encoder answers the spectrum and its perturbed copies.
        copies = perturbed(on_theory, normalized.flat, card.grid, e0, sigma, cover.step_error)
        flat = copies[0]
        latents = model.encode(copies).astype(np.float64)

        decoded = model.decode(latents[:, :1]).mean(axis=0)[0].astype(np.float64)
        reconstruction, distance = domain_distance(
            flat, decoded, latents[:, 0], relative, card.domain
        )
        # Below the simulation the decoder was never told what to draw.
        reconstruction[relative < card.domain.start] = np.nan
        domain = Domain(float(distance), card.domain.threshold)
        outside = quality.domain_flag(domain, spectrum.edge, self._metal(spectrum))
        if outside is not None:
            said.append(outside)
        return Report(
            **common,
            edge_step=normalized.edge_step,
            estimates=describe(latents, card),
            flags=tuple(said),
            domain=domain,
            latent=tuple(float(value) for value in latents[:, 0].mean(axis=0)),
            normalization=normalized.ranges,
            curves=Curves(grid, flat, reconstruction),
        )
