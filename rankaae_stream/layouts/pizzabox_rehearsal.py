"""Write a fly scan of the pizza boxes: its files, and the documents that name them."""

from pathlib import Path
from typing import Any

import numpy as np

from rankaae_stream.files.pizzabox import APB_CHANNELS
from rankaae_stream.files.pizzabox_writer import APB_RATE, ENCODER_RATE, PizzaboxWriter
from rankaae_stream.files.run_writer import Documents, RunWriter
from rankaae_stream.layouts.base import Scan
from rankaae_stream.layouts.pizzabox_names import PizzaboxNames
from rankaae_stream.layouts.rehearsal import passes, within
from rankaae_stream.spectrum import Floats

__all__ = ["write_run"]

SECONDS = 3.0
"""Of one sweep: enough rows for every bin of the edge."""
REST = 0.5
"""Seconds of rest before and after the motion."""
ANGLE_OFFSET, GAIN = 0.684, 4
"""Degrees, and the power of ten that every current is amplified by."""
EXPOSURE, PERIOD = 0.008, 0.01
"""Of a frame, s."""
RATE = 1e5
"""Counts/s that one key of a detector without a limit reaches."""


def write_run(layout: PizzaboxNames, scan: Scan, folder: Path) -> Documents:
    """Write files of electrometer and encoder, and of a triggered detector if there is one.

    Every point of the scan takes the same time, and between two of them energy and
    signals change evenly.
    """
    order = passes(scan)
    knots = REST + np.arange(order.size) * SECONDS / scan.energy.size
    duration = float(knots[-1]) + REST

    def at(time: Floats, signal: Floats) -> Floats:
        return np.interp(time, knots, signal[order])

    offsets = {name: 2.0 + i for i, name in enumerate(APB_CHANNELS)}
    start: dict[str, Any] = {layout.angle_offset: ANGLE_OFFSET}
    for number, name in enumerate(APB_CHANNELS, start=1):
        start[layout.offset.format(n=number)] = offsets[name]
        start[layout.gain.format(n=number)] = GAIN
    start.pop("", None)  # where the beamline states no offset or gain
    run = RunWriter(f"check/{scan.name}", {**start, **scan.start})
    files = PizzaboxWriter(run, folder, scan.name)
    if "i0" in scan.signals:
        rows = np.arange(0.0, duration, 1 / APB_RATE)
        volts = {
            # Where a signal has no number, no current flows.
            name: np.nan_to_num(at(rows, within(layout.limits, role, scan.signals[role])) / 1e3)
            for role, name in layout.inputs.items()
            if role in scan.signals
        }
        files.electrometer(layout.analog[0], rows, volts, offsets if layout.offset else {})
    moments = np.arange(0.0, duration, 1 / ENCODER_RATE)
    counts = layout.mono.counts(at(moments, scan.energy), ANGLE_OFFSET)
    files.encoder(layout.encoder[0], moments, counts)
    frames = next((item for item in layout.frames if item.channel in scan.signals), None)
    if frames is not None:
        rise = np.arange(REST / 2, duration - REST / 2, PERIOD)
        files.trigger(frames.trigger, rise, rise + EXPOSURE)
        exposed = rise[:, None] + np.linspace(0.02, 0.98, 25) * EXPOSURE
        seen = at(exposed, scan.signals[frames.channel]).mean(axis=1)
        highest = 0.5 * frames.highest if np.isfinite(frames.highest) else RATE
        counts = seen / np.nanmax(seen) * highest * EXPOSURE
        roi = {"data_type": "roi", "roi_num": 1}
        keys = {key: {**roi, "channel": n} for n, key in enumerate(frames.keys, start=1)}
        files.frames("frames", "XSP3", keys, [counts] * len(keys))
    files.stop(duration)
    return run.documents
