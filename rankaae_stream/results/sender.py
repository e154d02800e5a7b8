"""Send results to one sink, in a thread of its own.

Final results are sent in order from the spool, and leave in no other way. Provisional
results are sent while no final one is ready: only the latest of each run, and never spooled.

No result holds another. One that the sink cannot take goes to the end of the line and is
tried again after a growing pause; if it still fails after `PUT_ASIDE` while others are taken,
it is put aside with the sink's address and answer. Where the sink takes nothing at all, all
wait.
"""

import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal, NamedTuple

from rankaae_stream.errors import describe
from rankaae_stream.printable import get_logger
from rankaae_stream.results.compose import ResultRun
from rankaae_stream.results.compose_series import PURPOSE as SERIES
from rankaae_stream.results.late import LateNotice
from rankaae_stream.results.sinks import Postponed, Rejected, Sink, Unavailable
from rankaae_stream.results.spool import Spool
from rankaae_stream.results.what_if import PURPOSE

__all__ = ["Sender"]

logger = get_logger(__name__)

PUT_ASIDE = 3600.0
"""Seconds for which one result may fail while others are taken."""

LOOK = 5.0
"""Seconds between looks into the spool for results of other sessions."""

ADOPT = 30.0
"""Age (s) at which a result that another session has left in the spool is sent by this one:
a session that lives has sent it by then, or finds that it was sent."""


@dataclass(slots=True)
class Waiting:
    """A final result in the line.

    Attributes
    ----------
    uid : str
    run : ResultRun or None
        None where the spool holds it.
    extra : bool
        Whether it is a model's what-if curves: results go first.
    since, until : float
        When it first failed, and when it is tried again; monotonic seconds, 0 at first.
    reason : str
        Why it failed last.
    failures : int
    taken : float
        Since when it waits, seconds since the epoch.
    """

    uid: str
    run: ResultRun | None = None
    extra: bool = False
    since: float = 0.0
    until: float = 0.0
    reason: str = ""
    failures: int = 0
    taken: float = field(default_factory=time.time)


class Verdict(NamedTuple):
    """The outcome of one attempt to send a result.

    `postponed`: this result has to be tried again, others may be taken; `failed`: the sink
    takes nothing now.
    """

    kind: Literal["taken", "rejected", "missing", "postponed", "failed"]
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
    put_aside, look, adopt : float
        See `PUT_ASIDE`, `LOOK` and `ADOPT`, s.
    """

    def __init__(
        self,
        sink: Sink,
        spool: Spool,
        retry: tuple[float, float] = (0.5, 30.0),
        *,
        put_aside: float = PUT_ASIDE,
        look: float = LOOK,
        adopt: float = ADOPT,
    ) -> None:
        self.sink = sink
        self.spool = spool
        self._retry = retry
        self._put_aside_after, self._look, self._adopt = put_aside, look, adopt
        self._changed = threading.Condition()
        self._line: list[Waiting] = []
        self._provisional: dict[str, ResultRun] = {}
        self._shown: set[str] = set()
        self._left: dict[str, Mapping[str, Any] | None] = {}
        self._notice: LateNotice | None = None
        self._busy = False
        self._closing = False
        self._looked = self._taken = float("-inf")
        self._blocked = ""
        self._postponing = False
        self.sent = self.rejected = 0
        if spool.owner:
            self._take_over(0.0)
        name = f"rankaae-stream send {sink.name}"
        self._thread = threading.Thread(target=self._work, name=name, daemon=True)
        self._thread.start()

    @property
    def waiting(self) -> int:
        """Final results not yet sent."""
        return len(self._line)

    @property
    def in_memory(self) -> bool:
        """Whether one of them is not on the disk, because that is full."""
        return any(waiting.run is not None for waiting in tuple(self._line))

    @property
    def oldest(self) -> float:
        """Since when the oldest of them waits, seconds since the epoch; 0 where none does."""
        return min((waiting.taken for waiting in tuple(self._line)), default=0.0)

    @property
    def blocked(self) -> bool:
        """Whether the sink took nothing at the last attempt."""
        return bool(self._blocked)

    @property
    def failing(self) -> str:
        """Why results wait: the sink takes nothing, or not these; empty where none does."""
        if self._blocked:
            return self._blocked
        postponed = [waiting for waiting in tuple(self._line) if waiting.failures]
        if not postponed:
            return ""
        what = "a result is" if len(postponed) == 1 else f"{len(postponed)} results are"
        return f"{what} tried again later: {postponed[0].reason}"

    def provisional(self, run: ResultRun) -> None:
        """Send a provisional result when there is time; a later one of its run replaces it."""
        with self._changed:
            self._provisional[run.uid] = run
            self._changed.notify_all()

    def notice(self, notice: LateNotice) -> None:
        """Say before anything else that results are late, or are not any more."""
        with self._changed:
            self._notice = notice
            self._changed.notify_all()

    def final(self, run: ResultRun) -> None:
        """Take over a final result; it is on the disk when this returns."""
        waiting = Waiting(run.uid, extra=run.start.get("purpose") == PURPOSE)
        try:
            self.spool.add(run)
        except OSError as error:
            logger.error(
                "cannot write to the spool %s (%s); kept in memory", self.spool.folder, error
            )
            waiting.run = run
        with self._changed:
            self._provisional.pop(run.uid, None)
            # One that waits already, say from an earlier session, was replaced on the disk.
            if waiting.run is not None or not self._is_waiting(run.uid):
                self._line.append(waiting)
            self._changed.notify_all()

    def wait_idle(self, timeout: float) -> bool:
        """Wait until everything is sent; return False on time-out."""
        with self._changed:
            return self._changed.wait_for(
                lambda: not (self._line or self._provisional or self._left or self._busy), timeout
            )

    def close(self, timeout: float) -> int:
        """Send what can be sent in time; return how many results stay in the spool."""
        deadline = time.monotonic() + timeout
        with self._changed:
            self._closing = True
            for waiting in self._line:
                waiting.until = 0.0  # each has one more attempt
            self._changed.notify_all()
        self._thread.join(max(deadline - time.monotonic(), 0.0))
        if not self._thread.is_alive():
            self.sink.close()
        self._to_disk()
        self.spool.close()
        lost = sum(waiting.run is not None for waiting in tuple(self._line))
        if lost:
            logger.error("%d results were in memory only and are lost", lost)
        return self.waiting

    def _work(self) -> None:
        delay = self._retry[0]
        while (item := self._next()) is not None:
            verdict = self._send(item)
            with self._changed:
                self._busy = False
                self._changed.notify_all()
                if verdict.kind != "failed":
                    delay = self._retry[0]
                elif self._closing:
                    return
                else:
                    self._pause(delay, after_final=isinstance(item, Waiting))
                    delay = min(2 * delay, self._retry[1])

    def _next(self) -> "Waiting | ResultRun | LateNotice | str | None":
        """Wait for what to do next: a final result, a run to end, a provisional result.

        Returns
        -------
        Waiting, str (uid of a run that a killed session left), ResultRun (provisional),
        LateNotice, or None when it is time to end.
        """
        with self._changed:
            while True:
                self._look_into_spool()
                now = time.monotonic()
                # Results first, and of them those that never failed, in their order.
                ready = [waiting for waiting in self._line if waiting.until <= now]
                item: Waiting | ResultRun | LateNotice | str | None = None
                # What says that the others wait does not; at the end it says what is left.
                if self._notice is not None and not (self._closing and ready):
                    item, self._notice = self._notice, None
                elif self._left:
                    item = next(iter(self._left))
                elif ready:
                    item = min(ready, key=lambda waiting: (waiting.extra, waiting.failures))
                elif self._provisional and not self._closing:
                    item = self._provisional.pop(next(iter(self._provisional)))
                self._busy = item is not None
                if self._busy or self._closing:
                    return item
                self._changed.notify_all()
                ends = [waiting.until for waiting in self._line] + [self._looked + self._look]
                self._changed.wait(max(min(ends) - now, 0.01))

    def _look_into_spool(self) -> None:
        """Take over, from time to time, what another session could not send before it ended."""
        now = time.monotonic()
        if self._closing or now - self._looked < self._look:
            return
        self._looked = now
        try:
            if self.spool.claim():
                self._take_over(self._adopt)
        except OSError as error:
            logger.warning("the spool %s cannot be read: %s", self.spool.folder, error)

    def _take_over(self, older_than: float) -> None:
        for uid, stop in self.spool.left_growing().items():
            self._left[uid] = stop
        for uid in self.spool.waiting(older_than):
            if uid in self._left:
                self._left[uid] = None  # its final result follows
            if not self._is_waiting(uid):
                taken = self.spool.written(uid)
                self._line.append(Waiting(uid, extra=self.spool.is_extra(uid), taken=taken))

    def _is_waiting(self, uid: str) -> bool:
        return any(waiting.uid == uid for waiting in self._line)

    def _pause(self, seconds: float, *, after_final: bool) -> None:
        """Wait before the next attempt; a final result is not kept waiting by a provisional one."""
        self._changed.wait_for(lambda: self._closing or (self._line and not after_final), seconds)

    def _send(self, item: "Waiting | ResultRun | LateNotice | str") -> Verdict:
        if isinstance(item, Waiting):
            verdict = self._send_final(item)
        elif isinstance(item, LateNotice):
            return self._send_notice(item)
        elif isinstance(item, str):
            verdict = self._end_abandoned(item)
        else:
            verdict = self._send_provisional(item)
        self._note(verdict)
        return verdict

    def _send_provisional(self, run: ResultRun) -> Verdict:
        # What is shown of a series is whole, also when no more comes: nothing is left to be ended.
        if run.uid not in self._shown and run.start.get("purpose") != SERIES:
            # Before it is begun: a session may be killed at any moment.
            self._shown.add(run.uid)
            self._mark(self.spool.growing, run.uid, _abandoned(run.stop))
        verdict = _attempt(self.sink.provisional, run)
        if verdict.kind == "postponed" and not self._line:
            # Nothing is lost by it, but somebody who looks at the sink sees an old answer.
            return verdict._replace(kind="failed")
        return verdict

    def _send_notice(self, notice: LateNotice) -> Verdict:
        """Write a notice; whether it succeeds says nothing of results, and it is due again."""
        run = notice.compose()
        if _attempt(self.sink.provisional, run).kind == "taken":
            notice.taken(run)
        return Verdict("postponed")

    def _end_abandoned(self, uid: str) -> Verdict:
        stop = self._left[uid]
        # A sink of another package may have no such method: it knows what to do by itself.
        abandon = getattr(self.sink, "abandon", None)
        verdict = _attempt(abandon, uid, stop) if abandon else Verdict("taken")
        if verdict.kind != "failed":
            with self._changed:
                del self._left[uid]
            if stop is not None:
                self._mark(self.spool.grown, uid)
        return verdict

    def _send_final(self, waiting: Waiting) -> Verdict:
        verdict = self._bring(waiting)
        now = time.monotonic()
        if verdict.kind == "postponed":
            waiting.since = waiting.since or now
            # While the sink takes others, the fault is this result's own.
            if now - waiting.since > self._put_aside_after and self._taken > waiting.since:
                verdict = Verdict("rejected", verdict.reason)
            else:
                self._postpone(waiting, verdict.reason, now)
        over = verdict.kind == "missing"
        if verdict.kind == "taken":
            self._taken = now
            self.sent += 1
            over = self._mark(self.spool.sent, waiting.uid)
        elif verdict.kind == "rejected":
            over = self._put_aside(waiting, verdict.reason)
        # A better answer that came meanwhile, say of a replay, waits in its place.
        if over:
            self._shown.discard(waiting.uid)
            self._mark(self.spool.grown, waiting.uid)
            with self._changed:
                self._line.remove(waiting)
        return verdict

    def _bring(self, waiting: Waiting) -> Verdict:
        try:
            run = waiting.run or self.spool.read(waiting.uid)
        except FileNotFoundError:
            if not self.spool.is_sent(waiting.uid):
                logger.error("result %s disappeared from the spool", waiting.uid)
            return Verdict("missing")
        except ValueError as error:
            return Verdict("rejected", f"the file is damaged or no result: {error}")
        except Exception as error:  # noqa: BLE001 - nothing may end this thread
            return Verdict("postponed", _sentence(error))
        return _attempt(self.sink.final, run)

    def _postpone(self, waiting: Waiting, reason: str, now: float) -> None:
        first, longest = self._retry
        waiting.failures += 1
        waiting.reason = reason
        pause = min(first * 2 ** min(waiting.failures - 1, 16), longest)
        waiting.until = float("inf") if self._closing else now + pause
        if not self._postponing:
            logger.warning(
                "%s does not take result %s now (%s); the others go on, and it is tried again; "
                "results are kept in %s",
                self.sink.name,
                waiting.uid,
                reason,
                self.spool.folder,
            )
        self._postponing = True

    def _put_aside(self, waiting: Waiting, reason: str) -> bool:
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
        return self._mark(self.spool.rejected, waiting.uid, reason)

    def _mark(self, mark: Callable[..., object], *what: Any) -> bool:
        """Move a result's file; one that stays is sent once more by the next session.

        Return False where another answer has taken the result's place.
        """
        try:
            return mark(*what) is not False
        except (OSError, ValueError) as error:
            logger.warning("the spool %s cannot be written: %s", self.spool.folder, error)
            return True

    def _to_disk(self) -> None:
        """Spool what a full disk has kept in memory, as soon as there is room."""
        with self._changed:
            for waiting in self._line:
                if waiting.run is None:
                    continue
                try:
                    self.spool.add(waiting.run)
                except OSError:
                    return
                waiting.run = None

    def _note(self, verdict: Verdict) -> None:
        """Keep `failing` and the log up to date."""
        if verdict.kind == "failed":
            if not self._blocked:
                logger.warning(
                    "%s takes no results (%s); the scan is not affected, results are kept in %s "
                    "and sent when it returns",
                    self.sink.name,
                    verdict.reason,
                    self.spool.folder,
                )
            self._blocked = verdict.reason
        elif verdict.kind == "postponed":
            self._blocked = ""  # it answers again, though not what was hoped for
        else:
            late = any(waiting.failures for waiting in tuple(self._line))
            if self._blocked or (self._postponing and not late):
                logger.warning("%s takes results again", self.sink.name)
            self._blocked, self._postponing = "", self._postponing and late
        if verdict.kind in ("failed", "postponed"):
            self._to_disk()


def _attempt(send: Callable[..., None], *what: Any) -> Verdict:
    try:
        send(*what)
    except Rejected as error:
        return Verdict("rejected", str(error))
    except Unavailable as error:
        return Verdict("failed", str(error))
    except BaseException as error:  # noqa: BLE001 - nothing may end this thread
        return Verdict("postponed", _sentence(error))
    return Verdict("taken")


def _sentence(error: BaseException) -> str:
    return str(error) if isinstance(error, Postponed) else describe(error)


def _abandoned(stop: Mapping[str, Any]) -> dict[str, Any]:
    """Return the stop document of a run whose session is killed before it is final."""
    summary: dict[str, Any] = dict(stop.get("summary") or {})
    message = "the session ended before the scan did: a replay of the run has the whole answer"
    flag = {"severity": "warning", "value": None, "unit": "", "message": message}
    summary["flags"] = {**(summary.get("flags") or {}), "no_stop": flag}
    return {**stop, "exit_status": "abort", "reason": message, "summary": summary}
