"""Fly scans of the NSLS-II pizza boxes (ISS, QAS): silence, then files.

No event holds a spectrum. While the monochromator moves, an electrometer and an
encoder write files of their own; the documents that name them come at the end.
So a run is read when it is over, and a file that is late is waited for.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from rankaae_stream.errors import Refused
from rankaae_stream.files.pizzabox import (
    APB_CHANNELS,
    KINDS,
    Apb,
    Pulses,
    read_apb,
    read_encoder,
    read_pulses,
)
from rankaae_stream.files.resolve import resolve
from rankaae_stream.layouts.arrival import Arrival, ScanFile
from rankaae_stream.layouts.assets import Assets
from rankaae_stream.layouts.base import Document, Reading
from rankaae_stream.layouts.electrometer import Currents, number_of, text_of
from rankaae_stream.layouts.rebin import (
    TURN,
    averages_between,
    bin_rows,
    grid_edges,
    turning_points,
)
from rankaae_stream.layouts.signals import limits_of
from rankaae_stream.report import Flag
from rankaae_stream.spectrum import Channel, Floats, Limits, edge_of

__all__ = ["Frames", "Monochromator", "PizzaboxLayout"]

EMISSION = 25.0
"""An e0 further than this from the element's edge is an emission line, eV; the
nearest one, K beta of Ti, lies 34 eV below."""
FRAGMENT = 10
"""A sweep of fewer bins is the motor settling."""


@dataclass(frozen=True, slots=True)
class Monochromator:
    """From encoder counts to energy.

    Attributes
    ----------
    pulses_per_degree : float
    d_spacing : float
        Å. The beamline's own, not the crystal's: the energy scale of its
        archive was made with it.
    hc : float
        eV Å.
    """

    pulses_per_degree: float
    d_spacing: float
    hc: float

    def energy(self, counts: Floats, angle_offset: float) -> Floats:
        """Energy of encoder counts (n,), eV; `angle_offset` in degrees."""
        theta = np.deg2rad(counts / self.pulses_per_degree + angle_offset)
        with np.errstate(divide="ignore"):
            return self.hc / (2 * self.d_spacing * np.sin(np.abs(theta)))


@dataclass(frozen=True, slots=True)
class Frames:
    """A detector that the electrometer's pulses trigger.

    Attributes
    ----------
    channel : Channel
        What its sum over `keys` divided by i0 is; where a run has such frames
        they stand for the channel instead of the electrometer's input.
    keys : sequence of str
        Data keys; those that a run has are summed.
    trigger : str
        Data key of the trigger file.
    highest : float
        Counts a second beyond which one of `keys` no longer follows.
    """

    channel: Channel
    keys: Sequence[str]
    trigger: str
    highest: float = float("inf")


@dataclass(frozen=True, slots=True)
class PizzaboxLayout:
    """Names and constants of one beamline's fly scans.

    Attributes
    ----------
    analog, encoder : sequence of str
        Data keys of the two files; of several the first that a run has.
    inputs : mapping
        What is on the electrometer's inputs: ``i0``, ``it``, ``ir``,
        ``fluorescence``, ``pips`` to a name of `APB_CHANNELS`.
    mono : Monochromator
    angle_offset : str
        Start key, degrees.
    offset, gain : str
        Start keys of each input, with ``{n}`` for its number: mV, and the
        power of ten that the current was amplified by. Empty: not applied.
    frames : sequence of Frames
    root_map, allowed_roots
        See `files.resolve.resolve`.
    limits : mapping of Limits
        By role, as `inputs`, in mV.
    """

    analog: Sequence[str]
    encoder: Sequence[str]
    inputs: Mapping[str, str]
    mono: Monochromator
    angle_offset: str
    offset: str
    gain: str
    frames: Sequence[Frames] = ()
    allowed_roots: Sequence[Path] = ()
    root_map: Mapping[str, str] = field(default_factory=dict[str, str])
    limits: Mapping[str, Limits] = field(default_factory=dict[str, Limits])

    def open(self, start: Document) -> "_PizzaboxReader":
        """Begin a run."""
        return _PizzaboxReader(self, start)


class _PizzaboxReader:
    def __init__(self, layout: PizzaboxLayout, start: Document) -> None:
        self._layout = layout
        self._start = start
        self._assets = Assets()
        self._time = float(start.get("time", 0.0))
        self._arrival = Arrival()

    def feed(self, name: str, doc: Document) -> Reading | None:
        self._assets.feed(name, doc)
        times = doc.get("time")
        if isinstance(times, (int, float, list)):
            self._time = max(self._time, float(np.max(times)))
        return None

    def used(self) -> dict[str, str]:
        """See `layouts.base.NamingReader`."""
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
        flags: list[Flag] = []
        contents = {file.key: file.whole(flags) for file in needed}
        try:
            apb = read_apb(contents[analog.key])
        except Refused as refused:
            raise analog.refused(refused) from refused
        try:
            positions = read_encoder(contents[encoder.key])
        except Refused as refused:
            raise encoder.refused(refused) from refused

        angle_offset = number_of(self._start, layout.angle_offset)
        if angle_offset is None:
            raise Refused(
                "missing_fields",
                f"the start document has no number {layout.angle_offset!r}, without which the "
                "encoder has no energy",
            )
        later = positions.time > apb.time[-1]
        unseen = layout.mono.energy(positions.counts[later], angle_offset)
        if unseen.size and np.ptp(unseen) > TURN:
            if not last:
                return None
            flags.append(
                analog.truncated(f"{np.ptp(unseen):.0f} eV of motion have no electrometer rows")
            )
        both = (apb.time >= positions.time[0]) & (apb.time <= positions.time[-1])
        apb = Apb(apb.time[both], apb.microvolt[both])
        counts = np.interp(apb.time, positions.time, positions.counts)
        energy = layout.mono.energy(counts, angle_offset)
        if not np.isfinite(energy).any():
            raise Refused(
                "no_overlap",
                f"{analog.path} and {encoder.path} share no time at which the energy is known; "
                f"the electrometer has {apb.time.size} rows there",
            )
        currents = Currents(layout.inputs, layout.offset, layout.gain, self._start)
        flags += currents.flags
        paired: list[tuple[Frames, Pulses, Floats, Floats]] = []
        for frames, files, trigger in detectors:
            pair = self._frames(files, trigger, flags)
            if pair is not None:
                paired.append((frames, *pair))
        return self._readings(apb, energy, currents, paired, flags)

    # ---- files -----------------------------------------------------------------------

    def _file(self, keys: Sequence[str], kind: str = "") -> ScanFile | None:
        """The first key that the run has, and where its file is."""
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
        """The triggered detectors that the run has: of several for a channel the first."""
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

    def _frames(
        self, files: Sequence[ScanFile], trigger: ScanFile, flags: list[Flag]
    ) -> tuple[Pulses, Floats, Floats] | None:
        """Exposures with their frames, summed and the highest, or None with a flag why not."""
        try:
            pulses = read_pulses(trigger.whole(flags))
            columns: list[Floats] = []
            for file in files:
                columns.append(file.frames())
        except Refused as refused:
            flags.append(
                Flag(
                    "no_frames",
                    "warning",
                    None,
                    "",
                    f"the frames of {files[0].key} could not be used: {refused.message}",
                )
            )
            return None
        frames = min(column.size for column in columns)
        used = min(frames, pulses.rise.size)
        surplus = max(pulses.rise.size, *(column.size for column in columns)) - used
        if surplus:
            flags.append(
                Flag(
                    "frames_unpaired",
                    "warning",
                    float(surplus),
                    "1",
                    f"{trigger.key} has {pulses.rise.size} pulses and {files[0].key} {frames} "
                    f"frames; the first {used} of both were paired and the rest left out",
                )
            )
        cut = [column[:used] for column in columns]
        exposures = Pulses(pulses.rise[:used], pulses.fall[:used])
        return exposures, np.sum(cut, axis=0), np.max(cut, axis=0)

    # ---- numbers ---------------------------------------------------------------------

    def _readings(
        self,
        apb: Apb,
        energy: Floats,
        currents: Currents,
        paired: Sequence[tuple[Frames, Pulses, Floats, Floats]],
        flags: Sequence[Flag],
    ) -> list[Reading]:
        known = np.isfinite(energy)
        time, energy, microvolt = apb.time[known], energy[known], apb.microvolt[known]
        signals = {name: microvolt[:, i] for i, name in enumerate(APB_CHANNELS)}
        signals = {name: signals[name] for name in currents.used}
        edges = grid_edges(self._e0(energy), float(energy.min()), float(energy.max()))
        replaced: set[Channel] = {frames.channel for frames, _, _, _ in paired}
        inputs = {role: (name,) for role, name in self._layout.inputs.items()}
        limits = limits_of(self._layout.limits, inputs)
        readings: list[Reading] = []
        index = 0
        for rows in turning_points(energy):
            sweep = {name: values[rows] for name, values in signals.items()}
            bins = bin_rows(energy[rows], sweep, edges)
            if bins.energy.size < FRAGMENT:
                continue
            mu = currents.absorption(bins, without=replaced)
            said: dict[Channel, Sequence[Flag]] = {
                channel: flags for channel in mu if channel != "reference"
            }
            falling = energy[rows][0] > energy[rows][-1]
            seen = currents.levels(bins), limits
            readings.append(
                self._reading(bins.energy, mu, index, said, seen, falling=bool(falling))
            )
            begin, end = time[rows][0], time[rows][-1]
            for frames, pulses, counts, highest in paired:
                during = (pulses.rise >= begin) & (pulses.fall <= end)
                if not during.any():
                    continue
                exposed = averages_between(
                    time[rows],
                    {**sweep, "energy": energy[rows]},
                    pulses.rise[during],
                    pulses.fall[during],
                )
                exposed["frames"] = counts[during]
                exposed["rate"] = highest[during] / (pulses.fall[during] - pulses.rise[during])
                bins = bin_rows(exposed.pop("energy"), exposed, edges)
                mu = currents.frames(bins, frames.channel)
                said = {frames.channel: flags}
                most = Limits(0.0, frames.highest, "counts/s", f"a key of {frames.channel}")
                seen = (
                    {**currents.levels(bins), frames.channel: bins.signals["rate"]},
                    {**limits, frames.channel: most},
                )
                readings.append(
                    self._reading(bins.energy, mu, index, said, seen, falling=bool(falling))
                )
            index += 1
        return readings

    def _reading(
        self,
        energy: Floats,
        mu: dict[Channel, Floats],
        sweep: int,
        flags: Mapping[Channel, Sequence[Flag]],
        seen: tuple[Mapping[str, Floats], Mapping[str, Limits]],
        *,
        falling: bool,
    ) -> Reading:
        """In time order, as every Reading is."""
        way = -1 if falling else 1
        turned: dict[Channel, Floats] = {channel: values[::way] for channel, values in mu.items()}
        levels = {role: values[::way] for role, values in seen[0].items()}
        return Reading(energy[::way], turned, self._time, sweep, flags, levels, seen[1])

    def _e0(self, energy: Floats) -> float:
        """The tabulated edge; what the start document says only where there is none."""
        try:
            return edge_of(text_of(self._start, "element") or None, energy).e0
        except Refused:
            stated = number_of(self._start, "e0")
            if not stated:
                raise
            return stated


def _check_edge(start: Document) -> None:
    """Refuse a scan around an emission line, which its other keys may not tell.

    Raises
    ------
    Refused
        ``not_xas``.
    """
    stated, element = number_of(start, "e0"), text_of(start, "element")
    if not stated or not element:
        return
    try:
        edge = edge_of(element, np.empty(0))
    except Refused:
        return
    if abs(stated - edge.e0) > EMISSION:
        raise Refused(
            "not_xas",
            f"e0 is {stated:.1f} eV, {stated - edge.e0:+.1f} eV from the {edge} edge: an "
            "emission line, so this is no absorption scan",
        )
