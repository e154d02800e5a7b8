"""Trials side by side: the same networks, watched, kept, and found again after the worst."""

import io
import multiprocessing
import os
import shutil
import signal
import subprocess
import sys
import threading
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from rich.console import Console
from serving import give_or_await
from waiting import PATIENCE, wait_until

from rankaae_stream import dask_client
from rankaae_stream.errors import ConfigurationError
from training import config
from training.network.train import fingerprint
from training.simulated import dataset
from training.trials import trials, workers
from training.trials.progress import Display
from training.trials.trials import Job, fit_all, train_jobs
from training.trials.workers import HERE, TrialFailedError, Workers

CONFIGS = Path(config.__file__).resolve().parent / "configs"
TINY = config.load(CONFIGS / "tiny.toml")
CHECKOUT = CONFIGS.parents[1]

pytestmark = pytest.mark.skipif(os.name != "posix", reason="signals and process groups")


class Seen:
    """A watch that writes down what it is told."""

    def __init__(self):
        self.logs = None
        self.begun, self.old, self.epochs = [], [], []

    def starts(self, jobs, logs):
        self.logs = logs

    def found(self, job):
        self.old.append(job.seed)

    def begin(self, job):
        self.begun.append(job.seed)
        return lambda done, losses, rate: self.epochs.append((job.seed, done, losses, rate))


def shorter(**fit):
    return TINY.model_copy(update={"fit": TINY.fit.model_copy(update=fit)})


@pytest.fixture(scope="module")
def material():
    simulated = dataset.read(TINY.element, TINY.data, TINY.grid)
    return simulated, dataset.split(simulated, TINY.data)


@pytest.fixture(scope="module")
def sequential(material, tmp_path_factory):
    return fit_all(shorter(epochs=2), *material, tmp_path_factory.mktemp("runs"))


def networks(found):
    return {trial.seed: trial.model.state_dict() for trial in found}


def assert_same(one, other):
    assert one.keys() == other.keys()
    for seed, state in one.items():
        for name, value in state.items():
            assert torch.equal(value, other[seed][name]), (seed, name)


@pytest.mark.slow
def test_processes_train_the_same_networks_and_tell_every_epoch(material, sequential, tmp_path):
    seen = Seen()
    found = fit_all(shorter(epochs=2), *material, tmp_path, Workers(2), seen)
    assert_same(networks(found), networks(sequential))
    assert sorted(seed for seed, *_ in seen.epochs) == [0, 0, 1, 1]
    *_, losses, rate = seen.epochs[0]
    assert losses.keys() == config.Losses.model_fields.keys()
    assert 0 < rate <= TINY.fit.rate
    assert multiprocessing.active_children() == []


@pytest.mark.slow
def test_the_log_holds_every_loss_and_the_rate_of_every_epoch(material, tmp_path):
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    seen = Seen()
    fit_all(shorter(epochs=2), *material, tmp_path, HERE, seen)
    for seed in (0, 1):
        log = EventAccumulator(str(seen.logs / f"trial-{seed}")).Reload()
        assert set(log.Tags()["scalars"]) == {
            "rate",
            *(f"loss/{name}" for name in config.Losses.model_fields),
        }
        told = [losses["rank"] for one, _, losses, _ in seen.epochs if one == seed]
        logged = log.Scalars("loss/rank")
        assert [one.step for one in logged] == [1, 2]
        assert [one.value for one in logged] == pytest.approx(told)


@pytest.mark.slow
def test_a_dask_cluster_trains_the_same_networks(material, sequential, tmp_path):
    distributed = pytest.importorskip("distributed")
    seen = Seen()
    # Two threads of one worker: each trial must still have torch's generator for itself.
    with distributed.LocalCluster(
        n_workers=1,
        threads_per_worker=2,
        host="127.0.0.1",
        dashboard_address=None,
        local_directory=tmp_path / "dask",
    ) as cluster:
        where = Workers(2, dask=cluster.scheduler_address)
        found = fit_all(shorter(epochs=2), *material, tmp_path, where, seen)
        with pytest.raises(TrialFailedError, match=r"trial \d \(seed \d\) failed: ValueError"):
            fit_all(shorter(epochs=0), *material, tmp_path, where)
    assert_same(networks(found), networks(sequential))
    assert sorted((seed, done) for seed, done, *_ in seen.epochs) == [
        (0, 1),
        (0, 2),
        (1, 1),
        (1, 2),
    ]


def test_without_dask_the_error_names_what_to_install(material, tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "distributed", None)
    with pytest.raises(ConfigurationError, match=r"pip install '\.\[dask\]'"):
        fit_all(TINY, *material, tmp_path, Workers(dask="tcp://127.0.0.1:1"))


def test_an_address_without_a_scheduler_is_named(material, tmp_path, monkeypatch):
    pytest.importorskip("distributed")
    monkeypatch.setattr(dask_client, "PATIENCE", 0.2)
    with pytest.raises(ConfigurationError, match=r"answers at tcp://127\.0\.0\.1:1:"):
        fit_all(TINY, *material, tmp_path, Workers(dask="tcp://127.0.0.1:1"))


@pytest.mark.slow
@pytest.mark.parametrize("where", [HERE, Workers(2)])
def test_a_trial_that_raises_is_named_by_its_seed(material, tmp_path, where):
    with pytest.raises(TrialFailedError, match=r"\(seed \d\) failed: ValueError") as caught:
        fit_all(shorter(epochs=0, trials=1), *material, tmp_path, where)
    assert "fit_trial" in caught.value.__notes__[0]
    assert multiprocessing.active_children() == []


@pytest.mark.slow
def test_a_worker_that_dies_is_named_and_finished_trials_stay(material, tmp_path):
    class Murder(Seen):
        def begin(self, job):
            if job.seed == 2:  # so that one of the others is finished
                for process in multiprocessing.active_children():
                    os.kill(process.pid, signal.SIGKILL)
            return super().begin(job)

    long = shorter(trials=3, epochs=3)
    with pytest.raises(
        TrialFailedError, match=r"\(seed [012]\): its process died with exit code -9"
    ):
        fit_all(long, *material, tmp_path, Workers(2), Murder())
    kept = {path: path.stat().st_mtime_ns for path in tmp_path.rglob("*.pt")}
    assert 1 <= len(kept) < 3
    seen = Seen()
    assert len(fit_all(long, *material, tmp_path, HERE, seen)) == 3
    assert sorted(seen.old + seen.begun) == [0, 1, 2]
    assert len(seen.old) == len(kept)
    assert all(path.stat().st_mtime_ns == stamp for path, stamp in kept.items())


def test_a_worker_that_dies_with_nothing_to_do_ends_nothing(tmp_path):
    file = tmp_path / "go on"
    found = Workers(2).run(give_or_await, None, ["at once", file], lambda _: lambda: None)
    job, number = next(found)
    assert job == "at once"
    os.kill(number, signal.SIGKILL)
    threading.Timer(0.5, file.touch).start()  # time to see the death before the other's result
    assert [job for job, _ in found] == [file]


def test_a_worker_with_other_code_refuses(material, tmp_path):
    job = Job("trial 0", TINY, 0, mark="of another checkout")
    with pytest.raises(TrialFailedError, match="bring both to the same commit"):
        list(train_jobs([job], *material, tmp_path, tmp_path, HERE))


def test_the_mark_changes_with_settings_and_data_but_not_with_the_number_of_trials(material):
    simulated, _ = material
    same = fingerprint(TINY, simulated)
    assert fingerprint(shorter(trials=9, keep=1, seed=5), simulated) == same
    assert fingerprint(shorter(rate=1e-3), simulated) != same
    assert fingerprint(TINY, replace(simulated, sources=(("other", "0"),))) != same


@pytest.fixture
def longer(tmp_path):
    path = tmp_path / "tiny.toml"
    text = (CONFIGS / "tiny.toml").read_text(encoding="utf-8")
    path.write_text(
        text.replace("epochs = 1", "epochs = 60").replace("trials = 2", "trials = 3"),
        encoding="utf-8",
    )
    return path


def start(path, folder):
    """The command in a process group of its own, and what kills nobody but itself."""
    where = ["--runs", str(folder / "runs"), "--models", str(folder / "models")]
    # A terminal's command hears Ctrl-C; one of a shell's background job would inherit deafness.
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        return subprocess.Popen(
            [sys.executable, "-m", "training", "fit", str(path), *where, "--workers", "2"],
            cwd=CHECKOUT,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            start_new_session=True,
        )
    finally:
        signal.signal(signal.SIGINT, before)


def group_is_gone(group):
    try:
        os.killpg(group, 0)
    except ProcessLookupError:
        return True
    return False


@pytest.mark.slow
def test_a_command_that_is_killed_resumes_where_it_stopped(longer, tmp_path):
    command = start(longer, tmp_path)
    runs = tmp_path / "runs"
    wait_until(lambda: any(runs.rglob("trial-*.pt")), "a finished trial")
    command.kill()
    command.communicate()
    # Nobody is left to end the workers: each finds out for itself.
    wait_until(lambda: group_is_gone(command.pid), "its processes end")
    kept = {path: path.stat().st_mtime_ns for path in runs.rglob("*.pt")}
    assert 1 <= len(kept) < 3
    seen = Seen()
    settings = config.load(longer)
    simulated = dataset.read(settings.element, settings.data, settings.grid)
    split = dataset.split(simulated, settings.data)
    again = fit_all(settings, simulated, split, runs, HERE, seen)
    assert [trial.seed for trial in again] == [0, 1, 2]
    assert len(seen.old) == len(kept)
    assert all(path.stat().st_mtime_ns == stamp for path, stamp in kept.items())
    assert not list(runs.rglob("*.part"))


@pytest.mark.slow
def test_ctrl_c_ends_every_process_without_a_traceback(longer, tmp_path):
    command = start(longer, tmp_path)
    wait_until(lambda: any((tmp_path / "runs").rglob("tensorboard/trial-1/*")), "the second trial")
    os.killpg(command.pid, signal.SIGINT)  # as a terminal does
    output, _ = command.communicate(timeout=PATIENCE)
    assert command.returncode != 0
    assert "Traceback" not in output
    wait_until(lambda: group_is_gone(command.pid), "its processes end")


def shown(terminal, epochs=8):
    console = Console(file=io.StringIO(), force_terminal=terminal, width=120)
    job = Job("trial 3", shorter(epochs=epochs), 3, "mark")
    with Display(console) as display:
        display.starts(2, Path("runs") / "fe" / "tensorboard")
        display.found(Job("trial 2", TINY, 2, "mark"))
        report = display.begin(job)
        other = display.begin(Job("trial 4", shorter(epochs=epochs), 4, "mark"))
        other(1, {"rank": 0.5}, 1e-3)
        for done in range(1, epochs + 1):
            report(done, {"rank": -done / 100}, 1e-3)
        display.refresh()
    return console.file.getvalue()


def test_a_file_gets_four_lines_a_trial_and_the_command_that_draws_the_losses():
    lines = shown(terminal=False).splitlines()
    assert lines[0] == f"losses: tensorboard --logdir {os.path.join('runs', 'fe', 'tensorboard')}"
    assert lines[1] == "trial 2: found, trained before"
    assert [line.split(" epochs")[0] for line in lines[2:]] == [
        "trial 3: 2/8",
        "trial 3: 4/8",
        "trial 3: 6/8",
        "trial 3: 8",
    ]
    assert lines[-1].endswith("rank -0.080")


def test_a_terminal_shows_all_trials_at_once_with_their_losses():
    output = shown(terminal=True)
    last = output[output.rindex("trial 4") :]
    assert "1/8 epochs rank 0.500" in last
    assert "2/2 finished" in output


@pytest.mark.slow
def test_what_another_trial_left_half_written_is_no_trial(material, tmp_path):
    fit_all(TINY, *material, tmp_path)
    [first] = tmp_path.rglob("trial-0.pt")
    shutil.move(first, first.with_suffix(".part"))
    seen = Seen()
    fit_all(TINY, *material, tmp_path, HERE, seen)
    assert (seen.old, seen.begun) == ([1], [0])


def test_as_many_processes_as_cores_share_their_threads(monkeypatch):
    ran = []
    monkeypatch.setattr(workers, "_cores", lambda: 8)
    monkeypatch.setattr(workers, "_Processes", lambda *a: ran.append(a[-1]))
    Workers(None, threads=2).run(trials._work, None, [], None)
    assert ran == [4]
