"""Measure the theory shift of spectra that may not be shipped; see `constants`."""

from collections.abc import Sequence
from dataclasses import asdict, replace
from pathlib import Path

import numpy as np
from tomli_w import dumps

from rankaae_stream.errors import ConfigurationError
from rankaae_stream.spectra.axis import LIBRARY_UNCERTAINTY
from rankaae_stream.spectrum import AXIS_UNCERTAINTY
from training.config import Config
from training.folders import DATA, RUNS
from training.measured import judge_standards, standards
from training.measured.constants import Constant
from training.measured.maps import fit_maps
from training.measured.shift import SCATTER, fit_theory_shift
from training.simulated import dataset
from training.trials import trials
from training.trials.best import best_trials
from training.trials.workers import HERE, Workers

__all__ = ["as_toml", "measure"]


def measure(
    config: Config,
    folder: Path,
    compounds: Sequence[str],
    command: str,
    *,
    runs: Path = RUNS,
    data: Path = DATA,
    workers: Workers = HERE,
    watch: trials.Watch | None = None,
) -> list[Constant]:
    """Find where each compound's residual is lowest, with the trials of a configuration.

    Parameters
    ----------
    config : Config
    folder : Path
        Its labels.csv names the files, as in `training/data/standards`.
    compounds : sequence of str
        As in its column ``compound``.
    command : str
        What the constants say of how they were found.
    runs, data, workers, watch
        See `training.build.build`.

    Raises
    ------
    ConfigurationError
        When a compound has no file of role standard.
    """
    simulated, split = dataset.material(config.element, config.data, config.grid, data)
    ensemble, _ = best_trials(config, simulated, split, runs, workers, watch)
    maps = fit_maps(config, simulated, split, ensemble)
    files = standards.load(config.element, folder)
    found: list[Constant] = []
    for name in compounds:
        used = [one for one in files if one.compound == name and one.role == "standard"]
        if not used:
            known = ", ".join(sorted({one.compound for one in files if one.role == "standard"}))
            raise ConfigurationError(
                f"{folder / 'labels.csv'}: no standard {name!r} of {config.element}; it has {known}"
            )
        scan, _ = judge_standards.scan_shifts(config, used, ensemble, maps)
        shift = fit_theory_shift(scan, residual_weight=1.0).by_residual
        axis = LIBRARY_UNCERTAINTY if all(one.shift for one in used) else AXIS_UNCERTAINTY
        found.append(
            Constant(
                element=config.element,
                compound=name,
                oxidation_state=used[0].oxidation_state,
                shift=round(shift, 2),
                uncertainty=round(float(np.hypot(SCATTER, axis)), 2),
                estimate=round(float(scan.estimates_at(shift)[0]), 2),
                source="",
                command=command,
            )
        )
    return found


def as_toml(constants: Sequence[Constant]) -> str:
    """Return entries for constants.toml; the source is left to whoever knows it."""
    source = "say whose spectrum, where it is published, and why it may not be shipped"
    return dumps({"constant": [asdict(replace(one, source=source)) for one in constants]})
