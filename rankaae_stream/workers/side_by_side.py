"""Hand tasks to several workers, and yield their answers in the order of the tasks.

In that order the parent publishes, remembers foils and gathers series, so that nothing depends
on which worker was quicker. A worker that dies costs its task one more attempt.
"""

import itertools
import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Protocol

from rankaae_stream.printable import get_logger
from rankaae_stream.spectra.foils import Use
from rankaae_stream.workers.one_run import Answer, Lookup, Question, Task

__all__ = ["REQUESTS", "Answered", "Crew", "Died", "Limit", "Read", "in_order"]

logger = get_logger(__name__)

REQUESTS = 8
"""Requests for runs that a server has at once, at most."""

AHEAD = 8
"""Tasks for each worker that are begun, or done, before the first of them was handed on."""

BUSY_ATTEMPTS = 6
"""Attempts at a run whose server has too much to do, the later the longer after the last."""

LONGEST_PAUSE = 60.0
"""Seconds."""

TICK = 0.5
"""Seconds between two looks at what is due."""


@dataclass(frozen=True, slots=True)
class Read:
    """The task of that number has read what it needs."""

    number: int


@dataclass(frozen=True, slots=True, eq=False)
class Answered:
    """The task of that number is done."""

    number: int
    answers: list[Answer]


@dataclass(frozen=True, slots=True)
class Died:
    """The worker of that task is gone, and why."""

    number: int
    reason: str


class Crew(Protocol):
    """Workers, as processes or on a cluster; closed by whoever made it."""

    @property
    def ahead(self) -> int:
        """How many tasks may be begun, or done, before the first of them was handed on."""
        ...

    @property
    def free(self) -> bool:
        """Whether a further task would be begun soon."""
        ...

    def submit(self, number: int, task: Task) -> None:
        """Begin a task."""
        ...

    def wait(self, timeout: float, lookup: Lookup) -> Iterable[Read | Answered | Died]:
        """Return what has happened, after `timeout` seconds at most; answer questions."""
        ...


class Limit:
    """A bound on how many tasks read from a server at once.

    It is halved each time the server says that it has too much to do, and grows again by one
    after so many tasks as it had at first without such an answer.
    """

    def __init__(self, most: int) -> None:
        self._most = most
        self._since = 0
        self._reading: set[int] = set()
        self._spared: set[int] = set()
        self.now = most

    @property
    def free(self) -> bool:
        """Return whether one more may read."""
        return len(self._reading) < self.now

    def begin(self, number: int) -> None:
        """Count a task that reads."""
        self._reading.add(number)

    def end(self, number: int) -> None:
        """Count a task that reads no more; also one that is not known."""
        if number in self._reading:
            self._reading.discard(number)
            self._spared.discard(number)
            self._since += 1
            if self._since >= self._most and self.now < self._most:
                self._since, self.now = 0, self.now + 1

    def halve(self, number: int) -> None:
        """Halve the bound, once for all tasks that were reading together."""
        if number not in self._spared:
            self.now = max(self.now // 2, 1)
            self._spared = set(self._reading)
            logger.warning("the archive has too much to do: %d requests at once now", self.now)
        self._since = 0


@dataclass(slots=True, eq=False)
class _Slot:
    """A task in the order of the archive."""

    number: int
    task: Task
    answers: list[Answer] = field(default_factory=list[Answer])
    done: bool = False
    deaths: int = 0
    busy: int = 0
    due: float = 0.0
    known: dict[str, Use] = field(default_factory=dict[str, Use])


def in_order(
    crew: Crew,
    tasks: Iterable[Task | list[Answer]],
    lookup: Lookup,
    limit: Limit,
    clock: Callable[[], float] = time.monotonic,
) -> Iterator[tuple[Task | None, list[Answer]]]:
    """Work on tasks and yield each with its answers, in order.

    Parameters
    ----------
    crew : Crew
    tasks : iterable of Task, or of answers that are known
        Drawn a few ahead of what was yielded.
    lookup : callable
        Says here which foils the results used; asked at any time.
    limit : Limit
        On those that read from a server at once.
    clock : callable
        Monotonic seconds.
    """
    coming, more = iter(tasks), True
    window: deque[_Slot | list[Answer]] = deque()
    waiting: deque[_Slot] = deque()
    running: dict[int, _Slot] = {}
    while True:
        while more and len(window) < crew.ahead:
            drawn = next(coming, None)
            if drawn is None:
                more = False
                break
            if isinstance(drawn, Task):
                slot = _Slot(next(_NUMBERS), drawn)
                waiting.append(slot)
                window.append(slot)
            else:
                window.append(drawn)
        _begin(crew, waiting, running, limit, clock())
        while window and (isinstance(first := window[0], list) or first.done):
            window.popleft()
            yield (None, first) if isinstance(first, list) else (first.task, first.answers)
            _begin(crew, waiting, running, limit, clock())
        if not window:
            if not more:
                return
            continue
        if len(window) < crew.ahead and more:
            continue
        for event in crew.wait(TICK, lookup):
            _count(event, limit)
            if isinstance(event, Read) or event.number not in running:
                continue  # it is of an iterator that was left
            slot = running.pop(event.number)
            if isinstance(event, Died):
                slot.done = not _again_after_death(slot, event)
            else:
                slot.done = not _again_after_answers(slot, event.answers, lookup, clock())
            if not slot.done:
                waiting.appendleft(slot)


_NUMBERS = itertools.count()
"""Of tasks: no two in this process have the same."""


def _begin(
    crew: Crew,
    waiting: deque[_Slot],
    running: dict[int, _Slot],
    limit: Limit,
    now: float,
) -> None:
    """Begin what waits and is due, as far as workers and the server are free."""
    for slot in [slot for slot in waiting if slot.due <= now]:
        if not crew.free or (slot.task.source.on_server and not limit.free):
            return
        waiting.remove(slot)
        running[slot.number] = slot
        if slot.task.source.on_server:
            limit.begin(slot.number)
        crew.submit(slot.number, slot.task)


def _count(event: Read | Answered | Died, limit: Limit) -> None:
    if isinstance(event, Answered) and any(answer.busy for answer in event.answers):
        limit.halve(event.number)
    limit.end(event.number)


def _again_after_death(slot: _Slot, event: Died) -> bool:
    """Return whether to try again: once."""
    slot.deaths += 1
    logger.warning("%s: its process is gone (%s)", slot.task.source.name, event.reason)
    if slot.deaths == 1:
        return True
    source = slot.task.source
    problem = f"the process that answered it died twice ({event.reason})"
    slot.answers = [
        Answer(str(source.start.get("uid", source.name)), source.start, problem=problem)
    ]
    return False


def _again_after_answers(slot: _Slot, answers: list[Answer], lookup: Lookup, now: float) -> bool:
    """Keep answers; return whether to try again, for a busy server or with foils known now."""
    if any(answer.busy for answer in answers):
        slot.busy += 1
        slot.due = now + min(2.0 ** (slot.busy - 1), LONGEST_PAUSE)
        if slot.busy < BUSY_ATTEMPTS:
            return True
    if slot.task.only and slot.answers:  # a part was answered anew
        anew = {answer.name: answer for answer in answers}
        answers = [anew.get(answer.name, answer) for answer in slot.answers]
    slot.answers = answers
    ready: list[str] = []
    for answer in answers:
        found = _known(answer.unknown, lookup)
        if found and not found.keys() <= slot.task.known.keys():
            slot.known.update(found)
            ready.append(answer.name)
    if not ready:
        return False
    slot.task = replace(slot.task, known=dict(slot.known), only=tuple(ready))
    return True


def _known(questions: Sequence[Question], lookup: Lookup) -> Mapping[str, Use]:
    """Return the foils of all results of a run, and nothing where one is not known."""
    found: dict[str, Use] = {}
    for question in questions:
        use = lookup(question)
        if use is None:
            return {}
        found[question.result] = use
    return found
