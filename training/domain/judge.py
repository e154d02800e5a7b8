"""Judge the classifier on compounds and on kinds that it has not seen, and set its threshold."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from rankaae_stream.spectrum import Floats
from training.domain.classifier import fit, no_oxide
from training.domain.spectra import KINDS, OXIDES, Spectra
from training.measured.pool import FALSE_ALARMS
from training.simulated.augment import broaden
from training.simulated.dataset import STEP

__all__ = [
    "FOLDS",
    "Judged",
    "by_compound",
    "cross_fitted",
    "kinds_left_out",
    "tally",
    "threshold",
]

FOLDS = 5
"""Parts that compounds are dealt to; each is judged by a classifier that saw none of it."""

SEEDS = (0, 1)
"""Networks of a classifier that is made only to judge."""

RESOLUTION = 0.8
"""Gaussian sigma that simulated spectra are judged at, eV."""


@dataclass(frozen=True, slots=True)
class Judged:
    """How often one kind was found to be no oxide.

    Attributes
    ----------
    kind : str
    simulated, measured : int
        Compounds.
    flagged_simulated, flagged_measured : float
        Shares beyond the threshold; NaN of none.
    missed : tuple of str
        Measured compounds that were not flagged.
    """

    kind: str
    simulated: int
    measured: int
    flagged_simulated: float
    flagged_measured: float
    missed: tuple[str, ...]


def cross_fitted(oxides: Spectra, others: Spectra, measured: Spectra) -> tuple[Floats, Floats]:
    """Return the probability of no oxide of every compound by a classifier that never saw it.

    Simulated oxides take part in every fold: they have no part in the threshold.

    Returns
    -------
    simulated : (n,) array
        Of `others`, at ordinary resolution.
    found : (m,) array
        Of `measured`.
    """
    first, second = _folds(others.key), _folds(measured.key)
    simulated, found = np.empty(len(others.flat)), np.empty(len(measured.flat))
    seen = _at_resolution(others)
    for fold in range(FOLDS):
        made = fit(oxides, others.of(first != fold), measured.of(second != fold), SEEDS)
        simulated[first == fold] = no_oxide(made, seen[first == fold])
        found[second == fold] = no_oxide(made, measured.flat[second == fold])
    return simulated, found


def kinds_left_out(
    oxides: Spectra, others: Spectra, measured: Spectra, limit: float
) -> tuple[Judged, ...]:
    """Judge each kind by a classifier that has seen nothing of it."""
    seen = _at_resolution(others)
    judged: list[Judged] = []
    for kind in KINDS:
        same, known = others.kind == kind, measured.kind == kind
        made = fit(oxides, others.of(~same), measured.of(~known), SEEDS)
        judged.append(
            tally(
                kind,
                others.of(same),
                no_oxide(made, seen[same]),
                measured.of(known),
                no_oxide(made, measured.flat[known]) if known.any() else np.empty(0),
                limit,
            )
        )
    return tuple(judged)


def tally(
    kind: str, others: Spectra, simulated: Floats, measured: Spectra, found: Floats, limit: float
) -> Judged:
    """Count the compounds of one kind beyond the threshold, by mean probability."""
    theory, real = by_compound(others.key, simulated), by_compound(measured.key, found)
    return Judged(
        kind=kind,
        simulated=len(theory),
        measured=len(real),
        flagged_simulated=_share(theory.values(), limit),
        flagged_measured=_share(real.values(), limit),
        missed=tuple(sorted(name for name, value in real.items() if value <= limit)),
    )


def threshold(measured: Spectra, found: Floats, more: Sequence[float] = ()) -> float:
    """Return the probability that `FALSE_ALARMS` of good measured oxides exceed, by compound.

    Parameters
    ----------
    measured : Spectra
    found : (m,) array
        Cross-fitted.
    more : sequence of float
        Of oxides that are not in the repository.
    """
    good = measured.kind == OXIDES
    each = [*by_compound(measured.key[good], found[good]).values(), *more]
    return float(np.quantile(each, 1.0 - FALSE_ALARMS))


def by_compound(keys: NDArray[np.str_], values: Floats) -> dict[str, float]:
    """Return the mean value of each key, both (n,)."""
    return {str(key): float(values[keys == key].mean()) for key in np.unique(keys)}


def _share(values: Iterable[float], limit: float) -> float:
    each = np.array([*values])
    return float(np.mean(each > limit)) if each.size else float("nan")


def _folds(keys: NDArray[np.str_]) -> NDArray[np.intp]:
    """Deal compounds to folds, seeded; spectra of one compound stay together."""
    names, member = np.unique(keys, return_inverse=True)
    return (np.random.default_rng(0).permutation(names.size) % FOLDS)[member]


def _at_resolution(spectra: Spectra) -> Floats:
    sigma = np.full(len(spectra.flat), RESOLUTION)
    return np.asarray(broaden(spectra.flat, sigma, STEP), dtype=float)
