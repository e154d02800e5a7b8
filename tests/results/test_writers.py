"""Several writers, damaged files and one result that cannot be sent: the others never wait."""

import fcntl
import importlib.util
import json
import os
import random
import shutil
import signal
import subprocess
import sys
import time
from collections import Counter
from functools import partial
from types import SimpleNamespace

import numpy as np
import pytest
from answers import answer as make_answer
from counted import count
from waiting import PATIENCE, wait_until

from rankaae_stream import private
from rankaae_stream.errors import ConfigurationError
from rankaae_stream.results import spool as spool_module
from rankaae_stream.results.compose import ResultRun
from rankaae_stream.results.sender import Sender
from rankaae_stream.results.sinks import Postponed
from rankaae_stream.results.spool import Spool, entries
from rankaae_stream.results.tiled_sink import TiledSink
from rankaae_stream.results.what_if import PURPOSE
from rankaae_stream.server.tiled_server import EmbeddedServer

RETRY = (0.01, 0.1)


@pytest.fixture
def answer():
    return make_answer


class Sink:
    """Takes every result but those named in `postponed`."""

    name = "test"

    def __init__(self):
        self.finals, self.postponed, self.abandoned = [], set(), []

    def provisional(self, run):
        pass

    def final(self, run):
        if run.uid in self.postponed:
            raise Postponed("the server answers POST /metadata with HTTP 500")
        self.finals.append(run.uid)

    def abandon(self, uid, stop):
        self.abandoned.append((uid, stop))

    def close(self):
        pass


@pytest.fixture
def sink():
    return Sink()


def test_a_result_that_the_sink_cannot_take_holds_no_other(sink, answer, tmp_path):
    sender = Sender(sink, Spool(tmp_path), RETRY)
    stuck, *others = [answer(f"scan {number}") for number in range(4)]
    sink.postponed.add(stuck.uid)
    for run in (stuck, *others):
        sender.final(run)
    wait_until(lambda: len(sink.finals) == 3, "the others are sent")
    assert sink.finals == [run.uid for run in others]
    assert sender.waiting == 1
    assert "HTTP 500" in sender.failing
    sink.postponed.clear()
    assert sender.wait_idle(PATIENCE)
    assert sink.finals[-1] == stuck.uid
    assert sender.failing == ""
    assert sender.close(PATIENCE) == 0


def test_after_an_outage_results_go_before_what_if_curves(sink, answer, tmp_path):
    curves, *results = [answer(f"scan {number}") for number in range(3)]
    curves.start["purpose"] = PURPOSE
    sink.postponed.update(run.uid for run in (curves, *results))
    sender = Sender(sink, Spool(tmp_path), (0.1, 0.1))
    for run in (curves, *results):
        sender.final(run)
    wait_until(lambda: all(waiting.failures for waiting in sender._line), "each has failed")
    assert sender.close(PATIENCE) == 3
    sink.postponed.clear()
    sender = Sender(sink, Spool(tmp_path), RETRY)  # which finds them on the disk
    assert sender.wait_idle(PATIENCE)
    assert sink.finals == [*(run.uid for run in results), curves.uid]
    assert sender.close(PATIENCE) == 0


def test_a_spool_is_locked_on_windows_too(tmp_path, monkeypatch):
    def locking(descriptor, mode, count):
        assert (mode, count, os.lseek(descriptor, 0, os.SEEK_CUR)) == ("not waiting", 1, 0)
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)

    msvcrt = SimpleNamespace(LK_NBLCK="not waiting", locking=locking)
    monkeypatch.setitem(sys.modules, "msvcrt", msvcrt)
    spec = importlib.util.spec_from_file_location("private_on_windows", private.__file__)
    windows = importlib.util.module_from_spec(spec)
    with monkeypatch.context() as patch:
        patch.setattr(sys, "platform", "win32")
        spec.loader.exec_module(windows)
        patch.setattr(spool_module, "lock", windows.lock)
        first, second = Spool(tmp_path), Spool(tmp_path)
        assert (first.owner, second.owner) == (True, False)
        first.close()
        assert second.claim()
        second.close()


def test_it_is_put_aside_with_the_answer_while_others_are_taken(sink, answer, tmp_path, caplog):
    sender = Sender(sink, Spool(tmp_path), RETRY, put_aside=0.2)
    stuck = answer("stuck")
    sink.postponed.add(stuck.uid)
    sender.final(stuck)
    # As long as nothing else is taken, the fault may be the server's: it stays in the line.
    time.sleep(0.5)
    assert sender.waiting == 1
    sender.final(answer("another"))
    assert sender.wait_idle(PATIENCE)
    sender.close(PATIENCE)
    found = {entry.uid: entry for entry in entries(tmp_path)}
    assert found[stuck.uid].state == "rejected"
    assert "HTTP 500" in found[stuck.uid].reason
    assert "does not take result" in caplog.text


@pytest.mark.parametrize(
    "content",
    [
        '["start", {}]\n',
        '["start", null]\n',
        '["stop", ' + "[" * 100_000,
        "null\n",
        '{"a": 1}\n',
        '["start", 1, 2]\n',
        '["\\ud800", {}]\n',
        "\x00",
        "",
        None,
    ],
)
def test_what_is_no_result_is_set_aside_and_the_next_is_sent(sink, answer, tmp_path, content):
    spool, good = Spool(tmp_path), answer("good")
    bad = tmp_path / "0-bad.jsonl"
    bad.mkdir() if content is None else bad.write_text(content, encoding="utf-8")
    os.utime(bad, (1, 1))
    spool.add(good)
    sender = Sender(sink, spool, RETRY)
    assert sender.wait_idle(PATIENCE)
    assert sink.finals == [good.uid]
    assert sender.rejected == 1
    sender.close(PATIENCE)
    assert (tmp_path / "rejected" / "0-bad.jsonl").exists()
    assert "no result" in (tmp_path / "rejected" / "0-bad.reason").read_text()


def test_a_file_that_names_another_uid_is_no_result(sink, answer, tmp_path):
    spool, good = Spool(tmp_path), answer("good")
    spool.add(good)
    planted = tmp_path / "11111111-1111-4111-8111-111111111111.jsonl"
    shutil.copy(tmp_path / f"{good.uid}.jsonl", planted)
    sender = Sender(sink, spool, RETRY)
    assert sender.wait_idle(PATIENCE)
    assert sink.finals == [good.uid]
    sender.close(PATIENCE)


def test_what_a_second_session_left_is_sent_by_the_first(sink, answer, tmp_path):
    first = Sender(sink, Spool(tmp_path), RETRY, look=0.05, adopt=0.0)
    second = Spool(tmp_path)
    assert not second.owner
    second.add(answer("left"))
    second.close()
    wait_until(lambda: sink.finals == [answer("left").uid], "the first session sends it")
    assert first.close(PATIENCE) == 0


def test_a_session_becomes_the_owner_when_the_other_has_ended(sink, answer, tmp_path):
    owner = Spool(tmp_path)
    owner.add(answer("left"))
    sender = Sender(sink, Spool(tmp_path), RETRY, look=0.05, adopt=0.0)
    time.sleep(0.2)
    assert sink.finals == []
    owner.close()
    wait_until(lambda: sink.finals == [answer("left").uid], "the new owner sends it")
    sender.close(PATIENCE)


def test_a_result_that_another_session_has_sent_is_no_error(sink, answer, tmp_path, caplog):
    spool = Spool(tmp_path)
    sender = Sender(sink, spool, RETRY)
    run = answer("twice")
    sink.postponed.add(run.uid)
    sender.final(run)
    wait_until(lambda: sender.failing, "it is postponed")
    spool.sent(run.uid)
    assert sender.wait_idle(PATIENCE)
    assert "disappeared" not in caplog.text
    sender.close(PATIENCE)


KILLED = """
import json, sys, time
from pathlib import Path
from rankaae_stream.results.compose import ResultRun
from rankaae_stream.results.sender import Sender
from rankaae_stream.results.spool import Spool
class Sink:
    name = "test"
    def provisional(self, run): print("shown", flush=True)
sender = Sender(Sink(), Spool(Path(sys.argv[1])))
sender.provisional(ResultRun(**json.loads(sys.argv[2])))
time.sleep(600)
"""


@pytest.mark.parametrize("final_waits", [False, True])
def test_a_run_that_a_killed_session_left_growing_is_ended_by_the_next(
    sink, answer, tmp_path, final_waits
):
    run = answer("killed")
    command = [sys.executable, "-c", KILLED, str(tmp_path), json.dumps(dict(run.documents()))]
    process = subprocess.Popen(command, stdout=subprocess.PIPE)
    assert process.stdout.readline() == b"shown\n"
    if final_waits:
        other = Spool(tmp_path)
        other.add(run)
        other.close()
    process.send_signal(signal.SIGKILL)
    process.wait()
    process.stdout.close()
    sender = Sender(sink, Spool(tmp_path), RETRY)
    assert sender.wait_idle(PATIENCE)
    [(uid, stop)] = sink.abandoned
    assert uid == run.uid
    if final_waits:
        assert stop is None  # the final result replaces it
        assert sink.finals == [run.uid]
    else:
        assert stop["exit_status"] == "abort"
        assert "no_stop" in stop["summary"]["flags"]
    sender.close(PATIENCE)
    again = Sender(Sink(), Spool(tmp_path), RETRY)
    assert again.wait_idle(PATIENCE)
    assert again.sink.abandoned == []
    again.close(PATIENCE)


def test_a_spool_that_others_may_write_into_is_refused(tmp_path):
    folder = tmp_path / "spool"
    folder.mkdir(mode=0o700)
    folder.chmod(0o777)
    with pytest.raises(PermissionError, match="chmod go-w"):
        Spool(folder)


def test_files_of_the_spool_are_for_their_owner_only(answer, tmp_path):
    before = os.umask(0)
    try:
        spool = Spool(tmp_path / "spool")
        spool.add(answer("one"))
        spool.add(answer("two"))
        spool.rejected(answer("two").uid, "why")
        spool.growing(answer("three").uid, {})
        files = [path for path in (tmp_path / "spool").rglob("*") if path.is_file()]
        assert len(files) >= 5
        assert {path.stat().st_mode & 0o777 for path in files} == {0o600}
        folders = [path for path in (tmp_path / "spool").rglob("*") if path.is_dir()]
        assert {path.stat().st_mode & 0o777 for path in folders} == {0o700}
        spool.close()
    finally:
        os.umask(before)


# ---- against Tiled ---------------------------------------------------------------------


@pytest.fixture
def server(tmp_path):
    """One of its own: these tests look at its disk and stop it."""
    with EmbeddedServer(tmp_path / "tiled") as running:
        yield running


def sinks(server, count):
    return [TiledSink(server.uri, "processed", server.api_key) for _ in range(count)]


@pytest.mark.services
def test_two_writers_of_one_result_are_both_done_and_it_is_there_once(server, answer, tmp_path):
    rng = random.Random(1)
    runs: list[ResultRun] = []
    senders = [
        Sender(sink, Spool(tmp_path / f"spool {number}"), RETRY)
        for number, sink in enumerate(sinks(server, 2))
    ]
    for number in range(6):
        runs.append(answer(f"met {number}"))
        senders[number % 2].final(runs[-1])
        time.sleep(rng.uniform(0.0, 0.25))
        senders[1 - number % 2].final(runs[-1])
    assert all(sender.wait_idle(PATIENCE) for sender in senders)
    assert [sender.close(PATIENCE) for sender in senders] == [0, 0]
    assert [sender.rejected for sender in senders] == [0, 0]
    results = server.client("processed")
    assert len(results) == len(runs)
    for run in runs:
        found = results[run.uid]
        assert found.metadata["stop"]["uid"] == run.stop["uid"]
        assert found["primary"].base["internal"].read()["seq_num"].tolist() == [1]
        assert found["primary"]["curves"].shape[0] == 1


@pytest.mark.services
@pytest.mark.parametrize("begun", [False, True, "while it freed the folder"])
def test_an_array_that_a_killed_server_left_without_an_entry_is_made_anew(
    server, answer, tmp_path, begun
):
    """By this session, or by another one where the killed one had begun the run."""
    now = [0.0]
    sink = TiledSink(server.uri, "processed", server.api_key, clock=lambda: now[0])
    sender = Sender(sink, Spool(tmp_path / "spool"), RETRY)
    files = tmp_path / "tiled" / "processed" / "files"
    first, victim, *behind = [answer(f"scan {number}") for number in range(5)]
    sender.final(first)
    assert sender.wait_idle(PATIENCE)
    shutil.copytree(files / first.uid / "primary", files / victim.uid / "primary")
    if begun:
        container = server.client("processed")
        made = container.create_container(
            key=victim.uid, metadata={"start": victim.start}, specs=container[first.uid].specs
        )
        if begun is not True:
            made.write_array(np.zeros(1), key="primary")
    for run in (victim, *behind):
        sender.final(run)
    if begun:
        wait_until(lambda: sender.waiting == 1, "the others are sent")
        assert "another session is writing" in sender.failing
        now[0] = 61.0
    assert sender.wait_idle(PATIENCE)
    expected = {run.uid: run for run in (first, victim, *behind)}
    assert count(server.client("processed"), expected) == Counter(whole=5)
    assert sender.rejected == 0
    sender.close(PATIENCE)


@pytest.mark.services
def test_of_two_that_wait_for_a_run_of_a_killed_session_both_are_done(server, answer, tmp_path):
    """Both find at the same moment that nobody writes it any more, and delete it."""
    now = [0.0]

    def done(sender: Sender) -> bool:
        # Each may take what the other has begun for somebody's: then both wait once more.
        now[0] += 61.0
        return sender.wait_idle(10.0)

    killed, *waiting = [
        TiledSink(server.uri, "processed", server.api_key, clock=lambda: now[0]) for _ in range(3)
    ]
    senders = [
        Sender(sink, Spool(tmp_path / str(number)), RETRY) for number, sink in enumerate(waiting)
    ]
    runs = [answer(f"left {number}") for number in range(8)]
    for run in runs:
        now[0] = 0.0
        killed.provisional(run)
        for sender in senders:
            sender.final(run)
        wait_until(lambda: all(sender.failing for sender in senders), "both wait for it")
        for sender in senders:
            wait_until(partial(done, sender), "it is done, or takes the other's for left, too")
    assert count(server.client("processed"), {run.uid: run for run in runs}) == Counter(whole=8)
    assert [(sender.rejected, sender.close(PATIENCE)) for sender in senders] == [(0, 0), (0, 0)]
    killed.close()


@pytest.mark.services
def test_the_spool_command_repairs_puts_aside_and_sends_one_result_again(
    server, answer, tmp_path, monkeypatch
):
    from rich.console import Console

    from rankaae_stream.commands.spool import run_aside, run_repair, run_retry, run_send
    from rankaae_stream.profile import load_profile
    from rankaae_stream.results.publisher import tiled_folder

    monkeypatch.setenv("RANKAAE_STREAM_TILED_API_KEY", server.api_key)
    monkeypatch.setenv("RANKAAE_STREAM_TILED__URI", server.uri)
    monkeypatch.setenv("RANKAAE_STREAM_SPOOL", str(tmp_path / "spools"))
    folder, console = tiled_folder(load_profile("sim")), Console(record=True, width=200)
    files = tmp_path / "tiled" / "processed" / "files"
    victim = answer("victim")
    sink = sinks(server, 1)[0]
    spool = Spool(folder)
    spool.add(victim)
    spool.close()
    run_aside(console, victim.uid[:8], reason="it never goes")
    assert [(entry.state, entry.reason) for entry in entries(folder)] == [
        ("rejected", "it never goes")
    ]
    with pytest.raises(ConfigurationError, match="0 results"):
        run_retry(console, "nothing")
    run_retry(console, victim.uid)
    assert run_send(console)
    shutil.rmtree(files / victim.uid / "primary" / "curves")
    container = server.client("processed")
    run_repair(console, victim.uid[:8])
    assert "is deleted in Tiled and waits again" in console.export_text()
    assert [entry.state for entry in entries(folder)] == ["waiting"]
    assert run_send(console)
    assert count(container, {victim.uid: victim}) == Counter(whole=1)

    strange = answer("strange")
    stop = {"start": {**strange.start, "original_run_uid": "of another run"}, "stop": {}}
    container.create_container(key=strange.uid, metadata=stop)
    spool = Spool(folder)
    spool.add(strange)
    spool.close()
    with pytest.raises(ConfigurationError, match="another run is stored"):
        run_repair(console, strange.uid)
    assert strange.uid in container
    sink.close()


@pytest.mark.services
def test_a_result_left_growing_in_tiled_gets_its_stop(server, answer):
    sink, run = sinks(server, 1)[0], answer("left")
    sink.provisional(run)
    other = sinks(server, 1)[0]
    other.abandon(run.uid, {**run.stop, "exit_status": "abort"})
    assert server.client("processed")[run.uid].metadata["stop"]["exit_status"] == "abort"
    other.abandon("11111111-1111-4111-8111-111111111111", dict(run.stop))  # was deleted
    for one in (sink, other):
        one.close()
