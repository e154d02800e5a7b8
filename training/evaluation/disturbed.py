"""Disturb and mix measured spectra, and see whether the intervals still hold."""

from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from itertools import combinations

import numpy as np

from rankaae_stream.analysis import Analysis, Earlier
from rankaae_stream.errors import Refused
from rankaae_stream.model.networks import Model
from rankaae_stream.report import RunFoil
from rankaae_stream.spectrum import Floats, Origin, Spectrum
from training.evaluation.on_measured import APART, analysis_of
from training.measured.standards import Standard

__all__ = ["COPIES", "SHARES", "Disturbed", "cut", "disturb", "mix", "noisy", "pooled"]

NOISE = (0.003, 0.02)
"""Standard deviation of point noise, edge steps."""

ENDS = (100.0, 75.0)
"""Where a scan is cut off, eV from the tabulated edge."""

BEGINS = -30.0
"""Where a scan is made to begin, eV from the tabulated edge."""


SHARES = (0.1, 0.3, 0.5, 0.7, 0.9)
"""Of the higher valence in a mixture."""

JITTER = 0.05
"""Standard deviation of each end member's axis in a mixture, eV."""


def noisy(scan: Spectrum, share: float) -> tuple[Spectrum, float]:
    """Return a scan with noise of a share of its edge step, and the noise of a point of mu."""
    relative = scan.energy - scan.edge.e0
    step = np.median(scan.mu[relative > 30.0]) - np.median(scan.mu[relative < -15.0])
    sigma = share * abs(float(step))
    rng = np.random.default_rng(0)
    return replace(scan, mu=scan.mu + sigma * rng.normal(size=scan.mu.size)), sigma


def cut(scan: Spectrum, low: float, high: float) -> Spectrum:
    """Return a scan between two energies, eV from the tabulated edge."""
    relative = scan.energy - scan.edge.e0
    used = (relative >= low) & (relative <= high)
    return replace(scan, energy=scan.energy[used], mu=scan.mu[used])


COPIES: Mapping[str, Callable[[Spectrum], Spectrum]] = {
    "as measured": lambda scan: scan,
    **{f"noise of {one:.1%} of the step": lambda scan, s=one: noisy(scan, s)[0] for one in NOISE},
    **{f"cut off at {one:+.0f} eV": lambda scan, e=one: cut(scan, -np.inf, e) for one in ENDS},
    f"from {BEGINS:+.0f} eV on": lambda scan: cut(scan, BEGINS, np.inf),
}
"""Names and what is done to a scan."""


@dataclass(frozen=True, slots=True)
class Disturbed:
    """What came of one copy of every compound, averaged over its files, or of every mixture.

    Attributes
    ----------
    refused : int
        Compounds of which no file was answered; mixtures that were not.
    errors : tuple of float
        Estimate minus formal valence.
    held : tuple of float
        Share of a compound's intervals that hold; 0 or 1 of a mixture.
    widths : tuple of float
        Full.
    """

    refused: int
    errors: tuple[float, ...]
    held: tuple[float, ...]
    widths: tuple[float, ...]


_Row = tuple[float, float, float]
"""Error, whether the interval holds, its width."""


def disturb(model: Model, used: Sequence[Standard]) -> dict[str, Disturbed]:
    """Answer copies of every standard as live scans, by the names of `COPIES`."""
    analysis = analysis_of(model)
    chosen = [one for one in used if one.role == "standard"]
    found: dict[str, Disturbed] = {}
    for name, copy in COPIES.items():
        each: dict[str, list[_Row]] = {}
        for one in chosen:
            rows = each.setdefault(one.compound, [])
            row = _answer(analysis, copy(one.spectrum), one.earlier, one.oxidation_state)
            rows += [] if row is None else [row]
        means = [np.mean(rows, axis=0) for rows in each.values() if rows]
        found[name] = _gathered(means, len(each))
    return found


def mix(model: Model, used: Sequence[Standard]) -> Disturbed:
    """Answer linear mixtures of any two measured compounds as live scans.

    One file of each compound; valences at least `APART` apart; `SHARES` of the higher one.
    Each end's axis is moved at random by `JITTER`, and the sum gets the smaller `NOISE`. No end
    member is left out of the shifts.
    """
    analysis, rng = analysis_of(model), np.random.default_rng(0)
    first: dict[str, Standard] = {}
    for one in used:
        if one.role == "standard":
            first.setdefault(one.compound, one)
    rows: list[_Row | None] = []
    for pair in combinations(first.values(), 2):
        low, high = sorted(pair, key=lambda one: one.oxidation_state)
        if high.oxidation_state - low.oxidation_state < APART - 1e-9:
            continue
        with suppress(Refused):
            for share in SHARES:
                scan, _ = noisy(_mixture(low, high, share, rng.normal(0.0, JITTER, 2)), NOISE[0])
                truth = (1.0 - share) * low.oxidation_state + share * high.oxidation_state
                rows.append(_answer(analysis, scan, _foil(low, high), truth))
    return _gathered([one for one in rows if one is not None], len(rows))


def pooled(each: Sequence[Disturbed]) -> dict[str, float]:
    """Return figures over the copies or mixtures of several models; NaN without any."""
    errors = [abs(error) for one in each for error in one.errors]
    held = [share for one in each for share in one.held]
    widths = [width for one in each for width in one.widths]
    return {
        "answered": len(errors),
        "refused": sum(one.refused for one in each),
        "error": float(np.mean(errors)) if errors else np.nan,
        "held": float(np.mean(held)) if held else np.nan,
        "width": float(np.median(widths)) if widths else np.nan,
    }


def _answer(
    analysis: Analysis, scan: Spectrum, earlier: Earlier | None, truth: float
) -> _Row | None:
    state = analysis.process(scan, earlier=earlier).estimate("oxidation_state")
    if state is None:
        return None
    held = float(state.low <= truth <= state.high)
    return state.value - truth, held, state.high - state.low


def _gathered(rows: Sequence[Sequence[float] | Floats], asked: int) -> Disturbed:
    errors, held, widths = (tuple(float(row[i]) for row in rows) for i in range(3))
    return Disturbed(asked - len(rows), errors, held, widths)


def _mixture(low: Standard, high: Standard, share: float, moved: Floats) -> Spectrum:
    """Return the sum of two flat spectra, on the energies that both have."""
    (energy, flat), (other, second) = low.normalized(), high.normalized()
    energy, other = energy + moved[0], other + moved[1]
    both = (energy >= other[0]) & (energy <= other[-1])
    second = np.asarray(np.interp(energy[both], other, second), dtype=float)
    mixed = (1.0 - share) * flat[both] + share * second
    edge = low.spectrum.edge
    return Spectrum(energy[both] + edge.e0, mixed, edge, Origin(f"{low.file} {high.file}"))


def _foil(low: Standard, high: Standard) -> Earlier | None:
    """Return a foil that leaves a mixture where it is, if both axes were calibrated by one."""
    if low.shift is None or high.shift is None:
        return None
    known = max(low.shift, high.shift, key=lambda one: one.uncertainty)
    still = RunFoil(replace(known, value=0.0), low.foil, 0.0)
    return lambda _: still
