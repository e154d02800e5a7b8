"""Read the files of the NSLS-II pizza boxes: electrometer, encoder, and trigger pulses.

The boxes write to disk while the monochromator moves, each at its own rate but with
synchronous clocks. The formats are those that the beamlines' public code reads (ISS and
QAS, github.com/NSLS-II-ISS and NSLS-II-QAS).
"""

import io
from dataclasses import dataclass
from types import MappingProxyType

import numpy as np

from rankaae_stream.errors import Refused
from rankaae_stream.spectrum import Floats

__all__ = [
    "APB_CHANNELS",
    "KINDS",
    "MIMETYPES",
    "TICK",
    "Apb",
    "Encoder",
    "Monochromator",
    "Pulses",
    "is_whole",
    "read_apb",
    "read_encoder",
    "read_pulses",
]

APB_CHANNELS = ("i0", "it", "ir", "iff", "aux1", "aux2", "aux3", "aux4")
"""Inputs of the analog pizza box, in the order of its columns; input n is `chN` in metadata."""
TICK = 8.0051232e-9
"""One count of the box's sub-second clock, s."""

KINDS = MappingProxyType(
    {
        "APB": "apb",
        "APB_TRIGGER": "pulses",
        "PIZZABOX_ENC_FILE_TXT": "encoder",
        "PIZZABOX_ENC_FILE_TXT_PD": "encoder",
    }
)
"""Kind of file by the asset's spec."""
MIMETYPES = MappingProxyType(
    {
        "apb": "application/x-pizzabox-apb",
        "pulses": "application/x-pizzabox-trigger",
        "encoder": "text/x-pizzabox-encoder",
    }
)
"""Mimetype by kind of file: Tiled and stream resources have mimetypes instead of specs."""

_APB_COLUMNS, _PULSE_COLUMNS = 10, 3
_WORD = 4
_FLIP = 0xFFFFFE
"""A positive 24-bit word is a negative position with all bits but the last inverted."""


@dataclass(frozen=True, slots=True)
class Monochromator:
    """From encoder counts to energy, and back.

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
        """Return the energy of encoder counts (n,), eV; `angle_offset` in degrees."""
        theta = np.deg2rad(counts / self.pulses_per_degree + angle_offset)
        with np.errstate(divide="ignore"):
            return self.hc / (2 * self.d_spacing * np.sin(np.abs(theta)))

    def counts(self, energy: Floats, angle_offset: float) -> Floats:
        """Return the encoder counts at energies (n,), eV: negative whole numbers."""
        theta = np.rad2deg(np.arcsin(self.hc / (2 * self.d_spacing * energy)))
        return np.round((-theta - angle_offset) * self.pulses_per_degree)


@dataclass(frozen=True, slots=True, eq=False)
class Apb:
    """Readings of the analog pizza box: `time` (n,) in s, `microvolt` (n, 8)."""

    time: Floats
    microvolt: Floats


@dataclass(frozen=True, slots=True, eq=False)
class Encoder:
    """Positions of the monochromator: `time` (n,) in s, increasing; `counts` (n,), zero or less."""

    time: Floats
    counts: Floats


@dataclass(frozen=True, slots=True, eq=False)
class Pulses:
    """Exposures of a triggered detector: `rise` and `fall`, each (n,) in s."""

    rise: Floats
    fall: Floats


def read_apb(content: bytes) -> Apb:
    """Read the electrometer's rows: little-endian int32, eight inputs, seconds, ticks.

    The file is allocated longer than the scan, so the rows end at the first step back in
    time. An incomplete last row is skipped.

    Raises
    ------
    Refused
        ``file`` when there is no row.
    """
    table = _words(content, _APB_COLUMNS)
    time = table[:, -2] + table[:, -1] * TICK
    rows = _until_time_goes_back(time)
    if rows == 0:
        raise Refused("file", "the electrometer's file holds no rows")
    return Apb(time[:rows], table[:rows, :8].astype(np.float64))


def read_encoder(content: bytes) -> Encoder:
    """Read the encoder's lines: seconds, nanoseconds, position, index, state.

    Unused rows (0 s), rows with a time that was there before, and an incomplete last line
    are skipped.

    Raises
    ------
    Refused
        ``file`` when there are fewer than two positions, or no columns of numbers.
    """
    whole = content[: content.rfind(b"\n") + 1]
    try:
        table = np.loadtxt(io.BytesIO(whole), usecols=(0, 1, 2), ndmin=2) if whole.strip() else None
    except ValueError as error:
        raise Refused("file", f"not an encoder's five columns of numbers ({error})") from error
    if table is None:
        raise Refused("file", "the encoder's file holds no lines")
    table = table[table[:, 0] > 0]
    time, first = np.unique(table[:, 0] + table[:, 1] * 1e-9, return_index=True)
    if time.size < 2:
        raise Refused("file", f"the encoder's file holds {time.size} positions, needs 2")
    return Encoder(time, decode_positions(table[first, 2]))


def read_pulses(content: bytes) -> Pulses:
    """Read a trigger file: little-endian int32, transition (1 up, 0 down), seconds, ticks.

    A pulse that began before the file, or did not end in it, is skipped.
    """
    table = _words(content, _PULSE_COLUMNS)
    table = table[table[:, 1] > 0]
    up = table[:, 0] == 1
    time = table[:, 1] + table[:, 2] * TICK
    # A pulse is a rise followed by a fall; anything else is incomplete.
    pairs = np.flatnonzero(up[:-1] & ~up[1:]) if up.size > 1 else np.empty(0, dtype=int)
    return Pulses(time[pairs], time[pairs + 1])


def is_whole(kind: str, content: bytes) -> bool:
    """Return whether a file (``apb``, ``encoder`` or ``pulses``) ends with a complete row."""
    if kind == "encoder":
        return content.endswith(b"\n")
    columns = _APB_COLUMNS if kind == "apb" else _PULSE_COLUMNS
    return len(content) % (columns * _WORD) == 0


def decode_positions(words: Floats) -> Floats:
    """Convert raw encoder words (n,) to counts (n,), zero or negative.

    Examples
    --------
    >>> decode_positions(np.array([-6057000.0, 10720214.0, 0.0]))
    array([-6057000., -6057000.,        0.])
    """
    integers = words.astype(np.int64)
    return np.where(integers <= 0, integers, -(integers ^ _FLIP)).astype(np.float64)


def _words(content: bytes, columns: int) -> np.ndarray:
    rows = len(content) // (columns * _WORD)
    words = np.frombuffer(content, dtype="<i4", count=rows * columns)
    return words.reshape(rows, columns)


def _until_time_goes_back(time: Floats) -> int:
    """Return the number of rows before the first step back in time; 0 without a first time."""
    if time.size == 0 or time[0] <= 0:
        return 0
    back = np.flatnonzero(np.diff(time) < 0)
    return int(back[0]) + 1 if back.size else time.size
