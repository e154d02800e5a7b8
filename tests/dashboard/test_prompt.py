"""A connection ends whose request comes too slowly, or whose answer nobody reads."""

import asyncio
import json
import socket
import threading
from collections.abc import Iterator

import pytest
import uvicorn
from waiting import PATIENCE, wait_until
from websockets.sync.client import connect

from rankaae_stream.dashboard.prompt import PromptBody, PromptProtocol

LARGE = 32 * 1024**2
"""Bytes of an answer, more than the system keeps of what nobody reads."""


def asked(parts, *, headers=(), begins=False, largest=100):
    """What the app read of a body, and what was answered: status and sentence.

    A part that is None never comes. With `begins` the app answers before it reads.
    """
    read, sent = bytearray(), []
    coming = list(parts)

    async def app(scope, receive, send):
        if begins:
            await send({"type": "http.response.start", "status": 200, "headers": []})
        while True:
            message = await receive()
            if message["type"] == "http.disconnect":
                raise ConnectionError("as Starlette raises ClientDisconnect")
            read.extend(message["body"])
            if not message["more_body"]:
                break
        await send({"type": "http.response.start", "status": 200, "headers": []})

    async def receive():
        part = coming.pop(0)
        if part is None:
            await asyncio.sleep(PATIENCE)
        return {"type": "http.request", "body": part, "more_body": bool(coming)}

    async def send(message):
        sent.append(message)

    guard = PromptBody(app)
    guard.LARGEST, guard.SECONDS, guard.RATE = largest, 0.05, 1e6
    pairs = [(name.encode(), value.encode()) for name, value in headers]
    asyncio.run(guard({"type": "http", "headers": pairs}, receive, send))
    said = json.loads(sent[1]["body"])["detail"] if len(sent) > 1 else ""
    return bytes(read), sent[0]["status"], said


def test_a_body_that_comes_at_once_is_read_whole():
    assert asked([b"a" * 50, b"", b"b" * 50]) == (b"a" * 50 + b"b" * 50, 200, "")


def test_a_body_that_stops_coming_is_refused():
    read, status, said = asked([b"a", None])
    assert (read, status) == (b"a", 408)
    assert "too slowly" in said


@pytest.mark.parametrize("headers", [(), [("content-length", "101")]])
def test_a_body_that_is_too_large_is_refused(headers):
    read, status, said = asked([b"a" * 60, b"b" * 60], headers=headers)
    assert (len(read), status) == (0 if headers else 60, 413)
    assert "MiB" in said


def test_an_answer_that_has_begun_is_broken_off_rather_than_followed_by_another():
    with pytest.raises(ConnectionError):
        asked([b"a", None], begins=True)


def test_after_the_body_there_is_all_the_time_for_the_answer():
    async def app(scope, receive, send):
        await receive()
        with pytest.raises(TimeoutError):  # nothing more comes, and nothing is refused for it
            await asyncio.wait_for(receive(), 0.2)
        await send({"type": "http.response.start", "status": 200, "headers": []})

    coming, sent = [{"type": "http.request", "body": b"", "more_body": False}], []

    async def receive():
        return coming.pop() if coming else await asyncio.sleep(PATIENCE)

    async def send(message):
        sent.append(message["status"])

    guard = PromptBody(app)
    guard.SECONDS = 0.05
    asyncio.run(guard({"type": "http", "headers": []}, receive, send))
    assert sent == [200]


@pytest.fixture
def quick(monkeypatch) -> Iterator[int]:
    """The port of a server that waits half a second for a request."""
    for guard in (PromptProtocol, PromptBody):
        monkeypatch.setattr(guard, "SECONDS", 0.5)

    async def app(scope, receive, send):
        if scope["type"] == "websocket":
            await receive()
            await send({"type": "websocket.accept"})
            await asyncio.sleep(1.5)
            await send({"type": "websocket.send", "text": "late"})
            await receive()
            return
        if scope["method"] == "POST":
            while (await receive()).get("more_body"):
                pass
        if scope["path"] == "/large":
            headers = [(b"content-length", b"%d" % LARGE)]
            await send({"type": "http.response.start", "status": 200, "headers": headers})
            await send({"type": "http.response.body", "body": bytes(LARGE)})
            return
        await asyncio.sleep(1.5 if scope["path"] == "/slow" else 0.0)
        headers = [(b"content-length", b"2")]
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        await send({"type": "http.response.body", "body": b"ok"})

    guarded = PromptBody(app)
    config = uvicorn.Config(guarded, port=0, http=PromptProtocol, log_level="error", lifespan="off")
    server = uvicorn.Server(config)
    thread = threading.Thread(target=server.run, daemon=True)
    thread.start()
    wait_until(lambda: server.started, "the server listens")
    yield server.servers[0].sockets[0].getsockname()[1]
    server.should_exit = True
    thread.join(PATIENCE)


def ended(connection: socket.socket) -> bytes:
    """What a connection gets until the server closes it."""
    got = b""
    connection.settimeout(PATIENCE)
    while part := connection.recv(4096):
        got += part
    return got


WHOLE = b"GET / HTTP/1.1\r\nHost: a\r\n\r\n"


@pytest.mark.slow
@pytest.mark.parametrize("sent", [b"", b"GET / HT", b"GET / HTTP/1.1\r\nHost: a\r\nX-Slow: 1"])
def test_half_a_request_does_not_hold_a_connection(quick, sent):
    with socket.create_connection(("127.0.0.1", quick), PATIENCE) as connection:
        connection.sendall(sent)
        assert ended(connection) == b""


@pytest.mark.slow
def test_a_head_that_comes_byte_by_byte_ends_too_also_after_an_answer(quick):
    with socket.create_connection(("127.0.0.1", quick), PATIENCE) as connection:
        connection.sendall(WHOLE)
        assert connection.recv(4096).startswith(b"HTTP/1.1 200")
        connection.settimeout(0.05)

        def is_closed() -> bool:
            try:
                connection.sendall(b"G")
                return connection.recv(4096) == b""
            except TimeoutError:
                return False
            except OSError:
                return True

        wait_until(is_closed, "the server closes the connection")


@pytest.mark.slow
def test_an_answer_and_a_stream_may_take_longer(quick):
    with socket.create_connection(("127.0.0.1", quick), PATIENCE) as connection:
        connection.sendall(WHOLE.replace(b"/ ", b"/slow ") + WHOLE)
        assert ended(connection).count(b"200 OK") == 2
    with connect(f"ws://127.0.0.1:{quick}/", proxy=None) as stream:
        assert stream.recv(PATIENCE) == "late"


@pytest.mark.slow
@pytest.mark.parametrize("sent", [b"Content-Length: 9", b"Transfer-Encoding: chunked"])
def test_a_body_that_comes_byte_by_byte_is_answered_and_ended(quick, sent):
    with socket.create_connection(("127.0.0.1", quick), PATIENCE) as connection:
        connection.sendall(b"POST / HTTP/1.1\r\nHost: a\r\n" + sent + b"\r\n\r\n1")
        assert b"408" in ended(connection)


@pytest.mark.slow
def test_a_body_that_the_answer_did_not_need_ends_too(quick):
    with socket.create_connection(("127.0.0.1", quick), PATIENCE) as connection:
        connection.sendall(b"GET / HTTP/1.1\r\nHost: a\r\nContent-Length: 9\r\n\r\n1")
        assert b"200 OK" in ended(connection)


@pytest.mark.slow
def test_an_answer_that_nobody_reads_ends(quick):
    with socket.create_connection(("127.0.0.1", quick), PATIENCE) as connection:
        connection.sendall(WHOLE.replace(b"/ ", b"/large "))
        assert connection.recv(1)

        def is_ended() -> bool:
            # Sending meets the end of a connection of which nothing is read.
            try:
                connection.send(b"G")
            except OSError:
                return True
            return False

        wait_until(is_ended, "the server ends the connection")
