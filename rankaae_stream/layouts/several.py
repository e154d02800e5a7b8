"""A beamline with several kinds of scan: each run is read by the layout that fits it."""

from collections.abc import Sequence
from dataclasses import dataclass

from rankaae_stream.errors import Refused
from rankaae_stream.layouts.base import Document, Layout, Reader, Reading

__all__ = ["SeveralLayouts"]


@dataclass(frozen=True, slots=True)
class SeveralLayouts:
    """The first of `layouts` that finds a reading in a run reads all of it."""

    layouts: Sequence[Layout]

    def open(self, start: Document) -> "_SeveralReader":
        """Begin a run."""
        return _SeveralReader([layout.open(start) for layout in self.layouts])


class _SeveralReader:
    def __init__(self, readers: list[Reader]) -> None:
        self._readers = readers
        self._refused: Refused | None = None

    def feed(self, name: str, doc: Document) -> Reading | None:
        for reader in tuple(self._readers):
            try:
                reading = reader.feed(name, doc)
            except Refused as error:
                self._refused = self._refused or error
                self._readers.remove(reader)
                continue
            if reading is not None:
                self._readers = [reader]
                return reading
        if self._refused is not None and not self._readers:
            raise self._refused
        return None

    def missing(self) -> str:
        # A layout that refused had found its stream, the others not even that.
        if self._refused is not None:
            raise self._refused
        return "; ".join(dict.fromkeys(reader.missing() for reader in self._readers))
