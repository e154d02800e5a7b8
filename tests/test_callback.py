"""`RE.subscribe(DescriptorStream("sim"))`: what it does in a session, and never does to one."""

import gc
import json
import logging
import os
import subprocess
import sys
import threading
import uuid
import weakref
from typing import Any

import pytest
from bluesky import RunEngine
from bluesky.plans import count
from event_model import DocumentNames, schema_validators
from tiled.queries import Key
from waiting import PATIENCE, wait_until

from rankaae_stream.callback import DescriptorStream
from rankaae_stream.errors import ConfigurationError
from rankaae_stream.pipeline import Pipeline
from rankaae_stream.profile import API_KEY_VARIABLE, load_profile
from rankaae_stream.results.compose import PURPOSE
from rankaae_stream.series.live import LiveSeries
from rankaae_stream.server.tiled_server import EmbeddedServer
from rankaae_stream.simulate import SERIES, Beamline, scan, scan_energies

NOWHERE = {"uri": "http://127.0.0.1:1"}
NO_SERIES = {"publish": False}
SAMPLES = {sample.name: sample for sample in SERIES}
FE2O3 = SAMPLES["Fe2O3"]


@pytest.fixture
def beamline() -> Beamline:
    return Beamline(dwell=0.0)


@pytest.fixture
def start(tmp_path):
    """Streams that write into this test's folder, closed at the end."""
    made: list[DescriptorStream] = []

    def stream(**settings: Any) -> DescriptorStream:
        settings = {"tiled_api_key": "key", "spool": tmp_path / "spool", **settings}
        made.append(DescriptorStream("sim", **settings))
        return made[-1]

    yield stream
    for one in made:
        one.close(PATIENCE)


@pytest.fixture
def live(start, server):
    """A stream that publishes to the session's server."""
    return start(tiled={"uri": server.uri}, tiled_api_key=server.api_key)


class Collector:
    """A sink that keeps what it gets, by run."""

    def __init__(self) -> None:
        self.runs: dict[str, list[tuple[str, dict[str, Any]]]] = {}
        self._latest = ""

    def __call__(self, name: str, doc: dict[str, Any]) -> None:
        if name == "start":
            self._latest = doc["uid"]
            self.runs[doc["uid"]] = []
        self.runs[self._latest].append((name, doc))

    def one(self) -> dict[str, dict[str, Any]]:
        """The documents of the only run, the last of each name."""
        (documents,) = self.runs.values()
        return dict(documents)

    @property
    def whole(self) -> list[str]:
        """Uids of the runs that have ended."""
        return [uid for uid, documents in self.runs.items() if documents[-1][0] == "stop"]


def play(engine: RunEngine, beamline: Beamline, sample=FE2O3, **settings: Any):
    """A quick scan that must succeed; returns its uid."""
    done = engine(scan(beamline, sample, quick=True, **settings))
    assert done.exit_status == "success"
    assert done.exception is None
    return done.run_start_uids[0]


def results(server: EmbeddedServer, raw_uid: str) -> list[Any]:
    found = server.client("processed").search(Key("start.original_run_uid") == raw_uid)
    return list(found.values())


def said(caplog: pytest.LogCaptureFixture, level: int = logging.WARNING) -> list[str]:
    ours = [r for r in caplog.records if r.name.startswith("rankaae_stream")]
    return [r.getMessage() for r in ours if r.levelno >= level]


# ---- the good case -------------------------------------------------------------------


def test_a_scan_becomes_a_published_oxidation_state(engine, beamline, live, server):
    engine.subscribe(live)
    raw = play(engine, beamline)
    assert live.wait_idle(PATIENCE)
    assert live.last is not None
    state = live.last.estimate("oxidation_state")
    assert state is not None
    assert state.low < 3.0 < state.high
    (run,) = results(server, raw)
    assert run.stop["summary"]["estimates"]["oxidation_state"]["value"] == state.value
    assert run["primary"].read()["oxidation_state"].values[-1] == state.value
    assert run.start["sample_name"] == "Fe2O3"
    assert run.start["scan_id"] == 1
    assert run.start["profile"]["name"] == "sim"
    status = live.status()
    assert (status.answered, status.refused, status.open_runs) == (1, 0, 0)
    assert (status.waiting, status.dropped, status.unsent) == (0, 0, 0)
    assert (status.failing, status.last_error) == ("", "")
    assert str(status).startswith("rankaae-stream is on\n")
    assert "answered: 1" in str(status)


def test_one_can_wait_for_the_scans_without_the_series_that_they_make(start, monkeypatch):
    stream = start(to_tiled=False)
    monkeypatch.setattr(LiveSeries, "pending", property(lambda _: True))
    assert stream.wait_idle(PATIENCE, series=False)
    assert not stream.wait_idle(0.1)


def test_the_key_is_in_nothing_that_is_published_or_shown(engine, beamline, start):
    sink = Collector()
    stream = start(sinks=[sink], to_tiled=False, tiled_api_key="s3cr3t")
    engine.subscribe(stream)
    play(engine, beamline)
    assert stream.wait_idle(PATIENCE)
    assert sink.runs
    for text in (json.dumps(list(sink.runs.values())), repr(stream.profile), str(stream.status())):
        assert "s3cr3t" not in text


def test_a_growing_scan_shows_provisional_answers_as_events_of_the_same_run(
    engine, beamline, start, server
):
    now = [0.0]
    stream = start(tiled={"uri": server.uri}, tiled_api_key=server.api_key, clock=lambda: now[0])
    engine.subscribe(stream)
    shown: list[tuple[bool, bool]] = []
    every = 22

    def look(_: str, doc: dict[str, Any]) -> None:
        # The clock stands still but here: one answer is due at each of these
        # points, after the very first, at the tenth point of the sweep.
        if doc["seq_num"] % every == 0:
            assert stream.wait_idle(PATIENCE)
            now[0] += 1.0
        elif doc["seq_num"] > every and doc["seq_num"] % every == 1:
            assert stream.wait_idle(PATIENCE)
            assert stream.last is not None
            shown.append((stream.last.complete, stream.last.refusal is None))

    engine.subscribe(look, "event")
    raw = play(engine, beamline)
    assert stream.wait_idle(PATIENCE)
    points = scan_energies(FE2O3, quick=True).size
    due = (points - 1) // every
    assert len(shown) == due >= 3
    assert not any(complete for complete, _ in shown)
    assert shown[0] == (False, False), "the edge is not yet there"
    assert shown[-1] == (False, True), "nearly the whole scan is answered"
    (run,) = results(server, raw)
    data = run["primary"].read()
    assert list(data["complete"].values) == [False] * (due + 1) + [True]
    # The point after the clock moved, or the tick just before it.
    assert [points // every for points in data["points"].values[:-1]] == list(range(due + 1))
    assert data["points"].values[0] == 10
    assert run.stop["num_events"] == {"primary": due + 2}
    assert run.stop["summary"]["complete"]


def test_results_are_valid_runs_and_carry_the_access_tags(engine, beamline, start):
    sink = Collector()
    stream = start(sinks=[sink], to_tiled=False)
    engine.subscribe(stream)
    tags = {"tiled_access_tags": ["pass-7"], "data_session": "pass-7", "proposal": {"id": "7"}}
    raw = play(engine, beamline, md=tags)
    assert stream.wait_idle(PATIENCE)
    (documents,) = sink.runs.values()
    for name, doc in documents:
        schema_validators[DocumentNames[name]].validate(doc)
    run = sink.one()
    assert tags.items() <= run["start"].items()
    assert run["start"]["original_run_uid"] == raw
    assert run["start"]["sample_formula"] == "Fe2O3", "which the profile lists"


def test_the_engine_keeps_a_stream_that_nobody_else_holds(engine, beamline, tmp_path):
    sink = Collector()
    held = weakref.ref(DescriptorStream("sim", sinks=[sink], to_tiled=False, spool=tmp_path))
    engine.subscribe(held())
    gc.collect()
    play(engine, beamline)
    stream = held()
    assert stream is not None
    assert stream.close(PATIENCE) == 0
    assert sink.one()["stop"]["summary"]["refusal"] is None


def test_a_run_with_original_run_uid_is_an_analysis_and_is_not_analysed_again(
    engine, beamline, start
):
    sink = Collector()
    stream = start(sinks=[sink], to_tiled=False)
    engine.subscribe(stream)
    play(engine, beamline, md={"original_run_uid": str(uuid.uuid4())})
    assert stream.wait_idle(PATIENCE)
    assert sink.runs == {}
    play(engine, beamline)
    assert stream.wait_idle(PATIENCE)
    assert len(sink.runs) == 1, "the next scan is"


def test_its_own_results_may_come_back_to_it(start, documents, hematite):
    """As where a service publishes to the bus that it listens to."""
    sinks: list[Any] = []
    stream = start(to_tiled=False, sinks=[lambda name, doc: [sink(name, doc) for sink in sinks]])
    sinks.append(stream)
    for name, doc in documents(*hematite):
        stream(name, doc)
    assert stream.wait_idle(PATIENCE)
    assert stream.status().answered == 1
    assert stream.status().open_runs == 0


def test_switched_off_it_ignores_the_runs_that_begin_then(engine, beamline, start):
    sink = Collector()
    stream = start(sinks=[sink], to_tiled=False)
    engine.subscribe(stream)
    stream.enabled = False
    engine.subscribe(lambda *_: setattr(stream, "enabled", True), "descriptor")
    play(engine, beamline)  # switched on in the middle: the run began without us
    assert stream.wait_idle(PATIENCE)
    assert sink.runs == {}
    assert stream.enabled
    raw = play(engine, beamline)
    assert stream.wait_idle(PATIENCE)
    assert sink.one()["start"]["original_run_uid"] == raw
    stream.enabled = False
    assert str(stream.status()).startswith("rankaae-stream is off\n")
    assert "\n  device: C" in str(stream.status())


def test_switched_off_in_the_middle_it_finishes_the_run(engine, beamline, start):
    sink = Collector()
    stream = start(sinks=[sink], to_tiled=False)
    engine.subscribe(stream)
    engine.subscribe(lambda *_: setattr(stream, "enabled", False), "event")
    play(engine, beamline)
    assert stream.wait_idle(PATIENCE)
    assert sink.one()["stop"]["summary"]["refusal"] is None


def test_every_sink_gets_every_result_even_two_of_one_name(engine, beamline, start, tmp_path):
    sinks = [Collector(), Collector()]
    stream = start(sinks=[one.__call__ for one in sinks], to_tiled=False, series=NO_SERIES)
    engine.subscribe(stream)
    play(engine, beamline)
    assert stream.wait_idle(PATIENCE)
    assert sinks[0].one() == sinks[1].one()
    folders = [path.name for path in (tmp_path / "spool").iterdir() if path.is_dir()]
    assert sorted(folders) == ["__call__", "__call__.2"]


# ---- bad input -----------------------------------------------------------------------


def test_a_refused_scan_is_published_and_the_next_one_works(engine, beamline, start):
    sink = Collector()
    stream = start(sinks=[sink], to_tiled=False)
    engine.subscribe(stream)
    play(engine, beamline, md={"element": "Unobtainium"})
    engine(count([beamline.ic], 3))  # no energy at all
    play(engine, beamline)
    assert stream.wait_idle(PATIENCE)
    stops = [dict(documents)["stop"] for documents in sink.runs.values()]
    refusals = [(stop["summary"]["refusal"] or {}).get("name") for stop in stops]
    assert refusals == ["unknown_element", "missing_fields", None]
    assert (stream.status().answered, stream.status().refused) == (1, 2)


def test_a_scan_too_fast_for_the_inbox_is_refused_by_name_with_the_count(
    start, documents, hematite, monkeypatch
):
    sink = Collector()
    stream = start(sinks=[sink], to_tiled=False, inbox_megabytes=1, series=NO_SERIES)
    go, real = threading.Event(), Pipeline.feed

    def stuck(*args: Any, **more: Any) -> None:
        assert go.wait(PATIENCE)
        real(*args, **more)

    monkeypatch.setattr(Pipeline, "feed", stuck)
    columns = [list(column) * 20 for column in hematite]
    for name, doc in documents(*columns):
        stream(name, doc)
    go.set()
    assert stream.wait_idle(PATIENCE)
    dropped = stream.status().dropped
    assert dropped > 0
    refusals = [dict(d)["stop"]["summary"]["refusal"] for d in sink.runs.values()]
    refusals = [refusal for refusal in refusals if refusal]
    # One, or one more where the sweep before it had begun to show its answer.
    assert {refusal["name"] for refusal in refusals} == {"overrun"}
    assert refusals[0]["message"].startswith(f"{dropped} ")


# ---- nothing it does disturbs the scan -----------------------------------------------


@pytest.mark.parametrize("error", [RuntimeError("no"), SystemExit(1)])
def test_a_sink_that_raises_disturbs_neither_the_scan_nor_another_sink(
    engine, beamline, start, caplog, error
):
    def broken(name: str, doc: dict[str, Any]) -> None:
        raise error

    sink = Collector()
    stream = start(sinks=[broken, sink], to_tiled=False, series=NO_SERIES)
    engine.subscribe(stream)
    for _ in range(2):
        play(engine, beamline)
    wait_until(lambda: stream.status().answered == 2, "both are answered")
    wait_until(lambda: len(sink.whole) == 2, "the good sink has both")
    # It has the last document a moment before the sender strikes the result off its line.
    wait_until(lambda: stream.status().unsent <= 2, "the good sink's line is empty")
    assert not stream.wait_idle(0.0)
    status = stream.status()
    assert status.unsent == 2
    assert type(error).__name__ in status.failing
    assert stream.close(PATIENCE) == 2
    assert sum("broken takes no results" in line for line in said(caplog)) == 1


@pytest.mark.parametrize("error", [RuntimeError("no"), SystemExit(1)])
def test_an_analysis_that_raises_disturbs_nothing_and_the_next_scan_works(
    engine, beamline, start, monkeypatch, caplog, error
):
    sink = Collector()
    stream = start(sinks=[sink], to_tiled=False)
    engine.subscribe(stream)

    def broken(*_: Any, **__: Any) -> None:
        raise error

    with monkeypatch.context() as patched:
        patched.setattr(Pipeline, "feed", broken)
        play(engine, beamline)
        assert stream.wait_idle(PATIENCE)
    assert type(error).__name__ in stream.status().last_error
    assert sink.runs == {}
    play(engine, beamline)
    assert stream.wait_idle(PATIENCE)
    assert sink.one()["stop"]["summary"]["refusal"] is None
    assert "the scan is not affected" in said(caplog)[0]


@pytest.mark.slow
def test_a_stuck_sink_holds_up_neither_the_scan_nor_another_sink(engine, beamline, start):
    go = threading.Event()
    sink = Collector()
    stream = start(sinks=[lambda *_: go.wait(PATIENCE), sink], to_tiled=False)
    engine.subscribe(stream)
    try:
        for _ in range(3):
            play(engine, beamline)
        wait_until(lambda: stream.status().answered == 3, "all are answered")
        wait_until(lambda: len(sink.whole) == 3, "the other sink has all")
        wait_until(lambda: stream.status().unsent == 3, "and only the stuck one waits")
        wait_until(lambda: stream.status().behind > 0.0, "and it is said for how long")
    finally:
        go.set()
    assert stream.wait_idle(PATIENCE)
    assert stream.status().behind == 0.0


def test_documents_are_left_as_they_are(start, documents, hematite):
    stream = start(to_tiled=False)
    given = list(documents(*hematite))
    before = json.dumps(given)
    for name, doc in given:
        stream(name, doc)
    assert stream.wait_idle(PATIENCE)
    assert stream.status().answered == 1
    assert json.dumps(given) == before


# ---- Tiled away ----------------------------------------------------------------------


def test_without_tiled_it_starts_warns_once_and_keeps_the_results(
    engine, beamline, start, tmp_path, caplog
):
    stream = start(tiled=NOWHERE, series=NO_SERIES)
    engine.subscribe(stream)
    for _ in range(2):
        play(engine, beamline)
    wait_until(lambda: stream.status().answered == 2, "both are answered")
    wait_until(lambda: bool(stream.status().failing), "it is noticed")
    assert not stream.wait_idle(0.0)
    assert stream.status().unsent == 3, "with the model's what-if curves"
    assert "Tiled at http://127.0.0.1:1 does not answer" in stream.status().failing
    assert sum("takes no results" in line for line in said(caplog)) == 1
    assert stream.close(PATIENCE) == 3
    assert said(caplog)[-1].startswith("3 results could not be sent and stay in ")
    waiting = list((tmp_path / "spool").glob("*/*.jsonl"))
    assert len(waiting) == 3
    assert all(len(path.read_text().splitlines()) == 4 for path in waiting)


@pytest.mark.services
def test_tiled_may_go_in_the_middle_of_a_scan_and_gets_the_result_when_it_returns(
    engine, beamline, start, tmp_path, caplog
):
    server = EmbeddedServer(tmp_path / "tiled").start()
    try:
        now = [0.0]
        tiled = {"uri": server.uri}
        stream = start(tiled=tiled, tiled_api_key=server.api_key, clock=lambda: now[0])
        engine.subscribe(stream)

        def cut(_: str, doc: dict[str, Any]) -> None:
            if doc["seq_num"] == 40:
                now[0] += 1.0
            elif doc["seq_num"] == 50:
                assert stream.wait_idle(PATIENCE)
                shown = server.client("processed").search(Key("start.purpose") == PURPOSE)
                assert len(shown) == 1, "a provisional answer, still open"
                server.stop()

        token = engine.subscribe(cut, "event")
        raw = play(engine, beamline)
        engine.unsubscribe(token)
        wait_until(lambda: bool(stream.status().failing), "it is noticed")
        wait_until(lambda: stream.status().answered, "the scan is answered")
        status = stream.status()
        assert (status.answered, status.unsent) == (1, 2), "with the model's what-if curves"
        assert list((tmp_path / "spool").glob("*/*.jsonl")) != []
        second = play(engine, beamline)  # the next scan neither knows nor cares
        server.start()
        assert stream.wait_idle(PATIENCE)
        for uid in (raw, second):
            (run,) = results(server, uid)
            assert run.stop["summary"]["refusal"] is None
            assert run["primary"].read()["complete"].values[-1]
            documents = [name for name, _ in run.documents()]
            assert documents.count("stop") == 1
            assert documents.count("event") == run.stop["num_events"]["primary"]
        assert stream.status().unsent == 0
        assert stream.close(PATIENCE) == 0
    finally:
        server.close()
    lines = said(caplog)
    assert sum("takes no results" in line for line in lines) == 1
    assert "results are kept in" in lines[0]
    assert sum("takes results again" in line for line in lines) == 1


# ---- ends and beginnings -------------------------------------------------------------


def test_closing_answers_what_is_open_and_publishes_it(start, server, documents, hematite):
    stream = start(tiled={"uri": server.uri}, tiled_api_key=server.api_key)
    raw = str(uuid.uuid4())
    for name, doc in documents(*hematite, uid=raw, stop=False):
        stream(name, doc)
    assert stream.close(PATIENCE) == 0
    (run,) = results(server, raw)
    assert "no_stop" in run.stop["summary"]["flags"]
    assert run.stop["summary"]["refusal"] is None
    assert stream.close() == 0, "closing twice is closing"
    stream("start", {"uid": "late"})
    assert stream.status().open_runs == 0


def test_the_end_of_a_with_block_closes_it(start, documents, hematite):
    sink = Collector()
    with start(sinks=[sink], to_tiled=False) as stream:
        for name, doc in documents(*hematite):
            stream(name, doc)
    assert sink.one()["stop"]["summary"]["refusal"] is None
    assert not any(thread.name.startswith("rankaae-stream") for thread in threading.enumerate())


def test_closing_in_the_middle_of_an_endless_analysis_says_what_is_not_done(
    start, documents, hematite, monkeypatch, caplog
):
    stream = start(to_tiled=False)
    go = threading.Event()
    monkeypatch.setattr(Pipeline, "feed", lambda *_, **__: go.wait(PATIENCE))
    given = list(documents(*hematite))
    for name, doc in given:
        stream(name, doc)
    assert stream.close(0.01) == 0
    assert said(caplog) == [
        f"{len(given)} documents could not be analysed within 0 s; replay their runs"
    ]
    go.set()


SESSION = """
import sys
from bluesky import RunEngine
from rankaae_stream import callback
from rankaae_stream.callback import DescriptorStream
from rankaae_stream.simulate import SERIES, Beamline, scan

if __name__ == "__main__":
    callback.AT_EXIT = float(sys.argv[3])
    RE = RunEngine({})
    RE.subscribe(DescriptorStream("sim", tiled={"uri": sys.argv[1]}, spool=sys.argv[2]))
    fe2o3 = next(sample for sample in SERIES if sample.name == "Fe2O3")
    print(*RE(scan(Beamline(dwell=0.0), fe2o3, quick=True)))
"""


def session(uri: str, key: str, spool: Any) -> tuple[str, str]:
    """A user's session that ends right after its scan: the run's uid, and what it said."""
    done = subprocess.run(
        # As long as it takes: a busy machine may have a few percent of a core for it.
        [sys.executable, "-c", SESSION, uri, str(spool), str(PATIENCE)],
        env={**os.environ, API_KEY_VARIABLE: key},
        capture_output=True,
        text=True,
        timeout=PATIENCE,
        check=True,
    )
    return done.stdout.split()[-1], done.stderr


def test_a_session_that_just_ends_publishes_first(server, tmp_path):
    raw, _ = session(server.uri, server.api_key, tmp_path)
    (run,) = results(server, raw)
    assert run.stop["summary"]["refusal"] is None
    assert list(tmp_path.glob("*/*.jsonl")) == []


def test_what_a_session_could_not_send_the_next_one_sends(server, tmp_path, start):
    raw, errors = session(server.uri, "wrong", tmp_path / "spool")
    assert f"set {API_KEY_VARIABLE}" in errors
    assert "2 results could not be sent and stay in" in errors, "with the what-if curves"
    assert results(server, raw) == []
    stream = start(tiled={"uri": server.uri}, tiled_api_key=server.api_key)
    assert stream.wait_idle(PATIENCE)
    (run,) = results(server, raw)
    assert run.stop["summary"]["refusal"] is None


# ---- start-up ------------------------------------------------------------------------


def test_a_missing_key_is_told_at_start_with_the_variable_to_set(tmp_path):
    threads = threading.active_count()
    with pytest.raises(ConfigurationError, match=f"export {API_KEY_VARIABLE}="):
        DescriptorStream("sim", spool=tmp_path)
    assert threading.active_count() == threads


def test_without_tiled_no_key_is_needed(tmp_path):
    with DescriptorStream("sim", to_tiled=False, spool=tmp_path) as stream:
        assert stream.status().enabled


def test_the_key_comes_from_the_environment(tmp_path, monkeypatch, server, documents, hematite):
    monkeypatch.setenv(API_KEY_VARIABLE, server.api_key)
    raw = str(uuid.uuid4())
    with DescriptorStream("sim", spool=tmp_path, tiled={"uri": server.uri}) as stream:
        for name, doc in documents(*hematite, uid=raw):
            stream(name, doc)
        assert stream.wait_idle(PATIENCE)
    assert len(results(server, raw)) == 1


def test_a_spool_that_cannot_be_written_is_told_at_start(tmp_path):
    (tmp_path / "file").write_text("")
    threads = threading.active_count()
    with pytest.raises(ConfigurationError, match="set spool in profile 'sim' to a folder"):
        DescriptorStream("sim", to_tiled=False, sinks=[print], spool=tmp_path / "file")
    assert threading.active_count() == threads


def test_settings_beside_a_resolved_profile_are_told(tmp_path):
    profile = load_profile("sim", spool=tmp_path)
    with DescriptorStream(profile, to_tiled=False) as stream:
        assert stream.profile is profile
    with pytest.raises(
        ConfigurationError, match="stop_deadline are given beside a resolved profile"
    ):
        DescriptorStream(profile, to_tiled=False, stop_deadline=3.0)
