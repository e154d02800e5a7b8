"""Read scans of ophyd-async, whose points are in HDF5 files that grow, all or in part.

A ``stream_resource`` names the file and data set of a field, and every ``stream_datum``
announces more of its rows; a field that is in no file has its values in events. A point
is read when all fields have it, by the number of its event: of a point that was measured
again the last row counts. Rows that are not in the file when the run ends are waited for.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from rankaae_stream.errors import Refusal, Refused
from rankaae_stream.files.frames import read_rows
from rankaae_stream.files.resolve import resolve
from rankaae_stream.files.run_writer import Documents, RunWriter, write_rows
from rankaae_stream.layouts.assets import streamed_asset
from rankaae_stream.layouts.base import Document, EventNumbers, Reading, Scan
from rankaae_stream.layouts.rehearsal import examples, names_played, passes, within
from rankaae_stream.layouts.rows import Rows
from rankaae_stream.layouts.signals import (
    NamedSignals,
    check_roles,
    column,
    energy_unit,
    event_count,
    event_numbers,
    find_signals,
    first_dimension,
    in_events,
    levels_of,
    limits_of,
    names_of,
    no_stream,
)
from rankaae_stream.report import Flag
from rankaae_stream.spectrum import Channel, Floats, absorption

__all__ = ["FlyLayout"]

HDF5 = ("application/x-hdf5", "application/hdf5")
LARGEST = 10_000_000
"""Rows of one field that a run may have: 80 MB, and an hour at 3 kHz."""


@dataclass(frozen=True, slots=True)
class FlyLayout(NamedSignals):
    """Field names of a fly scan; of several the first that a run has is used.

    Attributes
    ----------
    stream : str
        Stream that holds the scan.
    energy, i0, it, ir, pips : sequence of str
        As in `StepLayout`, one value a row or event; also of the scan's own first dimension.
    fluorescence : sequence of str
        Fields or patterns whose sum is the fluorescence signal.
    root_map, allowed_roots
        See `files.resolve.resolve`.
    limits : mapping of Limits
        By role, of a field as it is read; of several fluorescence fields the highest counts.
    """

    allowed_roots: Sequence[str] = ()
    root_map: Mapping[str, str] = field(default_factory=dict[str, str])

    def open(self, start: Document) -> "_FlyReader":
        """Begin a run."""
        return _FlyReader(self, first_dimension(start, self.stream))

    def rehearse(self, scan: Scan, folder: Path) -> Documents:
        """Write stream documents, and an HDF5 file with one data set a field."""
        names = names_played(self.fields(), scan)
        if "fluorescence" in names:
            names["fluorescence"] = examples(self.fluorescence)
        order = passes(scan)
        columns = {self.energy[0] if self.energy else "energy": scan.energy[order]}
        for role, summed in names.items():
            signal = within(self.limits, role, scan.signals[role])[order]
            columns |= dict.fromkeys(summed, signal / len(summed))
        run = RunWriter(f"check/{scan.name}", scan.start)
        path = folder / f"{scan.name}.h5"
        return list(write_rows(run, columns, path, stream=self.stream, every=50))


@dataclass(slots=True)
class _Stream:
    """The scan's stream: fields by role, and what is known of each by name.

    `unit` is one unit of the energy field in eV, `rows` how many an event has in each file.
    `read` are its events that were read, from the first on; `again` those of them, first and
    end, that were measured again.
    """

    time: float
    roles: dict[str, tuple[str, ...]]
    unit: float
    rows: int
    files: dict[str, Rows]
    values: dict[str, dict[int, float]]
    read: int = 0
    again: list[tuple[int, int]] = field(default_factory=list[tuple[int, int]])

    def reach(self) -> int:
        """Return up to which event all fields are known without a gap."""
        return min([*(rows.reach(self.read) for rows in self.files.values()), *self._reached()])

    def _reached(self) -> Iterator[int]:
        for values in self.values.values():
            end = self.read
            while end + 1 in values:
                end += 1
            yield end

    def last(self) -> int:
        """Return the last event of the field that has fewest."""
        ends = [rows.last for rows in self.files.values()]
        return min([*ends, *(max(values, default=0) for values in self.values.values())])

    def before_next(self) -> int:
        """Return the event before the next one that all fields have; `read` where there is none."""
        following = range(self.read + 1, self.last() + 1)
        return next((event - 1 for event in following if self.knows(event)), self.read)

    def knows(self, event: int) -> bool:
        """Return whether all fields have an event."""
        return all(event in values for values in self.values.values()) and all(
            rows.knows(event) for rows in self.files.values()
        )


class _FlyReader:
    def __init__(self, layout: FlyLayout, dimension: str | None) -> None:
        self._layout = layout
        self._dimension = dimension
        self._stream: _Stream | None = None
        self._descriptors: set[str] = set()
        self._resources: dict[str, Document] = {}
        self._early: dict[str, list[Document]] = {}
        self._kept: list[Reading] = []
        self._problem: Refusal | None = None
        self._bad = ""
        self._skips = False
        self._streams: list[str] = []

    def feed(self, name: str, doc: Document) -> Reading | None:
        if name == "descriptor":
            self._streams.append(str(doc.get("name", "")))
            if doc.get("name") == self._layout.stream:
                described = self._describe(doc)
                self._stream = self._stream or described
                self._descriptors.add(doc["uid"])
        elif name == "stream_resource":
            self._resources[doc["uid"]] = doc
            for datum in self._early.pop(doc["uid"], ()):
                self._announce(datum)
        elif name == "stream_datum" and doc["descriptor"] in self._descriptors:
            self._announce(doc)
        elif name in ("event", "event_page") and doc["descriptor"] in self._descriptors:
            self._note(name, doc)
        return self._join([*self._reread(), *self._read()])

    def used(self) -> dict[str, str]:
        """Return where each role was found; see `layouts.base.NamingReader`."""
        return names_of(self._layout.stream, self._stream.roles) if self._stream else {}

    def missing(self) -> str:
        if self._problem is not None:
            raise self._problem.error()
        stream = self._stream
        if stream is not None:
            silent = [name for name, rows in stream.files.items() if not rows.last]
            silent += [name for name, values in stream.values.items() if not values]
            no_rows = (
                f": no stream_datum or event has rows of {', '.join(silent)}" if silent else ""
            )
            return f"the run ended before its first point{no_rows}"
        return no_stream(self._layout.stream, self._streams)

    def skip_gaps(self) -> None:
        """Go on after a gap with the next event that all fields have."""
        self._skips = True

    def collect(self, *, last: bool) -> Sequence[Reading] | None:
        self._kept += [*self._reread(), *self._read()]
        stream = self._stream
        there = stream is None or (stream.last() <= stream.read and not stream.again)
        if not last and (self._problem is not None or not there):
            return None
        self._kept += self._beyond_gaps()
        if self._problem is not None and stream is not None and stream.read:
            self._kept.append(self._truncated(self._problem))
        return self._kept

    def _truncated(self, problem: Refusal) -> Reading:
        """Return a reading without points that flags those before as incomplete."""
        flag = Flag("truncated_file", "warning", None, "", problem.message)
        channels: tuple[Channel, ...] = ("transmission", "fluorescence", "pips")
        time = self._stream.time if self._stream is not None else 0.0
        return Reading(np.empty(0), {}, time, flags=dict.fromkeys(channels, (flag,)))

    # ---- documents -------------------------------------------------------------------

    def _describe(self, doc: Document) -> _Stream:
        layout, keys = self._layout, doc["data_keys"]
        roles = find_signals(layout.fields(), keys, self._dimension, [layout.fluorescence])
        check_roles(layout.stream, layout.fields(), roles, keys)
        unit = energy_unit(keys, roles["energy"][0])
        here = in_events(keys)
        rows, values = dict[str, Rows](), dict[str, dict[int, float]]()
        counts: dict[str, int] = {}
        for name in (name for names in roles.values() for name in names):
            counts[name] = 1 if name in here else _rows_of(name, keys[name].get("shape"))
            if name in here:
                values[name] = {}
            else:
                rows[name] = Rows()
        if len(set(counts.values())) > 1:
            listed = ", ".join(f"{name} {count}" for name, count in counts.items())
            raise Refused("missing_fields", f"the fields have unequal rows an event: {listed}")
        return _Stream(float(doc["time"]), roles, unit, max(counts.values()), rows, values)

    def _note(self, name: str, doc: Document) -> None:
        """Take the values that events hold."""
        stream = self._stream
        count = event_count(name, doc)
        if stream is None or not stream.values:
            return
        numbered = event_numbers(self._layout.stream, doc, count)
        if numbered is None:
            end = max((max(values, default=0) for values in stream.values.values()), default=0)
            seq: Sequence[int] = range(end + 1, end + 1 + (count or 1))
        else:
            seq = numbered.seq
            stream.time = max(stream.time, *numbered.time)
        for key, values in stream.values.items():
            read, problem = column(doc["data"], key, count)
            self._bad = self._bad or problem
            values.update(zip(seq, read.tolist(), strict=True))
        stream.again += [(n, n + 1) for n in seq if n <= stream.read]

    def _announce(self, datum: Document) -> None:
        uid, stream = datum["stream_resource"], self._stream
        resource = self._resources.get(uid)
        if resource is None:
            self._early.setdefault(uid, []).append(datum)
            return
        asset = streamed_asset(resource)
        listed = datum.get("data_keys") or ()
        name = str(resource.get("data_key") or asset.options.get("name") or "")
        name = name or (str(listed[0]) if len(listed) == 1 else "")
        rows = stream.files.get(name) if stream is not None else None
        if stream is None or rows is None:
            return
        mimetype = str(resource.get("mimetype", ""))
        if not mimetype.startswith(HDF5) and "HDF5" not in asset.spec.upper():
            kind = mimetype or asset.spec
            raise Refused("missing_fields", f"{name} is in a file of type {kind}, not {HDF5[0]}")
        indices: Mapping[str, Any] = datum["indices"]
        numbers: Mapping[str, Any] = datum.get("seq_nums") or {}
        first, end = int(indices["start"]), int(indices["stop"])
        if end * stream.rows > LARGEST:
            raise Refused(
                "file", f"{name} announces {end * stream.rows} rows, at most {LARGEST} are read"
            )
        options = asset.options
        dataset = str(options.get("dataset") or options.get("path") or "")
        seq = int(numbers["start"]) if _spans(numbers) == end - first else None
        path = self._path(name, asset.root, asset.path)
        begin = rows.announce(uid, path, dataset, first, end, seq)
        if begin <= stream.read:
            stream.again.append((begin, min(begin + end - first, stream.read + 1)))

    def _path(self, name: str, root: str, stated: str) -> Path:
        layout = self._layout
        try:
            return resolve(root, stated, layout.root_map, layout.allowed_roots)
        except Refused as refused:
            raise Refused(refused.name, f"{name}: {refused.message}") from refused

    # ---- points ----------------------------------------------------------------------

    def _read(self) -> list[Reading]:
        """Return the points, of all fields, that have come since the last call."""
        stream = self._stream
        if stream is None:
            return []
        begin, ready = stream.read + 1, stream.reach() + 1
        if self._skips and ready == begin and stream.last() <= LARGEST:
            stream.read = stream.before_next()
            begin, ready = stream.read + 1, stream.reach() + 1
        reading, count = self._points(stream, begin, ready)
        stream.read += count
        return [reading] if reading is not None else []

    def _reread(self) -> list[Reading]:
        """Return the points that were measured again and are in the files."""
        stream, found = self._stream, list[Reading]()
        if stream is None or not stream.again:
            return found
        wanted, stream.again = stream.again, []
        for begin, end in wanted:
            reading, count = self._points(stream, begin, end)
            if reading is not None:
                found.append(reading)
            if begin + count < end:
                stream.again.append((begin + count, end))
        return found

    def _beyond_gaps(self) -> list[Reading]:
        """Return what there is after events that some field lacks."""
        stream, found = self._stream, list[Reading]()
        if stream is None or self._problem is not None or stream.last() > LARGEST:
            return found
        begin = stream.read + 1
        while begin <= stream.last():
            end = begin
            while stream.knows(end):
                end += 1
            reading, _ = self._points(stream, begin, end)
            if reading is not None:
                found.append(reading)
            begin = end + 1
        return found

    def _points(self, stream: _Stream, begin: int, end: int) -> tuple[Reading | None, int]:
        """Return a reading of some events, and how many it has; fewer where a file lacks rows."""
        if end <= begin:
            return None, 0
        columns: dict[str, Floats] = {}
        for name, values in stream.values.items():
            known = [values.get(number, np.nan) for number in range(begin, end)]
            columns[name] = np.array(known)
        try:
            for name, rows in stream.files.items():
                columns[name] = _in_files(name, rows, begin, end, stream.rows)
        except Refused as refused:
            if refused.name == "outside_roots":
                raise
            # A file may come after its announcement; the next call tries again.
            self._problem = refused.refusal
            return None, 0
        count = min(values.size for values in columns.values()) // stream.rows
        self._problem = None
        if count < end - begin:
            short = min(columns, key=lambda name: columns[name].size)
            there, wanted = ((at + count if at == begin else at) - 1 for at in (begin, end))
            path = stream.files[short].path_of(begin + count)
            self._problem = Refusal(
                "file",
                f"{short}: {path}: {there * stream.rows} rows, "
                f"{wanted * stream.rows} were announced",
            )
        if not count:
            return None, 0
        points = count * stream.rows
        read = {
            role: [columns[name][:points] for name in names] for role, names in stream.roles.items()
        }
        signals = {role: np.sum(values, axis=0) for role, values in read.items()}
        energy, limits = signals.pop("energy"), limits_of(self._layout.limits, stream.roles)
        events = EventNumbers(
            self._layout.stream,
            range(begin, begin + count),
            [stream.time] * count,
            [stream.rows] * count if stream.rows > 1 else None,
        )
        reading = Reading(
            energy * stream.unit,
            absorption(**signals),
            stream.time,
            levels=levels_of(limits, read),
            limits=limits,
            events=events,
            problem=self._bad,
        )
        return reading, count

    def _join(self, readings: list[Reading]) -> Reading | None:
        """Return one reading now; others, of points that were measured again, at the end."""
        *others, last = readings or [None]
        self._kept += [reading for reading in others if reading is not None]
        return last


def _in_files(name: str, rows: Rows, begin: int, end: int, each: int) -> Floats:
    """Return a field's rows of some events, up to the first that its file does not hold."""
    found: list[Floats] = []
    for piece in rows.pieces(begin, end):
        try:
            values = read_rows(piece.path, piece.dataset, piece.begin * each, piece.end * each)
        except Refused as refused:
            message = f"{name}: {piece.path}: {refused.message}"
            raise Refused(refused.name, message) from refused
        found.append(values)
        if values.size < (piece.end - piece.begin) * each:
            break
    return np.concatenate(found) if found else np.empty(0)


def _rows_of(name: str, shape: Any) -> int:
    """Return how many rows of a file an event has; one where its data key does not say."""
    sizes: list[Any] = [*shape] if isinstance(shape, (list, tuple)) and shape else [None]
    first, *others = sizes
    if any(size != 1 for size in others):
        raise Refused(
            "missing_fields",
            f"{name} has {len(others)} axes beside its rows; the layout reads one value a row",
        )
    return max(first, 1) if isinstance(first, int) else 1


def _spans(numbers: Mapping[str, Any]) -> int:
    """Return how many events a range of numbers has; -1 where it is no range from 1 on."""
    begin, end = numbers.get("start"), numbers.get("stop")
    if not isinstance(begin, int) or not isinstance(end, int) or begin < 1:
        return -1
    return end - begin
