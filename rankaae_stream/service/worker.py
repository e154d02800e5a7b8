"""Answer documents in a process of its own, which may die of them.

The supervisor gives documents through a pipe, and hears how many are handled, which runs are
over, and how things are. Nothing else is shared.
"""

import contextlib
import json
import logging
import os
import signal
import time
from multiprocessing.connection import Connection
from typing import Any

from rankaae_stream.errors import ConfigurationError, Refusal
from rankaae_stream.printable import get_logger
from rankaae_stream.profile import Profile
from rankaae_stream.service.decode import NotADocument, decode
from rankaae_stream.session import Session

__all__ = ["CLOSE", "DOCUMENT", "FINISH", "REFUSE", "packed", "unpacked", "work"]

logger = get_logger(__name__)

DOCUMENT, REFUSE, FINISH, CLOSE = b"d", b"r", b"f", b"c"
"""First byte of a message: a document; a start document and why its run is refused; answer what
is open and end; end, and leave open runs to the next worker."""

PERIOD = 0.1
"""Seconds between ticks, and between two words to the supervisor."""


def packed(value: Any) -> bytes:
    """Return what supervisor and worker tell each other."""
    return json.dumps(value).encode()


def unpacked(payload: bytes) -> Any:
    """Return what `packed` was given."""
    return json.loads(payload)


def work(pipe: Connection, settings: dict[str, Any], key: str | None) -> None:
    """Answer what comes through a pipe until it is closed.

    Parameters
    ----------
    pipe : Connection
    settings : dict
        Of the profile, by its keys.
    key : str or None
        For Tiled.
    """
    # Ctrl-C at a terminal reaches the whole group of processes: the supervisor decides.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    # One thread: several workers and the beamline's own programs share the machine.
    os.environ.setdefault("OMP_NUM_THREADS", "1")
    try:
        profile = Profile(**settings, tiled_api_key=key)  # type: ignore[arg-type]
        ended: list[str] = []
        session = Session(profile, ended=ended.append)
    except ConfigurationError as error:
        pipe.send_bytes(packed({"wrong": str(error)}))
        return
    models = {edge: f"{name.name} {name.version}" for edge, name in session.models.items()}
    with contextlib.suppress(OSError, EOFError):
        pipe.send_bytes(packed({"models": models, **_state(session, 0, ended)}))
        _loop(pipe, session, ended)
    logging.shutdown()


def _loop(pipe: Connection, session: Session, ended: list[str]) -> None:
    handled, told, ticked = 0, time.monotonic(), time.monotonic()
    while True:
        message = pipe.recv_bytes() if pipe.poll(PERIOD) else b""
        kind = message[:1]
        if kind in (FINISH, CLOSE):
            timeout = float(unpacked(message[1:]))
            session.close(timeout, finish=kind == FINISH)
            pipe.send_bytes(packed(_state(session, handled, ended)))
            return
        if kind:
            _handle(session, kind, message[1:])
            handled += 1
        now = time.monotonic()
        if now - ticked >= PERIOD:
            _guarded(session.tick, now)
            ticked = now
        if ended or now - told >= PERIOD:
            pipe.send_bytes(packed(_state(session, handled, ended)))
            ended.clear()
            told = now


def _handle(session: Session, kind: bytes, payload: bytes) -> None:
    try:
        name, doc = decode(payload)
    except NotADocument as error:
        logger.error("a kept document cannot be read: %s", error)
        return
    if kind == REFUSE:
        start = {key: value for key, value in doc.items() if key != "refusal"}
        _guarded(session.refuse, start, Refusal(**doc["refusal"]))
    else:
        _guarded(session.feed, name, doc, time.monotonic())


def _guarded(function: Any, *arguments: Any) -> None:
    try:
        function(*arguments)
    except Exception:
        logger.exception("a document could not be handled; the others go on")


def _state(session: Session, handled: int, ended: list[str]) -> dict[str, Any]:
    publisher = session.publisher
    return {
        "handled": handled,
        "ended": list(ended),
        "open_runs": session.open_runs,
        "at_work": session.at_work(),
        "answered": session.answered,
        "refused": dict(session.refused),
        "answered_at": session.answered_at,
        "unsent": publisher.waiting,
        "failing": publisher.failing,
    }
