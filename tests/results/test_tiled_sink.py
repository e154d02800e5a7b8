"""Results reach Tiled once and complete, whatever the server answers (see also test_contracts)."""

import threading
import time
from dataclasses import replace
from typing import Any

import httpx
import numpy as np
import pytest
from composing import GRID, RETRY, composed
from waiting import PATIENCE, wait_until

from rankaae_stream.report import (
    Flag,
)
from rankaae_stream.results.compose import ResultRun
from rankaae_stream.results.compose_series import PURPOSE as SERIES
from rankaae_stream.results.sender import Sender
from rankaae_stream.results.sinks import Postponed, Rejected, Unavailable
from rankaae_stream.results.spool import Spool
from rankaae_stream.results.tiled_sink import TiledSink
from rankaae_stream.server.tiled_server import EmbeddedServer


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


def test_a_run_that_another_session_fills_is_left_to_it_until_it_no_longer_changes(
    server, connect, uid
):
    now = [0.0]
    other, tiled = (connect(clock=lambda: now[0]) for _ in range(2))
    other.provisional(composed(uid, state=1.0))
    for seconds in (0.0, 59.0):
        now[0] = seconds
        with pytest.raises(Postponed, match=f"another session is writing result {uid}"):
            tiled.final(composed(uid, state=2.0))
    now[0] = 20.0
    other.provisional(composed(uid, state=1.5))  # it lives: the time begins again
    now[0] = 100.0
    with pytest.raises(Postponed):
        tiled.final(composed(uid, state=2.0))
    now[0] = 161.0
    tiled.final(composed(uid, state=2.0))
    assert rows(server.client("processed")[uid]) == [2.0]
    # What was written under its hands is complete, which is its success, too.
    other.final(composed(uid, state=2.0))
    assert rows(server.client("processed")[uid]) == [2.0]


def test_a_scan_slower_than_a_writer_is_waited_for_does_not_wait_for_itself(server, connect, uid):
    now = [0.0]
    tiled = connect(clock=lambda: now[0])
    for state in (1.0, 2.0, 3.0):
        tiled.provisional(composed(uid, state=state))
        now[0] += 100.0
    tiled.final(composed(uid, state=4.0))
    assert rows(server.client("processed")[uid]) == [1.0, 2.0, 3.0, 4.0]


def test_a_slow_scan_adds_nothing_to_what_another_session_has_made_anew(server, connect, uid):
    now = [0.0]
    slow, other = (connect(clock=lambda: now[0]) for _ in range(2))
    slow.provisional(composed(uid, state=1.0))
    other.remove(uid)
    other.provisional(composed(uid, state=2.0))
    now[0] = 31.0
    for write in (slow.provisional, slow.final):
        with pytest.raises(Postponed, match="another session"):
            write(composed(uid, state=3.0))
    assert rows(server.client("processed")[uid]) == [2.0]


def test_another_run_under_the_same_uid_is_never_touched(server, tiled, uid):
    tiled.final(composed(uid, state=2.0))
    stranger = composed(uid, state=3.0)
    stranger.start["original_run_uid"] = "of something else"
    with pytest.raises(Rejected, match="another run is stored under the uid"):
        tiled.final(stranger)
    assert rows(server.client("processed")[uid]) == [2.0]


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


def series(uid: str, count: int, *, complete: bool) -> ResultRun:
    """A series' documents; the composer has tests of its own."""
    run = composed(uid, state=2.5)
    start = {**run.start, "purpose": SERIES, "original_run_uid": ""}
    state = {"count": count, "complete": complete, "spectra": [{"share_1": 0.5}] * count}
    return replace(run, start=start, stop={**run.stop, "summary": state})


def test_a_series_is_renewed_in_its_place_and_an_older_state_changes_nothing(server, tiled, uid):
    """A series of another session, or of a replay, that holds more stays."""
    seen = []
    for count, complete in ((2, False), (3, False), (2, True), (3, True), (3, False)):
        send = tiled.final if complete else tiled.provisional
        send(series(uid, count, complete=complete))
        state = server.client("processed")[uid].metadata["stop"]["summary"]
        seen.append((state["count"], len(state["spectra"]), state["complete"]))
    assert seen == [(2, 2, False), (3, 3, False), (3, 3, False), (3, 3, True), (3, 3, True)]
