"""Tell what is new in a run's documents: some come twice, and some after the stop document.

A consumer of Kafka that comes back delivers again what it had; the order of arrival is not
always that of the run.
"""

from collections.abc import Mapping, Sequence
from typing import Any, cast

from rankaae_stream.layouts.base import Document

__all__ = ["KnownDocuments"]

_ONCE = frozenset({"descriptor", "resource", "stream_resource", "stream_datum"})
"""Documents of which the uid tells whether they came before."""


class KnownDocuments:
    """Remembers the documents of one run by their uids, and events by stream and number."""

    def __init__(self) -> None:
        self._uids: set[tuple[str, str]] = set()
        self._streams: dict[str, str] = {}
        self._events: dict[str, set[int]] = {}
        self._keys: dict[str, str] = {}
        self._rows: dict[tuple[str, str], int] = {}

    def new(self, name: str, doc: Document) -> Document | None:
        """Return a document, of a page what is new in it; None where nothing is."""
        if name == "event":
            return doc if self._is_new_event(doc, doc.get("uid"), doc.get("seq_num")) else None
        if name == "event_page":
            return self._new_rows(doc)
        if name in _ONCE and self._seen(name, doc.get("uid")):
            return None
        if name == "descriptor":
            self._streams[doc["uid"]] = str(doc.get("name", ""))
        elif name == "stream_resource":
            self._keys[doc["uid"]] = str(doc.get("data_key", ""))
        elif name == "stream_datum" and doc.get("descriptor") in self._streams:
            where = self._streams[doc["descriptor"]], doc["stream_resource"]
            indices = doc["indices"]
            self._rows[where] = self._rows.get(where, 0) + indices["stop"] - indices["start"]
        return doc

    def announced(self, stop: Document, stream: str) -> int:
        """Return how many events of a stream the stop document counts; 0 where it does not."""
        count = _counts(stop).get(stream)
        return count if isinstance(count, int) else 0

    def still_to_come(self, stop: Document) -> bool:
        """Return whether events lack of those that the stop document counts, in any stream."""
        return any(self._known(stream) < self.announced(stop, stream) for stream in _counts(stop))

    def _known(self, stream: str) -> int:
        """Return how many events, or rows that every file of a stream has, have come."""
        keys: dict[str, int] = {}
        for (name, resource), rows in self._rows.items():
            if name == stream:
                key = self._keys.get(resource, resource)
                keys[key] = keys.get(key, 0) + rows
        known = list(keys.values())
        if stream in self._events:
            known.append(len(self._events[stream]))
        return min(known, default=0)

    def _is_new_event(self, doc: Document, uid: Any, number: Any) -> bool:
        descriptor = str(doc.get("descriptor", ""))
        if self._seen(descriptor, uid):
            return False
        if hasattr(number, "__index__"):
            stream = self._streams.get(descriptor, "")
            self._events.setdefault(stream, set()).add(number)
        return True

    def _seen(self, kind: str, uid: Any) -> bool:
        if not isinstance(uid, str):
            return False
        key = kind, uid
        if key in self._uids:
            return True
        self._uids.add(key)
        return False

    def _new_rows(self, page: Document) -> Document | None:
        uids, numbers = _column(page, "uid"), _column(page, "seq_num")
        padded = [*numbers, *[None] * len(uids)][: len(uids)]
        pairs = zip(uids, padded, strict=True)
        rows = [i for i, (uid, n) in enumerate(pairs) if self._is_new_event(page, uid, n)]
        if len(rows) == len(uids):
            return page
        return _rows_of(page, len(uids), rows) if rows else None


def _column(page: Document, key: str) -> list[Any]:
    """Return the values of a page, which may be an array; none where it has none."""
    values: Any = page.get(key)
    return list(values) if values is not None else []


def _counts(stop: Document) -> Mapping[str, Any]:
    counts = stop.get("num_events")
    return cast("Mapping[str, Any]", counts if isinstance(counts, Mapping) else {})


def _rows_of(page: Document, count: int, rows: Sequence[int]) -> Document:
    """Return an event page with some of its rows."""

    def pick(values: Any) -> Any:
        if isinstance(values, Mapping):
            return {key: pick(item) for key, item in cast("Mapping[str, Any]", values).items()}
        whole = hasattr(values, "__len__") and not isinstance(values, str) and len(values) == count
        return [values[i] for i in rows] if whole else values

    return {key: pick(value) for key, value in page.items()}
