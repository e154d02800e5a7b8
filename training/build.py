"""From a configuration to a model folder: the way through, on one page."""

import platform
from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch

from rankaae_stream.card import ModelCard
from rankaae_stream.errors import ConfigurationError
from training import dataset, evaluate, export, select, standards, theory, train
from training.config import Config
from training.ensemble import Ensemble
from training.sources import RULE

__all__ = ["Built", "build"]


@dataclass(frozen=True, eq=False)
class Built:
    """A written model: its card, what evaluation.json holds, and what was not learned from.

    `bad` lists what could not be read, `dropped` counts unphysical sites by reason.
    """

    card: ModelCard
    evaluation: dict[str, Any]
    bad: tuple[str, ...] = ()
    dropped: dict[str, int] = field(default_factory=dict[str, int])


def build(
    config: Config,
    *,
    models: Path = export.MODELS,
    runs: Path = train.RUNS,
    data: Path = dataset.DATA,
    progress: Callable[[int], train.Progress] | None = None,
    skip_bad: bool = False,
) -> Built:
    """Read, split, train what is not trained yet, select, calibrate, evaluate, export.

    Parameters
    ----------
    config : Config
    models : Path
        Where the model folder and the index go.
    runs : Path
        Where finished trials are kept.
    data : Path
        Where the simulated spectra lie.
    progress : callable, optional
        See `training.train.fit_all`.
    skip_bad : bool
        Go on after simulated sites that cannot be read; `Built.bad` lists them.

    Raises
    ------
    ConfigurationError
        When data cannot be read, or no site is labelled with a tied descriptor.
    """
    simulated = dataset.read(config.element, config.data, config.grid, data, skip_bad=skip_bad)
    _check_labels(config, simulated)
    split = dataset.split(simulated, config.data)
    trials = train.fit_all(config, simulated, split, runs, progress)
    scores = select.score_trials(config, simulated, split.validation, trials)
    kept = select.select(scores, config.fit.keep)
    ensemble = Ensemble([trials[i] for i in kept])

    maps = evaluate.fit_maps(config, simulated, split, ensemble)
    errors = evaluate.simulated_errors(config, simulated, split.validation, ensemble, maps)
    measured = standards.load(config.element, config.grid.energy_grid())
    start = evaluate.domain_start(simulated, split.train)
    judged = theory.evaluate_standards(config, measured, ensemble, maps, start)
    unseen = evaluate.domain_distances(config, simulated, split.validation, ensemble, start)
    threshold = theory.domain_threshold(unseen, judged.measured)

    level = config.calibration.level
    outputs = [
        export.output_entry(name, k, maps[k], level, errors[name], judged.errors[name])
        for k, name in enumerate(config.network.descriptors)
    ]
    evaluation = {
        "validation": evaluate.evaluate_simulated(
            config, simulated, split.validation, ensemble, maps
        ),
        "test": evaluate.evaluate_simulated(config, simulated, split.test, ensemble, maps),
        "trials": [asdict(score) for score in scores],
        "kept": list(ensemble.seeds),
        "standards": theory.by_compound(judged),
        "files": theory.by_file(judged),
        "domain": {
            "start": start,
            "threshold": threshold,
            "false_alarms_on_validation": float((unseen > threshold).mean()),
            "auroc_score": theory.domain_score(judged.measured),
        },
    }
    card = export.write_model(
        config,
        ensemble,
        outputs,
        theory_shift={**asdict(judged.fit), "compression": config.data.compression},
        domain={"start": start, "threshold": threshold},
        evaluation=evaluation,
        notes=_notes(config, simulated, split, evaluation),
        golden=select.clean_spectra(config, simulated, split.test[:8]),
        models=models,
    )
    return Built(card, evaluation, tuple(simulated.bad), dict(simulated.dropped))


def _check_labels(config: Config, simulated: dataset.Simulated) -> None:
    """A descriptor that no site is labelled with cannot order a latent."""
    labels = train.labels_of(config, simulated)
    missing = [
        name
        for k, name in enumerate(config.network.descriptors)
        if not np.isfinite(labels[:, k]).any()
    ]
    if missing:
        files = ", ".join(name for name, _ in simulated.sources)
        raise ConfigurationError(
            f"{files}: no site is labelled with {', '.join(missing)}; expected an AUX_ column or a "
            "structure, for valences data.table, or network.descriptors without it"
        )


def _notes(
    config: Config,
    simulated: dataset.Simulated,
    split: dataset.Split,
    evaluation: dict[str, Any],
) -> dict[str, Any]:
    """What a person asks of a model and the runtime does not need."""
    return {
        "data": {
            "files": dict(simulated.sources),
            "origin": "FEFF simulations of oxide sites, see training/data/README.md",
            "dropped": {"rule": RULE, "sites": dict(simulated.dropped)},
            "skipped": list(simulated.bad),
            "spectra": {
                "train": split.train.size,
                "validation": split.validation.size,
                "test": split.test.size,
            },
            "split": f"by host formula, stratified by valence, seed {config.data.split_seed}",
            "normalization": "simulated spectra keep FEFF's own normalisation (mu0 = 1 at about "
            "+50 eV) as their flat; augmentation in height and slope covers the difference",
        },
        "tail": {
            "function": "training.dataset.lorentzian_tail",
            "form": "0.5 + arctan(2 (E - E_c) / width) / pi through the first simulated point",
            "width": config.data.core_hole_width,
        },
        "intervals": {
            "simulated_error": "conformal quantile of the absolute error on validation compounds, "
            "augmented without energy shift",
            "standards_error": "normal quantile of the level times the rms over measured "
            "compounds: the valence left out one compound at a time, the coordination number at "
            "the theory shift; 0 where standards carry no label",
        },
        "domain_rule": "rms residual of the mean reconstruction after height, slope and a shift of "
        "at most 0.5 eV, over the standard deviation of the spectrum, both from start on; "
        + theory.THRESHOLD_RULE,
        "theory_shift_rule": f"{config.calibration.residual_weight:g} of the residual's optimum "
        f"(valence held at its known value, from {config.calibration.start:+g} eV on), the rest of "
        "the valence error's, over standards averaged by compound",
        "scores": {"test": evaluation["test"], "domain": evaluation["domain"]},
        "training": {
            "config": config.model_dump(mode="json"),
            "torch": torch.__version__,
            "python": platform.python_version(),
        },
        "licence": "BSD-3-Clause",
    }
