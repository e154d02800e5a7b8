"""Reports to runs, the spool, the sinks: nothing lost and nothing twice."""

import json
import logging
import math
import os
import subprocess
import sys
import threading
import time
from dataclasses import replace
from typing import Any

import httpx
import numpy as np
import pytest
from event_model import DocumentNames, schema_validators
from hypothesis import given
from hypothesis import strategies as st
from waiting import PATIENCE, wait_until

from rankaae_stream.errors import Refusal
from rankaae_stream.report import (
    Curves,
    Described,
    Domain,
    Estimate,
    Flag,
    ModelName,
    Report,
    Result,
    Shifts,
)
from rankaae_stream.results.compose import ResultRun, compose, is_partial
from rankaae_stream.results.sender import Sender
from rankaae_stream.results.sinks import CallableSink, Rejected, Unavailable
from rankaae_stream.results.spool import Spool, entries
from rankaae_stream.results.tiled_sink import TiledSink
from rankaae_stream.server.tiled_server import EmbeddedServer
from rankaae_stream.spectrum import Edge, NormalizationRanges

RETRY = (0.01, 0.02)
FE = Edge("Fe", "K", 7112.0)
GRID = FE.e0 + np.arange(-40.0, 100.0, 4.0)
OUTPUTS = (
    Described("oxidation_state", "1", "measured"),
    Described("coordination_number", "1", "simulation"),
)
COPIED = ("data_session", "tiled_access_tags", "proposal", "cycle", "scan_id", "sample_name")
COPIED += ("scan_group_uid",)


def result(
    uid: str = "11111111-1111-5111-8111-111111111111",
    /,
    *,
    state: float | None = 2.7,
    complete: bool = True,
    model: bool = True,
    flags: tuple[Flag, ...] = (),
    **start: Any,
) -> Result:
    """A report with everything in it; without a `state` a refusal."""
    refusal = Refusal("coverage", "the scan spans 7000.0-7100.0 eV") if state is None else None
    estimates = tuple(
        Estimate(name, value, value - 0.2, value + 0.2, 0.9, "1")
        for name, value in (("oxidation_state", state), ("coordination_number", 5.5))
        if value is not None and state is not None
    )
    curves = Curves(GRID, np.linspace(0, 1, GRID.size), np.linspace(0, 0.9, GRID.size))
    report = Report(
        source="raw-1",
        element="Fe",
        channel="transmission",
        sweep=0,
        points=231,
        energy_range=(6952.0, 7272.0),
        complete=complete,
        edge=FE if model else None,
        edge_step=0.98 if estimates else None,
        estimates=estimates,
        flags=(Flag("small_edge_step", "warning", 0.05, "1", "the edge step is 0.05"), *flags),
        refusal=refusal,
        domain=Domain(0.01, 0.05) if estimates else None,
        latent=(0.1, -0.2) if estimates else (),
        model=ModelName("rankaae fe-k", "2026-11-22", "ab" * 32) if model else None,
        normalization=NormalizationRanges() if estimates else None,
        shifts=Shifts(0.4, 6.1, "raw-1") if estimates else Shifts(),
        code_version="0.1.0",
        curves=curves if estimates else None,
    )
    raw = {"uid": "raw-1", "time": 1000.0, "sample_name": "Fe2O3", **start}
    outputs, grid = (OUTPUTS, GRID) if model else ((), None)
    return Result(report, uid, raw, 2000.0, outputs, grid)


def composed(uid: str | int = 1, /, **settings: Any) -> ResultRun:
    if isinstance(uid, int):
        uid = f"{uid:08x}-1111-5111-8111-111111111111"
    return compose(result(uid, **settings), {"name": "sim"}, COPIED)


def strict(value: Any) -> str:
    """JSON as every reader takes it: no NaN."""
    return json.dumps(value, allow_nan=False, sort_keys=True)


def validate(run: ResultRun) -> None:
    for name, doc in run.documents():
        schema_validators[DocumentNames[name]].validate(doc)


# ---- compose -------------------------------------------------------------------------

CASES: dict[str, dict[str, Any]] = {
    "an answer": {},
    "a provisional answer": {"complete": False},
    "a refusal with a model": {"state": None},
    "a refusal without a model": {"state": None, "model": False},
    "numpy in the raw start": {
        "scan_id": np.int64(7),
        "proposal": {"id": np.float32(1.5), "tags": np.array(["a", "b"])},
        "cycle": np.array([1.0, np.nan]),
        "tiled_access_tags": ("x", "y"),
    },
}


@pytest.mark.parametrize("settings", CASES.values(), ids=CASES.keys())
def test_a_result_is_a_run_that_the_schemas_accept(settings):
    run = composed(**settings)
    validate(run)
    validate(run.numbered(5))
    assert [name for name, _ in run.documents()] == ["start", "descriptor", "event", "stop"]


@pytest.mark.parametrize("settings", CASES.values(), ids=CASES.keys())
def test_its_documents_hang_together(settings):
    for run, number in ((composed(**settings), 1), (composed(**settings).numbered(4), 4)):
        assert run.descriptor["run_start"] == run.stop["run_start"] == run.start["uid"] == run.uid
        assert run.event["descriptor"] == run.descriptor["uid"]
        assert run.event["seq_num"] == run.stop["num_events"]["primary"] == number
        assert run.event["data"].keys() == run.descriptor["data_keys"].keys()
        assert run.event["timestamps"].keys() == run.event["data"].keys()
        uids = [doc["uid"] for _, doc in run.documents()]
        assert len(set(uids)) == 4


@pytest.mark.parametrize("settings", CASES.values(), ids=CASES.keys())
def test_its_metadata_are_plain_json_without_nan(settings):
    run = composed(**settings)
    for doc in (run.start, run.descriptor, run.stop):
        assert json.loads(strict(doc)) == doc


@pytest.mark.parametrize("settings", CASES.values(), ids=CASES.keys())
def test_the_same_report_gives_the_same_documents(settings):
    assert repr(composed(**settings)) == repr(composed(**settings))


def test_every_column_has_the_type_that_its_descriptor_says():
    for settings in CASES.values():
        run = composed(**settings)
        python = {"number": float, "string": str, "boolean": bool, "array": list}
        for key, about in run.descriptor["data_keys"].items():
            value = run.event["data"][key]
            assert type(value) is python[about["dtype"]], key
            assert list(np.shape(value)) == about["shape"]


def test_an_answer_and_a_refusal_of_one_model_have_the_same_columns():
    answer, refusal = composed(), composed(state=None)
    assert answer.descriptor == refusal.descriptor
    assert refusal.event["data"]["refusal"] == "coverage"
    assert math.isnan(refusal.event["data"]["oxidation_state"])
    assert np.isnan(refusal.event["data"]["curves"]).all()
    assert refusal.stop["reason"] == "the scan spans 7000.0-7100.0 eV"
    assert refusal.stop["summary"]["estimates"] == {}


def test_grid_and_units_are_in_the_descriptor_and_the_curves_on_the_grid():
    run = composed()
    assert run.descriptor["data_keys"]["energy_first"]["units"] == "eV"
    settings = run.descriptor["configuration"]["rankaae_stream"]
    assert settings["data"]["energy_grid"] == GRID.tolist()
    assert settings["data_keys"]["energy_grid"]["units"] == "eV"
    curves = dict(zip(settings["data"]["curve_rows"], run.event["data"]["curves"], strict=True))
    assert len(curves["flat"]) == GRID.size
    residual = np.subtract(curves["flat"], curves["reconstruction"])
    assert curves["residual"] == pytest.approx(residual)


def test_the_value_can_be_searched_in_the_stop_document():
    summary = composed().stop["summary"]
    assert summary["estimates"]["oxidation_state"]["value"] == 2.7
    assert summary["flags"]["small_edge_step"]["severity"] == "warning"
    assert summary["model"]["id"] == "ab" * 32


def test_the_start_names_the_raw_run_and_copies_what_it_must():
    kept = {
        "data_session": "pass-1",
        "tiled_access_tags": ["pass-1"],
        "proposal": {"id": "1"},
        "cycle": "2026-3",
        "scan_id": 12,
        "sample_name": "FeO",
        "scan_group_uid": "g",
    }
    start = composed(**kept, secret="stays", uid="raw-9").start
    assert kept.items() <= start.items()
    assert "secret" not in start
    assert start["original_run_uid"] == "raw-9"
    assert start["uid"] != "raw-9"
    assert start["model"]["version"] == "2026-11-22"
    assert start["profile"] == {"name": "sim"}
    assert [one["evidence"] for one in start["descriptors"]] == ["measured", "simulation"]
    assert (start["channel"], start["sweep"], start["code_version"]) == ("transmission", 0, "0.1.0")


def test_a_copied_key_never_replaces_one_of_ours():
    run = compose(result(channel="theirs"), {}, ("channel", "uid", "time"))
    assert run.start["channel"] == "transmission"
    assert run.uid == result().uid


_values = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**53), 2**53)
    | st.floats()
    | st.text()
    | st.binary()
    | st.floats(width=32).map(np.float32)
    | st.lists(st.floats(), max_size=3).map(np.array),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=6,
)


@given(value=_values)
def test_whatever_a_raw_start_holds_is_copied_as_plain_json(value):
    run = composed(sample_name=value)
    assert "sample_name" in run.start
    assert json.loads(strict(run.start)) == run.start


# ---- the spool -----------------------------------------------------------------------


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
        assert [path.suffix for path in tmp_path.glob("*-1111-*")] == [".part"]
        assert spool.waiting() == []
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(OSError, match="No space"):
        spool.add(composed())
    assert spool.waiting() == []
    assert list(tmp_path.glob("*.part")) == [], "half of it does not fill the disk"
    monkeypatch.undo()
    spool.add(composed())
    assert spool.waiting() == [composed().uid]
    assert list(tmp_path.glob("*.part")) == []
    spool.close()


def test_a_result_is_on_the_disk_before_it_has_its_name(tmp_path, monkeypatch):
    spool, synced = Spool(tmp_path), []
    real = os.fsync

    def fsync(descriptor: int) -> None:
        synced.append([path.suffix for path in tmp_path.glob("*-1111-*")])
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
    sink = Sink()
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
    sink = Sink()
    sender = Sender(sink, Spool(tmp_path), RETRY)
    assert sender.wait_idle(PATIENCE)
    assert sink.finals == [composed().uid]
    assert sender.close(PATIENCE) == 0
    assert list(tmp_path.glob("*.jsonl")) == []


# ---- the sender -------------------------------------------------------------------


class Sink:
    """Keeps uids; fails while `failing` is set, waits while `go` is not."""

    name = "test"

    def __init__(self) -> None:
        self.finals: list[str] = []
        self.shown: list[tuple[str, float]] = []
        self.failing: BaseException | None = None
        self.tried = 0
        self.closed = False
        self.go = threading.Event()
        self.go.set()
        self.busy = threading.Event()

    def provisional(self, run: ResultRun) -> None:
        self._enter()
        self.shown.append((run.uid, run.event["data"]["oxidation_state"]))

    def final(self, run: ResultRun) -> None:
        self._enter()
        self.finals.append(run.uid)

    def close(self) -> None:
        self.closed = True

    def _enter(self) -> None:
        self.tried += 1
        self.busy.set()
        assert self.go.wait(PATIENCE)
        if self.closed:
            raise AssertionError("used after it was closed")
        if self.failing is not None:
            raise self.failing


@pytest.fixture
def sink():
    made = Sink()
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
    assert sink.finals == [composed(number).uid for number in range(3)]
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
    sink = Sink()
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
    class Picky(Sink):
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
    sink = Sink()
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


def test_a_dead_sink_delays_no_other(sender, sink, tmp_path):
    sink.go.clear()
    other = Sink()
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
    sink = Sink()
    again = Sender(sink, Spool(tmp_path), RETRY)
    assert again.wait_idle(PATIENCE)
    assert sink.finals == [composed(number).uid for number in range(3)]
    assert again.close(PATIENCE) == 0


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


# ---- a callable as a sink ------------------------------------------------------------


def test_a_callable_gets_one_run_of_all_events():
    got: list[tuple[str, Any]] = []
    sink = CallableSink(lambda name, doc: got.append((name, doc)))
    sink.provisional(composed(1, state=1.0))
    sink.provisional(composed(1, state=2.0))
    sink.final(composed(1, state=3.0))
    sink.final(composed(2))
    names = [name for name, _ in got]
    assert names[:6] == ["start", "descriptor", "event", "event", "event", "stop"]
    assert names[6:] == ["start", "descriptor", "event", "stop"]
    events = [doc for name, doc in got[:6] if name == "event"]
    assert [event["seq_num"] for event in events] == [1, 2, 3]
    assert [event["data"]["oxidation_state"] for event in events] == [1.0, 2.0, 3.0]
    assert len({event["uid"] for event in events}) == 3
    assert got[5][1]["num_events"] == {"primary": 3}
    for name, doc in got:
        schema_validators[DocumentNames[name]].validate(doc)


# ---- Tiled, beside the contract of every sink (test_contracts) ------------------------


@pytest.fixture
def connect(server):
    """Sinks for a server, closed at the end."""
    made: list[TiledSink] = []

    def sink(uri: str = server.uri, node: str = "processed", **settings: Any) -> TiledSink:
        settings = {"api_key": server.api_key, "key_variable": "THE_KEY", **settings}
        made.append(TiledSink(uri, node, **settings))
        return made[-1]

    yield sink
    for one in made:
        one.close()


@pytest.fixture
def tiled(connect):
    return connect()


@pytest.fixture
def uid(request):
    """Another result each test: they share a server."""
    import uuid

    return str(uuid.uuid5(uuid.NAMESPACE_OID, request.node.name))


def rows(run: Any) -> list[float]:
    return [float(value) for value in run["primary"].read()["oxidation_state"]]


def test_a_result_is_read_from_tiled_as_it_was_composed(server, tiled, uid):
    run = composed(uid, state=2.5)
    tiled.final(run)
    found = server.client("processed")[uid]
    assert {k: found.start[k] for k in run.start} == run.start
    assert found.stop["summary"] == run.stop["summary"]
    data = found["primary"].read()
    for key, value in run.event["data"].items():
        known = value == value  # noqa: PLR0124 - NaN, which a missing number is
        assert not known or np.array_equal(data[key].values[0], value), key
    assert data["curves"].shape == (1, 3, GRID.size)
    from tiled.queries import Key

    key = Key("stop.summary.estimates.oxidation_state.value")
    container = server.client("processed").search(Key("start.uid") == uid)
    assert list(container.search(key > 2.4)) == [uid]
    assert list(container.search(key > 2.6)) == []


def test_a_whole_answer_replaces_a_partial_one_and_never_the_other_way(server, tiled, uid):
    no_stop = Flag("no_stop", "warning", None, "", "the session ended before the run did")
    partial, whole = composed(uid, flags=(no_stop,)), composed(uid)
    assert partial.uid == whole.uid
    for run, missing in ((partial, True), (whole, False), (partial, False)):
        tiled.final(run)
        found = server.client("processed")[run.uid].stop["summary"]["flags"]
        assert ("no_stop" in found) == missing


@pytest.mark.parametrize("name", ["missing_file", "file", "outside_roots", "coverage"])
def test_only_a_refusal_for_want_of_data_is_partial(name):
    stop = composed(state=None, model=False).stop
    stop["summary"]["refusal"]["name"] = name
    assert is_partial(stop) == (name != "coverage")


def test_provisional_answers_and_the_final_one_are_events_of_one_run(server, tiled, uid):
    for state in (1.0, 2.0):
        tiled.provisional(composed(uid, state=state))
        run = server.client("processed")[uid]
        assert rows(run)[-1] == state, "to be seen at once"
        assert not run.metadata.get("stop")
    tiled.final(composed(uid, state=3.0))
    run = server.client("processed")[uid]
    assert rows(run) == [1.0, 2.0, 3.0]
    assert run.stop["num_events"] == {"primary": 3}
    documents = list(run.documents())
    assert [doc["seq_num"] for name, doc in documents if name == "event"] == [1, 2, 3]
    names = [name for name, _ in documents]
    assert names.count("stop") == names.count("start") == 1
    assert names.count("event") == 3
    tiled.final(composed(uid, state=4.0))
    assert rows(server.client("processed")[uid]) == [1.0, 2.0, 3.0]


def test_only_a_result_that_is_there_is_looked_at(tiled, uid, monkeypatch):
    tiled.final(composed())  # makes the connection
    transport = tiled._client.context.http_client._transport
    asked: list[str] = []
    real = transport.handle_request

    def noted(request: httpx.Request) -> httpx.Response:
        asked.append(request.method)
        return real(request)

    monkeypatch.setattr(transport, "handle_request", noted)
    tiled.final(composed(uid))
    assert "GET" not in asked
    asked.clear()
    tiled.final(composed(uid))
    assert asked == ["POST", "GET"], "refused as one that is there, and looked at: nothing more"


def test_an_unfinished_run_that_another_process_left_is_begun_again(server, connect, tiled, uid):
    other = connect()
    other.provisional(composed(uid, state=1.0))
    other.provisional(composed(uid, state=1.5))
    tiled.provisional(composed(uid, state=2.0))
    assert rows(server.client("processed")[uid]) == [2.0]
    tiled.final(composed(uid, state=2.0))
    assert server.client("processed")[uid].stop["summary"]["complete"]


def test_after_a_failed_append_the_run_is_written_whole(server, tiled, uid, monkeypatch):
    tiled.provisional(composed(uid, state=1.0))
    from tiled.client.dataframe import DataFrameClient

    def gone(*_: Any) -> None:
        raise ConnectionError("the network is gone")

    with monkeypatch.context() as broken:
        broken.setattr(DataFrameClient, "append_partition", gone)
        with pytest.raises(ConnectionError):
            tiled.provisional(composed(uid, state=2.0))
        with pytest.raises(ConnectionError):
            tiled.final(composed(uid, state=3.0))
    tiled.final(composed(uid, state=3.0))
    run = server.client("processed")[uid]
    assert rows(run) == [3.0]
    assert run.stop["num_events"] == {"primary": 1}


def test_a_failed_final_append_is_written_whole_in_the_same_attempt(
    server, tiled, uid, monkeypatch
):
    tiled.provisional(composed(uid, state=1.0))
    from tiled.client.dataframe import DataFrameClient

    real, failed = DataFrameClient.append_partition, []

    def once(self: Any, *args: Any) -> Any:
        if not failed:
            failed.append(True)
            raise ConnectionError("a hiccup")
        return real(self, *args)

    monkeypatch.setattr(DataFrameClient, "append_partition", once)
    tiled.final(composed(uid, state=3.0))
    assert failed
    assert rows(server.client("processed")[uid]) == [3.0]


def test_a_wrong_key_is_told_with_the_variable_to_set_and_the_result_is_kept(
    server, connect, uid, tmp_path, caplog
):
    sender = Sender(connect(api_key="wrong"), Spool(tmp_path), RETRY)
    sender.final(composed(uid))
    wait_until(lambda: sender.failing, "it failed")
    assert sender.close(PATIENCE) == 1
    (said,) = [r.message for r in caplog.records if r.name == "rankaae_stream.results.sender"]
    assert f"Tiled at {server.uri} does not know the key (HTTP 401); set THE_KEY" in said
    assert [path.stem for path in tmp_path.glob("*.jsonl")] == [uid]
    assert list((tmp_path / "rejected").iterdir()) == []
    assert uid not in server.client("processed")


def test_a_key_that_may_only_read_is_told_and_nothing_is_printed(
    server, connect, uid, monkeypatch, capfd, recwarn
):
    """The writer's router would warn of a start document and go on without one."""
    import httpx

    sink = connect()
    http = sink._container().context.http_client
    real = http._transport.handle_request

    def read_only(request: httpx.Request) -> httpx.Response:
        if request.method == "GET":
            return real(request)
        detail = {"detail": "Not enough permissions. Requires scopes ['create:node']."}
        return httpx.Response(401, json=detail, request=request)

    monkeypatch.setattr(http._transport, "handle_request", read_only)
    for bring in (sink.provisional, sink.final):
        with pytest.raises(Unavailable, match=r"does not let the key write \(HTTP 401\); set THE"):
            bring(composed(uid))
    assert capfd.readouterr() == ("", "")
    assert list(recwarn) == []


def test_a_missing_container_is_told_with_those_that_are_there(connect, uid):
    with pytest.raises(Unavailable, match=r"no container 'proccessed'.*raw, processed"):
        connect(node="proccessed").final(composed(uid))


def test_a_result_that_tiled_will_never_take_is_rejected(server, tiled, uid):
    run = composed(uid)
    run.descriptor["data_keys"]["curves"]["dtype_numpy"] = "no such type"
    with pytest.raises(Rejected):
        tiled.final(run)
    assert run.uid not in server.client("processed"), "what was begun is taken away again"


@pytest.fixture
def answers():
    """A server that answers everything with one status, and counts the requests."""
    from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

    class Handler(BaseHTTPRequestHandler):
        status, asked, hang = 503, 0, threading.Event()

        def do_GET(self) -> None:
            Handler.asked += 1
            if Handler.status == 0:
                Handler.hang.wait(PATIENCE)
                return
            self.send_response(Handler.status)
            self.send_header("Content-Length", "0")
            self.end_headers()

        def log_message(self, *_: Any) -> None:
            pass

    listening = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=listening.serve_forever, daemon=True)
    thread.start()
    Handler.uri = f"http://127.0.0.1:{listening.server_port}"
    yield Handler
    Handler.hang.set()
    listening.shutdown()
    listening.server_close()
    thread.join(PATIENCE)


def test_nobody_listening_is_told_at_once(connect, uid):
    with pytest.raises(Unavailable, match=r"does not answer: .*refused"):
        connect("http://127.0.0.1:1").final(composed(uid))


def test_a_server_in_trouble_is_asked_once_and_not_for_a_minute(connect, answers, uid):
    with pytest.raises(Unavailable, match="HTTP 503"):
        connect(answers.uri).final(composed(uid))
    assert answers.asked == 1


def test_a_server_that_hangs_holds_the_sender_for_the_timeout_only(connect, answers, uid):
    answers.status = 0
    started = time.monotonic()
    with pytest.raises(Unavailable, match=r"does not answer: .*timed out"):
        connect(answers.uri, timeout=0.2).final(composed(uid))
    assert time.monotonic() - started < 30
    assert answers.asked == 1


@pytest.mark.parametrize("trouble", ["gone", "hangs", "error"])
def test_trouble_in_the_middle_ends_with_the_first_failure(
    server, tiled, uid, trouble, monkeypatch, capfd
):
    """Tiled's own client would repeat the request for 45 s."""
    tiled.provisional(composed(uid, state=1.0))
    client = tiled._client.context.http_client

    requests: list[str] = []
    real = client._transport.handle_request

    def broken(request: httpx.Request) -> httpx.Response:
        requests.append(request.url.path)
        if trouble == "gone":
            raise httpx.ConnectError("connection refused", request=request)
        if trouble == "hangs":
            raise httpx.ReadTimeout("timed out", request=request)
        return httpx.Response(502, request=request)

    monkeypatch.setattr(client._transport, "handle_request", broken)
    started = time.monotonic()
    with pytest.raises(Unavailable, match=f"Tiled at {server.uri} (does not answer|answers)"):
        tiled.provisional(composed(uid, state=2.0))
    assert len(requests) == 1
    with pytest.raises(Unavailable):
        tiled.final(composed(uid, state=3.0))
    assert len(requests) == 2, "once to begin it anew"
    assert time.monotonic() - started < 40
    assert capfd.readouterr() == ("", ""), "nothing is printed into the session"
    monkeypatch.setattr(client._transport, "handle_request", real)
    tiled.final(composed(uid, state=3.0))
    assert rows(server.client("processed")[uid]) == [3.0]


@pytest.mark.services
def test_results_wait_for_a_server_that_is_away_and_arrive_when_it_returns(tmp_path, caplog):
    server = EmbeddedServer(tmp_path / "tiled").start()
    try:
        sink = TiledSink(server.uri, "processed", server.api_key)
        sender = Sender(sink, Spool(tmp_path / "spool"), RETRY)
        sender.provisional(composed(1, state=1.0))
        assert sender.wait_idle(PATIENCE)
        server.stop()
        sender.final(composed(1, state=2.0))
        sender.final(composed(2, state=3.0))
        wait_until(lambda: sender.failing, "it is noticed")
        assert sender.waiting == 2
        server.start()
        assert sender.wait_idle(PATIENCE)
        results = server.client("processed")
        assert [rows(results[composed(n).uid]) for n in (1, 2)] == [[2.0], [3.0]]
        assert all(results[composed(n).uid].stop for n in (1, 2))
        assert sender.close(PATIENCE) == 0
    finally:
        server.close()
    said = [r.message for r in caplog.records if r.name == "rankaae_stream.results.sender"]
    assert sum("takes no results" in line for line in said) == 1
    assert sum("takes results again" in line for line in said) == 1


def test_numbering_leaves_the_run_itself_alone():
    run = composed()
    assert replace(run) == run
    numbered = run.numbered(3)
    assert run.event["seq_num"] == 1
    assert numbered.event["seq_num"] == 3
    assert numbered.start is run.start
