"""The facility's configuration, against real PostgreSQL and Redis on this machine."""

import os
import shutil
import socket
import subprocess
import sys
import urllib.error
import urllib.request
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import yaml
from postgres import free_port, postgresql, programs
from tiled.client import from_uri
from tiled.queries import Key
from waiting import PATIENCE, wait_until

from rankaae_stream.callback import DescriptorStream
from rankaae_stream.dashboard import PATH
from rankaae_stream.results.sinks import Unavailable
from rankaae_stream.results.tiled_sink import TiledSink
from rankaae_stream.results.what_if import compose_what_if

pytestmark = pytest.mark.services

PASSWORD = "of-a-service-account"
WRITE = ["read:metadata", "read:data", "create:node", "write:metadata", "write:data", "delete:node"]
READ = ["read:metadata", "read:data"]
FOLLOW = [*READ, "create:apikeys", "revoke:apikeys"]


def listens(port: int) -> bool:
    try:
        socket.create_connection(("127.0.0.1", port), timeout=1).close()
    except OSError:
        return False
    return True


@pytest.fixture(scope="module")
def postgres(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """A PostgreSQL of its own with the four databases; its address without one of them."""
    if programs() is None:
        pytest.skip("PostgreSQL is not installed: apt-get install postgresql")
    with postgresql(tmp_path_factory.mktemp("postgres")) as address:
        yield address


@pytest.fixture(scope="module")
def redis(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """A Redis of its own, in memory."""
    program = shutil.which("redis-server")
    if program is None:
        pytest.skip("Redis is not installed: apt-get install redis-server")
    folder, port = tmp_path_factory.mktemp("redis"), free_port()
    options = {"port": str(port), "bind": "127.0.0.1", "save": "", "dir": str(folder)}
    command = [program, *(word for key, value in options.items() for word in (f"--{key}", value))]
    running = subprocess.Popen(command, stdout=subprocess.DEVNULL)
    wait_until(lambda: listens(port), "Redis listens")
    yield f"redis://127.0.0.1:{port}"
    running.terminate()
    running.wait(PATIENCE)


@dataclass(frozen=True)
class Facility:
    """The server, and the keys that its README says how to make."""

    uri: str
    write: str
    read: str
    follow: str
    log: Path


@pytest.fixture(scope="module")
def facility(
    postgres: str, redis: str, root: Path, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Facility]:
    folder, port = tmp_path_factory.mktemp("facility"), free_port()
    content = yaml.safe_load((root / "profiles/tiled/facility.yml").read_text())
    # This machine has no such accounts; all else is the file as it stands.
    content["authentication"]["providers"][0] |= {
        "authenticator": "tiled.authenticators:DictionaryAuthenticator",
        "args": {"users_to_passwords": {"xas": PASSWORD}},
    }
    (folder / "config.yml").write_text(yaml.safe_dump(content))
    log = folder / "log"
    with log.open("wb") as output:
        running = subprocess.Popen(
            [
                *(sys.executable, "-m", "tiled", "serve", "config", str(folder / "config.yml")),
                *("--port", str(port)),
            ],
            stdout=output,
            stderr=subprocess.STDOUT,
            env={
                **os.environ,
                "TILED_POSTGRES": postgres,
                "TILED_REDIS": redis,
                "TILED_FILES": str(folder),
                "TILED_SECRET": "0123456789abcdef" * 4,
            },
        )
    uri = f"http://127.0.0.1:{port}"
    try:
        wait_until(lambda: listens(port) or running.poll() is not None, "Tiled listens")
        assert running.poll() is None, log.read_text()[-3000:]
        yield Facility(uri, *(make_key(uri, scopes) for scopes in (WRITE, READ, FOLLOW)), log)
    finally:
        running.terminate()
        running.wait(PATIENCE)


def make_key(uri: str, scopes: list[str]) -> str:
    """As in profiles/tiled/README.md, but for the password's prompt."""
    from tiled.client.context import Context

    context = Context.from_any_uri(uri)[0]
    (provider,) = context.server_info.authentication.providers
    answer = context.http_client.post(
        provider.links["auth_endpoint"],
        data={"username": "xas", "password": PASSWORD},
    )
    answer.raise_for_status()
    context.configure_auth(answer.json(), remember_me=False)
    key = context.create_api_key(scopes=scopes, note="a test")["secret"]
    context.http_client.close()
    return key


def status(uri: str, key: str | None) -> int:
    request = urllib.request.Request(f"{uri}/api/v1/metadata/processed")
    if key:
        request.add_header("Authorization", f"Apikey {key}")
    try:
        with urllib.request.urlopen(request, timeout=PATIENCE) as response:
            return response.status
    except urllib.error.HTTPError as error:
        with error:
            return error.code


@pytest.fixture
def sink(facility):
    made = []

    def connect(key: str) -> TiledSink:
        made.append(TiledSink(facility.uri, "processed", key, key_variable="THE_KEY"))
        return made[-1]

    yield connect
    for one in made:
        one.close()


@pytest.fixture(scope="module")
def curves(analysis):
    import numpy as np

    model = analysis.models["Mn K"]  # of iron they are there with the first result
    return compose_what_if(model.card, np.zeros(model.card.grid.points), model.what_if)


@pytest.mark.filterwarnings("ignore:connect.. must be used as a context manager")  # Tiled's
def test_a_scan_is_answered_and_its_result_streams_and_is_found(
    facility, tmp_path, documents, hematite
):
    reader = from_uri(f"{facility.uri}/api/v1/metadata/processed", api_key=facility.read)
    follower = from_uri(f"{facility.uri}/api/v1/metadata/processed", api_key=facility.follow)
    over: list[str] = []

    def updated(update: Any) -> None:
        if update.metadata.get("stop"):
            over.append(update.metadata["start"].get("original_run_uid", ""))

    subscription = follower.subscribe()
    subscription.child_metadata_updated.add_callback(updated)
    subscription.start_in_thread()
    settings = {"tiled": {"uri": facility.uri}, "tiled_api_key": facility.write}
    with DescriptorStream("sim", spool=tmp_path, **settings) as stream:
        for item in documents(*hematite, uid="facility", sample_name="Fe2O3"):
            stream(*item)
        assert stream.wait_idle(PATIENCE), stream.status()
        assert stream.status().unsent == 0, stream.status()
    wait_until(lambda: "facility" in over, "the subscriber hears of it, by Redis")
    subscription.disconnect()
    follower.context.http_client.close()
    (run,) = reader.search(Key("start.original_run_uid") == "facility").values()
    value = run.stop["summary"]["estimates"]["oxidation_state"]["value"]
    assert list(reader.search(Key("stop.summary.estimates.oxidation_state.value") >= value))
    assert float(run["primary"].read()["oxidation_state"][-1]) == value
    assert run["primary"]["curves"].read().shape[1:] == (3, 256)
    assert [name for name, _ in run.documents()][-1] == "stop"
    reader.context.http_client.close()


def test_nobody_reads_without_a_key(facility):
    assert status(facility.uri, None) == 401
    assert status(facility.uri, "0" * 72) == 401
    assert status(facility.uri, facility.read) == 200


def test_the_page_is_there_for_everyone_and_what_it_reads_is_not(facility):
    with urllib.request.urlopen(f"{facility.uri}{PATH}", timeout=PATIENCE) as page:
        assert b"<!doctype html>" in page.read()
    assert status(facility.uri, None) == 401


def test_the_key_to_read_cannot_write_and_says_so(facility, sink, curves):
    with pytest.raises(Unavailable, match=r"does not let the key write \(HTTP 40[13]\).*THE_KEY"):
        sink(facility.read).final(curves)
    sink(facility.write).final(curves)
    reader = from_uri(f"{facility.uri}/api/v1/metadata/processed", api_key=facility.read)
    assert curves.uid in reader
    with pytest.raises(Exception, match=r"40[13]"):
        reader.delete_contents([curves.uid], recursive=True, external_only=False)
    reader.context.http_client.close()


def test_no_key_is_in_the_servers_log(facility):
    text = facility.log.read_text()
    assert facility.write not in text
    assert facility.read not in text
    assert facility.follow not in text
    assert PASSWORD not in text


def test_a_wrong_key_is_told(facility, sink, curves):
    with pytest.raises(Unavailable, match=r"does not know the key \(HTTP 401\); set THE_KEY"):
        sink("0" * 72).final(curves)
