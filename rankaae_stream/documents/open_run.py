"""Hold one raw run from its start document to its answers.

A run is `growing` while its documents arrive. After its stop document it may be
`waiting_for_files`, until they are there or the wait is given up.
"""

import logging
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Literal

from rankaae_stream.documents.sweeps import Sweep, Sweeps, check_order
from rankaae_stream.edges import Stated
from rankaae_stream.errors import Refusal, Refused
from rankaae_stream.layouts.base import CollectingReader, Document, Reader, Reading
from rankaae_stream.layouts.rebin import FRAGMENT
from rankaae_stream.report import Flag
from rankaae_stream.spectrum import Channel

__all__ = ["OpenRun"]

logger = logging.getLogger(__name__)


@dataclass(slots=True, eq=False)
class OpenRun:
    """State of one raw run.

    Attributes
    ----------
    start : Document
    stated_edge : Stated
        As the start document states it.
    reader : Reader
        Of the layout, for this run.
    last_document_at : float
        When the last document arrived, by the pipeline's clock, s.
    time : float
        Of the last raw document that took part, seconds since the epoch.
    refusal : Refusal or None
        Why the run as a whole gets no number.
    state : {"growing", "waiting_for_files"}
    sweeps : Sweeps
    first_unanswered_sweep : int
    shown : list of (Sweep or None, Channel)
        Provisional answers whose final ones are still to come.
    last_shown_at : float
        When a provisional answer was last given, s.
    end_flags : list of Flag
        What the stop document says, or its absence.
    give_up_at : float
        Until when files are waited for, s.
    """

    start: Document
    stated_edge: Stated
    reader: Reader
    last_document_at: float
    time: float
    refusal: Refusal | None = None
    state: Literal["growing", "waiting_for_files"] = "growing"
    sweeps: Sweeps = field(default_factory=Sweeps)
    first_unanswered_sweep: int = 0
    shown: list[tuple[Sweep | None, Channel]] = field(
        default_factory=list[tuple[Sweep | None, Channel]]
    )
    last_shown_at: float = float("-inf")
    end_flags: list[Flag] = field(default_factory=list[Flag])
    give_up_at: float = float("inf")
    _points_to_show: bool = False
    _collected: bool = False

    @property
    def uid(self) -> str:
        """The raw run's uid."""
        return self.start["uid"]

    @property
    def began(self) -> float:
        """Time of the start document, seconds since the epoch."""
        return float(self.start.get("time", 0.0))

    def feed(self, name: str, doc: Document) -> bool:
        """Read a document; return whether it brought points or flags."""
        if self.refusal is not None:
            return False
        try:
            reading = self.reader.feed(name, doc)
        except Refused as refused:
            self.refusal = refused.refusal
            return False
        if reading is None:
            return False
        self.add(reading)
        return True

    def add(self, reading: Reading) -> None:
        """Append a reading to its sweep."""
        self.sweeps.add(reading)
        self.time = reading.time
        self._points_to_show = True

    def growing_sweep(self, now: float, interval: float) -> Sweep | None:
        """Return the sweep to answer provisionally, at most one every `interval` seconds."""
        if not self._points_to_show or now - self.last_shown_at < interval:
            return None
        # The first points of a sweep tell nothing yet, not even what is wrong.
        if not self.sweeps.items or len(self.sweeps.items[-1].energy) < FRAGMENT:
            return None
        sweep = self.sweeps.items[-1]
        self._points_to_show, self.last_shown_at = False, now
        for channel in sweep.channels:
            if (sweep, channel) not in self.shown:
                self.shown.append((sweep, channel))
        return sweep

    def finished_sweeps(self) -> Iterator[Sweep]:
        """Yield sweeps that the next one has followed for `FRAGMENT` points, each once."""
        sweeps = self.sweeps.items
        while self.first_unanswered_sweep + 1 < len(sweeps):
            done, following = sweeps[self.first_unanswered_sweep :][:2]
            if min(len(done.energy), len(following.energy)) < FRAGMENT:
                return
            yield done
            self.shown = [(sweep, channel) for sweep, channel in self.shown if sweep is not done]
            self.first_unanswered_sweep += 1

    def primary(self, sweep: int, wanted: Channel) -> Channel:
        """Return the channel that was wanted, or else the first that the sweep has."""
        # A channel with bins of its own is a sweep item beside the others of its sweep.
        items = [item for item in self.sweeps.items if item.index == sweep]
        measured: list[Channel] = [channel for item in items for channel in item.channels]
        return wanted if wanted in measured or not measured else measured[0]

    def unanswered_sweeps(self) -> list[Sweep]:
        """Return the sweeps that are left to answer when the run ends."""
        return self.sweeps.items[self.first_unanswered_sweep :]

    def collect(self, *, last: bool) -> bool:
        """Read what the run has in files; return False while that is to be waited for."""
        if (
            self._collected
            or self.refusal is not None
            or not isinstance(self.reader, CollectingReader)
        ):
            return True
        try:
            readings = self.reader.collect(last=last)
        except Refused as refused:
            self.refusal = refused.refusal
        except Exception as error:
            logger.exception("the files of a run could not be read")
            self.refusal = Refusal.of(error)
        else:
            if readings is None:
                return False
            for reading in readings:
                self.sweeps.add(reading)
                self.time = max(self.time, reading.time)
        self._collected = True
        return True

    def stop(self, doc: Document, dropped: int = 0) -> None:
        """Take note of the stop document, and of how many of the run's documents were lost."""
        self.time = float(doc.get("time", self.time))
        status = doc.get("exit_status", "success")
        if status != "success":
            reason = f": {doc['reason']}" if doc.get("reason") else ""
            message = f"the run ended with exit status {status}{reason}; what it covers was judged"
            self.end_flags = [Flag("scan_aborted", "warning", None, "", message)]
        if dropped:
            self.refusal = Refusal(
                "overrun",
                f"{dropped} documents of this run came faster than they could be taken and were "
                "dropped; raise inbox_megabytes or run the analysis as a service",
            )

    def stop_without_document(self, reason: str) -> None:
        """Take note that the run is over and no stop document will come."""
        message = f"{reason}: the run has no stop document"
        self.end_flags = [Flag("no_stop", "warning", None, "", message)]

    def wait_for_files(self, give_up_at: float) -> None:
        """Keep the run, whose stop document has come, until its files are there."""
        self.state, self.give_up_at = "waiting_for_files", give_up_at

    def refusal_at_end(self) -> Refusal | None:
        """Return why a run that has ended is refused as a whole, or None."""
        if self.refusal is not None:
            return self.refusal
        try:
            if not self.sweeps.items:
                return Refusal("missing_fields", self.reader.missing())
            check_order([len(sweep.energy) for sweep in self.unanswered_sweeps()])
        except Refused as refused:
            return refused.refusal
        return None
