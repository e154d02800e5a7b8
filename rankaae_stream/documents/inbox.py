"""Take documents off the caller's thread without ever making it wait.

The caller's side appends and returns. One worker thread hands documents on in
order. The waiting documents are bounded in bytes. Beyond the bound events of
the run that overflows are dropped and counted, until half of the room is free; of a start and
a stop document what is needed is kept, so that the run still ends and can be refused by name.

An event wakes nobody, which would be a sixth of what it costs the caller: the worker looks for
events every tenth of a second.
"""

import threading
import time
from collections import deque
from collections.abc import Callable, Mapping
from typing import Any, NewType

from rankaae_stream.documents.size import size_of
from rankaae_stream.errors import describe
from rankaae_stream.printable import get_logger

__all__ = ["Inbox", "parent_of"]

logger = get_logger(__name__)

_EVENTS = frozenset({"event", "event_page", "bulk_events", "datum", "datum_page", "stream_datum"})
_PARENTS = frozenset({"descriptor", "resource", "stream_resource"})
_ATTEMPTS = 2
"""How often a document is handed on where the worker ends meanwhile."""
_CLOSE = object()
_SMALL = 2048
"""Bytes of a value that is kept of a start or stop document for which there is no room."""
_RESERVE = 1 / 16
"""Share of the bound that is kept free of events, for documents that begin a run and end it."""
_LEAST = 64 * 1024
"""Bytes that there are for those documents at least."""
_NEEDED = ("uid", "run_start", "time", "element", "edge", "exit_status", "num_events")

RunUid = NewType("RunUid", str)
ParentUid = NewType("ParentUid", str)
"""Of the descriptor, resource or stream resource that an event or datum names."""


class Inbox:
    """A callable on (name, document) that appends and returns.

    Parameters
    ----------
    handle : callable (name, document, dropped) -> None
        Called in the worker thread, in order. `dropped` is the number of documents
        of this run that were lost to the bound since the one before; it is not zero only on
        an event that follows a gap, on a stop document, and on a start document that was
        shortened. What it raises is logged and counted.
    tick : callable (now) -> None, optional
        Called in the worker when nothing arrived for `period` seconds, and at
        least that often under load.
    max_bytes : int
        Bound on the documents waiting, by what they hold; see `size.size_of`.
    period : float
        Seconds between ticks, and until an event is handed on at the latest.
    clock : callable
        Monotonic seconds.
    name : str
        Names the thread.

    Notes
    -----
    A plain callable instance, not a bound method: RunEngine.subscribe keeps only
    a weak reference to the latter.
    """

    def __init__(
        self,
        handle: Callable[[str, Mapping[str, Any], int], None],
        tick: Callable[[float], None] | None = None,
        *,
        max_bytes: int = 256 * 1024 * 1024,
        period: float = 0.1,
        clock: Callable[[], float] = time.monotonic,
        name: str = "inbox",
    ) -> None:
        self._handle = handle
        self._tick = tick
        self._max_bytes = max(max_bytes, _LEAST)
        self._for_events = max_bytes - int(_RESERVE * max_bytes)
        self._roomy = max_bytes // 2
        self._period = period
        self._clock = clock
        self._name = name
        self._queue: deque[Any] = deque()
        self._wake = threading.Event()
        self._lock = threading.Lock()
        self._waiting = 0
        self._bytes = 0
        self._run_of: dict[ParentUid, RunUid] = {}
        self._dropped: dict[RunUid, int] = {}
        self._idle = threading.Condition(self._lock)
        self._closed = False
        # The document in hand, and how often it was handed on: what a thread leaves that ends.
        self._item: Any = None
        self._attempts = 0
        self._oldest = float("inf")
        self.late = 0
        self.dropped = 0
        self.errors = 0
        self.restarts = 0
        self.last_error = ""
        self._thread = self._start()

    def __call__(self, name: str, doc: Mapping[str, Any]) -> None:
        """Take a document; returns at once and never raises."""
        try:
            # This happens at every point of every scan: a size, a lock and an append.
            if not hasattr(doc, "keys"):
                raise TypeError(f"a document is {type(doc).__name__}, not a mapping")
            size, dropped = size_of(doc), 0
            with self._lock:
                if (
                    name != "event"
                    or self._dropped
                    or self._closed
                    or self._bytes + size > self._for_events
                ):
                    admitted = self._admit(name, doc, size)
                    if admitted is None:
                        return
                    doc, size, dropped = admitted
                self._waiting += 1
                self._bytes += size
                # Under the lock, so that nothing is taken after the end was announced.
                self._queue.append((name, doc, dropped, size, self._clock()))
                if name != "event" or self._bytes > self._roomy:
                    self._wake.set()
        except Exception as error:  # noqa: BLE001 - the RunEngine stops a scan on anything raised here
            self._count(error)

    @property
    def waiting(self) -> int:
        """Number of documents taken and not yet handled."""
        return self._waiting

    @property
    def behind(self) -> float:
        """Seconds for which the document in hand has waited; 0 where there is none.

        Between two documents that of the last one: the next has come after it.
        """
        return max(self._clock() - self._oldest, 0.0)

    @property
    def worker(self) -> str:
        """What is wrong with the worker thread, which is started again if it has ended."""
        if not self._closed and not self._revive():
            return f"dead, so nothing is analysed: {self.last_error}"
        return f"was started again {self.restarts} times, see last_error" if self.restarts else ""

    def wait_idle(self, timeout: float) -> bool:
        """Wait until every document taken so far is handled; False on time-out."""
        deadline = time.monotonic() + timeout
        self._wake.set()
        while True:
            left = deadline - time.monotonic()
            with self._idle:
                if self._idle.wait_for(lambda: self._waiting == 0, max(min(left, 0.5), 0.0)):
                    return True
            if left <= 0 or not self._revive():
                return False

    def close(self, timeout: float) -> bool:
        """Handle what is waiting, then end the worker; True when all was handled in time."""
        deadline = time.monotonic() + timeout
        with self._lock:
            if not self._closed:
                self._closed = True
                self._queue.append(_CLOSE)
                self._wake.set()
        while True:
            self._thread.join(max(deadline - time.monotonic(), 0.0))
            if self._thread.is_alive():
                return False
            if not self._waiting:
                return True
            if not self._revive():
                return False

    # ---- the caller's side, under the lock -----------------------------------------------

    def _admit(
        self, name: str, doc: Mapping[str, Any], size: int
    ) -> tuple[Mapping[str, Any], int, int] | None:
        """Keep account of a document.

        Returns
        -------
        tuple or None
            The document, its size, and how many documents its run has lost since that was last
            told. None when it is dropped.
        """
        if self._closed:
            if not self.late:
                logger.warning("documents that come after the end of the stream are not analysed")
            self.late += 1
            return None
        if name in _EVENTS:
            run = self._run_of.get(parent_of(name, doc))
            # After a gap not before there is much room: events here and there would leave no
            # sweep whole, and take room from other runs.
            room = self._roomy if run in self._dropped else self._for_events
            if self._bytes + size > room:
                return self._drop(run)
            return doc, size, self._dropped.pop(run, 0) if run is not None else 0
        run = RunUid(doc.get("run_start") or doc.get("uid", ""))
        full, shortened = self._bytes + size > self._max_bytes, False
        if full and name in ("start", "stop"):
            slim = _needed_of(doc)
            shortened = name == "start" and len(slim) < len(doc)
            doc, size = slim, size_of(slim)
            full = self._bytes + size > self._max_bytes
        if full:
            return self._drop(run)
        if name in _PARENTS and "run_start" in doc:
            self._run_of[ParentUid(doc["uid"])] = run
        elif name == "start":
            self._revive()
        elif name == "stop":
            for uid in [uid for uid, owner in self._run_of.items() if owner == run]:
                del self._run_of[uid]
            return doc, size, self._dropped.pop(run, 0)
        return doc, size, int(shortened)

    def _drop(self, run: RunUid | None) -> None:
        self.dropped += 1
        if run is not None:  # a document of an unknown run has no answer
            self._dropped[run] = self._dropped.get(run, 0) + 1

    # ---- the worker ----------------------------------------------------------------------

    def _start(self) -> threading.Thread:
        thread = threading.Thread(target=self._run, name=self._name, daemon=True)
        thread.start()
        return thread

    def _revive(self) -> bool:
        """Start another worker where the last one has ended; return whether there is one."""
        if self._thread.is_alive():
            return True
        try:
            self.restarts += 1
            self._thread = self._start()
        except RuntimeError as error:  # no thread can be started
            self.last_error = describe(error)
            return False
        return True

    def _run(self) -> None:
        while True:
            try:
                self._work()
                return
            except BaseException as error:
                # Raised between two documents, for example for want of memory.
                self._count(error)
                self.restarts += 1
                logger.exception("the worker is started again; the scan is not affected")
                time.sleep(self._period)  # whatever it is, not a million times a minute

    def _work(self) -> None:
        self._recount()
        next_tick = self._clock() + self._period
        while True:
            if self._item is None:
                while not self._queue and self._wake.wait(self._period):
                    self._wake.clear()
                if self._queue:
                    self._item = self._queue.popleft()
            item = self._item
            if item is _CLOSE:
                return
            if item is not None:
                name, doc, dropped, size, self._oldest = item
                # Twice at most: a document that ends the worker must not end every next one.
                if self._attempts < _ATTEMPTS:
                    self._attempts += 1
                    self._guarded(self._handle, name, doc, dropped)
                    self._attempts = _ATTEMPTS
                with self._idle:
                    self._waiting -= 1
                    self._bytes -= size
                    self._item, self._attempts = None, 0
                    if self._waiting == 0:
                        self._oldest = float("inf")
                        self._idle.notify_all()
            now = self._clock()
            if self._tick is not None and (item is None or now >= next_tick):
                self._guarded(self._tick, now)
                next_tick = now + self._period

    def _recount(self) -> None:
        """Count as dropped what a worker that ended had taken and did not keep."""
        with self._idle:
            in_hand = self._item is not None and self._item is not _CLOSE
            end = self._closed and self._item is not _CLOSE
            there = len(self._queue) - end + in_hand
            self.dropped += max(self._waiting - there, 0)
            self._waiting = there
            if not there:
                self._bytes = 0
                self._oldest = float("inf")
                self._idle.notify_all()

    def _guarded(self, function: Callable[..., None], *arguments: Any) -> None:
        try:
            function(*arguments)
        except BaseException as error:
            self._count(error)
            logger.exception("a document could not be handled; the scan is not affected")

    def _count(self, error: BaseException) -> None:
        with self._lock:
            self.errors += 1
            self.last_error = describe(error)


def parent_of(name: str, doc: Mapping[str, Any]) -> ParentUid:
    """Return the uid of the descriptor or resource that an event or datum belongs to."""
    if name == "bulk_events":
        doc = next((event for events in doc.values() for event in events), doc)
    return ParentUid(doc.get("descriptor") or doc.get("resource", ""))


def _needed_of(doc: Mapping[str, Any]) -> dict[str, Any]:
    """Return the small values of a start or stop document, those that a refusal needs first."""
    slim, size = dict[str, Any](), 0
    for key in dict.fromkeys((*_NEEDED, *doc)):
        more = size_of(doc[key]) if key in doc else _SMALL + 1
        if more <= _SMALL and size + more <= 4 * _SMALL:
            slim[key], size = doc[key], size + more
    return slim
