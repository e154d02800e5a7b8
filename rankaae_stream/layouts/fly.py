"""Read fly scans of ophyd-async, whose points are in HDF5 files that grow.

The documents carry no values. A ``stream_resource`` names the file and data set
of each field, and every ``stream_datum`` announces more of its rows.
A row is read when all fields have it; sweeps may follow each other in one stream.
Rows that are not in the file when the run ends are waited for.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from rankaae_stream.errors import Refusal, Refused
from rankaae_stream.files.frames import read_rows
from rankaae_stream.files.resolve import path_of_uri, resolve
from rankaae_stream.files.run_writer import Documents, RunWriter, write_rows
from rankaae_stream.layouts.base import Document, Field, Reading, Scan
from rankaae_stream.layouts.rehearsal import examples, names_played, passes, within
from rankaae_stream.layouts.signals import (
    check_roles,
    find_roles,
    levels_of,
    limits_of,
    match_all,
    names_of,
    no_stream,
)
from rankaae_stream.report import Flag
from rankaae_stream.spectrum import Channel, Floats, Limits, absorption

__all__ = ["FlyLayout"]

HDF5 = "application/x-hdf5"
LARGEST = 10_000_000
"""Rows of one field that a run may have: 80 MB, and an hour at 3 kHz."""


@dataclass(frozen=True, slots=True)
class FlyLayout:
    """Field names of a fly scan; of several the first that a run has is used.

    Attributes
    ----------
    stream : str
        Stream that holds the scan.
    energy, i0, it, ir, pips : sequence of str
        As in `StepLayout`, one value a row; energies in eV.
    fluorescence : sequence of str
        Fields or patterns whose sum is the fluorescence signal.
    root_map, allowed_roots
        See `files.resolve.resolve`.
    limits : mapping of Limits
        By role, of a field as it is read; of several fluorescence fields the highest counts.
    """

    stream: str
    energy: Sequence[str]
    i0: Sequence[str]
    it: Sequence[str] = ()
    ir: Sequence[str] = ()
    fluorescence: Sequence[str] = ()
    pips: Sequence[str] = ()
    allowed_roots: Sequence[str] = ()
    root_map: Mapping[str, str] = field(default_factory=dict[str, str])
    limits: Mapping[str, Limits] = field(default_factory=dict[str, Limits])

    def open(self, start: Document) -> "_FlyReader":
        """Begin a run."""
        del start  # the descriptor states the fields
        return _FlyReader(self)

    def fields(self) -> list[Field]:
        """Return the names of the fields; see `layouts.base.NamingLayout`."""
        roles = ("energy", "i0", "it", "ir", "fluorescence", "pips")
        return [Field(role, getattr(self, role), self.stream) for role in roles]

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
class _Field:
    """One field's file, and how many of its rows are announced: `rows` for each event."""

    rows: int
    path: Path = Path()
    dataset: str = ""
    announced: int = 0


@dataclass(slots=True)
class _Stream:
    """The scan's descriptor: fields by role and by name."""

    time: float
    roles: dict[str, tuple[str, ...]]
    fields: dict[str, _Field] = field(default_factory=dict[str, _Field])


class _FlyReader:
    def __init__(self, layout: FlyLayout) -> None:
        self._layout = layout
        self._stream: _Stream | None = None
        self._resources: dict[str, Document] = {}
        self._done = 0
        self._kept: list[Reading] = []
        self._problem: Refusal | None = None
        self._streams: list[str] = []

    def feed(self, name: str, doc: Document) -> Reading | None:
        if name == "descriptor":
            self._streams.append(str(doc.get("name", "")))
            if doc.get("name") == self._layout.stream:
                self._stream = self._describe(doc)
        elif name == "stream_resource":
            self._resources[doc["uid"]] = doc
        elif name == "stream_datum":
            self._announce(doc)
        return self._read()

    def used(self) -> dict[str, str]:
        """Return where each role was found; see `layouts.base.NamingReader`."""
        return names_of(self._layout.stream, self._stream.roles) if self._stream else {}

    def missing(self) -> str:
        if self._problem is not None:
            raise self._problem.error()
        if self._stream is not None:
            silent = [name for name, item in self._stream.fields.items() if not item.announced]
            no_rows = f": no stream_datum announced rows of {', '.join(silent)}" if silent else ""
            return f"the run ended before its first point{no_rows}"
        return no_stream(self._layout.stream, self._streams)

    def collect(self, *, last: bool) -> Sequence[Reading] | None:
        reading = self._read()
        if reading is not None:
            self._kept.append(reading)
        if self._problem is None:
            return self._kept
        if not last:
            return None
        if self._done:
            self._kept.append(self._truncated(self._problem))
        return self._kept

    def _truncated(self, problem: Refusal) -> Reading:
        """Return a reading without points that flags those before as incomplete."""
        flag = Flag("truncated_file", "warning", None, "", problem.message)
        channels: tuple[Channel, ...] = ("transmission", "fluorescence", "pips")
        time = self._stream.time if self._stream is not None else 0.0
        return Reading(np.empty(0), {}, time, flags=dict.fromkeys(channels, (flag,)))

    def _describe(self, doc: Document) -> _Stream:
        layout, keys = self._layout, doc["data_keys"]
        roles = find_roles(layout.fields(), keys, ("energy", "i0", "it", "ir", "pips"))
        sums = match_all(layout.fluorescence, keys)
        if sums:
            roles["fluorescence"] = sums
        check_roles(layout.stream, layout.fields(), roles, keys)
        stream = _Stream(float(doc["time"]), roles)
        for name in (name for names in roles.values() for name in names):
            shape = keys[name].get("shape") or [1]
            if len(shape) > 1:
                raise Refused(
                    "missing_fields",
                    f"{name} has {len(shape) - 1} axes beside its rows; the layout reads one "
                    "value a row",
                )
            stream.fields[name] = _Field(rows=int(shape[0]))
        return stream

    def _announce(self, datum: Document) -> None:
        resource = self._resources.get(datum["stream_resource"])
        if resource is None or self._stream is None:
            return
        name = resource["data_key"]
        wanted = self._stream.fields.get(name)
        if wanted is None:
            return
        if resource["mimetype"] != HDF5:
            raise Refused(
                "missing_fields", f"{name} is in a file of type {resource['mimetype']}, not {HDF5}"
            )
        if not wanted.announced:
            wanted.path = self._path(name, resource)
            wanted.dataset = str(resource["parameters"].get("dataset", ""))
        wanted.announced = int(datum["indices"]["stop"]) * wanted.rows
        if wanted.announced > LARGEST:
            raise Refused(
                "file", f"{name} announces {wanted.announced} rows, at most {LARGEST} are read"
            )

    def _path(self, name: str, resource: Document) -> Path:
        layout = self._layout
        try:
            stated = path_of_uri(resource["uri"])
            return resolve("", stated, layout.root_map, layout.allowed_roots)
        except Refused as refused:
            raise Refused(refused.name, f"{name}: {refused.message}") from refused

    def _read(self) -> Reading | None:
        """Return the rows, of all fields, that have come since the last call."""
        stream = self._stream
        if stream is None or not stream.fields:
            return None
        ready = min(item.announced for item in stream.fields.values())
        if ready <= self._done:
            return None
        columns: dict[str, Floats] = {}
        for name, item in stream.fields.items():
            try:
                columns[name] = read_rows(item.path, item.dataset, self._done, ready)
            except Refused as refused:
                message = f"{name}: {item.path}: {refused.message}"
                if refused.name == "outside_roots":
                    raise Refused(refused.name, message) from refused
                # A file may come after its announcement; the next call tries again.
                self._problem = Refusal(refused.name, message)
                return None
        count = min(column.size for column in columns.values())
        if count < ready - self._done:
            short = min(columns, key=lambda name: columns[name].size)
            self._problem = Refusal(
                "file",
                f"{short}: {stream.fields[short].path}: {self._done + count} rows, "
                f"{ready} were announced",
            )
        else:
            self._problem = None
        if not count:
            return None
        self._done += count
        read = {
            role: [columns[name][:count] for name in names] for role, names in stream.roles.items()
        }
        signals = {role: np.sum(values, axis=0) for role, values in read.items()}
        energy, limits = signals.pop("energy"), limits_of(self._layout.limits, stream.roles)
        return Reading(
            energy,
            absorption(**signals),
            stream.time,
            levels=levels_of(limits, read),
            limits=limits,
        )
