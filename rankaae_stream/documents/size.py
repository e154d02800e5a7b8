"""Tell how much memory a document holds."""

from collections.abc import Collection, Iterable, Mapping
from sys import getsizeof
from typing import Any, cast

__all__ = ["size_of"]

_FLAT = frozenset({float, int, bool, str, bytes, type(None)})
_HOLDING = (Mapping, list, tuple, set, frozenset)


def size_of(doc: Any) -> int:
    """Return the bytes of a document with all that it holds.

    This runs on the scan's thread at every point. The types of a container's values are
    asked first, in one call for all of them; only what holds further values is looked into.
    """
    size, seen = 0, set[int]()
    left: list[Any] = [doc]
    while left:
        item = left.pop()
        size += getsizeof(item)
        if isinstance(item, _HOLDING):
            held = cast("Collection[Any]", item)
            if id(held) in seen:  # a value may hold itself
                continue
            seen.add(id(held))
            if isinstance(item, Mapping):
                size += sum(map(getsizeof, held))
                held = cast("Mapping[Any, Any]", item).values()
            if _FLAT.issuperset(map(type, held)):
                size += sum(map(getsizeof, held))
            else:
                left.extend(held)
        elif type(item) not in _FLAT:
            size += int(getattr(item, "nbytes", 0))
            if getattr(getattr(item, "dtype", None), "hasobject", False):
                left.extend(cast("Iterable[Any]", item.flat))
    return size
