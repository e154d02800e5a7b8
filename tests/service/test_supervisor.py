"""A worker may die of a run: the run is tried again, put aside, and the others are answered."""

import json
import os
import signal
import sys
import time
from pathlib import Path

import pytest
from waiting import PATIENCE, wait_until

from rankaae_stream.errors import ConfigurationError
from rankaae_stream.profile import load_profile
from rankaae_stream.replay import replay
from rankaae_stream.results.compose_series import PURPOSE
from rankaae_stream.service.process import WORKER
from rankaae_stream.service.supervisor import Limits, Supervisor
from rankaae_stream.simulate import SERIES
from rankaae_stream.simulate.documents import Beam
from rankaae_stream.simulate.steps import ophyd_step

pytestmark = pytest.mark.slow  # each starts a worker, which loads the models

DEADLY = (sys.executable, str(Path(__file__).with_name("deadly_worker.py")))
FE2O3 = next(sample for sample in SERIES if sample.name == "Fe2O3")


def documents(name, **start):
    return list(ophyd_step(Beam(FE2O3), name=name, element="Fe", sample_name=name, **start))


@pytest.fixture
def supervise(tmp_path):
    made = []

    def start(program=WORKER, *, series=False, **limits):
        # Nobody answers there: what is final stays in the spool, where a test finds it.
        profile = load_profile(
            "generic",
            spool=tmp_path / "spool",
            tiled={"uri": "http://127.0.0.1:1"},
            tiled_api_key="key",
            series={"publish": series},
        )
        made.append(
            Supervisor(profile, Limits(**{"pause": (0.05, 0.1), **limits}), program=program)
        )
        made[-1].wait_ready(PATIENCE)
        return made[-1]

    yield start
    for one in made:
        one.close(5.0)


def spooled(tmp_path):
    """The final primary results on the disk, by sample: the valence, or the refusal."""
    found = {}
    for path in (tmp_path / "spool").glob("tiled*/*.jsonl"):
        lines = dict(json.loads(line) for line in path.read_text().splitlines())
        start, summary = lines["start"], lines["stop"].get("summary", {})
        if start["purpose"].startswith("descriptors") and start.get("primary"):
            state = summary["estimates"].get("oxidation_state")
            answer = round(state["value"], 2) if state else summary["refusal"]["name"]
            found[start["sample_name"]] = answer
    return found


def feed(supervisor, *names):
    for name in names:
        for kind, doc in documents(name):
            supervisor.take(kind, doc)
    supervisor.flush()


def test_a_worker_answers_what_a_replay_answers(supervise, tmp_path):
    supervisor = supervise()
    feed(supervisor, "a", "b")
    wait_until(lambda: len(spooled(tmp_path)) == 2, "both are answered")
    profile = load_profile("generic", spool=tmp_path / "other")
    done = replay([documents("a")], profile, dry_run=True)
    (report,) = [one for one in done.outcomes[0].reports if one.channel == "transmission"]
    assert spooled(tmp_path)["a"] == round(report.estimate("oxidation_state").value, 2)
    wait_until(lambda: supervisor.state().kept_bytes == 0, "their documents are not kept")
    state = supervisor.state()
    assert (state.worker, state.answered > 0, state.waiting) == ("running", True, 0)
    assert state.documents["start"] == 2
    assert state.models["Fe K"].startswith("fe-k-oxides")
    assert state.device.startswith("C"), "the CPU, or CUDA"


def test_a_killed_worker_loses_nothing_and_its_series_goes_on(supervise, tmp_path):
    supervisor = supervise(series=True)
    runs = [documents(name, sample_uid="cell") for name in "abc"]
    half = len(runs[1]) // 2
    for kind, doc in [*runs[0], *runs[1][:half]]:
        supervisor.take(kind, doc)
    supervisor.flush()
    wait_until(lambda: not supervisor.waiting, "half of the second run is handled")
    assert supervisor.state().oldest_waiting == 0.0
    wait_until(lambda: supervisor.state().answered, "the first is answered")
    killed = time.time()
    os.kill(supervisor._process.pid, signal.SIGKILL)
    for kind, doc in [*runs[1][half:], *runs[2]]:
        supervisor.take(kind, doc)
    assert killed <= supervisor.state().oldest_waiting <= time.time()
    wait_until(lambda: len(spooled(tmp_path)) == 3, "all are answered")
    assert list(spooled(tmp_path).values()) == pytest.approx([3.0] * 3, abs=0.2)
    assert supervisor.state().restarts == {"crash": 1}
    supervisor.close(10.0, finish=True)
    places = (tmp_path / "spool").glob("tiled*/*.jsonl")
    found = [dict(map(json.loads, path.read_text().splitlines())) for path in places]
    (series,) = [one["stop"] for one in found if one["start"]["purpose"] == PURPOSE]
    told = [one["raw_uid"] for one in series["summary"]["spectra"]]
    assert told == [run[0][1]["uid"] for run in runs]
    assert series["summary"]["complete"] is True
    assert list((tmp_path / "spool" / "series" / "generic").iterdir()) == [], "it has ended"


@pytest.mark.parametrize(("name", "reason"), [("kill", "crash"), ("hang", "stalled")])
def test_a_run_that_ends_two_workers_is_put_aside_and_refused(supervise, tmp_path, name, reason):
    supervisor = supervise(DEADLY, deadline=3.0)
    feed(supervisor, "a", name, "b")
    wait_until(lambda: len(spooled(tmp_path)) == 3, "all three have their result")
    assert spooled(tmp_path)[name] == "crash"
    assert spooled(tmp_path)["a"] == spooled(tmp_path)["b"] == pytest.approx(3.0, abs=0.2)
    state = supervisor.state()
    assert (state.restarts[reason], state.quarantined) == (2, 1)
    aside = tmp_path / "spool" / "documents" / "generic" / "quarantine"
    (why,) = aside.glob("*.reason")
    assert reason in why.read_text(encoding="utf-8")


def test_a_worker_with_too_much_memory_is_replaced(supervise, tmp_path):
    supervisor = supervise(memory=1)
    wait_until(lambda: supervisor.state().restarts.get("memory"), "another takes its place")
    supervisor.limits.memory = 1 << 40
    feed(supervisor, "a")
    wait_until(lambda: len(spooled(tmp_path)) == 1, "it answers")


def test_a_service_that_ends_leaves_open_runs_to_the_next(supervise, tmp_path):
    first, run = supervise(), documents("a")
    for kind, doc in run[:50]:
        first.take(kind, doc)
    wait_until(lambda: not first.waiting, "they are handled")
    first.close(10.0)
    assert spooled(tmp_path) == {}
    second = supervise()
    for kind, doc in run[50:]:
        second.take(kind, doc)
    wait_until(lambda: len(spooled(tmp_path)) == 1, "it is answered whole")
    assert spooled(tmp_path)["a"] == pytest.approx(3.0, abs=0.2)


def test_what_is_wrong_with_the_profile_is_said_at_the_start(tmp_path):
    profile = load_profile(
        "generic",
        spool=tmp_path / "spool",
        tiled_api_key="key",
        models={"Fe K": {"path": str(tmp_path / "none"), "id": "0" * 64}},
    )
    supervisor = Supervisor(profile)
    with pytest.raises(ConfigurationError, match="none"):
        supervisor.wait_ready(PATIENCE)
