"""Train what is not trained yet and keep the best trials as one ensemble."""

from pathlib import Path

from training.config import Config
from training.network.ensemble import Ensemble
from training.simulated import dataset
from training.trials import select, trials
from training.trials.workers import HERE, Workers

__all__ = ["best_trials"]


def best_trials(
    config: Config,
    simulated: dataset.Simulated,
    split: dataset.Split,
    runs: Path,
    workers: Workers = HERE,
    watch: trials.Watch | None = None,
) -> tuple[Ensemble, list[select.TrialScore]]:
    """Train what is not trained yet; the best trials as one ensemble, and every trial's score."""
    trained = trials.fit_all(config, simulated, split, runs, workers, watch)
    scores = select.score_trials(config, simulated, split.validation, trained)
    return Ensemble([trained[i] for i in select.select(scores, config.fit.keep)]), scores
