"""Train the seeded trials of one configuration side by side, keep them, and find them again."""

import io
import shutil
import threading
from collections.abc import Generator, Iterable
from contextlib import ExitStack, closing
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import numpy as np
import torch

from rankaae_stream.errors import ConfigurationError
from training.config import Config
from training.folders import RUNS
from training.network.networks import RankAAE
from training.network.train import Progress, Trial, fingerprint, fit_trial, labels_of
from training.simulated.dataset import Simulated, Split
from training.trials.workers import HERE, Workers

__all__ = ["Job", "Watch", "check_labels", "fit_all", "stored", "stored_all", "train_jobs"]


@dataclass(frozen=True, eq=False)
class Job:
    """One network to train.

    Attributes
    ----------
    name : str
        For people, such as ``trial 3``.
    config : Config
    seed : int
    mark : str
        Its `fingerprint`: the same job has the same one on every machine.
    """

    name: str
    config: Config
    seed: int
    mark: str

    def __str__(self) -> str:
        return f"{self.name} (seed {self.seed})"

    def folder(self, runs: Path) -> Path:
        """Return where trials of these settings, data and recipe are kept."""
        return runs / self.config.element.lower() / self.mark

    def path(self, runs: Path) -> Path:
        """Return the finished network's file."""
        return self.folder(runs) / f"trial-{self.seed}.pt"


class Watch(Protocol):
    """Receives the progress of training, in the process that was started."""

    def starts(self, jobs: int, logs: Path) -> None:
        """Take the number of jobs, and the folder of their losses that TensorBoard reads."""
        ...

    def found(self, job: Job) -> None:
        """Take a job that had finished before."""
        ...

    def begin(self, job: Job) -> Progress:
        """Take a job that starts; return what is called after each of its epochs."""
        ...


def fit_all(
    config: Config,
    simulated: Simulated,
    split: Split,
    runs: Path = RUNS,
    workers: Workers = HERE,
    watch: Watch | None = None,
) -> list[Trial]:
    """Train every trial that has not been trained yet.

    Parameters
    ----------
    config : Config
    simulated : Simulated
    split : Split
        Only `split.train` is learned from.
    runs : Path
        Finished trials are kept here and found again under the same
        configuration, data and seed.
    workers : Workers
        One trial at a time in this process unless it says otherwise.
    watch : Watch, optional

    Returns
    -------
    list of Trial
        By seed.

    Raises
    ------
    ConfigurationError
        When no site is labelled with a tied descriptor.
    TrialFailedError
        When a trial raised or its worker died; those that had finished are kept.
    """
    check_labels(config, simulated)
    mark = fingerprint(config, simulated)
    seeds = range(config.fit.seed, config.fit.seed + config.fit.trials)
    jobs = [Job(f"trial {seed}", config, seed, mark) for seed in seeds]
    logs = jobs[0].folder(runs) / "tensorboard"
    if watch:
        watch.starts(len(jobs), logs)
    models: dict[int, RankAAE] = {}
    for job in jobs:
        model = stored(job, runs)
        if model is not None:
            models[job.seed] = model
            if watch:
                watch.found(job)
    missing = [job for job in jobs if job.seed not in models]
    with closing(train_jobs(missing, simulated, split, runs, logs, workers, watch)) as finished:
        models.update((job.seed, model) for job, model in finished)
    return [Trial(seed, models[seed]) for seed in seeds]


def stored_all(config: Config, simulated: Simulated, runs: Path) -> list[int]:
    """Return the seeds whose trials are finished."""
    mark = fingerprint(config, simulated)
    seeds = range(config.fit.seed, config.fit.seed + config.fit.trials)
    return [seed for seed in seeds if Job("", config, seed, mark).path(runs).is_file()]


def train_jobs(
    jobs: Iterable[Job],
    simulated: Simulated,
    split: Split,
    runs: Path,
    logs: Path,
    workers: Workers,
    watch: Watch | None = None,
) -> Generator[tuple[Job, RankAAE]]:
    """Train jobs side by side and yield each network, already kept, as it is finished.

    A job is drawn when a worker is free for it, see `Workers.run`. Its losses and
    its learning rate go below `logs`, epoch by epoch; a job that was killed
    halfway begins again, and so does its log.

    Returns
    -------
    generator
        Close it to stop the workers.
    """
    # Half a second that only training needs.
    from torch.utils.tensorboard.writer import SummaryWriter

    with ExitStack() as opened:

        def begin(job: Job) -> Progress:
            folder = logs / job.name.replace(" ", "-")
            shutil.rmtree(folder, ignore_errors=True)
            writer = opened.enter_context(SummaryWriter(folder, flush_secs=30))
            report = watch.begin(job) if watch else None

            def epoch(done: int, losses: dict[str, float], rate: float) -> None:
                for name, value in losses.items():
                    writer.add_scalar(f"loss/{name}", value, done)
                writer.add_scalar("rate", rate, done)
                if done == job.config.fit.epochs:
                    writer.close()
                if report:
                    report(done, losses, rate)

            return epoch

        material = _Material(simulated, split, workers.threads)
        for job, state in opened.enter_context(closing(workers.run(_work, material, jobs, begin))):
            _keep(state, job.path(runs))
            model = stored(job, runs)
            assert model is not None
            yield job, model


def stored(job: Job, runs: Path) -> RankAAE | None:
    """Return the network of a finished job, in evaluation mode; None where there is none."""
    path = job.path(runs)
    if not path.is_file():
        return None
    model = RankAAE(job.config.grid.points, job.config.network)
    model.load_state_dict(torch.load(path, weights_only=True))
    return model.eval()


def _keep(state: bytes, path: Path) -> None:
    """Write a network aside and rename it: a file of this name is whole."""
    path.parent.mkdir(parents=True, exist_ok=True)
    unfinished = path.with_suffix(".part")
    unfinished.write_bytes(state)
    unfinished.replace(path)


@dataclass(frozen=True, eq=False)
class _Material:
    """All that a worker needs and does not find on its disk."""

    simulated: Simulated
    split: Split
    threads: int


_ALONE = threading.Lock()
"""Torch has one random generator a process: two trials at once would share its numbers."""


def _work(material: _Material, job: Job, report: Progress) -> bytes:
    """Train one job, in whatever process this is; its network as a file's bytes."""
    if fingerprint(job.config, material.simulated) != job.mark:
        raise ConfigurationError(
            "this worker's training/ has another recipe than the one that started it; "
            "bring both to the same commit and start again"
        )
    with _ALONE:
        before = torch.get_num_threads()
        torch.set_num_threads(material.threads)
        try:
            model = fit_trial(job.config, material.simulated, material.split, job.seed, report)
        finally:
            torch.set_num_threads(before)
    state = io.BytesIO()
    torch.save(model.state_dict(), state)
    return state.getvalue()


def check_labels(config: Config, simulated: Simulated) -> None:
    """Check that every tied descriptor labels some site: else it cannot order a latent.

    Raises
    ------
    ConfigurationError
        With the descriptors that no site is labelled with.
    ValueError
        When the configuration names related sites and they were not read: other
        networks would be trained without any notice.
    """
    if config.data.related and simulated.related is None:
        raise ValueError("data.related is set: read the sites by dataset.with_related first")
    labels = labels_of(config, simulated)
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
