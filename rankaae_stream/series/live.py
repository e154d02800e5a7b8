"""Keep the series of a session, or of stored runs, while their scans are answered."""

import bisect
import time
import uuid
from collections.abc import Callable
from dataclasses import dataclass, field

from rankaae_stream.analysis import Analysis
from rankaae_stream.documents.open_run import time_of
from rankaae_stream.documents.together import SeriesRules
from rankaae_stream.printable import get_logger
from rankaae_stream.report import Result
from rankaae_stream.series.kept import KeptScans
from rankaae_stream.series.resolve import Resolved, resolve

__all__ = ["LiveSeries", "SeriesResult"]

logger = get_logger(__name__)

MOST_SPECTRA = 5_000
"""Spectra that are held; beyond, the series that is silent longest ends."""

LEFT = 500
"""Results of other series after which one ends whose scans lie further than `gap` from the newest:
nothing is to be expected for it, and it would be held as long as the session. Stored runs that come
out of order find theirs still open within as many."""

PAUSE = 1.0
"""Seconds between two updates of one series, at least."""

SHARE = 10.0
"""An update is followed by a pause of so many times what it took: scans come first."""


@dataclass(frozen=True, slots=True, eq=False)
class SeriesResult:
    """What a series shows up to now.

    Attributes
    ----------
    uid : str
        Of the series, by its first result.
    group : mapping of str
        The start keys that name it, with their values.
    results : tuple of Result
        Of its spectra, in their order.
    found : Resolved
    complete : bool
        Whether no more spectra will come.
    against : str
        What its rates are given by: a start key, or hours.
    """

    uid: str
    group: dict[str, str]
    results: tuple[Result, ...]
    found: Resolved
    complete: bool
    against: str


@dataclass(slots=True, eq=False)
class _Open:
    """A series that grows: its results in the order in which they were measured."""

    group: dict[str, str]
    name: str = field(default_factory=lambda: uuid.uuid4().hex)
    order: list[tuple[float, int]] = field(default_factory=list[tuple[float, int]])
    results: list[Result] = field(default_factory=list[Result])
    uids: set[str] = field(default_factory=set[str])
    shown: int = 0
    due: float = 0.0
    touched: int = 0

    def take(self, result: Result) -> bool:
        """Take a result, once; return whether it is new."""
        if result.uid in self.uids:
            return False
        self.uids.add(result.uid)
        place = _place(result)
        at = bisect.bisect_right(self.order, place)
        self.order.insert(at, place)
        self.results.insert(at, result)
        return True

    def gap(self, began: float) -> float:
        """Return the hours between the series and a scan."""
        first, last = self.order[0][0], self.order[-1][0]
        return max(first - began, began - last, 0.0) / 3600.0


class LiveSeries:
    """Put results into series, and resolve each anew as it grows.

    Parameters
    ----------
    rules : SeriesRules
    analysis : Analysis
        Answers the mean of repeats.
    emit : callable
        Receives a `SeriesResult` of at least two spectra, in the calling thread.
    kept : KeptScans, optional
        Where the scans of open series lie for another process; those that one has left are taken.

    Notes
    -----
    Only the results of a run's primary channel are taken. No error leaves `take`, `tick` or
    `finish`: a series is an extra, results count.
    """

    def __init__(
        self,
        rules: SeriesRules,
        analysis: Analysis,
        emit: Callable[[SeriesResult], None],
        kept: KeptScans | None = None,
    ) -> None:
        self._rules = rules
        self._analysis = analysis
        self._emit = emit
        self._open: list[_Open] = []
        self._taken = 0
        self._kept = kept
        if kept is not None:
            for result in kept.earlier():
                self.take(result)

    @property
    def pending(self) -> bool:
        """Whether a series has spectra that its last update did not have."""
        return any(1 < len(one.results) != one.shown for one in tuple(self._open))

    def take(self, result: Result) -> None:
        """Take a final result; the next `tick` resolves its series anew."""
        if not (result.primary and result.report.complete) or result.report.edge is None:
            return
        try:
            group = self._rules.group_of(result.start)
            series = self._series(result, group)
            if series.take(result) and self._kept is not None:
                self._kept.add(series.name, result)
            self._taken += 1
            series.touched = self._taken
            self._end_left(_place(result)[0])
        except Exception:
            logger.exception("a result could not be put into a series")
        while sum(len(one.results) for one in self._open) > MOST_SPECTRA:
            self._end(min(self._open, key=lambda one: one.order[-1]))

    def tick(self, now: float) -> None:
        """Resolve the series that have grown and are due; `now` in seconds, rising."""
        for one in self._open:
            if one.shown != len(one.results) > 1 and one.due <= now:
                one.due = now + max(SHARE * self._show(one, complete=False), PAUSE)
        if self._kept is not None:
            self._kept.settled()

    def finish(self) -> None:
        """End all series."""
        while self._open:
            self._end(self._open[0])

    def close(self) -> None:
        """Leave the series that are open to another process."""
        if self._kept is not None:
            self._kept.close()

    def _series(self, result: Result, group: dict[str, str]) -> _Open:
        """Return the open series of a result, a new one where there is none."""
        report, began = result.report, _place(result)[0]
        key = {**group, "edge": str(report.edge), "channel": report.channel}
        for one in self._open:
            if one.group == key and one.gap(began) <= self._rules.gap:
                return one
        for one in [one for one in self._open if one.group == key]:
            if one.order[-1][0] < began:  # a stored run may be older than what is known
                self._end(one)
        self._open.append(_Open(key))
        return self._open[-1]

    def _end_left(self, began: float) -> None:
        """End the series that nothing has joined for long, and nothing near this scan can."""
        for one in tuple(self._open):
            if self._taken - one.touched >= LEFT and one.gap(began) > self._rules.gap:
                self._end(one)

    def _end(self, one: _Open) -> None:
        self._open.remove(one)
        if len(one.results) > 1:
            self._show(one, complete=True)
        if self._kept is not None:
            self._kept.forget(one.name)  # after it was shown: until then another would show it

    def _show(self, one: _Open, *, complete: bool) -> float:
        """Resolve a series and hand it on; return the seconds that this took."""
        began, results = time.perf_counter(), tuple(one.results)
        one.shown = len(results)
        try:
            against, at = self._rules.along([result.start for result in results])
            found = resolve(
                [result.report for result in results],
                self._analysis,
                stop_at=self._rules.stop_at,
                at=at,
            )
            if isinstance(found, Resolved):
                uid = _uid(results[0])
                self._emit(SeriesResult(uid, one.group, results, found, complete, against))
        except Exception:
            logger.exception("a series of %d spectra could not be resolved", len(results))
        return time.perf_counter() - began


def _place(result: Result) -> tuple[float, int]:
    """Return where a result stands in its series: when its run began, and its sweep."""
    return time_of(result.start, result.time), result.report.sweep


def _uid(first: Result) -> str:
    return str(uuid.uuid5(uuid.NAMESPACE_URL, f"rankaae-stream series:{first.uid}"))
