"""Find what shifts the axis of a spectrum: its own foil, an earlier run's, or none."""

from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from rankaae_stream.answers.case import Earlier
from rankaae_stream.errors import Refusal, Refused
from rankaae_stream.model.card import ModelCard
from rankaae_stream.model.domain import edge_aligned
from rankaae_stream.report import Flag, FoilShift, RunFoil, Shifts
from rankaae_stream.spectra import quality
from rankaae_stream.spectra.axis import AxisRules, FoilLibrary, calibrate
from rankaae_stream.spectra.normalize import normalize
from rankaae_stream.spectra.regrid import regrid
from rankaae_stream.spectrum import Edge, Floats, Spectrum

__all__ = ["Axis"]

UNLIKE_FOIL = 0.17
"""Root mean square, edge steps, by which the edge-aligned metal differs at most from the library
foil: pressed down by .45 and normalised 10 % wrong it does by .10 to .16, as it is by .006, oxides
by .11 to .28. Beyond, no foil is fitted to the sample, which costs as much as its answer."""


class Axis:
    """The foils of one beamline, and how it uses them; see `analysis.Analysis`."""

    def __init__(
        self,
        foils: Mapping[str, FoilLibrary],
        rules: AxisRules,
        compounds: Mapping[str, RunFoil],
    ) -> None:
        self._foils = foils
        self._rules = rules
        self._compounds = compounds
        self._aligned: dict[str, Floats | None] = {}

    def shifts(
        self, card: ModelCard, reference: Spectrum | Refusal | None, earlier: Earlier | None
    ) -> tuple[Shifts, list[Flag]]:
        """Return the shifts by the scan's own foil, an earlier run's, or none, with their flags."""
        edge, rules = card.edge, self._rules
        own = self._own_foil(edge, reference)
        used = own if isinstance(own, RunFoil) else None
        if used is None and earlier is not None:
            used = earlier(edge)
        if used is None:
            used = self._compounds.get(str(edge))
        foil, run, age = (used.shift, used.run, used.age) if used else (None, "", 0.0)
        added = foil.value if foil is not None and rules.apply else 0.0
        shifts = Shifts(
            added, card.theory_shift.value, run, age, rules.uncertainty(foil, age), foil
        )
        flags: list[Flag] = []
        if isinstance(own, Refusal):
            flags.append(quality.foil_flag(own.message, shifts))
        large = quality.shift_flag(shifts, rules.limit, applied=rules.apply)
        if large is not None:
            flags.append(large)
        return shifts, flags

    def metal(self, sample: Spectrum) -> FoilShift | None:
        """Return the foil's shift on the sample itself, where that is the metal."""
        found = self._own_foil(sample.edge, sample)
        return found.shift if isinstance(found, RunFoil) else None

    def resembles_foil(self, card: ModelCard, aligned: Floats) -> NDArray[np.bool_]:
        """Return which edge-aligned spectra (k, a) may be the metal: a fit of the foil tells."""
        edge = str(card.edge)
        if edge not in self._aligned:
            self._aligned[edge] = _aligned_foil(self._foils.get(edge), card)
        foil = self._aligned[edge]
        if foil is None:
            return np.ones(len(aligned), dtype=bool)
        return np.sqrt(((aligned - foil) ** 2).mean(axis=1)) < UNLIKE_FOIL

    def _own_foil(self, edge: Edge, reference: Spectrum | Refusal | None) -> RunFoil | Refusal:
        """Return the shift of the scan's own foil, or why it has none."""
        foil = self._foils.get(str(edge))
        if reference is None or foil is None:
            return Refusal("no_foil", "the scan has no reference channel")
        if isinstance(reference, Refusal):
            return reference
        try:
            found = calibrate(reference.energy, reference.mu, foil)
        except Refused as refused:
            return refused.refusal
        return RunFoil(found, reference.origin.source, 0.0)


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
