"""Merge repeats of one scan, and say how many more are worth measuring."""

import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace

import numpy as np

from rankaae_stream.model.intervals import normal_quantile
from rankaae_stream.report import Estimate, Shares
from rankaae_stream.series.changes import Drift
from rankaae_stream.series.stack import LEAST_NOISE, LeftOut
from rankaae_stream.spectrum import Floats, Spectrum

__all__ = ["Advice", "Merged", "Repeat", "advise", "by_scatter", "merge"]

COPIES = 3.0
"""Repeats that the noise by a spectrum's noisy copies counts for: it is off by a factor of .3 to 2
where networks bend."""

FEWEST = 5
"""Fewest repeats among which one that differs from the others is recognised."""

LARGEST = 12.0
"""How many times as much of what neighbouring points share as chance and the other repeats have
makes a repeat be left out."""

MOST_LEFT_OUT = 0.2
"""No larger share of the repeats is left out: then it is the sample that changes."""

GAP = 8
"""So many energies of the first repeat between two neighbouring points of another are a gap."""

EVEN = 3.0
"""Largest ratio of steps through which a cubic is laid."""

BLOCK = 512
"""Repeats that are worked on at a time; of more the median is that of averaged neighbours."""

NOISY = 0.02
"""Share of noise from which on it widens other causes, too."""

AXIS_STAYS = 0.5
"""Part of the axis' share of a noisy mean that repeats leave."""

FALLING = 1.5
"""Power of the number of repeats by which what noise widens falls: of 1, 1.5 and 2 this came
nearest to what was needed, with Fe2O3, V2O3 and Cr2O3 of 3 to 10 % noise."""

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
    first = repeats[0].spectrum
    energy = first.energy
    rows = np.stack([_on(energy, one) for one in repeats])
    taken, left_out = _choose(rows, repeats)
    mean, square, mass, used = _average(rows, repeats, taken)
    kept = used > 0.0
    # From the scatter of the repeats where there are several, else from the noise.
    scatter: Floats = np.sqrt(square / np.maximum(used - 1.0, 1.0))
    error = np.where(used > 1.0, scatter, 1.0 / np.sqrt(np.where(kept, mass, 1.0)))
    merged = Spectrum(energy[kept], mean[kept], first.edge, first.origin)
    return Merged(merged, error[kept], used[kept], tuple(taken), tuple(left_out))


def _average(
    rows: Floats, repeats: Sequence[Repeat], taken: Sequence[int]
) -> tuple[Floats, Floats, Floats, Floats]:
    """Return weighted mean and variance, summed weight and number of repeats at each energy.

    In blocks, so that of many repeats little is held beside the rows.
    """
    weights = np.array([1.0 / _noise(repeats[i]) ** 2 for i in taken])
    places = np.array(taken)
    shape = (3, rows.shape[1])
    total, square = np.zeros(shape), np.zeros(shape[1])
    for block in _blocks(len(taken)):
        part, heavy = rows[places[block]], weights[block, None]
        there = np.isfinite(part)
        total += np.array(
            [
                (heavy * np.where(there, part, 0.0)).sum(axis=0),
                (heavy * there).sum(axis=0),
                there.sum(axis=0),
            ]
        )
    mass, used = total[1], total[2]
    mean = total[0] / np.where(mass > 0.0, mass, 1.0)
    for block in _blocks(len(taken)):
        off = rows[places[block]] - mean
        square += np.nansum(weights[block, None] * off**2, axis=0)
    return mean, square / np.where(mass > 0.0, mass, 1.0), mass, used


def _blocks(count: int) -> list[slice]:
    return [slice(first, first + BLOCK) for first in range(0, count, BLOCK)]


def _on(energy: Floats, one: Repeat) -> Floats:
    """Return a repeat in edge steps on other energies; NaN where it was not measured.

    Between points by the cubic through four, as a straight line would blunt the edge; by a line
    where they are uneven. A gap that holds many of the other energies was not measured.
    """
    scan = one.spectrum
    x, y = scan.energy, scan.mu / one.edge_step
    if np.array_equal(x, energy):
        return y
    found = np.interp(energy, x, y, left=np.nan, right=np.nan)
    if x.size < 4:
        return found
    steps = np.diff(x)
    near = np.clip(np.searchsorted(x, energy), 1, x.size - 1)  # the right end of the interval
    found[np.bincount(near, minlength=x.size)[near] > GAP] = np.nan
    first = np.clip(near - 2, 0, x.size - 4)
    three = np.stack([steps[first + k] for k in range(3)])
    even = np.flatnonzero((three.max(axis=0) <= EVEN * three.min(axis=0)) & np.isfinite(found))
    first, to = first[even], energy[even]
    at = [x[first + k] for k in range(4)]
    cubic = np.zeros(even.size)
    for k in range(4):
        weight = np.ones(even.size)
        for m in range(4):
            if m != k:
                weight *= (to - at[m]) / (at[k] - at[m])
        cubic += weight * y[first + k]
    found[even] = cubic
    return found


def _noise(one: Repeat) -> float:
    return max(one.noise, LEAST_NOISE)


def _choose(rows: Floats, repeats: Sequence[Repeat]) -> tuple[list[int], list[LeftOut]]:
    """Return the positions of the repeats that take part, and the others with the reason."""
    everyone = list(range(len(repeats)))
    if len(repeats) < FEWEST:
        return everyone, []
    middle = np.nanmedian(_at_most(rows, BLOCK), axis=0)
    known = np.isfinite(middle)
    structure = np.concatenate(
        [_structure(rows[block][:, known], middle[known]) for block in _blocks(len(rows))]
    )
    chance = np.array([_noise(one) for one in repeats]) ** 2 / math.sqrt(rows.shape[1])
    scores = structure / (chance + float(np.median(structure)))
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


def _structure(rows: Floats, middle: Floats) -> Floats:
    """Return the power (n,) that neighbouring points share of what rows (n, m) differ by.

    Height and offset are the beam's: a repeat that differs in these is the same sample. Noise is
    not alike in neighbours, another sample is.
    """
    there = np.isfinite(rows)
    count = np.maximum(there.sum(axis=1, keepdims=True), 1)
    away = np.where(there, middle, 0.0)
    away = np.where(there, away - away.sum(axis=1, keepdims=True) / count, 0.0)
    level = np.where(there, rows, 0.0).sum(axis=1, keepdims=True) / count
    rest = np.where(there, rows - level, 0.0)
    power = np.maximum((away**2).sum(axis=1, keepdims=True), 1e-12)
    rest -= (away * rest).sum(axis=1, keepdims=True) / power * away
    pairs = np.maximum((there[:, 1:] & there[:, :-1]).sum(axis=1), 1)
    return np.maximum((rest[:, 1:] * rest[:, :-1]).sum(axis=1) / pairs, 0.0)


def _at_most(rows: Floats, most: int) -> Floats:
    """Return rows, of many the means of neighbours: a median of these costs little."""
    size = -(-len(rows) // most)
    if size == 1:
        return rows
    first = np.arange(0, len(rows), size)
    there = np.add.reduceat(np.isfinite(rows), first, axis=0, dtype=float)
    total = np.add.reduceat(np.nan_to_num(rows), first, axis=0)
    return np.where(there > 0.0, total / np.maximum(there, 1.0), np.nan)


def by_scatter(
    merged: Estimate,
    alone: Sequence[Estimate],
    moved: Drift | None = None,
    limits: tuple[float, float] = (-math.inf, math.inf),
) -> Estimate:
    """Return the estimate of a mean, the noise in its interval by what its repeats scatter.

    Parameters
    ----------
    merged : Estimate
        Of the mean of the repeats, with its shares.
    alone : sequence of Estimate
        Of each repeat.
    moved : Drift, optional
        A sure trend is told as such, and is no scatter.
    limits : pair of float
        Possible values.

    Notes
    -----
    The noise of one repeat is what they scatter by, together with what their noisy copies say,
    which counts as `COPIES` repeats do; that of the mean falls with their number. Whatever else
    differs between repeats, such as the place on the sample, is in their scatter, too.
    """
    values = np.array([one.value for one in alone])
    known = [one.shares.noise * _half(one) ** 2 for one in alone if one.shares is not None]
    n = values.size
    if n < 2 or merged.shares is None or not known:
        return merged
    off, free = values - values.mean(), n - 1
    if moved is not None and moved.sure:
        places = np.arange(n) - (n - 1) / 2.0
        off, free = off - (off @ places) / (places @ places) * places, n - 2
    scattered = normal_quantile(merged.level) ** 2 * float(off @ off)
    noise = (scattered + COPIES * float(np.mean(known))) / (free + COPIES) / n
    before = _half(merged) ** 2
    square = (1.0 - merged.shares.noise) * before + noise
    if not 0.0 < square < math.inf:
        return merged
    half = math.sqrt(square)
    parts = {name: share * before / square for name, share in asdict(merged.shares).items()}
    return replace(
        merged,
        low=max(merged.value - half, limits[0]),
        high=min(merged.value + half, limits[1]),
        shares=Shares(**(parts | {"noise": noise / square})),
    )


def _half(found: Estimate) -> float:
    """Return the half-width that an interval has before it is cut to possible values."""
    return max(found.high - found.value, found.value - found.low)


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

    Notes
    -----
    On a noisy spectrum networks differ more, and an axis changes more: that falls with the noise,
    and faster. On a quiet one only what noise itself does falls, as one over the repeats.
    """
    half = _half(merged)
    if half <= target:
        return Advice(0, f"enough: the interval is ±{half:.2f}, the target ±{target:.2f}")
    stays, power = _staying(merged)
    if stays >= target**2:
        return Advice(
            None,
            f"repeats cannot bring it to ±{target:.2f}: without any noise it would be "
            f"±{math.sqrt(stays):.2f}",
        )
    needed = math.ceil(repeats * ((half**2 - stays) / (target**2 - stays)) ** (1.0 / power) - 1e-9)
    if needed > MOST_REPEATS:
        return Advice(None, f"±{target:.2f} would take more than {MOST_REPEATS} repeats")
    more = max(needed - repeats, 1)
    return Advice(more, f"{more} more repeats bring it from ±{half:.2f} to ±{target:.2f}")


def _staying(merged: Estimate) -> tuple[float, float]:
    """Return the part of a squared half-width that repeats leave, and the power of the others'."""
    square, shares = _half(merged) ** 2, merged.shares or Shares()
    if shares.noise < NOISY:
        return (1.0 - shares.noise) * square, 1.0
    return (shares.theory + shares.extent + AXIS_STAYS * shares.axis) * square, FALLING
