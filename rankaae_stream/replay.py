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
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from rankaae_stream.analysis import Analysis
from rankaae_stream.layouts.base import Document
from rankaae_stream.loading import build_pipeline, load_analysis, open_foils
from rankaae_stream.past.archive import documents_of, sentence_of
from rankaae_stream.past.in_files import Damaged, StoredRun
from rankaae_stream.past.selection import Selection
from rankaae_stream.profile import Profile, load_profile
from rankaae_stream.report import Report, Result
from rankaae_stream.results.publisher import PATIENCE, ResultPublisher
from rankaae_stream.results.read_foils import PublishedFoils
from rankaae_stream.results.sinks import Unreachable
from rankaae_stream.series.live import LiveSeries, SeriesResult
from rankaae_stream.spectra.foils import AcceptedFoil, FoilHistory, Foils

__all__ = ["Outcome", "Replayed", "replay"]

Documents = list[tuple[str, Document]]


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
    """

    name: str
    start: Document
    reports: tuple[Report, ...] = ()
    skipped: str = ""
    problem: str = ""


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

    def hand_over(outcome: Outcome, results: Sequence[Result]) -> None:
        for result in results:
            if publisher is not None:
                publisher(result)
            if whole or series is not None:
                gathered.take(result)
        if publisher is not None:
            publisher.ended(outcome.name)
        if told is not None:
            told(outcome)

    work = Replay(profile, analysis, history, selection or Selection(), hand_over, clock)
    try:
        work.run(runs)
        gathered.finish()
        if publisher is not None:
            publisher.drain(patience, sending)
            work.done.failing = publisher.failing
    finally:
        if published is not None:
            work.done.foils_unknown = published.failing
            published.close()
        if publisher is not None:
            work.done.unsent = publisher.close(1.0)
            work.done.rejected = publisher.rejected
    return work.done


@dataclass(slots=True, eq=False)
class _Run:
    """A run of the archive; `source` holds its documents or gives them when it is asked."""

    place: int
    source: Any
    name: str
    start: Document = field(default_factory=dict[str, Any])


@dataclass(slots=True, eq=False)
class Replay:
    """Answer the runs of an archive; a run whose foil is unknown waits for all the others.

    `hand_over` receives each Outcome with its final results as soon as it is known; `done`
    is complete when `run` returns, but for what publishing adds.
    """

    profile: Profile
    analysis: Analysis
    history: FoilHistory
    selection: Selection
    hand_over: Callable[[Outcome, Sequence[Result]], None]
    clock: Callable[[], float]
    done: Replayed = field(default_factory=Replayed)
    _outcomes: dict[int, Outcome] = field(default_factory=dict[int, Outcome])
    _waiting: list[_Run] = field(default_factory=list[_Run])
    _seen: set[str] = field(default_factory=set[str])

    def run(self, runs: Any) -> None:
        """Answer every run that is asked for, then those that had to wait."""
        for place, source in enumerate(self._each(runs)):
            name = source.source if isinstance(source, StoredRun) else "a run without a start"
            if not self._try(self.answer, _Run(place, source, name)):
                break
        for run in self._waiting:
            if not self._try(self.answer_waiting, run):
                break
        self.done.outcomes = [self._outcomes[place] for place in sorted(self._outcomes)]
        self.done.missing = tuple(
            uid
            for uid in self.selection.uids
            if not any(name.startswith(uid) for name in self._seen)
        )

    def answer(self, run: _Run) -> None:
        """Answer a run if it is asked for, or let it wait where its foil would be a guess."""
        run.start = _start_of(run.source)
        if run.start and not self._is_asked_for(run):
            return
        documents = documents_of(run.source)
        if not run.start:
            run.start = _start_in(documents)
            if not self._is_asked_for(run):
                return
        foils = _FoilsOfRun(self.history, guess=False)
        outcome, results = self._analyse(run, documents, foils)
        for result in results:
            # Of a run that is still to be answered, its own foils only.
            if not foils.guessed or result.report.shifts.calibration_run == run.name:
                self.history.remember(result)
        if not foils.guessed:
            self._finish(run, outcome, results)
            return
        if not hasattr(run.source, "documents"):
            run.source = documents  # a stream of documents can be read once
        self._waiting.append(run)

    def answer_waiting(self, run: _Run) -> None:
        """Answer a run that waited, with the latest foil before it."""
        foils = _FoilsOfRun(self.history, guess=True)
        outcome, results = self._analyse(run, documents_of(run.source), foils)
        for result in results:
            self.history.remember(result)
        self._finish(run, outcome, results)

    def _try(self, answer: Callable[[_Run], None], run: _Run) -> bool:
        """Answer a run; return False when the whole archive is away."""
        try:
            answer(run)
        except Exception as error:  # noqa: BLE001 - a damaged run must not end the others
            if _is_away(error):
                self.done.lost = sentence_of(error)
                return False
            self._finish(run, Outcome(run.name, run.start, problem=sentence_of(error)))
        return True

    def _finish(self, run: _Run, outcome: Outcome, results: Sequence[Result] = ()) -> None:
        self._outcomes[run.place] = outcome
        self.hand_over(outcome, results)

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

    def _analyse(
        self, run: _Run, documents: Documents, foils: Foils
    ) -> tuple[Outcome, list[Result]]:
        """Return the outcome of a run with its final results, and leave the history as it is."""
        start = run.start
        if "original_run_uid" in start:
            return Outcome(run.name, start, skipped="an analysis of another run"), []
        if all(kind != "stop" for kind, _ in documents):
            quiet = self.clock() - _last_time(documents)
            if quiet < self.profile.stop_deadline:
                return Outcome(run.name, start, skipped="perhaps still running"), []
        results: list[Result] = []
        # A pipeline of its own: what a damaged run leaves open must not reach the next.
        pipeline = build_pipeline(
            self.profile, results.append, self.analysis, foils, provisional=False
        )
        for kind, doc in documents:
            # A clock that stands still: nothing but the documents decides an answer.
            pipeline.feed(kind, doc, 0.0)
        pipeline.finish("the archive holds no end of the run")
        final = [result for result in results if result.report.complete]
        if not final:
            return Outcome(run.name, start, skipped="not XAS, as the profile's [run] has it"), []
        bare = {"curves": None, "measured": None}
        reports = tuple(dataclasses.replace(result.report, **bare) for result in final)
        return Outcome(run.name, start, reports), final


class _FoilsOfRun:
    """Earlier foils for one run, by the history; its results are remembered afterwards.

    `guessed` is set once a foil is asked for and nothing tells which one the run was
    answered with; the latest is then given only where `guess` is set.
    """

    def __init__(self, history: FoilHistory, *, guess: bool) -> None:
        self._history = history
        self._guess = guess
        self.guessed = False

    def earlier(self, result: str, edge: str, began: float) -> AcceptedFoil | None:
        use = self._history.use(result)
        if use is not None:
            return use.foil
        self.guessed = True
        return self._history.latest(edge, began) if self._guess else None

    def remember(self, result: Result) -> None:
        pass


def _published(profile: Profile) -> PublishedFoils:
    key, server = profile.tiled_api_key, profile.tiled
    secret = key.get_secret_value() if key else None
    return PublishedFoils(server.uri, server.node, secret, profile.analysis_hash())


def _start_of(source: Any) -> Document:
    """Return the start document where a run has it without being read, else an empty one."""
    start = getattr(source, "start", None)
    if start is None and hasattr(source, "metadata"):
        start = source.metadata.get("start")
    return _checked(start) if start else {}


def _start_in(documents: Documents) -> Document:
    return _checked(next((doc for name, doc in documents if name == "start"), dict[str, Any]()))


def _checked(start: Document) -> Document:
    uid, began = start.get("uid"), start.get("time")
    if not (isinstance(uid, str) and uid and isinstance(began, (int, float))):
        raise Damaged("it has no start document with a uid and a time")
    return start


def _last_time(documents: Documents) -> float:
    return max(float(np.max(doc.get("time", 0.0))) for _, doc in documents[-1:] + documents[:1])


def _is_away(error: Exception) -> bool:
    """Return whether the whole archive is away, and not one run damaged."""
    from httpx import TransportError

    return isinstance(error, (Unreachable, TransportError, ConnectionError))
