"""Answer stored runs in spawned processes; one that dies, or takes too long, is replaced."""

import time
from collections.abc import Collection, Iterator
from dataclasses import dataclass
from typing import Any

from rankaae_stream.errors import ConfigurationError
from rankaae_stream.past.selection import Selection
from rankaae_stream.profile import Profile
from rankaae_stream.spawned import Child, Ended, Pipe, Spawned
from rankaae_stream.spectra.foils import Use
from rankaae_stream.workers.one_run import Answer, Lookup, Question, Task, Worker
from rankaae_stream.workers.side_by_side import AHEAD, Answered, Died, Read

__all__ = ["DEADLINE", "Processes", "Setup"]

DEADLINE = 600.0
"""Seconds after which a process that has not answered a task is ended."""

FAILED_STARTS = 3
"""Processes that may die one after the other before they have begun anything."""

NICE = 5
"""Lower priority of the processes: a live session on the same machine comes first."""


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


class Processes:
    """A crew of processes; a context manager.

    Parameters
    ----------
    count : int
    setup : Setup

    Raises
    ------
    ConfigurationError
        When the processes cannot begin.
    """

    def __init__(self, count: int, setup: Setup) -> None:
        self.ahead = AHEAD * count
        self._spawned = Spawned(_serve, setup, nice=NICE, one_thread=True)
        self._ready: set[Child] = set()
        self._failed = 0
        try:
            for _ in range(count):
                self._spawned.start()
        except BaseException:
            self.close()
            raise

    def __enter__(self) -> "Processes":
        return self

    def __exit__(self, *exc_info: object) -> None:
        self.close()

    @property
    def free(self) -> bool:
        """Whether one has nothing to do."""
        return any(child.task is None for child in self._ready)

    def submit(self, number: int, task: Task) -> None:
        """Send a task to a process that has nothing to do."""
        next(child for child in self._ready if child.task is None).begin(number, task)

    def wait(self, timeout: float, lookup: Lookup) -> Iterator[Read | Answered | Died]:
        """Yield what the processes say, and which are dead or over their time."""
        for child, message in self._spawned.wait(timeout):
            yield from self._take(child, message, lookup)
        for child in list(self._ready):
            if child.task is not None and time.monotonic() - child.since > DEADLINE:
                self._spawned.end(child)
                yield from self._replace(child, f"no answer in {DEADLINE:.0f} s")

    def close(self) -> None:
        """End all processes, whatever they do."""
        self._spawned.close()

    def _take(self, child: Child, message: Any, lookup: Lookup) -> Iterator[Read | Answered | Died]:
        if isinstance(message, Ended):
            yield from self._replace(child, message.reason)
        elif isinstance(message, Question):
            child.send(lookup(message))
        elif isinstance(message, ConfigurationError):
            raise message
        elif message == "ready":
            self._ready.add(child)
            self._failed = 0
        elif child.task is not None:
            if message == "read":
                yield Read(child.task)
            else:
                number, child.task = child.task, None
                yield Answered(number, message)

    def _replace(self, child: Child, reason: str) -> Iterator[Died]:
        """Start another process in the place of a dead one."""
        self._failed += child not in self._ready
        if self._failed >= FAILED_STARTS:
            raise ConfigurationError(
                f"processes that should answer runs die when they are started ({reason}); "
                "replay without --workers shows why"
            )
        self._ready.discard(child)
        self._spawned.start()
        if child.task is not None:
            yield Died(child.task, reason)


def _serve(pipe: "Pipe[Any, Any]", setup: Setup) -> None:
    """Answer tasks, in a process of its own."""
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
