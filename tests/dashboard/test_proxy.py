"""`rankaae-stream dashboard`: the page beside a Tiled server, with the key on the proxy's side."""

import json
import os
import signal
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator

import pytest
from waiting import PATIENCE
from websockets.exceptions import InvalidHandshake
from websockets.sync.client import connect

from rankaae_stream.dashboard.proxy import Target, listen
from rankaae_stream.errors import ConfigurationError
from rankaae_stream.server.tiled_server import EmbeddedServer

pytestmark = pytest.mark.services

KEY = "0123456789abcdef" * 4
WRONG = "fedcba9876543210" * 4


def lower(headers) -> dict[str, str]:
    return {key.lower(): value for key, value in headers.items()}


class Proxy:
    """`rankaae-stream dashboard` in a process of its own."""

    def __init__(self, root, uri: str, key: str) -> None:
        program = (
            "import signal; signal.signal(signal.SIGINT, signal.default_int_handler)\n"
            "from rankaae_stream.commands.cli import app; app()"
        )
        path = os.pathsep.join([str(root), *filter(None, [os.environ.get("PYTHONPATH")])])
        environment = {**os.environ, "PYTHONPATH": path, "COLUMNS": "300"}
        environment.pop("RANKAAE_STREAM_TILED_API_KEY", None)
        environment["TILED_API_KEY"] = key
        options = ["--tiled", uri, "--port", "0", "--no-browser"]
        self.process = subprocess.Popen(
            [sys.executable, "-c", program, "dashboard", *options],
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            env=environment,
        )
        assert self.process.stdout is not None
        self.said = [self.process.stdout.readline() for _ in range(3)]
        self.page = self.said[1].strip()
        assert self.page.startswith("http://127.0.0.1:"), "".join(self.said)
        self.uri = self.page.partition("/custom/")[0]

    def ask(self, path: str, method: str = "GET", **headers: str) -> tuple[int, dict, bytes]:
        named = {key.replace("_", "-"): value for key, value in headers.items()}
        request = urllib.request.Request(self.uri + path, headers=named, method=method)
        opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
        try:
            with opener.open(request, timeout=PATIENCE) as answer:
                return answer.status, lower(answer.headers), answer.read()
        except urllib.error.HTTPError as error:
            with error:
                return error.code, lower(error.headers), error.read()

    def close(self) -> str:
        """What it printed after it had said where it is."""
        self.process.send_signal(signal.SIGINT)
        rest, _ = self.process.communicate(timeout=PATIENCE)
        return rest


@pytest.fixture(scope="module")
def tiled(tmp_path_factory) -> Iterator[EmbeddedServer]:
    """A Tiled server that nobody reads without the key."""
    folder = tmp_path_factory.mktemp("guarded")
    with EmbeddedServer(folder, api_key=KEY, allow_anonymous_access=False) as running:
        running.client("processed").create_container("a-run", metadata={"start": {"purpose": "x"}})
        yield running


@pytest.fixture(scope="module")
def proxy(root, tiled) -> Iterator[Proxy]:
    running = Proxy(root, tiled.uri, KEY)
    yield running
    assert KEY not in running.close() + "".join(running.said)


def test_the_page_and_what_it_reads_need_no_key_in_the_browser(proxy, tiled):
    status, headers, body = proxy.ask("/custom/dashboard/")
    assert (status, b"<!doctype html>" in body) == (200, True)
    status, headers, body = proxy.ask("/api/v1/search/processed?fields=")
    assert status == 200
    assert [one["id"] for one in json.loads(body)["data"]] == ["a-run"]
    assert KEY not in str(headers) + body.decode()
    assert "set-cookie" not in headers
    assert headers["x-rankaae-stream-proxy"] == "1"
    assert "date" in headers


def test_the_first_address_leads_to_the_page(proxy):
    status, _, body = proxy.ask("/?node=processed")
    assert (status, b"<!doctype html>" in body) == (200, True)


@pytest.mark.parametrize("method", ["POST", "PUT", "PATCH", "DELETE"])
def test_nothing_is_written_through_it(proxy, tiled, method):
    status, _, _ = proxy.ask("/api/v1/metadata/processed/a-run", method)
    assert status == 405
    assert "a-run" in list(tiled.client("processed"))


@pytest.mark.parametrize(
    "path",
    [
        "/api/v1/",
        "/api/v1/auth/whoami",
        "/api/v1/register/processed",
        "/api/v1/metadata/../auth/whoami",
        "/api/v1/metadata/%2e%2e/auth/whoami",
        "/api/v1/container/full/processed",
        "/api/v1/table/full/processed/a-run?format=text/html",
        "/api/v1/array/full/processed/a-run?format=json&format=html",
    ],
)
def test_only_what_the_page_reads_is_passed_on(proxy, path):
    status, _, body = proxy.ask(path)
    assert status in (403, 404)
    assert b"no more" in body or b"Not Found" in body


@pytest.mark.parametrize(
    "headers",
    [
        {"Host": "results.evil.example"},
        {"Host": "127.0.0.1:1"},
        {"Origin": "http://evil.example"},
        {"Origin": "null"},
        {"Sec_Fetch_Site": "cross-site", "Sec_Fetch_Mode": "cors"},
    ],
)
def test_another_sites_page_gets_nothing(proxy, headers):
    status, _, body = proxy.ask("/api/v1/search/processed", **headers)
    assert status == 403
    assert b"its own page on this machine only" in body


def test_a_link_from_another_page_opens_it(proxy):
    headers = {"Sec_Fetch_Site": "cross-site", "Sec_Fetch_Mode": "navigate"}
    assert proxy.ask("/custom/dashboard/", **headers)[0] == 200


def stream(proxy: Proxy, **options):
    address = f"ws{proxy.uri.removeprefix('http')}/api/v1/stream/single/processed"
    return connect(f"{address}?envelope_format=json", proxy=None, **options)


def test_a_stream_passes_and_only_to_the_page(proxy, tiled):
    with stream(proxy, origin=proxy.uri) as socket:
        assert json.loads(socket.recv(30))["type"] == "container-schema"
        tiled.client("processed").create_container("another", metadata={"start": {}})
        said = json.loads(socket.recv(30))
        assert (said["type"], said["key"]) == ("container-child-created", "another")
        assert KEY not in str(said)
    with pytest.raises(InvalidHandshake):
        stream(proxy, origin="http://evil.example").__enter__()


@pytest.fixture(scope="module")
def read(browser, tmp_path_factory):
    """What stands in an element of the page, once a part of it does."""
    with browser(tmp_path_factory.mktemp("browser")) as driver:

        def wait_for(page: str, name: str, part: str) -> str:
            if driver.current_url != page:
                driver.get(page)
            deadline = time.monotonic() + PATIENCE
            while True:
                said = driver.execute_script(
                    "return document.getElementById(arguments[0]).textContent", name
                )
                if part in said:
                    return said
                assert time.monotonic() < deadline, said
                time.sleep(0.05)

        yield wait_for


def test_the_page_lives_through_it_and_tells_when_the_server_is_away(read, proxy, tiled):
    read(proxy.page, "connection", "Live")
    tiled.stop()
    try:
        read(proxy.page, "connection", "Disconnected since")
        read(proxy.page, "banner", f"Tiled at {tiled.uri} does not answer")
    finally:
        tiled.start()
    read(proxy.page, "connection", "Live")


def test_a_key_that_the_server_does_not_know_is_told_on_the_page(root, read, tiled):
    other = Proxy(root, tiled.uri, WRONG)
    try:
        read(other.page, "connection", "Key refused")
        assert "set TILED_API_KEY" in read(other.page, "banner", "does not know the key")
    finally:
        other.close()


def test_a_key_that_the_server_does_not_know_is_told_with_the_fix(root, tiled):
    other = Proxy(root, tiled.uri, WRONG)
    try:
        status, headers, body = other.ask("/api/v1/search/processed")
        with pytest.raises(InvalidHandshake):
            stream(other).__enter__()
    finally:
        rest = other.close()
    assert status == 401
    assert headers["x-rankaae-stream-proxy"] == "1"
    sentence = json.loads(body)["detail"]
    assert "does not know the key (HTTP 401); set TILED_API_KEY" in sentence
    assert WRONG not in sentence + rest + "".join(other.said) + str(headers)


def test_a_server_that_is_away_is_told_and_its_return_is_seen(proxy, tiled):
    tiled.stop()
    try:
        status, headers, body = proxy.ask("/api/v1/search/processed")
        assert status == 502
        assert json.loads(body)["detail"] == f"Tiled at {tiled.uri} does not answer"
        assert headers["x-rankaae-stream-proxy"] == "1"
        with pytest.raises(InvalidHandshake):
            stream(proxy, origin=proxy.uri).__enter__()
        assert proxy.ask("/custom/dashboard/")[0] == 200
    finally:
        tiled.start()
    assert proxy.ask("/api/v1/search/processed")[0] == 200


def test_an_address_that_is_none_or_holds_a_secret_is_refused_without_repeating_it():
    for uri, why in [
        ("tiled.example:8000", "http://HOST:8000"),
        ("ftp://tiled.example", "http://HOST:8000"),
        ("https://me:secret@tiled.example", "put the key into"),
        ("https://tiled.example/api/v1/?api_key=secret", "put the key into"),
    ]:
        with pytest.raises(ConfigurationError, match=why) as caught:
            Target(uri)
        assert "secret" not in str(caught.value)
    assert Target("https://tiled.example/at/api/v1/metadata/x").uri == "https://tiled.example/at"
    assert "secret" not in repr(Target("https://tiled.example", "secret"))


def test_a_port_that_is_taken_is_told():
    with listen(0) as first:
        port = first.getsockname()[1]
        with pytest.raises(ConfigurationError, match=rf"port {port}.*--port 0"):
            listen(port)
