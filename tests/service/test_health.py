"""Whether a service lives and is ready, over HTTP that a slow or foreign client cannot hold."""

import json
import socket
import threading
from collections import Counter
from contextlib import closing, suppress
from dataclasses import replace
from http.client import HTTPConnection

import pytest

from rankaae_stream.errors import ConfigurationError
from rankaae_stream.service import health
from rankaae_stream.service.health import UNSENT, HealthServer, problems, status
from rankaae_stream.service.state import ServiceState

NOW = 1_000_000.0
FINE = ServiceState(
    "iss", "ab12", models={"Fe K": "fe-k 2026.11"}, source="kafka", worker="running", began=NOW - 9
)


class Metrics:
    def page(self):
        return "text/plain", b"xas_ready 1.0\n"


class Told:
    """A state that a test changes."""

    def __init__(self, state=FINE):
        self.state = state

    def __call__(self):
        if isinstance(self.state, Exception):
            raise self.state
        return self.state


@pytest.fixture
def told():
    return Told()


@pytest.fixture
def server(told):
    with HealthServer(told, Metrics(), clock=lambda: NOW) as server:
        yield server


def ask(server, path, method="GET", body=None, **headers):
    with closing(HTTPConnection("127.0.0.1", server.port, timeout=10)) as connection:
        connection.request(method, path, body, headers)
        answer = connection.getresponse()
        text = answer.read()
        kind = answer.getheader("Content-Type")
    return answer.status, json.loads(text) if text and kind == "application/json" else text


@pytest.mark.parametrize(
    ("state", "words"),
    [
        (replace(FINE, worker="starting", models={}), "the worker is starting"),
        (replace(FINE, worker="stalled"), "the worker has stalled"),
        (replace(FINE, worker="stopped"), "the worker has stopped"),
        (replace(FINE, models={}), "no model is loaded"),
        (replace(FINE, source_failing="refused"), "nothing comes from kafka: refused"),
        (replace(FINE, failing="5 restarts in 10 min"), "5 restarts in 10 min"),
        (
            replace(FINE, unsent=3, oldest_unsent=NOW - 1200, failing="HTTP 503"),
            "3 results are not sent, the oldest for 20 min: HTTP 503",
        ),
    ],
)
def test_what_keeps_a_service_from_answering_is_a_sentence(state, words):
    assert problems(state, NOW) == [words]


def test_a_short_outage_of_tiled_leaves_a_service_ready():
    waiting = replace(FINE, unsent=3, oldest_unsent=NOW - UNSENT, failing="HTTP 503")
    assert problems(FINE, NOW) == problems(waiting, NOW) == []
    assert len(problems(waiting, NOW + 1)) == 1


def test_a_problem_of_another_program_cannot_steer_a_terminal():
    (sentence,) = problems(replace(FINE, source_failing="\x1b]0;title\x07"), NOW)
    assert "\x1b" not in sentence


def test_a_status_has_every_value_and_ages_also_where_counts_are_counters():
    state = replace(FINE, documents=Counter(start=2), last_document=NOW - 5, last_result=NOW + 5)
    told = json.loads(json.dumps(status(state, NOW)))
    assert told["documents"] == {"start": 2}
    assert told["ready"] is True
    assert told["seconds_since"] == {
        "began": 9.0,
        "last_document": 5.0,
        "last_result": 0.0,  # clocks of two machines
        "oldest_waiting": None,
        "oldest_unsent": None,
    }


def test_alive_ready_status_and_metrics_are_answered(server, told):
    assert ask(server, "/healthz") == (200, {"alive": True})
    assert ask(server, "/readyz") == (200, {"ready": True, "problems": []})
    assert ask(server, "/status?x=1")[1]["profile"] == "iss"
    assert ask(server, "/metrics") == (200, b"xas_ready 1.0\n")
    told.state = replace(FINE, worker="stopped")
    assert ask(server, "/readyz") == (
        503,
        {"ready": False, "problems": ["the worker has stopped"]},
    )
    assert ask(server, "/healthz")[0] == 200


def test_a_state_that_cannot_be_told_is_not_ready_but_alive(server, told):
    told.state = RuntimeError("no state")
    code, answer = ask(server, "/readyz")
    assert (code, answer["ready"]) == (503, False)
    assert "no state" in answer["problems"][0]
    assert ask(server, "/healthz")[0] == 200


def test_only_reading_without_a_body_is_answered(server):
    assert ask(server, "/", "GET")[0] == 404
    for method in ("POST", "PUT", "DELETE", "HEAD"):
        assert ask(server, "/healthz", method)[0] == 405
    assert ask(server, "/healthz", body=b"x")[0] == 400


@pytest.mark.parametrize(
    "headers",
    [
        {"Host": "evil.example"},
        {"Host": "127.0.0.1:1"},
        {"Host": "127.0.0.1"},
        {"Host": "me@localhost"},
        {"Origin": "http://evil.example"},
    ],
)
def test_a_page_of_another_site_is_refused(server, headers):
    assert ask(server, "/status", **headers)[0] == 403


def test_localhost_is_this_server(server):
    assert ask(server, "/healthz", Host=f"localhost:{server.port}")[0] == 200


def test_it_listens_on_the_loopback_only(server):
    assert server._server.socket.getsockname()[0] == "127.0.0.1"


def test_a_port_in_use_is_told_at_start_up_with_the_fix(server):
    with pytest.raises(ConfigurationError, match="choose another port"):
        HealthServer(Told(), Metrics(), server.port)


def connect(server, text=b""):
    connection = socket.create_connection(("127.0.0.1", server.port), timeout=10)
    connection.sendall(text)
    return connection


def test_clients_that_send_nothing_hold_nobody_and_few_threads(server):
    held = [connect(server, b"GET /he") for _ in range(health.MOST + 4)]
    try:
        assert ask(server, "/healthz")[0] == 200
        ours = [t for t in threading.enumerate() if "process_request_thread" in t.name]
        assert len(ours) <= health.MOST
        assert held[0].recv(1) == b""  # the oldest made room
    finally:
        for connection in held:
            connection.close()


def test_a_head_that_comes_too_slowly_or_is_too_large_is_dropped(server, monkeypatch):
    monkeypatch.setattr(health, "SECONDS", 0.05)
    with connect(server, b"GET /healthz HTTP/1.1\r\n") as connection:
        assert connection.recv(1) == b""
    monkeypatch.setattr(health, "SECONDS", 10.0)
    with connect(server, b"x" * (health.LARGEST + 1)) as connection:
        assert connection.recv(1) == b""


def test_bytes_that_are_no_request_are_refused_without_repeating_them(server):
    with connect(server, b"<script>\x1b\xff x y z\r\n\r\n") as connection:
        answer = connection.recv(4096)
    assert b"400" in answer
    assert b"script" not in answer
    assert ask(server, "/healthz")[0] == 200


def test_after_the_end_nobody_is_answered(told):
    server = HealthServer(told, Metrics()).start()
    with connect(server, b"GET ") as waiting:
        server.close()
        with suppress(ConnectionResetError):
            assert waiting.recv(1) == b""
    with pytest.raises(OSError, match="refused"):
        connect(server)
