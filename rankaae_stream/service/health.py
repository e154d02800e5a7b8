"""Answer, over HTTP on this machine, whether a service lives, is ready, and how it is.

``/healthz`` says that the process answers, ``/readyz`` whether runs are answered now and why
not, ``/status`` everything, and ``/metrics`` the same for Prometheus. Nothing can be changed
from here, no request has a body, and no name of a sample or a run is told.

A page of another site may call a server of this machine (see `dashboard.guard`), and any
program here may be slow. The Host header must be this server's; a connection answers one
request and ends; it has `SECONDS`; and where all are taken, the oldest makes room.
"""

import io
import json
import os
import socket
import threading
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import fields
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler
from socketserver import TCPServer, ThreadingMixIn
from time import monotonic, time
from typing import Any, Protocol, cast

from rankaae_stream.dashboard.guard import read_authority
from rankaae_stream.errors import ConfigurationError, describe
from rankaae_stream.printable import get_logger, printable
from rankaae_stream.service.state import ServiceState

__all__ = ["HealthServer", "problems", "status"]

logger = get_logger(__name__)

UNSENT = 600.0
"""Seconds that a final result may wait: Tiled's restart takes less, and nobody is called for it."""

HOST = "127.0.0.1"
SECONDS = 5.0
"""For a request's head, and again for its answer to be read."""
LARGEST = 8 * 1024
"""Bytes of a request's head."""
MOST = 16
"""Connections at one time, each with a thread."""
ATTEMPTS = 4
"""How often an older connection is ended to make room for one, with 0.05 s to do so."""


def problems(state: ServiceState, now: float) -> list[str]:
    """Return why a service is not ready, a sentence each; none where it is.

    A short outage of Tiled is none: results wait on the disk, up to `UNSENT`. That documents
    wait is none either, as long as the worker runs.

    Parameters
    ----------
    state : ServiceState
    now : float
        Seconds since the epoch.
    """
    found: list[str] = []
    if state.worker == "starting":
        found.append("the worker is starting")
    elif state.worker != "running":
        found.append(f"the worker has {state.worker}")
    elif not state.models:
        found.append("no model is loaded")
    if state.source_failing:
        found.append(f"nothing comes from {state.source}: {state.source_failing}")
    waited = now - state.oldest_unsent if state.unsent and state.oldest_unsent else 0.0
    if waited > UNSENT:
        reason = f": {state.failing}" if state.failing else ""
        found.append(
            f"{state.unsent} results are not sent, the oldest for {waited / 60:.0f} min{reason}"
        )
    elif state.failing and not state.unsent:
        found.append(state.failing)
    return [printable(sentence) for sentence in found]


def status(state: ServiceState, now: float) -> dict[str, Any]:
    """Return a state as JSON has it, with what it means: `problems`, and ages in seconds.

    Examples
    --------
    >>> since = status(ServiceState("iss", "ab12", began=40.0), 100.0)["seconds_since"]
    >>> since["began"], since["last_document"]
    (60.0, None)
    """
    values = {field.name: getattr(state, field.name) for field in fields(state)}
    plain = {
        name: dict(cast("Mapping[str, Any]", value)) if isinstance(value, Mapping) else value
        for name, value in values.items()
    }
    times = ("began", "last_document", "last_result", "oldest_waiting", "oldest_unsent")
    found = problems(state, now)
    return {
        "ready": not found,
        "problems": found,
        **plain,
        "seconds_since": {name: _age(values[name], now) for name in times},
    }


def _age(moment: float, now: float) -> float | None:
    return round(max(now - moment, 0.0), 3) if moment else None


class Metrics(Protocol):
    """What Prometheus reads."""

    def page(self) -> tuple[str, bytes]:
        """Return the content type and the text."""
        ...


class HealthServer:
    """A server on this machine's loopback, in threads of its own.

    Parameters
    ----------
    state : callable
        Returns the state now; called in several threads.
    metrics : ServiceMetrics
    port : int
        0 for a free one.
    clock : callable
        Seconds since the epoch.

    Raises
    ------
    ConfigurationError
        At once, when the port cannot be had.
    """

    def __init__(
        self,
        state: Callable[[], ServiceState],
        metrics: Metrics,
        port: int = 0,
        *,
        clock: Callable[[], float] = time,
    ) -> None:
        try:
            self._server = _Server(port, state, metrics, clock)
        except (OSError, OverflowError) as error:
            raise ConfigurationError(
                f"the health server cannot listen on {HOST}:{port} ({describe(error)}); "
                "choose another port, or 0 for a free one"
            ) from error
        self.port = self._server.port
        self._thread = threading.Thread(
            target=self._server.serve_forever, args=(0.1,), name="health", daemon=True
        )

    @property
    def address(self) -> str:
        """Where it answers, ``http://127.0.0.1:PORT``."""
        return f"http://{HOST}:{self.port}"

    def start(self) -> "HealthServer":
        """Begin to answer."""
        self._thread.start()
        return self

    def close(self) -> None:
        """Answer nobody any more."""
        if self._thread.is_alive():
            self._server.shutdown()
            self._thread.join()
        self._server.server_close()

    def __enter__(self) -> "HealthServer":
        return self.start()

    def __exit__(self, *exc_info: object) -> None:
        self.close()


class _Server(ThreadingMixIn, TCPServer):
    """Give each connection a thread, of which there are `MOST`."""

    # HTTPServer is not used: it asks the name server for this machine's name.
    daemon_threads = True
    block_on_close = False
    # On Windows another program could take over the port by this.
    allow_reuse_address = os.name == "posix"
    request_queue_size = 2 * MOST

    def __init__(
        self,
        port: int,
        state: Callable[[], ServiceState],
        metrics: Metrics,
        clock: Callable[[], float],
    ) -> None:
        self.state, self.metrics, self.clock = state, metrics, clock
        self._free = threading.BoundedSemaphore(MOST)
        self._lock = threading.Lock()
        self._open: dict[socket.socket, None] = {}
        super().__init__((HOST, port), _Handler)
        self.port = int(self.socket.getsockname()[1])

    def process_request(self, request: Any, client_address: Any) -> None:
        """Answer in a thread; where all are taken, end the connection that has had one longest."""
        if not self._free.acquire(blocking=False) and not self._make_room():
            self.shutdown_request(request)
            return
        with self._lock:
            self._open[request] = None
        try:
            super().process_request(request, client_address)
        except RuntimeError:  # no thread can be started
            self._forget(request)
            raise

    def process_request_thread(self, request: Any, client_address: Any) -> None:
        """Answer, and let the next have this thread's place."""
        try:
            super().process_request_thread(request, client_address)
        finally:
            self._forget(request)

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Note what went wrong, such as a client that left; the service is not affected."""
        del request, client_address
        logger.debug("a request for the service's health failed", exc_info=True)

    def server_close(self) -> None:
        """Close the port and what is open."""
        super().server_close()
        while self._end_oldest():
            pass

    def _forget(self, request: socket.socket) -> None:
        with self._lock:
            self._open.pop(request, None)
        self._free.release()

    def _make_room(self) -> bool:
        """End the oldest connection and take its place; False where no thread ends."""
        for _ in range(ATTEMPTS):
            self._end_oldest()
            if self._free.acquire(timeout=0.05):
                return True
        return False  # the state itself hangs

    def _end_oldest(self) -> bool:
        with self._lock:
            oldest = next(iter(self._open), None)
            if oldest is None:
                return False
            del self._open[oldest]
            with suppress(OSError):  # the other side has left
                oldest.shutdown(socket.SHUT_RDWR)  # its thread reads the end, and closes it
            return True


class _Handler(BaseHTTPRequestHandler):
    """Answer one request."""

    server_version = "rankaae-stream"
    sys_version = ""

    def handle(self) -> None:
        """Read the head of a request within bounds, then answer it."""
        head = self._head()
        if head:
            self.connection.settimeout(SECONDS)
            self.rfile = io.BytesIO(head)
            self.handle_one_request()

    def do_GET(self) -> None:
        """Answer a request that names this server."""
        path = self.path.partition("?")[0]
        answer = {
            "/healthz": self._alive,
            "/readyz": self._ready,
            "/status": self._status,
            "/metrics": self._metrics,
        }.get(path)
        if not self._is_ours():
            self._send_json(HTTPStatus.FORBIDDEN, {"detail": "this server has another name"})
        elif (
            self.headers.get("Transfer-Encoding") or self.headers.get("Content-Length", "0") != "0"
        ):
            self._send_json(HTTPStatus.BAD_REQUEST, {"detail": "a request here has no body"})
        elif answer is None:
            detail = "there are /healthz, /readyz, /status and /metrics"
            self._send_json(HTTPStatus.NOT_FOUND, {"detail": detail})
        else:
            try:
                answer()
            except OSError:
                raise  # the client left
            except Exception as error:
                logger.exception("the state of the service cannot be told")
                found = [f"its state cannot be told: {printable(describe(error))}"]
                unknown = {"ready": False, "problems": found}
                self._send_json(HTTPStatus.SERVICE_UNAVAILABLE, unknown)

    def send_error(self, code: int, message: str | None = None, explain: str | None = None) -> None:
        """Refuse what is no GET, without repeating it."""
        del message, explain
        if code == HTTPStatus.NOT_IMPLEMENTED:
            code = HTTPStatus.METHOD_NOT_ALLOWED
        self._send_json(HTTPStatus(code), {"detail": HTTPStatus(code).phrase})

    def log_message(self, format: str, *args: Any) -> None:
        """Log nothing: Prometheus asks four times a minute."""

    @property
    def _service(self) -> _Server:
        return cast("_Server", self.server)

    def _alive(self) -> None:
        self._send_json(HTTPStatus.OK, {"alive": True})

    def _ready(self) -> None:
        found = problems(self._service.state(), self._service.clock())
        code = HTTPStatus.SERVICE_UNAVAILABLE if found else HTTPStatus.OK
        self._send_json(code, {"ready": not found, "problems": found})

    def _status(self) -> None:
        self._send_json(HTTPStatus.OK, status(self._service.state(), self._service.clock()))

    def _metrics(self) -> None:
        kind, text = self._service.metrics.page()
        self._send(HTTPStatus.OK, kind, text)

    def _is_ours(self) -> bool:
        """Return whether a request names this server and comes from no page of another site."""
        named = self.headers.get_all("Host", [])
        asked = read_authority(named[0]) if len(named) == 1 else None
        if asked is None or "Origin" in self.headers:  # this server has no pages
            return False
        return asked.host in (HOST, "localhost") and (asked.port or 80) == self._service.port

    def _head(self) -> bytes:
        """Return the head of a request; empty where it is too slow or too large."""
        deadline, head = monotonic() + SECONDS, b""
        while b"\r\n\r\n" not in head and b"\n\n" not in head:
            left = deadline - monotonic()
            if left <= 0 or len(head) > LARGEST:
                return b""
            self.connection.settimeout(left)
            try:
                more = self.connection.recv(LARGEST)
            except OSError:
                return b""
            if not more:
                return b""
            head += more
        return head

    def _send_json(self, code: HTTPStatus, value: Mapping[str, Any]) -> None:
        self._send(code, "application/json", json.dumps(value).encode() + b"\n")

    def _send(self, code: HTTPStatus, kind: str, body: bytes) -> None:
        self.close_connection = True
        self.request_version = "HTTP/1.0"  # also where the request named none: one has headers
        self.send_response(code)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(body)))
        self.send_header("Cache-Control", "no-store")
        self.send_header("X-Content-Type-Options", "nosniff")
        self.send_header("Connection", "close")
        if code == HTTPStatus.METHOD_NOT_ALLOWED:
            self.send_header("Allow", "GET")
        self.end_headers()
        self.wfile.write(body)
