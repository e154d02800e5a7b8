"""What a kind of beamline must provide: documents in, readings out.

A Layout is configuration and has no state; it opens a Reader for each run. The
Reader sees the run's documents after the start and returns what each of them
adds. Nothing else in the package knows an event from an event page or a file.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol, runtime_checkable

from rankaae_stream.report import Flag
from rankaae_stream.spectrum import Channel, Floats, Limits

__all__ = [
    "CollectingReader",
    "Document",
    "Field",
    "Layout",
    "NamingLayout",
    "NamingReader",
    "Reader",
    "Reading",
    "Rehearsing",
    "Scan",
    "fields_of",
]

Document = Mapping[str, Any]


@dataclass(frozen=True, slots=True, eq=False)
class Reading:
    """Points as they were measured, in time order.

    `energy` (n,) eV; `mu` one (n,) array a channel, not finite where a signal
    was zero, negative or missing; `time` seconds since the epoch of the last one.

    `sweep` is the number of a sweep that is whole, from a layout that splits the
    motion itself; None for points that are still to be split. `flags` are what
    the layout knows of each channel of such a sweep, or of the one that these points end.

    `levels` are what the detectors read at each point, (n,) by role (i0, it,
    fluorescence ...), for those of which the profile states `limits`.
    """

    energy: Floats
    mu: Mapping[Channel, Floats]
    time: float
    sweep: int | None = None
    flags: Mapping[Channel, Sequence[Flag]] = field(default_factory=dict[Channel, Sequence[Flag]])
    levels: Mapping[str, Floats] = field(default_factory=dict[str, Floats])
    limits: Mapping[str, Limits] = field(default_factory=dict[str, Limits])


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


@runtime_checkable
class CollectingReader(Protocol):
    """A Reader whose data lie in files, which are read when the run is over."""

    def feed(self, name: str, doc: Document) -> Reading | None:
        """Take note of a document; see `Reader`."""
        ...

    def missing(self) -> str:
        """Why there was no reading; see `Reader`."""
        ...

    def collect(self, *, last: bool) -> Sequence[Reading] | None:
        """Read the files of a run that has ended.

        Parameters
        ----------
        last : bool
            Whether this is the last time of asking: what is not there now will
            not be waited for.

        Returns
        -------
        sequence of Reading or None
            None while a file is not there yet, or not all of it; never when `last`.

        Raises
        ------
        Refused
            When the run cannot be read.
        """
        ...


@runtime_checkable
class NamingReader(Protocol):
    """A Reader that can say what it took for what; `rankaae-stream check` shows it."""

    def used(self) -> Mapping[str, str]:
        """Where each role (energy, i0, it ...) of this run was found, in words."""
        ...


class Layout(Protocol):
    """One kind of beamline."""

    def open(self, start: Document) -> Reader:
        """Begin a run."""
        ...


@dataclass(frozen=True, slots=True)
class Field:
    """Names under which a layout looks for one thing in a run.

    Attributes
    ----------
    role : str
        Key of ``[layout]`` that states the names: ``energy``, ``i0``, ``it``, ``ir``,
        ``fluorescence``, ``pips``, or another for something that the layout always needs.
    names : sequence
        Data keys, patterns, or lists of those; of several the first that a run has is used.
    stream : str or None
        Stream that has the keys; empty for any stream of the run, None where the names are no
        data keys, such as inputs of an electrometer.
    stream_role : str
        Key of ``[layout]`` that states the stream.
    """

    role: str
    names: Sequence[Any]
    stream: str | None = ""
    stream_role: str = "stream"


@runtime_checkable
class NamingLayout(Protocol):
    """A Layout that can list the names it looks for; `rankaae-stream check` advises by them."""

    def open(self, start: Document) -> Reader:
        """Begin a run; see `Layout`."""
        ...

    def fields(self) -> Sequence[Field]:
        """Return the names that the layout looks for, those of the energy first."""
        ...


def fields_of(layout: Layout) -> Sequence[Field]:
    """Return the names that a layout looks for; empty where it cannot list them."""
    if not isinstance(layout, NamingLayout):
        return ()
    # A layout of another package may use the name for something else.
    try:
        listed: Sequence[Any] = tuple(layout.fields())
    except TypeError:
        return ()
    return listed if all(isinstance(item, Field) for item in listed) else ()


@dataclass(frozen=True, slots=True, eq=False)
class Scan:
    """What a rehearsed run is to hold.

    Attributes
    ----------
    name : str
        Of the run; its uid may follow from it.
    start : mapping
        Keys of the start document beside uid and time.
    energy : (n,) array
        eV, in the order of the motion of the first sweep.
    signals : mapping of (n,) arrays
        What the detectors read at these energies, by role: ``i0``, ``it``, ``ir``,
        ``fluorescence``, ``pips``. A role that is absent is a field that the run has not.
    sweeps : int
        How often the motion passes; back and forth where it cannot be otherwise.
    """

    name: str
    start: Mapping[str, Any]
    energy: Floats
    signals: Mapping[str, Floats]
    sweeps: int = 1


@runtime_checkable
class Rehearsing(Protocol):
    """A Layout that can write a run of its own kind, for `check` and for tests of it."""

    def open(self, start: Document) -> Reader:
        """Begin a run; see `Layout`."""
        ...

    def rehearse(self, scan: Scan, folder: Path) -> Iterable[tuple[str, Document]]:
        """Documents of a run that holds the scan, from start to stop.

        Parameters
        ----------
        scan : Scan
        folder : Path
            Where files may be written, if the kind has any.
        """
        ...
