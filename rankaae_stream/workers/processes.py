"""Workers as spawned processes, each with a pipe: which task a dead one had is known.

The pipes carry pickles, between a process and the one that started it only. A pool of the
standard library is not used: where one process dies, a Pool hangs and an executor is broken as a
whole.
"""

import contextlib
import multiprocessing
import os
import signal
import threading
import time
from collections.abc import Collection, Generator, Iterator
from dataclasses import dataclass, field
from multiprocessing.connection import Connection, wait
from multiprocessing.process import BaseProcess
from typing import Any

from rankaae_stream.errors import ConfigurationError
from rankaae_stream.past.selection import Selection
from rankaae_stream.profile import Profile
from rankaae_stream.spectra.foils import Use
from rankaae_stream.workers.one_run import Answer, Lookup, Question, Task, Worker
from rankaae_stream.workers.side_by_side import Answered, Died, Read

__all__ = ["DEADLINE", "Processes", "Setup"]

DEADLINE = 600.0
"""Seconds after which a process that has not answered a task is ended."""

FAILED_STARTS = 3
"""Processes that may die one after the other before they have begun anything."""

NICE = 5
"""Lower priority of the processes: a live session on the same machine comes first."""

ONE_THREAD = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS")
"""Environment variables by which libraries take one thread; the processes share the cores."""


@dataclass(frozen=True, slots=True, eq=False)
class Setup:
    """What all tasks share.

    Attributes
    ----------
    profile : Profile
        Without the key for Tiled.
    selection : Selection
    finished : collection of str
    models : mapping of str
        Ids by edge, and `code_version`: a worker that has others would give other numbers.
    own : (uri, key)
        See `past.references.Access`.
    """

    profile: Profile
    selection: Selection
    finished: Collection[str]
    models: dict[str, str]
    code_version: str
    own: tuple[str, str | None]

    def build(self) -> Worker:
        """Load the models.

        Raises
        ------
        ConfigurationError
            When they are not those that the program that began the replay has.
        """
        from rankaae_stream.loading import load_analysis
        from rankaae_stream.past.references import Access

        analysis = load_analysis(self.profile)
        models = {edge: model.card.id for edge, model in analysis.models.items()}
        if (models, analysis.code_version) != (self.models, self.code_version):
            raise ConfigurationError(
                f"a worker has version {analysis.code_version} of rankaae-stream or other models, "
                f"the program that began the replay has {self.code_version}; install the same"
            )
        return Worker(
            profile=self.profile,
            analysis=analysis,
            access=Access(self.own),
            selection=self.selection,
            finished=self.finished,
        )


@dataclass(slots=True, eq=False)
class _Hand:
    process: BaseProcess
    pipe: "Connection[Any, Any]"
    ready: bool = False
    number: int | None = None
    since: float = field(default_factory=time.monotonic)


class Processes:
    """A crew of processes; a context manager.

    Parameters
    ----------
    count : int
    setup : Setup
        Sent to each once, through its pipe.

    Raises
    ------
    ConfigurationError
        When the processes cannot begin.
    """

    def __init__(self, count: int, setup: Setup) -> None:
        self._context = multiprocessing.get_context("spawn")
        self._setup = setup
        self._failed = 0
        self._hands: list[_Hand] = []
        try:
            for _ in range(count):
                self._hands.append(self._start())
        except BaseException:
            self.close()
            raise

    def __enter__(self) -> "Processes":
        return self

    def __exit__(self, *exc_info: object) -> None:
        self.close()

    @property
    def size(self) -> int:
        """How many there are."""
        return len(self._hands)

    @property
    def free(self) -> bool:
        """Whether one has nothing to do."""
        return any(hand.ready and hand.number is None for hand in self._hands)

    @property
    def pids(self) -> list[int]:
        """The processes' numbers."""
        return [hand.process.pid or 0 for hand in self._hands]

    def submit(self, number: int, task: Task) -> None:
        """Send a task to a process that has nothing to do."""
        hand = next(hand for hand in self._hands if hand.ready and hand.number is None)
        hand.number, hand.since = number, time.monotonic()
        with contextlib.suppress(OSError):  # it is dead, which `wait` finds
            hand.pipe.send(task)

    def wait(self, timeout: float, lookup: Lookup) -> Iterator[Read | Answered | Died]:
        """Yield what the processes say, and which are dead or over their time."""
        ends: dict[Any, _Hand] = {}
        for hand in self._hands:
            ends[hand.pipe] = ends[hand.process.sentinel] = hand
        hands = {id(ends[end]): ends[end] for end in wait(list(ends), timeout)}
        for hand in hands.values():
            yield from self._listen(hand, lookup)
        for hand in list(self._hands):
            if hand.number is not None and time.monotonic() - hand.since > DEADLINE:
                hand.process.kill()
                yield from self._replace(hand, f"no answer in {DEADLINE:.0f} s")

    def close(self) -> None:
        """End all processes, whatever they do."""
        for hand in self._hands:
            hand.process.kill()
        for hand in self._hands:
            hand.process.join()
            hand.pipe.close()
            hand.process.close()
        self._hands.clear()

    def _listen(self, hand: _Hand, lookup: Lookup) -> Iterator[Read | Answered | Died]:
        """Take one message of a process, or find it dead."""
        try:
            message: Any = hand.pipe.recv() if hand.pipe.poll() else None
        except (EOFError, OSError):
            hand.process.kill()  # without its pipe it is of no use
            yield from self._replace(hand)
            return
        if message is None:
            if not hand.process.is_alive() and not hand.pipe.poll():
                yield from self._replace(hand)
        elif isinstance(message, Question):
            with contextlib.suppress(OSError):
                hand.pipe.send(lookup(message))
        elif isinstance(message, ConfigurationError):
            raise message
        elif message == "begun":
            # Not before it listens: what is longer than a pipe holds would wait here.
            with contextlib.suppress(OSError):
                hand.pipe.send(self._setup)
        elif message == "ready":
            hand.ready, self._failed = True, 0
        elif message == "read":
            if hand.number is not None:
                yield Read(hand.number)
        elif hand.number is not None:
            number, hand.number = hand.number, None
            yield Answered(number, message)

    def _replace(self, hand: _Hand, reason: str = "") -> Iterator[Died]:
        """Start another process in the place of a dead one."""
        hand.process.join()
        reason = reason or f"exit code {hand.process.exitcode}"
        self._failed += not hand.ready
        if self._failed >= FAILED_STARTS:
            raise ConfigurationError(
                f"processes that should answer runs die when they are started ({reason}); "
                "replay without --workers shows why"
            )
        hand.pipe.close()
        hand.process.close()
        self._hands[self._hands.index(hand)] = self._start()
        if hand.number is not None:
            yield Died(hand.number, reason)

    def _start(self) -> _Hand:
        ours, theirs = self._context.Pipe()
        process = self._context.Process(target=_serve, args=(theirs,), daemon=True)
        with _environment(), _deaf_to_interrupts():
            process.start()
        theirs.close()
        return _Hand(process, ours)


@contextlib.contextmanager
def _environment() -> Generator[None]:
    """Let the libraries of a process that is started take one thread."""
    before = {name: os.environ.get(name) for name in ONE_THREAD}
    os.environ.update(dict.fromkeys(ONE_THREAD, "1"))
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                os.environ.pop(name, None)
            else:
                os.environ[name] = value


@contextlib.contextmanager
def _deaf_to_interrupts() -> Generator[None]:
    """Start processes that ignore Ctrl-C, which reaches every process of a terminal.

    The one that started them ends them; they inherit that it is ignored.
    """
    main = threading.current_thread() is threading.main_thread()
    before = signal.signal(signal.SIGINT, signal.SIG_IGN) if main else None
    try:
        yield
    finally:
        if main:
            signal.signal(signal.SIGINT, before)


def _serve(pipe: "Connection[Any, Any]") -> None:
    """Answer tasks in a process of its own, until the pipe is closed."""
    if hasattr(os, "nice"):
        os.nice(NICE)
    # A pipe that breaks: the one that started this process is gone.
    with contextlib.suppress(EOFError, OSError):
        pipe.send("begun")
        setup: Setup = pipe.recv()
        try:
            worker = setup.build()
        except ConfigurationError as error:
            pipe.send(error)
            return
        pipe.send("ready")

        def ask(question: Question) -> Use | None:
            pipe.send(question)
            return pipe.recv()

        while True:
            task: Task = pipe.recv()
            answers: list[Answer] = worker.answer(task, ask, lambda: pipe.send("read"))
            pipe.send(answers)
