"""Disturb measured spectra as beamlines do, and see whether the intervals still hold."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from rankaae_stream.model.networks import Model
from rankaae_stream.spectrum import Spectrum
from training.evaluation.on_measured import analysis_of
from training.measured.standards import Standard

__all__ = ["COPIES", "Disturbed", "disturb", "pooled"]

NOISE = (0.003, 0.02)
"""Standard deviation of point noise, edge steps."""

ENDS = (100.0, 75.0)
"""Where a scan is cut off, eV from the tabulated edge."""

BEGINS = -30.0
"""Where a scan is made to begin, eV from the tabulated edge."""


def _noisy(scan: Spectrum, sigma: float) -> Spectrum:
    relative = scan.energy - scan.edge.e0
    step = np.median(scan.mu[relative > 30.0]) - np.median(scan.mu[relative < -15.0])
    rng = np.random.default_rng(0)
    return replace(scan, mu=scan.mu + sigma * abs(step) * rng.normal(size=scan.mu.size))


def _cut(scan: Spectrum, low: float, high: float) -> Spectrum:
    relative = scan.energy - scan.edge.e0
    used = (relative >= low) & (relative <= high)
    return replace(scan, energy=scan.energy[used], mu=scan.mu[used])


COPIES: Mapping[str, Callable[[Spectrum], Spectrum]] = {
    "as measured": lambda scan: scan,
    **{f"noise of {one:.1%} of the step": lambda scan, s=one: _noisy(scan, s) for one in NOISE},
    **{f"cut off at {one:+.0f} eV": lambda scan, e=one: _cut(scan, -np.inf, e) for one in ENDS},
    f"from {BEGINS:+.0f} eV on": lambda scan: _cut(scan, BEGINS, np.inf),
}
"""Names and what is done to a scan."""


@dataclass(frozen=True, slots=True)
class Disturbed:
    """What came of one copy of every compound, averaged over its files.

    Attributes
    ----------
    refused : int
        Compounds of which no file was answered.
    errors : tuple of float
        Estimate minus formal valence.
    held : tuple of float
        Share of a compound's intervals that hold.
    widths : tuple of float
        Full.
    """

    refused: int
    errors: tuple[float, ...]
    held: tuple[float, ...]
    widths: tuple[float, ...]


def disturb(model: Model, used: Sequence[Standard]) -> dict[str, Disturbed]:
    """Answer copies of every standard as live scans, by the names of `COPIES`."""
    analysis = analysis_of(model)
    chosen = [one for one in used if one.role == "standard"]
    found: dict[str, Disturbed] = {}
    for name, copy in COPIES.items():
        each: dict[str, list[tuple[float, float, float]]] = {}
        for one in chosen:
            rows = each.setdefault(one.compound, [])
            report = analysis.process(copy(one.spectrum), earlier=one.earlier)
            state = report.estimate("oxidation_state")
            if state is not None:
                truth = one.oxidation_state
                held = float(state.low <= truth <= state.high)
                rows.append((state.value - truth, held, state.high - state.low))
        means = [np.mean(rows, axis=0) for rows in each.values() if rows]
        errors, held_, widths = (tuple(float(row[i]) for row in means) for i in range(3))
        found[name] = Disturbed(len(each) - len(means), errors, held_, widths)
    return found


def pooled(models: Sequence[Mapping[str, Disturbed]], name: str) -> dict[str, float]:
    """Return figures of one kind of copies over all models; NaN without compounds."""
    each = [one[name] for one in models]
    errors = [abs(error) for one in each for error in one.errors]
    held = [share for one in each for share in one.held]
    widths = [width for one in each for width in one.widths]
    return {
        "compounds": len(errors),
        "refused": sum(one.refused for one in each),
        "error": float(np.mean(errors)) if errors else np.nan,
        "held": float(np.mean(held)) if held else np.nan,
        "width": float(np.median(widths)) if widths else np.nan,
    }
