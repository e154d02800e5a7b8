"""Read the pizza boxes' files as rows, and bin the rows of each sweep."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from rankaae_stream.errors import Refused
from rankaae_stream.files.pizzabox import APB_CHANNELS, read_apb, read_encoder, read_pulses
from rankaae_stream.layouts.arrival import ScanFile
from rankaae_stream.layouts.pizzabox_names import Frames, Monochromator
from rankaae_stream.layouts.rebin import (
    FRAGMENT,
    Bins,
    averages_between,
    bin_rows,
    turning_points,
)
from rankaae_stream.report import Flag
from rankaae_stream.spectrum import Floats

__all__ = ["Exposures", "Rows", "SweepBins", "read_exposures", "read_rows", "split_sweeps"]


@dataclass(frozen=True, slots=True, eq=False)
class Rows:
    """The electrometer's rows whose energy is known, in time order.

    `time` (n,) s; `energy` (n,) eV; `microvolt` (n, 8). `unseen` is how much motion, eV, the
    encoder recorded after the last row; `flags` are of files that end within a row.
    """

    time: Floats
    energy: Floats
    microvolt: Floats
    unseen: float
    flags: Sequence[Flag]


@dataclass(frozen=True, slots=True, eq=False)
class Exposures:
    """A triggered detector's exposures, each array (m,).

    `rise` and `fall` in s; `counts` summed over the detector's keys; `rate` of the highest
    key, counts/s.
    """

    frames: Frames
    rise: Floats
    fall: Floats
    counts: Floats
    rate: Floats


@dataclass(frozen=True, slots=True, eq=False)
class SweepBins:
    """One sweep's rows, binned; or those of a detector's exposures during it.

    `bins` holds the electrometer's inputs by name, µV, in increasing energy; `falling` is
    whether the energy fell. `counts` and `rate` (b,) are the means of `frames`' exposures.
    """

    index: int
    falling: bool
    bins: Bins
    frames: Frames | None = None
    counts: Floats | None = None
    rate: Floats | None = None


def read_rows(
    analog: ScanFile, encoder: ScanFile, mono: Monochromator, angle_offset: float
) -> Rows:
    """Read both files, and give each row of the electrometer its energy.

    Raises
    ------
    Refused
        ``missing_file`` or ``file``; ``no_overlap`` where the files share no time.
    """
    (rows, flags), (lines, further) = analog.whole(), encoder.whole()
    try:
        apb = read_apb(rows)
    except Refused as refused:
        raise analog.refused(refused) from refused
    try:
        positions = read_encoder(lines)
    except Refused as refused:
        raise encoder.refused(refused) from refused
    later = mono.energy(positions.counts[positions.time > apb.time[-1]], angle_offset)
    both = (apb.time >= positions.time[0]) & (apb.time <= positions.time[-1])
    time, microvolt = apb.time[both], apb.microvolt[both]
    energy = mono.energy(np.interp(time, positions.time, positions.counts), angle_offset)
    known = np.isfinite(energy)
    if not known.any():
        raise Refused(
            "no_overlap",
            f"{analog.path} and {encoder.path} share no time at which the energy is known; "
            f"the electrometer has {time.size} rows there",
        )
    return Rows(
        time[known],
        energy[known],
        microvolt[known],
        float(np.ptp(later)) if later.size else 0.0,
        [*flags, *further],
    )


def read_exposures(
    frames: Frames, files: Sequence[ScanFile], trigger: ScanFile
) -> tuple[Exposures | None, list[Flag]]:
    """Read a detector's frames and pair them with its pulses, with flags of what was left out.

    Without frames that can be used there are no exposures, and a flag with the reason.
    """
    try:
        content, flags = trigger.whole()
        pulses = read_pulses(content)
        columns = [file.frames() for file in files]
    except Refused as refused:
        message = f"the frames of {files[0].key} could not be used: {refused.message}"
        return None, [Flag("no_frames", "warning", None, "", message)]
    least = min(column.size for column in columns)
    used = min(least, pulses.rise.size)
    surplus = max(pulses.rise.size, *(column.size for column in columns)) - used
    if surplus:
        flags.append(
            Flag(
                "frames_unpaired",
                "warning",
                float(surplus),
                "1",
                f"{trigger.key} has {pulses.rise.size} pulses and {files[0].key} {least} "
                f"frames; the first {used} of both were paired and the rest left out",
            )
        )
    rise, fall = pulses.rise[:used], pulses.fall[:used]
    cut = [column[:used] for column in columns]
    rate = np.max(cut, axis=0) / (fall - rise)
    return Exposures(frames, rise, fall, np.sum(cut, axis=0), rate), flags


def split_sweeps(
    rows: Rows, inputs: Sequence[str], exposures: Sequence[Exposures], edges: Floats
) -> Iterator[SweepBins]:
    """Split rows where the motion turns, and bin each sweep between `edges`, eV.

    Yields
    ------
    SweepBins
        Of each sweep that is no fragment first its rows, then each detector's exposures.
    """
    index = 0
    for part in turning_points(rows.energy):
        time, energy = rows.time[part], rows.energy[part]
        signals = {name: rows.microvolt[part, APB_CHANNELS.index(name)] for name in inputs}
        bins = bin_rows(energy, signals, edges)
        if bins.energy.size < FRAGMENT:
            continue
        falling = bool(energy[0] > energy[-1])
        yield SweepBins(index, falling, bins)
        for seen in exposures:
            during = (seen.rise >= time[0]) & (seen.fall <= time[-1])
            if not during.any():
                continue
            rise, fall = seen.rise[during], seen.fall[during]
            exposed = averages_between(time, {**signals, "energy": energy}, rise, fall)
            at = exposed.pop("energy")
            counted = {"counts": seen.counts[during], "rate": seen.rate[during]}
            frames = bin_rows(at, counted, edges).signals
            bins = bin_rows(at, exposed, edges)
            yield SweepBins(index, falling, bins, seen.frames, frames["counts"], frames["rate"])
        index += 1
