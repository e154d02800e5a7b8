"""Bring complete spectra from mu(E) onto the model's grid, with copies that show what is uncertain.

All spectra are computed at once; what depends on the axis alone, once for those that share it.
"""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import TypeVar

import numpy as np

from rankaae_stream.answers.case import Case
from rankaae_stream.errors import Refusal, Refused
from rankaae_stream.model.card import ModelCard
from rankaae_stream.report import Flag, Shifts
from rankaae_stream.spectra import defects, quality
from rankaae_stream.spectra.noise import point_noises
from rankaae_stream.spectra.normalize import normalize_rows, used_ranges
from rankaae_stream.spectra.regrid import perturbed_rows
from rankaae_stream.spectra.rows import filled, on_like_axes, points_of
from rankaae_stream.spectrum import Floats, NormalizationRanges

__all__ = [
    "NOISY",
    "Flat",
    "alike",
    "axis_sigma",
    "calibrated",
    "flattened",
    "noises",
]

NOISY = 6
"""Noisy copies of a spectrum that show what its noise changes."""

RANGES = np.array([[0.0, 0.0, 0.0, 0.0], [20.0, -10.0, 15.0, -30.0], [-20.0, 5.0, -10.0, 30.0]])
"""What is added to pre1, pre2, norm1 and norm2, eV: to see what the choice of ranges changes."""

T = TypeVar("T")


@dataclass(frozen=True, slots=True, eq=False)
class Flat:
    """A spectrum on the model's grid.

    Attributes
    ----------
    copies : (c, g) array
        The spectrum itself and its copies; see `regrid.perturbed_rows`.
    edge_step : float
    noise : float
        Of a point of mu.
    ranges : NormalizationRanges
        Those that were used.
    short, noisy, coarse : Flag, optional
    """

    copies: Floats
    edge_step: float
    noise: float
    ranges: NormalizationRanges
    short: Flag | None
    noisy: Flag | None
    coarse: Flag | None


def alike(items: Iterable[T], key: Callable[[T], object]) -> list[list[int]]:
    """Return the indices of items that have the same key, in groups."""
    found: dict[object, list[int]] = {}
    for i, item in enumerate(items):
        found.setdefault(key(item), []).append(i)
    return list(found.values())


def calibrated(cases: Sequence[Case], axes: Floats, added: float = 0.0) -> Floats:
    """Return the calibrated energies of spectra, eV from the tabulated edge.

    One row where the same axis and shift hold for all, else (k, n); `axes` as `on_like_axes`
    returns them, `added` to each, eV.
    """
    shifts = np.array([case.shifts.calibration for case in cases])
    if len(axes) == 1 and (shifts == shifts[0]).all():
        shifts = shifts[:1]
    return axes + shifts[:, None] + added - cases[0].spectrum.edge.e0


def noises(cases: Sequence[Case], axes: Floats, mu: Floats) -> Floats:
    """Return the noise (k,) of a point of spectra, in units of mu; `axes` as measured."""
    shifts = np.array([case.shifts.calibration for case in cases])
    return point_noises(axes, mu, cases[0].spectrum.edge.e0 - shifts)


def axis_sigma(shifts: Shifts, card: ModelCard) -> float:
    """Return the standard deviation of the axis towards the model's, eV."""
    return float(np.hypot(shifts.uncertainty or 0.0, card.theory_shift.uncertainty))


def flattened(
    card: ModelCard, cases: Sequence[Case], *, uncertain: bool = True
) -> list[Flat | Refusal]:
    """Normalise spectra and bring them onto the model's grid.

    Parameters
    ----------
    card : ModelCard
    cases : sequence of Case
        Of the card's edge.
    uncertain : bool
        False for the spectra alone, without copies.

    Returns
    -------
    list of Flat or Refusal
    """
    covers = _covers(card, cases)
    found: dict[int, Flat | Refusal] = {
        i: cover for i, cover in enumerate(covers) if isinstance(cover, Refusal)
    }
    judged = [
        (i, case, cover)
        for i, (case, cover) in enumerate(zip(cases, covers, strict=True))
        if not isinstance(cover, Refusal)
    ]
    for same in alike(judged, lambda one: one[2][0].ranges):
        for group, axes in on_like_axes([judged[k][1].spectrum.energy for k in same]):
            places, those, cover = zip(*(judged[same[k]] for k in group), strict=True)
            rows = _rows(card, those, cover, axes, uncertain=uncertain)
            found.update(zip(places, rows, strict=True))
    return [found[i] for i in range(len(cases))]


_Cover = tuple[quality.Coverage, Flag | None]
"""How far an axis reaches, and whether it is coarse."""


def _covers(card: ModelCard, cases: Sequence[Case]) -> list[_Cover | Refusal]:
    """Judge each axis as it is calibrated; once, where several have it."""
    known: dict[object, _Cover | Refusal] = {}
    found: list[_Cover | Refusal] = []
    for case in cases:
        spectrum, added, e0 = case.spectrum, case.shifts.calibration, card.edge.e0
        complete = spectrum.origin.complete
        key = spectrum.energy.tobytes(), added, complete
        if key not in known:
            energy = spectrum.energy + added
            about = e0, card.normalization, card.grid, case.shifts.theory
            try:
                cover = quality.coverage(energy, *about, complete=complete)
                known[key] = cover, defects.coarse_flag(energy, e0, cover.gap)
            except Refused as refused:
                known[key] = refused.refusal
        found.append(known[key])
    return found


def _rows(
    card: ModelCard,
    cases: Sequence[Case],
    covers: Sequence[_Cover],
    measured: Floats,
    *,
    uncertain: bool,
) -> list[Flat | Refusal]:
    """Return spectra on `measured` axes that are normalised over the same ranges."""
    e0, ranges, axes = card.edge.e0, covers[0][0].ranges, calibrated(cases, measured)
    mu = filled([case.spectrum.mu for case in cases], measured.shape[1])
    times = len(RANGES) if uncertain else 1
    moved = RANGES[:times].repeat(len(mu), axis=0)
    given = axes if len(axes) == 1 else np.concatenate([axes] * times)
    normalized = normalize_rows(given, np.concatenate([mu] * times), e0, ranges, moved)
    ways = normalized.flat.reshape(times, *mu.shape)
    for i, refusal in enumerate(normalized.refusals[len(mu) :], len(mu)):
        if refusal is not None:  # Other ranges may hold too few points: there they tell nothing.
            ways[divmod(i, len(mu))] = ways[0, i % len(mu)]
    others = ways[1:].swapaxes(0, 1)
    flat, step = ways[0], normalized.edge_step[: len(mu)]
    raw = noises(cases, measured, mu)
    noise = raw / np.where(step > 0.0, step, 1.0)
    copies = perturbed_rows(
        axes,
        flat,
        card.grid.relative() - cases[0].shifts.theory,
        np.array([axis_sigma(case.shifts, card) for case in cases]),
        np.array([cover.step_error for cover, _ in covers]),
        others,
        noise,
        NOISY if uncertain else 0,
    )
    found: list[Flat | Refusal] = []
    numbers = step.tolist(), raw.tolist(), noise.tolist()
    first, last = axes[:, 0].tolist(), axes[np.arange(len(axes)), points_of(axes) - 1].tolist()
    for i, (height, of_mu, share) in enumerate(zip(*numbers, strict=True)):
        at, (cover, coarse) = min(i, len(axes) - 1), covers[i]
        used = used_ranges(ranges, first[at], last[at])
        noisy = defects.noisy_flag(share)
        one = Flat(copies[i], height, of_mu, used, cover.flag, noisy, coarse)
        found.append(normalized.refusals[i] or one)
    return found
