"""Hold the names and constants of the NSLS-II pizza boxes at one beamline."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from rankaae_stream.files.pizzabox import Monochromator
from rankaae_stream.spectrum import Channel, Limits

__all__ = ["Frames", "Monochromator", "PizzaboxNames"]


@dataclass(frozen=True, slots=True)
class Frames:
    """A detector that the electrometer's pulses trigger.

    Attributes
    ----------
    channel : Channel
        What its sum over `keys` divided by i0 is; a run that has such frames takes
        the channel from them, not from the electrometer's input.
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
class PizzaboxNames:
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
