"""Find single points, or a few neighbours, that leave a smooth curve, and leave them out."""

import math

import numpy as np
from numpy.typing import NDArray

from rankaae_stream.report import Flag
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


def without_glitches(spectrum: Spectrum) -> tuple[Spectrum, Flag | None]:
    """Return a spectrum without its glitches, and the flag that names them.

    Parameters
    ----------
    spectrum : Spectrum

    Notes
    -----
    Each point, and each run of two and three, is compared with the cubic through two points to
    either side. It is a glitch where it lies further off than `SIGMA` times the noise of its
    region and than `LEAST` of the rise of mu, and where its neighbours are smooth without it: at a
    narrow peak they are not.
    """
    first, last = np.searchsorted(spectrum.energy - spectrum.edge.e0, RANGE)
    energy, mu = spectrum.energy[first:last], spectrum.mu[first:last]
    if energy.size < FEWEST:
        return spectrum, None
    relative = energy - spectrum.edge.e0
    rise = float(np.percentile(mu, 95) - np.percentile(mu, 5))
    off = _off(energy, mu, 1)
    before, beyond = relative < EDGE[0], relative > EDGE[1]
    regions = [before, ~(before | beyond), beyond]
    noise, least = np.full(energy.size, np.inf), np.full(energy.size, LEAST * rise)
    for region in regions:
        known = off[region & np.isfinite(off)]
        if known.size >= 5:
            noise[region] = NORMAL * float(np.median(np.abs(known))) / INTERPOLATION
    least[regions[1]] = AT_EDGE * rise
    limit = np.maximum(SIGMA * INTERPOLATION * noise, least)
    bad = np.zeros(spectrum.energy.size, dtype=bool)
    peaks = (relative > PEAKS[0]) & (relative < PEAKS[1])
    bad[first:last] = _bad(energy, mu, off, limit, peaks)
    if not bad.any() or np.count_nonzero(bad) > LARGEST_SHARE * energy.size:
        return spectrum, None
    good = ~bad
    cleaned = Spectrum(spectrum.energy[good], spectrum.mu[good], spectrum.edge, spectrum.origin)
    return cleaned, _flag(spectrum.energy[bad])


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
    if not np.any(np.abs(off) > limit):  # of a wide glitch the first and last point are off, too
        return bad
    for width in range(1, WIDEST + 1):
        signed = np.nan_to_num(off if width == 1 else _off(energy, mu, width))
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
    left = np.abs(_off(energy[near][keep[near]], mu[near][keep[near]], 1))
    known = left[np.isfinite(left)]
    return known.size >= 3 and float(known.max()) <= REMAINS * height


def _off(energy: Floats, mu: Floats, width: int) -> Floats:
    """Return how far the run of points that begins at each lies off the cubic around it, (n,).

    The least of the run's points counts: all of a glitch lie off.
    """
    size = energy.size
    found = np.full(size, np.nan)
    first = np.arange(2, size - 1 - width)
    if not first.size:
        return found
    at = [first - 2, first - 1, first + width, first + width + 1]
    for k in range(width):
        here = energy[first + k]
        cubic = np.zeros(first.size)
        for a in at:
            weight = np.ones(first.size)
            for b in at:
                if a is not b:
                    weight *= (here - energy[b]) / (energy[a] - energy[b])
            cubic += weight * mu[a]
        off = mu[first + k] - cubic
        found[first] = (
            off if k == 0 else np.where(np.abs(off) < np.abs(found[first]), off, found[first])
        )
    return found
