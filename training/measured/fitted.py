"""From a configuration to an ensemble with maps and error models, ready to judge measured files."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from training.config import Config
from training.measured import intervals, shown
from training.measured.intervals import ErrorModel
from training.measured.maps import Maps, fit_maps
from training.measured.own_shift import Laid
from training.measured.shown import Shown
from training.measured.standards import Standard
from training.network.ensemble import Ensemble
from training.simulated import dataset
from training.simulated.dataset import Simulated, Split
from training.trials import trials
from training.trials.best import best_trials
from training.trials.select import TrialScore
from training.trials.workers import HERE, Workers

__all__ = ["Fitted", "fit_networks"]


@dataclass(frozen=True, eq=False)
class Fitted:
    """The best trials as one ensemble, and all that its answers need.

    Attributes
    ----------
    config : Config
    simulated : Simulated
    split : Split
    ensemble : Ensemble
    scores : tuple of TrialScore
        Of every trial.
    maps : Maps
    errors : tuple of ErrorModel
        Of simulated compounds, one a descriptor.
    start : float
        Energy from which on a reconstruction is compared, eV.
    """

    config: Config
    simulated: Simulated
    split: Split
    ensemble: Ensemble
    scores: tuple[TrialScore, ...]
    maps: Maps
    errors: tuple[ErrorModel, ...]
    start: float

    def show(self, used: Sequence[Standard], laid: Sequence[Laid]) -> list[Shown]:
        """Judge every compound of the files; `laid` says where they lie on the simulation."""
        return shown.show(
            self.config,
            self.simulated,
            used,
            self.ensemble,
            self.maps,
            self.errors,
            laid,
            self.start,
        )


def fit_networks(
    config: Config,
    runs: Path,
    data: Path,
    workers: Workers = HERE,
    watch: trials.Watch | None = None,
    *,
    skip_bad: bool = False,
) -> Fitted:
    """Read, split, train what is not trained yet, select, and fit maps and error models.

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
    return Fitted(
        config,
        simulated,
        split,
        ensemble,
        tuple(scores),
        maps,
        intervals.simulated_errors(config, simulated, split.validation, ensemble, maps),
        intervals.domain_start(simulated, split.train),
    )
