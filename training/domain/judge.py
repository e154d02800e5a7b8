"""Judge the classifier on compounds and on kinds that it has not seen, and set its threshold."""

from collections.abc import Callable, Iterable, Sequence
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
    """How often compounds of one kind or of one element were found to be no oxides.

    Attributes
    ----------
    name : str
        Of the kind or the element.
    simulated, measured : int
        Compounds that are no oxides.
    flagged_simulated, flagged_measured : float
        Shares beyond the threshold; NaN of none.
    missed : tuple of str
        Measured compounds that were not flagged.
    oxides : int
        Good measured ones.
    alarms : tuple of str
        Those of them beyond the threshold.
    """

    name: str
    simulated: int
    measured: int
    flagged_simulated: float
    flagged_measured: float
    missed: tuple[str, ...]
    oxides: int = 0
    alarms: tuple[str, ...] = ()


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


def kinds_left_out(oxides: Spectra, others: Spectra, measured: Spectra) -> tuple[Floats, Floats]:
    """Return what `cross_fitted` does, by classifiers that have seen nothing of the kind.

    Measured oxides, which are of no kind, have NaN.
    """
    simulated, found = np.full(len(others.flat), np.nan), np.full(len(measured.flat), np.nan)
    seen = _at_resolution(others)
    for kind in KINDS:
        same, known = others.kind == kind, measured.kind == kind
        made = fit(oxides, others.of(~same), measured.of(~known), SEEDS)
        simulated[same] = no_oxide(made, seen[same])
        if known.any():
            found[known] = no_oxide(made, measured.flat[known])
    return simulated, found


def tally(
    names: Sequence[str],
    of: Callable[[Spectra], NDArray[np.str_]],
    others: tuple[Spectra, Floats],
    measured: tuple[Spectra, Floats],
    limit: float,
) -> tuple[Judged, ...]:
    """Count the compounds beyond the threshold, by mean probability, for each of the names.

    Parameters
    ----------
    names : sequence of str
    of : callable
        Returns the name of each spectrum, its kind or its element.
    others, measured : pairs of Spectra and (n,) array
        With the probability of no oxide.
    limit : float
    """
    return tuple(_tally(name, of, others, measured, limit) for name in names)


def _tally(
    name: str,
    of: Callable[[Spectra], NDArray[np.str_]],
    others: tuple[Spectra, Floats],
    measured: tuple[Spectra, Floats],
    limit: float,
) -> Judged:
    oxide = measured[0].kind == OXIDES
    theory = _means(others, of(others[0]) == name)
    real = _means(measured, (of(measured[0]) == name) & ~oxide)
    good = _means(measured, (of(measured[0]) == name) & oxide)
    return Judged(
        name=name,
        simulated=len(theory),
        measured=len(real),
        flagged_simulated=_share(theory.values(), limit),
        flagged_measured=_share(real.values(), limit),
        missed=tuple(sorted(one for one, value in real.items() if value <= limit)),
        oxides=len(good),
        alarms=tuple(sorted(one for one, value in good.items() if value > limit)),
    )


def _means(judged: tuple[Spectra, Floats], rows: NDArray[np.bool_]) -> dict[str, float]:
    return by_compound(judged[0].key[rows], judged[1][rows])


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
