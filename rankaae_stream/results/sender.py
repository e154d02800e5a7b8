"""One thread a sink: finals from the spool in order, provisionals when idle.

Final results have no other way out than through the spool. Provisional ones are
a courtesy: the latest wins, and they are never spooled.
"""

import logging
import threading
import time
from collections import deque
from collections.abc import Callable
from typing import Any

from rankaae_stream.results.compose import ResultRun
from rankaae_stream.results.sinks import Rejected, Sink, Unavailable
from rankaae_stream.results.spool import Spool

__all__ = ["Publisher"]

logger = logging.getLogger(__name__)


class Publisher:
    """One sink's thread: finals in order from the spool, provisionals when idle.

    Parameters
    ----------
    sink : Sink
    spool : Spool
        Its own; what earlier sessions left there is sent too.
    retry : (first, longest)
        Seconds to wait after a failure, doubled each time.
    """

    def __init__(self, sink: Sink, spool: Spool, retry: tuple[float, float] = (0.5, 30.0)) -> None:
        self.sink = sink
        self.spool = spool
        self._retry = retry
        self._changed = threading.Condition()
        self._finals: deque[ResultRun | str] = deque(spool.waiting() if spool.owner else ())
        self._provisional: dict[str, ResultRun] = {}
        self._extras: deque[Callable[[], ResultRun]] = deque()
        self._busy = False
        self._closing = False
        self.sent = self.rejected = 0
        self.failing = ""
        self._thread = threading.Thread(target=self._work, name=f"publish {sink.name}", daemon=True)
        self._thread.start()

    @property
    def waiting(self) -> int:
        """Final results not yet sent."""
        return len(self._finals)

    def provisional(self, run: ResultRun) -> None:
        """Show this when there is time; a later one replaces it."""
        with self._changed:
            self._provisional[run.uid] = run
            self._changed.notify_all()

    def final(self, run: ResultRun) -> None:
        """Take over a final result; it is on the disk when this returns."""
        item: ResultRun | str = run.uid
        try:
            self.spool.add(run)
        except OSError as error:
            logger.error(
                "cannot write to the spool %s (%s); kept in memory", self.spool.folder, error
            )
            item = run
        with self._changed:
            self._provisional.pop(run.uid, None)
            # One that waits already, say from an earlier session, was replaced on the disk.
            if item not in self._finals:
                self._finals.append(item)
            self._changed.notify_all()

    def extra(self, make: Callable[[], ResultRun]) -> None:
        """Take over what is made and sent, as a final result is, when nothing else is to do."""
        with self._changed:
            self._extras.append(make)
            self._changed.notify_all()

    def wait_idle(self, timeout: float) -> bool:
        """Wait until everything is sent; False on time-out."""
        with self._changed:
            return self._changed.wait_for(
                lambda: not (self._finals or self._provisional or self._extras or self._busy),
                timeout,
            )

    def close(self, timeout: float) -> int:
        """Send what can be sent in time; returns how many results stay in the spool."""
        deadline = time.monotonic() + timeout
        with self._changed:
            self._closing = True
            self._changed.notify_all()
        self._thread.join(max(deadline - time.monotonic(), 0.0))
        if not self._thread.is_alive():
            self.sink.close()
        self._to_disk()
        self.spool.close()
        lost = sum(not isinstance(item, str) for item in tuple(self._finals))
        if lost:
            logger.error("%d results were in memory only and are lost", lost)
        return self.waiting

    def _work(self) -> None:
        delay = self._retry[0]
        while True:
            with self._changed:
                self._changed.wait_for(
                    lambda: self._finals or self._provisional or self._extras or self._closing
                )
                if not self._finals and self._closing:
                    return
                if self._finals:
                    kind, item = "final", self._finals[0]
                elif self._provisional:
                    kind, item = "provisional", self._provisional.pop(next(iter(self._provisional)))
                else:
                    kind, item = "extra", self._extras.popleft()
                self._busy = True
            ok = self._deliver(kind, item)
            with self._changed:
                self._busy = False
                self._changed.notify_all()
                if ok:
                    delay = self._retry[0]
                    continue
                if self._closing:
                    return
                # A final result that comes meanwhile is tried at once.
                tried = kind == "final"
                self._changed.wait_for(
                    lambda tried=tried: self._closing or (self._finals and not tried), delay
                )
                delay = min(2 * delay, self._retry[1])

    def _deliver(self, kind: str, item: Any) -> bool:
        """Bring one item to the sink; False when it has to be tried again."""
        try:
            if kind == "provisional":
                self.sink.provisional(item)
            elif kind == "final":
                self._deliver_final(item)
            else:
                self.final(item())
                return True
        except BaseException as error:  # noqa: BLE001 - nothing may end this thread
            if kind == "extra":  # it could not be made, which the sink has no part in
                logger.error("left out: %s: %s", type(error).__name__, error)
                return True
            self._say_failing(error)
            self._to_disk()
            return False
        if self.failing:
            logger.warning("%s takes results again", self.sink.name)
            self.failing = ""
        return True

    def _deliver_final(self, item: ResultRun | str) -> None:
        uid = item if isinstance(item, str) else item.uid
        try:
            self.sink.final(self._read(item) if isinstance(item, str) else item)
            self.sent += 1
            self._mark(self.spool.sent, uid)
        except _Disappeared:
            logger.error("result %s disappeared from the spool", uid)
        except Rejected as error:
            logger.error(
                "%s does not take result %s (%s); it is in %s",
                self.sink.name,
                uid,
                error,
                self.spool.folder / "rejected",
            )
            self.rejected += 1
            if not isinstance(item, str):
                self._mark(self.spool.add, item)
            self._mark(self.spool.rejected, uid, str(error))
        with self._changed:
            self._finals.popleft()

    def _mark(self, mark: Callable[..., None], *what: Any) -> None:
        """Move a result's file; one that stays is sent once more by the next session."""
        try:
            mark(*what)
        except OSError as error:
            logger.warning("the spool %s cannot be written: %s", self.spool.folder, error)

    def _to_disk(self) -> None:
        """Spool what a full disk has kept in memory, as soon as it can be."""
        with self._changed:
            for position, item in enumerate(self._finals):
                if isinstance(item, str):
                    continue
                try:
                    self.spool.add(item)
                except OSError:
                    return
                self._finals[position] = item.uid

    def _read(self, uid: str) -> ResultRun:
        try:
            return self.spool.read(uid)
        except FileNotFoundError as error:
            raise _Disappeared from error
        except (ValueError, TypeError) as error:
            raise Rejected(f"the file is damaged: {error}") from error

    def _say_failing(self, error: BaseException) -> None:
        known = isinstance(error, Unavailable)
        message = str(error) if known else f"{type(error).__name__}: {error}"
        if not self.failing:
            logger.warning(
                "%s takes no results (%s); the scan is not affected, results are kept in %s and "
                "sent when it returns",
                self.sink.name,
                message,
                self.spool.folder,
            )
        self.failing = message


class _Disappeared(Exception):  # noqa: N818 - somebody took the file away
    """A result is no longer in the spool."""
