"""Answer stored runs by the live pipeline: the same numbers, whenever they are asked for.

A result's uid follows from the raw run, the model and the settings, and its
times from the raw documents. So a replay composes what the live stream composed,
and publishing it again changes nothing.

A run without a foil was answered with that of an earlier run, which need not be among
the replayed ones. The foil that a result used is written beside the spool and in the
published result; the replay takes it from either. Where neither has it, the run was never
answered: it waits until the whole archive is read, so that the order does not matter,
and takes the latest foil before it that archive, file or published results hold.
"""

import dataclasses
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, cast

from rankaae_stream.analysis import Analysis
from rankaae_stream.errors import ConfigurationError
from rankaae_stream.layouts.base import Document
from rankaae_stream.loading import load_analysis, open_foils
from rankaae_stream.past.archive import documents_of, sentence_of
from rankaae_stream.past.in_files import StoredRun
from rankaae_stream.past.references import Held, Reference
from rankaae_stream.past.selection import Selection
from rankaae_stream.profile import Profile, load_profile
from rankaae_stream.report import Report, Result
from rankaae_stream.results.publisher import PATIENCE, ResultPublisher
from rankaae_stream.results.read_foils import PublishedFoils
from rankaae_stream.series.live import LiveSeries, SeriesResult
from rankaae_stream.spectra.foils import FoilHistory, Use
from rankaae_stream.workers.choose import Workers, open_crew
from rankaae_stream.workers.ledger import Ledger
from rankaae_stream.workers.one_run import (
    Answer,
    Question,
    Task,
    answer_run,
    is_away,
    start_in,
    start_of,
)
from rankaae_stream.workers.processes import Setup
from rankaae_stream.workers.side_by_side import Limit, in_order

__all__ = ["Outcome", "Replayed", "Workers", "replay"]


NAMELESS = "a run without a start"


@dataclass(frozen=True, slots=True, eq=False)
class Outcome:
    """The answer to one run, or why there is none.

    Attributes
    ----------
    name : str
        The run's uid, or the file where that could not be read.
    start : mapping
    reports : tuple of Report
        One for each sweep and channel, without curves.
    skipped : str
        Why the run was left out on purpose, or empty.
    problem : str
        Why it could not be read, or empty.
    before : bool
        Whether an earlier replay, which was interrupted, has answered and published it.
    """

    name: str
    start: Document
    reports: tuple[Report, ...] = ()
    skipped: str = ""
    problem: str = ""
    before: bool = False


@dataclass(slots=True)
class Replayed:
    """The outcome of a replay.

    Attributes
    ----------
    outcomes : list of Outcome
        In the order of the archive.
    lost : str
        Why the archive could not be read to its end, or empty.
    missing : tuple of str
        Beginnings of uids that no run has.
    unsent, rejected : int
        Results that stay in the spool, and that a sink did not take.
    failing : str
        Why results stay in the spool.
    foils_unknown : str
        Why the published results could not be asked which foil a run was answered with.
    """

    outcomes: list[Outcome] = field(default_factory=list[Outcome])
    lost: str = ""
    missing: tuple[str, ...] = ()
    unsent: int = 0
    rejected: int = 0
    failing: str = ""
    foils_unknown: str = ""

    @property
    def failed(self) -> bool:
        """Return whether anything was not read or not published; a refusal is an answer."""
        problems = any(outcome.problem for outcome in self.outcomes)
        return bool(problems or self.lost or self.missing or self.unsent or self.rejected)


def replay(
    runs: Any,
    profile: str | Path | Profile = "sim",
    *,
    sinks: Sequence[Callable[[str, dict[str, Any]], Any]] = (),
    to_tiled: bool = True,
    dry_run: bool = False,
    selection: Selection | None = None,
    told: Callable[[Outcome], object] | None = None,
    series: Callable[[SeriesResult], object] | None = None,
    sending: Callable[[int], object] | None = None,
    clock: Callable[[], float] = time.time,
    patience: float = PATIENCE,
    workers: Workers | None = None,
    resume: str | None = None,
    again: bool = False,
) -> Replayed:
    """Answer stored runs and publish the answers.

    Parameters
    ----------
    runs : catalog or iterable
        A Tiled catalog of bluesky runs, its ``.v1`` or ``.v2``, or any runs with
        ``documents()``, or streams of (name, document).
    profile : str, Path or Profile
    sinks : sequence of callables, optional
        Each receives (name, document) of every result, beside Tiled.
    to_tiled : bool
        False to publish to `sinks` only.
    dry_run : bool
        Answer only; nothing is published or spooled, and no key is needed.
    selection : Selection, optional
    told : callable, optional
        Receives each Outcome as soon as it is known.
    series : callable, optional
        Receives each series of the runs, complete. They are published, too, unless single runs
        are selected by their uids: of a series these are a part at most.
    sending : callable, optional
        Receives how many results wait to be sent, once all runs are read.
    clock : callable
        Seconds since the epoch; only to tell a run that is still going on from
        one that lost its end.
    patience : float
        Seconds without one result leaving after which the rest stays in the spool.
    workers : Workers, optional
        Answer in several processes, or on a Dask cluster. This process alone publishes, in the
        order of the archive: what is published is the same, bit for bit.
    resume : str, optional
        Name of the archive, under which finished runs are noted beside the spool: a replay that
        was killed goes on where it was when it is started again with the same profile, models
        and selection. Nothing is noted in a dry run.
    again : bool
        Forget what such a replay has finished.

    Returns
    -------
    Replayed

    Raises
    ------
    ConfigurationError
        At once, when the profile, a model or the Tiled key is wrong.
    """
    if not isinstance(profile, Profile):
        profile = load_profile(profile)
    analysis = load_analysis(profile)
    publisher = None
    if not dry_run:
        publisher = ResultPublisher(profile, sinks, to_tiled=to_tiled, models=analysis.models)
    published = _published(profile) if to_tiled else None
    history = open_foils(profile, published, writes=publisher is not None)

    whole = publisher is not None and profile.series.publish and not (selection or Selection()).uids

    def hand_over_series(found: SeriesResult) -> None:
        if publisher is not None and whole:
            publisher.series(found)
        if series is not None:
            series(found)

    gathered = LiveSeries(profile.series.build(), analysis, hand_over_series)

    ledger = None
    if publisher is not None and resume is not None:
        ledger = _open_ledger(profile, analysis, resume, selection, again=again)

    def hand_over(outcome: Outcome, results: Sequence[Result]) -> None:
        for result in results:
            if publisher is not None and not outcome.before:
                publisher(result)
            if whole or series is not None:
                gathered.take(result)
        if publisher is not None and not outcome.before:
            publisher.ended(outcome.name)
        if ledger is not None and not (outcome.before or outcome.problem):
            ledger.add(outcome.name, outcome.start, outcome.skipped, results)
        if told is not None:
            told(outcome)

    work = Replay(profile, analysis, history, selection or Selection(), hand_over, clock, ledger)
    ended = False
    try:
        if workers is None:
            work.run(runs)
        else:
            work.run_by(workers, runs)
        gathered.finish()
        ended = not work.done.lost
        if publisher is not None:
            publisher.drain(patience, sending)
            work.done.failing = publisher.failing
    finally:
        if ledger is not None:
            ledger.close(complete=ended)
        if published is not None:
            work.done.foils_unknown = published.failing
            published.close()
        if publisher is not None:
            work.done.unsent = publisher.close(1.0)
            work.done.rejected = publisher.rejected
    return work.done


def _open_ledger(
    profile: Profile,
    analysis: Analysis,
    source: str,
    selection: Selection | None,
    *,
    again: bool,
) -> Ledger:
    folder = profile.spool.expanduser() / "replays"
    key = {
        "source": source,
        "profile": profile.analysis_hash(),
        "published": profile.published(),
        "models": _ids(analysis),
        "code_version": analysis.code_version,
        "selection": dataclasses.asdict(selection or Selection()),
    }
    try:
        return Ledger(folder, key, again=again)
    except OSError as error:
        raise ConfigurationError(
            f"cannot write {folder} ({error.strerror}); set spool in profile {profile.name!r} to "
            "a folder that can be written"
        ) from error


def _ids(analysis: Analysis) -> dict[str, str]:
    return {edge: model.card.id for edge, model in analysis.models.items()}


@dataclass(slots=True, eq=False)
class _Run:
    """A run of the archive; `source` holds its documents or gives them when it is asked.

    `questions` are the foils that it waits for.
    """

    place: tuple[int, int]
    source: Any
    name: str
    start: Document = field(default_factory=dict[str, Any])
    questions: tuple[Question, ...] = ()


@dataclass(slots=True, eq=False)
class Replay:
    """Answer the runs of an archive; a run whose foil is unknown waits for all the others.

    `hand_over` receives each Outcome with its final results as soon as it is known; `done`
    is complete when `run` or `run_by` returns, but for what publishing adds.
    """

    profile: Profile
    analysis: Analysis
    history: FoilHistory
    selection: Selection
    hand_over: Callable[[Outcome, Sequence[Result]], None]
    clock: Callable[[], float]
    ledger: Ledger | None = None
    done: Replayed = field(default_factory=Replayed)
    _outcomes: dict[tuple[int, int], Outcome] = field(
        default_factory=dict[tuple[int, int], Outcome]
    )
    _waiting: list[_Run] = field(default_factory=list[_Run])
    _seen: set[str] = field(default_factory=set[str])

    def run(self, runs: Any) -> None:
        """Answer here every run that is asked for, then those that had to wait."""
        for place, source in enumerate(self._each(runs)):
            name = source.source if isinstance(source, StoredRun) else NAMELESS
            if not self._try(self.answer, _Run((place, 0), source, name)):
                break
        for run in self._waiting:
            if not self._try(self.answer_waiting, run):
                break
        self._end()

    def run_by(self, workers: Workers, runs: Any) -> None:
        """Let workers answer what `run` would, and take the answers in the same order."""
        limit = Limit(workers.requests)
        with open_crew(workers, self._setup()) as crew:
            tasks = self._tasks(self._each(runs))
            for place, (task, answers) in enumerate(in_order(crew, tasks, self._use, limit)):
                source = task.source if task is not None else None
                if not all(self._take(place, i, source, one) for i, one in enumerate(answers)):
                    break
            waited = list(self._waiting)
            tasks = (self._task_of_waiting(run) for run in waited)
            answered = in_order(crew, tasks, self._use_or_latest, limit)
            for run, (_, answers) in zip(waited, answered, strict=False):
                if any(answer.away for answer in answers):
                    self.done.lost = answers[0].problem
                    break
                for answer in answers:
                    self._take_last(run, answer)
        self._end()

    def answer(self, run: _Run) -> None:
        """Answer a run if it is asked for, or let it wait where its foil would be a guess."""
        run.start = start_of(run.source)
        if run.start and not self._is_asked_for(run):
            return
        if self._was_finished(run):
            return
        documents = documents_of(run.source)
        if not run.start:
            run.start = start_in(documents)
            if not self._is_asked_for(run) or self._was_finished(run):
                return
        self._take_first(run, self._analyse(run, documents, self._use))
        if not hasattr(run.source, "documents"):
            run.source = documents  # a stream of documents can be read once

    def answer_waiting(self, run: _Run) -> None:
        """Answer a run that waited, with the latest foil before it."""
        documents = documents_of(run.source)
        self._take_last(run, self._analyse(run, documents, self._use_or_latest))

    def _analyse(self, run: _Run, documents: Any, lookup: Callable[[Question], Use | None]) -> Any:
        return answer_run(run.name, documents, self.profile, self.analysis, lookup, self.clock)

    def _take_first(self, run: _Run, answer: Answer) -> None:
        """Keep what a run's results used; finish it, unless its foil would be a guess."""
        for result in answer.results:
            # Of a run that is still to be answered, its own foils only.
            if not answer.unknown or result.report.shifts.calibration_run == run.name:
                self.history.remember(result)
        if answer.unknown:
            run.questions = answer.unknown
            self._waiting.append(run)
        else:
            self._finish(run, answer)

    def _take_last(self, run: _Run, answer: Answer) -> None:
        for result in answer.results:
            self.history.remember(result)
        self._finish(run, answer)

    def _use(self, question: Question) -> Use | None:
        """Return which foil a result used; None where nothing tells."""
        return self.history.use(question.result)

    def _use_or_latest(self, question: Question) -> Use:
        known = self._use(question)
        return known or Use(self.history.latest(question.edge, question.began))

    # ---- by workers ----

    def _setup(self) -> Setup:
        settings = {name: getattr(self.profile, name) for name in Profile.model_fields}
        # Of the plain class, which other processes know, and without the key.
        profile = Profile.model_construct(**{**settings, "tiled_api_key": None})
        finished = self.ledger.finished if self.ledger is not None else frozenset[str]()
        own = self.profile.own_server
        models, version = _ids(self.analysis), self.analysis.code_version
        return Setup(profile, self.selection, finished, models, version, own)

    def _tasks(self, sources: Iterable[Any]) -> Iterator[Task | list[Answer]]:
        """Yield a task for each run that may be asked for; what is known of others at once."""
        begun: set[str] = set()
        for source in sources:
            name = source.source if isinstance(source, StoredRun) else NAMELESS
            start: Document = {}
            try:
                start = start_of(source)
                name = str(start.get("uid", name))
                if start and (name in begun or not self.selection.takes(start)):
                    yield []
                    continue
                begun.add(name)
                if self.ledger is not None and name in self.ledger.finished:
                    yield [Answer(name, start, finished=True)]
                    continue
                if hasattr(source, "on_server"):
                    yield Task(cast("Reference", source), self.clock())
                else:
                    documents = documents_of(source)
                    start = start or start_in(documents)
                    yield Task(Held(str(start["uid"]), start, documents), self.clock())
            except Exception as error:  # noqa: BLE001 - a damaged run must not end the others
                yield [Answer(name, start, problem=sentence_of(error), away=is_away(error))]

    def _task_of_waiting(self, run: _Run) -> Task:
        known = {one.result: self._use_or_latest(one) for one in run.questions}
        return Task(run.source, self.clock(), known, (run.name,))

    def _take(self, place: int, part: int, source: Any, answer: Answer) -> bool:
        """Take a worker's answer in its turn; return False when the whole archive is away."""
        run = _Run((place, part), source, answer.name, answer.start)
        if answer.away:
            self.done.lost = answer.problem
            return False
        known = bool(answer.start) and "uid" in answer.start
        if known and not self._is_asked_for(run):
            return True
        if not self._was_finished(run):
            self._take_first(run, answer)
        return True

    # ---- for both ----

    def _try(self, answer: Callable[[_Run], None], run: _Run) -> bool:
        """Answer a run; return False when the whole archive is away."""
        try:
            answer(run)
        except Exception as error:  # noqa: BLE001 - a damaged run must not end the others
            if is_away(error):
                self.done.lost = sentence_of(error)
                return False
            self._finish(run, Answer(run.name, run.start, problem=sentence_of(error)))
        return True

    def _was_finished(self, run: _Run) -> bool:
        """Take the answer of an earlier replay that was interrupted, if it has one."""
        if self.ledger is None or run.name not in self.ledger.finished:
            return False
        answer = self.ledger.read(run.name)
        if answer is None:
            problem = "what an earlier replay noted of it is damaged; replay with --again"
            self._finish(run, Answer(run.name, run.start, problem=problem))
        else:
            self._take_last(run, answer)
        return True

    def _finish(self, run: _Run, answer: Answer) -> None:
        bare = {"curves": None, "measured": None}
        reports = tuple(dataclasses.replace(one.report, **bare) for one in answer.results)
        outcome = Outcome(
            run.name,
            run.start or answer.start,
            reports,
            answer.skipped,
            answer.problem,
            answer.finished,
        )
        self._outcomes[run.place] = outcome
        self.hand_over(outcome, answer.results)

    def _end(self) -> None:
        self.done.outcomes = [self._outcomes[place] for place in sorted(self._outcomes)]
        self.done.missing = tuple(
            uid
            for uid in self.selection.uids
            if not any(name.startswith(uid) for name in self._seen)
        )

    def _is_asked_for(self, run: _Run) -> bool:
        uid = run.start["uid"]
        if uid in self._seen or not self.selection.takes(run.start):
            return False
        run.name = uid
        self._seen.add(uid)
        return True

    def _each(self, runs: Any) -> Iterator[Any]:
        """Yield the runs of a catalog or an iterable, until it ends or is away."""
        if hasattr(runs, "values"):
            runs = runs.values()
        elif callable(runs):
            runs = runs()  # databroker.v1: calling a Broker is searching it
        iterator = iter(runs)
        while True:
            try:
                run = next(iterator)
            except StopIteration:
                return
            except Exception as error:  # noqa: BLE001 - whatever a foreign catalog raises
                self.done.lost = sentence_of(error)
                return
            yield run


def _published(profile: Profile) -> PublishedFoils:
    server = profile.tiled
    return PublishedFoils(server.uri, server.node, profile.known_key, profile.analysis_hash())
