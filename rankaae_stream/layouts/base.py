"""What a kind of beamline must provide: documents in, readings out.

A Layout is configuration and has no state; it opens a Reader for each run. The
Reader sees the run's documents after the start and returns what each of them
adds. Nothing else in the package knows an event from an event page or a file.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Protocol

from rankaae_stream.spectrum import Channel, Floats

__all__ = ["Document", "Layout", "Reader", "Reading"]

Document = Mapping[str, Any]


@dataclass(frozen=True, slots=True, eq=False)
class Reading:
    """Points as they were measured, in time order.

    `energy` (n,) eV; `mu` one (n,) array a channel, not finite where a signal
    was zero, negative or missing; `time` seconds since the epoch of the last one.
    """

    energy: Floats
    mu: Mapping[Channel, Floats]
    time: float


class Reader(Protocol):
    """Turns one run's documents into readings."""

    def feed(self, name: str, doc: Document) -> Reading | None:
        """What this document adds, or None.

        Raises
        ------
        Refused
            ``missing_fields`` when the run has not what the layout needs.
        """
        ...

    def missing(self) -> str:
        """Why there was no reading, for a run that ended without one.

        Raises
        ------
        Refused
            Where that has a name of its own.
        """
        ...


class Layout(Protocol):
    """One kind of beamline."""

    def open(self, start: Document) -> Reader:
        """Begin a run."""
        ...
