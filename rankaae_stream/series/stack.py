"""Put the spectra of a series side by side, and find their noise."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from rankaae_stream.report import Report
from rankaae_stream.series.axis import borrowed
from rankaae_stream.spectrum import Floats

__all__ = ["LEAST_NOISE", "LeftOut", "Stack", "in_words", "name_of", "second_differences", "stack"]

LEAST_NOISE = 2e-4
"""No measurement is better than this, edge steps: below is rounding."""


@dataclass(frozen=True, slots=True)
class LeftOut:
    """A spectrum that takes no part in a series, and why."""

    source: str
    reason: str


@dataclass(frozen=True, slots=True, eq=False)
class Stack:
    """Spectra of one edge on one grid, in the order of the series.

    Attributes
    ----------
    energy : (g,) array
        eV.
    flat : (n, g) array
        Flattened spectra.
    valence, half : (n,) arrays
        What each alone was answered, and the half-width of its interval.
    sources : tuple of str
    noise : float
        Standard deviation of a grid point, edge steps.
    reports : tuple of Report
        The answers to each alone.
    places : tuple of int
        Their positions among all that were given.
    moved, axis : (n,) arrays or None
        What the neighbours' foils added to axes without one, and its standard deviation, eV; 0
        for scans with a foil, None where all have one or none has.
    """

    energy: Floats
    flat: Floats
    valence: Floats
    half: Floats
    sources: tuple[str, ...]
    noise: float
    reports: tuple[Report, ...] = ()
    places: tuple[int, ...] = ()
    moved: Floats | None = None
    axis: Floats | None = None


def stack(
    reports: Sequence[Report], fewest: int = 2, *, together: bool = True
) -> tuple[Stack | None, list[LeftOut]]:
    """Return the complete spectra of the most frequent edge, and what was left out.

    None where fewer than `fewest` remain. Of spectra measured `together` one without a foil is
    moved as its neighbours' foils say.
    """
    edges = Counter(str(one.edge) for one in reports if one.curves is not None)
    edge = edges.most_common(1)[0][0] if edges else ""
    kept: list[Report] = []
    places: list[int] = []
    left_out: list[LeftOut] = []
    for place, one in enumerate(reports):
        if one.refusal is not None:
            left_out.append(LeftOut(name_of(one), one.refusal.message))
        elif str(one.edge) != edge:
            left_out.append(LeftOut(name_of(one), f"it is of {one.edge}, the series of {edge}"))
        elif one.extent is not None or one.estimate("oxidation_state") is None:
            left_out.append(LeftOut(name_of(one), "it is too short to be normalised"))
        else:
            kept.append(one)
            places.append(place)
    if len(kept) < fewest:
        return None, left_out
    states = [one.estimate("oxidation_state") for one in kept]
    curves = [one.curves for one in kept]
    flat = np.stack([one.flat for one in curves if one is not None])
    energy = curves[0].energy if curves[0] is not None else np.empty(0)
    moved, axis = borrowed(kept if together else [])
    for place in np.flatnonzero(moved):
        flat[place] = np.interp(energy, energy + moved[place], flat[place])
    found = Stack(
        energy=energy,
        flat=flat,
        valence=np.array([one.value for one in states if one is not None]),
        half=np.array([(one.high - one.low) / 2.0 for one in states if one is not None]),
        sources=tuple(name_of(one) for one in kept),
        noise=_noise(flat),
        reports=tuple(kept),
        places=tuple(places),
        moved=moved if axis.any() else None,
        axis=axis if axis.any() else None,
    )
    return found, left_out


def name_of(report: Report) -> str:
    """Return what a spectrum is called in a series: its source, and its sweep beyond the first."""
    return f"{report.source} sweep {report.sweep}" if report.sweep else report.source


def in_words(message: str, names: Mapping[str, str]) -> str:
    """Return a message about spectra with what a person calls them, by `name_of` or source."""
    for source in sorted(names, key=len, reverse=True):  # one may begin with another
        message = message.replace(source, names[source])
    return message


def second_differences(flat: Floats) -> Floats:
    """Return (n - 2, g) differences from the neighbours' mean with the noise of one spectrum.

    What changes evenly along the series is gone; with two spectra half their difference.
    """
    if len(flat) < 3:
        return (flat[1:] - flat[:-1]) / np.sqrt(2.0)
    return (flat[:-2] - 2.0 * flat[1:-1] + flat[2:]) / np.sqrt(6.0)


def _noise(flat: Floats) -> float:
    if len(flat) < 2:
        return LEAST_NOISE
    each = np.sqrt(np.mean(second_differences(flat) ** 2, axis=1))
    return max(float(np.median(each)), LEAST_NOISE)
