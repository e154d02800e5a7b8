"""Train and score on several splits by compound: one split is no result.

Every split deals the compounds anew; one network learns from its training part with the
shipped settings and is scored on its test part as the shipped model is on its own. The
figures are those of single networks, where a shipped model is an ensemble.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from training.config import Config
from training.evaluation.evaluate import ENOUGH
from training.evaluation.single import score_network
from training.folders import DATA, RUNS
from training.simulated import dataset
from training.trials import trials
from training.trials.workers import HERE, Workers

__all__ = ["judge_splits", "over_splits"]


def judge_splits(
    config: Config,
    seeds: Sequence[int],
    *,
    runs: Path = RUNS,
    data: Path = DATA,
    workers: Workers = HERE,
    watch: trials.Watch | None = None,
) -> dict[str, Any]:
    """Train one network a split, and score it on the compounds that this split left out.

    Native sites alone are judged where every split's test part has `ENOUGH` of them.

    Parameters
    ----------
    config : Config
    seeds : sequence of int
        Of the splits. That of the configuration's own is scored by the model's first trial,
        which is found where `fit` has trained it.
    runs : Path
        Finished networks are kept here, so that a killed command resumes.
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
        For what `trials.fit_all` cannot read.
    """
    fit = config.fit.model_copy(update={"trials": 1, "keep": 1})
    parts = [
        config.model_copy(
            update={"fit": fit, "data": config.data.model_copy(update={"split_seed": seed})}
        )
        for seed in seeds
    ]
    simulated, _ = dataset.material(config.element, config.data, config.grid, data)
    splits = [dataset.split(simulated, one.data) for one in parts]
    native = all(simulated.native[one.test].sum() >= ENOUGH for one in splits)
    scores: list[dict[str, Any]] = []
    for seed, part, split in zip(seeds, parts, splits, strict=True):
        (trial,) = trials.fit_all(part, simulated, split, runs, workers, watch)
        rows = split.test[simulated.native[split.test]] if native else split.test
        scores.append(
            {
                "split_seed": seed,
                "spectra": int(rows.size),
                "compounds": int(np.unique(simulated.group[rows]).size),
                **score_network(part, simulated, split, rows, trial),
            }
        )
    return {
        "name": config.name,
        "version": config.version,
        "kind": "native" if native else "all",
        "splits": scores,
    }


def over_splits(found: Mapping[str, Any], *path: str) -> tuple[float, float]:
    """Return the mean and the standard deviation of one figure over the splits.

    Parameters
    ----------
    found : mapping
        What `judge_splits` returned.
    path : str
        Keys of a split's figure, ``"oxidation_state", "spearman_score"``. NaN where a split
        has none; the deviation is NaN with fewer than two splits.

    Examples
    --------
    >>> mean, spread = over_splits({"splits": [{"f1_score": 0.75}, {"f1_score": 0.85}]}, "f1_score")
    >>> round(mean, 2), round(spread, 2)
    (0.8, 0.07)
    """
    values = [_figure(one, path) for one in found["splits"]]
    spread = float(np.std(values, ddof=1)) if len(values) > 1 else float("nan")
    return float(np.mean(values)), spread


def _figure(scores: Mapping[str, Any], path: Sequence[str]) -> float:
    for key in path[:-1]:
        scores = scores.get(key, {})
    return float(scores.get(path[-1], np.nan))
