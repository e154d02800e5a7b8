"""Judge a spectrum: refuse it, or flag what its reader should know."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from rankaae_stream.errors import Refused
from rankaae_stream.report import Domain, Estimate, Flag, FoilShift, Shifts
from rankaae_stream.spectrum import (
    Channel,
    Edge,
    EnergyGrid,
    Floats,
    Limits,
    NormalizationRanges,
)

__all__ = [
    "Coverage",
    "complete_enough",
    "coverage",
    "disagreement_flag",
    "domain_flag",
    "few_standards_flag",
    "foil_flag",
    "mixed_flag",
    "outside_standards_flag",
    "part_flag",
    "poor_fit_flag",
    "shift_flag",
    "signal_flags",
    "unread_events",
    "unusable_points",
]

FULL = (-60.0, 150.0)
"""A scan of this range around the edge has full coverage, eV."""
USABLE = (-40.0, 100.0)
"""A growing scan is answered once it covers this range around the edge, eV."""
TOLERANCE = 0.5
"""How much shorter than planned a scan may be, by an encoder's step, eV."""
LEAST_MIXED = 0.15
"""Valences closer to a whole number are not called mixed: compounds of one valence err by that."""
BEYOND_STANDARDS = 0.1
"""How far beyond a beamline's own standards an answer is still called within them."""
LARGEST_GAP = 6.0
"""Largest distance of points within the model's grid, eV."""
FLAT_BELOW = 0.0
"""Before it a spectrum is flat, eV from the edge: standards that were thinned out to 10 eV there
change by at most 0.08, a fifth of their interval."""
LARGEST_FLAT_GAP = 12.0
"""Largest distance of points there, eV."""
LOW_SHARE = 0.01
"""Largest share of points with a low signal: the shutter opens after the first."""
UNUSABLE = 0.02
"""Largest share of points without a finite mu, which are left out."""

# Relative errors of the edge step, measured on oxide spectra that were cut shorter
# (largest of Fe2O3, FeO, CuO at each end; larch, linear post-edge).
_POST_END = np.array([50.0, 75.0, 100.0, 150.0])
_POST_ERROR = np.array([0.27, 0.20, 0.11, 0.05])
_PRE_START = np.array([-60.0, -40.0, -30.0, -20.0, -10.0])
_PRE_ERROR = np.array([0.01, 0.02, 0.08, 0.19, 0.25])


@dataclass(frozen=True, slots=True)
class Coverage:
    """The normalisation ranges for the energies of a spectrum, and the error they cause.

    `gap` is the widest (start, end) without a point before the edge, eV, where it is wider than
    anywhere else allowed. `step_error` is the relative standard error of the edge step beyond that
    of a spectrum with full coverage, which is part of the model's calibration.
    """

    ranges: NormalizationRanges
    step_error: float
    flag: Flag | None
    gap: tuple[float, float] | None = None


def complete_enough(
    energy: Floats, e0: float, grid: EnergyGrid, theory_shift: float, *, complete: bool
) -> bool:
    """Return whether energies reach so far that a spectrum can be normalised.

    Parameters are those of `coverage`.
    """
    first, last = float(energy[0]) - e0, float(energy[-1]) - e0
    if not complete:
        return first <= USABLE[0] + TOLERANCE and last >= USABLE[1] - TOLERANCE
    return first <= grid.start - theory_shift + 1e-3 and last >= grid.stop - theory_shift - 1e-3


def part_flag(reach: tuple[float, float], *, complete: bool) -> Flag:
    """Flag an answer that rests on a part of a spectrum."""
    rest = "; the interval narrows as the scan goes on"
    if complete:
        rest = "; a scan from -60 to +150 eV gets an answer with a narrower interval"
    return Flag(
        "partial",
        "warning" if complete else "info",
        reach[1],
        "eV",
        f"answered from {reach[0]:+.0f} to {reach[1]:+.0f} eV around the edge, without a "
        f"normalisation{rest}",
    )


def disagreement_flag(estimates: Sequence[Estimate], part: Estimate | None) -> Flag | None:
    """Flag a valence that normalised and raw absorption give differently, beyond both intervals."""
    state = next((one for one in estimates if part is not None and one.name == part.name), None)
    if state is None or part is None or (state.low <= part.high and part.low <= state.high):
        return None
    return Flag(
        "disagreement",
        "warning",
        part.value - state.value,
        state.unit,
        f"the normalised spectrum gives {state.value:.2f} ({state.low:.2f} to {state.high:.2f}), "
        f"the raw one alone {part.value:.2f} ({part.low:.2f} to {part.high:.2f}): look at the "
        "background and the normalisation",
    )


def coverage(
    energy: Floats,
    e0: float,
    ranges: NormalizationRanges,
    grid: EnergyGrid,
    theory_shift: float,
    *,
    complete: bool,
) -> Coverage:
    """Judge how far the energies reach, and choose the ranges of the normalisation.

    Parameters
    ----------
    energy : (n,) array
        Calibrated energies, increasing, eV.
    e0 : float
        Tabulated edge, eV.
    ranges : NormalizationRanges
        The card's.
    grid : EnergyGrid
        The model's.
    theory_shift : float
        Added to `energy` to get to the grid's axis, eV.
    complete : bool
        False while the scan grows; then the range `USABLE` must be covered, because
        what is missing is still to come.

    Returns
    -------
    Coverage

    Raises
    ------
    Refused
        ``coverage``, with the energies measured and those needed.
    """
    first, last = float(energy[0]) - e0, float(energy[-1]) - e0
    reach = f"the scan covers {first:+.1f} to {last:+.1f} eV around the edge"
    usable = first <= USABLE[0] + TOLERANCE and last >= USABLE[1] - TOLERANCE
    if not complete and not usable:
        raise Refused(
            "coverage",
            f"{reach} so far; a growing scan is answered once it covers {USABLE[0]:+.0f} to "
            f"{USABLE[1]:+.0f} eV",
        )
    wanted = grid.start - theory_shift, grid.stop - theory_shift
    if first > wanted[0] + 1e-3 or last < wanted[1] - 1e-3:
        raise Refused(
            "coverage", f"{reach}; the model needs {wanted[0]:+.1f} to {wanted[1]:+.1f} eV"
        )
    gap = _find_gap(energy, e0, wanted)

    used = ranges
    if last < USABLE[1] - TOLERANCE:
        used = replace(used, nnorm=0)
    if energy.size < 2 or energy[1] - e0 > ranges.pre2:
        used = replace(used, npre=0, pre2=-10.0)
    if first <= FULL[0] + TOLERANCE and last >= FULL[1] - TOLERANCE:
        return Coverage(used, 0.0, None, gap)
    step_error = float(
        np.hypot(
            _excess(np.interp(last, _POST_END, _POST_ERROR), _POST_ERROR[-1]),
            _excess(np.interp(first, _PRE_START, _PRE_ERROR), _PRE_ERROR[0]),
        )
    )
    flag = Flag(
        "coverage",
        "info" if usable else "warning",
        last - first,
        "eV",
        f"{reach}; full coverage is {FULL[0]:+.0f} to {FULL[1]:+.0f} eV: here the edge step is "
        f"uncertain by a further {step_error:.0%}, and the intervals are wider",
    )
    return Coverage(used, step_error, flag, gap)


def _excess(error: float, at_full: float) -> float:
    return float(np.sqrt(max(error**2 - at_full**2, 0.0)))


def _find_gap(energy: Floats, e0: float, wanted: tuple[float, float]) -> tuple[float, float] | None:
    """Return the widest gap in the flat part before the edge; refuse one anywhere else."""
    first = int(energy.searchsorted(e0 + wanted[0] - LARGEST_FLAT_GAP))
    # What begins and ends before the grid does not count, however wide.
    first = max(int(energy.searchsorted(e0 + wanted[0], "right")) - 1, first)
    inside = energy[first : int(energy.searchsorted(e0 + wanted[1], "right"))]
    gaps = inside[1:] - inside[:-1]
    allowed = np.where(inside[1:] - e0 <= FLAT_BELOW, LARGEST_FLAT_GAP, LARGEST_GAP)
    if gaps.size == 0 or np.any(gaps > allowed):
        at = int(np.argmax(gaps - allowed)) if gaps.size else 0
        hole = f"{inside[at]:.1f}-{inside[at + 1]:.1f} eV" if gaps.size else "the whole grid"
        raise Refused(
            "coverage",
            f"no points in {hole}; within the model's grid they may be at most "
            f"{LARGEST_GAP:.0f} eV apart, {LARGEST_FLAT_GAP:.0f} eV before the edge",
        )
    at = int(np.argmax(gaps))
    return (float(inside[at]), float(inside[at + 1])) if gaps[at] > LARGEST_GAP else None


def unusable_points(energy: Floats, bad: int, problem: str = "") -> Flag | None:
    """Flag points without a finite absorption, or refuse a spectrum with many of them.

    Parameters
    ----------
    energy : (n,) array
        All measured energies of the sweep, eV.
    bad : int
        How many of them have an energy or a mu that is not finite: it was missing, or i0, it
        or the fluorescence was zero, negative or NaN.
    problem : str, optional
        Why the first of them could not be read, where it could not.

    Returns
    -------
    Flag or None
        ``bad_signal``, or None where all points are good.

    Raises
    ------
    Refused
        ``bad_signal`` when they are more than `UNUSABLE` of all points.
    """
    if not bad:
        return None
    why = f" ({problem})" if problem else ""
    sentence = f"{bad} of {energy.size} points have a zero, negative or missing signal{why}"
    return _left_out(bad, energy.size, sentence)


def unread_events(unread: int, points: int, why: str) -> Flag:
    """Flag events that could not be read at all, beside `points` that could, by the same rule.

    Raises
    ------
    Refused
        ``bad_signal``.
    """
    total = points + unread
    return _left_out(unread, total, f"{unread} of {total} events could not be read ({why})")


def _left_out(bad: int, total: int, sentence: str) -> Flag:
    if bad > UNUSABLE * total:
        raise Refused("bad_signal", f"{sentence}; at most {UNUSABLE:.0%} may be left out")
    return Flag("bad_signal", "warning", float(bad), "1", f"{sentence} and were left out")


def signal_flags(
    channel: Channel, levels: Mapping[str, Sequence[float]], limits: Mapping[str, Limits]
) -> list[Flag]:
    """Flag detectors of a channel that were saturated or had too little signal.

    Parameters
    ----------
    channel : Channel
    levels : mapping of (n,)
        Readings of each detector at every point, by role; not finite where it has none.
    limits : mapping of Limits
        By role; a detector without limits is not judged.

    Returns
    -------
    list of Flag
        ``saturated`` and ``low_signal``.
    """
    flags: list[Flag] = []
    for role in ("i0", "it" if channel == "transmission" else channel):
        limit, level = limits.get(role), np.asarray(levels.get(role, ()), dtype=float)
        if limit is None or not level.size:
            continue
        high, low = level > limit.high, level < limit.low
        if high.any():
            sentence = (
                f"{limit.name} at {np.count_nonzero(high)} of {level.size} energies is above "
                f"{limit.high:.0f} {limit.unit}, where it is no longer linear; "
                "lower the gain or the flux"
            )
            largest = float(level[high].max())
            flags.append(Flag("saturated", "warning", largest, limit.unit, sentence))
        if np.count_nonzero(low) > LOW_SHARE * level.size:
            sentence = (
                f"{limit.name} at {np.count_nonzero(low)} of {level.size} energies is below "
                f"{limit.low:.0f} {limit.unit}, where its offset matters; "
                "raise the gain or the flux"
            )
            median = float(np.nanmedian(level))
            flags.append(Flag("low_signal", "warning", median, limit.unit, sentence))
    return flags


def foil_flag(reason: str, shifts: Shifts) -> Flag:
    """Flag a scan without its own foil; name the shift used instead and its uncertainty."""
    uncertainty = shifts.uncertainty or 0.0
    # Published documents hold these two sentences: a replay has to write the same.
    instead = "the energy axis is used as measured"
    if shifts.foil is not None:
        instead = f"{_name(shifts)} stands instead"
    sentence = f"{reason}; {instead}, uncertain by {uncertainty:.2g} eV"
    return Flag("no_foil", "info", uncertainty, "eV", sentence)


def shift_flag(shifts: Shifts, limit: float, *, applied: bool) -> Flag | None:
    """Flag a shift that is larger than `limit` (eV), not applied, or of a damped foil."""
    if shifts.foil is None:
        return None
    value, large, damping = shifts.foil.value, abs(shifts.foil.value) > limit, shifts.foil.damping
    if applied and not large and not damping:
        return None
    within = f"beyond {limit} eV" if large else f"within {limit} eV"
    done = "it was added" if applied else "it is reported only, the axis stays as measured"
    sentence = f"{_name(shifts)}, {value:+.2f} eV, is {within}; {done}"
    if damping:
        sentence += (
            f"; the foil's peaks are damped by {damping:.0%}, as by its thickness or by harmonics, "
            f"so its shift is uncertain by {shifts.foil.uncertainty:.2f} eV"
        )
    return Flag(
        "energy_shift", "info" if applied or not large else "warning", value, "eV", sentence
    )


def _name(shifts: Shifts) -> str:
    if shifts.foil is not None and shifts.foil.compound:
        return f"the shift by {shifts.calibration_run}"
    if not shifts.calibration_age:
        return "the foil's shift"
    return f"the shift of run {shifts.calibration_run}, {shifts.calibration_age:.1f} h before"


def domain_flag(domain: Domain, edge: Edge, metal: FoilShift | None) -> Flag | None:
    """Flag a spectrum that is of no oxide, or a sample that is the metal itself.

    `metal` is the fit of the library foil to the sample, None where it does not fit.
    """
    if metal is not None:
        why = (
            f"this is {edge.element} metal: it differs from the library foil by "
            f"{metal.misfit:.1%} of the edge step; the model was trained on oxides only"
        )
    elif domain.distance > domain.threshold:
        why = (
            f"the edge has a shape that {domain.looks_like} have rather than oxides (probability "
            f"of no oxide {domain.distance:.2f}, oxides stay below {domain.threshold:.2f})"
        )
    else:
        return None
    sentence = f"{why}; its numbers should not be used"
    return Flag("out_of_domain", "warning", domain.distance, "1", sentence)


def poor_fit_flag(misfit: float, limit: float, region: tuple[float, float]) -> Flag | None:
    """Flag a spectrum that the model's own curve misses by more than it misses good oxides."""
    if misfit <= limit:
        return None
    low, high = region
    return Flag(
        "poor_fit",
        "info",
        misfit,
        "1",
        f"the model's curve misses the spectrum by {misfit:.1%} of the edge step, most between "
        f"{low:+.0f} and {high:+.0f} eV; good oxides stay below {limit:.1%}",
    )


def mixed_flag(state: Estimate) -> Flag | None:
    """Flag a valence whose interval holds no whole number: a mixture, or mixed valence."""
    whole = np.floor(state.high) >= np.ceil(state.low)
    if whole or abs(state.value - round(state.value)) < LEAST_MIXED:
        return None
    below = int(np.floor(state.value))
    return Flag(
        "mixed",
        "info",
        state.value,
        state.unit,
        f"the interval {state.low:.2f} to {state.high:.2f} holds no whole valence: a mixture of "
        f"{below} and {below + 1}, or a compound of mixed valence",
    )


def few_standards_flag(element: str, valence: float, compounds: int) -> Flag:
    """Flag a valence near one that few measured compounds of the element have shown."""
    rests = f"{compounds} measured compound{'' if compounds == 1 else 's'}" if compounds else "none"
    return Flag(
        "few_standards",
        "info",
        float(compounds),
        "1",
        f"{element} of valence {valence:g} was compared with {rests}; its interval is as wide as "
        f"errors of other elements ask for",
    )


def outside_standards_flag(value: float, known: tuple[float, float]) -> Flag | None:
    """Flag a valence beyond the standards that a model was calibrated with at the beamline."""
    low, high = known
    if low - BEYOND_STANDARDS <= value <= high + BEYOND_STANDARDS:
        return None
    return Flag(
        "outside_standards",
        "warning",
        value,
        "e",
        f"{value:.2f} lies beyond {low:.2f} to {high:.2f}, the span of your own standards: there "
        "the calibration is not tested; measure a standard of such a valence and calibrate again",
    )
