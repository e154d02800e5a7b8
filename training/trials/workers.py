"""Run jobs here, in processes or on a Dask cluster: the same function everywhere."""

# pyright: basic
# distributed has no types

import multiprocessing
import os
import pickle
import queue
import signal
import threading
import traceback
import uuid
from collections.abc import Callable, Generator, Iterable
from contextlib import suppress
from dataclasses import dataclass
from multiprocessing.connection import Connection, wait
from multiprocessing.process import BaseProcess
from typing import Any, TypeVar

from rankaae_stream.errors import ConfigurationError

__all__ = ["HERE", "TrialFailed", "Workers"]

Shared = TypeVar("Shared")
Job = TypeVar("Job")
Result = TypeVar("Result")
Report = Callable[..., None]
Work = Callable[[Shared, Job, Report], Result]

PATIENCE = 30.0
"""How long a Dask scheduler may take to answer, and its first worker to appear, s."""


class TrialFailed(Exception):
    """A job raised or its worker died; what others had finished stays finished.

    Its notes hold the traceback of where it was raised.
    """


@dataclass(frozen=True)
class Workers:
    """Where jobs run, and how many at once.

    Attributes
    ----------
    count : int, optional
        One runs in this process, more in as many spawned ones. None takes
        every core, or every worker of the cluster.
    threads : int
        CPU threads of one job.
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
        work: Work[Shared, Job, Result],
        shared: Shared,
        jobs: Iterable[Job],
        begin: Callable[[Job], Report],
    ) -> Generator[tuple[Job, Result]]:
        """Work on every job and yield each with its result as it ends.

        A job is drawn only when a worker is free for it, and after the results
        so far were taken: what draws them may depend on these. Close the
        iterator to stop the workers.

        Parameters
        ----------
        work : callable
            Importable from its module. It gets `shared`, a job and what
            reports its progress, with plain values only.
        shared : object
            Sent to each worker once.
        jobs : iterable
            ``str`` of a job names it in errors.
        begin : callable
            Called here with a job that starts; returns what takes its reports, here.

        Raises
        ------
        TrialFailed
            When a job raised or its worker died.
        ConfigurationError
            When there is no such cluster, or the package for it is missing.
        """
        if self.dask is not None:
            return _on_cluster(work, shared, jobs, begin, self.dask, self.count)
        count = max(_cores() // self.threads, 1) if self.count is None else self.count
        if count == 1:
            return _here(work, shared, jobs, begin)
        return _in_processes(work, shared, jobs, begin, count)


HERE = Workers()
"""One job after the other in this process."""


def _here(
    work: Work[Shared, Job, Result],
    shared: Shared,
    jobs: Iterable[Job],
    begin: Callable[[Job], Report],
) -> Generator[tuple[Job, Result]]:
    for job in jobs:
        report = begin(job)
        try:
            result = work(shared, job, report)
        except Exception as error:
            raise _failure(job, error, traceback.format_exc()) from error
        yield job, result


@dataclass(eq=False)
class _Worker:
    process: BaseProcess
    pipe: Connection
    job: Any = None
    report: Report | None = None


def _in_processes(
    work: Work[Shared, Job, Result],
    shared: Shared,
    jobs: Iterable[Job],
    begin: Callable[[Job], Report],
    count: int,
) -> Generator[tuple[Job, Result]]:
    """Spawned, not forked: torch's threads do not survive a fork."""
    content = pickle.dumps(shared)
    waiting = iter(jobs)
    workers: list[_Worker] = []
    try:
        while True:
            busy = [worker for worker in workers if worker.job is not None]
            while len(busy) < count and (job := next(waiting, None)) is not None:
                idle = [worker for worker in workers if worker.job is None]
                worker = idle[0] if idle else _start(work)
                if idle:
                    _send(worker, job)
                else:
                    workers.append(worker)
                worker.job, worker.report = job, begin(job)
                busy.append(worker)
            if not busy:
                return
            ready = wait([worker.pipe for worker in busy])
            for worker in [one for one in busy if one.pipe in ready]:
                kind, *values = _receive(worker)
                if kind == "ready":
                    # Only now: until it has imported everything it would not read,
                    # and the next worker would have to wait for that.
                    with suppress(OSError):  # its death is told by the next message
                        worker.pipe.send_bytes(content)
                        worker.pipe.send(worker.job)
                elif kind == "report":
                    assert worker.report is not None
                    worker.report(*values)
                elif kind == "failed":
                    raise _failure(worker.job, *values)
                else:
                    job, worker.job = worker.job, None
                    yield job, values[0]
    finally:
        for worker in workers:
            worker.process.terminate()
        for worker in workers:
            worker.process.join(5.0)
            if worker.process.is_alive():
                worker.process.kill()
                worker.process.join()
            worker.pipe.close()


def _start(work: Work[Any, Any, Any]) -> _Worker:
    context = multiprocessing.get_context("spawn")
    here, there = context.Pipe()
    process = context.Process(target=_serve, args=(there, work), daemon=True)
    # Ctrl-C reaches every process of a terminal; this one ends the others. They
    # inherit that it is ignored, and are spared a traceback while they import.
    main = threading.current_thread() is threading.main_thread()
    before = signal.signal(signal.SIGINT, signal.SIG_IGN) if main else None
    try:
        process.start()
    finally:
        if before is not None:
            signal.signal(signal.SIGINT, before)
    there.close()  # so that the worker's death is the end of the pipe
    return _Worker(process, here)


def _serve(pipe: Connection, work: Work[Any, Any, Any]) -> None:
    """A worker's life. It ends with the process that started it, killed or not.

    Then the pipe breaks, at the latest when the next progress is reported.
    """
    with suppress(EOFError, OSError):
        pipe.send(("ready",))
        shared = pickle.loads(pipe.recv_bytes())
        while True:
            job = pipe.recv()
            try:
                result = work(shared, job, lambda *values: pipe.send(("report", *values)))
            except Exception as error:  # noqa: BLE001 - raised again where somebody reads it
                pipe.send(("failed", _plain(error), traceback.format_exc()))
            else:
                pipe.send(("done", result))


def _send(worker: _Worker, job: Any) -> None:
    with suppress(OSError):  # its death is told by the next message
        worker.pipe.send(job)


def _receive(worker: _Worker) -> tuple[Any, ...]:
    try:
        return worker.pipe.recv()
    except (EOFError, OSError) as error:
        worker.process.join(5.0)
        raise TrialFailed(
            f"{worker.job}: its process died with exit code {worker.process.exitcode} "
            "(-9: killed, often for lack of memory; --workers fewer need less); "
            "the same command resumes with what had finished"
        ) from error


def _on_cluster(
    work: Work[Shared, Job, Result],
    shared: Shared,
    jobs: Iterable[Job],
    begin: Callable[[Job], Report],
    address: str,
    count: int | None,
) -> Generator[tuple[Job, Result]]:
    try:
        from distributed import Client
    except ModuleNotFoundError as error:
        raise ConfigurationError(
            "--dask needs the package distributed: pip install '.[dask]'"
        ) from error
    try:
        client: Any = Client(address, timeout=PATIENCE)
    except (OSError, ValueError) as error:
        raise ConfigurationError(
            f"no Dask scheduler answers at {address}: {error}; start one with `dask scheduler`"
        ) from error
    topic = f"rankaae-{uuid.uuid4().hex}"
    messages: queue.SimpleQueue[tuple[int, Any]] = queue.SimpleQueue()
    waiting = enumerate(jobs)
    running: dict[int, tuple[Job, Report, Any]] = {}
    with client:
        try:
            client.wait_for_workers(1, timeout=PATIENCE)
        except TimeoutError as error:
            raise ConfigurationError(
                f"the Dask scheduler at {address} has no worker; start some with "
                f"`dask worker {address} --nthreads 1` in this checkout"
            ) from error
        client.subscribe_topic(topic, lambda event: messages.put(event[1]))
        [sent] = client.scatter([shared], broadcast=True, hash=False)
        try:
            while True:
                most = count or max(len(client.nthreads()), 1)
                while len(running) < most and (drawn := next(waiting, None)) is not None:
                    number, job = drawn
                    report = begin(job)
                    future = client.submit(
                        _as_task, work, sent, job, topic, number, key=f"{topic}-{number}"
                    )
                    running[number] = job, report, future
                    future.add_done_callback(lambda _, number=number: messages.put((number, None)))
                if not running:
                    return
                number, values = messages.get()
                if number not in running:
                    continue
                job, report, future = running[number]
                if values is not None:
                    report(*values)
                    continue
                error = future.exception()
                if error is not None:
                    raise _failure(job, error, "".join(traceback.format_tb(future.traceback())))
                del running[number]
                yield job, future.result()
        finally:
            client.cancel([future for _, _, future in running.values()], force=True)


def _as_task(work: Work[Any, Any, Any], shared: Any, job: Any, topic: str, number: int) -> Any:
    """What a Dask worker does; progress goes the way of its events."""
    from distributed import get_worker

    worker = get_worker()
    key = f"{topic}-{number}"

    def report(*values: Any) -> None:
        # Dask leaves the thread of a cancelled task alone: it must end itself.
        task = worker.state.tasks.get(key)
        if task is None or task.state != "executing":
            raise RuntimeError(f"{job} was cancelled")
        worker.log_event(topic, (number, values))

    return work(shared, job, report)


def _failure(job: Any, error: BaseException | str, trace: str) -> TrialFailed:
    what = error if isinstance(error, str) else _plain(error)
    failed = TrialFailed(f"{job} failed: {what}; the same command resumes with what had finished")
    failed.add_note(trace)
    return failed


def _plain(error: BaseException) -> str:
    return f"{type(error).__name__}: {error}"


def _cores() -> int:
    """Cores that this process may use, which on a shared node are not all."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1
