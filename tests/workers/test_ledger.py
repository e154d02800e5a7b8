"""A replay that was interrupted goes on, and counts every result once."""

import json
import os
import subprocess
import sys
import time

import numpy as np
import psutil
import pytest
import suitcase.jsonl
from tiled.queries import Key
from typer.testing import CliRunner
from waiting import PATIENCE

from rankaae_stream.commands.cli import app
from rankaae_stream.profile import API_KEY_VARIABLE
from rankaae_stream.workers.ledger import Ledger


class Killed(BaseException):
    pass


def killed_after(count):
    told = []

    def tell(outcome):
        told.append(outcome)
        if len(told) == count:
            raise Killed

    return tell


def of_kind(told, kind):
    return [line for line in told if json.loads(line)[0] == kind]


def test_an_interrupted_replay_goes_on_and_publishes_each_document_once(opened, replayed, tmp_path):
    whole = replayed(opened().runs, "whole")
    partly = []
    for count in (2, 3):
        with pytest.raises(Killed):
            replayed(opened().runs, resume="archive", told=killed_after(count))
        (ledger,) = (tmp_path / "spool" / "replays").iterdir()
        partly.append(ledger.read_bytes())
    assert len(partly[1]) > len(partly[0])
    ledger.write_bytes(partly[1] + b'{"run": "run-f", "start": {"_": "ma')  # cut by the kill
    last = replayed(opened().runs, resume="archive")
    assert last.outcomes == whole.outcomes
    before = {outcome.name for outcome in last.done.outcomes if outcome.before}
    assert before
    assert not list((tmp_path / "spool" / "replays").iterdir()), "it has come to its end"
    # What was spooled before the kill was sent by whichever process came to it.
    sent = [path.stem for path in (tmp_path / "spool").rglob("sent/*.jsonl")]
    starts = {json.loads(line)[1]["uid"] for line in of_kind(whole.told, "start")}
    assert sorted(sent) == sorted(starts)
    again = {json.loads(line)[1].get("original_run_uid") for line in of_kind(last.told, "start")}
    assert not before & again
    # The series of the runs from before and after are what they are undisturbed.
    assert of_kind(last.told, "stop")[-1] == of_kind(whole.told, "stop")[-1]
    assert "series" in of_kind(last.told, "start")[-1]


def test_a_replay_again_or_of_another_selection_starts_anew(opened, replayed):
    from rankaae_stream.past.selection import Selection

    with pytest.raises(Killed):
        replayed(opened().runs, resume="archive", told=killed_after(4))
    other = replayed(
        opened().runs, resume="archive", selection=Selection.parse(where=["sample_name=x"])
    )
    assert not any(outcome.before for outcome in other.done.outcomes)
    anew = replayed(opened().runs, resume="archive", again=True)
    assert not any(outcome.before for outcome in anew.done.outcomes)


def test_what_could_not_be_read_whole_is_not_finished(opened, replayed):
    with pytest.raises(Killed):
        replayed(opened().runs, resume="archive", told=killed_after(9))
    last = replayed(opened().runs, resume="archive")
    before = {outcome.name for outcome in last.done.outcomes if outcome.before}
    assert {"run-b", "run-g"} <= before
    assert "run-d" not in before, "it has no stop"
    assert not {"run-h", "run-i"} & before, "they are damaged"


def test_a_result_comes_back_from_the_file_as_it_was(analysis, hourly, tmp_path):
    from rankaae_stream.profile import load_profile
    from rankaae_stream.workers.one_run import answer_run

    answer = answer_run(
        "r", hourly("r", 0.0), load_profile("sim"), analysis, lambda _: None, lambda: 2e9
    )
    ledger = Ledger(tmp_path, {"source": "x"})
    ledger.add(answer.name, answer.start, "", answer.results)
    ledger.close(complete=False)
    ledger = Ledger(tmp_path, {"source": "x"})
    assert ledger.finished == {"r"}
    back = ledger.read("r")
    ledger.close(complete=False)
    assert back is not None
    (old,), (new,) = answer.results, back.results
    assert back.start == answer.start
    assert (new.uid, new.time, new.outputs) == (old.uid, old.time, old.outputs)
    for name in old.report.__dataclass_fields__:
        if name not in ("curves", "measured"):
            assert getattr(new.report, name) == getattr(old.report, name)
    for name in ("energy", "flat", "reconstruction"):
        np.testing.assert_array_equal(
            getattr(new.report.curves, name), getattr(old.report.curves, name)
        )
    np.testing.assert_array_equal(new.report.measured.mu, old.report.measured.mu)


def test_nothing_but_our_own_nouns_is_built_from_the_file(tmp_path):
    ledger = Ledger(tmp_path, {"source": "x"})
    ledger.close(complete=False)
    (path,) = tmp_path.iterdir()
    for value in (
        {"_": "Popen", "fields": {"args": ["true"]}},
        {"_": "array", "type": "O", "shape": [1], "data": ""},
        {"_": "Report", "fields": {}},
        5,
    ):
        line = {"run": "r", "start": {"_": "map", "items": []}, "skipped": "", "results": value}
        path.write_text(json.dumps(line) + "\n")
        ledger = Ledger(tmp_path, {"source": "x"})
        assert ledger.finished == {"r"}
        assert ledger.read("r") is None
        ledger.close(complete=False)


@pytest.mark.slow
def test_a_replay_by_processes_that_is_killed_goes_on_where_it_was(
    server, hourly, tmp_path, monkeypatch
):
    """SIGKILL half-way; the processes end with it, and each result is in Tiled once."""
    (tmp_path / "runs").mkdir()
    uids = [f"killed-{i:02}" for i in range(16)]
    for i, uid in enumerate(uids):
        suitcase.jsonl.export(hourly(uid, i, sample_name="killed"), tmp_path / "runs")
    settings = {
        # With a key that does not write nothing is half written, which would be waited for.
        API_KEY_VARIABLE: "another",
        "RANKAAE_STREAM_TILED__URI": server.uri,
        "RANKAAE_STREAM_SPOOL": str(tmp_path / "spool"),
    }
    arguments = ["replay", str(tmp_path / "runs"), "--workers", "2"]
    first = subprocess.Popen(
        [sys.executable, "-m", "rankaae_stream", *arguments],
        env={**os.environ, **settings},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    try:
        deadline = time.monotonic() + PATIENCE
        ledgers = tmp_path / "spool" / "replays"
        while not any(path.read_bytes().count(b"\n") > 4 for path in ledgers.glob("*.jsonl")):
            assert first.poll() is None
            assert time.monotonic() < deadline
            time.sleep(0.005)
        processes = psutil.Process(first.pid).children(recursive=True)
    finally:
        first.kill()
        first.wait()
    assert psutil.wait_procs(processes, PATIENCE)[1] == []
    for name, value in {**settings, API_KEY_VARIABLE: server.api_key}.items():
        monkeypatch.setenv(name, value)
    shown = CliRunner().invoke(app, arguments)
    assert shown.exit_code == 0, shown.output
    assert "16 answered, 0 refused" in shown.output
    told = " ".join(shown.output.split())
    assert "had been answered and published when an earlier replay was interrupted" in told
    results = server.client("processed")
    for uid in uids:
        (found,) = results.search(Key("start.original_run_uid") == uid).values()
        assert found.metadata["stop"]["num_events"] == {"primary": 1}
    assert not list(tmp_path.glob("spool/*/*.jsonl"))
