"""Split a run's readings into sweeps, possibly still growing, and sweeps into spectra.

Repeats can share a run and fly scans come down in energy, so a run is split at
the turning points of the motion, never sorted as a whole. Events have their place by
their number: a point that was measured again, or came late or twice, stands where it belongs.
"""

import itertools
from array import array
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from rankaae_stream.errors import Refused
from rankaae_stream.layouts.base import EventNumbers, Reading
from rankaae_stream.layouts.rebin import FRAGMENT, TURN, turning_points
from rankaae_stream.report import Flag
from rankaae_stream.spectrum import Channel, Edge, Floats, Limits, Origin, Spectrum

__all__ = ["Sweep", "Sweeps", "check_order", "out_of_order", "to_spectrum"]


FEW = 32
"""Points up to which one after the other is quicker than all at once."""


@dataclass(slots=True, eq=False)
class Sweep:
    """One motion over the edge, in time order, growing.

    `levels` are what detectors with `limits` read at each point, by role. An energy or mu
    that could not be read is NaN, and `problem` says why the first could not. `lost` events
    lack beside its points or among them.
    """

    index: int
    energy: list[float] = field(default_factory=list[float])
    mu: dict[Channel, list[float]] = field(default_factory=dict[Channel, list[float]])
    flags: Mapping[Channel, Sequence[Flag]] = field(default_factory=dict[Channel, Sequence[Flag]])
    levels: dict[str, list[float]] = field(default_factory=dict[str, list[float]])
    limits: Mapping[str, Limits] = field(default_factory=dict[str, Limits])
    problem: str = ""
    lost: int = 0

    @property
    def channels(self) -> list[Channel]:
        """Channels of the sample: all but the foil's."""
        return [channel for channel in self.mu if channel != "reference"]

    def channel(self, channel: Channel) -> tuple[Floats, Floats]:
        """Return energies (n,), eV, and mu (n,) in time order."""
        return np.asarray(self.energy), np.asarray(self.mu[channel])

    def extend(self, reading: Reading) -> None:
        """Append a reading's points; what it lacks of them is NaN."""
        before = len(self.energy)
        self.energy += reading.energy.tolist()
        _extend(self.mu, reading.mu, before, len(self.energy))
        _extend(self.levels, reading.levels, before, len(self.energy))
        self.limits = reading.limits or self.limits
        self.problem = self.problem or reading.problem

    def of(self, rows: NDArray[np.intp]) -> "Sweep":
        """Return a sweep of these points, in this order."""

        def pick(values: list[float]) -> list[float]:
            return np.asarray(values)[rows].tolist()

        return replace(
            self,
            energy=pick(self.energy),
            mu={channel: pick(mu) for channel, mu in self.mu.items()},
            levels={role: pick(level) for role, level in self.levels.items()},
        )

    def cut(self, at: int) -> "Sweep":
        """Keep the points before `at`; return a next sweep with those from there on."""
        following = Sweep(
            self.index + 1, self.energy[at:], limits=self.limits, problem=self.problem
        )
        del self.energy[at:]
        for channel, mu in self.mu.items():
            following.mu[channel] = mu[at:]
            del mu[at:]
        for role, level in self.levels.items():
            following.levels[role] = level[at:]
            del level[at:]
        return following


def _extend(
    columns: dict[Any, list[float]], more: Mapping[Any, Floats], before: int, after: int
) -> None:
    """Append to columns of `before` points what makes them `after`, NaN where there is nothing."""
    for key, values in more.items():
        if key not in columns:
            columns[key] = [np.nan] * before
        columns[key] += values.tolist()
    if len(more) < len(columns):
        for values in columns.values():
            values.extend([np.nan] * (after - len(values)))


class Sweeps:
    """Split a run's points at the turning points of the motion.

    What comes in the order of its events is appended. All else waits until `settle`, so that
    a point costs the same however many there are.
    """

    def __init__(self) -> None:
        self.items: list[Sweep] = []
        self.unit = 1.0
        """One unit of the energies that come, eV."""
        self.stream = ""
        """The stream of whose events these are points."""
        self._way = _Way()
        # Of the events whose points are in `items`, in their order; empty where none has a number.
        self._seq = array("q")
        self._time = array("d")
        self._points = array("q")
        self._whole_events = False
        self._late: list[Reading] = []
        # The first items, by their index: a run may have thousands, and each is asked for.
        self._by_index: dict[int, list[Sweep]] = {}
        self._indexed = 0
        # Of the first items, whose points are not held any more: how many, their events and points.
        self._freed = self._freed_events = self._freed_points = 0
        self._freed_range = (np.inf, -np.inf)
        self._first_took: float | None = None

    def add(self, reading: Reading) -> None:
        """Take points in time order, of numbered events, or of a sweep that the layout has split.

        Flags are of the sweep that the points end in, or without points of the last one.
        """
        known = np.isfinite(reading.energy)
        if self.unit != 1.0 or not known.all():
            energy = np.where(known, reading.energy * self.unit, np.nan)
            reading = replace(reading, energy=energy)
        reading = self._numbered(reading)
        events = reading.events
        if events is None or self._follows(events.seq):
            self._append(reading)
        else:
            self._late.append(reading)

    @property
    def in_place(self) -> bool:
        """Whether every event that came is in its place."""
        return not self._late

    @property
    def whole(self) -> bool:
        """Whether every event up to the last is known and in its place."""
        return self.in_place and not self.lost()

    @property
    def numbered(self) -> bool:
        """Whether the events have numbers, so that a gap is seen."""
        return bool(self._seq)

    def mark_gaps(self, announced: int = 0) -> None:
        """Count, for each item that holds its points, the events that lack beside or within it.

        A gap near where the motion turned may have cost the end of the one sweep or the beginning
        of the other: both are counted, unless each event is a sweep. `announced` is how many
        events there were in all, as far as that is known.
        """
        # The last events of what is answered, too: a gap there may reach into the next sweep.
        items, first = self.items[self._freed :], max(self._freed_events - FRAGMENT, 0)
        if not self._seq or not items:
            return
        before = self._seq[first - 1] if first else 0
        end = max(announced, self._seq[-1]) + 1
        numbers = [before, *self._seq[first:], end]
        gaps: NDArray[np.int_] = np.diff(np.array(numbers)) - 1
        points, in_items = self._points[first:], (len(item.energy) for item in items)
        begin = self._freed_points - sum(self._points[first : self._freed_events])
        where = list(itertools.accumulate(points, initial=begin))
        edges = np.array([*itertools.accumulate(in_items, initial=self._freed_points)])
        # Points that rest at the turn are counted to the sweep before, whosoever they are.
        near = -FRAGMENT if self._whole_events else FRAGMENT
        for item in items:
            item.lost = 0
        for at in np.flatnonzero(gaps > 0):
            low = int(np.searchsorted(edges[1:], where[at] - near, "left"))
            high = int(np.searchsorted(edges[:-1], where[at] + near, "right"))
            for item in items[low:high]:
                item.lost += int(gaps[at])

    def lost(self, announced: int = 0) -> int:
        """Return how many events lack, of those announced and those up to the last; settled."""
        return max(self._seq[-1], announced) - len(self._seq) if self._seq else 0

    @property
    def range(self) -> tuple[float, float] | None:
        """Lowest and highest energy, eV."""
        low, high = (self.unit * energy for energy in self._freed_range)
        for item in self.items:
            energy = np.asarray(item.energy, dtype=float)
            known = energy[np.isfinite(energy)]
            if known.size:
                low, high = min(low, float(known.min())), max(high, float(known.max()))
        return (low, high) if low <= high else None

    def of_index(self, index: int) -> list[Sweep]:
        """Return the items of a sweep: several where a channel has bins of its own."""
        for item in self.items[self._indexed :]:
            self._by_index.setdefault(item.index, []).append(item)
        self._indexed = len(self.items)
        return self._by_index.get(index, [])

    @property
    def first_took(self) -> float | None:
        """Seconds from the first event to the next sweep's first; None where that is not known."""
        if self._freed:
            return self._first_took
        if len(self.items) < 2 or not self._seq:
            return None
        ends = itertools.accumulate(self._points)
        first = len(self.items[0].energy)
        following = next((i for i, end in enumerate(ends) if end > first), None)
        return None if following is None else self._time[following] - self._time[0]

    @property
    def points(self) -> int:
        """How many points there are, also of items that are not held any more."""
        return self._freed_points + sum(len(item.energy) for item in self.items)

    def free(self, count: int) -> None:
        """Let go of the points of the first items, which are answered and stay as they are.

        Their events that come again are left out. Points are held as long as their event has
        some of a later item, too.
        """
        events, points, took = self._freed_events, self._freed_points, self.first_took
        reached = points
        for number in range(self._freed, count):
            points += len(self.items[number].energy)
            while reached < points and events < len(self._points):
                reached, events = reached + self._points[events], events + 1
            if reached != points and self._seq:
                continue
            for item in self.items[self._freed : number + 1]:
                self._empty(item)
            self._first_took = took
            self._freed, self._freed_events, self._freed_points = number + 1, events, points

    def _empty(self, item: Sweep) -> None:
        energy = np.asarray(item.energy) / self.unit
        known = energy[np.isfinite(energy)]
        if known.size:
            low, high = self._freed_range
            self._freed_range = min(low, float(known.min())), max(high, float(known.max()))
        item.energy, item.mu = [], {channel: [] for channel in item.mu}
        item.levels = {role: [] for role in item.levels}

    def read_as_kev(self) -> None:
        """Take all energies, those that came and those to come, for keV."""
        self.unit *= 1000.0
        self._late = [replace(late, energy=late.energy * 1000.0) for late in self._late]
        for item in self.items:
            item.energy = [1000.0 * energy for energy in item.energy]
        self._rebuild()

    def settle(self) -> None:
        """Put what came late, twice or again where it belongs, and split anew."""
        if self._late:
            self._rebuild()

    def _numbered(self, reading: Reading) -> Reading:
        """Return the reading with numbers if the run's points have them, else without."""
        count = reading.energy.size
        if reading.events is None and self._seq and count:
            seq = range(self._seq[-1] + 1, self._seq[-1] + 1 + count)
            return replace(reading, events=EventNumbers("", seq, [reading.time] * count))
        if reading.events is not None and self.items and not self._seq:
            return replace(reading, events=None)
        return reading

    def _follows(self, seq: Sequence[int]) -> bool:
        """Return whether these numbers rise, from beyond the last known one on."""
        last = self._seq[-1] if self._seq else -1
        for number in seq:
            if number <= last:
                return False
            last = number
        return True

    def _append(self, reading: Reading) -> None:
        if reading.sweep is not None:
            self.items.append(Sweep(reading.sweep))
        if not self.items and reading.energy.size:
            self.items.append(Sweep(0))
        if not self.items:
            return
        if reading.energy.size:
            self.items[-1].extend(reading)
            self._note(reading.events)
        if reading.sweep is None and self._way.turns(reading.energy):
            self._split()
        if reading.flags:
            self.items[-1].flags = reading.flags

    def _note(self, events: EventNumbers | None) -> None:
        if events is not None:
            self.stream = self.stream or events.stream
            self._seq.extend(events.seq)
            self._time.extend(events.time)
            self._points.extend(events.points or itertools.repeat(1, len(events.seq)))
            self._whole_events = events.whole

    def _split(self) -> None:
        """Cut the last sweep where the motion turned."""
        begin = 0
        for rows in turning_points(_motion(self.items[-1].energy))[:-1]:
            self.items.append(self.items[-1].cut(rows.stop - begin))
            begin = rows.stop
        self._way = _Way()
        self._way.turns(np.asarray(self.items[-1].energy))

    def _rebuild(self) -> None:
        known, freed, first = self.items, self._freed, self._freed_events
        whole = Sweep(known[freed].index if freed < len(known) else freed)
        for item in known[freed:]:
            whole.extend(_reading(item))
        last = self._seq[first - 1] if first else -1
        for late in [_after(late, last) for late in self._late]:
            whole.extend(late)
            self._note(late.events)
        self._late = []
        if self._seq:
            kept = _latest(np.array(self._seq[first:]), np.array(self._time[first:]))
            end = list(itertools.accumulate(self._points[first:]))
            rows = [np.arange(end[i] - self._points[first + i], end[i]) for i in kept]
            whole = whole.of(np.concatenate(rows)) if rows else whole
            self._seq[first:] = array("q", [self._seq[first + i] for i in kept])
            self._time[first:] = array("d", [self._time[first + i] for i in kept])
            self._points[first:] = array("q", [self._points[first + i] for i in kept])
        self.items = [*known[:freed], whole] if whole.energy else known[:freed]
        if whole.energy:
            self._split()
        # Who holds a sweep has the same one still, as far as there are as many.
        for was, now in zip(known, self.items, strict=False):
            was.energy, was.mu, was.levels = now.energy, now.mu, now.levels
            was.limits, was.problem = now.limits, now.problem
        self.items = [*known[: len(self.items)], *self.items[len(known) :]]
        self._by_index, self._indexed = {}, 0


def _after(reading: Reading, last: int) -> Reading:
    """Return what a reading has of events beyond a number."""
    events = reading.events
    if events is None or min(events.seq, default=last + 1) > last:
        return reading
    counts = list(events.points or itertools.repeat(1, len(events.seq)))
    ends = list(itertools.accumulate(counts))
    kept = [i for i, number in enumerate(events.seq) if number > last]
    rows = np.array([r for i in kept for r in range(ends[i] - counts[i], ends[i])], dtype=np.intp)
    numbers = EventNumbers(
        events.stream,
        [events.seq[i] for i in kept],
        [events.time[i] for i in kept],
        [counts[i] for i in kept],
        events.whole,
    )
    return replace(
        reading,
        energy=reading.energy[rows],
        mu={channel: mu[rows] for channel, mu in reading.mu.items()},
        levels={role: level[rows] for role, level in reading.levels.items()},
        events=numbers,
    )


class _Way:
    """Notices, point by point, that a motion has turned: that is when it went both ways."""

    def __init__(self) -> None:
        self._top, self._bottom = -np.inf, np.inf
        self._fell = self._rose = False

    def turns(self, energy: Floats) -> bool:
        """Take further energies (n,), eV; return whether the motion has turned up to here."""
        if energy.size > FEW:
            self._take_many(energy)
            return self._fell and self._rose
        for value in energy.tolist():
            if value > self._top:
                self._top = value
            elif self._top - value > TURN:
                self._fell = True
            if value < self._bottom:
                self._bottom = value
            elif value - self._bottom > TURN:
                self._rose = True
        return self._fell and self._rose

    def _take_many(self, energy: Floats) -> None:
        # An energy that is not known is passed over; it is neither higher nor lower.
        tops = np.fmax.accumulate(np.append(self._top, energy))
        bottoms = np.fmin.accumulate(np.append(self._bottom, energy))
        with np.errstate(invalid="ignore"):
            self._fell = self._fell or bool((tops[:-1] - energy > TURN).any())
            self._rose = self._rose or bool((energy - bottoms[:-1] > TURN).any())
        self._top, self._bottom = float(tops[-1]), float(bottoms[-1])


def _latest(seq: NDArray[np.int_], time: Floats) -> list[int]:
    """Return which events to keep, by rising number: of two with one number the later."""
    order = np.lexsort((np.arange(seq.size), time, seq))
    last = np.append(seq[order][1:] != seq[order][:-1], True)
    return order[last].tolist()


def _reading(sweep: Sweep) -> Reading:
    mu: dict[Channel, Floats] = {channel: np.asarray(mu) for channel, mu in sweep.mu.items()}
    levels = {role: np.asarray(values) for role, values in sweep.levels.items()}
    energy, limits = np.asarray(sweep.energy), sweep.limits
    return Reading(energy, mu, 0.0, levels=levels, limits=limits, problem=sweep.problem)


def _motion(energy: Sequence[float]) -> Floats:
    """Return energies (n,), the motion resting where one is not known."""
    values = np.asarray(energy)
    known = np.isfinite(values)
    if known.all() or not known.any():
        return np.nan_to_num(values)
    at = np.maximum.accumulate(np.where(known, np.arange(values.size), np.argmax(known)))
    return values[at]


def check_order(points: Sequence[int]) -> None:
    """Refuse a finished scan whose energies jump to and fro.

    Parameters
    ----------
    points : sequence of int
        How many each of its sweeps has.

    Raises
    ------
    Refused
        ``energy_order`` when most of several sweeps are fragments.
    """
    fragments = sum(count < FRAGMENT for count in points)
    if len(points) >= 4 and 2 * fragments > len(points):
        raise out_of_order(points)


def out_of_order(points: Sequence[int]) -> Refused:
    """Return the refusal of a scan whose sweeps have so many points, ``energy_order``."""
    return Refused(
        "energy_order",
        f"the energy reverses {len(points) - 1} times in {sum(points)} points; "
        "a scan must move one way at a time",
    )


def to_spectrum(
    energy: Floats,
    mu: Floats,
    edge: Edge,
    origin: Origin,
    problem: str = "",
) -> tuple[Spectrum, int]:
    """Sort points by energy, average duplicates, and leave out those without a finite mu.

    Parameters
    ----------
    energy, mu : (n,) arrays
        In time order.
    edge : Edge
    origin : Origin
    problem : str, optional
        Why the first bad point could not be read.

    Returns
    -------
    spectrum : Spectrum
    bad : int
        How many points were left out.

    Raises
    ------
    Refused
        ``bad_signal`` when fewer than two points remain.
    """
    good = np.isfinite(energy) & np.isfinite(mu)
    bad = int(good.size - np.count_nonzero(good))
    levels, averaged = energy[good], mu[good]
    if (levels[1:] <= levels[:-1]).any():
        levels, where = np.unique(levels, return_inverse=True)
        averaged = np.bincount(where, weights=averaged) / np.bincount(where)
    if levels.size < 2:
        why = f" ({problem})" if problem else ""
        raise Refused(
            "bad_signal",
            f"{origin.channel} has {levels.size} usable energies out of {energy.size} points; "
            f"its signals are zero, negative or missing{why}",
        )
    return Spectrum(levels, averaged, edge, origin), bad
