"""Take documents from bluesky's 0MQ proxy.

0MQ keeps nothing: what was sent before the service had joined, or while it was away or slower
than its queue is long, is lost, and neither side is told. Runs with a gap are found by their
own numbers, and answered later by a replay of what was stored.
"""

# pyright: basic
# pyzmq's types leave out its monitor and options

import pickle
import sys
import threading
import time
from collections import Counter, deque
from ipaddress import ip_address
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import zmq
import zmq.auth
from zmq.utils.monitor import recv_monitor_message

from rankaae_stream.addresses import has_secret
from rankaae_stream.errors import ConfigurationError, describe
from rankaae_stream.layouts.base import Document
from rankaae_stream.printable import get_logger
from rankaae_stream.service.decode import (
    MOST,
    NotADocument,
    checked,
    decode,
    decode_value,
    encode,
    is_pickle,
)
from rankaae_stream.service.source import Taker, keep, refuse

__all__ = ["ZmqBus"]

logger = get_logger(__name__)

WAITING = 256 << 20
"""Bytes of messages that wait here while the taker is full or slow, at most."""
QUEUE = 16
"""Messages that wait in 0MQ itself, which counts no bytes: one may have `MOST`."""
BATCH = 500
"""Messages between two flushes, at most."""
POLL = 200
"""Milliseconds that a poll waits."""
AWAY = 5.0
"""Seconds without a connection after which it is made anew here: after a message that is too long
0MQ ends it, and never tries again."""
HEARTBEAT = 10_000
"""Milliseconds between the beats by which a connection is noticed that is dead without an end."""
_TOLD = (
    zmq.EVENT_HANDSHAKE_SUCCEEDED
    | zmq.EVENT_DISCONNECTED
    | zmq.EVENT_HANDSHAKE_FAILED_AUTH
    | zmq.EVENT_HANDSHAKE_FAILED_NO_DETAIL
    | zmq.EVENT_HANDSHAKE_FAILED_PROTOCOL
)
_CURVE_FIX = "give it the two certificates that the proxy's owner made, ours and the server's"


class ZmqBus:
    """Documents of a 0MQ proxy, as bluesky's `Publisher` sends them.

    Parameters
    ----------
    address : str
        ``host:port`` at which the proxy publishes, or ``ipc:///path``.
    prefix : str
        Of the publisher; documents of others are left out. Empty for all.
    allow_pickle : bool
        Read pickles, which bluesky's `Publisher` sends unless it is given a `serializer`.
        Whoever reaches the proxy can then run programs as this user: for a proxy on this
        machine only, and no other user may reach it.
    curve : (Path, Path), optional
        Certificates where the proxy wants them: our secret key, and the server's public key.
    most : int
        Bytes of a message; the connection that brings a longer one is ended, and made again.

    Attributes
    ----------
    name : str
    refused : Counter of str
        Messages that were no documents, by reason.

    Raises
    ------
    ConfigurationError
        When the address is none or holds a secret, or a certificate cannot be read, or pickles
        would come from another machine.
    """

    def __init__(
        self,
        address: str,
        *,
        prefix: str = "",
        allow_pickle: bool = False,
        curve: tuple[Path, Path] | None = None,
        most: int = MOST,
    ) -> None:
        if has_secret(address):
            raise ConfigurationError("the 0MQ proxy's address holds a password; 0MQ knows none")
        self._address, local = _read_address(address)
        if allow_pickle and not local:
            raise ConfigurationError(
                f"pickles are read from a proxy on this machine only, not from {address}; let the "
                "session publish msgpack: Publisher(..., serializer=msgpack_numpy.dumps)"
            )
        if " " in prefix:
            raise ConfigurationError(f"the prefix {prefix!r} has a space, which ends a prefix")
        self.name = f"zmq {address}"
        self.refused: Counter[str] = Counter()
        self._prefix = prefix.encode()
        self._allow_pickle = allow_pickle
        self._keys = _read_keys(*curve) if curve is not None else None
        self._most = most
        self._failing = f"0MQ at {address} has not answered yet"
        self._away = 0.0  # since when there is no connection; 0 while there is one

    def failing(self) -> str:
        """Return why nothing comes now, or an empty text; a proxy tells no more than that it is."""
        return self._failing

    def note(self) -> str:
        """Return an empty text: there is one way to take messages."""
        return ""

    def lag(self) -> None:
        """Return None: nobody counts what waits."""

    def run(self, taker: Taker, stopping: threading.Event) -> None:
        """Take documents until `stopping` is set; see `Source`.

        A full taker lets messages wait in this process, up to `WAITING` bytes, then in the proxy,
        which drops the latest ones when its own queue is full.
        """
        waiting, ended = _Waiting(WAITING), threading.Event()
        receiver = threading.Thread(
            target=self._receive, args=(waiting, ended), name="0MQ messages", daemon=True
        )
        receiver.start()
        try:
            while not stopping.is_set():
                if waiting.problem is not None:
                    raise waiting.problem
                if taker.full():
                    stopping.wait(POLL / 1000)
                elif waiting.any(POLL / 1000):
                    self._hand_on(waiting, taker)
                    keep(taker, stopping, self._say)
        finally:
            ended.set()
            receiver.join()

    # ---- the connection, in a thread of its own: 0MQ must not wait for a disk ------------------

    def _receive(self, waiting: "_Waiting", ended: threading.Event) -> None:
        """Let messages come in until `ended` is set."""
        context: zmq.Context[Any] = zmq.Context()
        try:
            while not ended.is_set():
                socket = context.socket(zmq.SUB)
                monitor = socket.get_monitor_socket(_TOLD)
                self._connect(socket)
                self._away = time.monotonic()
                while not ended.is_set():
                    self._watch(monitor)
                    if not waiting.room(POLL / 1000):
                        continue
                    if socket.poll(POLL):
                        waiting.put(socket.recv())
                        for _ in range(BATCH):  # what is there, without a look at the connection
                            if not waiting.room(0.0) or not socket.poll(0):
                                break
                            waiting.put(socket.recv())
                    elif self._away and time.monotonic() - self._away > AWAY:
                        break
                socket.disable_monitor()
                monitor.close(linger=0)
                socket.close(linger=0)
        except Exception as error:  # noqa: BLE001 - raised again by `run`
            waiting.problem = error
        finally:
            context.destroy(linger=0)

    def _connect(self, socket: Any) -> None:
        socket.set_hwm(QUEUE)
        socket.setsockopt(zmq.MAXMSGSIZE, self._most + 1024)  # of the prefix and the name
        socket.setsockopt(zmq.HEARTBEAT_IVL, HEARTBEAT)
        socket.setsockopt(zmq.HEARTBEAT_TIMEOUT, 3 * HEARTBEAT)
        socket.setsockopt(zmq.RECONNECT_IVL, 100)
        socket.setsockopt(zmq.RECONNECT_IVL_MAX, 10_000)
        # Not always: a name that has both kinds of address would be tried by that of IPv6 only.
        socket.setsockopt(zmq.IPV6, "[" in self._address)
        if self._keys is not None:
            socket.curve_publickey, socket.curve_secretkey, socket.curve_serverkey = self._keys
        socket.setsockopt(zmq.SUBSCRIBE, self._prefix + b" " if self._prefix else b"")
        socket.connect(self._address)

    def _watch(self, monitor: Any) -> None:
        """Note whether there is a connection; 0MQ makes most anew by itself."""
        while monitor.poll(0):
            event = recv_monitor_message(monitor)["event"]
            if event == zmq.EVENT_HANDSHAKE_SUCCEEDED:
                self._failing, self._away = "", 0.0
                continue
            self._away = self._away or time.monotonic()
            before = self._failing
            if event != zmq.EVENT_DISCONNECTED:
                self._failing = f"0MQ at {self._address} does not take us; {_CURVE_FIX}"
            elif _CURVE_FIX not in before:  # else it is how the refusal ends
                self._failing = f"0MQ at {self._address} is away; documents may be lost meanwhile"
            if self._failing != before:
                logger.warning("%s", self._failing)

    # ---- messages ------------------------------------------------------------------------

    def _hand_on(self, waiting: "_Waiting", taker: Taker) -> None:
        """Give the taker what waits, as long as it has room, and at most a batch."""
        for _ in range(BATCH):
            if taker.full() or not waiting.any(0.0):
                return
            try:
                found = self._read(waiting.take())
                if found is not None:
                    taker.take(*found)
            except NotADocument as error:
                refuse(self.refused, error, "a message")

    def _say(self, problem: str) -> None:
        self._failing = problem

    def _read(self, message: bytes) -> tuple[str, Document] | None:
        """Return the document of a message, or None for one of another publisher."""
        parts = message.split(b" ", 2)
        if len(parts) != 3:
            raise NotADocument("format", "a message has no prefix, name and document")
        prefix, name, payload = parts
        if self._prefix and prefix != self._prefix:
            return None
        if is_pickle(payload) and self._allow_pickle and len(payload) <= self._most:
            value = _unpickled(payload)
            return decode(encode(*checked(name.decode("utf-8", "replace"), value)))
        value = decode_value(payload, most=self._most)
        return checked(name.decode("utf-8", "replace"), value)


class _Waiting:
    """Messages that were received and not read, between two threads; up to `most` bytes.

    Attributes
    ----------
    problem : Exception or None
        Why no more come.
    """

    def __init__(self, most: int) -> None:
        self.problem: Exception | None = None
        self._most, self._bytes = most, 0
        self._messages: deque[bytes] = deque()
        self._changed = threading.Condition()

    def room(self, seconds: float) -> bool:
        """Return whether one more may be put, after waiting for that."""
        with self._changed:
            return self._changed.wait_for(lambda: self._bytes < self._most, seconds)

    def any(self, seconds: float) -> bool:
        """Return whether one can be taken, after waiting for that."""
        with self._changed:
            return self._changed.wait_for(lambda: bool(self._messages), seconds)

    def put(self, message: bytes) -> None:
        with self._changed:
            self._messages.append(message)
            self._bytes += sys.getsizeof(message)
            self._changed.notify_all()

    def take(self) -> bytes:
        with self._changed:
            message = self._messages.popleft()
            self._bytes -= sys.getsizeof(message)
            self._changed.notify_all()
            return message


def _unpickled(payload: bytes) -> Any:
    try:
        return pickle.loads(payload)
    except Exception as error:
        raise NotADocument("format", f"a pickle cannot be read: {describe(error)}") from error


def _read_address(address: str) -> tuple[str, bool]:
    """Return the address as 0MQ has it, and whether it is on this machine."""
    full = address if "://" in address else f"tcp://{address}"
    parts = urlsplit(full)
    try:
        if parts.scheme == "ipc" and (parts.netloc or parts.path):
            return full, True
        if parts.scheme == "tcp" and parts.hostname and parts.port and not parts.path:
            return full, _is_local(parts.hostname)
    except ValueError:  # a port that is no number
        pass
    raise ConfigurationError(f"{address!r} is no address of a 0MQ proxy; write host:port")


def _is_local(host: str) -> bool:
    try:
        return host == "localhost" or ip_address(host).is_loopback
    except ValueError:
        return False


def _read_keys(own: Path, server: Path) -> tuple[bytes, bytes, bytes]:
    try:
        public, secret = zmq.auth.load_certificate(own)
        theirs, _ = zmq.auth.load_certificate(server)
    except (OSError, ValueError) as error:
        raise ConfigurationError(f"a certificate cannot be read: {error}; {_CURVE_FIX}") from error
    if secret is None:
        raise ConfigurationError(f"{own} holds no secret key; {_CURVE_FIX}")
    return public, secret, theirs
