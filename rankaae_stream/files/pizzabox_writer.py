"""Write files as the NSLS-II pizza boxes do; `files.pizzabox` reads them.

Times are seconds of the scan; `began` is its first moment, whole seconds since the epoch.
"""

from collections.abc import Mapping
from pathlib import Path

import numpy as np

from rankaae_stream.files.pizzabox import APB_CHANNELS, TICK
from rankaae_stream.spectrum import Floats

__all__ = ["APB_RATE", "ENCODER_RATE", "write_apb", "write_encoder", "write_pulses"]

APB_RATE = 374.94e3 / 375
"""Rows of the electrometer a second: its clock divided by 375."""
ENCODER_RATE = 2000.0
"""Lines of the encoder a second."""
SPARE = 8.0
"""Seconds that the electrometer's file is allocated longer than the scan."""
HIGHEST = 3.3e6
"""The electrometer reads no further, µV."""
FLIP = 0xFFFFFE
"""Bits in which a positive word differs from the position, see `pizzabox.decode_positions`."""


def write_apb(
    path: Path,
    time: Floats,
    volts: Mapping[str, Floats],
    offsets: Mapping[str, float],
    began: float,
) -> None:
    """Write the electrometer's rows.

    Parameters
    ----------
    path : Path
    time : (n,) array
    volts : mapping of (n,) arrays
        By input, a name of `APB_CHANNELS`; the others read their offset only.
    offsets : mapping of float
        What each input reads without current, mV; all of `APB_CHANNELS`.
    began : float
    """
    table = np.zeros((time.size + round(SPARE * APB_RATE), 10), dtype="<i4")
    for column, name in enumerate(APB_CHANNELS):
        reading = volts.get(name, np.zeros_like(time)) * 1e6 + offsets[name] * 1e3
        table[: time.size, column] = np.round(np.clip(reading, -HIGHEST, HIGHEST))
    table[: time.size, 8:] = _clock(time, began)
    path.write_bytes(table.tobytes())


def write_encoder(
    path: Path, time: Floats, counts: Floats, began: float, *, positive: bool = False
) -> None:
    """Write the encoder's lines: negative positions (n,), or positive 24-bit words for them."""
    words = counts.astype(np.int64)
    words = -words ^ FLIP if positive else words
    whole = np.floor(time)
    table = np.column_stack(
        [began + whole, (time - whole) * 1e9, words, np.arange(words.size)]
    ).astype(np.int64)
    lines = [f"{s} {ns:09d} {word} {index} 00\n" for s, ns, word, index in table.tolist()]
    path.write_text("".join(lines))


def write_pulses(path: Path, rise: Floats, fall: Floats, began: float) -> None:
    """Write a trigger file: when each exposure (n,) begins and ends."""
    words = np.empty((2 * rise.size, 3), dtype="<i4")
    words[0::2, 0], words[1::2, 0] = 1, 0
    words[:, 1:] = _clock(np.column_stack([rise, fall]).ravel(), began)
    path.write_bytes(words.tobytes())


def _clock(seconds: Floats, began: float) -> np.ndarray:
    """Return times as the boxes write them: whole seconds and ticks, (n, 2)."""
    whole = np.floor(seconds)
    ticks = np.floor((seconds - whole) / TICK)
    return np.column_stack([began + whole, ticks]).astype("<i4")
