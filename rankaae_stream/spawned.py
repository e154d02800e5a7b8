"""Processes that are spawned, each with a pipe: what a dead one was doing is known.

The pipes carry pickles, between a process and the one that started it only. A pool of the
standard library is not used: where one process dies, a Pool hangs and an executor is broken as a
whole. Spawned, not forked: threads, such as torch's, do not survive a fork.
"""

import contextlib
import multiprocessing
import os
import pickle
import signal
import threading
import time
from collections.abc import Callable, Generator, Iterator
from dataclasses import dataclass, field
from multiprocessing.connection import Connection, wait
from multiprocessing.process import BaseProcess
from typing import Any

__all__ = ["Child", "Ended", "Pipe", "Spawned"]

Pipe = Connection  # [Any, Any], which is no class of Python 3.11's at run time

ONE_THREAD = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS")
"""Environment variables by which libraries take one thread."""


@dataclass(slots=True, eq=False)
class Child:
    """A process, and the one task that it may have.

    Attributes
    ----------
    process : process of multiprocessing
    task : int or None
        The number of what it works on; whoever takes its answer sets it to None.
    since : float
        When the task was given, by the monotonic clock.
    """

    process: BaseProcess
    pipe: "Pipe[Any, Any]"
    task: int | None = None
    since: float = 0.0
    _unsent: list[bytes] | None = field(default_factory=list[bytes])

    def begin(self, number: int, task: Any) -> None:
        """Give it a task."""
        self.task, self.since = number, time.monotonic()
        self.send(task)

    def send(self, message: Any) -> None:
        """Send a message; it waits here until the process listens.

        What is longer than a pipe holds would keep the sender as long. A process that is dead is
        found by `Spawned.wait`.
        """
        content = pickle.dumps(message)
        if self._unsent is not None:
            self._unsent.append(content)
            return
        with contextlib.suppress(OSError):
            self.pipe.send_bytes(content)

    def listens(self) -> None:
        """Send what has waited."""
        contents, self._unsent = self._unsent or [], None
        with contextlib.suppress(OSError):
            for content in contents:
                self.pipe.send_bytes(content)


@dataclass(frozen=True, slots=True)
class Ended:
    """The process is gone, and why: its exit code, negative for a signal."""

    reason: str


class Spawned:
    """Processes that serve until their pipe is closed; they end with the one that started them.

    They hear no Ctrl-C, which reaches every process of a terminal: whoever started them ends them.

    Parameters
    ----------
    serve : callable
        Importable from its module; gets the pipe and what is shared, in each process.
    shared : object
        Sent to each process once.
    nice : int
        By how much lower their priority is.
    one_thread : bool
        Whether the numerical libraries of each process take one thread.
    """

    def __init__(
        self,
        serve: Callable[["Pipe[Any, Any]", Any], None],
        shared: Any,
        *,
        nice: int = 0,
        one_thread: bool = False,
    ) -> None:
        self._context = multiprocessing.get_context("spawn")
        self._serve, self._nice, self._one_thread = serve, nice, one_thread
        self._shared = pickle.dumps(shared)
        self.children: list[Child] = []

    def start(self) -> Child:
        """Start a process."""
        ours, theirs = self._context.Pipe()
        process = self._context.Process(
            target=_enter, args=(self._serve, theirs, self._nice), daemon=True
        )
        threads = _one_thread() if self._one_thread else contextlib.nullcontext()
        with threads, _deaf_to_interrupts():
            process.start()
        theirs.close()
        child = Child(process, ours, _unsent=[self._shared])
        self.children.append(child)
        return child

    def wait(self, timeout: float | None = None) -> Iterator[tuple[Child, Any]]:
        """Yield what the processes say, one message of each, and `Ended` of one that is gone."""
        ends: dict[Any, Child] = {}
        for child in self.children:
            ends[child.pipe] = ends[child.process.sentinel] = child
        for child in dict.fromkeys(ends[end] for end in wait(list(ends), timeout)):
            if child not in self.children:  # ended meanwhile
                continue
            alive = child.process.is_alive()  # before the look at what it has said
            try:
                if child.pipe.poll():
                    message = child.pipe.recv()
                elif alive:
                    continue
                else:
                    message = Ended(self.end(child))
            except (EOFError, OSError):  # without its pipe it is of no use
                message = Ended(self.end(child))
            if isinstance(message, _Listens):
                child.listens()
            else:
                yield child, message

    def end(self, child: Child) -> str:
        """End a process, whatever it does; return with what exit code."""
        self.children.remove(child)
        child.process.kill()
        child.process.join()
        reason = f"exit code {child.process.exitcode}"
        child.pipe.close()
        child.process.close()
        return reason

    def close(self) -> None:
        """End all processes."""
        for child in self.children:
            child.process.kill()
        for child in list(self.children):
            self.end(child)


class _Listens:
    """Said by a process that has begun: what is longer than a pipe holds may be sent."""


def _enter(
    serve: Callable[["Pipe[Any, Any]", Any], None], pipe: "Pipe[Any, Any]", nice: int
) -> None:
    """Serve in a process of its own, until the pipe is closed or the parent is gone."""
    threading.Thread(target=_follow, daemon=True).start()
    if nice and hasattr(os, "nice"):
        os.nice(nice)
    # A pipe that breaks: the one that started this process is gone.
    with contextlib.suppress(EOFError, OSError):
        pipe.send(_Listens())
        serve(pipe, pipe.recv())


def _follow() -> None:
    """End with the process that started this one, killed or not."""
    parent = multiprocessing.parent_process()
    assert parent is not None
    parent.join()
    os._exit(1)


@contextlib.contextmanager
def _one_thread() -> Generator[None]:
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
    """Start processes that ignore Ctrl-C: they inherit that, and print nothing as they import."""
    main = threading.current_thread() is threading.main_thread()
    before = signal.signal(signal.SIGINT, signal.SIG_IGN) if main else None
    try:
        yield
    finally:
        if main:
            signal.signal(signal.SIGINT, before)
