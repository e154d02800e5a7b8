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

from rankaae_stream.model.card import FEWEST_COMPOUNDS, ModelCard
from training.config import Config
from training.descriptors import BOND_TOLERANCE, FIRST_SHELL
from training.domain.build import read_domain
from training.evaluation.on_measured import answers_by_file
from training.evaluation.on_simulated import score_simulated
from training.export import write_model
from training.folders import DATA, MODELS, RUNS
from training.measured import own_shift, pool, shown, standards
from training.measured.fitted import Fitted, fit_networks
from training.simulated import dataset
from training.simulated.sources import RULE
from training.trials import select, trials
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
    fitted = fit_networks(config, runs, data, workers, watch, skip_bad=skip_bad)
    simulated, split, ensemble = fitted.simulated, fitted.split, fitted.ensemble
    measured = standards.load(config.element)
    used = [one for one in measured if one.role == "standard"]
    absent = shown.elsewhere(config.element)
    laid = own_shift.lay_compounds(simulated, used) + shown.laid_elsewhere(absent)
    own = fitted.show(used, laid)
    known = [*own, *absent]
    together = [*known, *shown.others(config, models)]
    domain = read_domain(models)
    unseen = np.concatenate([split.validation, split.test])
    drafted = write_model.draft(
        config,
        ensemble,
        _outputs(fitted, known, together),
        _theory_shift(config, known),
        {
            **{key: domain.card[key] for key in ("aligned", "kinds", "threshold")},
            "start": fitted.start,
            "poor_fit": pool.poor_fit_limit(together),
        },
        domain.graph,
        examples=select.augmented(config, simulated, unseen, mixtures=True).flat[:CHECKED],
    )
    model = drafted.model
    test = score_simulated(model, config, simulated, split.test)
    evaluation = {
        "test": {
            name: {
                "spearman_score": one.spearman_score,
                "mean_absolute_error_loss": one.mean_absolute_error_loss,
                "coverage": one.augmented_coverage,
            }
            for name, one in test.descriptors.items()
        },
        "trials": [asdict(score) for score in fitted.scores],
        "standards": _by_compound(own, laid),
        "files": answers_by_file(model, measured),
        "simulated_errors": {
            name: asdict(error)
            for name, error in zip(config.network.descriptors, fitted.errors, strict=True)
        },
        "compounds": [asdict(one) for one in known],
        "pooled": sorted({f"{one.element} {one.compound}" for one in together}),
        "domain": domain.card["sha256"],
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
    fitted: Fitted, known: Sequence[shown.Shown], together: Sequence[shown.Shown]
) -> list[dict[str, Any]]:
    """Return the card's outputs; measured compounds calibrate whole half-widths."""
    config, simulated = fitted.config, fitted.simulated
    level = config.calibration.level
    valences = simulated.labels[:, 0]
    entries: list[dict[str, Any]] = []
    for k, name in enumerate(config.network.descriptors):
        widths = pool.calibration(name, together, level)
        supported = pool.is_shown(known, name, widths, level)
        widths = widths if supported else widths.at_least_whole()
        state = name == "oxidation_state"
        found = np.unique(valences[np.isfinite(valences)])
        entries.append(
            write_model.output_entry(
                name,
                k,
                fitted.maps[k],
                level,
                fitted.errors[k],
                per_ev=dataset.valence_per_ev(simulated) if state else 0.0,
                calibration={"whole": list(widths.knots), "half": list(widths.halves)},
                levels=pool.levels(known, list(found)) if state else [],
                unsupported_half=pool.unsupported_half(together, level) if state else 0.0,
                evidence="measured" if supported else "simulation",
            )
        )
    return entries


def _theory_shift(config: Config, known: Sequence[shown.Shown]) -> dict[str, Any]:
    """Return the card's theory shift: the simulation was moved, so that nothing is left to add.

    Without configured shifts, the median over the compounds that could be laid on it.
    """
    own = [one.shift for one in known if one.shift is not None]
    value = float(np.median(own)) if own and not config.data.shifts else 0.0
    return {
        "value": value,
        "uncertainty": shown.THEORY_UNCERTAINTY,
        "moved": {f"{valence:g}": -by for valence, by in config.data.shifts.items()},
    }


def _by_compound(
    own: Sequence[shown.Shown], laid: Sequence[own_shift.Laid]
) -> dict[str, dict[str, Any]]:
    """Return each standard compound's figures for evaluation.json; None where one is unknown."""
    judged = {one.compound for one in laid}
    return {
        one.compound: {
            "oxidation_state": one.oxidation_state,
            "estimate": one.estimate["oxidation_state"],
            "left_out_error": one.error["oxidation_state"] if one.compound in judged else None,
            "own_shift": one.shift,
        }
        for one in own
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
            fewest=FEWEST_COMPOUNDS,
            held=f"{pool.HELD:.0%}",
            ranked=pool.RANKED,
            enough=pool.ENOUGH_FOR_GROUPS,
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
        "scores": {"test": evaluation["test"]},
        "training": {
            "config": config.model_dump(mode="json"),
            "torch": torch.__version__,
            "python": platform.python_version(),
        },
    }
