"""Read each run of a beamline with several kinds of scan by the layout that fits it."""

from collections.abc import Sequence
from dataclasses import dataclass

from rankaae_stream.errors import Refusal, Refused
from rankaae_stream.layouts.base import CollectingReader, Document, Layout, Reader, Reading

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
        self._refusal: Refusal | None = None
        self._absent: list[str] = []

    def feed(self, name: str, doc: Document) -> Reading | None:
        problem: Exception | None = None
        for reader in tuple(self._readers):
            try:
                reading = reader.feed(name, doc)
            except Refused as refused:
                self._note(refused)
                self._drop(reader)
                continue
            except Exception as error:  # noqa: BLE001 - another layout may read it all the same
                problem = error
                continue
            if reading is not None:
                self._readers = [reader]
                return reading
        if problem is not None:
            raise problem
        if self._refusal is not None and not self._readers:
            raise self._refusal.error()
        return None

    def collect(self, *, last: bool) -> Sequence[Reading] | None:
        # Only one layout is left if one had a reading; else any may find one in files.
        for reader in tuple(self._readers):
            if not isinstance(reader, CollectingReader):
                continue
            try:
                readings = reader.collect(last=last)
            except Refused as refused:
                # Without announced files the layout does not fit; that is no refusal yet.
                if refused.name == "missing_fields":
                    self._absent.append(refused.message)
                else:
                    self._refusal = refused.refusal
                self._drop(reader)
                continue
            if readings is None or readings:
                self._readers = [reader]
                return readings
        return ()

    def missing(self) -> str:
        # Who found the scan and could not read it raises that, and comes first.
        reasons = [*(reader.missing() for reader in self._readers), *self._absent]
        if self._refusal is not None:
            # A layout that refused had found its stream; the others may have found less.
            if self._refusal.name != "missing_fields" or not reasons:
                raise self._refusal.error()
            reasons.insert(0, self._refusal.message)
        return "; ".join(dict.fromkeys(reasons))

    def _note(self, refused: Refused) -> None:
        """Keep the first refusal, but rather one of what is there and cannot be read."""
        if self._refusal is None or self._refusal.name == "missing_fields":
            first = self._refusal if refused.name == "missing_fields" else None
            self._refusal = first or refused.refusal

    def _drop(self, reader: Reader) -> None:
        self._readers = [other for other in self._readers if other is not reader]
