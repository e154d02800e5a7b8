"""Serve two trees by Tiled over HTTP, in one child process.

``raw`` takes the scans and ``processed`` the results. Each tree has its own
catalog and its own table database: two writers on one embedded database lose
rows or stall. A production beamline has a Tiled server of its own; this one is
for a demo, for tests and for a single instrument.
"""

import json
import os
import secrets
import shutil
import socket
import subprocess
import sys
import tempfile
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Sequence
from contextlib import suppress
from ipaddress import ip_address
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from rankaae_stream.dashboard.guard import read_authority
from rankaae_stream.errors import ConfigurationError
from rankaae_stream.private import make_private, open_private, private_folder
from rankaae_stream.server import child
from rankaae_stream.server.configuration import TREES, configuration

__all__ = ["EmbeddedServer"]

CONFIG, LOG = "tiled.json", "tiled.log"
LOG_LINES = 15


class EmbeddedServer:
    """Run a Tiled server as a child process, as a context manager or by `start` and `stop`.

    The child runs in its own session, so that Ctrl-C on a scan does not reach
    it, and ends with its parent, however that ends. Started again after a stop
    it has the same port, the same key and the same data.

    Parameters
    ----------
    directory : Path or str, optional
        Where the data stay; a temporary directory, removed at the end, where
        none is given.
    host, port : str, int
        Port 0 takes a free one and keeps it over restarts.
    api_key : str, optional
        Letters and digits; a random one where none is given. Only the child's
        environment sees it: no file, no command line, no log.
    allow_anonymous_access : bool, optional
        Whether reading needs no key; by default only on a loopback host.
    timeout : float
        Seconds that a start may take.
    readable : sequence of Path
        Folders from which raw runs' own files are served, HDF5 and those of pizza boxes.
    names : sequence of str
        Names under which the server is asked, beside its addresses: ``NAME`` or ``NAME:PORT``.
        Requests under other names, and those of other sites' pages, are refused.
    extra : dict, optional
        Further keys of Tiled's configuration, e.g. ``routers``.

    Examples
    --------
    >>> with EmbeddedServer() as server:  # doctest: +SKIP
    ...     RE.subscribe(TiledWriter(server.client("raw"), batch_size=1))
    """

    def __init__(
        self,
        directory: Path | str | None = None,
        *,
        host: str = "127.0.0.1",
        port: int = 0,
        api_key: str | None = None,
        allow_anonymous_access: bool | None = None,
        timeout: float = 60.0,
        readable: Sequence[Path | str] = (),
        names: Sequence[str] = (),
        extra: dict[str, Any] | None = None,
    ) -> None:
        self.host = host
        self.port = port
        self.api_key = api_key or secrets.token_hex(32)
        if not self.api_key.isalnum():
            raise ConfigurationError(
                "the Tiled API key may hold letters and digits only; "
                "make one with: openssl rand -hex 32"
            )
        if allow_anonymous_access is None:
            allow_anonymous_access = _is_loopback(host)
        self.allow_anonymous_access = allow_anonymous_access
        self.timeout = timeout
        self._readable = tuple(Path(folder).expanduser().resolve() for folder in readable)
        self._names = (*names, *_names_of(host))
        for name in names:
            if read_authority(name) is None:
                raise ConfigurationError(
                    f"{name!r} is no name of a server; write NAME or NAME:PORT, without http://"
                )
        self._extra = dict(extra or {})
        self._given = Path(directory).expanduser().resolve() if directory is not None else None
        self._directory: Path | None = self._given
        self._process: subprocess.Popen[bytes] | None = None
        self._clients: dict[str, Any] = {}
        self._lock = threading.Lock()

    @property
    def directory(self) -> Path:
        """Return the folder with the data, the configuration and the log."""
        if self._directory is None:
            raise ConfigurationError("the embedded Tiled server has no directory before start()")
        return self._directory

    @property
    def uri(self) -> str:
        """Return the address without the key, e.g. ``http://127.0.0.1:40123``."""
        host = {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(self.host, self.host)
        host = f"[{host}]" if ":" in host else host
        return f"http://{host}:{self.port}"

    @property
    def pid(self) -> int | None:
        """Return the process id of the running child, None while there is none."""
        return self._process.pid if self.running and self._process is not None else None

    @property
    def running(self) -> bool:
        """Return whether the child process is alive."""
        return self._process is not None and self._process.poll() is None

    def client(self, tree: str) -> Any:
        """Return the Tiled client of one tree, ``raw`` or ``processed``, with the key to write.

        It is the same one each time, after a restart too; `close` closes it.
        """
        from tiled import client

        if tree not in TREES:
            raise ConfigurationError(f"no tree {tree!r}; there are {' and '.join(TREES)}")
        with self._lock:
            if tree not in self._clients:
                # The child is on this machine: a proxy in the environment is not for it.
                self._clients[tree] = client.from_uri(
                    f"{self.uri}/api/v1/metadata/{tree}", api_key=self.api_key, trust_env=False
                )
            return self._clients[tree]

    def start(self) -> Self:
        """Start the child and wait until it answers.

        Raises
        ------
        ConfigurationError
            When the port is taken, the directory cannot be used, or the child
            ends or stays silent; the message holds the last lines of its log.
        """
        if self.running:
            return self
        self.stop()  # one that was killed still holds a pipe
        self._make_directory()
        self.port = _free_port(self.host, self.port)
        try:
            self._launch()
            self._wait_until_ready()
        except BaseException:
            self.stop()
            raise
        return self

    def wait(self) -> None:
        """Wait as long as the child runs; Ctrl-C ends the waiting, not the child.

        Raises
        ------
        ConfigurationError
            When the child ends by itself; the message holds the last lines of its log.
        """
        if self._process is not None:
            raise self._failed(f"ended with exit code {self._process.wait()}")

    def stop(self, timeout: float = 10.0) -> None:
        """End the child, by force after `timeout` seconds; data in a given directory stay.

        A temporary directory stays too until `close` or the end of the `with`
        block, so that the server can be started again.
        """
        process, self._process = self._process, None
        if process is None:
            return
        process.terminate()
        try:
            process.wait(timeout)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
        if process.stdin is not None:
            process.stdin.close()

    def close(self) -> None:
        """Stop, close the clients, and remove the directory where it was a temporary one."""
        self.stop()
        with self._lock:
            for client in self._clients.values():
                client.context.close()
            self._clients.clear()
        if self._given is None and self._directory is not None:
            shutil.rmtree(self._directory, ignore_errors=True)
            self._directory = None

    def __enter__(self) -> Self:
        try:
            return self.start()
        except BaseException:
            self.close()
            raise

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()

    def _make_directory(self) -> None:
        if self._directory is None:
            self._directory = Path(tempfile.mkdtemp(prefix="rankaae-stream-"))
        content = configuration(
            self._directory,
            host=self.host,
            port=self.port,
            allow_anonymous_access=self.allow_anonymous_access,
            readable=self._readable,
        )
        try:
            private_folder(self._directory)
            for tree in TREES:
                private_folder(self._directory / tree)
                for path in (self._directory / tree).iterdir():
                    make_private(path)  # databases and files of an earlier version
            with open(self._directory / CONFIG, "w", opener=open_private) as file:
                json.dump(content | self._extra, file, indent=1)
        except OSError as error:
            raise ConfigurationError(
                f"the embedded Tiled server cannot use {self._directory}: {error.strerror}; "
                "give a directory that you may write to"
            ) from error

    def _launch(self) -> None:
        log = self.directory / LOG
        # Nothing in the working directory may be imported in place of a module: not by Python
        # (-P), nor when Tiled makes a catalog, which puts that directory before all others.
        program = str(Path(child.__file__).resolve())
        command = [sys.executable, "-P", program, str(self.directory / CONFIG)]
        command += [self.host, str(self.port), *self._names]
        with open(log, "ab", opener=open_private) as output:
            self._process = subprocess.Popen(
                command,
                cwd=self.directory,
                # a plain traceback: its last lines are what the error shows
                env={
                    **os.environ,
                    child.KEY_VARIABLE: self.api_key,
                    "TYPER_STANDARD_TRACEBACK": "1",
                },
                stdin=subprocess.PIPE,
                stdout=output,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )

    def _wait_until_ready(self) -> None:
        deadline = time.monotonic() + self.timeout
        while time.monotonic() < deadline:
            if not self.running:
                code = self._process.returncode if self._process is not None else None
                raise self._failed(f"ended with exit code {code}")
            if self._answers():
                self._confirm()
                return
            time.sleep(0.05)
        raise self._failed(f"did not answer on {self.uri} within {self.timeout:.0f} s")

    def _confirm(self) -> None:
        """Let the child know that it has started."""
        assert self._process is not None
        assert self._process.stdin is not None
        with suppress(BrokenPipeError):  # one that ended since is noticed at the next request
            self._process.stdin.write(b".")
            self._process.stdin.flush()

    def _answers(self) -> bool:
        """Return whether a server that knows our key answers (another one would say 401)."""
        request = urllib.request.Request(
            f"{self.uri}/api/v1/", headers={"Authorization": f"Apikey {self.api_key}"}
        )
        # No proxy: the address is this machine's.
        opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
        try:
            with opener.open(request, timeout=2.0) as response:
                return response.status == 200
        except (urllib.error.URLError, OSError):
            return False

    def _failed(self, what: str) -> ConfigurationError:
        code = self._process.poll() if self._process is not None else None
        if code == child.NO_TILED:
            fix = "install what is missing with: pip install 'tiled[client,server]'"
        elif code == child.BAD_CATALOG:
            fix = f"{self.directory} may hold data of another Tiled version; give another directory"
        elif code is not None and _is_taken(self.host, self.port):
            fix = "another program took the port meanwhile; start again"
        else:
            fix = "its log ends with the reason"
        lines = (self.directory / LOG).read_text(errors="replace").splitlines()[-LOG_LINES:]
        return ConfigurationError(f"the embedded Tiled server {what}; {fix}:\n" + "\n".join(lines))


def _is_loopback(host: str) -> bool:
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def _names_of(host: str) -> tuple[str, ...]:
    """Return the names that a server has by where it listens, beside the address itself."""
    if _is_loopback(host):
        return ()
    try:
        ip_address(host)
    except ValueError:
        return (host,)
    return tuple({socket.gethostname(), socket.getfqdn()})


def _is_taken(host: str, port: int) -> bool:
    try:
        return _free_port(host, port) != port
    except ConfigurationError:
        return True


def _free_port(host: str, port: int) -> int:
    """Return a port to listen on: `port` itself, or a free one for 0.

    Raises
    ------
    ConfigurationError
        When another program listens there, or the host is not this machine's.
    """
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    with socket.socket(family, socket.SOCK_STREAM) as probe:
        # the closed connections of a server that was just stopped are no obstacle
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, port))
        except (OSError, OverflowError, ValueError) as error:
            raise ConfigurationError(
                f"the embedded Tiled server cannot listen on {host} port {port}: {error}; "
                "stop what listens there, or choose port 0 for a free one"
            ) from error
        return int(probe.getsockname()[1])
