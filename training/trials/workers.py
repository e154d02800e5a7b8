"""Run jobs here, in processes or on a Dask cluster: the same function everywhere."""

import os
import queue
import traceback
import uuid
from collections import deque
from collections.abc import Callable, Generator, Iterable
from concurrent.futures import Future
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from typing import Any, Protocol, TypeVar

from rankaae_stream.dask_client import connect
from rankaae_stream.spawned import Ended, Pipe, Spawned

__all__ = ["HERE", "TrialFailedError", "Workers"]

Job = TypeVar("Job")
Report = Callable[..., None]
Work = Callable[[Any, Any, Report], Any]
"""Gets what all jobs share, a job, and what reports its progress, with plain values only."""


class TrialFailedError(Exception):
    """A job raised or its worker died; jobs that had finished stay finished.

    Its notes hold the traceback of where it was raised.
    """


@dataclass(frozen=True)
class Workers:
    """Where jobs run, and how many at once.

    Attributes
    ----------
    count : int, optional
        1 runs jobs in this process, more in as many spawned ones. None takes
        every core, or every worker of the cluster.
    threads : int
        CPU threads of a job.
    dask : str, optional
        Address of a scheduler, such as ``tcp://host:8786``. Its workers need
        this checkout on their path, not its data, and one thread each: a job
        waits for the one before it in the same process.
    """

    count: int | None = 1
    threads: int = 1
    dask: str | None = None

    def run(
        self,
        work: Work,
        shared: Any,
        jobs: Iterable[Job],
        begin: Callable[[Job], Report],
    ) -> Generator[tuple[Job, Any]]:
        """Work on every job and yield each with its result as it ends.

        A job is drawn only when a worker is free for it, and after the results
        so far were taken: what draws them may depend on these. Close the
        iterator to stop the workers.

        Parameters
        ----------
        work : callable
            Importable from its module.
        shared : object
            Sent to each worker once.
        jobs : iterable
            ``str`` of a job names it in errors.
        begin : callable
            Called here with a job that starts; returns what takes its reports, here.

        Raises
        ------
        TrialFailedError
            When a job raised or its worker died.
        ConfigurationError
            When there is no such cluster, or the package for it is missing.
        """
        if self.dask is not None:
            return _side_by_side(_cluster(work, shared, self.dask, self.count), jobs, begin)
        count = max(_cores() // self.threads, 1) if self.count is None else self.count
        if count == 1:
            return _one_by_one(work, shared, jobs, begin)
        return _side_by_side(_Processes(work, shared, count), jobs, begin)


HERE = Workers()
"""One job after the other in this process."""


def _one_by_one(
    work: Work, shared: Any, jobs: Iterable[Job], begin: Callable[[Job], Report]
) -> Generator[tuple[Job, Any]]:
    for job in jobs:
        report = begin(job)
        try:
            result = work(shared, job, report)
        except Exception as error:
            raise _Failed.of(error).at(job) from error
        yield job, result


@dataclass(frozen=True)
class _Done:
    result: Any


@dataclass(frozen=True)
class _Failed:
    reason: str
    trace: str = ""

    @classmethod
    def of(cls, error: BaseException) -> "_Failed":
        trace = "".join(traceback.format_exception(error))
        return cls(f" failed: {type(error).__name__}: {error}", trace)

    def at(self, job: Any) -> TrialFailedError:
        """Return the error for a job."""
        failed = TrialFailedError(
            f"{job}{self.reason}; the same command resumes with what had finished"
        )
        if self.trace:
            failed.add_note(self.trace)
        return failed


class _Pool(Protocol):
    """Where jobs run side by side."""

    def most(self) -> int:
        """Return how many jobs may run at once."""
        ...

    def submit(self, number: int, job: Any) -> None:
        """Begin a job."""
        ...

    def take(self) -> tuple[int, "tuple[Any, ...] | _Done | _Failed"]:
        """Wait for what a job reports, as values, or how it ended; return its number with it."""
        ...


def _side_by_side(
    opened: AbstractContextManager[_Pool], jobs: Iterable[Job], begin: Callable[[Job], Report]
) -> Generator[tuple[Job, Any]]:
    waiting = enumerate(jobs)
    running: dict[int, tuple[Job, Report]] = {}
    with opened as pool:
        while True:
            while len(running) < pool.most() and (drawn := next(waiting, None)) is not None:
                number, job = drawn
                pool.submit(number, job)
                running[number] = job, begin(job)
            if not running:
                return
            number, told = pool.take()
            job, report = running[number]
            if isinstance(told, tuple):
                report(*told)
                continue
            del running[number]
            if isinstance(told, _Failed):
                raise told.at(job)
            yield job, told.result


class _Processes:
    """Spawned processes, started as jobs come; where one dies, its job is known."""

    def __init__(self, work: Work, shared: Any, count: int) -> None:
        self._count = count
        self._spawned = Spawned(_serve, (work, shared))
        self._told: deque[tuple[int, tuple[Any, ...] | _Done | _Failed]] = deque()

    def __enter__(self) -> "_Processes":
        return self

    def __exit__(self, *exc_info: object) -> None:
        self._spawned.close()

    def most(self) -> int:
        return self._count

    def submit(self, number: int, job: Any) -> None:
        idle = next((child for child in self._spawned.children if child.task is None), None)
        (idle or self._spawned.start()).begin(number, job)

    def take(self) -> tuple[int, tuple[Any, ...] | _Done | _Failed]:
        while not self._told:
            for child, message in self._spawned.wait():
                if child.task is None:  # it had nothing to do when it ended
                    continue
                if isinstance(message, Ended):
                    told = _Failed(
                        f": its process died with {message.reason} (-9: killed, often for lack of "
                        "memory; --workers fewer need less)"
                    )
                else:
                    told = message
                self._told.append((child.task, told))
                if not isinstance(told, tuple):
                    child.task = None
        return self._told.popleft()


def _serve(pipe: "Pipe[Any, Any]", content: tuple[Work, Any]) -> None:
    """Work on jobs in a process of its own; its reports are tuples."""
    work, shared = content
    while True:
        job = pipe.recv()
        try:
            pipe.send(_Done(work(shared, job, lambda *values: pipe.send(values))))
        except Exception as error:  # noqa: BLE001 - raised where it was begun
            pipe.send(_Failed.of(error))


@contextmanager
def _cluster(work: Work, shared: Any, address: str, count: int | None) -> Generator[_Pool]:
    client = connect(address, package=".[dask]", where="in this checkout")
    topic = f"rankaae-{uuid.uuid4().hex}"
    messages: queue.SimpleQueue[tuple[int, Any]] = queue.SimpleQueue()
    with client:

        def receive(event: tuple[float, tuple[int, Any]]) -> None:
            messages.put(event[1])

        client.subscribe_topic(topic, receive)
        [sent] = client.scatter([shared], broadcast=True, hash=False)
        pool = client.get_executor(pure=False)
        try:
            yield _Cluster(
                lambda number, job: pool.submit(_as_task, work, sent, job, topic, number),
                lambda: count or max(len(client.nthreads()), 1),
                messages,
            )
        finally:
            pool.shutdown(wait=False)


class _Cluster:
    """Jobs on the workers of a cluster; `messages` hold what they report, None at the end."""

    def __init__(
        self,
        begin: Callable[[int, Any], Future[Any]],
        most: Callable[[], int],
        messages: "queue.SimpleQueue[tuple[int, Any]]",
    ) -> None:
        self._begin, self.most, self._messages = begin, most, messages
        self._futures: dict[int, Future[Any]] = {}

    def submit(self, number: int, job: Any) -> None:
        self._futures[number] = future = self._begin(number, job)
        future.add_done_callback(lambda _: self._messages.put((number, None)))

    def take(self) -> tuple[int, tuple[Any, ...] | _Done | _Failed]:
        number, values = self._messages.get()
        if values is not None:
            return number, tuple(values)
        future = self._futures.pop(number)
        error = future.exception()
        return number, _Done(future.result()) if error is None else _Failed.of(error)


def _as_task(work: Work, shared: Any, job: Any, topic: str, number: int) -> Any:
    """Work on a Dask worker; reports travel as its events."""
    from distributed import get_worker

    worker = get_worker()
    key = worker.get_current_task()

    def report(*values: Any) -> None:
        # Dask leaves the thread of a cancelled task alone: it must end itself.
        task = worker.state.tasks.get(key)
        if task is None or task.state != "executing":
            raise RuntimeError(f"{job} was cancelled")
        worker.log_event(topic, (number, values))

    return work(shared, job, report)


def _cores() -> int:
    """Count the cores that this process may use, which on a shared node are not all."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1
