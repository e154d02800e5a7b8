"""Resolve a series: repeats into one answer, mixtures into fractions of their purest spectra."""

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from rankaae_stream.analysis import Analysis
from rankaae_stream.report import Flag, FoilShift, Report, RunFoil
from rankaae_stream.series.axis import JITTER, axis_flags, axis_jumps
from rankaae_stream.series.changes import (
    Change,
    Drift,
    Piece,
    change_points,
    course,
    drift,
    scatter,
)
from rankaae_stream.series.metal import find_metal, foil_curves, metal_flag
from rankaae_stream.series.mixtures import (
    MOST,
    Mixtures,
    count_components,
    mix,
    purest,
    smooth,
)
from rankaae_stream.series.repeats import Advice, Merged, Repeat, advise, by_scatter, merge
from rankaae_stream.series.stack import LeftOut, Stack, stack
from rankaae_stream.spectra.noise import point_noise, point_noises
from rankaae_stream.spectrum import Floats

__all__ = ["Resolved", "resolve"]

FEWEST_TO_RESOLVE = 5
"""Spectra from which on components are counted; fewer are taken for repeats."""

AT_ONCE = 64
"""Neighbours whose noise is found at once."""


NAMED = 5
"""Spectra that a message names."""


@dataclass(frozen=True, slots=True, eq=False)
class Resolved:
    """What a series shows.

    Attributes
    ----------
    series : Stack
        The spectra that take part.
    left_out : tuple of LeftOut
    components : int
        How many spectra the series is mixed of; 1 for repeats.
    mixtures : Mixtures or None
        None for repeats without given ends.
    merged : Report or None
        The answer to the mean of the repeats; None for a series that changes.
    repeats : Merged or None
    advice : Advice or None
        On more repeats, where a target was given.
    drift : Drift or None
        Of the valence over repeats: beam damage, where it is sure.
    changes : tuple of Change
        Where the valence changes its course.
    flags : tuple of Flag
        Something worth knowing about the series, such as beam damage.
    pieces : tuple of Piece
        The straight lines between.
    """

    series: Stack
    left_out: tuple[LeftOut, ...]
    components: int
    mixtures: Mixtures | None = None
    merged: Report | None = None
    repeats: Merged | None = None
    advice: Advice | None = None
    drift: Drift | None = None
    changes: tuple[Change, ...] = ()
    flags: tuple[Flag, ...] = ()
    pieces: tuple[Piece, ...] = ()


def resolve(
    scans: Sequence[Report],
    analysis: Analysis,
    ends: Sequence[Report] = (),
    stop_at: float | None = None,
    at: Sequence[float] | Floats | None = None,
) -> Resolved | list[LeftOut]:
    """Resolve a series of answered scans, in their order.

    Parameters
    ----------
    scans : sequence of Report
        Each answer, with its curves, and with the measured spectrum that repeats are merged from.
    analysis : Analysis
        Answers the mean of repeats.
    ends : sequence of Report, optional
        Known references of the same edge: the series is fitted as mixtures of these.
    stop_at : float, optional
        Half-width of the valence's interval that is wanted, e.
    at : sequence of n float, optional
        Time, temperature, charge, dose ... of each scan: rates are told per unit of it, too.

    Returns
    -------
    Resolved, or list of LeftOut
        Why each spectrum takes no part, where fewer than two remain.

    Raises
    ------
    ValueError
        Where a reference cannot be used, or `at` is of another length than `scans`.
    """
    series, left_out = stack(scans)
    if series is None:
        return left_out
    if at is not None and len(at) != len(scans):
        raise ValueError(f"{len(at)} values of `at` for {len(scans)} scans")
    along = None if at is None else np.asarray(at, dtype=float)[list(series.places)]
    seen = _axis(series)
    if ends:
        mixtures, more = _of_references(series, ends, analysis)
        return _changing(series, left_out, len(ends), mixtures, along, (*seen, *more))
    count = count_components(series) if len(series.flat) >= FEWEST_TO_RESOLVE else 1
    if count == 1:
        return _repeats(series, left_out, analysis, stop_at, along, seen)
    chosen = purest(series, count)
    mixtures, more = _mixed(
        series,
        smooth(series.flat, count, chosen),
        [series.sources[int(i)] for i in chosen],
        (series.valence[chosen], series.half[chosen]),
        analysis,
    )
    return _changing(series, left_out, count, mixtures, along, (*seen, *more))


def _mixed(
    series: Stack,
    ends: Floats,
    names: Sequence[str],
    answers: tuple[Floats, Floats],
    analysis: Analysis,
) -> tuple[Mixtures, list[Flag]]:
    """Fit mixtures of ends, and say which contains the metal: that part's valence is 0.

    `answers` are the ends' valences and half-widths.
    """
    valences, halves = answers[0].copy(), answers[1].copy()
    edge = series.reports[0].edge
    foils = foil_curves(analysis, edge, series.energy) if edge is not None else None
    found = find_metal(ends, foils, series.noise) if foils is not None else None
    flags: list[Flag] = []
    if found is not None and edge is not None:
        value, half = found.valence(valences, halves)
        valences[found.end], halves[found.end] = value, half
        flags = [metal_flag(found, names, edge.element, value)]
    return mix(series, ends, names, valences, halves, JITTER), flags


def _axis(series: Stack) -> list[Flag]:
    """Return what should be known of the energy axes of a series."""
    jumps = axis_jumps(series.energy, series.flat, series.noise)
    return axis_flags(series.sources, jumps, series.moved, series.axis)


def _of_references(
    series: Stack, ends: Sequence[Report], analysis: Analysis
) -> tuple[Mixtures, list[Flag]]:
    """Fit known references.

    Raises
    ------
    ValueError
        Where one was refused, is of another edge, or they are too many.
    """
    found, left_out = stack(ends, fewest=1, together=False)
    if left_out or found is None:
        raise ValueError(left_out[0].reason if left_out else "no reference could be used")
    if len(ends) > MOST:
        raise ValueError(f"{len(ends)} references; at most {MOST} can be fitted")
    if abs(found.energy[0] - series.energy[0]) > 1.0:
        raise ValueError("the references are of another edge than the series")
    answers = found.valence, found.half
    return _mixed(series, found.flat, found.sources, answers, analysis)


def _changing(
    series: Stack,
    left_out: Sequence[LeftOut],
    count: int,
    mixtures: Mixtures,
    along: Floats | None,
    seen: Sequence[Flag],
) -> Resolved:
    """Return mixtures with the course of their valence.

    A change must be larger than the fractions are uncertain. A spectrum that is no mixture, such
    as of a beam that was half beside the sample, tells nothing about the course.
    """
    others, valence = mixtures.unlike, mixtures.valence
    if others.any():
        order = np.arange(valence.size)
        valence = np.where(others, np.interp(order, order[~others], valence[~others]), valence)
        seen = [*seen, _no_mixture(series, mixtures, np.flatnonzero(others))]
    of_fractions = float(np.median(mixtures.sigma.max(axis=1))) * float(np.ptp(valence))
    sigma = float(np.hypot(of_fractions, scatter(valence)))
    return Resolved(
        series,
        tuple(left_out),
        count,
        mixtures,
        changes=tuple(change_points(valence, sigma, along)),
        pieces=tuple(course(valence, sigma, along)),
        flags=tuple(seen),
    )


def _no_mixture(series: Stack, mixtures: Mixtures, which: NDArray[np.intp]) -> Flag:
    """Name the spectra that are no mixture of a series' ends."""
    named = ", ".join(series.sources[int(i)] for i in which[:NAMED])
    more = f" and {which.size - NAMED} more" if which.size > NAMED else ""
    worst = float(mixtures.misfit[which].max())
    message = (
        f"no mixtures of the {len(mixtures.ends)} components are {named}{more}: the fit leaves up "
        f"to {worst:.0f} times the noise; the course is told without"
    )
    return Flag("no_mixture", "warning", float(which.size), "1", message)


def _repeats(
    series: Stack,
    left_out: list[LeftOut],
    analysis: Analysis,
    stop_at: float | None,
    along: Floats | None,
    seen: Sequence[Flag],
) -> Resolved:
    places = [i for i, one in enumerate(series.reports) if one.measured and one.edge_step]
    moved = drift(series.valence, along)
    flags = (*seen, *_flags(moved))
    if len(places) < 2:
        return Resolved(series, tuple(left_out), 1, drift=moved, flags=flags)
    used = [series.reports[i] for i in places]
    merged = merge(
        _measured(used, np.zeros(len(used)) if series.moved is None else series.moved[places])
    )
    foil = _foil_of([used[i] for i in merged.taken], series, [places[i] for i in merged.taken])
    answer = analysis.process(merged.spectrum, earlier=lambda _: foil)
    answer = _scattered(answer, analysis, [used[i] for i in merged.taken], moved)
    state = answer.estimate("oxidation_state")
    wanted = None
    if stop_at is not None and state is not None:
        wanted = advise(state, len(merged.taken), stop_at)
    return Resolved(
        series,
        (*left_out, *merged.left_out),
        1,
        merged=answer,
        repeats=merged,
        advice=wanted,
        drift=moved,
        flags=flags,
    )


def _flags(moved: Drift | None) -> tuple[Flag, ...]:
    if moved is None or not moved.sure:
        return ()
    message = (
        f"the repeats drift by {moved.rate:+.4f} ± {moved.sigma:.4f} each: beam damage? Without "
        f"dose it would be {moved.start:.2f} ± {moved.start_sigma:.2f}"
    )
    return (Flag("damage", "warning", moved.rate, "e", message),)


def _scattered(
    answer: Report, analysis: Analysis, repeats: Sequence[Report], moved: Drift | None
) -> Report:
    """Return the answer to the mean, with the repeats' scatter in its valence's interval."""
    model = analysis.models.get(str(answer.edge))
    if model is None:
        return answer
    limits = {output.name: output.range for output in model.card.outputs}
    each = [one.estimate("oxidation_state") for one in repeats]
    alone = [one for one in each if one is not None]
    estimates = tuple(
        by_scatter(one, alone, moved, limits[one.name]) if one.name == "oxidation_state" else one
        for one in answer.estimates
    )
    return replace(answer, estimates=estimates)


def _measured(reports: Sequence[Report], moved: Floats) -> list[Repeat]:
    """Return the calibrated spectra, each with its noise; of neighbours on the same energies this
    is found at once.
    """
    repeats: list[Repeat] = []
    scans = [(one, one.measured) for one in reports if one.measured is not None]
    for first in range(0, len(scans), AT_ONCE):
        block = scans[first : first + AT_ONCE]
        energy, edge = block[0][1].energy, block[0][1].edge
        if all(np.array_equal(scan.energy, energy) for _, scan in block):
            noises = point_noises(energy, np.stack([scan.mu for _, scan in block]), edge.e0)
        else:
            noises = [point_noise(scan.energy, scan.mu, edge.e0) for _, scan in block]
        more = moved[first : first + AT_ONCE]
        for (report, scan), noise, extra in zip(block, noises, more, strict=True):
            step = report.edge_step or 1.0
            placed = replace(scan, energy=scan.energy + report.shifts.calibration + extra)
            repeats.append(Repeat(placed, step, float(noise) / step))
    return repeats


def _foil_of(taken: Sequence[Report], series: Stack, places: Sequence[int]) -> RunFoil | None:
    """Return that the merged axis is calibrated already, as surely as a single foil does it.

    What scans without a foil borrowed from their neighbours adds to that, as they have weight.
    """
    shifts = [one.shifts for one in taken if one.shifts.foil is not None]
    if not shifts:
        return None
    foils = [one.foil for one in shifts if one.foil is not None]
    uncertainty = float(np.median([one.uncertainty or 0.0 for one in shifts]))
    more = 0.0 if series.axis is None else float(series.axis[list(places)].mean())
    misfit = float(np.median([one.misfit for one in foils]))
    shift = FoilShift(0.0, math.hypot(uncertainty, more), misfit, foils[0].library, foils[0].moved)
    return RunFoil(shift, "merged", 0.0)
