"""Take documents off the caller's thread without ever making it wait.

The caller's side appends and returns. One worker thread hands documents on in
order. The waiting documents are bounded in bytes; beyond the bound events of
the run that overflows are dropped and counted, never a start, a descriptor or
a stop, so that the run still ends and can be refused by name.
"""

import logging
import queue
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NewType, cast

__all__ = ["Inbox"]

logger = logging.getLogger(__name__)

_EVENTS = frozenset({"event", "event_page", "datum", "datum_page", "stream_datum"})
_SCALARS = frozenset({float, int, bool, type(None)})
_PARENTS = frozenset({"descriptor", "resource", "stream_resource"})
_CLOSE = object()

RunUid = NewType("RunUid", str)
ParentUid = NewType("ParentUid", str)
"""Of the descriptor, resource or stream resource that an event or datum names."""


class Inbox:
    """A callable on (name, document) that appends and returns.

    Parameters
    ----------
    handle : callable (name, document, dropped) -> None
        Called in the worker thread, in order. `dropped` is the number of
        documents of this run that were lost to the bound; it is not zero only on
        a stop document. What it raises is logged and counted.
    tick : callable (now) -> None, optional
        Called in the worker when nothing arrived for `period` seconds, and at
        least that often under load.
    max_bytes : int
        Bound on the documents waiting, as estimated by `_size`; all events of a
        stream count as much as its first.
    period : float
        Seconds between ticks.
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
        self._max_bytes = max_bytes
        self._period = period
        self._clock = clock
        self._queue: queue.SimpleQueue[Any] = queue.SimpleQueue()
        self._lock = threading.Lock()
        self._waiting = 0
        self._bytes = 0
        self._run_of: dict[ParentUid, RunUid] = {}
        self._event_size: dict[ParentUid, int] = {}
        self._dropped: dict[RunUid, int] = {}
        self._idle = threading.Condition(self._lock)
        self._closed = False
        self.dropped = 0
        self.errors = 0
        self.last_error = ""
        self._thread = threading.Thread(target=self._work, name=name, daemon=True)
        self._thread.start()

    def __call__(self, name: str, doc: Mapping[str, Any]) -> None:
        """Take a document; returns at once and never raises."""
        try:
            # This happens at every point of every scan: of a stream that is known, an
            # event costs one look-up, one lock and one put, and no call of ours.
            known = self._event_size.get(doc["descriptor"]) if name == "event" else None
            size = _size(name, doc) if known is None else known
            with self._lock:
                if self._closed:
                    return
                dropped: int | None = 0
                if known is None or self._dropped or self._bytes + size > self._max_bytes:
                    dropped = self._admit(name, doc, size)
                    if dropped is None:
                        return
                self._waiting += 1
                self._bytes += size
                # Under the lock, so that nothing is taken after the end was announced.
                self._queue.put((name, doc, dropped, size))
        except Exception as error:  # noqa: BLE001 - the RunEngine stops a scan on anything raised here
            self._count(error)

    @property
    def waiting(self) -> int:
        """Number of documents taken and not yet handled."""
        return self._waiting

    def wait_idle(self, timeout: float) -> bool:
        """Wait until every document taken so far is handled; False on time-out."""
        with self._idle:
            return self._idle.wait_for(lambda: self._waiting == 0, timeout)

    def close(self, timeout: float) -> bool:
        """Handle what is waiting, then end the worker; True when it ended in time."""
        with self._lock:
            if not self._closed:
                self._closed = True
                self._queue.put(_CLOSE)
        self._thread.join(timeout)
        return not self._thread.is_alive()

    def _admit(self, name: str, doc: Mapping[str, Any], size: int) -> int | None:
        """Keep account of a document, under the lock.

        Returns
        -------
        int or None
            How many documents its run has lost, for a stop document; else 0. None when
            it is dropped.
        """
        if name in _EVENTS:
            parent = ParentUid(doc.get("descriptor") or doc.get("resource", ""))
            run = self._run_of.get(parent)
            if run is not None and name == "event":
                self._event_size[parent] = size
            if run in self._dropped or self._bytes + size > self._max_bytes:
                self.dropped += 1
                # Once an event is lost the run's answer is: the rest of its events would
                # only take room from other runs. An event of an unknown run has no answer.
                if run is not None:
                    self._dropped[run] = self._dropped.get(run, 0) + 1
                return None
        elif name in _PARENTS and "run_start" in doc:
            self._run_of[ParentUid(doc["uid"])] = RunUid(doc["run_start"])
        elif name == "stop":
            run = RunUid(doc["run_start"])
            for uid in [uid for uid, owner in self._run_of.items() if owner == run]:
                del self._run_of[uid]
                self._event_size.pop(uid, None)
            return self._dropped.pop(run, 0)
        return 0

    def _work(self) -> None:
        next_tick = self._clock() + self._period
        while True:
            try:
                item = self._queue.get(timeout=self._period)
            except queue.Empty:
                item = None
            if item is _CLOSE:
                return
            if item is not None:
                name, doc, dropped, size = item
                self._guarded(self._handle, name, doc, dropped)
                with self._idle:
                    self._waiting -= 1
                    self._bytes -= size
                    if self._waiting == 0:
                        self._idle.notify_all()
            now = self._clock()
            if self._tick is not None and (item is None or now >= next_tick):
                self._guarded(self._tick, now)
                next_tick = now + self._period

    def _guarded(self, function: Callable[..., None], *arguments: Any) -> None:
        try:
            function(*arguments)
        except BaseException as error:
            self._count(error)
            logger.exception("a document could not be handled; the scan is not affected")

    def _count(self, error: BaseException) -> None:
        with self._lock:
            self.errors += 1
            self.last_error = f"{type(error).__name__}: {error}"


def _size(name: str, doc: Mapping[str, Any]) -> int:
    """Estimate the bytes of a document; exact sizes would cost more than the bound is worth."""
    size = 512
    if name in ("event", "event_page"):
        for value in doc.get("data", {}).values():
            size += 64
            # Asked by type first: looking for an attribute that a float does not
            # have costs as much as all the rest of taking an event.
            if type(value) in _SCALARS:
                continue
            if hasattr(value, "nbytes"):
                size += value.nbytes
            elif isinstance(value, (list, tuple, str)):
                size += 16 * len(cast("Sequence[Any]", value))
    return size
