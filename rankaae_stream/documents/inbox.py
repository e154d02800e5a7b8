"""The Inbox: takes documents off the caller's thread and never gives it a reason to wait.

The caller's side appends and returns. One worker thread hands documents on in
order. What is kept is bounded in bytes; when the bound is reached, events of
the run that overflows are dropped and counted, never a start, a descriptor or
a stop, so that the run still ends and can be refused by name.
"""

import logging
import queue
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any, cast

__all__ = ["Inbox"]

logger = logging.getLogger(__name__)

_EVENTS = frozenset({"event", "event_page", "datum", "datum_page", "stream_datum"})
_SCALARS = frozenset({float, int, bool, type(None)})
_PARENTS = frozenset({"descriptor", "resource", "stream_resource"})
_CLOSE = object()


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
        Bound on the documents waiting, as estimated by `_size`; a stream's first
        event stands for all of them.
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
        self._run_of: dict[str, str] = {}
        self._size_of: dict[str, int] = {}
        self._dropped: dict[str, int] = {}
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
            # What happens at every point of every scan, in one piece: a call more, or
            # another look at the data, is half as much again on the caller's thread.
            if name == "event":
                size = self._size_of.get(doc["descriptor"])
                if size is not None:
                    with self._lock:
                        if (
                            not (self._closed or self._dropped)
                            and self._bytes + size <= self._max_bytes
                        ):
                            self._waiting += 1
                            self._bytes += size
                            self._queue.put((name, doc, 0, size))
                            return
            self._take(name, doc)
        except Exception as error:  # noqa: BLE001 - the RunEngine stops a scan on anything raised here
            self.errors += 1
            self.last_error = f"{type(error).__name__}: {error}"

    @property
    def waiting(self) -> int:
        """Documents taken and not yet handled."""
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

    def _take(self, name: str, doc: Mapping[str, Any]) -> None:
        size = _size(name, doc)
        dropped = 0
        with self._lock:
            if self._closed:
                return
            if name in _EVENTS:
                parent = doc.get("descriptor") or doc.get("resource", "")
                run = self._run_of.get(parent, "")
                if run and name == "event":
                    self._size_of[parent] = size
                if run in self._dropped or self._bytes + size > self._max_bytes:
                    self.dropped += 1
                    # Once an event is lost the run's answer is: the rest of its
                    # events would only take room from other runs. What belongs to
                    # no run we know of has no answer that could be lost.
                    if run:
                        self._dropped[run] = self._dropped.get(run, 0) + 1
                    return
            elif name in _PARENTS and "run_start" in doc:
                self._run_of[doc["uid"]] = doc["run_start"]
            elif name == "stop":
                run = doc["run_start"]
                dropped = self._dropped.pop(run, 0)
                for uid in [uid for uid, owner in self._run_of.items() if owner == run]:
                    del self._run_of[uid]
                    self._size_of.pop(uid, None)
            self._waiting += 1
            self._bytes += size
            # Under the lock, so that nothing is taken after the end was announced.
            self._queue.put((name, doc, dropped, size))

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
            self.errors += 1
            self.last_error = f"{type(error).__name__}: {error}"
            logger.exception("a document could not be handled; the scan is not affected")


def _size(name: str, doc: Mapping[str, Any]) -> int:
    """Rough bytes of a document: exact sizes would cost more than the bound is worth."""
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
