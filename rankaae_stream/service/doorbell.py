"""Hear from a Tiled server's websockets that something is new; what it is, is read elsewhere.

Tiled's websockets are best effort: a message may be lost in a restart, or with its cache, and a
server may have none. So a message here means no more than "look now". What it holds is checked to
be one of Tiled's and let go; whoever waits for the bell looks again after some time all the same.
"""

import asyncio
import logging
import threading
import time
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, Self, cast
from urllib.parse import quote, urlsplit

import msgpack
from websockets.asyncio.client import connect
from websockets.exceptions import InvalidStatus

from rankaae_stream.past.archive import Stream
from rankaae_stream.printable import get_logger, printable

__all__ = ["Doorbell", "Node"]

logger = get_logger(__name__)

# At DEBUG the websocket's own log would contain the header with the key.
_without_headers = logging.getLogger(f"{__name__}.websocket")
_without_headers.setLevel(logging.CRITICAL)

MOST = 32
"""Nodes that are listened to at one time; others are looked at without a bell."""
LARGEST = 2**20
"""Bytes of a message; a larger one rings too, and ends the connection, which is made anew."""
ANSWER = 10.0
"""Seconds that a server may take to open a websocket, and to say what kind of node it is."""
SILENCE = 20.0
"""Seconds after which a connection is tried, and after which it is lost without an answer."""
CLOSING = 1.0
"""Seconds that a server may take to say farewell."""
FIRST, LAST = 5.0, 3600.0
"""Seconds until a node is tried again that could not be heard; doubled each time, at most LAST: a
server without a streaming cache writes a traceback into its log for each."""

Node = tuple[str, ...]
"""The keys from the container to a node below it; empty for the container itself."""


class NotTiled(ValueError):
    """A message that is none of Tiled's."""


@dataclass(slots=True)
class _Ear:
    """What is known of listening to a node: since when it is heard, else why not."""

    heard: float = 0.0
    why: str = "it has not answered yet"
    pause: float = 0.0
    again: float = 0.0
    task: Any = None


class Doorbell:
    """Rings when a Tiled server says that something is new at a node; a context manager.

    One thread listens to all nodes. Nothing here raises for what a server does: a node that
    cannot be heard is tried again, ever more rarely, when it is asked for again.
    """

    def __init__(self) -> None:
        self._rung = threading.Event()
        self._lock = threading.Lock()
        self._which: set[Node] = set()
        self._ears: dict[Node, _Ear] = {}

    def __enter__(self) -> Self:
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._run, name="doorbell", daemon=True)
        self._thread.start()
        return self

    def __exit__(self, *exc_info: object) -> None:
        self.listen(None, ())
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(ANSWER)

    def listen(self, stream: Stream | None, nodes: Iterable[Node]) -> None:
        """Listen to these nodes and to no others; a node rings when it begins to be heard.

        Parameters
        ----------
        stream : Stream or None
            Of the container; None where there is none to listen to.
        nodes : iterable of Node
            The first `MOST` of them are listened to.
        """
        wanted = [] if stream is None else list(dict.fromkeys(nodes))[:MOST]
        for node in self._ears.keys() - set(wanted):
            self._ears.pop(node).task.cancel()
        for node in wanted:
            ear = self._ears.setdefault(node, _Ear(pause=FIRST))
            if (
                stream is not None
                and (ear.task is None or ear.task.done())
                and time.monotonic() >= ear.again
            ):
                ear.task = asyncio.run_coroutine_threadsafe(
                    self._hear(node, ear, stream), self._loop
                )

    def hears(self, node: Node = ()) -> bool:
        """Return whether a node is heard now."""
        ear = self._ears.get(node)
        return ear is not None and ear.heard > 0.0

    def deaf(self, node: Node = ()) -> str:
        """Return why a node is not heard, or an empty text."""
        ear = self._ears.get(node)
        return "nobody listens" if ear is None else ear.why

    def wait(self, seconds: float, stopping: threading.Event) -> set[Node]:
        """Wait until it rings, `seconds` are over or `stopping` is set; return what rang."""
        end = time.monotonic() + seconds
        while not stopping.is_set() and (left := end - time.monotonic()) > 0.0:
            if self._rung.wait(min(left, 0.2)):
                break
        with self._lock:
            rang, self._which = self._which, set()
            self._rung.clear()
        return rang

    # ---- in the thread that listens ----------------------------------------------------------

    def _run(self) -> None:
        asyncio.set_event_loop(self._loop)
        self._loop.run_forever()
        self._loop.run_until_complete(_end())
        self._loop.close()

    def _ring(self, node: Node) -> None:
        with self._lock:
            self._which.add(node)
        self._rung.set()

    async def _hear(self, node: Node, ear: _Ear, stream: Stream) -> None:
        why = "the connection has ended"
        try:
            await self._follow(node, ear, stream)
        except asyncio.CancelledError:
            ear.heard = 0.0  # nobody asks for it any more
            raise
        except InvalidStatus as error:
            why = f"HTTP {error.response.status_code}"
        except TimeoutError:
            why = "it does not answer"
        except NotTiled as error:
            why = str(error)
        except Exception as error:  # noqa: BLE001 - whatever a connection raises
            why = printable(f"{type(error).__name__}: {error}")[:200]
        now = time.monotonic()
        lasted = now - ear.heard if ear.heard else 0.0
        ear.heard, ear.why = 0.0, why
        if lasted > ear.pause:
            ear.pause = FIRST
        ear.again, ear.pause = now + ear.pause, min(2 * ear.pause, LAST)
        logger.debug("%s is not heard: %s", "/".join(node) or "the container", why)
        if lasted:
            self._ring(node)  # with what may have been lost

    async def _follow(self, node: Node, ear: _Ear, stream: Stream) -> None:
        local = urlsplit(stream.address).hostname in ("127.0.0.1", "localhost", "::1")
        options: dict[str, Any] = {"proxy": None} if local else {}
        below = "".join(f"/{quote(part, safe='')}" for part in node)
        address = stream.address.rstrip("/") + below if node else stream.address
        async with _Here(
            f"{address}?envelope_format=msgpack",
            additional_headers=dict(stream.headers),
            logger=_without_headers,
            max_size=LARGEST,
            max_queue=4,
            compression=None,
            open_timeout=ANSWER,
            ping_interval=SILENCE,
            ping_timeout=SILENCE,
            close_timeout=CLOSING,
            **options,
        ) as socket:
            async with asyncio.timeout(ANSWER):
                if not _kind(await socket.recv()).endswith("-schema"):
                    raise NotTiled("it does not say what the node is")
            ear.heard, ear.why = time.monotonic(), ""
            self._ring(node)  # with what came before it was heard
            async for message in socket:
                _kind(message)
                self._ring(node)


async def _end() -> None:
    """Wait for those that were told to end: one that closes its connection takes a moment."""
    ending = asyncio.all_tasks() - {asyncio.current_task()}
    if ending:
        await asyncio.wait(ending, timeout=2 * CLOSING)
    await asyncio.sleep(0.0)  # in which sockets are let go


class _Here(connect):
    """A websocket at this address and no other: the key is for this server."""

    def process_redirect(self, exc: Exception) -> Exception | str:
        """Follow no redirection."""
        return exc


def _kind(message: Any) -> str:
    """Return the type of one of Tiled's messages.

    Raises
    ------
    NotTiled
    """
    try:
        kind = cast("Any", msgpack.unpackb(message))["type"]
    except Exception as error:
        raise NotTiled("it sends what is no message of Tiled's") from error
    if not isinstance(kind, str):
        raise NotTiled("it sends what is no message of Tiled's")
    return kind
