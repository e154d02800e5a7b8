"""What is private to Tiled and its plugins is as this project needs it."""

import logging
import threading
import uuid
from types import SimpleNamespace

import httpx
import pytest
from answers import answer
from bluesky_tiled_plugins import TiledWriter
from bluesky_tiled_plugins.writing.tiled_writer import _RunWriter
from tiled.client.container import Container
from tiled.queries import Key

from rankaae_stream.results.sinks import Unreachable
from rankaae_stream.results.tiled_client import (
    begin_run,
    get_child,
    holds_tables_of,
    query_parameters,
    translate_tiled_errors,
)


@pytest.fixture
def start(server):
    """A start document whose run is deleted at the end: tests share the server."""
    uid = str(uuid.uuid4())
    yield {"uid": uid, "time": 1.75e9, "purpose": "private parts"}
    server.client("processed").delete_contents([uid], recursive=True, external_only=False)


@pytest.fixture
def asked(server, monkeypatch):
    """The paths that the server's `processed` client asks for."""
    http, paths = server.client("processed").context.http_client, []
    real = http._transport.handle_request

    def noted(request):
        paths.append(f"{request.method} {request.url.path}")
        return real(request)

    monkeypatch.setattr(http._transport, "handle_request", noted)
    return paths


def test_a_writer_of_one_run_writes_its_start_and_raises_what_the_router_would_hide(server, start):
    results = server.client("processed")
    writer = TiledWriter(results, normalizer=None, batch_size=1)
    run_writer = begin_run(writer, start)
    assert results[start["uid"]].start == start
    run_writer("stop", {"uid": str(uuid.uuid4()), "run_start": start["uid"], "time": 1.75e9})
    assert results[start["uid"]].stop["run_start"] == start["uid"]
    with pytest.raises(Exception, match="409"):
        begin_run(writer, start)


def test_tables_that_were_made_anew_are_not_those_of_a_writer(server):
    run, results = answer("tables made anew"), server.client("processed")

    def written():
        writer = begin_run(TiledWriter(results, normalizer=None, batch_size=1), run.start)
        writer("descriptor", dict(run.descriptor))
        assert not holds_tables_of(writer), "there is none yet"
        writer("event", run.event)
        return writer

    first = written()
    assert holds_tables_of(first)
    results.delete_contents([run.uid], recursive=True, external_only=False)
    assert not holds_tables_of(first), "there is none"
    second = written()
    assert holds_tables_of(second)
    assert not holds_tables_of(first), "there is another one in its place"
    results.delete_contents([run.uid], recursive=True, external_only=False)


def test_a_child_is_one_request_and_a_beginning_of_a_uid_is_none(server, start, asked):
    results = server.client("processed")
    begin_run(TiledWriter(results, normalizer=None, batch_size=1), start)
    asked.clear()
    assert get_child(results, start["uid"]).metadata["start"] == start
    with pytest.raises(KeyError):
        get_child(results, start["uid"][:8])
    assert len(asked) == 2
    assert type(results).__getitem__ is not Container.__getitem__, "else it is not needed"


def test_the_parameters_of_a_search_find_what_the_search_finds(server, start):
    results = server.client("processed")
    begin_run(TiledWriter(results, normalizer=None, batch_size=1), start)
    assert query_parameters(results) == {}
    found = results.search(Key("start.uid") == start["uid"]).search(Key("start.time") > 1.0)
    answer = results.context.http_client.get(
        results.item["links"]["search"], params=query_parameters(found)
    )
    assert [item["id"] for item in answer.json()["data"]] == [start["uid"]] == list(found)


class Gone:
    """A node whose server has died."""

    uri = "http://127.0.0.1:9/run"

    def close_stream(self):
        raise httpx.ConnectError("connection refused")


def close_run() -> None:
    """End a run as the plugins' own writer does."""
    nodes = ("_internal_arrays", "_internal_tables", "_sres_nodes", "_desc_nodes")
    run = SimpleNamespace(root_node=Gone(), **{name: {} for name in nodes})
    _RunWriter._close_stream_tree(run)


def test_a_server_that_dies_while_a_run_is_closed_is_one_error_and_no_traceback(caplog):
    def ours() -> None:
        refused = pytest.raises(Unreachable, match="does not answer: connection refused")
        with refused, translate_tiled_errors("http://127.0.0.1:9"):
            close_run()

    def anothers() -> None:
        with pytest.raises(httpx.ConnectError):
            close_run()

    ours()
    assert caplog.text == ""
    with translate_tiled_errors("http://127.0.0.1:9"):
        other = threading.Thread(target=anothers)
        other.start()
        other.join()
    anothers()
    told = [record for record in caplog.records if "Failed to close" in record.getMessage()]
    assert len(told) == 2, "a session's own writers of raw runs log as ever"
    assert {record.levelno for record in told} == {logging.ERROR}
