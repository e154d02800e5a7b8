"""Read a run's documents with one layout, without any analysis."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from rankaae_stream.documents.sweeps import Sweep, Sweeps
from rankaae_stream.errors import Refusal, Refused
from rankaae_stream.layouts.base import CollectingReader, Document, Layout, NamingReader

__all__ = ["RunReader", "Understood", "read_run"]


@dataclass(frozen=True, slots=True, eq=False)
class Understood:
    """The sweeps that one layout read, or its refusal.

    Attributes
    ----------
    sweeps : list of Sweep
        A channel with bins of its own is another sweep of the same index.
    refusal : Refusal or None
    used : mapping of str
        Where each role was found, for a person to read.
    """

    sweeps: list[Sweep] = field(default_factory=list[Sweep])
    refusal: Refusal | None = None
    used: Mapping[str, str] = field(default_factory=dict[str, str])


class RunReader:
    """Reads one run with one layout; of its exceptions only `Refused` is caught."""

    def __init__(self, layout: Layout, start: Document) -> None:
        self._reader = layout.open(start)
        self._sweeps = Sweeps()
        self._refusal: Refusal | None = None

    def feed(self, name: str, doc: Document) -> None:
        """Take a document after the start."""
        if self._refusal is not None:
            return
        try:
            reading = self._reader.feed(name, doc)
        except Refused as refused:
            self._refusal = refused.refusal
        else:
            if reading is not None:
                self._sweeps.add(reading)

    def end(self) -> Understood:
        """Return what was read once the run has ended; late files are not waited for."""
        try:
            if self._refusal is not None:
                raise self._refusal.error()
            if isinstance(self._reader, CollectingReader):
                for reading in self._reader.collect(last=True) or ():
                    self._sweeps.add(reading)
            self._sweeps.settle()
            if not self._sweeps.items:
                raise Refused("missing_fields", self._reader.missing())
        except Refused as refused:
            return Understood([], refused.refusal, self._used())
        return Understood(self._sweeps.items, None, self._used())

    def _used(self) -> Mapping[str, str]:
        if not isinstance(self._reader, NamingReader):
            return {}
        try:
            return dict(self._reader.used())
        except Refused:  # files cannot be found, so there is nothing to name
            return {}


def read_run(layout: Layout, documents: Iterable[tuple[str, Document]]) -> Understood:
    """Read a whole run, from its start document on."""
    reader = None
    for name, doc in documents:
        if name == "start":
            reader = RunReader(layout, doc)
        elif reader is not None:
            reader.feed(name, doc)
    if reader is None:
        return Understood(refusal=Refusal("missing_fields", "there is no start document"))
    return reader.end()
