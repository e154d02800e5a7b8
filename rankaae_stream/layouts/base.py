"""Define what a kind of beamline must provide: documents in, readings out.

A Layout is configuration and has no state; it opens a Reader for each run. The
Reader receives the run's documents after the start and returns what each of them
adds. Only layouts know whether a number comes in an event, an event page or a file.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol, cast, runtime_checkable

from rankaae_stream.report import Flag
from rankaae_stream.spectrum import Channel, Floats, Limits

__all__ = [
    "CollectingReader",
    "Document",
    "EventNumbers",
    "Field",
    "Layout",
    "NamingLayout",
    "NamingReader",
    "NoReader",
    "Reader",
    "Reading",
    "Rehearsing",
    "Scan",
    "SkippingReader",
    "fields_of",
    "value_at",
]

Document = Mapping[str, Any]


def value_at(doc: Document, key: str) -> Any:
    """Return the value under a dotted key of a document, None where there is none.

    Examples
    --------
    >>> value_at({"XDI": {"Element": {"symbol": "Fe"}}}, "XDI.Element.symbol")
    'Fe'
    """
    value: Any = doc
    for part in key.split("."):
        value = cast("Document", value).get(part) if isinstance(value, Mapping) else None
    return value


@dataclass(frozen=True, slots=True, eq=False)
class EventNumbers:
    """Where a reading's points belong in their stream, whatever the order of their arrival.

    Attributes
    ----------
    stream : str
        Its name; a stream that was configured anew goes on counting under another descriptor.
    seq : sequence of int, (m,)
        ``seq_num`` of each event; one that is known replaces the points of the known one.
    time : sequence of float, (m,)
        Of each event, seconds since the epoch: of two with one number the later counts.
    points : sequence of int, (m,), or None
        How many points each event has; None for one each.
    whole : bool
        Whether each event is a sweep of its own, so that one that is lost harms no other.
    """

    stream: str
    seq: Sequence[int]
    time: Sequence[float]
    points: Sequence[int] | None = None
    whole: bool = False


@dataclass(frozen=True, slots=True, eq=False)
class Reading:
    """Points as they were measured, in time order.

    Attributes
    ----------
    energy : (n,) array
        eV; not finite where it is not known.
    mu : mapping of (n,) arrays
        By channel; not finite where a signal was zero, negative or missing.
    time : float
        Of the last point, seconds since the epoch.
    sweep : int or None
        Number of a whole sweep, from a layout that splits the motion itself; None for
        points that are still to be split.
    flags : mapping of sequences
        By channel: what the layout found wrong in this sweep, or in the sweep that ends here.
    levels : mapping of (n,) arrays
        By role (i0, it, fluorescence ...): detector readings that the profile limits.
    limits : mapping of Limits
        By role.
    events : EventNumbers or None
        None where the points come once and in time order.
    problem : str
        Why some of the points could not be read; empty where all were.
    """

    energy: Floats
    mu: Mapping[Channel, Floats]
    time: float
    sweep: int | None = None
    flags: Mapping[Channel, Sequence[Flag]] = field(default_factory=dict[Channel, Sequence[Flag]])
    levels: Mapping[str, Floats] = field(default_factory=dict[str, Floats])
    limits: Mapping[str, Limits] = field(default_factory=dict[str, Limits])
    events: EventNumbers | None = None
    problem: str = ""


class Reader(Protocol):
    """Turns one run's documents into readings."""

    def feed(self, name: str, doc: Document) -> Reading | None:
        """Return the points that this document adds, or None.

        Raises
        ------
        Refused
            ``missing_fields`` when the run lacks a field that the layout needs.
        """
        ...

    def missing(self) -> str:
        """Return the reason why a run ended without a reading.

        Raises
        ------
        Refused
            Where that reason is another than ``missing_fields``.
        """
        ...


class NoReader:
    """Reads nothing: for a run whose start document no layout can read."""

    def feed(self, name: str, doc: Document) -> Reading | None:
        """Return None."""
        del name, doc

    def missing(self) -> str:
        """Return why there is no reading."""
        return "the start document cannot be read"


@runtime_checkable
class SkippingReader(Reader, Protocol):
    """A Reader that gives points in the order of their events, and waits at a gap."""

    def skip_gaps(self) -> None:
        """Wait no longer for events that lack: they were dropped and will not come."""
        ...


@runtime_checkable
class CollectingReader(Reader, Protocol):
    """A Reader whose data lie in files, which are read when the run is over."""

    def collect(self, *, last: bool) -> Sequence[Reading] | None:
        """Read the files of a run that has ended.

        Parameters
        ----------
        last : bool
            Whether this is the last call: files that are missing now are not waited for.

        Returns
        -------
        sequence of Reading or None
            None while a file is missing or incomplete; never when `last`.

        Raises
        ------
        Refused
            When the run cannot be read.
        """
        ...


@runtime_checkable
class NamingReader(Protocol):
    """A Reader that can name the fields it used; `rankaae-stream check` shows them."""

    def used(self) -> Mapping[str, str]:
        """Return, for a person to read, where each role (energy, i0, it ...) was found."""
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
class NamingLayout(Layout, Protocol):
    """A Layout that can list the names it looks for, so that `check` can advise on them."""

    def fields(self) -> Sequence[Field]:
        """Return the names that the layout looks for, those of the energy first."""
        ...


def fields_of(layout: Layout) -> Sequence[Field]:
    """Return the names that a layout looks for; empty where it cannot list them."""
    if not isinstance(layout, NamingLayout):
        return ()
    # A layout of another package may use the name for something else.
    try:
        listed = cast("tuple[Any, ...]", tuple(layout.fields()))
    except TypeError:
        return ()
    return listed if all(isinstance(item, Field) for item in listed) else ()


@dataclass(frozen=True, slots=True, eq=False)
class Scan:
    """The content of a run that a layout is to write.

    Attributes
    ----------
    name : str
        Of the run; its uid may be derived from it.
    start : mapping
        Keys of the start document, without uid and time.
    energy : (n,) array
        eV, in the order of the motion of the first sweep.
    signals : mapping of (n,) arrays
        What the detectors read at these energies, by role: ``i0``, ``it``, ``ir``,
        ``fluorescence``, ``pips``. The run must not have the field of an absent role.
    sweeps : int
        How often the motion passes the energies; back and forth if one motor does it.
    """

    name: str
    start: Mapping[str, Any]
    energy: Floats
    signals: Mapping[str, Floats]
    sweeps: int = 1


@runtime_checkable
class Rehearsing(Layout, Protocol):
    """A Layout that can write a run of its own kind, for `check` and for tests."""

    def rehearse(self, scan: Scan, folder: Path) -> Iterable[tuple[str, Document]]:
        """Return the documents of a run that holds the scan, from start to stop.

        Parameters
        ----------
        scan : Scan
        folder : Path
            Where files go, if the kind has any.
        """
        ...
