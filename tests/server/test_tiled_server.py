"""The embedded Tiled server: up, written to, down, up again, and never left behind."""

import json
import os
import signal
import socket
import stat
import subprocess
import sys
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest
from bluesky_tiled_plugins import TiledWriter
from event_model import compose_run
from tiled.queries import Key
from waiting import PATIENCE, wait_until

from rankaae_stream.errors import ConfigurationError
from rankaae_stream.server.configuration import TREES, configuration
from rankaae_stream.server.tiled_server import EmbeddedServer


def alive(pid: int) -> bool:
    """Whether a process runs; one that ended and that nobody waited for does not."""
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    status = Path(f"/proc/{pid}/stat")
    return not status.exists() or status.read_text().rpartition(")")[2].split()[0] != "Z"


def write_run(client, points: int, value: float) -> str:
    """A run with one event a point, written as it would be live."""
    writer = TiledWriter(client, batch_size=1)
    run = compose_run(metadata={"sample_name": "FeO"})
    writer("start", run.start_doc)
    keys = {
        "energy": {"dtype": "number", "shape": [], "source": "test"},
        "flat": {"dtype": "array", "shape": [64], "source": "test", "dtype_numpy": "<f8"},
    }
    stream = run.compose_descriptor(name="primary", data_keys=keys)
    writer("descriptor", stream.descriptor_doc)
    for number in range(1, points + 1):
        data = {"energy": 7000.0 + number, "flat": [float(number)] * 64}
        times = dict.fromkeys(data, time.time())
        writer("event", stream.compose_event(data=data, timestamps=times, seq_num=number))
    stop = {**run.compose_stop(), "estimates": {"oxidation_state": {"value": value}}}
    writer("stop", stop)
    return run.start_doc["uid"]


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[EmbeddedServer]:
    with EmbeddedServer(tmp_path_factory.mktemp("tiled")) as running:
        yield running


def test_both_trees_take_runs_at_the_same_time_and_give_them_back(server):
    uids: dict[str, str] = {}

    def write(tree: str) -> None:
        uids[tree] = write_run(server.client(tree), 15, 2.5)

    threads = [threading.Thread(target=write, args=(tree,)) for tree in TREES]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert set(uids) == set(TREES)
    for tree, uid in uids.items():
        client = server.client(tree)
        run = client[uid]
        assert client[-1].start["uid"] == client[uid[:8]].start["uid"] == uid
        assert list(run["primary"].read()["energy"]) == [7001.0 + i for i in range(15)]
        documents = list(run.documents())
        assert [name for name, _ in documents].count("event") == 15
        assert documents[-1][1]["estimates"]["oxidation_state"]["value"] == 2.5
        assert uid in client.search(Key("stop.estimates.oxidation_state.value") > 2.4)
        assert uid not in client.search(Key("stop.estimates.oxidation_state.value") > 2.6)


def test_reading_needs_no_key_on_loopback_and_writing_does(server):
    def status(key: str | None, method: str = "GET") -> int:
        headers = {"Content-Type": "application/json"}
        headers |= {} if key is None else {"Authorization": f"Apikey {key}"}
        body = b'{"structure_family": "container", "data_sources": [], "metadata": {}}'
        request = urllib.request.Request(
            f"{server.uri}/api/v1/metadata/raw", headers=headers, method=method, data=body
        )
        if method == "GET":
            request.data = None
        try:
            with urllib.request.urlopen(request, timeout=PATIENCE) as response:
                return response.status
        except urllib.error.HTTPError as error:
            with error:
                return error.code

    assert status(None) == status(server.api_key) == 200
    assert status("wrong") == status(None, "POST") == 401
    assert status(server.api_key, "POST") == 200


def test_the_key_is_in_no_file_and_no_command_line(server):
    for name in ("tiled.json", "tiled.log"):
        path = server.directory / name
        assert stat.S_IMODE(path.stat().st_mode) == 0o600
        assert server.api_key not in path.read_text()
    commands = Path(f"/proc/{server.pid}/cmdline")
    if commands.exists():
        assert server.api_key.encode() not in commands.read_bytes()


def test_the_child_is_in_its_own_session(server):
    assert os.getsid(server.pid) == server.pid != os.getsid(0)


@pytest.mark.slow
def test_nothing_in_the_working_directory_is_imported(tmp_path, monkeypatch):
    planted = tmp_path / "elsewhere" / "rankaae_stream"
    planted.mkdir(parents=True)
    (planted / "__init__.py").write_text("raise SystemExit('planted')")
    monkeypatch.chdir(planted.parent)
    with EmbeddedServer("data", readable=["files"]) as server:
        assert list(server.client("processed")) == []
        assert server.directory == planted.parent / "data"


def test_a_port_that_is_taken_is_told_at_once(server, tmp_path):
    with pytest.raises(ConfigurationError, match=rf"port {server.port}.*choose port 0"):
        EmbeddedServer(tmp_path, port=server.port).start()


@pytest.mark.services
def test_a_stopped_server_returns_with_its_port_its_key_and_its_data(tmp_path):
    server = EmbeddedServer(tmp_path).start()
    try:
        uid = write_run(server.client("processed"), 2, 3.0)
        before, pid = (server.uri, server.api_key), server.pid
        assert server.start() is server  # a second start of a running server does nothing
        assert server.pid == pid is not None
        server.stop()
        assert not server.running
        assert not alive(pid)
        with pytest.raises(ConnectionRefusedError):
            socket.create_connection(("127.0.0.1", server.port), timeout=PATIENCE)
        server.start()
        assert (server.uri, server.api_key) == before
        run = server.client("processed")[uid]
        assert list(run["primary"].read()["energy"]) == [7001.0, 7002.0]
        other = write_run(server.client("processed"), 1, 4.0)
        assert set(server.client("processed")) == {uid, other}
    finally:
        server.close()
    assert (tmp_path / "processed" / "catalog.db").exists()


@pytest.mark.services
def test_what_a_start_leaves_is_not_searched_for_garbage_again(tmp_path, monkeypatch):
    (tmp_path / "inside.py").write_text(
        "import gc\nfrom fastapi import APIRouter\nrouter = APIRouter()\n"
        "@router.get('/frozen')\nasync def frozen():\n    return gc.get_freeze_count()\n",
        encoding="utf-8",
    )
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    with EmbeddedServer(tmp_path / "data", extra={"routers": ["inside:router"]}) as server:
        wait_until(
            lambda: httpx.get(f"{server.uri}/custom/frozen").json() > 100_000,
            "the objects of Tiled's modules are put aside",
        )


@pytest.mark.services
def test_the_child_goes_when_its_parent_is_killed(tmp_path):
    program = (
        "import sys\n"
        "from rankaae_stream.server.tiled_server import EmbeddedServer\n"
        f"server = EmbeddedServer({str(tmp_path)!r}).start()\n"
        "print(server.pid, flush=True)\n"
        "sys.stdin.read()\n"
    )
    package = Path(sys.modules["rankaae_stream"].__file__ or "").parents[1]
    path = os.pathsep.join(filter(None, [str(package), os.environ.get("PYTHONPATH")]))
    parent = subprocess.Popen(
        [sys.executable, "-c", program],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        env={**os.environ, "PYTHONPATH": path},
    )
    with parent:
        assert parent.stdout is not None
        pid = int(parent.stdout.readline())
        assert alive(pid)
        parent.send_signal(signal.SIGKILL)
        parent.wait(10)
        wait_until(lambda: not alive(pid), "the server ends with its parent")


@pytest.mark.services
def test_a_child_that_ends_at_its_start_is_told_with_its_log(tmp_path):
    (tmp_path / "raw").mkdir()
    (tmp_path / "raw" / "catalog.db").write_text("this is no database, " * 50)
    server = EmbeddedServer(tmp_path)
    with pytest.raises(ConfigurationError, match=r"(?s)give another directory.*not a database"):
        server.start()
    assert not server.running


@pytest.mark.services
def test_a_package_that_is_missing_is_told_with_the_command_that_installs_it(tmp_path, monkeypatch):
    (tmp_path / "tiled").mkdir()
    (tmp_path / "tiled" / "__init__.py").write_text("import no_such_package\n")
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    with pytest.raises(ConfigurationError, match=r"(?s)pip install.*No module named 'no_such_pa"):
        EmbeddedServer(tmp_path / "data").start()


@pytest.mark.services
def test_a_port_that_is_taken_during_the_start_is_told(tmp_path, monkeypatch):
    from rankaae_stream.server import tiled_server

    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        taken, really = other.getsockname()[1], tiled_server._free_port
        answers = iter([taken])
        monkeypatch.setattr(
            tiled_server, "_free_port", lambda *where: next(answers, None) or really(*where)
        )
        with pytest.raises(ConfigurationError, match="took the port meanwhile; start again"):
            EmbeddedServer(tmp_path, port=taken).start()


def test_a_temporary_directory_goes_when_the_start_fails(tmp_path, monkeypatch):
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    with pytest.raises(ConfigurationError, match="within 0 s"):
        EmbeddedServer(timeout=0.0).__enter__()
    assert list(tmp_path.iterdir()) == []


def test_an_unusable_directory_is_told(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(ConfigurationError, match="give a directory that you may write to"):
        EmbeddedServer(tmp_path / "file" / "data").start()


def test_mistakes_are_told_before_anything_starts(tmp_path):
    with pytest.raises(ConfigurationError, match="letters and digits"):
        EmbeddedServer(tmp_path, api_key="no-good")
    with pytest.raises(ConfigurationError, match="cannot listen on"):
        EmbeddedServer(tmp_path, port=70000).start()
    with pytest.raises(ConfigurationError, match="raw and processed"):
        EmbeddedServer(tmp_path).client("results")
    assert not (tmp_path / "tiled.log").exists()


def test_anonymous_reading_is_for_loopback_only_unless_asked_for():
    assert EmbeddedServer().allow_anonymous_access
    assert EmbeddedServer(host="::1").allow_anonymous_access
    assert not EmbeddedServer(host="0.0.0.0").allow_anonymous_access
    assert not EmbeddedServer(host="beamline.example").allow_anonymous_access
    assert not EmbeddedServer(allow_anonymous_access=False).allow_anonymous_access
    assert EmbeddedServer(host="0.0.0.0", port=1234).uri == "http://127.0.0.1:1234"
    assert EmbeddedServer(host="::1", port=1234).uri == "http://[::1]:1234"


def test_no_two_trees_share_a_database(tmp_path):
    content = configuration(tmp_path, host="127.0.0.1", port=1, allow_anonymous_access=False)
    stores = [
        store
        for tree in content["trees"]
        for store in (tree["args"]["uri"], *tree["args"]["writable_storage"])
    ]
    assert len(set(stores)) == 6
    assert json.loads(json.dumps(content)) == content
