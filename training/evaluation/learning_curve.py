"""Accuracy against the number of training spectra: would more simulations help?

Networks are trained on seeded parts of the training compounds, each part within the
next larger one, and scored on validation and test together, which none of them saw.
Every point is single networks, where a shipped model is an ensemble.
"""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from rankaae_stream.errors import ConfigurationError
from rankaae_stream.model.maps import apply_map
from rankaae_stream.spectrum import Floats
from training.config import Config
from training.evaluation.on_simulated import (
    classes,
    confusion,
    reconstruction_error,
    weighted_f1,
)
from training.folders import DATA, RUNS
from training.measured.maps import fit_monotone
from training.network.ensemble import Ensemble
from training.network.train import Trial, labels_of
from training.simulated import dataset
from training.simulated.dataset import Simulated, Split
from training.trials import trials
from training.trials.select import clean_spectra, rank_correlation
from training.trials.workers import HERE, Workers

__all__ = ["learn", "score_trial", "subset", "write"]

"""One file a configuration, by its stem: ``fe-k.json``."""


def learn(
    config: Config,
    fractions: Sequence[float],
    seeds: int,
    *,
    runs: Path = RUNS,
    data: Path = DATA,
    workers: Workers = HERE,
    watch: trials.Watch | None = None,
) -> dict[str, Any]:
    """Train on parts of the training compounds, and score.

    Parameters
    ----------
    config : Config
        Its own settings hold for every part.
    fractions : sequence of float
        Of the training spectra, above 0 and up to 1.
    seeds : int
        Networks a part.
    runs : Path
        Networks of parts are kept in its folder ``learning``; those of all compounds
        are the model's own trials, which are found where `fit` has trained them.
    data : Path
    workers : Workers
    watch : Watch, optional

    Returns
    -------
    dict
        Plain, for a JSON file.

    Raises
    ------
    ConfigurationError
        For a fraction that is none, or what `trials.fit_all` cannot read.
    """
    wrong = [one for one in fractions if not 0.0 < one <= 1.0]
    if wrong:
        raise ConfigurationError(f"fractions {wrong} should lie above 0 and at most at 1")
    fit = config.fit.model_copy(update={"trials": seeds, "keep": 1})
    config = config.model_copy(update={"fit": fit})
    simulated, split = dataset.material(config.element, config.data, config.grid, data)
    unseen = np.concatenate([split.validation, split.test])
    points: list[dict[str, Any]] = []
    for fraction in sorted(fractions):
        rows = subset(simulated, split.train, fraction, config.data.split_seed)
        part = Split(rows, split.validation, split.test)
        where = runs if fraction == 1.0 else runs / "learning" / f"{fraction:g}"
        trained = trials.fit_all(config, simulated, part, where, workers, watch)
        points.append(
            {
                "fraction": fraction,
                "spectra": int(rows.size),
                "compounds": int(np.unique(simulated.group[rows]).size),
                "scores": [score_trial(config, simulated, rows, unseen, one) for one in trained],
            }
        )
    return {
        "name": config.name,
        "version": config.version,
        "epochs": config.fit.epochs,
        "seeds": list(range(config.fit.seed, config.fit.seed + seeds)),
        "scored_on": {
            "spectra": int(unseen.size),
            "compounds": int(np.unique(simulated.group[unseen]).size),
        },
        "points": points,
    }


def subset(
    simulated: Simulated, rows: NDArray[np.intp], fraction: float, seed: int
) -> NDArray[np.intp]:
    """Return rows of a seeded part of the compounds, ascending, with its share of every valence.

    Compounds are shuffled within the valence that most of their rows have, and the
    valences are interleaved: a smaller part lies within any larger one of the same
    seed. Compounds are taken while they bring the part nearer to the fraction of rows.
    """
    rng = np.random.default_rng(seed)
    names, member = np.unique(simulated.group[rows], return_inverse=True)
    valence = np.nan_to_num(simulated.labels[rows, 0], nan=np.inf)
    common = np.array([_most_common(valence[member == i]) for i in range(names.size)])
    place = np.empty(names.size)
    for value in np.unique(common):
        same = np.flatnonzero(common == value)
        place[same] = (rng.permutation(same.size) + rng.random()) / same.size
    order = np.argsort(place, kind="stable")
    filled = np.cumsum(np.bincount(member, minlength=names.size)[order])
    count = int(np.argmin(np.abs(filled - fraction * rows.size))) + 1
    return np.sort(rows[np.isin(member, order[:count])])


def _most_common(values: Floats) -> float:
    found, counts = np.unique(values, return_counts=True)
    return float(found[np.argmax(counts)])


def score_trial(
    config: Config,
    simulated: Simulated,
    learned: NDArray[np.intp],
    unseen: NDArray[np.intp],
    trial: Trial,
) -> dict[str, Any]:
    """Score one network; maps are fitted to the spectra that it learned from.

    Parameters
    ----------
    config : Config
    simulated : Simulated
    learned, unseen : arrays of rows
    trial : Trial

    Returns
    -------
    dict
        By descriptor `spearman_score` and `mean_absolute_error_loss`, then
        `f1_score` of the coordination and `reconstruction_mean_absolute_error_loss`.
    """
    network = Ensemble([trial])
    names, labels = config.network.descriptors, labels_of(config, simulated)
    known_flat, flat = (clean_spectra(config, simulated, rows) for rows in (learned, unseen))
    known, latent = network.encode(known_flat)[0], network.encode(flat)[0]
    figures: dict[str, Any] = {"seed": trial.seed}
    for k, name in enumerate(names):
        fitted = fit_monotone(known[:, k], labels[learned, k])
        value, truth = apply_map(fitted, latent[:, k]), labels[unseen, k]
        error: Floats = np.abs(value - truth)
        stated = np.isfinite(truth)
        figures[name] = {
            "spearman_score": rank_correlation(value, truth),
            "mean_absolute_error_loss": float(np.mean(error[stated])),
        }
        if name == "coordination_number":
            figures["f1_score"] = weighted_f1(
                confusion(classes(truth[stated]), classes(value[stated]))
            )
    output = network.decode(network.encode(flat))[0]
    judged = config.grid.energy_grid().relative() >= simulated.first[unseen][:, None]
    errors = reconstruction_error(output, flat, judged)
    figures["reconstruction_mean_absolute_error_loss"] = float(errors.mean())
    return figures


def write(found: dict[str, Any], path: Path) -> None:
    """Write what `learn` found, complete or not at all."""
    path.parent.mkdir(parents=True, exist_ok=True)
    aside = path.with_suffix(".part")
    aside.write_text(json.dumps(found, indent=1, allow_nan=False) + "\n", encoding="utf-8")
    aside.replace(path)
