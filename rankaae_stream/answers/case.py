"""What is asked of a spectrum, and what is known of it on its way to a report."""

import contextlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from rankaae_stream.documents.sweeps import to_spectrum
from rankaae_stream.errors import Refusal, Refused
from rankaae_stream.model.card import ModelCard
from rankaae_stream.report import Estimate, Flag, Report, RunFoil, Shifts
from rankaae_stream.spectra import quality
from rankaae_stream.spectrum import Edge, Floats, Origin, Spectrum

__all__ = ["Asked", "Case", "Columns", "Earlier", "reported"]

Earlier = Callable[[Edge], RunFoil | None]
"""Finds the foil of an earlier run for a scan of an edge that has none of its own."""


@dataclass(frozen=True, slots=True, eq=False)
class Asked:
    """A spectrum to be answered.

    Attributes
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
    """

    spectrum: Spectrum
    reference: Spectrum | Refusal | None = None
    flags: Sequence[Flag] = ()
    earlier: Earlier | None = None
    beside: Spectrum | None = None


@dataclass(frozen=True, slots=True, eq=False)
class Columns:
    """Columns to be answered as they were measured, in any order and with bad points.

    Attributes
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
        See `Asked`.
    """

    energy: Floats
    mu: Floats
    edge: Edge
    origin: Origin
    reference: tuple[Floats, Floats] | None = None
    reference_source: str | None = None
    beside: tuple[Floats, Floats] | None = None
    problem: str = ""
    flags: Sequence[Flag] = ()
    earlier: Earlier | None = None

    def read(self) -> Asked:
        """Return the spectrum that they hold.

        Raises
        ------
        Refused
            ``bad_signal`` where too many points cannot be used.
        """
        spectrum, bad = to_spectrum(self.energy, self.mu, self.edge, self.origin, self.problem)
        missing = quality.unusable_points(self.energy, bad, self.problem)
        foil: Spectrum | Refusal | None = None
        source = self.origin.source
        if self.reference is not None:
            named = source if self.reference_source is None else self.reference_source
            try:
                foil, _ = to_spectrum(*self.reference, self.edge, Origin(named, "reference"))
            except Refused as refused:
                foil = refused.refusal
        transmission: Spectrum | None = None
        if self.beside is not None and self.origin.complete:
            with contextlib.suppress(Refused):
                transmission, _ = to_spectrum(*self.beside, self.edge, Origin(source))
        known = [*self.flags, missing] if missing else self.flags
        return Asked(spectrum, foil, known, self.earlier, transmission)


@dataclass(frozen=True, slots=True, eq=False)
class Case:
    """A spectrum without its glitches, what shifts its axis, and what is known of it so far."""

    spectrum: Spectrum
    shifts: Shifts
    flags: Sequence[Flag]
    beside: Spectrum | None = None
    code_version: str = ""


def reported(
    case: Case,
    card: ModelCard,
    estimates: tuple[Estimate, ...],
    flags: Sequence[Flag | None],
    **more: Any,
) -> Report:
    """Report the estimates of a case; `more` are further fields of `Report`."""
    spectrum, origin = case.spectrum, case.spectrum.origin
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
        flags=(*case.flags, *(flag for flag in flags if flag is not None)),
        model=card.title,
        shifts=case.shifts,
        code_version=case.code_version,
        measured=spectrum,
        **more,
    )
