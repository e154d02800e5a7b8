"""Any step scan: one event a point, named fields for energy and ion chambers."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from rankaae_stream.errors import Refused
from rankaae_stream.layouts.base import Document, Reading
from rankaae_stream.spectrum import Channel, Floats

__all__ = ["StepLayout"]


@dataclass(frozen=True, slots=True)
class StepLayout:
    """Field names of a step scan; of several the first that a run has is used.

    Attributes
    ----------
    stream : str
        Event stream that holds the scan.
    energy, i0, it, ir : sequence of str
        Monochromator energy in eV and the ion chambers before the sample, after
        it, and after the reference foil. Where no `energy` is present the scan's
        own first dimension is taken (``hints.dimensions``).
    fluorescence : sequence of str
        Detector fields whose sum is the fluorescence signal; all must be there.
    """

    stream: str
    energy: Sequence[str]
    i0: Sequence[str]
    it: Sequence[str] = ()
    ir: Sequence[str] = ()
    fluorescence: Sequence[str] = ()

    def open(self, start: Document) -> "_StepReader":
        """Begin a run."""
        return _StepReader(self, start)


@dataclass(frozen=True, slots=True)
class _Fields:
    """The fields one descriptor really has."""

    energy: str
    i0: str
    it: str | None
    ir: str | None
    fluorescence: tuple[str, ...]


class _StepReader:
    def __init__(self, layout: StepLayout, start: Document) -> None:
        self._layout = layout
        self._dimension = _first_dimension(start, layout.stream)
        self._fields: dict[str, _Fields] = {}
        self._streams: list[str] = []

    def feed(self, name: str, doc: Document) -> Reading | None:
        if name == "descriptor":
            self._streams.append(str(doc.get("name", "")))
            if doc.get("name") == self._layout.stream:
                self._fields[doc["uid"]] = self._resolve(doc["data_keys"])
        elif name in ("event", "event_page"):
            fields = self._fields.get(doc["descriptor"])
            if fields is not None:
                return _reading(fields, doc)
        return None

    def missing(self) -> str:
        if self._fields:
            return "the run ended before its first point"
        streams = ", ".join(self._streams) or "none"
        return f"the run has no stream {self._layout.stream!r}; its streams: {streams}"

    def _resolve(self, keys: Mapping[str, Any]) -> _Fields:
        layout = self._layout
        energy = _first(layout.energy, keys) or _first((self._dimension,), keys)
        i0 = _first(layout.i0, keys)
        it = _first(layout.it, keys)
        sums = tuple(layout.fluorescence)
        if any(key not in keys for key in sums):
            sums = ()
        absent = [
            f"{what} ({' or '.join(wanted)})"
            for what, wanted, found in (
                ("energy", layout.energy, energy),
                ("i0", layout.i0, i0),
                ("it or fluorescence", (*layout.it, *layout.fluorescence), it or sums),
            )
            if not found
        ]
        if energy is None or i0 is None or absent:
            raise Refused(
                "missing_fields",
                f"stream {layout.stream!r} has no {', no '.join(absent)}; "
                f"its fields are {', '.join(sorted(keys))}",
            )
        return _Fields(energy, i0, it, _first(layout.ir, keys), sums)


def _reading(fields: _Fields, doc: Document) -> Reading:
    data = doc["data"]
    energy, i0 = _column(data, fields.energy), _column(data, fields.i0)
    it = _column(data, fields.it) if fields.it else None
    mu: dict[Channel, Floats] = {}
    # Zero or negative currents give infinities and NaN on purpose: they are
    # counted and judged where the whole sweep is known.
    with np.errstate(divide="ignore", invalid="ignore"):
        if it is not None:
            mu["transmission"] = -np.log(it / i0)
            if fields.ir:
                mu["reference"] = -np.log(_column(data, fields.ir) / it)
        if fields.fluorescence:
            mu["fluorescence"] = (
                np.sum([_column(data, key) for key in fields.fluorescence], axis=0) / i0
            )
    return Reading(energy, mu, float(np.ravel(doc["time"])[-1]))


def _column(data: Mapping[str, Any], key: str) -> Floats:
    """One value of an event or a page's list of them, as floats (n,)."""
    return np.atleast_1d(np.asarray(data[key], dtype=float)).ravel()


def _first(wanted: Iterable[str | None], keys: Mapping[str, Any]) -> str | None:
    return next((key for key in wanted if key is not None and key in keys), None)


def _first_dimension(start: Document, stream: str) -> str | None:
    dimensions = start.get("hints", {}).get("dimensions", [])
    return next((keys[0] for keys, name in dimensions if name == stream and keys), None)
