"""Answer documents in a process of its own, which may die of them.

It is run as a program, ``python -m rankaae_stream.service.worker``. The supervisor gives
documents at its standard input, and hears at its standard output how many are handled, which
runs are over, and how things are. Nothing else is shared.
"""

import logging
import os
import queue
import signal
import struct
import threading
import time
from collections.abc import Callable
from typing import IO, Any

from rankaae_stream.errors import ConfigurationError, Refusal
from rankaae_stream.printable import get_logger
from rankaae_stream.profile import Profile
from rankaae_stream.service.decode import NotADocument, decode
from rankaae_stream.service.logs import use_json_logs
from rankaae_stream.service.process import packed, read_message, unpacked, write_message
from rankaae_stream.session import Session

__all__ = ["CLOSE", "DOCUMENT", "DROPPED", "FINISH", "REFUSE", "SINCE", "main", "work"]

logger = get_logger(__name__)

DOCUMENT, REFUSE, FINISH, CLOSE = b"d", b"r", b"f", b"c"
"""First byte of a message: a document; a start document and why its run is refused; answer what
is open and end; end, and leave open runs to the next worker."""

SINCE = struct.Struct("<d")
"""Behind that byte of a document: since when it waits, seconds since the epoch."""

DROPPED = "rankaae_stream_dropped"
"""Key of a stop document with how many of its run's documents were lost before it came here."""

PERIOD = 0.1
"""Seconds between ticks, and between two words to the supervisor."""

AHEAD = 16
"""Messages that are read before they are handled."""

LARGE = 4 << 20
"""Bytes of a message before which those that were read are handled."""

_MANY = frozenset({"event", "event_page", "stream_datum", "datum", "datum_page", "bulk_events"})
"""Documents of which a run has many: the others are announced before they are handled."""


def main() -> None:
    """Work with the standard streams, which nothing else may use then."""
    source = os.fdopen(os.dup(0), "rb")
    told = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)  # what a library prints would be taken for a message
    # Ctrl-C at a terminal may reach the whole group of processes: the supervisor decides.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    work(source, told)


def work(source: IO[bytes], told: IO[bytes]) -> None:
    """Answer what comes until the other side closes or ends this.

    Parameters
    ----------
    source, told : binary streams
        Of messages; the first is the profile's settings, and how to log.
    """
    first = read_message(source)
    if first is None:
        return
    ended: list[str] = []
    try:
        told_first = unpacked(first)
        profile = Profile(**told_first["profile"])
        if told_first["json_logs"]:
            use_json_logs(profile.name)
        session = Session(profile, ended=ended.append)
    except ConfigurationError as error:
        write_message(told, packed({"wrong": str(error)}))
        return
    models = {edge: f"{name.name} {name.version}" for edge, name in session.models.items()}
    worker = _Worker(session, ended, told)
    try:
        worker.tell(models=models)
        worker.run(_messages(source))
    except (OSError, ValueError):
        logger.debug("the supervisor is gone", exc_info=True)
    logging.shutdown()


def _messages(source: IO[bytes]) -> "queue.Queue[bytes | None]":
    """Read messages in a thread: waiting for one must not keep the clock from ticking."""
    messages: queue.Queue[bytes | None] = queue.Queue(AHEAD)

    def read() -> None:
        while (message := read_message(source)) is not None:
            while len(message) > LARGE and not messages.empty():
                time.sleep(0.01)
            messages.put(message)
        messages.put(None)

    threading.Thread(target=read, name="rankaae-stream read", daemon=True).start()
    return messages


class _Worker:
    """A session that is given messages."""

    def __init__(self, session: Session, ended: list[str], told: IO[bytes]) -> None:
        self._session = session
        self._ended = ended
        self._told = told
        self._handled = 0
        self._since = 0.0  # when the last document was taken: those that wait came after it
        self._told_at = self._ticked_at = time.monotonic()

    def tell(self, **more: Any) -> None:
        """Say how many documents are handled, which runs are over, and how things are."""
        session = self._session
        state = {
            "handled": self._handled,
            "ended": self._ended,
            "open_runs": session.open_runs,
            "waits_for_files": session.at_work(series=False),
            "series_pending": session.at_work(),
            "answered": session.answered,
            "refused": dict(session.refused),
            "answered_at": session.answered_at,
            "unsent": session.unsent,
            "oldest_unsent": session.oldest_unsent,
            "failing": session.failing,
            "device": session.device,
            **more,
        }
        write_message(self._told, packed(state))
        self._ended.clear()
        self._told_at = time.monotonic()

    def run(self, messages: "queue.Queue[bytes | None]") -> None:
        """Handle messages until one ends this, or the supervisor is gone."""
        while True:
            try:
                message = messages.get(timeout=PERIOD)
            except queue.Empty:
                message, self._since = b"", 0.0
            if message is None:
                self._session.close(0.0, finish=False)
                return
            kind = message[:1]
            if kind in (FINISH, CLOSE):
                left = self._session.close(unpacked(message[1:]), finish=kind == FINISH)
                self.tell(unsent=left)
                return
            if kind:
                (self._since,) = SINCE.unpack_from(message, 1)
                self._handle(kind, message[1 + SINCE.size :])
                self._handled += 1
            now = time.monotonic()
            if now - self._ticked_at >= PERIOD:
                _guarded(self._session.tick, now, self._since)
                self._ticked_at = now
            if self._ended or now - self._told_at >= PERIOD:
                self.tell()

    def _handle(self, kind: bytes, payload: bytes) -> None:
        try:
            name, doc = decode(payload)
        except NotADocument as error:
            logger.error("a kept document cannot be read: %s", error)
            return
        if name not in _MANY:
            self.tell()  # whoever looks for what ended this process finds the right run
        own = {key: value for key, value in doc.items() if key not in ("refusal", DROPPED)}
        if kind == REFUSE:
            why = doc["refusal"]
            _guarded(self._session.refuse, own, Refusal(why["name"], why["message"]))
        else:
            dropped = int(doc.get(DROPPED, 0))
            now = time.monotonic()
            _guarded(self._session.feed, name, own if dropped else doc, now, dropped)


def _guarded(function: Callable[..., object], *arguments: Any) -> None:
    try:
        function(*arguments)
    except Exception:
        logger.exception("a document could not be handled; the others go on")


if __name__ == "__main__":
    main()
