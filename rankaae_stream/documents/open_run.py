"""Hold one raw run from its start document to its answers.

A run is `growing` while its documents arrive. After its stop document it may be
`waiting_for_files`, or for events that come later, until they are there or given up.
"""

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any, Literal

import numpy as np

from rankaae_stream.documents.known import KnownDocuments
from rankaae_stream.documents.sweeps import Sweep, Sweeps, check_order
from rankaae_stream.edges import Stated, kev_of
from rankaae_stream.errors import Refusal, Refused
from rankaae_stream.layouts.base import (
    CollectingReader,
    Document,
    Reader,
    Reading,
    SkippingReader,
)
from rankaae_stream.layouts.rebin import FRAGMENT
from rankaae_stream.layouts.signals import event_count
from rankaae_stream.printable import get_logger
from rankaae_stream.report import Flag
from rankaae_stream.spectra.quality import unread_events
from rankaae_stream.spectrum import Channel

__all__ = ["OpenRun", "overrun", "time_of"]

QUICK = 5.0
"""Seconds that a quick sweep takes at most."""

logger = get_logger(__name__)


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
    known : KnownDocuments
    sweeps : Sweeps
    first_unanswered_sweep : int
    shown : list of (Sweep or None, Channel)
        Provisional answers whose final ones are still to come.
    last_shown_at : float
        When a provisional answer was last given, s.
    flags : list of Flag
        Of every sweep that is answered from now on.
    end_flags : list of Flag
        What the stop document says, or its absence.
    give_up_at : float
        Until when files and events are waited for, s.
    """

    start: Document
    stated_edge: Stated
    reader: Reader
    last_document_at: float
    time: float
    refusal: Refusal | None = None
    state: Literal["growing", "waiting_for_files"] = "growing"
    known: KnownDocuments = field(default_factory=KnownDocuments)
    sweeps: Sweeps = field(default_factory=Sweeps)
    first_unanswered_sweep: int = 0
    shown: list[tuple[Sweep | None, Channel]] = field(
        default_factory=list[tuple[Sweep | None, Channel]]
    )
    last_shown_at: float = float("-inf")
    flags: list[Flag] = field(default_factory=list[Flag])
    end_flags: list[Flag] = field(default_factory=list[Flag])
    give_up_at: float = float("inf")
    _points_to_show: bool = False
    _quick: bool | None = None
    _collected: bool = False
    _stop: Document = field(default_factory=dict[str, Any])
    _dropped: int = 0
    _unread: int = 0
    _unread_because: str = ""
    _unread_document: str = ""

    @property
    def uid(self) -> str:
        """The raw run's uid."""
        return self.start["uid"]

    @property
    def began(self) -> float:
        """Time of the start document, seconds since the epoch."""
        return time_of(self.start)

    @property
    def quick(self) -> bool:
        """Whether its sweeps take seconds only, as far as known when it was first asked.

        By the times of events, which a replay has as well; where sweeps come with no such
        times, by those of start and stop, when the run ends.
        """
        if self._quick is None:
            took, count = self.sweeps.first_took, len(self.sweeps.items)
            if took is None and self._stop and count > 1 and not self.first_unanswered_sweep:
                took = (self.time - self.began) / count
            self._quick = took is not None and 0.0 <= took <= QUICK
        return self._quick

    def feed(self, name: str, doc: Document) -> bool:
        """Read a document; return whether it brought points or flags."""
        if self.refusal is not None:
            return False
        try:
            new = self.known.new(name, doc)
            reading = self.reader.feed(name, new) if new is not None else None
        except Refused as refused:
            self.refusal = refused.refusal
            return False
        except BaseException as error:
            logger.debug("a document could not be read", exc_info=True)
            self._note_unread(name, doc, error)
            return False
        if reading is None:
            return False
        self.add(reading)
        return True

    def lose(self, dropped: int) -> None:
        """Take note that documents were dropped: they will not come, and later sweeps go on."""
        self._dropped += dropped
        message = (
            f"{self._dropped} documents of the run came faster than they could be taken and were "
            "dropped; its sweeps have the numbers of those that came"
        )
        flag = Flag("events_missing", "warning", float(self._dropped), "1", message)
        self.flags = [*(known for known in self.flags if known.name != flag.name), flag]
        if isinstance(self.reader, SkippingReader):
            self.reader.skip_gaps()

    def add(self, reading: Reading) -> None:
        """Append a reading to its sweep."""
        if not self.sweeps.items:
            self._choose_unit(reading)
        self.sweeps.add(reading)
        self.time = max(self.time, reading.time)
        self._points_to_show = True

    def _choose_unit(self, reading: Reading) -> None:
        """Take energies without a unit for keV if only these lie near the stated edge."""
        known = reading.energy[np.isfinite(reading.energy)]
        if known.size and kev_of(float(known[0]), float(known[0]), self.stated_edge):
            self.sweeps.read_as_kev()

    def _note_unread(self, name: str, doc: Document, error: BaseException) -> None:
        """Count an event that cannot be read; of other documents remember the first."""
        refusal = Refusal.of(error)
        if not isinstance(error, Exception):
            self.refusal = refusal
        if name not in ("event", "event_page"):
            self._unread_document = self._unread_document or f"a {name}: {refusal.message}"
            return
        self._unread += event_count(name, doc) or 1
        self._unread_because = self._unread_because or refusal.message

    def growing_sweep(self, now: float, interval: float) -> Sweep | None:
        """Return the sweep to answer provisionally, at most one every `interval` seconds."""
        if not self._points_to_show or now - self.last_shown_at < interval:
            return None
        self.sweeps.settle()
        # The first points of a sweep tell nothing yet, not even what is wrong.
        if not self.sweeps.items or len(self.sweeps.items[-1].energy) < FRAGMENT:
            return None
        sweep = self.sweeps.items[-1]
        if self._dropped:
            self.sweeps.mark_gaps()
            if sweep.lost:
                return None
        self._points_to_show, self.last_shown_at = False, now
        for channel in sweep.channels:
            if (sweep, channel) not in self.shown:
                self.shown.append((sweep, channel))
        return sweep

    def finished_sweeps(self) -> Iterator[Sweep]:
        """Yield sweeps that the next one has followed for `FRAGMENT` points, each once.

        After documents were dropped those too that have gaps: see `Sweep.lost`.
        """
        sweeps = self.sweeps.items
        while self._in_order() and self.first_unanswered_sweep + 1 < len(sweeps):
            if self._dropped:
                self.sweeps.mark_gaps()
            done, following = sweeps[self.first_unanswered_sweep :][:2]
            last = self.first_unanswered_sweep + 2 == len(sweeps)
            if (_is_fragment(done) and not done.lost) or (
                _is_fragment(following) and (last or not following.lost)
            ):
                return
            yield done
            self.shown = [(sweep, channel) for sweep, channel in self.shown if sweep is not done]
            self.first_unanswered_sweep += 1
            self.sweeps.free(self.first_unanswered_sweep)

    def _in_order(self) -> bool:
        """Return whether what has come is in its place, and what has not will not come."""
        if self._dropped:
            return self.sweeps.in_place and self.sweeps.numbered
        return self.sweeps.whole

    def primary(self, sweep: int, wanted: Channel) -> Channel:
        """Return the channel that was wanted, or else the first that the sweep has."""
        # A channel with bins of its own is a sweep item beside the others of its sweep.
        items = self.sweeps.of_index(sweep)
        measured: list[Channel] = [channel for item in items for channel in item.channels]
        return wanted if wanted in measured or not measured else measured[0]

    def unanswered_sweeps(self) -> list[Sweep]:
        """Return the sweeps that are left to answer when the run ends."""
        self.sweeps.settle()
        return self.sweeps.items[self.first_unanswered_sweep :]

    def vanished(self) -> list[tuple[Sweep | None, Channel]]:
        """Return what was shown of sweeps that there are no longer."""
        items = self.sweeps.items
        return [shown for shown in self.shown if all(shown[0] is not item for item in items)]

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
        except BaseException as error:
            self.refusal = Refusal.of(error)
            logger.exception("the files of a run could not be read")
        else:
            if readings is None:
                return False
            for reading in readings:
                self.add(reading)
        self._collected = True
        return True

    def stop(self, doc: Document, dropped: int = 0) -> None:
        """Take note of the stop document, and of how many of the run's documents were lost."""
        self._stop = doc
        self.time = time_of(doc, self.time)
        status = doc.get("exit_status", "success")
        if status != "success":
            reason = f": {doc['reason']}" if doc.get("reason") else ""
            message = f"the run ended with exit status {status}{reason}; what it covers was judged"
            self.end_flags = [Flag("scan_aborted", "warning", None, "", message)]
        if dropped:
            self.lose(dropped)

    def stop_without_document(self, reason: str) -> None:
        """Take note that the run is over and no stop document will come."""
        message = f"{reason}: the run has no stop document"
        self.end_flags = [Flag("no_stop", "warning", None, "", message)]

    def wait_for_files(self, give_up_at: float) -> None:
        """Keep the run, whose stop document has come, until its files and events are there."""
        self.state, self.give_up_at = "waiting_for_files", give_up_at

    def is_there(self, *, last: bool) -> bool:
        """Return whether all is there of a run that has ended: its files, read, and its events."""
        events_are_due = self.refusal is None and not self._dropped
        if not last and events_are_due and self.known.still_to_come(self._stop):
            return False
        return self.collect(last=last)

    def refusal_at_end(self) -> Refusal | None:
        """Return why a run that has ended is refused as a whole, or None."""
        if self.refusal is not None:
            return self.refusal
        try:
            sweeps = self._sweeps_at_end()
            if self._dropped:
                self._mark_lost(sweeps)
            self.flags = [*self.flags, *self._flags_at_end()]
            check_order([len(sweep.energy) for sweep in sweeps if not sweep.lost])
        except Refused as refused:
            return refused.refusal
        return None

    def _sweeps_at_end(self) -> list[Sweep]:
        """Return the sweeps that are left, their energies in eV."""
        sweeps, reach = self.sweeps, self.sweeps.range
        if sweeps.items and reach and sweeps.unit == 1.0 and kev_of(*reach, self.stated_edge):
            sweeps.read_as_kev()
        if sweeps.items:
            return self.unanswered_sweeps()
        if self._dropped:
            raise overrun(self._dropped).error()
        if self._unread:
            unread_events(self._unread, 0, self._unread_because)
        if self._unread_document:
            raise Refused("missing_fields", f"cannot be read: {self._unread_document}")
        raise Refused("missing_fields", self.reader.missing())

    def _mark_lost(self, sweeps: list[Sweep]) -> None:
        """Mark the sweeps that dropped documents may have been of.

        Raises
        ------
        Refused
            ``overrun`` where that is all of them, or cannot be told.
        """
        announced = self.known.announced(self._stop, self.sweeps.stream)
        self.sweeps.mark_gaps(announced)
        # How many events came after the last is not known without their count.
        unseen = 0 if announced else self._dropped - self.sweeps.lost()
        if unseen > 0:
            sweeps[-1].lost += unseen
        none_is_whole = not self.first_unanswered_sweep and all(sweep.lost for sweep in sweeps)
        if none_is_whole or not self.sweeps.numbered:
            raise overrun(self._dropped).error()

    def _flags_at_end(self) -> list[Flag]:
        """Return flags of all sweeps that are left.

        Raises
        ------
        Refused
            ``bad_signal`` where too many events could not be read.
        """
        flags: list[Flag] = []
        reach = self.sweeps.range
        if self.sweeps.unit != 1.0 and reach:
            low, high = (energy / self.sweeps.unit for energy in reach)
            message = f"energies of {low:g}-{high:g} were read as keV; state the unit of the field"
            flags.append(Flag("unit_deduced", "info", None, "", message))
        points = self.sweeps.points
        if self._unread:
            flags.append(unread_events(self._unread, points, self._unread_because))
        announced = self.known.announced(self._stop, self.sweeps.stream)
        lacking = self.sweeps.lost(announced) - self._unread
        if lacking > 0 and not self._dropped:
            message = f"{lacking} events of the run did not come; what came was judged"
            flags.append(Flag("events_missing", "warning", float(lacking), "1", message))
        return flags


def overrun(dropped: int, what: str = "documents of this run") -> Refusal:
    """Return the refusal of a run, or of a sweep, that lost so many documents."""
    return Refusal(
        "overrun",
        f"{dropped} {what} came faster than they could be taken and were dropped; raise "
        "inbox_megabytes or run the analysis as a service",
    )


def _is_fragment(sweep: Sweep) -> bool:
    return len(sweep.energy) < FRAGMENT


def time_of(doc: Document, default: float = 0.0) -> float:
    """Return the time of a document, seconds since the epoch, where it is a number."""
    time: Any = doc.get("time")
    return float(time) if isinstance(time, (int, float)) and abs(time) < 1e12 else default
