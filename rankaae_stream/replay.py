"""Stored runs through the live pipeline: the same numbers, whenever they are asked for.

A result's uid follows from the raw run, the model and the settings, and its
times from the raw documents. So a replay composes what the live stream composed,
and publishing it again changes nothing.

A run without a foil was answered with that of an earlier run, which need not be among
the replayed ones. What a result used is written beside the spool and stands in the
published result, and either is believed. Where neither tells, the run was never
answered: it waits until the whole archive is read, so that the order does not matter,
and takes the latest foil before it of archive, file and results.
"""

import dataclasses
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, cast

import numpy as np

from rankaae_stream.analysis import Analysis
from rankaae_stream.layouts.base import Document
from rankaae_stream.loading import build_pipeline, load_analysis, open_foils
from rankaae_stream.past.archive import documents_of, sentence_of
from rankaae_stream.past.in_files import Damaged, StoredRun
from rankaae_stream.past.selection import Selection
from rankaae_stream.profile import Profile, load_profile
from rankaae_stream.report import Report, Result
from rankaae_stream.results.outlet import Outlet
from rankaae_stream.results.read_foils import PublishedFoils
from rankaae_stream.results.sinks import Unreachable
from rankaae_stream.spectra.foils import AcceptedFoil, FoilHistory, Foils

__all__ = ["Outcome", "Replayed", "replay"]

Documents = list[tuple[str, Document]]

PATIENCE = 20.0
"""Seconds without one result leaving after which the rest stays in the spool."""


@dataclass(frozen=True, slots=True, eq=False)
class Outcome:
    """What became of one run.

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
    """What became of a replay.

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
        Why results stay.
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
        """Whether anything was not read or not published; a refusal is an answer."""
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
    wanted = selection or Selection()
    analysis = load_analysis(profile)
    outlet = None
    if not dry_run:
        outlet = Outlet(profile, sinks, to_tiled=to_tiled, models=analysis.models)
    published = _published(profile) if to_tiled else None
    history = open_foils(profile, published, writes=outlet is not None)
    done = Replayed()
    outcomes: list[Outcome | None] = []
    waiting: list[tuple[int, Any]] = []
    seen: set[str] = set()

    def answer(place: int, run: Any, documents: Documents, *, guess: bool) -> None:
        """Answer a run in its place, or have it wait where its foil would be a guess."""
        start = _checked(_first(documents, "start"))
        foils = _Foils(history, guess=guess)
        outcome, results = _answer(start, documents, profile, analysis, foils, clock())
        waits = foils.guessed and not guess
        for result in results:
            # Of a run that is still to be answered, its own foils only.
            if not waits or result.report.shifts.calibration_run == start["uid"]:
                history.remember(result)
        if waits:
            waiting.append((place, run if hasattr(run, "documents") else documents))
            return
        tell(place, outcome, results)

    def tell(place: int, outcome: Outcome, results: Sequence[Result] = ()) -> None:
        for result in results:
            if outlet is not None:
                outlet(result)
        outcomes[place] = outcome
        if told is not None:
            told(outcome)

    try:
        for run in _each(runs, done):
            name = run.source if isinstance(run, StoredRun) else "a run without a start"
            start: Document = {}
            place = len(outcomes)
            try:
                start = _start_of(run)
                if start and not _asked_for(start, wanted, seen):
                    continue
                documents = documents_of(run)
                start = start or _checked(_first(documents, "start"))
                if not _asked_for(start, wanted, seen):
                    continue
                name = start["uid"]
                outcomes.append(None)
                answer(place, run, documents, guess=False)
            except Exception as error:  # noqa: BLE001 - a damaged run must not end the others
                if _gone(error):
                    done.lost = sentence_of(error)
                    break
                name = start.get("uid", name)
                outcomes[place:] = [None]
                tell(place, Outcome(name, start, problem=sentence_of(error)))
            seen.add(name)
        for place, run in waiting:
            start = _start_of(run)
            try:
                answer(place, run, documents_of(run), guess=True)
            except Exception as error:  # noqa: BLE001 - it was read once, and may be gone by now
                if _gone(error):
                    done.lost = sentence_of(error)
                    break
                tell(place, Outcome(start.get("uid", ""), start, problem=sentence_of(error)))
        done.outcomes = [outcome for outcome in outcomes if outcome is not None]
        done.missing = tuple(
            uid for uid in wanted.uids if not any(name.startswith(uid) for name in seen)
        )
        if outlet is not None:
            outlet.drain(patience, sending)
            done.failing = outlet.failing
    finally:
        if published is not None:
            done.foils_unknown = published.failing
            published.close()
        if outlet is not None:
            done.unsent = outlet.close(1.0)
            done.rejected = outlet.rejected
    return done


class _Foils:
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


def _answer(
    start: Document,
    documents: Documents,
    profile: Profile,
    analysis: Analysis,
    foils: Foils,
    now: float,
) -> tuple[Outcome, list[Result]]:
    name = start["uid"]
    if "original_run_uid" in start:
        return Outcome(name, start, skipped="an analysis of another run"), []
    if all(kind != "stop" for kind, _ in documents):
        quiet = now - _last_time(documents)
        if quiet < profile.stop_deadline:
            return Outcome(name, start, skipped="perhaps still running"), []
    results: list[Result] = []
    # A pipeline of its own: what a damaged run leaves open must not reach the next.
    pipeline = build_pipeline(profile, results.append, analysis, foils, provisional=False)
    for kind, doc in documents:
        # A clock that stands still: nothing but the documents decides an answer.
        pipeline.feed(kind, doc, 0.0)
    pipeline.finish("the archive holds no end of the run")
    final = [result for result in results if result.report.complete]
    if not final:
        return Outcome(name, start, skipped="not XAS, as the profile's [run] has it"), []
    reports = tuple(dataclasses.replace(result.report, curves=None) for result in final)
    return Outcome(name, start, reports), final


def _asked_for(start: Document, wanted: Selection, seen: set[str]) -> bool:
    return wanted.takes(start) and start["uid"] not in seen


def _each(runs: Any, done: Replayed) -> Iterator[Any]:
    """Runs of a catalog or an iterable, until it ends or disappears."""
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
            done.lost = sentence_of(error)
            return
        yield run


def _start_of(run: Any) -> Document:
    """The start document where a run tells it without being read, else an empty one."""
    start = getattr(run, "start", None)
    if start is None and hasattr(run, "metadata"):
        start = run.metadata.get("start")
    return _checked(start) if start else {}


def _first(documents: Documents, wanted: str) -> Document:
    """Return the first document of a name, or an empty one."""
    return next((doc for name, doc in documents if name == wanted), cast("Document", {}))


def _checked(start: Document) -> Document:
    uid, began = start.get("uid"), start.get("time")
    if not (isinstance(uid, str) and uid and isinstance(began, (int, float))):
        raise Damaged("it has no start document with a uid and a time")
    return start


def _last_time(documents: Documents) -> float:
    return max(float(np.max(doc.get("time", 0.0))) for _, doc in documents[-1:] + documents[:1])


def _gone(error: Exception) -> bool:
    """Whether the whole archive is away, not one run damaged."""
    from httpx import TransportError

    return isinstance(error, (Unreachable, TransportError, ConnectionError))
