"""Read fly scans that arrive whole: one event a complete scan, energies in another stream.

TES emits them so: the stream of the energies comes first and holds one event for
all scans of the run.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np

from rankaae_stream.errors import Refused
from rankaae_stream.files.run_writer import Documents, RunWriter, array
from rankaae_stream.layouts.base import Document, EventNumbers, Field, Reading, Scan
from rankaae_stream.layouts.rehearsal import names_played, within
from rankaae_stream.layouts.signals import (
    check_roles,
    energy_unit,
    event_numbers,
    find_roles,
    limits_of,
    names_of,
    no_stream,
    numbers,
    times_of,
)
from rankaae_stream.spectrum import Floats, Limits, absorption

__all__ = ["TesLayout"]


@dataclass(frozen=True, slots=True)
class TesLayout:
    """Field names of whole scans; of several the first that a run has is used.

    Attributes
    ----------
    stream, energy_stream : str
        Event streams of the scans and of their energies.
    energy : sequence of str
        Mean energies of the scan's pixels, eV.
    i0, it, ir, fluorescence, pips : sequence of str
        Arrays with one value a pixel; further axes, such as the channels of a
        detector, are summed.
    limits : mapping of Limits
        By role, of a pixel's value as it is read; of a detector's channels the highest counts.
    """

    stream: str
    energy_stream: str
    energy: Sequence[str]
    i0: Sequence[str]
    it: Sequence[str] = ()
    ir: Sequence[str] = ()
    fluorescence: Sequence[str] = ()
    pips: Sequence[str] = ()
    limits: Mapping[str, Limits] = field(default_factory=dict[str, Limits])

    def open(self, start: Document) -> "_TesReader":
        """Begin a run."""
        del start  # the descriptors state the fields
        return _TesReader(self)

    def fields(self) -> list[Field]:
        """Return the names of the fields; see `layouts.base.NamingLayout`."""
        roles = ("i0", "it", "ir", "fluorescence", "pips")
        energy = Field("energy", self.energy, self.energy_stream, "energy_stream")
        return [energy, *(Field(role, getattr(self, role), self.stream) for role in roles)]

    def rehearse(self, scan: Scan, folder: Path) -> Documents:
        """Write the energies, then one event a sweep, all in one direction; no file."""
        del folder
        run, axis = RunWriter(f"check/{scan.name}", scan.start), self.energy[0]
        run.stream(self.energy_stream, {axis: array(scan.energy.size)})
        run.event(self.energy_stream, {axis: scan.energy.tolist()})
        columns: dict[str, Any] = {}
        for role, (name,) in names_played(self.fields(), scan).items():
            signal = within(self.limits, role, scan.signals[role])
            # A detector has two channels, which are summed.
            channels = [0.6 * signal, 0.4 * signal] if role == "fluorescence" else None
            columns[name] = (np.column_stack(channels) if channels else signal).tolist()
        run.stream(self.stream, {name: array(*np.shape(col)) for name, col in columns.items()})
        for _ in range(scan.sweeps):
            run.event(self.stream, columns, 30.0)
        run.stop()
        return run.documents


class _TesReader:
    def __init__(self, layout: TesLayout) -> None:
        self._layout = layout
        self._axis: Floats | None = None
        self._axes: dict[str, tuple[str, float]] = {}
        self._signals: dict[str, dict[str, str]] = {}
        self._waiting: list[Reading] = []
        self._streams: list[str] = []

    def feed(self, name: str, doc: Document) -> Reading | None:
        if name == "descriptor":
            self._describe(doc)
        elif name in ("event", "event_page"):
            if doc["descriptor"] in self._axes:
                axis, unit = self._axes[doc["descriptor"]]
                self._axis = np.ravel(numbers(next(_events(name, doc))["data"], axis)) * unit
                return self._take(())
            signals = self._signals.get(doc["descriptor"])
            if signals is not None:
                limits = limits_of(self._layout.limits, {r: (k,) for r, k in signals.items()})
                stream, events = self._layout.stream, _events(name, doc)
                return self._take(_scan(signals, stream, event, limits) for event in events)
        return None

    def used(self) -> dict[str, str]:
        """Return where each role was found; see `layouts.base.NamingReader`."""
        layout, found = self._layout, dict[str, str]()
        for energy, _ in self._axes.values():
            found.update(names_of(layout.energy_stream, {"energy": (energy,)}))
        for signals in self._signals.values():
            found.update(names_of(layout.stream, {role: (key,) for role, key in signals.items()}))
        return found

    def missing(self) -> str:
        layout = self._layout
        if self._waiting:
            return f"stream {layout.energy_stream!r} holds no event with the scan's energies"
        if self._signals:
            return "the run ended before its first complete scan"
        return no_stream(layout.stream, self._streams)

    def _describe(self, doc: Document) -> None:
        layout, stream, uid = self._layout, str(doc.get("name", "")), doc["uid"]
        self._streams.append(stream)
        # What is written to a file has no values in the events.
        keys = {key: value for key, value in doc["data_keys"].items() if "external" not in value}
        if stream == layout.energy_stream:
            found = find_roles(layout.fields(), keys, ("energy",))
            check_roles(stream, layout.fields(), found, keys, ("energy",), ())
            (axis,) = found["energy"]
            self._axes[uid] = axis, energy_unit(keys, axis)
        elif stream == layout.stream:
            found = find_roles(layout.fields(), keys, ("i0", "it", "ir", "fluorescence", "pips"))
            check_roles(stream, layout.fields(), found, keys, ("i0",))
            self._signals[uid] = {role: key for role, (key,) in found.items()}

    def _take(self, scans: Iterator[Reading] | tuple[()]) -> Reading | None:
        """Join scans in time order once their energies are known; None until then."""
        self._waiting.extend(scans)
        if self._axis is None or not self._waiting:
            return None
        ready, self._waiting = self._waiting, []
        axes = [self._axis[: next(iter(scan.mu.values())).size] for scan in ready]

        def join(parts: list[Mapping[Any, Floats]]) -> dict[Any, Floats]:
            cut = [(part, axis.size) for part, axis in zip(parts, axes, strict=True)]
            return {name: np.concatenate([part[name][:n] for part, n in cut]) for name in parts[0]}

        mu, levels = join([scan.mu for scan in ready]), join([scan.levels for scan in ready])
        problem = next((scan.problem for scan in ready if scan.problem), "")
        events = _numbers(ready, [axis.size for axis in axes])
        energy = np.concatenate(axes)
        return replace(
            ready[-1], energy=energy, mu=mu, levels=levels, events=events, problem=problem
        )


def _scan(
    signals: Mapping[str, str], stream: str, event: Document, limits: Mapping[str, Limits]
) -> Reading:
    """Return one scan's mu, its energies still unknown.

    A scan that was ended early has fewer pixels in some column than in another;
    they all belong to its beginning. One without a signal has no mu.
    """
    found: dict[str, Floats] = {}
    problem = ""
    for role, key in signals.items():
        try:
            found[role] = _pixels(numbers(event["data"], key))
        except Refused as refused:
            problem = problem or refused.message
    pixels = min((values.shape[0] for values in found.values()), default=1)
    nothing = np.full((pixels, 1), np.nan)
    columns = {role: found.get(role, nothing)[:pixels] for role in signals}
    return Reading(
        np.empty(0),
        absorption(**{role: values.sum(axis=1) for role, values in columns.items()}),
        times_of(event, None)[0],
        levels={role: np.abs(columns[role]).max(axis=1) for role in limits},
        limits=limits,
        events=event_numbers(stream, event, None),
        problem=problem,
    )


def _numbers(scans: Sequence[Reading], points: Sequence[int]) -> EventNumbers | None:
    """Return the numbers of several scans with so many points; None where one has none."""
    numbered = [scan.events for scan in scans if scan.events is not None]
    if len(numbered) < len(scans):
        return None
    seq = [number for events in numbered for number in events.seq]
    times = [scan.time for scan in scans]
    return EventNumbers(numbered[0].stream, seq, times, points, whole=True)


def _pixels(values: Floats) -> Floats:
    """Return the values of each pixel, (pixels, channels)."""
    array = np.atleast_1d(values)
    return array.reshape(array.shape[0], -1)


def _events(name: str, doc: Document) -> Iterator[Document]:
    """Yield the events in a document."""
    if name == "event":
        yield doc
        return
    for i, time in enumerate(doc["time"]):
        data = {key: values[i] for key, values in doc["data"].items()}
        number = doc["seq_num"][i] if "seq_num" in doc else None
        yield {"data": data, "time": time, "seq_num": number}
