"""The way through: documents in, reports out.

`Pipeline.feed` and `Pipeline.tick` are synchronous and take the time as an
argument, so live, replay and tests run the same code. What happens to one
spectrum is on the page before: `analysis.Analysis.process`.
"""

import heapq
import logging
import math
from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np

from rankaae_stream.analysis import Analysis
from rankaae_stream.documents.rules import Choice
from rankaae_stream.documents.sweeps import FRAGMENT, Sweep, Sweeps, check_order
from rankaae_stream.errors import Refusal, Refused
from rankaae_stream.layouts.base import CollectingReader, Document, Layout, Reader, Reading
from rankaae_stream.report import EarlierFoil, Flag, Report, Result, result_uid
from rankaae_stream.spectra.foils import FoilHistory, Foils
from rankaae_stream.spectra.quality import signal_flags
from rankaae_stream.spectrum import Channel, Edge, edge_of

__all__ = ["Pipeline", "add_reading"]

logger = logging.getLogger(__name__)

LOOK = 0.1
"""Seconds between looks for a file that is late."""


@dataclass(slots=True)
class _Run:
    """What is known of one raw run while its documents arrive."""

    start: Document
    reader: Reader
    heard: float
    sweeps: Sweeps = field(default_factory=Sweeps)
    refusal: Refusal | None = None
    answered: int = 0
    shown: float = float("-inf")
    news: bool = False
    begun: list[tuple[Sweep | None, Channel]] = field(
        default_factory=list[tuple[Sweep | None, Channel]]
    )
    time: float = 0.0
    collected: bool = False
    ending: list[Flag] | None = None
    give_up: float = 0.0


class Pipeline:
    """Stations strung together for one beamline.

    Parameters
    ----------
    layout : Layout
        Documents to readings.
    analysis : Analysis
        Spectra to reports.
    choice : Choice
        Which runs are XAS, and of which edge.
    emit : callable
        Receives every `Result`, in the calling thread.
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
        choice: Choice,
        emit: Callable[[Result], None],
        *,
        analysis_hash: str = "",
        provisional_interval: float = 0.5,
        stop_deadline: float = 900.0,
        file_deadline: float = 20.0,
        foils: Foils | None = None,
    ) -> None:
        self._layout = layout
        self._analysis = analysis
        self._choice = choice
        self._emit = emit
        self._analysis_hash = analysis_hash
        self._provisional_interval = provisional_interval
        self._stop_deadline = stop_deadline
        self._file_deadline = file_deadline
        self._foils = foils or FoilHistory(analysis_hash, max_age=0.0)
        self._runs: dict[str, _Run] = {}
        self._owner: dict[str, str] = {}
        self._deadlines: list[tuple[float, str]] = []
        self._late: set[str] = set()

    @property
    def open_runs(self) -> int:
        """Runs that have begun and not ended."""
        return len(self._runs)

    @property
    def waiting_for_files(self) -> int:
        """Runs that have ended and are not answered, because a file is late."""
        return len(self._late)

    def unwanted(self, start: Document) -> str:
        """Why a run is not XAS that a model here answers, or an empty text when it is."""
        return self._choice.unwanted(start, self._trained_for(start))

    # ---- documents ---------------------------------------------------------------

    def feed(self, name: str, doc: Document, now: float, dropped: int = 0) -> None:
        """Take one document; `dropped` is how many of its run were lost before it."""
        if name == "start":
            self._begin(doc, now)
            return
        run = self._run_of(name, doc)
        if run is None or run.ending is not None:
            return
        run.heard = now
        if run.refusal is None:
            try:
                reading = run.reader.feed(name, doc)
            except Refused as refused:
                run.refusal, reading = refused.refusal, None
            if reading is not None:
                add_reading(run.sweeps, reading)
                run.time, run.news = reading.time, True
                self._answer_finished_sweeps(run)
                if name != "stop":
                    self._answer_provisionally(run, now)
        if name == "stop":
            run.time = float(doc.get("time", run.time))
            if dropped or self._collect(run, last=False):
                self._end(run, _end_flags(doc), dropped)
            else:
                run.ending, run.give_up = _end_flags(doc), now + self._file_deadline
                self._late.add(run.start["uid"])
                heapq.heappush(self._deadlines, (now + LOOK, run.start["uid"]))

    def tick(self, now: float) -> None:
        """Answer what has waited, and end runs that have gone silent."""
        for run in tuple(self._runs.values()):
            self._answer_provisionally(run, now)
        while self._deadlines and self._deadlines[0][0] <= now:
            _, uid = heapq.heappop(self._deadlines)
            run = self._runs.get(uid)
            if run is None:
                continue
            if run.ending is not None:
                if self._collect(run, last=now >= run.give_up):
                    self._end(run, run.ending)
                else:
                    heapq.heappush(self._deadlines, (min(now + LOOK, run.give_up), uid))
            elif run.heard + self._stop_deadline > now:
                heapq.heappush(self._deadlines, (run.heard + self._stop_deadline, uid))
            else:
                self._end(run, [_no_stop(f"nothing was heard for {self._stop_deadline:.0f} s")])

    def finish(self, reason: str = "the session ended before the run did") -> None:
        """End every open run as one without a stop document."""
        for run in tuple(self._runs.values()):
            self._end(run, [_no_stop(reason)] if run.ending is None else run.ending)

    def _begin(self, doc: Document, now: float) -> None:
        # A run derived from another is an analysis, ours or somebody's.
        if "original_run_uid" in doc or doc["uid"] in self._runs:
            return
        unwanted = self.unwanted(doc)
        if unwanted and self._choice.others == "skip":
            logger.debug("run %s is left alone: %s", doc["uid"], unwanted)
            return
        self._runs[doc["uid"]] = _Run(
            doc,
            self._layout.open(doc),
            now,
            refusal=Refusal("not_xas", unwanted) if unwanted else None,
            time=float(doc.get("time", 0.0)),
        )
        heapq.heappush(self._deadlines, (now + self._stop_deadline, doc["uid"]))

    def _trained_for(self, start: Document) -> frozenset[str]:
        """What the card of the stated edge's model names beside plain absorption."""
        element, shell = self._choice.stated_edge(start)
        try:
            model = self._analysis.models.get(str(edge_of(element, np.empty(0), shell)))
        except Refused:  # not stated, or of no model
            return frozenset()
        return model.card.trained_for if model is not None else frozenset()

    def _run_of(self, name: str, doc: Document) -> _Run | None:
        if "run_start" in doc:
            uid = doc["run_start"]
            if name != "stop" and uid in self._runs:
                self._owner[doc["uid"]] = uid
        else:
            parent = doc.get("descriptor") or doc.get("resource") or doc.get("stream_resource", "")
            uid = self._owner.get(parent, "")
            # A resource from a device that does not know its run belongs to the
            # only one that is going on.
            going_on = [key for key, run in self._runs.items() if run.ending is None]
            if name == "resource" and len(going_on) == 1:
                uid = self._owner[doc["uid"]] = going_on[0]
        return self._runs.get(uid)

    # ---- when to answer ------------------------------------------------------------

    def _answer_provisionally(self, run: _Run, now: float) -> None:
        if not run.news or now - run.shown < self._provisional_interval:
            return
        # On its way a scan may cross other edges than its own: without a stated
        # element only the finished one tells.
        if self._choice.stated_edge(run.start)[0] is None:
            return
        # The first points of a sweep say nothing yet, not even what is wrong.
        if not run.sweeps.items or len(run.sweeps.items[-1].energy) < FRAGMENT:
            return
        run.news, run.shown = False, now
        sweep = run.sweeps.items[-1]
        for channel in sweep.mu:
            if channel != "reference" and (sweep, channel) not in run.begun:
                run.begun.append((sweep, channel))
        if math.isfinite(self._provisional_interval):
            self._answer(run, sweep, complete=False)

    def _answer_finished_sweeps(self, run: _Run) -> None:
        """A sweep is over when the next one has got going."""
        sweeps = run.sweeps.items
        while run.answered + 1 < len(sweeps) and len(sweeps[run.answered + 1].energy) >= FRAGMENT:
            if len(sweeps[run.answered].energy) < FRAGMENT:
                return
            done = sweeps[run.answered]
            self._answer(run, done)
            run.begun = [(sweep, channel) for sweep, channel in run.begun if sweep is not done]
            run.answered += 1

    def _collect(self, run: _Run, *, last: bool) -> bool:
        """Read what a run has in files; False while that is still to be waited for."""
        if run.collected or run.refusal is not None or not isinstance(run.reader, CollectingReader):
            return True
        try:
            readings = run.reader.collect(last=last)
        except Refused as refused:
            run.refusal = refused.refusal
        except Exception as error:
            logger.exception("the files of a run could not be read")
            run.refusal = Refusal("internal_error", f"{type(error).__name__}: {error}")
        else:
            if readings is None:
                return False
            for reading in readings:
                add_reading(run.sweeps, reading)
                run.time = max(run.time, reading.time)
        run.collected = True
        return True

    def _end(self, run: _Run, flags: list[Flag], dropped: int = 0) -> None:
        if not dropped:
            self._collect(run, last=True)
        remaining = run.sweeps.items[run.answered :]
        try:
            if dropped:
                raise Refused(
                    "overrun",
                    f"{dropped} documents of this run came faster than they could be taken and "
                    "were dropped; raise inbox_megabytes or run the analysis as a service",
                )
            if run.refusal is not None:
                raise run.refusal.error()
            if not run.sweeps.items:
                raise Refused("missing_fields", run.reader.missing())
            check_order(remaining)
        except Refused as refused:
            if refused.name != "missing_fields" or not self._choice.skips_unreadable:
                self._refuse(run, refused.refusal, flags)
        else:
            for sweep in remaining:
                self._answer(run, sweep, flags if sweep.index == remaining[-1].index else [])
        finally:
            # Open until it is answered: who waits for that looks at `open_runs`.
            uid = run.start["uid"]
            del self._runs[uid]
            self._owner = {key: owner for key, owner in self._owner.items() if owner != uid}
            self._late.discard(uid)

    # ---- answering -----------------------------------------------------------------

    def _answer(
        self, run: _Run, sweep: Sweep, flags: list[Flag] | None = None, *, complete: bool = True
    ) -> None:
        element, _ = self._choice.find_edge(run.start, np.asarray(sweep.energy))
        if element is None and self._choice.others == "skip":
            return
        for channel in sweep.mu:
            if channel == "reference":
                continue
            known = [
                *(flags or []),
                *sweep.flags.get(channel, ()),
                *signal_flags(channel, sweep.levels, sweep.limits),
            ]
            try:
                report = self._report(run, sweep, channel, known, complete)
            except Exception as error:
                logger.exception("a spectrum could not be analysed")
                report = self._refusal(
                    run,
                    Refusal("internal_error", f"{type(error).__name__}: {error}"),
                    known,
                    sweep,
                    channel,
                    complete,
                )
            self._send(run, report)

    def _report(
        self, run: _Run, sweep: Sweep, channel: Channel, flags: list[Flag], complete: bool
    ) -> Report:
        energy, mu = sweep.channel(channel)
        element, shell = self._choice.find_edge(run.start, energy)
        return self._analysis.process_columns(
            energy,
            mu,
            sweep.channel("reference") if "reference" in sweep.mu else None,
            element=element,
            shell=shell,
            channel=channel,
            source=run.start["uid"],
            sweep=sweep.index,
            complete=complete,
            flags=flags,
            earlier=lambda edge: self._earlier_foil(run, sweep.index, channel, edge),
        )

    def _earlier_foil(
        self, run: _Run, sweep: int, channel: Channel, edge: Edge
    ) -> EarlierFoil | None:
        began = float(run.start.get("time", 0.0))
        uid = self._result_uid(run, channel, sweep, edge)
        foil = self._foils.earlier(uid, str(edge), began)
        if foil is None:
            return None
        return EarlierFoil(foil.shift, foil.run, (began - foil.time) / 3600.0)

    # ---- refusals and sending ------------------------------------------------------

    def _refuse(self, run: _Run, refusal: Refusal, flags: list[Flag]) -> None:
        """Refuse a run as a whole: once, or once for each answer that it has begun to show."""
        sweeps = run.sweeps.items
        primary = self._choice.primary_of(run.start)
        for sweep, channel in run.begun or [(sweeps[-1] if sweeps else None, primary)]:
            self._send(run, self._refusal(run, refusal, flags, sweep, channel))

    def _refusal(
        self,
        run: _Run,
        refusal: Refusal,
        flags: list[Flag],
        sweep: Sweep | None,
        channel: Channel,
        complete: bool = True,
    ) -> Report:
        energy = np.asarray(sweep.energy if sweep else [], dtype=float)
        element, shell = self._choice.find_edge(run.start, energy)
        return self._analysis.refuse(
            refusal,
            energy,
            element=element,
            shell=shell,
            channel=channel,
            source=run.start["uid"],
            sweep=sweep.index if sweep else 0,
            complete=complete,
            flags=flags,
        )

    def _send(self, run: _Run, report: Report) -> None:
        uid = self._result_uid(run, report.channel, report.sweep, report.edge)
        model = self._analysis.models.get(str(report.edge))
        outputs = model.card.described if model else ()
        grid = model.card.edge.e0 + model.card.grid.relative() if model else None
        primary = report.channel == self._primary(run, report.sweep)
        result = Result(report, uid, run.start, run.time, outputs, grid, primary)
        if report.complete:
            self._foils.remember(result)  # before anybody sees the result
        self._emit(result)

    def _result_uid(self, run: _Run, channel: Channel, sweep: int, edge: Edge | None) -> str:
        model = self._analysis.models.get(str(edge))
        model_id = model.card.title.id if model else ""
        return result_uid(run.start["uid"], channel, sweep, model_id, self._analysis_hash)

    def _primary(self, run: _Run, sweep: int) -> Channel:
        """The channel that a run was measured for, or the first that it has instead."""
        wanted = self._choice.primary_of(run.start)
        # A channel with bins of its own stands beside the others of its sweep.
        sweeps = [item for item in run.sweeps.items if item.index == sweep]
        measured: list[Channel] = [channel for item in sweeps for channel in item.mu]
        for channel in measured if wanted not in measured else ():
            if channel != "reference":
                return channel
        return wanted


def add_reading(sweeps: Sweeps, reading: Reading) -> None:
    """Put a layout's reading where the run's sweeps are split."""
    if reading.sweep is None:
        sweeps.add(reading.energy, reading.mu, reading.levels, reading.limits, reading.flags)
    else:
        sweeps.add_whole(
            reading.sweep,
            reading.energy,
            reading.mu,
            reading.flags,
            reading.levels,
            reading.limits,
        )


def _end_flags(stop: Document) -> list[Flag]:
    status = stop.get("exit_status", "success")
    if status == "success":
        return []
    reason = f": {stop['reason']}" if stop.get("reason") else ""
    return [
        Flag(
            "scan_aborted",
            "warning",
            None,
            "",
            f"the run ended with exit status {status}{reason}; what it covers was judged",
        )
    ]


def _no_stop(reason: str) -> Flag:
    return Flag("no_stop", "warning", None, "", f"{reason}: the run has no stop document")
