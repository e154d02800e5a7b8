"""Build a model folder from a configuration, on one page."""

import platform
import tomllib
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
from jinja2 import Environment, StrictUndefined

from rankaae_stream.model.card import ModelCard
from rankaae_stream.model.networks import Model
from training.config import Config
from training.descriptors import BOND_TOLERANCE, FIRST_SHELL
from training.evaluation.on_measured import read_standards
from training.evaluation.on_simulated import score_simulated, thresholds_on
from training.export import write_model
from training.folders import DATA, MODELS, RUNS
from training.measured import constants, intervals, judge_standards, pool, standards
from training.measured.maps import fit_maps
from training.simulated import dataset
from training.simulated.sources import RULE
from training.trials import select, trials
from training.trials.best import best_trials
from training.trials.workers import HERE, Workers

__all__ = ["Built", "build"]

NOTES = Path(write_model.__file__).with_name("notes.toml.j2")
"""What a card says for people."""

CHECKED = 1000
"""Spectra on which an exported graph must compute what torch computes."""


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
    models: Path = MODELS,
    runs: Path = RUNS,
    data: Path = DATA,
    workers: Workers = HERE,
    watch: trials.Watch | None = None,
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
    workers : Workers
        Where the trials are trained; one after the other in this process by default.
    watch : Watch, optional
        Receives the progress of training.
    skip_bad : bool
        Go on after simulated sites that cannot be read; `Built.bad` lists them.

    Raises
    ------
    ConfigurationError
        When data cannot be read, or no site is labelled with a tied descriptor.
    TrialFailedError
        When a trial raised or its worker died; those that had finished are kept.
    """
    simulated, split = dataset.material(
        config.element, config.data, config.grid, data, skip_bad=skip_bad
    )
    ensemble, scores = best_trials(config, simulated, split, runs, workers, watch)
    maps = fit_maps(config, simulated, split, ensemble)
    errors = intervals.simulated_errors(config, simulated, split.validation, ensemble, maps)
    start = intervals.domain_start(simulated, split.train)
    measured = standards.load(config.element)
    judged = judge_standards.judge_standards(
        config, measured, constants.load(config.element), ensemble, maps, errors, start
    )
    own = pool.shown(config, judged.compounds)
    together = [*own, *pool.others(config, models)]
    unseen = np.concatenate([split.validation, split.test])
    drafted = write_model.draft(
        config,
        ensemble,
        _outputs(config, judged, errors, together),
        {**asdict(judged.fit), "compression": config.data.compression},
        pool.domain_rule(config, together, start),
        examples=select.augmented(config, simulated, unseen, mixtures=True).flat[:CHECKED],
    )
    model = drafted.model
    thresholds = thresholds_on(model, config, simulated, split.validation)
    test = score_simulated(model, config, simulated, split.test, thresholds)
    evaluation = {
        "test": {
            name: {
                "spearman_score": one.spearman_score,
                "mean_absolute_error_loss": one.mean_absolute_error_loss,
                "coverage": one.augmented_coverage,
            }
            for name, one in test.descriptors.items()
        },
        "trials": [asdict(score) for score in scores],
        "kept": list(ensemble.seeds),
        "line": asdict(judged.line) if judged.line else None,
        "constants": [asdict(one) for one in judged.constants],
        "standards": _by_compound(config, judged),
        "files": _by_file(model, measured),
        "simulated_errors": {
            name: asdict(error)
            for name, error in zip(config.network.descriptors, errors, strict=True)
        },
        "shown": [asdict(one) for one in own],
        "pooled": sorted({f"{one.element} {one.compound}" for one in together}),
    }
    card = write_model.write_model(
        config,
        drafted,
        evaluation,
        _notes(config, simulated, split, evaluation),
        golden=select.clean_spectra(config, simulated, split.test[:8]),
        models=models,
    )
    return Built(card, evaluation, tuple(simulated.bad), dict(simulated.dropped))


def _outputs(
    config: Config,
    judged: judge_standards.Theory,
    errors: Sequence[intervals.ErrorModel],
    together: Sequence[pool.Shown],
) -> list[dict[str, Any]]:
    """Return the card's outputs; measured compounds widen or narrow the simulated half-widths."""
    level = config.calibration.level
    entries: list[dict[str, Any]] = []
    for k, name in enumerate(config.network.descriptors):
        widening = pool.widening(name, together, level)
        shown = judge_standards.is_shown(judged.compounds, k, widening)
        error = errors[k].widened(widening)
        error = error if shown else error.at_least(errors[k])
        evidence = "measured" if shown else "simulation"
        entries.append(write_model.output_entry(name, k, judged.maps[k], level, error, evidence))
    return entries


def _by_compound(config: Config, judged: judge_standards.Theory) -> dict[str, dict[str, Any]]:
    """Return each standard compound's figures for evaluation.json; None where one is unknown."""
    k = config.network.descriptors.index("oxidation_state")
    return {
        one.name: {
            "oxidation_state": float(one.truth[k]),
            "estimate": float(one.value[k]),
            "left_out_error": one.left_out if np.isfinite(one.left_out) else None,
            "own_shift": one.own_shift,
        }
        for one in judged.compounds
    }


def _by_file(model: Model, measured: Sequence[standards.Standard]) -> dict[str, Any]:
    """Return the live answer to every measured file, whatever its role."""
    return {
        one.standard.file: {
            "role": one.standard.role,
            "foil": one.standard.foil,
            "foil_shift": one.standard.calibration,
            "true_oxidation_state": one.standard.oxidation_state,
            "true_coordination_number": one.standard.coordination_number,
            "distance": None if one.report.refusal else one.distance,
            "refusal": one.report.refusal.message if one.report.refusal else "",
            **{each.name: each.value for each in one.report.estimates},
            **{f"{each.name}_low": each.low for each in one.report.estimates},
            **{f"{each.name}_high": each.high for each in one.report.estimates},
        }
        for one in read_standards(model, measured)
    }


def _notes(
    config: Config,
    simulated: dataset.Simulated,
    split: dataset.Split,
    evaluation: dict[str, Any],
) -> dict[str, Any]:
    """Return what a card says for people: the prose of `NOTES`, its numbers and the figures."""
    template = Environment(undefined=StrictUndefined).from_string(NOTES.read_text("utf-8"))
    notes = tomllib.loads(
        template.render(
            fewest=judge_standards.FEWEST_SHOWN,
            held=f"{judge_standards.HELD:.0%}",
            ranked=judge_standards.RANKED,
            residual_weight=f"{config.calibration.residual_weight:g}",
            start=f"{config.calibration.start:+g}",
            split_seed=config.data.split_seed,
            bond_tolerance=BOND_TOLERANCE,
        )
    )
    related, along = simulated.related, notes.pop("related")
    notes["data"] |= {
        "files": dict(simulated.sources),
        "related": along | {"files": dict(related.sources), "spectra": len(related.mu)}
        if related
        else None,
        "dropped": {"rule": RULE, "sites": dict(simulated.dropped)},
        "skipped": list(simulated.bad),
        "spectra": {
            "train": split.train.size,
            "validation": split.validation.size,
            "test": split.test.size,
        },
    }
    notes["tail"]["width"] = config.data.core_hole_width
    notes["cutoffs"]["first_shell"] = FIRST_SHELL
    return notes | {
        "valence_line": evaluation["line"],
        "constants": evaluation["constants"],
        "scores": {"test": evaluation["test"]},
        "training": {
            "config": config.model_dump(mode="json"),
            "torch": torch.__version__,
            "python": platform.python_version(),
        },
    }
