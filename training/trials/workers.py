"""Run jobs here, in processes or on a Dask cluster: the same function everywhere."""

import multiprocessing
import os
import pickle
import queue
import signal
import threading
import time
import traceback
import uuid
from collections.abc import Callable, Generator, Iterable
from concurrent.futures import Future, ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from multiprocessing.process import BaseProcess
from typing import Any, TypeVar

from rankaae_stream.errors import ConfigurationError

__all__ = ["HERE", "TrialFailedError", "Workers"]

Job = TypeVar("Job")
Report = Callable[..., None]
Work = Callable[[Any, Any, Report], Any]
"""Gets what all jobs share, a job, and what reports its progress, with plain values only."""

DASK_PATIENCE = 30.0
"""How long a Dask scheduler may take to answer, and its first worker to appear, s."""


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
        return _side_by_side(_processes(work, shared, count), jobs, begin)


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
            raise _failure(job, error) from error
        yield job, result


@dataclass(frozen=True, eq=False)
class _Pool:
    """Where jobs run side by side.

    `messages` is a queue of (number, values): what a job reports, and None once it has
    ended. `most` says how many jobs may run at once, `exit_code` how a job's process died.
    """

    submit: Callable[[int, Any], Future[Any]]
    messages: Any
    most: Callable[[], int]
    exit_code: Callable[[int], int | None] = lambda _: None


def _side_by_side(
    opened: AbstractContextManager[_Pool], jobs: Iterable[Job], begin: Callable[[Job], Report]
) -> Generator[tuple[Job, Any]]:
    waiting = enumerate(jobs)
    running: dict[int, tuple[Job, Report, Future[Any]]] = {}
    with opened as pool:
        while True:
            while len(running) < pool.most() and (drawn := next(waiting, None)) is not None:
                number, job = drawn
                future = pool.submit(number, job)
                running[number] = job, begin(job), future
                future.add_done_callback(lambda _, number=number: pool.messages.put((number, None)))
            if not running:
                return
            number, values = pool.messages.get()
            job, report, future = running[number]
            if values is not None:
                report(*values)
                continue
            del running[number]
            try:
                result = future.result()
            except BrokenProcessPool as error:
                raise TrialFailedError(
                    f"{job}: its process died with exit code {pool.exit_code(number)} "
                    "(-9: killed, often for lack of memory; --workers fewer need less); "
                    "the same command resumes with what had finished"
                ) from error
            except Exception as error:
                raise _failure(job, error) from error
            yield job, result


@contextmanager
def _processes(work: Work, shared: Any, count: int) -> Generator[_Pool]:
    """Spawn processes, each a pool of its own: where one dies, its job is known.

    Spawned, not forked: torch's threads do not survive a fork.
    """
    content = pickle.dumps(shared)
    context = multiprocessing.get_context("spawn")
    messages = context.SimpleQueue()
    idle: list[ProcessPoolExecutor] = []
    processes: dict[ProcessPoolExecutor, BaseProcess] = {}
    worked: dict[int, ProcessPoolExecutor] = {}

    def submit(number: int, job: Any) -> Future[Any]:
        if idle:
            pool = idle.pop()
            future = pool.submit(_in_process, work, None, number, job)
        else:
            pool = ProcessPoolExecutor(1, context, _enter_process, (messages,))
            before = set(multiprocessing.active_children())
            with _deaf_to_interrupts():
                future = pool.submit(_in_process, work, content, number, job)
            (processes[pool],) = set(multiprocessing.active_children()) - before
        worked[number] = pool
        future.add_done_callback(lambda _: idle.append(pool))
        return future

    def exit_code(number: int) -> int | None:
        process = processes[worked[number]]
        process.join(5.0)
        # The pool's own thread waits for it too: whoever comes second reads None for a moment.
        until = time.monotonic() + 5.0
        while process.exitcode is None and time.monotonic() < until:
            time.sleep(0.01)
        return process.exitcode

    try:
        yield _Pool(submit, messages, lambda: count, exit_code)
    finally:
        for process in processes.values():
            process.terminate()
        for pool in processes:
            pool.shutdown()


@contextmanager
def _deaf_to_interrupts() -> Generator[None]:
    """Start processes that ignore Ctrl-C, which reaches every process of a terminal.

    The one that started them ends them. They inherit that it is ignored, and print no
    traceback while they import.
    """
    main = threading.current_thread() is threading.main_thread()
    before = signal.signal(signal.SIGINT, signal.SIG_IGN) if main else None
    try:
        yield
    finally:
        if main:
            signal.signal(signal.SIGINT, before)


_KEPT: dict[str, Any] = {}
"""A worker's own: the queue for its messages, and what all its jobs share."""


def _enter_process(messages: Any) -> None:
    """Keep the queue, and end with the process that started this one, killed or not."""
    _KEPT["messages"] = messages
    parent = multiprocessing.parent_process()
    assert parent is not None

    def follow() -> None:
        parent.join()
        os._exit(1)

    threading.Thread(target=follow, daemon=True).start()


def _in_process(work: Work, content: bytes | None, number: int, job: Any) -> Any:
    if content is not None:  # a process's first job
        _KEPT["shared"] = pickle.loads(content)
    return work(_KEPT["shared"], job, lambda *values: _KEPT["messages"].put((number, values)))


@contextmanager
def _cluster(work: Work, shared: Any, address: str, count: int | None) -> Generator[_Pool]:
    try:
        from distributed import Client
    except ModuleNotFoundError as error:
        raise ConfigurationError(
            "--dask needs the package distributed: pip install '.[dask]'"
        ) from error
    try:
        client: Any = Client(address, timeout=DASK_PATIENCE)
    except (OSError, ValueError) as error:
        raise ConfigurationError(
            f"no Dask scheduler answers at {address}: {error}; start one with `dask scheduler`"
        ) from error
    topic = f"rankaae-{uuid.uuid4().hex}"
    messages: queue.SimpleQueue[tuple[int, Any]] = queue.SimpleQueue()
    with client:
        try:
            client.wait_for_workers(1, timeout=DASK_PATIENCE)
        except TimeoutError as error:
            raise ConfigurationError(
                f"the Dask scheduler at {address} has no worker; start some with "
                f"`dask worker {address} --nthreads 1` in this checkout"
            ) from error

        def receive(event: tuple[float, tuple[int, Any]]) -> None:
            messages.put(event[1])

        client.subscribe_topic(topic, receive)
        [sent] = client.scatter([shared], broadcast=True, hash=False)
        pool = client.get_executor(pure=False)
        try:
            yield _Pool(
                lambda number, job: pool.submit(_as_task, work, sent, job, topic, number),
                messages,
                lambda: count or max(len(client.nthreads()), 1),
            )
        finally:
            pool.shutdown(wait=False)


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


def _failure(job: Any, error: BaseException) -> TrialFailedError:
    failed = TrialFailedError(
        f"{job} failed: {type(error).__name__}: {error}; the same command resumes with what had "
        "finished"
    )
    failed.add_note("".join(traceback.format_exception(error)))
    return failed


def _cores() -> int:
    """Count the cores that this process may use, which on a shared node are not all."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1
