"""Bring the spectra of a series onto one energy axis, and find where that axis jumps."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, cast

import numpy as np

from rankaae_stream.report import Flag, Report
from rankaae_stream.spectrum import AXIS_UNCERTAINTY, Floats

__all__ = ["JITTER", "Jump", "axis_flags", "axis_jumps", "borrowed"]

_linalg = cast("Any", np.linalg)  # its functions' types are not known

JITTER = 0.05
"""Standard deviation by which the axes of one series differ, eV, when a foil aligns them."""

WINDOW = 3
"""Spectra before and after a place whose means are compared."""

SEARCHED = 400
"""Places that are looked at most; of a longer series neighbours are averaged."""

LEAST_JUMP = 0.25
"""Smaller moves of the axis are not reported, eV: five times `JITTER`."""

BY_SHIFT = 0.9
"""Part of what changes, beyond what changed already, that a shift of the axis explains where it is
one: at least .95 for shifts of .2 to 2 eV of hematite, at most .78 for steps between 12 pairs of
measured compounds (Fe3O4 to FeO)."""

SURELY = 8.0
"""A jump is larger than its standard deviation by noise by this factor."""


@dataclass(frozen=True, slots=True)
class Jump:
    """A place, the first position after it, where the axis moves by `shift`, eV."""

    at: int
    shift: float


def borrowed(reports: Sequence[Report]) -> tuple[Floats, Floats]:
    """Return what the neighbours' foils add to axes without a foil.

    Returns
    -------
    moved : (n,) array
        Added to each calibrated axis, eV: 0 for scans with a foil, and where none has one.
    sigma : (n,) array
        Standard deviation of that, eV.
    """
    n = len(reports)
    has = np.array([one.shifts.foil is not None for one in reports], dtype=bool)
    moved, sigma = np.zeros(n), np.zeros(n)
    if has.all() or not has.any():
        return moved, sigma
    own = np.array([one.shifts.calibration for one in reports])
    places, gaps = np.flatnonzero(has), np.flatnonzero(~has)
    added: Floats = own[has]
    moved[gaps] = np.interp(gaps, places, added) - own[gaps]
    if added.size < 2:
        sigma[gaps] = AXIS_UNCERTAINTY
        return moved, sigma
    usual = max(float(np.sqrt(np.mean(np.diff(added) ** 2) / 2.0)), JITTER)
    right = np.searchsorted(places, gaps)
    left = np.clip(right - 1, 0, added.size - 1)
    apart = np.abs(added[np.clip(right, 0, added.size - 1)] - added[left]) / 2.0
    sigma[gaps] = np.maximum(apart, usual)
    return moved, sigma


def axis_jumps(energy: Floats, flat: Floats, noise: float) -> list[Jump]:
    """Return where all later spectra are moved, and else go on as before.

    Parameters
    ----------
    energy : (g,) array
        eV.
    flat : (n, g) array
        Spectra in their order.
    noise : float
        Standard deviation of a point.

    Notes
    -----
    The means of a few spectra before and after a place differ by a part of what changed just
    before and changes just after, if the sample goes on; what is left must be the spectrum's
    slope. No step between two compounds is that.
    """
    size = -(-len(flat) // SEARCHED)
    first = np.arange(0, len(flat), size)
    counts = np.diff(np.append(first, len(flat)))
    rows = np.add.reduceat(flat, first, axis=0) / counts[:, None] if size > 1 else flat
    width = min(WINDOW, len(rows) // 4)
    if width < 1:
        return []
    noise = noise / math.sqrt(size)
    shifts = np.array(
        [_shift(energy, rows, place, width, noise) for place in range(width, len(rows) - width + 1)]
    )
    found: list[Jump] = []
    left = np.abs(shifts)
    while left.size and left.max() > 0.0:
        best = int(np.argmax(left))
        found.append(Jump(int(first[best + width]), float(shifts[best])))
        left[max(best - width, 0) : best + width + 1] = 0.0
    return sorted(found, key=lambda one: one.at)


def _shift(energy: Floats, rows: Floats, place: int, width: int, noise: float) -> float:
    """Return by how much the axis moves at a place, eV; 0 where it does not, or not only."""
    before = rows[place - width : place].mean(axis=0)
    after = rows[place : place + width].mean(axis=0)
    change = after - before
    # A feature at E seen at E + shift: the spectrum changes by -shift times its slope.
    slope = -np.gradient((before + after) / 2.0, energy)
    if abs(float(slope @ change)) < LEAST_JUMP * float(slope @ slope):
        return 0.0
    usual = [
        one
        for one in (
            before - rows[max(place - 2 * width, 0) : max(place - width, 1)].mean(axis=0),
            rows[place + width - 1 : place + 2 * width].mean(axis=0) - after,
        )
        if one.any()
    ]
    if usual:
        others = np.stack(usual)
        inverse: Floats = _linalg.pinv(others)
        change = change - (change @ inverse) @ others
        slope = slope - (slope @ inverse) @ others
    power = float(slope @ slope)
    shift = float(slope @ change) / max(power, 1e-12)
    sure = abs(shift) > SURELY * noise * math.sqrt(2.0 / width / max(power, 1e-12))
    pure = shift**2 * power > BY_SHIFT * float(change @ change)
    return shift if sure and pure and abs(shift) >= LEAST_JUMP else 0.0


def axis_flags(
    names: Sequence[str], jumps: Sequence[Jump], moved: Floats | None, sigma: Floats | None
) -> list[Flag]:
    """Say in words where the axis jumps, and which axes rest on their neighbours' foils."""
    flags = [
        Flag(
            "axis_jump",
            "warning",
            one.shift,
            "eV",
            f"from {names[one.at]} on the spectra are moved by {one.shift:+.2f} eV and else as "
            "before: the energy axis jumped, the sample did not change there; a reference foil in "
            "the beam takes this out",
        )
        for one in jumps
    ]
    if moved is not None and sigma is not None:
        without = np.flatnonzero(sigma > 0.0)
        flags.append(
            Flag(
                "foil_missing",
                "warning",
                float(sigma.max()),
                "eV",
                f"{without.size} of {sigma.size} scans have no foil: their axes are moved by "
                f"{float(np.median(moved[without])):+.2f} eV, as their neighbours' foils say, "
                f"uncertain by {float(sigma.max()):.2f} eV",
            )
        )
    return flags
