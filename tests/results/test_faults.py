"""Whatever happens to Tiled or to the disk: results before are results after, each once."""

import logging
import os
import signal
import subprocess
from collections import Counter
from typing import Any

import httpx
import pytest
from answers import answer
from counted import count
from waiting import PATIENCE, wait_until

from rankaae_stream.results.sender import Sender
from rankaae_stream.results.spool import Spool, entries
from rankaae_stream.results.tiled_sink import TiledSink
from rankaae_stream.server.tiled_server import EmbeddedServer

pytestmark = pytest.mark.services

RETRY = (0.01, 0.05)


def check_each_is_there_once(server: EmbeddedServer, names: list[str]) -> None:
    """Every result complete, with as many rows as its stop says and none of them twice."""
    expected = {answer(name).uid: answer(name) for name in names}
    assert count(server.client("processed"), expected) == Counter(whole=len(names))


@pytest.fixture
def server(tmp_path):
    """One of its own: these tests count what is there, and kill it."""
    with EmbeddedServer(tmp_path / "tiled") as running:
        yield running


@pytest.fixture
def sender(server, tmp_path):
    sink = TiledSink(server.uri, "processed", server.api_key, key_variable="THE_KEY", timeout=5.0)
    made = Sender(sink, Spool(tmp_path / "spool"), RETRY)
    yield made
    made.close(PATIENCE)


def test_a_server_killed_again_and_again_during_a_series_has_all_results_at_the_end(
    server, sender, tmp_path
):
    names = [f"scan {number}" for number in range(12)]
    for number, name in enumerate(names):
        for state in (1.0, 2.0):
            sender.provisional(answer(name, state, complete=False))
            wait_until(lambda: sender.failing or not sender._provisional, "it is being shown")
        sender.final(answer(name))
        if number % 4 == 1:  # in the middle of whatever is being written
            os.kill(server.pid, signal.SIGKILL)
        elif number % 4 == 3:
            server.stop()
            server.start()
    assert sender.wait_idle(PATIENCE)
    check_each_is_there_once(server, names)
    assert [entry.state for entry in entries(tmp_path / "spool")] == ["sent"] * len(names)


def fails(http: Any, monkeypatch: pytest.MonkeyPatch, how: str, which: int) -> list[str]:
    """Let the `which`-th request from now fail; returns what was asked."""
    real, asked = http._transport.handle_request, []

    def handle(request: httpx.Request) -> httpx.Response:
        asked.append(f"{request.method} {request.url.path}")
        if len(asked) - 1 != which:
            return real(request)
        if how == "never arrives":
            raise httpx.ConnectError("connection refused", request=request)
        if how.isdigit():
            return httpx.Response(int(how), request=request)
        response = real(request)
        response.read()
        raise httpx.ReadTimeout("the answer is lost", request=request)

    monkeypatch.setattr(http._transport, "handle_request", handle)
    return asked


@pytest.mark.parametrize("how", ["never arrives", "answer is lost", "500", "507"])
def test_whichever_request_fails_the_result_is_there_once(server, tmp_path, monkeypatch, how):
    """One provisional answer and the final one, failing at each of their requests in turn."""
    sink = TiledSink(server.uri, "processed", server.api_key)
    sink.final(answer("first"))
    http, names, which = sink._client.context.http_client, ["first"], 0
    sender = Sender(sink, Spool(tmp_path / "spool"), (0.001, 0.001))
    while True:
        names.append(f"{how} {which}")
        with monkeypatch.context() as broken:
            asked = fails(http, broken, how, which)
            sender.provisional(answer(names[-1], 1.0, complete=False))
            wait_until(lambda: not (sender._provisional or sender._busy), "it was tried")
            sender.final(answer(names[-1]))
            assert sender.wait_idle(PATIENCE)
        which += 1
        if len(asked) < which:
            break
    assert which > 10, "a provisional and a final answer take that many requests"
    check_each_is_there_once(server, names)
    assert sender.close(PATIENCE) == 0


def test_a_key_that_is_revoked_keeps_the_results_until_it_is_given_back(
    server, sender, tmp_path, caplog
):
    names = [f"scan {number}" for number in range(6)]
    key = server.api_key
    sender.provisional(answer(names[2], 1.0, complete=False))
    for name in names[:2]:
        sender.final(answer(name))
    assert sender.wait_idle(PATIENCE)
    server.stop()
    server.api_key = "anotherkey0123456789"
    server.start()
    for name in names[2:]:
        sender.final(answer(name))
    wait_until(lambda: "HTTP 401" in sender.failing, "the refused key is noticed")
    assert "set THE_KEY" in sender.failing
    assert sender.waiting == 4
    server.stop()
    server.api_key = key
    server.start()
    assert sender.wait_idle(PATIENCE)
    check_each_is_there_once(server, names)
    assert key not in caplog.text


@pytest.fixture
def small_disk(tmp_path):
    """A disk of 256 kB, which a few results fill."""
    folder = tmp_path / "small"
    folder.mkdir()
    command = ["mount", "-t", "tmpfs", "-o", "size=256k", "tmpfs", str(folder)]
    try:
        subprocess.run(command, check=True, capture_output=True)
    except (OSError, subprocess.CalledProcessError):
        pytest.skip("only root may mount a small disk")
    yield folder
    subprocess.run(["umount", "--lazy", str(folder)], check=True)


def test_a_full_disk_under_the_spool_loses_nothing_that_tiled_takes(server, small_disk, caplog):
    filler = small_disk / "filler"
    sink = TiledSink(server.uri, "processed", server.api_key)
    sender = Sender(sink, Spool(small_disk / "spool"), RETRY)
    names = [f"scan {number}" for number in range(8)]
    server.stop()
    sender.final(answer(names[0]))
    with caplog.at_level(logging.ERROR, "rankaae_stream.results.sender"):
        with pytest.raises(OSError, match="No space left"):
            filler.write_bytes(bytes(1 << 20))
        for name in names[1:]:
            sender.final(answer(name))
        assert "kept in memory" in caplog.text
        assert "No space left on device" in caplog.text
    assert sender.waiting == len(names)
    filler.unlink()
    wait_until(lambda: len(sender.spool.waiting()) == len(names), "the disk has room again")
    server.start()
    assert sender.wait_idle(PATIENCE)
    check_each_is_there_once(server, names)
    assert sender.close(PATIENCE) == 0
