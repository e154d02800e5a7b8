"""A Tiled server's websockets ring; whatever they do else costs no more than that they do not."""

import http
import re
import socket
import threading
from contextlib import contextmanager

import msgpack
import pytest
from waiting import wait_until
from websockets.exceptions import ConnectionClosed
from websockets.sync.server import serve

from rankaae_stream.past.archive import Stream
from rankaae_stream.service import doorbell as module
from rankaae_stream.service.doorbell import Doorbell

SCHEMA = msgpack.packb({"type": "container-schema", "version": 1})
NEWS = msgpack.packb({"type": "container-child-created", "sequence": 1, "metadata": {"start": {}}})


class Nodes:
    """A server of websockets that sends what a test says, and knows who came."""

    def __init__(self, messages, ends):
        self.messages, self.ends = messages, ends
        self.paths, self.keys, self.sockets = [], [], []
        self.stopped = threading.Event()

    def __call__(self, connection):
        self.paths.append(connection.request.path)
        self.keys.append(connection.request.headers.get("Authorization"))
        self.sockets.append(connection)
        try:
            for message in self.messages:
                connection.send(message)
            if not self.ends:
                self.stopped.wait()
        except ConnectionClosed:
            pass


@contextmanager
def listening(*messages, ends=False, answer=None):
    """A doorbell, the server, and the stream of its container."""
    nodes = Nodes(messages, ends)
    with serve(nodes, "127.0.0.1", 0, process_request=answer, close_timeout=0.1) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        port = server.socket.getsockname()[1]
        stream = Stream(f"ws://127.0.0.1:{port}/raw", {"Authorization": "Apikey secret"})
        try:
            with Doorbell() as bell:
                yield bell, nodes, stream
        finally:
            nodes.stopped.set()
            server.shutdown()


def rung(bell, *nodes):
    """Wait until all these nodes have rung."""
    found = set()

    def rings():
        found.update(bell.wait(0.05, threading.Event()))
        return found >= set(nodes)

    wait_until(rings, f"{nodes} ring")


def test_each_node_rings_when_it_is_heard_and_when_it_tells_something():
    run = ("a/b", "primary")
    with listening(SCHEMA) as (bell, nodes, stream):
        bell.listen(stream, [(), run])
        rung(bell, (), run)
        assert bell.hears()
        assert bell.hears(run)
        assert sorted(path.partition("?")[0] for path in nodes.paths) == [
            "/raw",
            "/raw/a%2Fb/primary",
        ]
        assert set(nodes.keys) == {"Apikey secret"}
        assert "secret" not in repr(stream)
        assert bell.wait(0.01, threading.Event()) == set(), "nothing is new"
        for connection in nodes.sockets:
            connection.send(NEWS)
        rung(bell, (), run)
        bell.listen(stream, [()])
        assert not bell.hears(run)
        bell.listen(stream, [()])
        assert bell.hears(), "the other one is heard as before"
    assert len(nodes.paths) == 2


@pytest.mark.parametrize(
    ("messages", "why"),
    [
        ([], "the connection has ended|ConnectionClosed"),
        (["a text"], "no message of Tiled's"),
        ([b"\xc1"], "no message of Tiled's"),
        ([msgpack.packb([1])], "no message of Tiled's"),
        ([msgpack.packb({"type": 1})], "no message of Tiled's"),
        ([NEWS], "does not say what the node is"),
        ([SCHEMA, b"\x91" * 5000], "no message of Tiled's"),
        ([SCHEMA, msgpack.packb({"type": "x", "payload": bytes(2**20)})], "ConnectionClosed"),
        ([SCHEMA], "the connection has ended"),
    ],
)
def test_a_websocket_that_ends_or_sends_rubbish_is_not_relied_on(messages, why):
    with listening(*messages, ends=True) as (bell, nodes, stream):
        bell.listen(stream, [()])
        wait_until(lambda: re.search(why, bell.deaf()), "it is found deaf")
        assert not bell.hears()
        bell.listen(stream, [()])
        assert len(nodes.paths) == 1, "it is not tried again at once"


def test_a_server_without_websockets_or_that_sends_elsewhere_gets_no_second_request():
    def answer(connection, request):
        found = connection.respond(status, "no\n")
        found.headers["Location"] = "/elsewhere"
        return found

    for status in (http.HTTPStatus.NOT_FOUND, http.HTTPStatus.TEMPORARY_REDIRECT):
        with listening(SCHEMA, answer=answer) as (bell, nodes, stream):
            bell.listen(stream, [()])
            wait_until(lambda: bell.deaf() == f"HTTP {status.value}", "it is refused")  # noqa: B023
        assert nodes.paths == []


def test_a_server_that_takes_connections_and_says_nothing_is_let_go(monkeypatch):
    monkeypatch.setattr(module, "ANSWER", 0.3)
    with socket.create_server(("127.0.0.1", 0)) as silent, Doorbell() as bell:
        stream = Stream(f"ws://127.0.0.1:{silent.getsockname()[1]}/raw", {})
        bell.listen(stream, [()])
        wait_until(lambda: "does not answer" in bell.deaf(), "no handshake")
    with listening() as (bell, _, stream):
        bell.listen(stream, [()])
        wait_until(lambda: "does not answer" in bell.deaf(), "no word")


def test_it_is_tried_again_ever_more_rarely_and_rings_when_it_is_there(monkeypatch):
    monkeypatch.setattr(module, "FIRST", 0.01)
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    stream = Stream(f"ws://127.0.0.1:{port}/raw", {})
    with Doorbell() as bell:
        bell.listen(stream, [()])
        wait_until(lambda: "Refused" in bell.deaf(), "nobody is there")
        nodes = Nodes([SCHEMA], ends=False)
        with serve(nodes, "127.0.0.1", port, close_timeout=0.1) as server:
            threading.Thread(target=server.serve_forever, daemon=True).start()
            wait_until(lambda: bell.listen(stream, [()]) or bell.hears(), "it is there")
            rung(bell, ())
            nodes.stopped.set()
            rung(bell, ())
            assert not bell.hears()
            server.shutdown()


def test_of_very_many_nodes_some_are_listened_to():
    with listening(SCHEMA) as (bell, nodes, stream):
        bell.listen(stream, [(str(number),) for number in range(3 * module.MOST)])
        wait_until(lambda: bell.hears((str(module.MOST - 1),)), "the last one")
        assert not bell.hears((str(module.MOST),))
    assert len(nodes.paths) <= module.MOST
