"""A final result is complete on the disk before anything else happens to it."""

import json
import os
import subprocess
import sys

import pytest
from composing import RETRY, KeepingSink, composed
from waiting import PATIENCE

from rankaae_stream.results.compose import ResultRun
from rankaae_stream.results.sender import Sender
from rankaae_stream.results.spool import Spool, entries


def same(one: ResultRun, other: ResultRun) -> bool:
    return json.dumps([*one.documents()]) == json.dumps([*other.documents()])


def test_a_result_comes_out_of_the_spool_as_it_went_in(tmp_path):
    spool = Spool(tmp_path / "deep" / "spool")
    for number, state in enumerate((2.7, None)):
        run = composed(number, state=state)
        spool.add(run)
        assert same(spool.read(run.uid), run)
    assert spool.waiting() == [composed(0).uid, composed(1).uid]
    spool.close()


def test_a_half_written_result_is_never_listed(tmp_path, monkeypatch):
    spool = Spool(tmp_path)

    def full(_: int) -> None:
        assert len(list(tmp_path.rglob("*-1111-*.part"))) == 1
        assert spool.waiting() == []
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(OSError, match="No space"):
        spool.add(composed())
    assert spool.waiting() == []
    assert list(tmp_path.rglob("*.part")) == [], "half of it does not fill the disk"
    monkeypatch.undo()
    spool.add(composed())
    assert spool.waiting() == [composed().uid]
    assert list(tmp_path.rglob("*.part")) == []
    spool.close()


def test_two_sessions_that_write_one_result_at_once_do_not_spoil_it(tmp_path, monkeypatch):
    spools = [Spool(tmp_path), Spool(tmp_path)]
    real = os.fsync

    def other_writes_too(descriptor: int) -> None:
        real(descriptor)
        monkeypatch.setattr(os, "fsync", real)
        spools[1].add(composed())
        assert same(spools[0].read(composed().uid), composed())

    monkeypatch.setattr(os, "fsync", other_writes_too)
    spools[0].add(composed())
    assert same(spools[1].read(composed().uid), composed())
    for spool in spools:
        spool.close()


def test_what_replaced_a_result_while_it_was_sent_still_waits(tmp_path):
    """A replay has the whole answer where a session that was ended had a partial one."""
    session, replay = Spool(tmp_path), Spool(tmp_path)
    for mark in (session.sent, session.rejected):
        session.add(composed(state=1.0))
        session.read(composed().uid)
        replay.add(composed(state=2.0))
        assert not mark(composed().uid)
        assert session.waiting() == [composed().uid]
        assert same(session.read(composed().uid), composed(state=2.0))
        assert mark(composed().uid)
        assert session.waiting() == []
    session.close()
    replay.close()


def test_a_pipe_among_the_results_holds_nothing_up(tmp_path):
    os.mkfifo(tmp_path / "pipe.jsonl")
    spool, sink = Spool(tmp_path), KeepingSink()
    spool.add(composed())
    assert [entry.uid for entry in entries(tmp_path)] == [composed().uid]
    sender = Sender(sink, spool, RETRY)
    assert sender.wait_idle(PATIENCE)
    assert sink.finals == [composed().uid]
    sender.close(PATIENCE)


def test_a_clock_that_is_set_back_hides_no_result(tmp_path):
    import time

    spool = Spool(tmp_path)
    spool.add(composed())
    tomorrow = time.time() + 86_400
    os.utime(tmp_path / f"{composed().uid}.jsonl", (tomorrow, tomorrow))
    assert spool.waiting() == spool.waiting(older_than=30.0) == [composed().uid]
    spool.close()


def test_a_result_is_on_the_disk_before_it_has_its_name(tmp_path, monkeypatch):
    spool, synced = Spool(tmp_path), []
    real = os.fsync

    def fsync(descriptor: int) -> None:
        synced.append([path.suffix for path in tmp_path.rglob("*-1111-*")])
        real(descriptor)

    monkeypatch.setattr(os, "fsync", fsync)
    spool.add(composed())
    assert synced == [[".part"], [".jsonl"]], "the content, then the name"
    spool.close()


def test_sent_results_move_away_and_only_the_last_are_kept(tmp_path):
    spool = Spool(tmp_path, keep=3)
    for number in range(5):
        spool.add(composed(number))
        os.utime(tmp_path / f"{composed(number).uid}.jsonl", (number, number))
    for number in range(5):
        spool.sent(composed(number).uid)
    assert spool.waiting() == []
    kept = sorted(path.stem for path in (tmp_path / "sent").iterdir())
    assert kept == [composed(number).uid for number in (2, 3, 4)]
    spool.close()


def test_a_rejected_result_is_put_aside(tmp_path):
    spool = Spool(tmp_path)
    spool.add(composed())
    spool.rejected(composed().uid, "422: no")
    assert spool.waiting() == []
    (entry,) = entries(tmp_path)
    assert (entry.uid, entry.state, entry.reason) == (composed().uid, "rejected", "422: no")
    spool.restore(composed().uid)
    assert spool.waiting() == [composed().uid]
    assert list((tmp_path / "rejected").iterdir()) == []
    spool.close()


def test_others_may_not_look_into_the_spool(tmp_path):
    spool = Spool(tmp_path / "spool")
    assert (tmp_path / "spool").stat().st_mode & 0o077 == 0
    spool.close()


def test_a_second_spool_on_the_folder_leaves_the_leftovers_to_the_first(tmp_path):
    first = Spool(tmp_path)
    first.add(composed(1))
    second = Spool(tmp_path)
    assert (first.owner, second.owner) == (True, False)
    sink = KeepingSink()
    sender = Sender(sink, second, RETRY)
    sender.final(composed(2))
    assert sender.wait_idle(PATIENCE)
    assert sink.finals == [composed(2).uid], "its own, and not what waits there"
    assert sender.close(PATIENCE) == 0
    first.close()
    third = Spool(tmp_path)
    assert third.owner, "free once the first is gone"
    third.close()


def test_a_result_of_a_process_that_was_killed_is_sent_by_the_next(tmp_path):
    program = (
        "import os, sys, pickle\n"
        "from pathlib import Path\n"
        "from rankaae_stream.results.spool import Spool\n"
        f"spool = Spool(Path({str(tmp_path)!r}))\n"
        "spool.add(pickle.load(sys.stdin.buffer))\n"
        "os.kill(os.getpid(), 9)\n"
    )
    import pickle

    done = subprocess.run(
        [sys.executable, "-c", program],
        input=pickle.dumps(composed()),
        check=False,
        timeout=PATIENCE,
    )
    assert done.returncode == -9
    sink = KeepingSink()
    sender = Sender(sink, Spool(tmp_path), RETRY)
    assert sender.wait_idle(PATIENCE)
    assert sink.finals == [composed().uid]
    assert sender.close(PATIENCE) == 0
    assert list(tmp_path.glob("*.jsonl")) == []
