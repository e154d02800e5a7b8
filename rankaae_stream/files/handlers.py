"""Read pizza-box files for databroker, which finds these handlers by `databroker.handlers`.

A handler is created with a file's path and called with the datum's arguments. The tables
have the columns of the beamlines' own handlers, time first.
"""

from pathlib import Path

import numpy as np

from rankaae_stream.files.pizzabox import read_apb, read_encoder, read_pulses
from rankaae_stream.files.resolve import read_sized
from rankaae_stream.spectrum import Floats

__all__ = ["ApbHandler", "EncoderHandler", "TriggerHandler"]


class _Handler:
    def __init__(self, filepath: str, **_resource: object) -> None:
        self._path = Path(filepath)

    def get_file_list(self, _datum_kwargs: object) -> list[str]:
        """Return the path of the file."""
        return [str(self._path)]

    def close(self) -> None:
        """Do nothing: no file is kept open."""


class ApbHandler(_Handler):
    """Electrometer table (n, 9): time in s and eight inputs in µV."""

    specs = frozenset({"APB"})

    def __call__(self, **_datum: object) -> Floats:
        """Read the file."""
        apb = read_apb(read_sized(self._path))
        return np.column_stack([apb.time, apb.microvolt])


class EncoderHandler(_Handler):
    """Encoder table (n, 2): time in s and counts, negative as in the beamline's formulas."""

    specs = frozenset({"PIZZABOX_ENC_FILE_TXT", "PIZZABOX_ENC_FILE_TXT_PD"})

    def __call__(self, **_datum: object) -> Floats:
        """Read the file."""
        encoder = read_encoder(read_sized(self._path))
        return np.column_stack([encoder.time, encoder.counts])


class TriggerHandler(_Handler):
    """Trigger table (n, 2): begin and end of each exposure, s."""

    specs = frozenset({"APB_TRIGGER"})

    def __call__(self, **_datum: object) -> Floats:
        """Read the file."""
        pulses = read_pulses(read_sized(self._path))
        return np.column_stack([pulses.rise, pulses.fall])
