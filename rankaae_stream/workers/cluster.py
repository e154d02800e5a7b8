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
from collections.abc import Iterator
from concurrent.futures import CancelledError
from dataclasses import replace
from typing import Any

from rankaae_stream.errors import ConfigurationError
from rankaae_stream.workers.one_run import Answer, Lookup, Task, Worker
from rankaae_stream.workers.processes import Setup
from rankaae_stream.workers.side_by_side import Answered, Died

__all__ = ["Cluster"]

PATIENCE = 30.0
"""Seconds that a Dask scheduler may take to answer, and its first worker to appear."""

COUNTED = 5.0
"""Seconds for which the count of the cluster's threads holds."""

LOST = 60.0
"""Seconds for which a scheduler may be away while tasks are out."""


class Cluster:
    """A crew of the workers of a Dask scheduler; a context manager.

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
        try:
            from distributed import Client
        except ModuleNotFoundError as error:
            raise ConfigurationError(
                "--dask needs the package distributed: pip install 'rankaae-stream[dask]'"
            ) from error
        try:
            self._client: Any = Client(address, timeout=PATIENCE, set_as_default=False)
        except (OSError, ValueError) as error:
            raise ConfigurationError(
                f"no Dask scheduler answers at {address}: {error}; start one with `dask scheduler`"
            ) from error
        self._address = address
        self._token = uuid.uuid4().hex
        # Sent with each task: what is scattered is lost with the last worker that holds it.
        self._setup = replace(setup, own=(setup.own[0], None), finished=())
        self._threads, self._counted = 0, -COUNTED
        self._running: dict[int, Any] = {}
        self._done: queue.SimpleQueue[tuple[int, Any]] = queue.SimpleQueue()
        try:
            self._client.wait_for_workers(1, timeout=PATIENCE)
        except TimeoutError as error:
            self._client.close()
            raise ConfigurationError(
                f"the Dask scheduler at {address} has no worker; start some with "
                f"`dask worker {address} --nthreads 1` where this package is installed"
            ) from error

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
    def free(self) -> bool:
        """Whether fewer than two tasks a thread are out: each worker has its next one there."""
        return len(self._running) < 2 * self.size

    def submit(self, number: int, task: Task) -> None:
        """Send a task to the scheduler."""
        future = self._client.submit(_answer, self._token, self._setup, task, pure=False)
        self._running[number] = future
        future.add_done_callback(lambda done: self._done.put((number, done)))

    def wait(self, timeout: float, lookup: Lookup) -> Iterator[Answered | Died]:
        """Yield what is done; questions are answered with the next attempt at a run."""
        del lookup
        try:
            number, done = self._done.get(timeout=timeout)
        except queue.Empty:
            return
        del self._running[number]
        yield self._outcome(number, done)

    def close(self) -> None:
        """Cancel what is out, and leave the cluster as it was."""
        self._client.cancel(list(self._running.values()))
        self._client.close()

    def _outcome(self, number: int, done: Any) -> Answered | Died:
        from distributed import KilledWorker

        try:
            return Answered(number, done.result(timeout=LOST))
        except KilledWorker as error:
            return Died(number, f"Dask workers that had it died: {error.last_worker}")
        except ConfigurationError:
            raise
        except (CancelledError, OSError, TimeoutError) as error:
            sentence = f"the Dask scheduler at {self._address} is away ({error})"
            return Answered(number, [Answer("a run", {}, problem=sentence, away=True)])
        except Exception as error:  # noqa: BLE001 - of another program, it may do whatever it likes
            return Died(number, f"Dask: {type(error).__name__}: {error}")


_KEPT: dict[str, Worker] = {}
"""A Dask worker's own: what it has loaded for the replay that it works for."""

_LOADING = threading.Lock()


def _answer(token: str, setup: Setup, task: Task) -> list[Answer]:
    """Answer a task on a Dask worker."""
    with _LOADING:
        if token not in _KEPT:
            _KEPT.clear()  # of an earlier replay
            _KEPT[token] = setup.build()
        worker = _KEPT[token]
    return worker.answer(task)
