"""Train what is not trained yet and keep the best trials of each kind as one ensemble."""

from dataclasses import replace
from pathlib import Path

from training.config import Config
from training.network.ensemble import Ensemble
from training.network.train import Trial
from training.simulated import dataset
from training.trials import select, trials
from training.trials.workers import HERE, Workers

__all__ = ["are_trained", "best_trials"]


def best_trials(
    config: Config,
    simulated: dataset.Simulated,
    split: dataset.Split,
    runs: Path,
    workers: Workers = HERE,
    watch: trials.Watch | None = None,
) -> tuple[Ensemble, list[select.TrialScore]]:
    """Train what is not trained yet; the best of each kind as one ensemble, and every score."""
    best: list[Trial] = []
    scores: list[select.TrialScore] = []
    for kind in config.each_kind():
        trained = trials.fit_all(kind, simulated, split, runs, workers, watch)
        own = select.score_trials(kind, simulated, split.validation, trained)
        chosen = select.select(own, kind.fit.keep)
        best += [trained[i] for i in chosen]
        name = f"{kind.network.depth} x {kind.network.width}, {kind.fit.epochs} epochs"
        scores += [replace(one, network=name, kept=i in chosen) for i, one in enumerate(own)]
    return Ensemble(best, select.clean_spectra(config, simulated, split.train)), scores


def are_trained(config: Config, simulated: dataset.Simulated, runs: Path) -> bool:
    """Return whether `best_trials` would find every trial."""
    return all(
        len(trials.stored_all(kind, simulated, runs)) == kind.fit.trials
        for kind in config.each_kind()
    )
