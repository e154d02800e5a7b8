"""Tell in which rows of which files the events of one field are."""

import itertools
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

__all__ = ["Piece", "Rows"]


@dataclass(slots=True)
class _Span:
    """Events from `seq` on, `count` of them, from the index `first` of a file on."""

    seq: int
    first: int
    count: int


@dataclass(slots=True)
class _File:
    path: Path
    dataset: str
    spans: list[_Span] = field(default_factory=list[_Span])

    @property
    def lowest(self) -> int:
        return min(span.first for span in self.spans)

    @property
    def highest(self) -> int:
        return max(span.first + span.count for span in self.spans)


@dataclass(frozen=True, slots=True)
class Piece:
    """Rows of one file, the row `end` not included."""

    path: Path
    dataset: str
    begin: int
    end: int


class Rows:
    """What was announced of one field, in whatever order.

    A field may have several files, one after the other. Their indices go on, or begin anew at 0:
    either way the first index that is announced of a later file is its first row. Of an
    event that was announced twice the later row counts.
    """

    def __init__(self) -> None:
        self._files: dict[str, _File] = {}
        self.last = 0
        """The last event that is known."""

    def announce(
        self, resource: str, path: Path, dataset: str, first: int, end: int, seq: int | None
    ) -> int:
        """Take note of rows of a file, and return the number of their first event.

        `seq` is that number as it was stated; None where the indices have to tell.
        """
        before = [file.highest for uid, file in self._files.items() if uid != resource]
        file = self._files.setdefault(resource, _File(path, dataset))
        if seq is None:
            begun = max(before, default=0)
            seq = first + 1 + (begun if first < begun else 0)
        last = file.spans[-1] if file.spans else None
        if last and (last.seq + last.count, last.first + last.count) == (seq, first):
            last.count += end - first
        else:
            file.spans.append(_Span(seq, first, end - first))
        self.last = max(self.last, seq + end - first - 1)
        return seq

    def reach(self, event: int) -> int:
        """Return up to which event, after a known one, all are known."""
        spans = sorted((s.seq, s.seq + s.count) for f in self._files.values() for s in f.spans)
        for begin, end in spans:
            if begin <= event + 1:
                event = max(event, end - 1)
        return event

    def knows(self, event: int) -> bool:
        """Return whether an event was announced."""
        return any(0 <= event - s.seq < s.count for f in self._files.values() for s in f.spans)

    def path_of(self, event: int) -> Path:
        """Return the file of an event."""
        return next((piece.path for piece in self.pieces(event, event + 1)), Path())

    def pieces(self, begin: int, end: int) -> Iterator[Piece]:
        """Yield the rows of events, the event `end` not included, in their order."""
        files = sorted(self._files.values(), key=lambda file: file.lowest)
        which, row = np.full(end - begin, -1), np.zeros(end - begin, dtype=int)
        for number, file in enumerate(files):
            base = self._first_row(file, files[:number])
            for span in sorted(file.spans, key=lambda span: span.first):
                low, high = max(span.seq, begin), min(span.seq + span.count, end)
                if low < high:
                    which[low - begin : high - begin] = number
                    row[low - begin : high - begin] = (
                        np.arange(low, high) - span.seq + (span.first - base)
                    )
        starts = np.flatnonzero((np.diff(which, prepend=-2) != 0) | (np.diff(row, prepend=-2) != 1))
        ends = [*starts.tolist(), which.size]
        for at, upto in itertools.pairwise(ends):
            if which[at] >= 0:
                file, first = files[int(which[at])], int(row[at])
                yield Piece(file.path, file.dataset, first, first + upto - at)

    @staticmethod
    def _first_row(file: _File, before: list[_File]) -> int:
        """Return the index of a file's first row."""
        same = any((file.path, file.dataset) == (other.path, other.dataset) for other in before)
        return file.lowest if before and not same else 0
