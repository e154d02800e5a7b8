"""Answer one stored run: its documents to its final results.

Nothing but the documents, the profile, the models and the foils of earlier runs decides an
answer; so it is the same in whichever process it is made.
"""

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from rankaae_stream.analysis import Analysis
from rankaae_stream.files.run_writer import Documents
from rankaae_stream.layouts.base import Document
from rankaae_stream.loading import build_pipeline
from rankaae_stream.past.archive import documents_of, sentence_of
from rankaae_stream.past.in_files import Damaged
from rankaae_stream.past.references import Access, Held, Reference
from rankaae_stream.past.selection import Selection
from rankaae_stream.profile import Profile
from rankaae_stream.report import Result
from rankaae_stream.results.sinks import Unavailable, Unreachable
from rankaae_stream.spectra.foils import AcceptedFoil, Use

__all__ = [
    "STILL_RUNNING",
    "Answer",
    "Documents",
    "Lookup",
    "Question",
    "Task",
    "Worker",
    "answer_run",
    "is_away",
    "start_in",
    "start_of",
]

STILL_RUNNING = "perhaps still running"


@dataclass(frozen=True, slots=True)
class Question:
    """Which foil of an earlier run a result (by uid) uses, whose run began at a time, s."""

    result: str
    edge: str
    began: float


Lookup = Callable[[Question], Use | None]
"""Says which foil a result uses; None where that is not known yet."""


@dataclass(frozen=True, slots=True, eq=False)
class Answer:
    """The answer to one run, or why there is none.

    Attributes
    ----------
    name : str
        The run's uid, or what it was read from.
    start : mapping
    results : tuple of Result
        Final ones, with curves.
    skipped, problem : str
        Why it was left out on purpose, and why it could not be read, or empty.
    unknown : tuple of Question
        Foils of earlier runs that were asked for and not known: the answer is not the last.
    away, busy : bool
        Whether the whole archive does not answer, or has too much to do.
    finished : bool
        Whether it was left out because it is known to be answered already.
    """

    name: str
    start: Document
    results: tuple[Result, ...] = ()
    skipped: str = ""
    problem: str = ""
    unknown: tuple[Question, ...] = ()
    away: bool = False
    busy: bool = False
    finished: bool = False


def answer_run(
    name: str,
    documents: Documents,
    profile: Profile,
    analysis: Analysis,
    lookup: Lookup,
    now: Callable[[], float],
) -> Answer:
    """Answer a run from all its documents.

    Parameters
    ----------
    name : str
    documents : list of (name, document)
    profile : Profile
    analysis : Analysis
    lookup : callable
        Asked for each result without a foil of its own.
    now : callable
        Seconds since the epoch; only to tell a run that is still going on from one that lost
        its end.
    """
    start = start_in(documents)
    if "original_run_uid" in start:
        return Answer(name, start, skipped="an analysis of another run")
    if all(kind != "stop" for kind, _ in documents):
        quiet = now() - _last_time(documents)
        if quiet < profile.stop_deadline:
            return Answer(name, start, skipped=STILL_RUNNING)
    results: list[Result] = []
    foils = _Foils(lookup)
    # A pipeline of its own: what a damaged run leaves open must not reach the next.
    pipeline = build_pipeline(profile, results.append, analysis, foils, provisional=False)
    for kind, doc in documents:
        # A clock that stands still: nothing but the documents decides an answer.
        pipeline.feed(kind, doc, 0.0, more=True)
    pipeline.finish("the archive holds no end of the run")
    final = tuple(result for result in results if result.report.complete)
    if not final:
        return Answer(name, start, skipped="not XAS, as the profile's [run] has it")
    return Answer(name, start, final, unknown=tuple(foils.unknown))


class _Foils:
    """Earlier foils for one run; what its results used is remembered by whom they are sent to."""

    def __init__(self, lookup: Lookup) -> None:
        self._lookup = lookup
        self.unknown: list[Question] = []

    def earlier(self, result: str, edge: str, began: float) -> AcceptedFoil | None:
        question = Question(result, edge, began)
        use = self._lookup(question)
        if use is None:
            self.unknown.append(question)
        return use.foil if use is not None else None

    def remember(self, result: Result) -> None:
        pass


@dataclass(frozen=True, slots=True, eq=False)
class Task:
    """Runs to be answered elsewhere.

    Attributes
    ----------
    source : Reference
    now : float
        Seconds since the epoch.
    known : mapping of Use
        By the uid of the result: the foils of earlier runs.
    only : collection of str
        Uids of the runs that are asked for; all of them where empty.
    """

    source: Reference
    now: float
    known: Mapping[str, Use] = field(default_factory=dict[str, Use])
    only: Collection[str] = ()


@dataclass(slots=True, eq=False)
class Worker:
    """Answer tasks, one after the other, with what is loaded once.

    Attributes
    ----------
    profile : Profile
    analysis : Analysis
    access : Access
    selection : Selection
    finished : collection of str
        Uids of runs that need no answer any more.
    """

    profile: Profile
    analysis: Analysis
    access: Access
    selection: Selection
    finished: Collection[str] = ()

    def answer(
        self,
        task: Task,
        ask: Lookup = lambda _: None,
        read: Callable[[], object] = lambda: None,
    ) -> list[Answer]:
        """Answer a task; `read` is called once the archive is not asked any more.

        No error of a run, or of its archive, leaves: an answer says it.
        """
        try:
            runs = self._read(task)
        except Exception as error:  # noqa: BLE001 - one run must not end the others
            return [_failed(task.source.name, task.source.start, error)]
        finally:
            read()

        def lookup(question: Question) -> Use | None:
            return task.known.get(question.result) or ask(question)

        return [run if isinstance(run, Answer) else self._answer(run, task, lookup) for run in runs]

    def _read(self, task: Task) -> list[Answer | Held]:
        """Read what is asked for; a run of a file that is damaged is its own answer."""
        found: list[Answer | Held] = []
        for run in task.source.open(self.access):
            name, start = str(getattr(run, "source", task.source.name)), dict[str, Any]()
            try:
                start = start_of(run)
                name = start.get("uid", name)
                if start and not self._is_asked_for(start, task):
                    continue
                if name in self.finished:
                    found.append(Answer(name, start, finished=True))
                    continue
                documents = documents_of(run)
                start = start or start_in(documents)
            except Exception as error:
                if is_away(error) or is_busy(error):
                    raise
                found.append(_failed(name, start, error))
            else:
                if self._is_asked_for(start, task):
                    found.append(Held(start["uid"], start, documents))
        return found

    def _is_asked_for(self, start: Document, task: Task) -> bool:
        return (not task.only or start["uid"] in task.only) and self.selection.takes(start)

    def _answer(self, run: Held, task: Task, lookup: Lookup) -> Answer:
        try:
            return answer_run(
                run.name, run.held, self.profile, self.analysis, lookup, lambda: task.now
            )
        except Exception as error:  # noqa: BLE001 - one run must not end the others
            return _failed(run.name, run.start, error)


def _failed(name: str, start: Document, error: Exception) -> Answer:
    return Answer(name, start, problem=sentence_of(error), away=is_away(error), busy=is_busy(error))


def start_of(source: Any) -> Document:
    """Return the start document where a run has it without being read, else an empty one.

    Raises
    ------
    Damaged
        When it has no uid or time.
    """
    start = getattr(source, "start", None)
    if start is None and hasattr(source, "metadata"):
        start = source.metadata.get("start")
    return _checked(start) if start else {}


def start_in(documents: Sequence[tuple[str, Document]]) -> Document:
    """Return the start document among a run's documents.

    Raises
    ------
    Damaged
        When there is none with a uid and a time.
    """
    return _checked(next((doc for name, doc in documents if name == "start"), dict[str, Any]()))


def _checked(start: Document) -> Document:
    uid, began = start.get("uid"), start.get("time")
    if not (isinstance(uid, str) and uid and isinstance(began, (int, float))):
        raise Damaged("it has no start document with a uid and a time")
    return start


def _last_time(documents: Documents) -> float:
    return max(float(np.max(doc.get("time", 0.0))) for _, doc in documents[-1:] + documents[:1])


def is_away(error: Exception) -> bool:
    """Return whether the whole archive is away, and not one run damaged."""
    from httpx import TransportError

    return isinstance(error, (Unreachable, TransportError, ConnectionError))


def is_busy(error: Exception) -> bool:
    """Return whether a server says that it has too much to do: HTTP 429, 502, 503 or 504."""
    return isinstance(error, Unavailable) and not isinstance(error, Unreachable)
