"""Turn the documents of runs into reports.

`Pipeline.feed` and `Pipeline.tick` are synchronous and take the time as an
argument, so live, replay and tests run the same code. For what happens to one
spectrum see `analysis.Analysis.answer`.
"""

import contextlib
import heapq
import math
from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np

from rankaae_stream.about import about_run
from rankaae_stream.analysis import AT_ONCE, Analysis, Columns
from rankaae_stream.documents.open_run import OpenRun, overrun, time_of
from rankaae_stream.documents.orphans import Orphans
from rankaae_stream.documents.rules import RunRules, names_edge
from rankaae_stream.documents.sweeps import Sweep
from rankaae_stream.edges import Stated, edge_of, element_within, find_edge
from rankaae_stream.errors import Refusal, Refused
from rankaae_stream.layouts.base import Document, Layout, NoReader
from rankaae_stream.printable import get_logger
from rankaae_stream.report import Flag, Report, Result, RunFoil, result_uid
from rankaae_stream.spectra.foils import FoilHistory, Foils
from rankaae_stream.spectra.quality import signal_flags
from rankaae_stream.spectrum import Channel, Edge, Origin

__all__ = ["Pipeline"]

logger = get_logger(__name__)

LOOK = 0.1
"""Seconds between looks for a file that is late."""
REMEMBERED = 1000
"""Runs that are answered or left alone, and stay so when they are delivered again."""
_PARENTS = frozenset({"descriptor", "resource", "stream_resource"})
"""Documents that others belong to."""


class _Question(NamedTuple):
    """A spectrum that waits for its answer, and what its result needs of its run."""

    run: OpenRun
    asked: Columns | Report
    time: float
    primary: bool
    quick: bool


class Pipeline:
    """Answer the runs of one beamline.

    Parameters
    ----------
    layout : Layout
        Turns documents into readings.
    analysis : Analysis
        Turns spectra into reports.
    rules : RunRules
        Which runs are XAS, and of which edge.
    emit : callable
        Receives every `Result`, in the calling thread.
    ended : callable, optional
        Receives a run's uid when all its results were emitted.
    analysis_hash : str
        Of the settings that can change a number.
    provisional_interval, stop_deadline : float
        Seconds; an infinite interval answers finished sweeps only.
    file_deadline : float
        Seconds after its end for which a run waits for its files.
    foils : Foils, optional
        Foils of earlier runs; none is known without.
    """

    def __init__(
        self,
        layout: Layout,
        analysis: Analysis,
        rules: RunRules,
        emit: Callable[[Result], None],
        *,
        analysis_hash: str = "",
        provisional_interval: float = 0.5,
        stop_deadline: float = 900.0,
        file_deadline: float = 20.0,
        foils: Foils | None = None,
        ended: Callable[[str], None] = lambda _: None,
    ) -> None:
        self._layout = layout
        self._analysis = analysis
        self._rules = rules
        self._emit = emit
        self._ended = ended
        self._analysis_hash = analysis_hash
        self._provisional_interval = provisional_interval
        self._stop_deadline = stop_deadline
        self._file_deadline = file_deadline
        self._foils = foils or FoilHistory(analysis_hash, max_age=0.0)
        self._runs: dict[str, OpenRun] = {}
        self._owner: dict[str, str] = {}
        self._orphans = Orphans()
        self._strays: dict[str, None] = {}
        self._over: dict[str, None] = {}
        self._deadlines: list[tuple[float, str]] = []
        self._questions: list[_Question] = []

    @property
    def open_runs(self) -> int:
        """Number of runs that have begun and are not answered to their end."""
        return len(self._runs)

    @property
    def waiting_for_files(self) -> int:
        """Number of runs that have ended and are not answered: a file or an event is late."""
        return sum(run.state == "waiting_for_files" for run in tuple(self._runs.values()))

    def unwanted(self, start: Document) -> str:
        """Say why a run is not XAS that a model here answers; an empty text when it is."""
        return self._rules.unwanted(start, self._trained_for(start))

    # ---- documents ---------------------------------------------------------------

    def feed(
        self, name: str, doc: Document, now: float, dropped: int = 0, *, more: bool = False
    ) -> None:
        """Take one document; `dropped` is how many of its run were lost just before it.

        Of a start document any number says that values of it were left out.

        With `more` documents at hand, the sweeps that it finishes may wait for theirs, to be
        answered together.
        """
        self._feed(name, doc, now, dropped)
        if not more or len(self._questions) >= AT_ONCE:
            self._answer_questions()

    def _feed(self, name: str, doc: Document, now: float, dropped: int = 0) -> None:
        if name == "start":
            self._begin(doc, now, dropped)
            for orphan in sorted(self._orphans.of(doc["uid"]), key=lambda item: item[0] == "stop"):
                self._feed(*orphan, now)
            return
        if name == "bulk_events":
            for event in (event for events in doc.values() for event in events):
                self._feed("event", event, now, dropped)
                dropped = 0
            return
        run = self._run_of(name, doc)
        if run is None:
            if "run_start" in doc and doc["run_start"] not in self._over:
                self._await_start(doc["run_start"], now)
            if name == "stop" and doc["run_start"] in self._over:
                self._ended(doc["run_start"])  # one that was left alone has ended, too
            return
        with _about(run):
            if name == "stop" and run.state == "growing":
                run.last_document_at = now
                run.stop(doc, dropped)
                run.wait_for_files(now + self._file_deadline)
                self._end_if_there(run, now)
            elif name != "stop":
                if dropped:
                    run.lose(dropped)
                self._take(run, name, doc, now)

    def _take(self, run: OpenRun, name: str, doc: Document, now: float) -> None:
        """Let a run read one of its documents, and answer what it finishes."""
        run.last_document_at = now
        if run.feed(name, doc):
            for sweep in run.finished_sweeps():
                self._ask(run, sweep)
            self._answer_provisionally(run, now)
            run.give_up_at = max(run.give_up_at, now + self._file_deadline)
        for orphan in self._orphans.of(doc["uid"]) if name in _PARENTS else ():
            self._feed(*orphan, now)
        waits = run.state == "waiting_for_files" and run.uid in self._runs  # an orphan may end it
        if waits and run.is_there(last=False):
            self._end(run)

    def _end_if_there(self, run: OpenRun, now: float) -> None:
        """End a run that has its stop document, or look again a little later."""
        if run.is_there(last=now >= run.give_up_at):
            self._end(run)
        else:
            heapq.heappush(self._deadlines, (min(now + LOOK, run.give_up_at), run.uid))

    def tick(self, now: float) -> None:
        """Answer what has waited, and end runs that have gone silent."""
        self._answer_questions()
        for run in tuple(self._runs.values()):
            with _about(run):
                self._answer_provisionally(run, now)
        while self._deadlines and self._deadlines[0][0] <= now:
            _, uid = heapq.heappop(self._deadlines)
            run = self._runs.get(uid)
            if run is None:
                self._give_up(uid)
                continue
            silent_at = run.last_document_at + self._stop_deadline
            with _about(run):
                if run.state == "waiting_for_files":
                    self._end_if_there(run, now)
                elif silent_at > now:
                    heapq.heappush(self._deadlines, (silent_at, uid))
                else:
                    run.stop_without_document(f"no document came for {self._stop_deadline:.0f} s")
                    self._end(run)

    def finish(self, reason: str = "the session ended before the run did") -> None:
        """End every open run as one without a stop document."""
        for run in tuple(self._runs.values()):
            if run.state == "growing":
                run.stop_without_document(reason)
            with _about(run):
                self._end(run)

    def _begin(self, doc: Document, now: float, dropped: int) -> None:
        uid = doc["uid"]
        if uid in self._runs:  # told again, a run goes on
            self._runs[uid].last_document_at = now
        if uid in self._runs or uid in self._over:
            return
        # A run derived from another is an analysis, ours or somebody's.
        if "original_run_uid" in doc:
            self._leave(uid)
            return
        edge, reader = Stated(), NoReader()
        try:
            edge = self._rules.stated_edge(doc)
            unwanted = self.unwanted(doc)
            if unwanted and self._rules.skips(doc, self._trained_for(doc)):
                logger.debug("run %s is left alone: %s", uid, unwanted)
                self._leave(uid)
                return
            refusal = Refusal("not_xas", unwanted) if unwanted else None
            if dropped and refusal is None:
                refusal = overrun(1, "start document of this run, in part,")
            reader = self._layout.open(doc)
        except BaseException as error:
            with about_run(uid, doc.get("scan_id")):
                logger.exception("the start document of run %s cannot be read", uid)
            why = Refusal.of(error).message
            refusal = Refusal("missing_fields", f"the start document cannot be read: {why}")
        self._strays.pop(uid, None)
        self._runs[uid] = OpenRun(doc, edge, reader, now, time_of(doc), refusal)
        heapq.heappush(self._deadlines, (now + self._stop_deadline, uid))

    def refuse_run(self, start: Document, refusal: Refusal) -> None:
        """Refuse a run as a whole of which nothing but the start document is used."""
        edge, reader = Stated(), NoReader()
        with contextlib.suppress(Exception):
            edge = self._rules.stated_edge(start)
        run = OpenRun(start, edge, reader, 0.0, time_of(start), refusal)
        self._refuse(run, refusal)
        self._leave(run.uid)
        self._ended(run.uid)

    def _leave(self, uid: str) -> None:
        """Remember a run that is answered or left alone."""
        self._over[uid] = None
        if len(self._over) > REMEMBERED:
            del self._over[next(iter(self._over))]

    def _trained_for(self, start: Document) -> frozenset[str]:
        """Return what the card of the stated edge's model names beside plain absorption."""
        try:
            model = self._analysis.models.get(str(edge_of(self._rules.stated_edge(start))))
        except Refused:  # not stated, or of no model
            return frozenset()
        return model.card.trained_for if model is not None else frozenset()

    def _run_of(self, name: str, doc: Document) -> OpenRun | None:
        """Return the open run of a document; keep the document where its parent is unknown."""
        if "run_start" in doc:
            uid = parent = doc["run_start"]
            if name != "stop":
                self._owner[doc["uid"]] = uid
            elif uid in self._over:
                self._forget(uid)
        else:
            parent = doc.get("descriptor") or doc.get("resource") or doc.get("stream_resource", "")
            uid = self._owner.get(parent, "")
            if name == "resource":
                # One from a device that does not know its run belongs to the only growing one.
                growing = [key for key, run in self._runs.items() if run.state == "growing"]
                if len(growing) == 1:
                    uid = self._owner[doc["uid"]] = growing[0]
        run = self._runs.get(uid)
        if run is None and uid not in self._over and parent:
            self._orphans.keep(parent, name, doc)
        return run

    def _await_start(self, uid: str, now: float) -> None:
        """Note until when the start document is waited for of which others have come."""
        if uid not in self._strays:
            self._strays[uid] = None
            heapq.heappush(self._deadlines, (now + self._stop_deadline, uid))

    def _give_up(self, uid: str) -> None:
        """Let go of a run of which no start document came, if it is one."""
        if uid in self._strays:
            del self._strays[uid]
            logger.warning("documents of run %s are let go: its start document did not come", uid)
            self._orphans.of(uid)
            self._forget(uid)
            self._ended(uid)

    def _forget(self, uid: str) -> None:
        self._owner = {key: owner for key, owner in self._owner.items() if owner != uid}

    # ---- when to answer ------------------------------------------------------------

    def _answer_provisionally(self, run: OpenRun, now: float) -> None:
        # On its way a scan may cross other edges than its own: without a stated
        # element only the finished one tells.
        # Quick sweeps follow each other too fast to be watched, and are rows in the end.
        if run.stated_edge.element is None or (run.first_unanswered_sweep and run.quick):
            return
        sweep = run.growing_sweep(now, self._provisional_interval)
        if sweep is not None and math.isfinite(self._provisional_interval):
            self._ask(run, sweep, complete=False)
            self._answer_questions()

    def _end(self, run: OpenRun) -> None:
        try:
            self._answer_questions()
            run.is_there(last=True)
            refusal = run.refusal_at_end()
            if refusal is None:
                remaining = run.unanswered_sweeps()
                for sweep in remaining:
                    last = sweep.index == remaining[-1].index
                    self._ask(run, sweep, run.end_flags if last else ())
                self._answer_questions()
                vanished = Refusal("energy_order", "its points turned out to be of other sweeps")
                for sweep, channel in run.vanished():
                    self._refuse_one(run, vanished, sweep, channel)
            elif refusal.name != "missing_fields" or not self._may_skip(run):
                self._refuse(run, refusal)
        except BaseException as error:
            logger.exception("a run could not be answered")
            self._refuse(run, Refusal.of(error))
        finally:
            self._ended(run.uid)
            # Open until it is answered: who waits for that looks at `open_runs`.
            del self._runs[run.uid]
            self._leave(run.uid)
            self._forget(run.uid)

    def _may_skip(self, run: OpenRun) -> bool:
        """Return whether a run without the layout's fields gets no result."""
        return self._rules.skips_unreadable and not names_edge(run.stated_edge)

    # ---- answering -----------------------------------------------------------------

    def _ask(
        self, run: OpenRun, sweep: Sweep, flags: Sequence[Flag] = (), *, complete: bool = True
    ) -> None:
        """Take a sweep as it is now, to be answered with all that wait."""
        edge, deduced = self._find_edge(run, sweep)
        if (
            isinstance(edge, Refusal)
            and run.stated_edge.element is None
            and self._rules.others == "skip"
            and element_within(np.asarray(sweep.energy)) is None
        ):
            return
        for channel in sweep.channels:
            origin = Origin(run.uid, channel, sweep.index, complete)
            known = [*flags, *run.flags, *sweep.flags.get(channel, ())]
            asked = self._asked(run, sweep, origin, edge, known, deduced)
            self._questions.append(self._question(run, asked))

    def _answer_questions(self) -> None:
        """Answer the sweeps that wait, together, and send the results in their order."""
        questions, self._questions = self._questions, []
        for question, report in zip(questions, self._reports(questions), strict=True):
            with _about(question.run):
                self._send(question, report)

    def _reports(self, questions: Sequence[_Question]) -> list[Report]:
        """Answer sweeps together, or one by one where that fails: one must not cost the others."""
        asked = [one.asked for one in questions if isinstance(one.asked, Columns)]
        try:
            answers = iter(self._analysis.answer(asked))
        except BaseException as error:
            if len(questions) > 1:
                return [report for one in questions for report in self._reports([one])]
            (question,), (columns,) = questions, asked
            with _about(question.run):
                logger.exception("a spectrum could not be analysed")
            why, where = Refusal.of(error), (columns.energy, columns.origin)
            return [self._analysis.refuse(why, *where, edge=columns.edge, flags=columns.flags)]
        return [next(answers) if isinstance(one.asked, Columns) else one.asked for one in questions]

    def _question(self, run: OpenRun, asked: Columns | Report) -> _Question:
        """Note what a result needs of its run, as it is known now."""
        sweep, channel = asked.origin.sweep, asked.origin.channel
        primary = channel == run.primary(sweep, self._rules.primary_of(run.start))
        return _Question(run, asked, run.time, primary, asked.origin.complete and run.quick)

    def _find_edge(self, run: OpenRun, sweep: Sweep | None) -> tuple[Edge | Refusal, list[Flag]]:
        """Return the edge of all channels of a sweep, or why it is not known."""
        curves = [sweep.channel(channel) for channel in sweep.channels] if sweep else []
        try:
            edge, flag = find_edge(run.stated_edge, curves)
        except Refused as refused:
            return refused.refusal, []
        except BaseException as error:
            logger.exception("the edge of a scan could not be found")
            return Refusal.of(error), []
        return edge, [flag] if flag is not None else []

    def _asked(
        self,
        run: OpenRun,
        sweep: Sweep,
        origin: Origin,
        edge: Edge | Refusal,
        flags: Sequence[Flag],
        deduced: Sequence[Flag],
    ) -> Columns | Report:
        """Return a sweep's columns with what is known of them, or why they are refused."""
        try:
            flags = [*flags, *signal_flags(origin.channel, sweep.levels, sweep.limits), *deduced]
            if isinstance(edge, Refusal):
                return self._refusal(run, edge, sweep, origin, None, flags)
            if sweep.lost:
                refusal = overrun(sweep.lost, "events beside or within this sweep")
                return self._refusal(run, refusal, sweep, origin, edge, flags)
            return Columns(
                *sweep.channel(origin.channel),
                edge,
                origin,
                sweep.channel("reference") if "reference" in sweep.mu else None,
                beside=sweep.channel("transmission") if "transmission" in sweep.mu else None,
                problem=sweep.problem,
                flags=flags,
                earlier=lambda edge: self._earlier_foil(run, origin, edge),
            )
        except BaseException as error:
            logger.exception("a spectrum could not be analysed")
            known = edge if isinstance(edge, Edge) else None
            return self._refusal(run, Refusal.of(error), sweep, origin, known, flags)

    def _earlier_foil(self, run: OpenRun, origin: Origin, edge: Edge) -> RunFoil | None:
        foil = self._foils.earlier(self._result_uid(origin, edge), str(edge), run.began)
        return foil and RunFoil(foil.shift, foil.run, (run.began - foil.time) / 3600.0)

    # ---- refusals and sending ------------------------------------------------------

    def _refuse(self, run: OpenRun, refusal: Refusal) -> None:
        """Refuse a run as a whole: once, or once for each answer that it has begun to show."""
        sweeps = run.sweeps.items
        primary = self._rules.primary_of(run.start)
        for sweep, channel in run.shown or [(sweeps[-1] if sweeps else None, primary)]:
            self._refuse_one(run, refusal, sweep, channel)

    def _refuse_one(
        self, run: OpenRun, refusal: Refusal, sweep: Sweep | None, channel: Channel
    ) -> None:
        edge, deduced = self._find_edge(run, sweep)
        known = edge if isinstance(edge, Edge) else None
        origin = Origin(run.uid, channel, sweep.index if sweep else 0)
        flags = [*run.flags, *run.end_flags, *deduced]
        report = self._refusal(run, refusal, sweep, origin, known, flags)
        self._send(self._question(run, report), report)

    def _refusal(
        self,
        run: OpenRun,
        refusal: Refusal,
        sweep: Sweep | None,
        origin: Origin,
        edge: Edge | None,
        flags: Sequence[Flag],
    ) -> Report:
        return self._analysis.refuse(
            refusal,
            np.asarray(sweep.energy if sweep else [], dtype=float),
            origin,
            edge=edge,
            element=run.stated_edge.symbol,
            flags=flags,
        )

    def _send(self, question: _Question, report: Report) -> None:
        model = self._analysis.models.get(str(report.edge))
        outputs = model.card.described if model else ()
        grid = model.card.edge.e0 + model.card.grid.relative() if model else None
        uid = self._result_uid(report.origin, report.edge)
        start, known = question.run.start, (question.primary, question.quick)
        result = Result(report, uid, start, question.time, outputs, grid, *known)
        if report.complete:
            try:
                self._foils.remember(result)  # before anybody sees the result
            except Exception:
                logger.exception("the foil of a run could not be remembered")
        self._emit(result)

    def _result_uid(self, origin: Origin, edge: Edge | None) -> str:
        model = self._analysis.models.get(str(edge))
        model_id = model.card.title.id if model else ""
        return result_uid(origin, model_id, self._analysis_hash)


def _about(run: OpenRun) -> about_run:
    return about_run(run.uid, run.start.get("scan_id"))
