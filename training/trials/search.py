"""Search for better settings: ``python -m training fit CONFIG --search N``.

A sample is one network of the given seed under settings drawn near the given
ones (`SPACE`, `LOSS_WEIGHTS`); what it is worth is `validation_score`. The
winner is written as a configuration file and nothing is exported: one seed is
not a result, `fit` with the file trains as many as any model has.
"""

import hashlib
from collections.abc import Iterator, Mapping
from contextlib import closing
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import numpy as np
from tomli_w import dumps

from training.config import Config, Losses
from training.folders import DATA, RUNS
from training.network.networks import RankAAE
from training.network.train import Trial, fingerprint
from training.simulated import dataset
from training.simulated.dataset import Simulated, Split
from training.trials.select import (
    TrialScore,
    augmented,
    mixture_loss,
    score_trial,
    validation_score,
)
from training.trials.trials import Job, Watch, check_labels, stored, train_jobs
from training.trials.workers import HERE, Workers

if TYPE_CHECKING:
    import optuna

__all__ = ["SPACE", "Found", "Range", "Sample", "search"]


@dataclass(frozen=True)
class Range:
    """What one setting may become.

    Attributes
    ----------
    key : str
        Section and name, such as ``fit.rate``.
    low, high : float
        Factors of the given value, drawn log-uniformly, so that a setting of 0
        stays 0; of kind ``uniform`` the bounds themselves, widened to hold the
        given value, and of kind ``steps`` what is added to it, never below 1.
    kind : str
    """

    key: str
    low: float
    high: float
    kind: Literal["factor", "uniform", "steps"] = "factor"


SPACE = (
    Range("network.width", 0.5, 2.0),
    Range("network.depth", -2, 2, "steps"),
    Range("network.decoder_width", 0.5, 2.0),
    Range("network.decoder_depth", -1, 2, "steps"),
    Range("network.dropout", 0.0, 0.2, "uniform"),
    Range("fit.rate", 0.2, 3.0),
    Range("fit.weight_decay", 0.1, 10.0),
    Range("augment.shift", 0.5, 2.0),
    Range("augment.noise", 0.5, 2.0),
    Range("augment.height", 0.5, 2.0),
    Range("augment.slope", 0.5, 2.0),
    Range("augment.mixture_share", 0.2, 0.8, "uniform"),
)
"""The searched settings besides the weights of the losses."""

LOSS_WEIGHTS = (0.1, 10.0)
"""Factors of every loss's weight but the rank loss's, which sets the scale of the others."""

SCORE = 3
"""Raise by hand when `SPACE`, `validation_score` or a figure of `select` changes its meaning:
samples of another score are not compared with new ones."""

DIVERGED = -10.0
"""Score of a sample without finite figures: below all others."""


@dataclass(frozen=True)
class Sample:
    """One sample: its searched settings by key, and what they were worth."""

    number: int
    score: float
    settings: dict[str, float]
    figures: TrialScore


@dataclass(frozen=True)
class Found:
    """All samples, best first, the given settings' own score, and the file of the best."""

    samples: tuple[Sample, ...]
    given: dict[str, float]
    path: Path


def search(
    config: Config,
    samples: int,
    *,
    runs: Path = RUNS,
    data: Path = DATA,
    workers: Workers = HERE,
    watch: Watch | None = None,
    skip_bad: bool = False,
) -> Found:
    """Try settings near the given ones, the given ones first.

    Every sample is judged on the same validation spectra, augmented as the given
    configuration says: by its own augmentation, or on clean spectra, the sample
    that augments least would win. Mixtures have fewer labels, and count by themselves.

    Parameters
    ----------
    config : Config
    samples : int
        In all. Those of an earlier call under the same configuration, data and
        code count, so that a killed search resumes and a finished one grows.
    runs : Path
        Networks are kept here as those of `fit` are, which finds them again.
    data : Path
        Where the simulated spectra lie.
    workers : Workers
    watch : Watch, optional
    skip_bad : bool
        Go on after simulated sites that cannot be read.

    Raises
    ------
    ConfigurationError
        When data cannot be read, or no site is labelled with a tied descriptor.
    TrialFailedError
        When a sample raised or its worker died; it is tried again next time.
    """
    import optuna

    simulated, split = dataset.material(
        config.element, config.data, config.grid, data, skip_bad=skip_bad
    )
    check_labels(config, simulated)
    folder = runs / config.element.lower() / f"search-{_mark(config, simulated)}"
    folder.mkdir(parents=True, exist_ok=True)
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    study = optuna.create_study(
        storage=f"sqlite:///{folder.resolve() / 'study.db'}",
        study_name="search",
        direction="maximize",
        load_if_exists=True,
    )
    # Counted on, or a resumed search would draw again what it has drawn.
    study.sampler = optuna.samplers.TPESampler(seed=config.fit.seed + len(study.trials))
    if not study.trials:
        study.enqueue_trial(_given(config))
    _take_up(study)
    lacking = samples - len(_complete(study))
    asked: dict[Job, optuna.Trial] = {}

    def judge(job: Job, model: RankAAE) -> None:
        figures = _score(config, simulated, split, Trial(job.seed, model))
        asked[job].set_user_attr("figures", asdict(figures))
        study.tell(asked[job], _finite(validation_score(figures)))

    def draw() -> Iterator[Job]:
        for _ in range(lacking):
            trial = study.ask()
            settings = _with(config, _suggest(trial, config))
            name = f"sample {trial.number}"
            job = Job(name, settings, config.fit.seed, fingerprint(settings, simulated))
            asked[job] = trial
            model = stored(job, runs)
            if model is None:
                yield job
            else:
                if watch:
                    watch.found(job)
                judge(job, model)

    logs = folder / "tensorboard"
    if watch:
        watch.starts(max(lacking, 0), logs)
    with closing(train_jobs(draw(), simulated, split, runs, logs, workers, watch)) as finished:
        for job, model in finished:
            judge(job, model)
    best = sorted((_sample(one) for one in _complete(study)), key=lambda s: -s.score)
    path = folder / "best.toml"
    path.write_text(_toml(_with(config, best[0].settings), best[0]), encoding="utf-8")
    return Found(tuple(best), _given(config), path)


def _score(config: Config, simulated: Simulated, split: Split, trial: Trial) -> TrialScore:
    seen = augmented(config, simulated, split.validation, mixtures=False, shift=True)
    mixed = augmented(config, simulated, split.validation, mixtures=True, shift=True)
    mixtures = mixture_loss(trial.model, mixed, config.network.averaged)
    return score_trial(trial, seen.flat, seen.target, seen.weight > 0, seen.labels, mixtures)


def _ranges(config: Config) -> list[Range]:
    weights = [
        Range(f"losses.{name}", *LOSS_WEIGHTS)
        for name, field in Losses.model_fields.items()
        if name != "rank" and isinstance(field.default, float)
    ]
    return [
        one for one in (*SPACE, *weights) if one.kind != "factor" or _value(config, one.key) > 0
    ]


def _given(config: Config) -> dict[str, float]:
    return {one.key: _value(config, one.key) for one in _ranges(config)}


def _value(config: Config, key: str) -> float:
    section, name = key.split(".")
    return getattr(getattr(config, section), name)


def _suggest(trial: "optuna.Trial", config: Config) -> dict[str, float]:
    settings: dict[str, float] = {}
    for one in _ranges(config):
        given = _value(config, one.key)
        if one.kind == "steps":
            low, high = max(int(given + one.low), 1), int(given + one.high)
            settings[one.key] = trial.suggest_int(one.key, low, high)
        elif one.kind == "uniform":
            low, high = min(one.low, given), max(one.high, given)
            settings[one.key] = trial.suggest_float(one.key, low, high)
        elif isinstance(given, int):
            low, high = max(round(given * one.low), 1), round(given * one.high)
            settings[one.key] = trial.suggest_int(one.key, low, high, log=True)
        else:
            low, high = given * one.low, given * one.high
            settings[one.key] = trial.suggest_float(one.key, low, high, log=True)
    return settings


def _with(config: Config, settings: Mapping[str, float]) -> Config:
    """Return the configuration with other settings, rounded as they would be written."""
    content = config.model_dump(mode="json", exclude_unset=True)
    for key, value in settings.items():
        section, name = key.split(".")
        rounded = value if isinstance(value, int) else float(f"{value:.4g}")
        content.setdefault(section, {})[name] = rounded
    return Config.model_validate(content)


def _mark(config: Config, simulated: Simulated) -> str:
    """Return a hash of what the scores of a study depend on, 16 hexadecimal digits."""
    parts = [
        f"score {SCORE}",
        fingerprint(config, simulated),
        str(config.fit.seed),
        str(config.calibration.copies),
    ]
    return hashlib.sha256("\n".join(parts).encode()).hexdigest()[:16]


def _take_up(study: "optuna.Study") -> None:
    """Queue again what an interrupted search was trying; nobody else works on it."""
    from optuna.trial import TrialState

    for one in study.get_trials(states=[TrialState.RUNNING]):
        study.tell(one.number, state=TrialState.FAIL)
        study.enqueue_trial(one.params)


def _complete(study: "optuna.Study") -> list["optuna.trial.FrozenTrial"]:
    from optuna.trial import TrialState

    return study.get_trials(states=[TrialState.COMPLETE])


def _sample(trial: "optuna.trial.FrozenTrial") -> Sample:
    figures = dict(trial.user_attrs["figures"])
    figures["spearman_scores"] = tuple(figures["spearman_scores"])
    assert trial.value is not None
    return Sample(trial.number, trial.value, dict(trial.params), TrialScore(**figures))


def _finite(score: float) -> float:
    return score if np.isfinite(score) else DIVERGED


def _toml(config: Config, best: Sample) -> str:
    title = f"# Sample {best.number} of a search, score {best.score:.4f} on validation, one seed."
    return (
        f"{title}\n{dumps(config.model_dump(mode='json', exclude_unset=True, exclude_none=True))}"
    )
