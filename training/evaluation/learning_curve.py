"""Accuracy against the number of training spectra: would more simulations help?

Networks are trained on seeded parts of the training compounds, each part within the
next larger one, and scored on validation and test together, which none of them saw.
Every point is single networks, where a shipped model is an ensemble.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from rankaae_stream.errors import ConfigurationError
from rankaae_stream.spectrum import Floats
from training.config import Config
from training.evaluation.single import score_network
from training.folders import DATA, RUNS
from training.simulated import dataset
from training.simulated.dataset import Simulated, Split
from training.trials import trials
from training.trials.workers import HERE, Workers

__all__ = ["learn", "subset"]

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
                "scores": [score_network(config, simulated, part, unseen, one) for one in trained],
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
