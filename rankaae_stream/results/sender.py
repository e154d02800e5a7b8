"""Send results to one sink, in a thread of its own.

Final results are sent in order from the spool, and leave in no other way. Provisional
results are sent while no final one waits: only the latest of each run, and never spooled.
"""

import logging
import threading
import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal, NamedTuple

from rankaae_stream.results.compose import ResultRun
from rankaae_stream.results.sinks import Rejected, Sink, Unavailable
from rankaae_stream.results.spool import Spool

__all__ = ["Sender"]

logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Waiting:
    """A final result in the line; `run` is None where the spool holds it."""

    uid: str
    run: ResultRun | None = None


class Verdict(NamedTuple):
    """The outcome of one attempt to send a result; `failed` means to try again."""

    kind: Literal["taken", "rejected", "missing", "failed"]
    reason: str = ""


class Sender:
    """Send results to one sink: final ones in order from the spool, provisional ones when idle.

    Parameters
    ----------
    sink : Sink
    spool : Spool
        Of this sink alone; what earlier sessions left there is sent too.
    retry : (first, longest)
        Seconds to wait after a failure, doubled each time.
    """

    def __init__(self, sink: Sink, spool: Spool, retry: tuple[float, float] = (0.5, 30.0)) -> None:
        self.sink = sink
        self.spool = spool
        self._retry = retry
        self._changed = threading.Condition()
        left = spool.waiting() if spool.owner else []
        self._finals = deque(Waiting(uid) for uid in left)
        self._provisional: dict[str, ResultRun] = {}
        self._busy = False
        self._closing = False
        self.sent = self.rejected = 0
        self.failing = ""
        name = f"rankaae-stream send {sink.name}"
        self._thread = threading.Thread(target=self._work, name=name, daemon=True)
        self._thread.start()

    @property
    def waiting(self) -> int:
        """Final results not yet sent."""
        return len(self._finals)

    def provisional(self, run: ResultRun) -> None:
        """Send a provisional result when there is time; a later one of its run replaces it."""
        with self._changed:
            self._provisional[run.uid] = run
            self._changed.notify_all()

    def final(self, run: ResultRun) -> None:
        """Take over a final result; it is on the disk when this returns."""
        waiting = Waiting(run.uid)
        try:
            self.spool.add(run)
        except OSError as error:
            logger.error(
                "cannot write to the spool %s (%s); kept in memory", self.spool.folder, error
            )
            waiting = Waiting(run.uid, run)
        with self._changed:
            self._provisional.pop(run.uid, None)
            # One that waits already, say from an earlier session, was replaced on the disk.
            if waiting not in self._finals:
                self._finals.append(waiting)
            self._changed.notify_all()

    def wait_idle(self, timeout: float) -> bool:
        """Wait until everything is sent; return False on time-out."""
        with self._changed:
            return self._changed.wait_for(
                lambda: not (self._finals or self._provisional or self._busy), timeout
            )

    def close(self, timeout: float) -> int:
        """Send what can be sent in time; return how many results stay in the spool."""
        deadline = time.monotonic() + timeout
        with self._changed:
            self._closing = True
            self._changed.notify_all()
        self._thread.join(max(deadline - time.monotonic(), 0.0))
        if not self._thread.is_alive():
            self.sink.close()
        self._to_disk()
        self.spool.close()
        lost = sum(waiting.run is not None for waiting in tuple(self._finals))
        if lost:
            logger.error("%d results were in memory only and are lost", lost)
        return self.waiting

    def _work(self) -> None:
        delay = self._retry[0]
        while (item := self._next()) is not None:
            final = isinstance(item, Waiting)
            done = self._send_final(item) if final else self._send_provisional(item)
            with self._changed:
                self._busy = False
                self._changed.notify_all()
                if done:
                    delay = self._retry[0]
                elif self._closing:
                    return
                else:
                    self._pause(delay, after_final=final)
                    delay = min(2 * delay, self._retry[1])

    def _next(self) -> Waiting | ResultRun | None:
        """Wait for the next result to send; return None when it is time to end."""
        with self._changed:
            self._changed.wait_for(lambda: self._finals or self._provisional or self._closing)
            if self._finals:
                self._busy = True
                return self._finals[0]
            if self._closing:
                return None
            self._busy = True
            return self._provisional.pop(next(iter(self._provisional)))

    def _pause(self, seconds: float, *, after_final: bool) -> None:
        """Wait before the next attempt; a final result is not kept waiting by a provisional one."""
        self._changed.wait_for(lambda: self._closing or (self._finals and not after_final), seconds)

    def _send_provisional(self, run: ResultRun) -> bool:
        """Send a provisional result; return False when the sink did not take it."""
        verdict = _attempt(self.sink.provisional, run)
        return self._note(verdict.kind == "taken", verdict.reason)

    def _send_final(self, waiting: Waiting) -> bool:
        """Send the first of the line; return False when it has to be tried again."""
        verdict = self._bring(waiting)
        if verdict.kind == "taken":
            self.sent += 1
            self._mark(self.spool.sent, waiting.uid)
        elif verdict.kind == "missing":
            logger.error("result %s disappeared from the spool", waiting.uid)
        elif verdict.kind == "rejected":
            self._put_aside(waiting, verdict.reason)
        if verdict.kind != "failed":
            with self._changed:
                self._finals.popleft()
        return self._note(verdict.kind != "failed", verdict.reason)

    def _bring(self, waiting: Waiting) -> Verdict:
        try:
            run = waiting.run or self.spool.read(waiting.uid)
        except FileNotFoundError:
            return Verdict("missing")
        except (ValueError, TypeError, RecursionError) as error:
            return Verdict("rejected", f"the file is damaged: {error}")
        except Exception as error:  # noqa: BLE001 - nothing may end this thread
            return Verdict("failed", _sentence(error))
        return _attempt(self.sink.final, run)

    def _put_aside(self, waiting: Waiting, reason: str) -> None:
        logger.error(
            "%s does not take result %s (%s); it is in %s",
            self.sink.name,
            waiting.uid,
            reason,
            self.spool.folder / "rejected",
        )
        self.rejected += 1
        if waiting.run is not None:
            self._mark(self.spool.add, waiting.run)
        self._mark(self.spool.rejected, waiting.uid, reason)

    def _mark(self, mark: Callable[..., None], *what: Any) -> None:
        """Move a result's file; one that stays is sent once more by the next session."""
        try:
            mark(*what)
        except OSError as error:
            logger.warning("the spool %s cannot be written: %s", self.spool.folder, error)

    def _to_disk(self) -> None:
        """Spool what a full disk has kept in memory, as soon as there is room."""
        with self._changed:
            for position, waiting in enumerate(self._finals):
                if waiting.run is None:
                    continue
                try:
                    self.spool.add(waiting.run)
                except OSError:
                    return
                self._finals[position] = Waiting(waiting.uid)

    def _note(self, works: bool, reason: str) -> bool:
        """Keep `failing` and the log up to date; return whether the sink works."""
        if works:
            if self.failing:
                logger.warning("%s takes results again", self.sink.name)
            self.failing = ""
            return True
        if not self.failing:
            logger.warning(
                "%s takes no results (%s); the scan is not affected, results are kept in %s and "
                "sent when it returns",
                self.sink.name,
                reason,
                self.spool.folder,
            )
        self.failing = reason
        self._to_disk()
        return False


def _attempt(send: Callable[[ResultRun], None], run: ResultRun) -> Verdict:
    try:
        send(run)
    except Rejected as error:
        return Verdict("rejected", str(error))
    except BaseException as error:  # noqa: BLE001 - nothing may end this thread
        return Verdict("failed", _sentence(error))
    return Verdict("taken")


def _sentence(error: BaseException) -> str:
    return str(error) if isinstance(error, Unavailable) else f"{type(error).__name__}: {error}"
