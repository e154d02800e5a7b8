"""What is private to Tiled and its plugins is as this project needs it."""

import contextlib
import gzip
import http.server
import logging
import threading
import tracemalloc
import uuid
from types import SimpleNamespace

import httpx
import pytest
from answers import answer
from bluesky_tiled_plugins import TiledWriter
from bluesky_tiled_plugins.writing.tiled_writer import _RunWriter
from tiled.client.container import Container
from tiled.queries import Key
from waiting import PATIENCE

from rankaae_stream.results import tiled_client
from rankaae_stream.results.sinks import Postponed, Unreachable
from rankaae_stream.results.tiled_client import (
    begin_run,
    get_child,
    holds_tables_of,
    open_context,
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


# ---- an answer that is larger than it looks ---------------------------------------------


@pytest.fixture
def hostile():
    """A server that answers everything with what a test gives: a body and headers."""
    given = SimpleNamespace(asked=[], status=200, body=b"", headers={})

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self):
            given.asked.append(self.path)
            self.send_response(given.status)
            for name, value in {"Content-Length": len(given.body), **given.headers}.items():
                self.send_header(name, str(value))
            self.end_headers()
            with contextlib.suppress(ConnectionError):
                self.wfile.write(given.body)

        def log_message(self, *_):
            pass

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        given.uri = f"http://127.0.0.1:{server.server_port}"
        yield given
        server.shutdown()
        thread.join()


def test_metadata_that_unpack_to_more_than_there_is_room_for_are_refused_early(hostile):
    hostile.body = gzip.compress(bytes(1024**3), compresslevel=1)
    hostile.headers = {"Content-Type": "application/json", "Content-Encoding": "gzip"}
    tracemalloc.start()
    try:
        with pytest.raises(Postponed, match=r"answers GET /api/v1/ with more than 64 MB"):
            open_context(hostile.uri, None, PATIENCE)
        assert tracemalloc.get_traced_memory()[1] < 256 * 1024**2
    finally:
        tracemalloc.stop()


def test_what_a_redirect_brings_along_is_counted_too(hostile):
    hostile.body, hostile.status = gzip.compress(bytes(80 * 1024**2), compresslevel=1), 307
    hostile.headers = {
        "Location": "/elsewhere",
        "Content-Type": "application/json",
        "Content-Encoding": "gzip",
    }
    with pytest.raises(Postponed, match=r"answers GET /api/v1/ with more than 64 MB"):
        open_context(hostile.uri, None, PATIENCE)


def test_a_compression_that_was_not_asked_for_is_refused(hostile):
    hostile.headers = {"Content-Type": "application/json", "Content-Encoding": "blosc2"}
    with pytest.raises(Postponed, match="not asked for, blosc2; let it"):
        open_context(hostile.uri, None, PATIENCE)


@pytest.fixture
def context(server):
    with contextlib.closing(open_context(server.uri, server.api_key, PATIENCE)[0]) as opened:
        yield opened


def test_rows_have_more_room_than_metadata_whether_read_at_once_or_in_pieces(context, monkeypatch):
    metadata = f"{context.api_uri}metadata/processed"
    monkeypatch.setattr(tiled_client, "LARGEST_TREE", 10)
    with pytest.raises(Postponed, match="more than 0 MB"):
        context.http_client.get(metadata)
    with (
        context.http_client.stream("GET", metadata) as response,
        pytest.raises(Postponed, match="more than 0 MB"),
    ):
        b"".join(response.iter_bytes())
    monkeypatch.setattr(tiled_client, "TREES", ())
    assert context.http_client.get(metadata).json()["data"]["id"] == "processed"


def test_what_is_asked_for_is_compressed_with_gzip_only(context):
    answer = context.http_client.get(context.api_uri)
    assert answer.request.headers["accept-encoding"] == "gzip"


@pytest.mark.parametrize(
    ("given", "path", "node"),
    [
        ("", "/api/v1/", []),
        ("/", "/api/v1/", []),
        ("/api", "/api/v1/", []),
        ("/api/v1/", "/api/v1/", []),
        ("/api/v1/metadata/processed", "/api/v1/", ["processed"]),
        ("/api/v1/metadata/a/b/", "/api/v1/", ["a", "b"]),
    ],
)
def test_an_address_is_the_servers_or_a_nodes(server, given, path, node):
    context, found = open_context(f"{server.uri}{given}", server.api_key, PATIENCE)
    context.close()
    assert (context.api_uri.path, found) == (path, node)


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost"])
def test_a_server_that_leads_to_https_gets_the_key_there_only(hostile, host):
    hostile.status, hostile.headers = 307, {"Location": f"https://{host}:1/"}
    same = host == "127.0.0.1"
    with pytest.raises(Unreachable if same else Exception) as caught:
        open_context(hostile.uri, "secret" * 4, 5.0)
    assert hostile.asked == (["/"] if same else ["/", "/api/v1/"])
    assert "secret" not in str(caught.value)
