"""Bring complete spectra from mu(E) onto the model's grid, with copies that show what is uncertain.

What depends on the axis alone is done once for all spectra that share it.
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
from rankaae_stream.spectra.glitches import without_glitches
from rankaae_stream.spectra.noise import point_noises
from rankaae_stream.spectra.normalize import normalize_rows, used_ranges
from rankaae_stream.spectra.regrid import perturbed_rows
from rankaae_stream.spectrum import Floats, NormalizationRanges, Spectrum

__all__ = [
    "NOISY",
    "Flat",
    "alike",
    "axis_sigma",
    "calibrated_axes",
    "cleaned",
    "flattened",
    "noises",
]

NOISY = 6
"""Noisy copies of a spectrum that show what its noise changes."""

RANGES = ((0.0, 0.0, 0.0, 0.0), (20.0, -10.0, 15.0, -30.0), (-20.0, 5.0, -10.0, 30.0))
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


def cleaned(spectra: Sequence[Spectrum]) -> list[tuple[Spectrum, Flag | None]]:
    """Return spectra of one edge without their glitches, and the flags that name these."""
    found: dict[int, tuple[Spectrum, Flag | None]] = {}
    for group in alike(spectra, lambda one: one.energy.tobytes()):
        found.update(zip(group, without_glitches([spectra[i] for i in group]), strict=True))
    return [found[i] for i in range(len(spectra))]


def calibrated_axes(cases: Sequence[Case], added: float = 0.0) -> Floats:
    """Return the calibrated energies of spectra on one axis, eV from the tabulated edge.

    One row where the same shift holds for all, else (k, n); `added` to each, eV.
    """
    first, shifts = cases[0].spectrum, np.array([case.shifts.calibration for case in cases])
    if (shifts == shifts[0]).all():
        shifts = shifts[:1]
    return first.energy + shifts[:, None] + added - first.edge.e0


def noises(cases: Sequence[Case]) -> Floats:
    """Return the noise (k,) of a point of spectra on one axis, in units of mu."""
    first, shifts = cases[0].spectrum, np.array([case.shifts.calibration for case in cases])
    mu = np.array([case.spectrum.mu for case in cases])
    return point_noises(first.energy, mu, first.edge.e0 - shifts)


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
    for group in alike(judged, lambda one: (one[1].spectrum.energy.tobytes(), one[2][0].ranges)):
        places, same, cover = zip(*(judged[k] for k in group), strict=True)
        rows = _rows(card, same, cover, uncertain=uncertain)
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
    card: ModelCard, cases: Sequence[Case], covers: Sequence[_Cover], *, uncertain: bool
) -> list[Flat | Refusal]:
    """Return spectra on one axis that are normalised over the same ranges."""
    e0, ranges, axes = card.edge.e0, covers[0][0].ranges, calibrated_axes(cases)
    mu = np.array([case.spectrum.mu for case in cases])
    times = len(RANGES) if uncertain else 1
    moved = [added for added in RANGES[:times] for _ in mu]
    given = axes if len(axes) == 1 else np.concatenate([axes] * times)
    normalized = normalize_rows(given, np.concatenate([mu] * times), e0, ranges, moved)
    ways = normalized.flat.reshape(times, *mu.shape)
    for i, refusal in enumerate(normalized.refusals[len(mu) :], len(mu)):
        if refusal is not None:  # Other ranges may hold too few points: there they tell nothing.
            ways[divmod(i, len(mu))] = ways[0, i % len(mu)]
    others = ways[1:].swapaxes(0, 1)
    flat, step = ways[0], normalized.edge_step[: len(mu)]
    raw = noises(cases)
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
    for i, (height, of_mu, share) in enumerate(zip(*numbers, strict=True)):
        x, (cover, coarse) = axes[min(i, len(axes) - 1)], covers[i]
        used = used_ranges(ranges, float(x[0]), float(x[-1]))
        noisy = defects.noisy_flag(share)
        one = Flat(copies[i], height, of_mu, used, cover.flag, noisy, coarse)
        found.append(normalized.refusals[i] or one)
    return found
