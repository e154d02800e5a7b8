"""Find single points, or a few neighbours, that leave a smooth curve, and leave them out."""

import math
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from rankaae_stream.report import Flag
from rankaae_stream.spectra.rows import median_of
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
EDGE = (-10.0, 60.0)
RANGE = (-160.0, 160.0)
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
    """Return spectra on the same energies without their glitches, and the flags that name these.

    Parameters
    ----------
    spectra : sequence of Spectrum
        Of one edge, on one axis; those that had none stay as they are.

    Notes
    -----
    Each point, and each run of two and three, is compared with the cubic through two points to
    either side. It is a glitch where it lies further off than `SIGMA` times the noise of its
    region and than `LEAST` of the rise of mu, and where its neighbours are smooth without it: at a
    narrow peak they are not.
    """
    first = spectra[0]
    start, stop = (first.energy - first.edge.e0).searchsorted(RANGE)
    energy, mu = first.energy[start:stop], np.array([one.mu[start:stop] for one in spectra])
    found: list[tuple[Spectrum, Flag | None]] = [(one, None) for one in spectra]
    if energy.size < FEWEST:
        return found
    relative = energy - first.edge.e0
    off = _off(energy, mu, 1)
    limit = _limits(relative, mu, off)
    peaks = (relative > PEAKS[0]) & (relative < PEAKS[1])
    # Of a wide glitch the first and last point are off, too.
    for i in np.flatnonzero((np.abs(off) > limit).any(axis=1)).tolist():
        near = _bad(energy, mu[i], off[i], limit[i], peaks)
        if near.any() and np.count_nonzero(near) <= LARGEST_SHARE * energy.size:
            one, good = spectra[i], np.ones(first.energy.size, dtype=bool)
            good[start:stop] = ~near
            cleaned = Spectrum(one.energy[good], one.mu[good], one.edge, one.origin)
            found[i] = cleaned, _flag(one.energy[~good])
    return found


def _limits(relative: Floats, mu: Floats, off: Floats) -> Floats:
    """Return how far off each point (k, n) may lie, by the noise of its region and the rise."""
    share = 0.05 * (relative.size - 1)
    low, high = int(share), relative.size - 1 - int(share)
    ordered = np.partition(mu, (low, low + 1, high - 1, high), axis=1)
    part = share - low
    rise = (1.0 - part) * (ordered[:, high] - ordered[:, low]) + part * (
        ordered[:, high - 1] - ordered[:, low + 1]
    )
    before, beyond = (
        int(relative.searchsorted(EDGE[0])),
        int(relative.searchsorted(EDGE[1], "right")),
    )
    limit = np.empty(mu.shape)
    regions = (0, before, LEAST), (before, beyond, AT_EDGE), (beyond, relative.size, LEAST)
    for start, stop, least in regions:
        known = off[:, max(start, 2) : min(stop, relative.size - 2)]
        noise = np.full(len(mu), np.inf)
        if known.shape[1] >= 5:
            noise = NORMAL * median_of(np.abs(known)) / INTERPOLATION
        limit[:, start:stop] = np.maximum(SIGMA * INTERPOLATION * noise, least * rise)[:, None]
    return limit


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
        signed = np.nan_to_num(off if width == 1 else _off(energy, mu[None], width)[0])
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
    left = np.abs(_off(energy[near][keep[near]], mu[None, near][:, keep[near]], 1))
    known = left[np.isfinite(left)]
    return known.size >= 3 and float(known.max()) <= REMAINS * height


def _off(energy: Floats, mu: Floats, width: int) -> Floats:
    """Return how far the run of points that begins at each lies off the cubic around it, (k, n).

    The least of the run's points counts: all of a glitch lie off.
    """
    found = np.full(mu.shape, np.nan)
    runs = energy.size - 3 - width
    if runs < 1:
        return found
    at = [slice(start, start + runs) for start in (0, 1, 2 + width, 3 + width)]
    best = found[:, 2 : 2 + runs]
    for k in range(width):
        here = slice(2 + k, 2 + k + runs)
        distance = [energy[here] - energy[b] for b in at]
        off = mu[:, here]
        for i, a in enumerate(at):
            others = [j for j in range(4) if j != i]
            shares = [distance[j] / (energy[a] - energy[at[j]]) for j in others]
            off = off - shares[0] * shares[1] * shares[2] * mu[:, a]
        best[...] = off if k == 0 else np.where(np.abs(off) < np.abs(best), off, best)
    return found
