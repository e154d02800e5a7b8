"""Find what theory's shifts should be, and judge spectra that are not in the repository."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from rankaae_stream.spectra.regrid import perturbed
from rankaae_stream.spectrum import Floats
from training.config import Config
from training.folders import DATA, RUNS
from training.measured import standards
from training.measured.fitted import fit_networks
from training.measured.maps import Maps, estimate, fit_maps
from training.measured.own_shift import Laid, lay_compounds, lay_on_classes
from training.measured.shown import Shown
from training.measured.standards import Standard
from training.network.ensemble import Ensemble
from training.simulated import dataset
from training.trials.best import are_trained, best_trials
from training.trials.trials import Watch

__all__ = ["Scanned", "Shifts", "find_shifts", "judge_elsewhere"]

COMMON = np.arange(-2.0, 2.01, 0.5)
"""Shifts beyond the table at which the valence error is shown, eV."""


@dataclass(frozen=True, slots=True)
class Scanned:
    """Valence error of all compounds at a common shift beyond the table."""

    shift: float
    error: float
    bias: float


@dataclass(frozen=True, slots=True)
class Shifts:
    """Compounds on their own structure and on their class, and the valence error by shift.

    `scanned` is empty where no trials are trained.
    """

    laid: tuple[Laid, ...]
    classes: tuple[Laid, ...]
    scanned: tuple[Scanned, ...] = ()


def find_shifts(
    config: Config, more: Sequence[Standard], *, runs: Path = RUNS, data: Path = DATA
) -> Shifts:
    """Lay compounds on the simulation, and scan the valence error where trials are trained.

    Parameters
    ----------
    config : Config
    more : sequence of Standard
        Measured spectra beside those of the repository; other elements' are left out.
    runs, data : Path
    """
    simulated, split = dataset.material(config.element, config.data, config.grid, data)
    used = _of_element(config, [*standards.load(config.element), *more])
    laid, classes = tuple(lay_compounds(simulated, used)), tuple(lay_on_classes(simulated, used))
    if not used or not are_trained(config, simulated, runs):
        return Shifts(laid, classes)
    ensemble, _ = best_trials(config, simulated, split, runs)
    maps = fit_maps(config, simulated, split, ensemble)
    valence = config.network.descriptors.index("oxidation_state")
    scanned: list[Scanned] = []
    for shift in COMMON:
        errors = _errors(config, used, ensemble, maps, float(shift))[:, valence]
        names = np.array([one.compound for one in used])
        each = np.array([errors[names == name].mean() for name in np.unique(names)])
        scanned.append(Scanned(float(shift), float(np.abs(each).mean()), float(each.mean())))
    return Shifts(laid, classes, tuple(scanned))


def judge_elsewhere(
    config: Config,
    measured: Sequence[Standard],
    *,
    runs: Path = RUNS,
    data: Path = DATA,
    watch: Watch | None = None,
) -> list[Shown]:
    """Judge measured oxides of the element that are not in the repository.

    Raises
    ------
    ConfigurationError
        When simulated data cannot be read.
    """
    used = _of_element(config, measured)
    if not used:
        return []
    fitted = fit_networks(config, runs, data, watch=watch)
    own = _of_element(config, standards.load(config.element))
    return fitted.show(used, lay_compounds(fitted.simulated, [*own, *used]))


def _of_element(config: Config, measured: Sequence[Standard]) -> list[Standard]:
    return [
        one
        for one in measured
        if one.role == "standard" and one.spectrum.edge.element == config.element
    ]


def _errors(
    config: Config, used: Sequence[Standard], ensemble: Ensemble, maps: Maps, shift: float
) -> Floats:
    """Return estimate minus formal valence of every file, (n, k), at a shift of all axes."""
    grid = config.grid.energy_grid()
    flat = np.concatenate(
        [
            perturbed(energy + shift, values, grid, 0.0, 0.0, 0.0)[1:2]
            for energy, values in (one.normalized() for one in used)
        ]
    )
    truth = np.array([one.oxidation_state for one in used])
    return estimate(maps, ensemble.encode(flat)) - truth[:, None]
