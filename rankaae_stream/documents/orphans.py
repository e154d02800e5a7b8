"""Keep documents that came before the one they belong to, such as a datum before its resource."""

from collections import OrderedDict

from rankaae_stream.documents.size import size_of
from rankaae_stream.layouts.base import Document

__all__ = ["Orphans"]

MAX_BYTES = 16 * 1024 * 1024
"""Of all that are kept; what has waited longest goes first."""


class Orphans:
    """Holds documents by the uid of the document that they wait for."""

    def __init__(self, max_bytes: int = MAX_BYTES) -> None:
        self._max_bytes = max_bytes
        self._bytes = 0
        self._waiting: OrderedDict[str, list[tuple[str, Document]]] = OrderedDict()

    def keep(self, parent: str, name: str, doc: Document) -> None:
        """Keep a document until its parent comes, or the room is needed."""
        self._waiting.setdefault(parent, []).append((name, doc))
        self._bytes += size_of(doc)
        while self._bytes > self._max_bytes:
            self.of(next(iter(self._waiting)))

    def of(self, parent: str) -> list[tuple[str, Document]]:
        """Return, and keep no longer, what waited for this document."""
        if parent not in self._waiting:
            return []
        found = self._waiting.pop(parent)
        self._bytes -= sum(size_of(doc) for _, doc in found)
        return found
