"""Read any step scan: one event a point, named fields for energy and signals."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal, cast

import numpy as np

from rankaae_stream.errors import Refused
from rankaae_stream.files.run_writer import Documents, RunWriter, number
from rankaae_stream.layouts.base import Document, Field, Reading, Scan, value_at
from rankaae_stream.layouts.rehearsal import examples, names_played, passes, put, within
from rankaae_stream.layouts.signals import (
    NamedSignals,
    check_roles,
    column,
    energy_unit,
    event_count,
    event_numbers,
    find_signals,
    first,
    first_dimension,
    in_events,
    levels_of,
    limits_of,
    names_of,
    no_stream,
    times_of,
)
from rankaae_stream.spectrum import Floats, Limits, absorption

__all__ = ["Role", "StepLayout"]

Role = Literal["i0", "it", "ir", "fluorescence", "pips"]


@dataclass(frozen=True, slots=True)
class StepLayout(NamedSignals):
    """Field names of a step scan; of several the first that a run has is used.

    Attributes
    ----------
    stream : str
        Event stream that holds the scan; others, such as a baseline, are not read.
    energy, i0, it, ir : sequence of str
        Monochromator energy in eV, or in keV where the data key's units are keV, and the ion
        chambers before the sample, after it, and after the reference foil. Where
        no `energy` is present the scan's own first dimension is taken
        (``hints.dimensions``), unless its unit is no energy.
    fluorescence : sequence of str, or sequence of those
        Detector fields whose sum is the fluorescence signal: all names must be
        there; a pattern (``xs_channel*_roi01``) means all that fit. Of
        several such lists the first that a run has is used.
    fluorescence_from : sequence of str
        Dotted keys of the start document that list those fields, before
        `fluorescence`.
    pips : sequence of str
        Diode or drain current, divided by i0 as the fluorescence is.
    dwell : sequence of str
        Exposure of a point, s.
    integrated : sequence of Role
        Signals that are sums over the exposure, in nA s or counts, and are
        divided by `dwell`. It matters only where the others are rates: a ratio of
        two sums, or of two rates, is right as it is.
    offsets : mapping of str
        What to subtract from a field: its key in the descriptor's configuration.
    limits : mapping of Limits
        By role, for a field as it is read, before its offset is subtracted; a sum over
        the exposure is divided by `dwell` first. Of several fluorescence fields the
        highest counts.
    """

    fluorescence_from: Sequence[str] = ()
    dwell: Sequence[str] = ()
    integrated: Sequence[Role] = ()
    offsets: Mapping[str, str] = field(default_factory=dict[str, str])

    def open(self, start: Document) -> "_StepReader":
        """Begin a run."""
        return _StepReader(self, start)

    def fields(self) -> list[Field]:
        """Return the names of the fields; see `layouts.base.NamingLayout`."""
        named = NamedSignals.fields(self)  # super() would need the class without slots
        return [*named, Field("fluorescence_from", self.fluorescence_from, None)]

    def rehearse(self, scan: Scan, folder: Path) -> Documents:
        """Write one event a point, and the configuration that holds the offsets; no file."""
        del folder
        start, names = dict(scan.start), names_played(self.fields(), scan)
        axis = self.energy[0] if self.energy else "energy"
        start["hints"] = {"dimensions": [[[axis], self.stream]]}
        sums = self._sums_played(start)
        if sums and "fluorescence" in scan.signals:
            names["fluorescence"] = sums
        order = passes(scan)
        columns, configured = {axis: scan.energy[order]}, dict[str, float]()
        exposure = np.linspace(0.5, 2.0, scan.energy.size)[order]
        if self.dwell:
            columns[self.dwell[0]] = exposure
        for role, summed in names.items():
            signal = within(self.limits, role, scan.signals[role])[order]
            if self.dwell and role in self.integrated:
                signal = signal * exposure
            for name in summed:
                columns[name] = signal / len(summed)
                if name in self.offsets:
                    configured[self.offsets[name]] = 2.0
                    columns[name] = columns[name] + 2.0
        run = RunWriter(f"check/{scan.name}", start)
        keys = {name: number("eV" if name == axis else "") for name in columns}
        device = {
            "data": configured,
            "timestamps": dict.fromkeys(configured, run.time),
            "data_keys": {key: number() for key in configured},
        }
        keys = {name: {**key, "object_name": "x"} for name, key in keys.items()}
        run.stream(self.stream, keys, {"x": device})
        run.events(self.stream, columns)
        run.stop()
        return run.documents

    def _sums_played(self, start: dict[str, Any]) -> tuple[str, ...]:
        """Return fluorescence fields; where the start document lists them it is made to."""
        if self.fluorescence_from:
            names = ("fluorescence_1", "fluorescence_2")
            put(start, self.fluorescence_from[0], list(names))
            return names
        lists = _lists(self)
        return examples(lists[0]) if lists else ()


@dataclass(frozen=True, slots=True)
class _Fields:
    """What one descriptor has: fields and limits by role, offsets by field.

    `unit` is one unit of the energy field in eV.
    """

    energy: str
    unit: float
    signals: Mapping[str, tuple[str, ...]]
    dwell: str | None
    offsets: Mapping[str, float]
    limits: Mapping[str, Limits]


class _StepReader:
    def __init__(self, layout: StepLayout, start: Document) -> None:
        self._layout = layout
        self._dimension = first_dimension(start, layout.stream)
        self._sums = _alternatives(layout, start)
        self._fields: dict[str, _Fields] = {}
        self._streams: list[str] = []

    def feed(self, name: str, doc: Document) -> Reading | None:
        if name == "descriptor":
            self._streams.append(str(doc.get("name", "")))
            if doc.get("name") == self._layout.stream:
                self._fields[doc["uid"]] = self._resolve(doc)
        elif name in ("event", "event_page"):
            fields = self._fields.get(doc["descriptor"])
            if fields is not None:
                return self._reading(fields, name, doc)
        return None

    def used(self) -> dict[str, str]:
        """Return where each role was found; see `layouts.base.NamingReader`."""
        found: dict[str, str] = {}
        for fields in self._fields.values():
            named = {"energy": (fields.energy,), **fields.signals}
            if fields.dwell is not None and self._layout.integrated:
                named["dwell"] = (fields.dwell,)
            found.update(names_of(self._layout.stream, named))
        return found

    def missing(self) -> str:
        if self._fields:
            return "the run ended before its first point"
        return no_stream(self._layout.stream, self._streams)

    def _resolve(self, descriptor: Document) -> _Fields:
        layout, keys = self._layout, in_events(descriptor["data_keys"])
        signals = find_signals(layout.fields(), keys, self._dimension, self._sums)
        fields = [*layout.fields(), Field("fluorescence", self._sums)]
        try:
            check_roles(layout.stream, fields, signals, keys)
        except Refused as refused:
            files = [key for key in descriptor["data_keys"] if key not in keys]
            where = f"; a layout of kind fly reads files: {', '.join(files)}" if files else ""
            raise Refused(refused.name, refused.message + where) from refused
        (energy,) = signals.pop("energy")
        return _Fields(
            energy,
            energy_unit(keys, energy),
            signals,
            first(layout.dwell, keys),
            _offsets(layout, signals, descriptor),
            limits_of(layout.limits, signals),
        )

    def _reading(self, fields: _Fields, name: str, doc: Document) -> Reading:
        count = event_count(name, doc)
        found = doc.get("data")
        data = cast("Document", found if isinstance(found, Mapping) else {})
        problem = ""

        def values(key: str) -> Floats:
            nonlocal problem
            read, why = column(data, key, count)
            problem = problem or why
            return read

        signals: dict[str, Floats] = {}
        read: dict[str, list[Floats]] = {}
        for role, names in fields.signals.items():
            columns = [values(key) for key in names]
            signal = np.sum(
                [c - fields.offsets.get(key, 0.0) for c, key in zip(columns, names, strict=True)],
                axis=0,
            )
            if fields.dwell is not None and role in self._layout.integrated:
                dwell = values(fields.dwell)
                with np.errstate(divide="ignore", invalid="ignore"):
                    signal = signal / dwell
                    columns = [column / dwell for column in columns]
            signals[role], read[role] = signal, columns
        events = event_numbers(self._layout.stream, doc, count)
        return Reading(
            values(fields.energy) * fields.unit,
            absorption(**signals),
            max(events.time if events else times_of(doc, count), default=0.0),
            levels=levels_of(fields.limits, read),
            limits=fields.limits,
            events=events,
            problem=problem,
        )


def _alternatives(layout: StepLayout, start: Document) -> list[tuple[str, ...]]:
    """Return the lists of fields to sum, the start document's own before the profile's."""
    stated = [names for key in layout.fluorescence_from if (names := _names(start, key))]
    return [*stated, *_lists(layout)]


def _lists(layout: StepLayout) -> list[tuple[str, ...]]:
    """Return the profile's lists of fields to sum; plain names are one list."""
    flat = [name for name in layout.fluorescence if isinstance(name, str)]
    nested = [tuple(names) for names in layout.fluorescence if not isinstance(names, str)]
    return [*([tuple(flat)] if flat else []), *nested]


def _names(start: Document, key: str) -> tuple[str, ...]:
    """Return the field names that a dotted start key lists."""
    value = value_at(start, key)
    if isinstance(value, str):
        value = (value,)
    return tuple(map(str, cast("Sequence[Any]", value))) if isinstance(value, (list, tuple)) else ()


def _offsets(
    layout: StepLayout, signals: Mapping[str, tuple[str, ...]], descriptor: Document
) -> dict[str, float]:
    """Return the offset of each field that has one.

    Raises
    ------
    Refused
        ``missing_fields`` where the descriptor's configuration does not hold it.
    """
    configured = {
        key: value
        for device in descriptor.get("configuration", {}).values()
        for key, value in device.get("data", {}).items()
    }
    offsets: dict[str, float] = {}
    for name in (name for names in signals.values() for name in names):
        key = layout.offsets.get(name)
        if key is None:
            continue
        if key not in configured:
            raise Refused(
                "missing_fields",
                f"the configuration of stream {layout.stream!r} has no {key}, the offset of "
                f"{name}; take it out of layout.offsets if there is none",
            )
        offsets[name] = float(np.ravel(configured[key])[0])
    return offsets
