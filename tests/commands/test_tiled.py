"""`rankaae-stream tiled`: the embedded server as one command."""

import os
import signal
import subprocess
import sys
from io import StringIO

import pytest
from rich.console import Console
from tiled.client import from_uri
from typer.testing import CliRunner
from waiting import PATIENCE

from rankaae_stream.commands.cli import app
from rankaae_stream.commands.tiled import run_tiled
from rankaae_stream.errors import ConfigurationError
from rankaae_stream.server.tiled_server import EmbeddedServer

pytestmark = pytest.mark.services

KEY = "0123456789abcdef" * 4
VARIABLE = "RANKAAE_STREAM_TILED_API_KEY"


@pytest.mark.parametrize("how", [signal.SIGINT, signal.SIGTERM], ids=["Ctrl-C", "SIGTERM"])
def test_the_command_serves_says_where_and_ends_cleanly(tmp_path, root, how):
    # A shell that starts these tests in the background has made them deaf to Ctrl-C.
    program = (
        "import signal; signal.signal(signal.SIGINT, signal.default_int_handler)\n"
        "from rankaae_stream.commands.cli import app; app()"
    )
    command = [sys.executable, "-c", program, "tiled", str(tmp_path), "--port", "0"]
    path = os.pathsep.join(filter(None, [str(root), os.environ.get("PYTHONPATH")]))
    running = subprocess.Popen(
        command,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        env={**os.environ, VARIABLE: KEY, "PYTHONPATH": path},
    )
    assert running.stdout is not None
    try:
        said = [running.stdout.readline()]
        while not said[-1].startswith("Ctrl-C ends it"):
            said.append(running.stdout.readline())
            assert said[-1], "".join(said)
        (address,) = {word for word in said[0].split() if word.startswith("http")}
        assert f"{address}/custom/dashboard/" in "".join(said).split()
        client = from_uri(address)
        assert set(client) == {"raw", "processed"}
        client.context.http_client.close()
        running.send_signal(how)
        rest = running.stdout.read()
        assert running.wait(PATIENCE) == 0
    finally:
        running.kill()
        running.communicate()
    assert rest == "stopping the server\n"
    assert KEY not in "".join(said)
    assert VARIABLE in "".join(said)
    assert (tmp_path / "processed" / "catalog.db").exists()


def test_without_a_key_it_says_how_to_make_one(tmp_path):
    done = CliRunner().invoke(app, ["tiled", str(tmp_path)])
    assert done.exit_code == 1
    said = " ".join(done.output.split())
    assert "export RANKAAE_STREAM_TILED_API_KEY=$(openssl rand -hex 32)" in said
    assert list(tmp_path.iterdir()) == []


def test_a_folder_of_files_that_is_not_there_is_told(tmp_path, monkeypatch):
    monkeypatch.setenv(VARIABLE, KEY)
    command = ["tiled", str(tmp_path / "data"), "--files", str(tmp_path / "raw")]
    done = CliRunner().invoke(app, command)
    assert done.exit_code == 1
    assert f"there is no folder {tmp_path / 'raw'}" in " ".join(done.output.split())
    assert list(tmp_path.iterdir()) == []


def test_a_server_that_ends_by_itself_is_told(tmp_path, monkeypatch):
    monkeypatch.setenv(VARIABLE, KEY)
    real = EmbeddedServer.start

    def dies(self):
        started = real(self)
        os.kill(self.pid, signal.SIGKILL)
        return started

    monkeypatch.setattr(EmbeddedServer, "start", dies)
    with pytest.raises(ConfigurationError, match="ended with exit code -9"):
        run_tiled(Console(file=StringIO()), tmp_path, port=0)


def test_elsewhere_than_on_this_machine_reading_needs_the_key(tmp_path, monkeypatch):
    monkeypatch.setenv(VARIABLE, KEY)

    def interrupted(self):
        raise KeyboardInterrupt

    monkeypatch.setattr(EmbeddedServer, "wait", interrupted)
    console = Console(file=StringIO(), width=300)
    run_tiled(console, tmp_path, host="0.0.0.0", port=0)
    assert f"reading the key in {VARIABLE} too; the connection is not encrypted" in (
        console.file.getvalue()
    )
