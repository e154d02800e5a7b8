"""Lay measured compounds on simulations of their own structure: where theory puts their edge.

FEFF misplaces the edge of a compound by some eV, by more for one valence than for another.
The shift that lays a measured spectrum on the simulation of its own structure says by how
much; no network takes part, which would answer a wrong shift with another site. Where no
simulated site has the compound's formula, the sites of its valence and coordination stand
in for it, of which the better half decides.
"""

# pyright: basic
# scipy has no types

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from rankaae_stream.errors import Refused
from rankaae_stream.spectrum import Floats
from training.measured.standards import Standard
from training.simulated.augment import broaden
from training.simulated.dataset import STEP, Simulated

__all__ = [
    "APART",
    "Laid",
    "apart",
    "lay_compounds",
    "lay_on_classes",
    "left_out_shifts",
    "shift_table",
]

TRIED = np.arange(-6.0, 8.01, 0.25)
"""Shifts that are tried, eV."""

BROADENED = (0.3, 0.8, 1.3)
"""Gaussian sigmas that a simulation is tried with, eV."""

SCALED = (0.85, 1.18)
"""Heights that a simulation may be scaled to: the edge step of a short scan is uncertain."""

COMPARED = (-10.0, 50.0)
"""Energies that are compared, eV from the tabulated edge."""

ALIKE = 0.5
"""Coordination numbers closer than this count as equal."""

TRUSTED = 0.15
"""A compound whose best rms exceeds this lies on no simulation; edge steps."""

WHOLE = 0.01
"""Valences closer to a whole number than this are one; a mean valence has no class of sites."""


APART = 1.0
"""A class of sites whose shift differs by more from the other classes' is to be looked at, eV."""


@dataclass(frozen=True, slots=True)
class Laid:
    """One compound laid on simulated sites.

    Attributes
    ----------
    compound : str
    oxidation_state : float
    shift : float
        eV, added to the measured energies, beyond what the simulation was moved by.
    misfit : float
        Root mean square that is left of the best site, edge steps.
    own : bool
        Whether the sites are of its own formula, or else of its class.
    sites : int
        Simulated spectra that it was laid on.
    scatter : float
        Standard deviation of the shift over the sites that decide, eV.
    """

    compound: str
    oxidation_state: float
    shift: float
    misfit: float
    own: bool
    sites: int
    scatter: float = 0.0


def lay_compounds(simulated: Simulated, used: Sequence[Standard]) -> list[Laid]:
    """Lay every compound of whole valence on the simulation, files of one compound averaged."""
    laid: list[Laid] = []
    for files in _whole(used):
        own = _formula(simulated, files[0])
        rows = own if own.size else _class(simulated, files[0])
        if rows.size:
            laid.append(_laid(simulated, rows, files, own=bool(own.size)))
    return _trusted(laid)


def lay_on_classes(simulated: Simulated, used: Sequence[Standard]) -> list[Laid]:
    """Lay every compound of whole valence on all sites of its valence and coordination.

    Whatever the class, a measured spectrum should need the same shift beyond the table: where
    one does not, the labels or the bonds of its class are to be looked at.
    """
    laid: list[Laid] = []
    for files in _whole(used):
        rows = _class(simulated, files[0])
        if rows.size:
            laid.append(_laid(simulated, rows, files, own=False))
    return _trusted(laid)


def apart(laid: Sequence[Laid]) -> dict[str, float]:
    """Return by how much each compound's shift differs from the median of all, eV."""
    middle = float(np.median([one.shift for one in laid])) if laid else 0.0
    return {one.compound: one.shift - middle for one in laid}


def shift_table(laid: Sequence[Laid], moved: Mapping[float, float]) -> dict[float, float]:
    """Return the shift of each valence, eV: the mean over its compounds, own structures first.

    Parameters
    ----------
    laid : sequence of Laid
    moved : mapping
        By valence, what the simulation was moved by already.
    """
    table: dict[float, float] = {}
    for state in sorted({one.oxidation_state for one in laid}):
        same = [one for one in laid if one.oxidation_state == state]
        chosen = [one for one in same if one.own] or same
        table[state] = moved.get(state, 0.0) + float(np.mean([one.shift for one in chosen]))
    return table


def left_out_shifts(laid: Sequence[Laid], moved: Mapping[float, float]) -> dict[str, float]:
    """Return by how much the axis would lie otherwise had each compound been left out, eV.

    A valence's shift is the mean over its compounds; without its only compound it is what
    the neighbouring valences give.
    """
    found: dict[str, float] = {}
    for one in laid:
        others = [it.shift for it in laid if it is not one and _same(it, one)]
        if others:
            found[one.compound] = (one.shift - float(np.mean(others))) / (len(others) + 1)
            continue
        rest = sorted({it.oxidation_state for it in laid} - {one.oxidation_state})
        known = moved.get(one.oxidation_state)
        if known is not None and rest and all(state in moved for state in rest):
            without = float(np.interp(one.oxidation_state, rest, [moved[s] for s in rest]))
            found[one.compound] = known - without
    return found


def _same(one: Laid, other: Laid) -> bool:
    return one.oxidation_state == other.oxidation_state


def _whole(used: Sequence[Standard]) -> list[list[Standard]]:
    """Return the files of each compound whose valence is whole: a mean one has no site."""
    whole = [one for one in used if abs(one.oxidation_state - round(one.oxidation_state)) <= WHOLE]
    names = sorted({one.compound for one in whole})
    return [[one for one in whole if one.compound == name] for name in names]


def _formula(simulated: Simulated, one: Standard) -> NDArray[np.intp]:
    """Return rows of the compound's own formula."""
    own = simulated.own_host & (simulated.group == one.formula)
    return np.flatnonzero(_valence(simulated, one) & own)


def _class(simulated: Simulated, one: Standard) -> NDArray[np.intp]:
    """Return rows of the compound's valence and coordination, or of its valence alone."""
    same = _valence(simulated, one)
    alike = np.abs(simulated.labels[:, 1] - one.coordination_number) <= ALIKE
    close = np.flatnonzero(same & alike)
    return close if close.size else np.flatnonzero(same)


def _valence(simulated: Simulated, one: Standard) -> NDArray[np.bool_]:
    return np.isclose(simulated.labels[:, 0], round(one.oxidation_state))


def _trusted(laid: Sequence[Laid]) -> list[Laid]:
    return [one for one in laid if one.misfit <= TRUSTED]


def _laid(
    simulated: Simulated, rows: NDArray[np.intp], files: Sequence[Standard], *, own: bool
) -> Laid:
    each = [_of(*_lay(simulated, rows, one), own=own) for one in files]
    shift, scatter, misfit = (float(one) for one in np.mean(each, axis=0))
    first = files[0]
    return Laid(first.compound, first.oxidation_state, shift, misfit, own, rows.size, scatter)


def _lay(simulated: Simulated, rows: NDArray[np.intp], one: Standard) -> tuple[Floats, Floats]:
    """Return the best shift (n,) and its rms (n,) on each simulated row."""
    try:
        energy, flat = one.normalized()
    except Refused:
        return np.zeros(rows.size), np.full(rows.size, np.inf)
    axis = simulated.energy
    used = (axis >= COMPARED[0]) & (axis <= min(COMPARED[1], energy[-1] - TRIED[-1]))
    moved = np.stack([np.interp(axis[used] - by, energy, flat) for by in TRIED])  # (s, f)
    best = np.full((rows.size, TRIED.size), np.inf)
    for sigma in BROADENED:
        curves = broaden(simulated.mu[rows], np.full(rows.size, sigma), STEP)[:, used]
        own, cross = (curves**2).sum(1)[:, None], curves @ moved.T
        scale = np.clip(cross / own, *SCALED)
        left = scale**2 * own - 2.0 * scale * cross + (moved**2).sum(1)
        best = np.minimum(best, np.sqrt(np.maximum(left, 0.0) / used.sum()))
    return TRIED[np.argmin(best, axis=1)], best.min(axis=1)


def _of(shift: Floats, misfit: Floats, *, own: bool) -> tuple[float, float, float]:
    """Return median and scatter of the shift, and the best rms.

    Of the better half of the rows, or of all where they are the compound's own.
    """
    half = np.argsort(misfit)[: max(1, shift.size if own else (shift.size + 1) // 2)]
    return float(np.median(shift[half])), float(np.std(shift[half])), float(misfit.min())
