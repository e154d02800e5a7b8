"""Workers of a Dask cluster.

A worker needs this package and access to what it reads; it publishes nothing. Dask carries
pickles: whoever reaches the scheduler can run programs as its workers.
"""

# pyright: basic
# distributed has few types

import queue
import threading
import time
import uuid
from collections.abc import Iterator, Sequence
from concurrent.futures import CancelledError
from dataclasses import replace
from typing import Any

from rankaae_stream.dask_client import connect
from rankaae_stream.errors import ConfigurationError
from rankaae_stream.workers.one_run import Answer, Lookup, Task, Worker
from rankaae_stream.workers.processes import Setup
from rankaae_stream.workers.side_by_side import AHEAD, Answered, Died

__all__ = ["Cluster"]

COUNTED = 5.0
"""Seconds for which the count of the cluster's threads holds."""

SECONDS = 0.25
"""Seconds that a task of several runs takes about: a task costs the scheduler and the process that
publishes some milliseconds each, however much it answers."""

MOST = 8
"""Runs of a task."""

OUT = 2
"""Tasks that are out for each thread: each worker has its next one there."""

LOST = 60.0
"""Seconds for which a scheduler may be away while tasks are out."""


class Cluster:
    """A crew of the workers of a Dask scheduler; a context manager.

    Dask is given several runs at once where they are quick. One that was with others when their
    worker died is given alone the next time, so that it is not blamed for their fault.

    Tasks of a worker that is lost are begun on another one by the scheduler, as often as its
    setting ``distributed.scheduler.allowed-failures`` allows.

    Parameters
    ----------
    address : str
        Such as ``tcp://host:8786``.
    setup : Setup
        Sent with each task, without the key for Tiled: a worker takes that of its own
        environment, TILED_API_KEY.

    Raises
    ------
    ConfigurationError
        When there is no such scheduler, it has no worker, or the package for it is missing.
    """

    def __init__(self, address: str, setup: Setup) -> None:
        self._client = connect(
            address, package="rankaae-stream[dask]", where="where this package is installed"
        )
        self._address = address
        self._token = uuid.uuid4().hex
        # Sent with each task, 1.7 kB: what is scattered is lost with the last worker that holds it.
        self._setup = replace(setup, own=(setup.own[0], None), finished=())
        self._threads, self._counted = 0, -COUNTED
        self._at_once = 1
        self._gathered: dict[int, Task] = {}
        self._alone: set[int] = set()
        self._running: dict[Any, list[int]] = {}
        self._done: queue.SimpleQueue[Any] = queue.SimpleQueue()

    def __enter__(self) -> "Cluster":
        return self

    def __exit__(self, *exc_info: object) -> None:
        self.close()

    @property
    def size(self) -> int:
        """How many threads its workers have; they may come and go."""
        if time.monotonic() - self._counted > COUNTED:
            self._counted = time.monotonic()
            self._threads = sum(self._client.nthreads().values())
        return max(self._threads, 1)

    @property
    def ahead(self) -> int:
        """Enough for all that are out; of slow runs, which may be large, no more than elsewhere."""
        return self.size * max(AHEAD, OUT * self._at_once)

    @property
    def free(self) -> bool:
        """Whether fewer runs are out than `OUT` tasks a thread hold."""
        out = len(self._gathered) + sum(map(len, self._running.values()))
        return out < OUT * self.size * self._at_once

    def submit(self, number: int, task: Task) -> None:
        """Take a task; it is sent with others, where each thread has two, or in the next `wait`."""
        self._gathered[number] = task
        if number in self._alone:
            self._send([number])
        elif len(self._gathered) >= self._at_once:
            self._send(list(self._gathered))

    def wait(self, timeout: float, lookup: Lookup) -> Iterator[Answered | Died]:
        """Yield what is done; questions are answered with the next attempt at a run."""
        del lookup
        # Fewer than would be sent at once, unless a thread would have no next task.
        if self._gathered and len(self._running) < OUT * self.size:
            self._send(list(self._gathered))
        try:
            done = self._done.get(timeout=timeout)
        except queue.Empty:
            return
        yield from self._outcomes(self._running.pop(done), done)

    def close(self) -> None:
        """Cancel what is out, and leave the cluster as it was."""
        self._client.cancel(list(self._running))
        self._client.close()

    def _send(self, numbers: list[int]) -> None:
        tasks = [self._gathered.pop(number) for number in numbers]
        future = self._client.submit(_answer, self._token, self._setup, tasks, pure=False)
        self._running[future] = numbers
        future.add_done_callback(self._done.put)

    def _outcomes(self, numbers: list[int], done: Any) -> Iterator[Answered | Died]:
        from distributed import KilledWorker

        try:
            answers, seconds = done.result(timeout=LOST)
        except KilledWorker as error:
            reason = f"Dask workers that had it died: {error.last_worker}"
        except ConfigurationError:
            raise
        except (CancelledError, OSError, TimeoutError) as error:
            sentence = f"the Dask scheduler at {self._address} is away ({error})"
            for number in numbers:
                yield Answered(number, [Answer("a run", {}, problem=sentence, away=True)])
            return
        except Exception as error:  # noqa: BLE001 - of another program, it may do whatever it likes
            reason = f"Dask: {type(error).__name__}: {error}"
        else:
            fitting = int(SECONDS * len(numbers) / max(seconds, 1e-3))
            # By one at a time: the first one says little of the others.
            self._at_once = max(1, min(fitting, self._at_once + 1, MOST))
            yield from map(Answered, numbers, answers)
            return
        # Nobody knows whose fault it was: each is tried alone, at its own cost.
        self._alone.update(numbers)
        yield from (Died(number, reason) for number in numbers)


_KEPT: dict[str, Worker] = {}
"""A Dask worker's own: what it has loaded for the replay that it works for."""

_LOADING = threading.Lock()


def _answer(token: str, setup: Setup, tasks: Sequence[Task]) -> tuple[list[list[Answer]], float]:
    """Answer tasks on a Dask worker; also return the seconds that they took."""
    with _LOADING:
        if token not in _KEPT:
            _KEPT.clear()  # of an earlier replay
            _KEPT[token] = setup.build()
        worker = _KEPT[token]
    began = time.monotonic()
    return [worker.answer(task) for task in tasks], time.monotonic() - began
