"""Keep a worker alive, give it documents, and give them again to the next one when it dies.

Documents are on the disk before the worker sees them, and stay there until the results of their
run are. A run that has ended two workers is put aside and refused by name; the others go on.
"""

import contextlib
import threading
import time
from collections import Counter, deque
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from rankaae_stream.errors import ConfigurationError, describe
from rankaae_stream.layouts.base import Document
from rankaae_stream.printable import get_logger
from rankaae_stream.profile import Profile
from rankaae_stream.service.decode import NotADocument, encode
from rankaae_stream.service.journal import Journal, Kept
from rankaae_stream.service.process import WORKER, WorkerProcess, packed
from rankaae_stream.service.state import ServiceState
from rankaae_stream.service.worker import CLOSE, DOCUMENT, FINISH, REFUSE, SINCE

__all__ = ["Limits", "Supervisor"]

logger = get_logger(__name__)

IN_FLIGHT = 200
"""Documents that a worker is given before it has handled them."""

LOOK = 0.2
"""Seconds between looks at the worker."""

STRIKES = 2
"""Workers that one run may end."""

LOOK_AT_MEMORY = 2.0
"""Seconds between looks at the worker's memory."""

EARLY = 60.0
"""A worker that dies within so many seconds makes the next one wait longer."""

SESSIONS = 9
"""Sessions of one profile with a worker each, on one spool."""

STARTS_WITHIN = 120.0
"""Seconds in which a worker must have loaded its models."""


@dataclass(slots=True)
class Limits:
    """When a worker is ended, and how soon the next one begins.

    Attributes
    ----------
    deadline : float
        Seconds for which one document may keep the worker.
    memory : int
        Resident bytes at which the worker is replaced once no run is open, and at half as much
        again at once.
    pause : (first, longest)
        Seconds before the next worker, doubled after each that dies early.
    kept : int
        Bytes of documents that wait for the worker at which a bus is asked to pause.
    """

    deadline: float = 120.0
    memory: int = 2 << 30
    pause: tuple[float, float] = (0.5, 60.0)
    kept: int = 256 << 20


class Supervisor:
    """A worker process with the documents that it is answerable for.

    Parameters
    ----------
    profile : Profile
    limits : Limits, optional
    latency : callable, optional
        Receives the seconds from each run's stop document to its last result on the disk.
    program : sequence of str
        What is run as worker.
    json_logs : bool
        Whether the worker logs one JSON object a line.
    alone : bool
        Whether another one of this profile and spool is a mistake.

    Raises
    ------
    ConfigurationError
        When the worker says that a model or the Tiled key is wrong, or the documents cannot be
        kept beside the spool.
    """

    def __init__(
        self,
        profile: Profile,
        limits: Limits | None = None,
        *,
        latency: Callable[[float], object] = lambda _: None,
        program: Sequence[str] = WORKER,
        json_logs: bool = False,
        alone: bool = True,
    ) -> None:
        self.profile = profile
        self.limits = limits or Limits()
        self._latency = latency
        self._program = tuple(program)
        self._json_logs = json_logs
        self._journal = _open_journal(profile, alone=alone)
        self._changed = threading.Condition()
        self._queue: deque[tuple[bytes, Kept]] = deque()
        self._sent: deque[Kept] = deque()
        self._bytes = 0  # of both
        self._handled = 0
        self._moved_at = time.monotonic()
        self._strikes: Counter[str] = Counter()
        self._stopped: dict[str, float] = {}
        self._began = time.time()
        self._documents: Counter[str] = Counter()
        self._last_document = 0.0
        # What workers before this one have answered and refused.
        self._answered = 0
        self._refused: Counter[str] = Counter()
        self._profile_hash = profile.analysis_hash()
        self._told: dict[str, Any] = {}
        self._worker: Literal["starting", "running", "stalled", "stopped"] = "starting"
        self._restarts: Counter[str] = Counter()
        self._failing = ""
        self._process: WorkerProcess | None = None
        self._ending: bytes | None = None
        self._timeout = 10.0
        self._ready = threading.Event()
        self._wrong = ""
        self._again()
        self._thread = threading.Thread(target=self._run, name="rankaae-stream worker", daemon=True)
        self._thread.start()

    def wait_ready(self, timeout: float = STARTS_WITHIN) -> None:
        """Wait until the first worker has loaded its models.

        Raises
        ------
        ConfigurationError
            When it says what is wrong, or does not get that far.
        """
        there = self._ready.wait(timeout)
        if self._wrong or not there:
            self.close(0.0)
            raise ConfigurationError(self._wrong or f"no worker was ready within {timeout:.0f} s")

    # ---- for a bus, or a session's inbox ---------------------------------------------------

    def take(self, name: str, doc: Document) -> None:
        """Take a document; it is on the disk once `flush` has returned.

        Raises
        ------
        NotADocument
            When it cannot be kept.
        """
        with self._changed:
            try:
                kept = self._journal.add(name, doc)
            except (TypeError, ValueError, LookupError, AttributeError) as error:
                text = f"a {name} document cannot be kept: {describe(error)}"
                raise NotADocument("format", text) from error
            self._documents[name] += 1
            self._last_document = time.time()
            if name == "stop":
                self._stopped[kept.run] = time.monotonic()
            self._queue.append((DOCUMENT, kept))
            self._bytes += len(kept.payload)
            self._changed.notify_all()

    def flush(self) -> None:
        """Bring what was taken to the disk."""
        with self._changed:
            self._journal.flush()

    def full(self) -> bool:
        """Return whether a bus should pause."""
        return self._bytes > self.limits.kept

    # ---- how it is ---------------------------------------------------------------------------

    @property
    def waiting(self) -> int:
        """Documents that are taken and not handled."""
        return len(self._queue) + len(self._sent)

    def at_work(self, *, series: bool = True) -> bool:
        """Return whether documents wait, or the worker has files to wait for or series to show."""
        told = self._told
        return bool(
            self.waiting or told.get("waits_for_files") or (series and told.get("series_pending"))
        )

    def wait_idle(self, timeout: float) -> bool:
        """Wait until all that was taken is answered and published; False on time-out."""
        with self._changed:
            return self._changed.wait_for(
                lambda: not self.at_work() and not self._told.get("unsent"), timeout
            )

    def state(self) -> ServiceState:
        """Return how things are; the source's part is filled by who has one."""
        told = self._told
        return ServiceState(
            profile=self.profile.name,
            profile_hash=self._profile_hash,
            models=told.get("models", {}),
            device=told.get("device", ""),
            began=self._began,
            documents=dict(self._documents),
            last_document=self._last_document,
            last_result=told.get("answered_at", 0.0),
            waiting=self.waiting,
            oldest_waiting=self._oldest_waiting(),
            open_runs=told.get("open_runs", 0),
            answered=told.get("answered", 0) + self._answered,
            refused=dict(self._refused + Counter(told.get("refused", {}))),
            unsent=told.get("unsent", 0),
            oldest_unsent=told.get("oldest_unsent", 0.0),
            kept_bytes=self._journal.bytes,
            quarantined=self._journal.put_aside_runs,
            worker=self._worker,
            restarts=dict(self._restarts),
            memory=_resident(self._process.pid) if self._process is not None else 0,
            failing=self._failing or told.get("failing", ""),
        )

    def _oldest_waiting(self) -> float:
        with contextlib.suppress(IndexError):  # handled or given meanwhile
            if self._sent:
                return self._sent[0].since
            if self._queue:
                return self._queue[0][1].since
        return 0.0

    def close(self, timeout: float = 10.0, *, finish: bool = False) -> int:
        """End the worker; open runs are answered with `finish`, else left to the next service.

        Returns
        -------
        int
            How many final results stay in the spool.
        """
        with self._changed:
            self._ending, self._timeout = (FINISH if finish else CLOSE), timeout
            self._changed.notify_all()
        self._thread.join(timeout + 15.0)
        self._journal.close()
        return int(self._told.get("unsent", 0))

    # ---- the thread that has the worker ------------------------------------------------------

    def _run(self) -> None:
        pause = self.limits.pause[0]
        while True:
            began = time.monotonic()
            reason = self._live()
            if reason == "":
                return
            self._worker = "stopped"
            self._restarts[reason] += 1
            self._after_death(reason)
            early = time.monotonic() - began < EARLY
            pause = min(2 * pause, self.limits.pause[1]) if early else self.limits.pause[0]
            with self._changed:
                wait = pause if reason != "memory" else 0.0
                self._changed.wait_for(lambda: self._ending is not None, wait)
                if self._ending is not None:
                    return

    def _live(self) -> str:
        """Have a worker until it ends; return why, an empty text where that was asked for."""
        settings = self.profile.model_dump(mode="json", by_alias=True, exclude={"tiled_api_key"})
        settings["tiled_api_key"] = self.profile.known_key
        first = {"profile": settings, "json_logs": self._json_logs}
        self._worker = "starting"
        self._handled, self._moved_at = 0, time.monotonic()
        process = self._process = WorkerProcess(self._program, first, self._hear)
        giver = threading.Thread(target=self._give, args=(process,), daemon=True)
        giver.start()
        try:
            return self._watch(process)
        finally:
            process.kill()

    def _watch(self, process: WorkerProcess) -> str:
        looked = time.monotonic()
        while True:
            with self._changed:
                self._changed.wait_for(
                    lambda: self._ending is not None and not self.waiting, timeout=LOOK
                )
            if process.exit_code is not None:
                process.wait(LOOK)  # for its last words
                return "" if self._wrong and not self._restarts.total() else "crash"
            now = time.monotonic()
            if self._ending is not None and not self.waiting:
                with contextlib.suppress(OSError, ValueError):
                    process.send(self._ending + packed(self._timeout))
                process.wait(self._timeout + 2.0)
                self._worker = "stopped"
                return ""
            late = self.limits.deadline if self._worker == "running" else STARTS_WITHIN
            if (self._sent or self._worker == "starting") and now - self._moved_at > late:
                self._worker = "stalled"
                return "stalled"
            if self._worker == "running" and now - looked > LOOK_AT_MEMORY:
                looked = now
                if self._is_too_large(process):
                    return "memory"

    def _is_too_large(self, process: WorkerProcess) -> bool:
        """Return whether a worker has too much memory; in a calm moment let it end in order."""
        used = _resident(process.pid)
        calm = not self._told.get("open_runs") and not self.waiting
        if used <= (1.0 if calm else 1.5) * self.limits.memory:
            return False
        logger.warning("the worker has %d MB; another takes its place", used >> 20)
        if calm:
            with contextlib.suppress(OSError, ValueError):
                process.send(CLOSE + packed(self._timeout))
            process.wait(self._timeout + 2.0)
        return True

    def _give(self, process: WorkerProcess) -> None:
        """Send documents to a worker as long as it keeps up; in a thread of its own.

        A worker that hangs does not read, and whoever writes to it hangs with it.
        """
        while True:
            with self._changed:
                self._changed.wait_for(lambda: self._may_give() or self._is_over(process), LOOK)
                if self._is_over(process):
                    return
                if not self._may_give():
                    continue
                kind, kept = self._queue.popleft()
                if not self._sent:
                    self._moved_at = time.monotonic()
                self._sent.append(kept)
            try:
                process.send(kind + SINCE.pack(kept.since), kept.payload)
            except (OSError, ValueError):
                return  # the worker is gone; its documents are queued again

    def _may_give(self) -> bool:
        return self._worker == "running" and bool(self._queue) and len(self._sent) < IN_FLIGHT

    def _is_over(self, process: WorkerProcess) -> bool:
        return self._process is not process or process.exit_code is not None

    def _hear(self, told: Mapping[str, Any]) -> None:
        if "wrong" in told:
            self._wrong = self._failing = str(told["wrong"])
            self._ready.set()
            return
        with self._changed:
            for _ in range(int(told["handled"]) - self._handled):
                self._bytes -= len(self._sent.popleft().payload)
            if told["handled"] != self._handled:
                self._moved_at = time.monotonic()
            self._handled = int(told["handled"])
            for run in told["ended"]:
                self._journal.forget(run)
                self._strikes.pop(run, None)
                stopped = self._stopped.pop(run, None)
                if stopped is not None:
                    self._latency(time.monotonic() - stopped)
            self._told = {**self._told, **told}
            self._worker, self._failing = "running", ""
            self._changed.notify_all()
        self._ready.set()

    def _after_death(self, reason: str) -> None:
        """Count the run that a worker died of, and queue again what it was answerable for."""
        code = self._process.exit_code if self._process is not None else None
        culprit = self._sent[0].run if self._sent else ""
        what = f"run {culprit}" if culprit else "no document"
        self._failing = f"the worker ended ({reason}, exit status {code}) at {what}"
        logger.error("%s; another takes its place, and the scan is not affected", self._failing)
        with self._changed:
            self._answered += int(self._told.get("answered", 0))
            self._refused.update(self._told.get("refused", {}))
            self._told = {**self._told, "answered": 0, "refused": {}, "open_runs": 0}
            if culprit and reason != "memory":
                self._strikes[culprit] += 1
            aside = culprit if self._strikes[culprit] >= STRIKES else ""
            self._again(aside, self._failing)
            self._changed.notify_all()

    def _again(self, aside: str = "", why: str = "") -> None:
        """Queue all documents of unanswered runs, but for a run that is put aside and refused."""
        unowned = [item for item in self._queue if item[0] == REFUSE or not item[1].run]
        self._sent.clear()
        self._queue.clear()
        if aside:
            start = self._journal.put_aside(aside, why)
            self._strikes.pop(aside, None)
            logger.error("run %s has ended %d workers and is put aside", aside, STRIKES)
            if start is not None:
                refusal = {"name": "crash", "message": f"its analysis ended {STRIKES} times: {why}"}
                unowned.append((REFUSE, _refusal(start, refusal)))
        self._queue.extend(unowned)
        self._queue.extend((DOCUMENT, kept) for kept in self._journal.unfinished())
        self._bytes = sum(len(kept.payload) for _, kept in self._queue)


def _open_journal(profile: Profile, *, alone: bool) -> Journal:
    """Return the documents of a profile; others' own where another session has the first.

    Raises
    ------
    ConfigurationError
    """
    plain = profile.folder_name
    above = profile.spool.expanduser() / "documents"
    places = [above / plain, *(above / f"{plain}.{number}" for number in range(2, SESSIONS + 1))]
    for place in places[: 1 if alone else None]:
        try:
            journal = Journal(place)
            for other in places:
                journal.take_over(other)
        except BlockingIOError:
            continue
        except OSError as error:
            raise ConfigurationError(
                f"cannot keep documents in {place} ({error.strerror}); set spool in profile "
                f"{profile.name!r} to a folder that can be written"
            ) from error
        return journal
    raise ConfigurationError(
        f"another service or session of profile {profile.name!r} keeps its documents in "
        f"{places[0]}; end it, or set spool to another folder"
    )


def _refusal(start: Document, refusal: Mapping[str, str]) -> Kept:
    return Kept(-1, "", encode("start", {**start, "refusal": dict(refusal)}))


def _resident(pid: int | None) -> int:
    """Return the resident bytes of a process; 0 where the system does not tell."""
    try:
        pages = int(Path(f"/proc/{pid}/statm").read_text(encoding="ascii").split()[1])
    except (OSError, ValueError, IndexError):
        return 0
    return pages * 4096
