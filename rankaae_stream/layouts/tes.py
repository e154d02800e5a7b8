"""Read fly scans that arrive whole: one event a complete scan, energies in another stream.

TES emits them so: the stream of the energies comes first and holds one event for
all scans of the run.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np

from rankaae_stream.files.run_writer import Documents, RunWriter, array
from rankaae_stream.layouts.base import Document, Field, Reading, Scan
from rankaae_stream.layouts.rehearsal import names_played, within
from rankaae_stream.layouts.signals import (
    check_roles,
    find_roles,
    limits_of,
    names_of,
    no_stream,
    numbers,
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
        self._axes: dict[str, str] = {}
        self._signals: dict[str, dict[str, str]] = {}
        self._waiting: list[Reading] = []
        self._streams: list[str] = []

    def feed(self, name: str, doc: Document) -> Reading | None:
        if name == "descriptor":
            self._describe(doc)
        elif name in ("event", "event_page"):
            if doc["descriptor"] in self._axes:
                data, _ = next(_rows(name, doc))
                self._axis = np.ravel(numbers(data, self._axes[doc["descriptor"]]))
                return self._take(())
            signals = self._signals.get(doc["descriptor"])
            if signals is not None:
                limits = limits_of(self._layout.limits, {r: (k,) for r, k in signals.items()})
                rows = _rows(name, doc)
                return self._take(_scan(signals, data, time, limits) for data, time in rows)
        return None

    def used(self) -> dict[str, str]:
        """Return where each role was found; see `layouts.base.NamingReader`."""
        layout, found = self._layout, dict[str, str]()
        for energy in self._axes.values():
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
            (self._axes[uid],) = found["energy"]
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
        return replace(ready[-1], energy=np.concatenate(axes), mu=mu, levels=levels)


def _scan(
    signals: Mapping[str, str], data: Mapping[str, Any], time: float, limits: Mapping[str, Limits]
) -> Reading:
    """Return one scan's mu, its energies still unknown.

    A scan that was ended early has fewer pixels in some column than in another;
    they all belong to its beginning.
    """
    columns = {role: _pixels(numbers(data, key)).sum(axis=1) for role, key in signals.items()}
    pixels = min(column.size for column in columns.values())
    columns = {role: column[:pixels] for role, column in columns.items()}
    levels = {
        role: np.abs(_pixels(numbers(data, signals[role]))).max(axis=1)[:pixels] for role in limits
    }
    return Reading(np.empty(0), absorption(**columns), time, levels=levels, limits=limits)


def _pixels(values: Floats) -> Floats:
    """Return the values of each pixel, (pixels, channels)."""
    array = np.atleast_1d(values)
    return array.reshape(array.shape[0], -1)


def _rows(name: str, doc: Document) -> Iterator[tuple[Mapping[str, Any], float]]:
    """Yield data and time of each event in a document."""
    if name == "event":
        yield doc["data"], float(doc["time"])
        return
    for i, time in enumerate(doc["time"]):
        yield {key: values[i] for key, values in doc["data"].items()}, float(time)
