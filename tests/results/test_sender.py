"""A sender loses no result, sends none twice, and lets none hold up another sink."""

import logging
import os
import time
from dataclasses import replace

import pytest
from composing import RETRY, KeepingSink, composed
from waiting import PATIENCE, wait_until

from rankaae_stream.results.compose import ResultRun
from rankaae_stream.results.compose_series import PURPOSE as SERIES
from rankaae_stream.results.sender import Sender
from rankaae_stream.results.sinks import Rejected
from rankaae_stream.results.spool import Spool, entries


@pytest.fixture
def sink():
    made = KeepingSink()
    yield made
    made.go.set()


@pytest.fixture
def sender(sink, tmp_path):
    made = Sender(sink, Spool(tmp_path), RETRY)
    yield made
    sink.go.set()
    made.close(PATIENCE)


def test_final_results_arrive_in_order(sender, sink, tmp_path):
    uids = [composed(number).uid for number in range(20)]
    for number in range(20):
        sender.final(composed(number))
    assert sender.wait_idle(PATIENCE)
    assert sink.finals == uids
    assert sender.waiting == 0
    assert sender.sent == 20
    assert sorted(path.stem for path in (tmp_path / "sent").iterdir()) == uids


def test_results_follow_a_series_that_has_flags_and_is_never_ended_for_it(sender, sink):
    """A series' flags are a list, and its latest state is whole."""
    run = composed(1)
    told = {**run.stop, "summary": {"count": 2, "flags": [{"name": "drift"}]}}
    sender.provisional(replace(run, start={**run.start, "purpose": SERIES}, stop=told))
    wait_until(lambda: sink.shown, "the series")
    assert not sender.spool.left_growing()
    sender.final(composed(2))
    assert sender.wait_idle(PATIENCE)
    assert sink.finals == [composed(2).uid]


def test_a_final_result_is_on_the_disk_when_final_returns(sender, sink):
    sink.go.clear()
    sender.final(composed())
    assert sender.spool.waiting() == [composed().uid]


@pytest.mark.parametrize("error", [ConnectionError("gone"), SystemExit(1), ValueError("no")])
def test_a_failing_sink_is_tried_again_until_it_takes_the_result(sender, sink, caplog, error):
    sink.failing = error
    with caplog.at_level(logging.INFO, "rankaae_stream.results.sender"):
        for number in range(3):
            sender.final(composed(number))
        wait_until(lambda: sink.tried >= 4, "tried again")
        assert not sender.wait_idle(0.0)
        assert sender.waiting == 3
        assert type(error).__name__ in sender.failing
        sink.failing = None
        assert sender.wait_idle(PATIENCE)
    # Each went to the end of the line as often as it failed: the order is no longer theirs.
    assert sorted(sink.finals) == sorted(composed(number).uid for number in range(3))
    assert sender.failing == ""
    said = [record.message for record in caplog.records]
    assert len(said) == 2, "once when it fails and once when it returns"
    assert "results are kept in" in said[0]
    assert "takes results again" in said[1]


def test_of_provisional_results_the_latest_wins(sender, sink):
    sink.go.clear()
    sender.provisional(composed(1, state=1.0))
    assert sink.busy.wait(PATIENCE)
    for state in (2.0, 3.0, 4.0):
        sender.provisional(composed(1, state=state))
    sender.provisional(composed(2, state=9.0))
    sink.go.set()
    assert sender.wait_idle(PATIENCE)
    assert sink.shown == [(composed(1).uid, 1.0), (composed(1).uid, 4.0), (composed(2).uid, 9.0)]


def test_a_final_result_comes_before_provisional_ones_and_ends_its_own(sender, sink):
    sink.go.clear()
    sender.final(composed(0))
    assert sink.busy.wait(PATIENCE)
    sender.provisional(composed(1, state=1.0))
    sender.provisional(composed(2, state=1.0))
    sender.final(composed(1))
    sink.go.set()
    assert sender.wait_idle(PATIENCE)
    assert sink.finals == [composed(0).uid, composed(1).uid]
    assert sink.shown == [(composed(2).uid, 1.0)], "of a finished result nothing is shown"


def test_provisional_results_are_never_spooled(sender, sink, tmp_path):
    sender.provisional(composed())
    assert sender.wait_idle(PATIENCE)
    assert sink.shown
    assert list(tmp_path.rglob("*.jsonl")) == []


def test_a_final_result_does_not_wait_for_the_pause_after_a_failed_provisional_one(tmp_path):
    sink = KeepingSink()
    sender = Sender(sink, Spool(tmp_path), (3600.0, 3600.0))
    sink.failing = ConnectionError("gone")
    sender.provisional(composed(1))
    wait_until(lambda: sender.failing, "it failed")
    sink.failing = None
    sender.final(composed(1))
    assert sender.wait_idle(PATIENCE), "an hour's pause"
    assert sink.finals == [composed(1).uid]
    assert sender.close(PATIENCE) == 0


def test_a_rejected_result_is_put_aside_and_the_next_goes_on(tmp_path, caplog):
    class Picky(KeepingSink):
        def final(self, run: ResultRun) -> None:
            if run.uid == composed(2).uid:
                raise Rejected("422: no")
            super().final(run)

    sink = Picky()
    sender = Sender(sink, Spool(tmp_path), RETRY)
    for number in (1, 2, 3):
        sender.final(composed(number))
    assert sender.wait_idle(PATIENCE)
    assert sink.finals == [composed(1).uid, composed(3).uid]
    (aside,) = (entry for entry in entries(tmp_path) if entry.state == "rejected")
    assert (aside.uid, aside.reason) == (composed(2).uid, "422: no")
    assert sender.sent == 2
    assert "422: no" in caplog.text
    assert str(tmp_path / "rejected") in caplog.text
    assert sender.close(PATIENCE) == 0


@pytest.mark.parametrize("content", ["", "{", '["start", 1]\n', "\x00" * 50])
def test_a_damaged_file_in_the_spool_is_put_aside(tmp_path, content):
    spool = Spool(tmp_path)
    (tmp_path / "damaged.jsonl").write_text(content)
    os.utime(tmp_path / "damaged.jsonl", (1, 1))
    spool.add(composed())
    sink = KeepingSink()
    sender = Sender(sink, spool, RETRY)
    assert sender.wait_idle(PATIENCE)
    assert sink.finals == [composed().uid]
    aside, _ = entries(tmp_path)
    assert (aside.uid, aside.state, aside.start) == ("damaged", "rejected", {})
    assert "the file is damaged" in aside.reason
    assert sender.close(PATIENCE) == 0


def test_a_result_that_somebody_took_out_of_the_spool_holds_nothing_up(sender, sink, caplog):
    sink.failing = ConnectionError("gone")
    sender.final(composed(1))
    sender.final(composed(2))
    wait_until(lambda: sender.failing, "it failed")
    (sender.spool.folder / f"{composed(1).uid}.jsonl").unlink()
    sink.failing = None
    assert sender.wait_idle(PATIENCE)
    assert sink.finals == [composed(2).uid]
    assert "disappeared" in caplog.text


def test_a_result_that_comes_again_while_it_waits_is_sent_once(sender, sink, caplog):
    sink.failing = ConnectionError("gone")
    sender.final(composed(1))
    wait_until(lambda: sender.failing, "it failed")
    sender.final(composed(1))
    assert sender.waiting == 1
    sink.failing = None
    assert sender.wait_idle(PATIENCE)
    assert sink.finals == [composed(1).uid]
    assert "disappeared" not in caplog.text


def test_a_better_answer_that_comes_while_the_first_is_sent_is_sent_too(sender, sink, tmp_path):
    """In the same session, or by a replay that shares its spool."""
    taken: list[float] = []
    sink.final = lambda run: (sink._enter(), taken.append(run.event["data"]["oxidation_state"]))
    replay = Spool(tmp_path)
    for number, bring in enumerate((sender.final, replay.add)):
        sink.go.clear()
        sink.busy.clear()
        sender.final(composed(number, state=1.0))
        assert sink.busy.wait(PATIENCE)
        bring(composed(number, state=2.0))
        sink.go.set()
        assert sender.wait_idle(PATIENCE)
        assert taken == [1.0, 2.0] * (number + 1)
    assert sender.spool.waiting() == []
    replay.close()


def test_a_dead_sink_delays_no_other(sender, sink, tmp_path):
    sink.go.clear()
    other = KeepingSink()
    healthy = Sender(other, Spool(tmp_path / "other"), RETRY)
    for number in range(5):
        sender.final(composed(number))
        healthy.final(composed(number))
    assert healthy.wait_idle(PATIENCE)
    assert len(other.finals) == 5
    assert sink.finals == []
    assert healthy.close(PATIENCE) == 0


def test_closing_sends_what_can_be_sent(sink, tmp_path):
    sender = Sender(sink, Spool(tmp_path), RETRY)
    for number in range(10):
        sender.final(composed(number))
    assert sender.close(PATIENCE) == 0
    assert len(sink.finals) == 10
    assert sink.closed


def test_closing_says_how_many_results_stay_and_the_next_session_sends_them(sink, tmp_path):
    sender = Sender(sink, Spool(tmp_path), (3600.0, 3600.0))
    sink.failing = ConnectionError("gone")
    for number in range(3):
        sender.final(composed(number))
    wait_until(lambda: sender.failing, "it failed")
    assert sender.close(PATIENCE) == 3, "though the next try is an hour away"
    sink = KeepingSink()
    again = Sender(sink, Spool(tmp_path), RETRY)
    assert again.wait_idle(PATIENCE)
    assert sink.finals == [composed(number).uid for number in range(3)]
    assert again.close(PATIENCE) == 0


def test_a_result_waits_since_it_was_written_also_in_an_earlier_session(sink, tmp_path):
    sink.failing = ConnectionError("gone")
    first = Sender(sink, Spool(tmp_path), (3600.0, 3600.0))
    assert first.oldest == 0.0
    before = time.time()
    first.final(composed(0))
    assert before <= first.oldest <= time.time()
    first.close(0.0)
    (file,) = tmp_path.glob("*.jsonl")
    os.utime(file, (1e9, 1e9))
    again = Sender(sink, Spool(tmp_path), (3600.0, 3600.0))
    again.final(composed(1))
    assert again.oldest == 1e9
    again.close(0.0)


def test_closing_does_not_wait_for_a_stuck_sink(sink, tmp_path):
    sender = Sender(sink, Spool(tmp_path), RETRY)
    sink.go.clear()
    sender.final(composed())
    assert sink.busy.wait(PATIENCE)
    assert sender.close(0.01) == 1
    assert not sink.closed, "under its thread's feet"


def test_without_a_spool_that_can_be_written_results_go_from_memory(
    sender, sink, monkeypatch, caplog
):
    def full(run: ResultRun) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(sender.spool, "add", full)
    sink.failing = ConnectionError("gone")
    sender.final(composed(1))
    wait_until(lambda: sender.failing, "it failed")
    assert sender.waiting == 1
    sink.failing = None
    assert sender.wait_idle(PATIENCE)
    assert sink.finals == [composed(1).uid]
    (said,) = [record for record in caplog.records if record.levelno == logging.ERROR]
    assert "No space left on device" in said.message
    assert "kept in memory" in said.message


def test_a_result_kept_in_memory_is_spooled_once_the_disk_has_room(sink, tmp_path, monkeypatch):
    sender = Sender(sink, Spool(tmp_path), RETRY)
    with monkeypatch.context() as full:
        full.setattr(sender.spool, "add", lambda run: (_ for _ in ()).throw(OSError("full")))
        sink.failing = ConnectionError("gone")
        sender.final(composed(1))
        wait_until(lambda: sender.failing, "it failed")
    sender.final(composed(2))
    assert sender.close(PATIENCE) == 2
    assert {entry.uid for entry in entries(tmp_path)} == {composed(1).uid, composed(2).uid}


def test_a_result_that_cannot_be_marked_as_sent_holds_nothing_up(sender, sink, monkeypatch, caplog):
    def read_only(uid: str) -> None:
        raise OSError(30, "Read-only file system")

    monkeypatch.setattr(sender.spool, "sent", read_only)
    for number in (1, 2):
        sender.final(composed(number))
    assert sender.wait_idle(PATIENCE)
    assert sink.finals == [composed(1).uid, composed(2).uid]
    assert "Read-only file system" in caplog.text


def test_results_lost_from_memory_at_the_end_are_said_to_be_lost(
    sink, tmp_path, monkeypatch, caplog
):
    sender = Sender(sink, Spool(tmp_path), RETRY)
    monkeypatch.setattr(sender.spool, "add", lambda run: (_ for _ in ()).throw(OSError("full")))
    sink.failing = ConnectionError("gone")
    sender.final(composed(1))
    wait_until(lambda: sender.failing, "it failed")
    assert sender.close(PATIENCE) == 1
    assert "1 results were in memory only and are lost" in caplog.text
