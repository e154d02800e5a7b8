"""Merge repeats of one scan, and say how many more are worth measuring."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, cast

import numpy as np

from rankaae_stream.report import Estimate
from rankaae_stream.series.stack import LEAST_NOISE, LeftOut
from rankaae_stream.spectrum import Floats, Spectrum

__all__ = ["Advice", "Merged", "Repeat", "advise", "merge"]

_linalg = cast("Any", np.linalg)  # its functions' types are not known

FEWEST = 5
"""Repeats from which on one that differs from the others can be told."""

LARGEST = 12.0
"""How many times as much of what neighbouring points share as chance and the other repeats have
makes a repeat be left out."""

MOST_LEFT_OUT = 0.2
"""No larger share of the repeats is left out: then it is the sample that changes."""

MOST_REPEATS = 10_000
"""More repeats are not advised."""


@dataclass(frozen=True, slots=True, eq=False)
class Repeat:
    """One scan of a sample: its calibrated spectrum, its edge step, and the noise of a point.

    `noise` is in edge steps.
    """

    spectrum: Spectrum
    edge_step: float
    noise: float


@dataclass(frozen=True, slots=True, eq=False)
class Merged:
    """The mean of repeats.

    Attributes
    ----------
    spectrum : Spectrum
        Absorption in edge steps on the energies of the first repeat that takes part.
    error : (n,) array
        Standard error of the mean at each energy, edge steps.
    used : (n,) array
        How many repeats each energy rests on: nothing is extrapolated.
    taken : tuple of int
        Positions of the repeats that take part.
    left_out : tuple of LeftOut
    """

    spectrum: Spectrum
    error: Floats
    used: Floats
    taken: tuple[int, ...]
    left_out: tuple[LeftOut, ...]


@dataclass(frozen=True, slots=True)
class Advice:
    """Whether more repeats are worth it.

    `more` repeats bring the interval's half-width to the target: 0 where it is reached, None
    where no number does. `sentence` says it in words.
    """

    more: int | None
    sentence: str


def merge(repeats: Sequence[Repeat]) -> Merged:
    """Average repeats, the noisier with less weight, and leave out what differs from all others.

    Parameters
    ----------
    repeats : sequence of Repeat
        Of one edge, each on its own calibrated axis.
    """
    energy = repeats[0].spectrum.energy
    rows = np.stack([_on(energy, one) for one in repeats])
    taken, left_out = _choose(rows, repeats)
    rows, weights = rows[taken], np.array([1.0 / _noise(repeats[i]) ** 2 for i in taken])
    there = np.isfinite(rows)
    mass = np.where(there, weights[:, None], 0.0)
    total = mass.sum(axis=0)
    kept = total > 0.0
    mean = np.where(there, rows, 0.0)
    mean = (mass * mean).sum(axis=0)[kept] / total[kept]
    used = there.sum(axis=0)[kept].astype(float)
    # From the scatter of the repeats where there are several, else from the noise.
    off = np.where(there, rows, np.nan)[:, kept] - mean
    square: Floats = np.nansum(mass[:, kept] * off**2, axis=0) / total[kept]
    scatter: Floats = np.sqrt(square / np.maximum(used - 1.0, 1.0))
    error = np.where(used > 1.0, scatter, 1.0 / np.sqrt(total[kept]))
    first = repeats[0].spectrum
    merged = Spectrum(energy[kept], mean, first.edge, first.origin)
    return Merged(merged, error, used, tuple(taken), tuple(left_out))


def _on(energy: Floats, one: Repeat) -> Floats:
    """Return a repeat in edge steps on other energies; NaN where it was not measured."""
    scan = one.spectrum
    return np.interp(energy, scan.energy, scan.mu / one.edge_step, left=np.nan, right=np.nan)


def _noise(one: Repeat) -> float:
    return max(one.noise, LEAST_NOISE)


def _choose(rows: Floats, repeats: Sequence[Repeat]) -> tuple[list[int], list[LeftOut]]:
    """Return the positions of the repeats that take part, and the others with the reason."""
    everyone = list(range(len(repeats)))
    if len(repeats) < FEWEST:
        return everyone, []
    middle = np.nanmedian(rows, axis=0)
    structure: list[float] = []
    chance: list[float] = []
    for row, one in zip(rows, repeats, strict=True):
        there = np.isfinite(row) & np.isfinite(middle)
        # Height and offset are the beam's: a repeat that differs in these is the same sample.
        design = np.column_stack([middle[there], np.ones(int(there.sum()))])
        fitted: Floats = _linalg.lstsq(design, row[there], rcond=None)[0]
        rest: Floats = row[there] - design @ fitted
        # Noise is not alike in neighbours, another sample is.
        structure.append(max(float(np.mean(rest[1:] * rest[:-1])), 0.0))
        chance.append(_noise(one) ** 2 / math.sqrt(row.size))
    usual = np.array(chance) + float(np.median(structure))
    scores = np.array(structure) / usual
    most = int(MOST_LEFT_OUT * len(repeats))
    worst = [int(i) for i in np.argsort(-scores)[:most] if scores[i] > LARGEST]
    reasons = [
        LeftOut(
            repeats[i].spectrum.origin.source,
            f"it differs from the median of the repeats by {math.sqrt(structure[i]):.1%} of the "
            "edge step, beyond noise and what the others differ by",
        )
        for i in sorted(worst)
    ]
    return [i for i in everyone if i not in worst], reasons


def advise(merged: Estimate, repeats: int, target: float) -> Advice:
    """Say how many more repeats bring the half-width of an estimate to a target.

    Parameters
    ----------
    merged : Estimate
        Of the mean of the repeats, with its shares.
    repeats : int
        How many it rests on.
    target : float
        Half-width, in the estimate's unit.
    """
    half = (merged.high - merged.low) / 2.0
    if half <= target:
        return Advice(0, f"enough: the interval is ±{half:.2f}, the target ±{target:.2f}")
    noise = merged.shares.noise if merged.shares is not None else 0.0
    by_noise, rest = noise * half**2, (1.0 - noise) * half**2
    if rest >= target**2:
        return Advice(
            None,
            f"repeats cannot bring it to ±{target:.2f}: without any noise it would be "
            f"±{math.sqrt(rest):.2f}",
        )
    needed = math.ceil(by_noise * repeats / (target**2 - rest))
    if needed > MOST_REPEATS:
        return Advice(None, f"±{target:.2f} would take more than {MOST_REPEATS} repeats")
    more = max(needed - repeats, 1)
    return Advice(more, f"{more} more repeats bring it from ±{half:.2f} to ±{target:.2f}")
