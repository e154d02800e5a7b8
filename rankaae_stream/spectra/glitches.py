"""Find single points, or a few neighbours, that leave a smooth curve, and leave them out."""

import math
from collections.abc import Iterator, Sequence

import numpy as np
from numpy.typing import NDArray

from rankaae_stream.report import Flag
from rankaae_stream.spectra.rows import below, filled, median_within, on_like_axes, ordered_within
from rankaae_stream.spectrum import Floats, Spectrum

__all__ = ["without_glitches"]

WIDEST = 3
"""Points of the widest glitch."""
SIGMA = 10.0
"""Standard deviations of the noise beyond which a point may be a glitch."""
LEAST = 0.02
"""The same as a share of the rise of mu: a smaller glitch changes no answer."""
AT_EDGE = 0.05
"""`LEAST` from `EDGE` eV around the edge, where curves bend between two points."""
EDGE = np.array([-10.0, 60.0])
RANGE = np.array([-160.0, 160.0])
"""Energies that an answer rests on, eV from the edge; only there glitches matter."""
PEAKS = (-10.0, 10.0)
"""Where compounds have narrow peaks, eV from the edge: those of pre-edges."""
NARROW = 1.0
"""Peaks are wider than this, eV, by the core hole's lifetime and the crystal: a run of points that
spans more and lies above the curve is no glitch there. Of 205 mixtures with V2O5 on steps of 0.6 eV
five lost the peak of the pre-edge."""
REMAINS = 0.35
"""A glitch's neighbours are smooth without it: no more than this share of its height is left."""
LARGEST_SHARE = 0.02
"""Larger shares of outlying points are noise, not glitches."""
FEWEST = 30
"""Points below which nothing can be called smooth."""
NORMAL = 1.4826
"""Standard deviations in a median absolute deviation."""
INTERPOLATION = math.sqrt(1.0 + 34.0 / 36.0)
"""Noise of a point less its neighbours' cubic, in the noise of a point."""


def without_glitches(spectra: Sequence[Spectrum]) -> list[tuple[Spectrum, Flag | None]]:
    """Return spectra of one edge without their glitches, and the flags that name these.

    Parameters
    ----------
    spectra : sequence of Spectrum
        Those that had none stay as they are.

    Notes
    -----
    Each point, and each run of two and three, is compared with the cubic through two points to
    either side. It is a glitch where it lies further off than `SIGMA` times the noise of its
    region and than `LEAST` of the rise of mu, and where its neighbours are smooth without it: at a
    narrow peak they are not.
    """
    found: list[tuple[Spectrum, Flag | None]] = [(one, None) for one in spectra]
    for group, axes in on_like_axes([one.energy for one in spectra]):
        mu = filled([spectra[i].mu for i in group], axes.shape[1])
        for k, bad in _glitches(axes - spectra[0].edge.e0, axes, mu):
            one = spectra[group[k]]
            good = np.ones(one.energy.size, dtype=bool)
            good[bad] = False
            clean = Spectrum(one.energy[good], one.mu[good], one.edge, one.origin)
            found[group[k]] = clean, _flag(one.energy[~good])
    return found


def _glitches(
    relative: Floats, energy: Floats, mu: Floats
) -> Iterator[tuple[int, NDArray[np.intp]]]:
    """Yield which rows of mu (k, n) have glitches, and which points these are.

    `relative` and `energy` (p, n), eV from the tabulated edge and as measured; see `rows`.
    """
    start, stop = below(relative, RANGE[:1]), below(relative, RANGE[1:])
    enough = np.flatnonzero(stop - start >= FEWEST)
    if not enough.size:
        return
    rows = np.arange(len(mu)) if len(start) == 1 else enough
    if len(start) > enough.size:
        relative, energy, mu = relative[rows], energy[rows], mu[rows]
        start, stop = start[rows], stop[rows]
    part = slice(int(min(start)), int(max(stop)))
    relative, energy, mu = relative[:, part], energy[:, part], mu[:, part]
    start, stop = start - part.start, stop - part.start
    off = _off(energy, mu, 1)
    if len(start) > 1:
        at = np.arange(relative.shape[1], dtype=np.intp)
        off[(at < start[:, None] + 2) | (at >= stop[:, None] - 2)] = np.nan
    size = np.abs(off)
    limit = _limits(relative, mu, size, start, stop)
    # Of a wide glitch the first and last point are off, too.
    for i in np.flatnonzero((size > limit).any(axis=1)).tolist():
        k = min(i, len(start) - 1)
        own = slice(int(start[k]), int(stop[k]))
        x = relative[k, own]
        peaks = (x > PEAKS[0]) & (x < PEAKS[1])
        bad = np.flatnonzero(_bad(energy[k, own], mu[i, own], off[i, own], limit[i, own], peaks))
        if 0 < bad.size <= LARGEST_SHARE * x.size:
            yield int(rows[i]), part.start + own.start + bad


def _limits(
    relative: Floats,
    mu: Floats,
    size: Floats,
    start: NDArray[np.intp],
    stop: NDArray[np.intp],
) -> Floats:
    """Return how far off each point (k, n) may lie, by the noise of its region and the rise.

    `size` (k, n) is how far off each lies, `start` and `stop` (p,) bound what is looked at.
    """
    ordered, rows = ordered_within(mu, start, stop), np.arange(len(mu))
    last = np.maximum(stop - start - 1, 0)
    share = 0.05 * last
    low = share.astype(np.intp)
    high, part = last - low, share - low
    rise = (1.0 - part) * (ordered[rows, high] - ordered[rows, low]) + part * (
        ordered[rows, high - 1] - ordered[rows, low + 1]
    )
    before, beyond = below(relative, EDGE[:1]), below(relative, EDGE[1:], "right")
    regions = np.array([start, before, beyond, stop])
    # The two points to either side have no cubic.
    first = np.maximum(regions[:-1], start + 2)
    end = np.maximum(np.minimum(regions[1:], stop - 2), first)
    found = np.array([median_within(size, *each) for each in zip(first, end, strict=True)])
    noise = np.where(end - first >= 5, NORMAL * found / INTERPOLATION, np.inf)
    least = np.array([[LEAST], [AT_EDGE], [LEAST]]) * rise
    limit = np.maximum(SIGMA * INTERPOLATION * noise, least)
    at = np.arange(relative.shape[1], dtype=np.intp)
    region = np.add(at >= before[:, None], at >= beyond[:, None], dtype=np.intp)
    return limit[region, rows[:, None]]


def _flag(energies: Floats) -> Flag:
    named = ", ".join(f"{energy:.1f}" for energy in energies[:6])
    more = f" and {energies.size - 6} more" if energies.size > 6 else ""
    points = "1 point lies" if energies.size == 1 else f"{energies.size} points lie"
    return Flag(
        "glitch",
        "info",
        float(energies.size),
        "1",
        f"{points} off the curve of the neighbours, left out of the answer: {named} eV{more}; "
        "detune or turn the crystal if it comes again",
    )


def _bad(
    energy: Floats, mu: Floats, off: Floats, limit: Floats, peaks: NDArray[np.bool_]
) -> NDArray[np.bool_]:
    """Return which points are glitches, the narrowest explanation first."""
    bad = np.zeros(energy.size, dtype=bool)
    for width in range(1, WIDEST + 1):
        signed = np.nan_to_num(off if width == 1 else _off(energy[None], mu[None], width)[0])
        runs = np.abs(signed)
        for start in np.argsort(-runs)[: 2 * max(1, int(LARGEST_SHARE * energy.size))]:
            stop = int(start) + width
            if runs[start] <= limit[start] or bad[max(start - 2, 0) : stop + 2].any():
                continue
            wide = energy[stop - 1] - energy[start] > NARROW
            if wide and peaks[start] and signed[start] > 0.0:
                continue
            if _smooth_without(energy, mu, int(start), stop, float(runs[start])):
                bad[start:stop] = True
    return bad


def _smooth_without(energy: Floats, mu: Floats, start: int, stop: int, height: float) -> bool:
    near = slice(max(start - 5, 0), stop + 5)
    keep = np.ones(energy.size, dtype=bool)
    keep[start:stop] = False
    left = np.abs(_off(energy[near][keep[near]][None], mu[near][keep[near]][None], 1))
    known = left[np.isfinite(left)]
    return known.size >= 3 and float(known.max()) <= REMAINS * height


def _off(energy: Floats, mu: Floats, width: int) -> Floats:
    """Return how far the run of points that begins at each lies off the cubic around it, (k, n).

    The least of the run's points counts: all of a glitch lie off.
    """
    found = np.full(mu.shape, np.nan)
    runs = energy.shape[1] - 3 - width
    if runs < 1:
        return found
    at = [slice(start, start + runs) for start in (0, 1, 2 + width, 3 + width)]
    anchors, absorptions = [energy[:, a] for a in at], [mu[:, a] for a in at]
    apart = [[a - b for b in anchors if b is not a] for a in anchors]
    best = found[:, 2 : 2 + runs]
    for k in range(width):
        here = slice(2 + k, 2 + k + runs)
        off, distance = mu[:, here], [energy[:, here] - a for a in anchors]
        for i, (absorption, between) in enumerate(zip(absorptions, apart, strict=True)):
            others = distance[:i] + distance[i + 1 :]
            shares = [each / by for each, by in zip(others, between, strict=True)]
            off = off - shares[0] * shares[1] * shares[2] * absorption
        best[...] = off if k == 0 else np.where(np.abs(off) < np.abs(best), off, best)
    return found
