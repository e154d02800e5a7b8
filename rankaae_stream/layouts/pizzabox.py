"""Read fly scans of the NSLS-II pizza boxes (ISS, QAS), whose data are in files.

No event holds a spectrum. While the monochromator moves, an electrometer and an
encoder write files; the documents that name them come at the end. So a run is read
when it is over, and late files are waited for: files, rows, sweeps, readings.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from rankaae_stream.edges import edge_of, find_edge, read_stated
from rankaae_stream.errors import Refused
from rankaae_stream.files.pizzabox import APB_CHANNELS, KINDS
from rankaae_stream.files.resolve import resolve
from rankaae_stream.files.run_writer import Documents
from rankaae_stream.layouts.arrival import Arrival, ScanFile
from rankaae_stream.layouts.assets import Assets
from rankaae_stream.layouts.base import Document, Field, Reading, Scan
from rankaae_stream.layouts.electrometer import Currents, number_of, text_of
from rankaae_stream.layouts.pizzabox_names import Frames, Monochromator, PizzaboxNames
from rankaae_stream.layouts.pizzabox_rehearsal import write_run
from rankaae_stream.layouts.pizzabox_rows import (
    Exposures,
    Rows,
    SweepBins,
    read_exposures,
    read_rows,
    split_sweeps,
)
from rankaae_stream.layouts.rebin import TURN, bin_rows, grid_edges
from rankaae_stream.layouts.signals import limits_of
from rankaae_stream.report import Flag
from rankaae_stream.spectrum import Channel, Floats, Limits

__all__ = ["Frames", "Monochromator", "PizzaboxLayout"]

EMISSION = 25.0
"""An e0 further than this from the element's edge is an emission line, eV; the
nearest one, K beta of Ti, lies 34 eV below."""


@dataclass(frozen=True, slots=True)
class PizzaboxLayout(PizzaboxNames):
    """Fly scans of one beamline; see `layouts.pizzabox_names.PizzaboxNames`."""

    def open(self, start: Document) -> "_PizzaboxReader":
        """Begin a run."""
        return _PizzaboxReader(self, start)

    def fields(self) -> list[Field]:
        """Return the files' data keys and the inputs; see `layouts.base.NamingLayout`."""
        files = [Field("analog", self.analog), Field("encoder", self.encoder)]
        return [*files, *(Field(role, (name,), None) for role, name in self.inputs.items())]

    def rehearse(self, scan: Scan, folder: Path) -> Documents:
        """Write a run and its files; see `layouts.pizzabox_rehearsal`."""
        return write_run(self, scan, folder)


class _PizzaboxReader:
    def __init__(self, layout: PizzaboxLayout, start: Document) -> None:
        self._layout = layout
        self._start = start
        self._assets = Assets()
        self._time = float(start.get("time", 0.0))
        self._arrival = Arrival()

    def feed(self, name: str, doc: Document) -> Reading | None:
        self._assets.feed(name, doc)
        if isinstance(doc.get("time"), (int, float, list)):
            self._time = max(self._time, float(np.max(doc["time"])))
        return None

    def used(self) -> dict[str, str]:
        """Return where each role was found; see `layouts.base.NamingReader`."""
        layout = self._layout
        analog, encoder = (
            next((key for key in keys if self._assets.of(key)), None)
            for keys in (layout.analog, layout.encoder)
        )
        found = {"energy": f"{encoder} with the start key {layout.angle_offset}"} if encoder else {}
        if analog:
            found |= {role: f"input {name} of {analog}" for role, name in layout.inputs.items()}
            for frames, files, trigger in reversed(self._detectors()):
                keys = " + ".join(file.key for file in files)
                found[frames.channel] = f"{keys}, triggered by {trigger.key}"
        return found

    def missing(self) -> str:
        return "the files hold no rows while the monochromator moved"

    def collect(self, *, last: bool) -> Sequence[Reading] | None:
        _check_edge(self._start)
        layout = self._layout
        analog = self._file(layout.analog, "apb")
        encoder = self._file(layout.encoder, "encoder")
        if analog is None or encoder is None:
            raise Refused("missing_fields", self._absent(analog))
        detectors = self._detectors()
        needed = [analog, encoder]
        optional = [file for _, files, trigger in detectors for file in (*files, trigger)]
        if not last and not self._arrival.settled([*needed, *optional]):
            return None
        angle_offset = number_of(self._start, layout.angle_offset)
        if angle_offset is None:
            raise Refused(
                "missing_fields",
                f"the start document has no number {layout.angle_offset!r}, without which the "
                "encoder has no energy",
            )
        rows = read_rows(analog, encoder, layout.mono, angle_offset)
        flags = list(rows.flags)
        if rows.unseen > TURN:
            if not last:
                return None
            flags.append(
                analog.truncated(f"{rows.unseen:.0f} eV of motion have no electrometer rows")
            )
        currents = Currents(layout.inputs, layout.offset, layout.gain, self._start)
        flags += currents.flags
        exposures: list[Exposures] = []
        for frames, files, trigger in detectors:
            paired, further = read_exposures(frames, files, trigger)
            flags += further
            exposures += [paired] if paired else []
        low, high = float(rows.energy.min()), float(rows.energy.max())
        edges = grid_edges(self._e0(rows, currents), low, high)
        replaced: set[Channel] = {item.frames.channel for item in exposures}
        return [
            self._reading(sweep, currents, replaced, flags)
            for sweep in split_sweeps(rows, currents.used, exposures, edges)
        ]

    # ---- files -----------------------------------------------------------------------

    def _file(self, keys: Sequence[str], kind: str = "") -> ScanFile | None:
        """Return the file of the first key that the run has."""
        for key in keys:
            asset = self._assets.of(key)
            if asset is None:
                continue
            if kind and asset.kind != kind:
                wanted = " or ".join(spec for spec, name in KINDS.items() if name == kind)
                raise Refused(
                    "wrong_spec",
                    f"{key} is a file of spec {asset.spec or 'unknown'!r}; this layout reads "
                    f"{wanted} there",
                )
            layout = self._layout
            try:
                path = resolve(asset.root, asset.path, layout.root_map, layout.allowed_roots)
            except Refused as refused:
                raise Refused(refused.name, f"{key}: {refused.message}") from refused
            return ScanFile(key, asset, path)
        return None

    def _detectors(self) -> list[tuple[Frames, list[ScanFile], ScanFile]]:
        """Return the triggered detectors that the run has, at most one for a channel."""
        found: dict[Channel, tuple[Frames, list[ScanFile], ScanFile]] = {}
        for frames in self._layout.frames:
            files = [file for file in (self._file([key]) for key in frames.keys) if file]
            if not files or frames.channel in found:
                continue
            trigger = self._file([frames.trigger], "pulses")
            if trigger is None:
                raise Refused(
                    "missing_fields", f"{files[0].key} has no trigger file {frames.trigger!r}"
                )
            found[frames.channel] = (frames, files, trigger)
        return list(found.values())

    def _absent(self, analog: ScanFile | None) -> str:
        layout = self._layout
        what, keys = (
            ("electrometer", layout.analog) if analog is None else ("encoder", layout.encoder)
        )
        streams = ", ".join(sorted(self._assets.streams)) or "none"
        return f"the run has no {what} file ({' or '.join(keys)}); its streams: {streams}"

    # ---- numbers ---------------------------------------------------------------------

    def _reading(
        self, sweep: SweepBins, currents: Currents, replaced: set[Channel], flags: Sequence[Flag]
    ) -> Reading:
        """Return a sweep's channels in time order, each but the reference with the flags."""
        layout = self._layout
        limits = limits_of(layout.limits, {role: (name,) for role, name in layout.inputs.items()})
        levels = currents.levels(sweep.bins)
        if sweep.frames is None or sweep.counts is None or sweep.rate is None:
            mu = currents.absorption(sweep.bins, without=replaced)
        else:
            channel = sweep.frames.channel
            mu = currents.frames(sweep.bins, channel, sweep.counts)
            levels[channel] = sweep.rate
            limits[channel] = Limits(0.0, sweep.frames.highest, "counts/s", f"a key of {channel}")
        turn = slice(None, None, -1 if sweep.falling else 1)
        return Reading(
            sweep.bins.energy[turn],
            {channel: values[turn] for channel, values in mu.items()},
            self._time,
            sweep.index,
            {channel: flags for channel in mu if channel != "reference"},
            {role: values[turn] for role, values in levels.items()},
            limits,
        )

    def _e0(self, rows: Rows, currents: Currents) -> float:
        """Return the tabulated edge, or if there is none the one that the start states, eV."""
        stated, e0 = read_stated(text_of(self._start, "element")), number_of(self._start, "e0")
        try:
            return find_edge(stated, [] if stated.element else _curves(rows, currents), e0)[0].e0
        except Refused:
            if not e0:
                raise
            return e0


def _curves(rows: Rows, currents: Currents) -> list[tuple[Floats, Floats]]:
    """Return energy, eV, and mu of each channel, averaged over all sweeps in steps of 1 eV."""
    signals = {name: rows.microvolt[:, APB_CHANNELS.index(name)] for name in currents.used}
    bins = bin_rows(rows.energy, signals, np.arange(rows.energy.min(), rows.energy.max(), 1.0))
    mu = currents.absorption(bins, without=set())
    return [(bins.energy, values) for channel, values in mu.items() if channel != "reference"]


def _check_edge(start: Document) -> None:
    """Refuse a scan around an emission line; no other key may show that it is one.

    Raises
    ------
    Refused
        ``not_xas``.
    """
    stated, element = number_of(start, "e0"), text_of(start, "element")
    if not stated or not element:
        return
    try:
        edge = edge_of(read_stated(element))
    except Refused:
        return
    if abs(stated - edge.e0) > EMISSION:
        raise Refused(
            "not_xas",
            f"e0 is {stated:.1f} eV, {stated - edge.e0:+.1f} eV from the {edge} edge: an "
            "emission line, so this is no absorption scan",
        )
