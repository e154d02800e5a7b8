"""Make documents of messages: msgpack as bluesky-kafka writes it, or JSON; never a pickle.

What a bus carries was written by others. A message is bounded in its bytes, in how deep it
nests, in how many containers it has and in the memory that it takes, before and while it is read.
"""

import json
from collections.abc import Iterator
from typing import Any, cast

from event_model import DocumentNames

from rankaae_stream.layouts.base import Document
from rankaae_stream.past.packed import Pickled, Unpacker, array_of, pack, unpackb
from rankaae_stream.service.weight import of_json, of_msgpack

__all__ = [
    "DEPTH",
    "MOST",
    "NotADocument",
    "checked",
    "decode",
    "decode_value",
    "encode",
    "is_pickle",
]

MOST = 64 * 1024 * 1024
"""Bytes of a message. Kafka's own bound is 1 MB, which facilities raise for long events."""
DEPTH = 64
"""How deep values may nest. A plan's arguments, the deepest of what is sent, take 10 or so."""
CONTAINERS = 1_000_000
"""Lists and mappings in a message: they are looked through one by one."""
ROOM = 128 * 1024 * 1024
"""Bytes of memory that a message may become, or `TIMES` its own where that is more: a list of
numbers takes three to four times its bytes, short texts would take 27 times theirs."""
TIMES = 4
SMALL, SMALL_JSON = 1024 * 1024, 4 * 1024 * 1024
"""Messages of so many bytes stay within `ROOM`, whatever they hold: they are not weighed."""

_FLAT = frozenset({float, int, str, bool, type(None), bytes})
_NAMES = frozenset(DocumentNames.__members__)
_LINKS = ("uid", "run_start", "descriptor", "resource", "stream_resource")
_NEEDED = {
    "start": ("uid",),
    "descriptor": ("uid", "run_start"),
    "event": ("descriptor",),
    "event_page": ("descriptor",),
    "stop": ("run_start",),
}
"""Without them nobody knows the run: the document would wait for ever."""


class NotADocument(Exception):
    """A message is no document.

    Parameters
    ----------
    reason : str
        What is counted: ``pickle``, ``size``, ``depth``, ``name`` or ``format``.
    message : str
        One sentence.
    """

    def __init__(self, reason: str, message: str) -> None:
        super().__init__(message)
        self.reason = reason
        self.message = message


def decode(payload: bytes, *, most: int = MOST, depth: int = DEPTH) -> tuple[str, Document]:
    """Return the name and the document of a message.

    Parameters
    ----------
    payload : bytes
        A pair of a name and a mapping, as msgpack or JSON; JSON may also be
        ``{"name": ..., "doc": ...}``.
    most : int
        Bytes.
    depth : int
        Of lists and mappings in each other, the document itself counted.

    Returns
    -------
    name : str
    doc : dict
        With every key that it came with, also those of a newer schema.

    Raises
    ------
    NotADocument

    Examples
    --------
    >>> decode(b'["stop", {"uid": "b", "run_start": "a"}]')
    ('stop', {'uid': 'b', 'run_start': 'a'})
    """
    value = decode_value(payload, most=most, depth=depth + 1)
    if isinstance(value, dict):
        named = cast("dict[str, Any]", value)
        return checked(named.get("name"), named.get("doc"))
    if not isinstance(value, list) or len(pair := cast("list[Any]", value)) != 2:
        raise NotADocument("format", "a message is no pair of a name and a document")
    return checked(*pair)


def decode_value(payload: bytes, *, most: int = MOST, depth: int = DEPTH) -> Any:
    """Return what a message holds, within bounds; see `decode`."""
    if len(payload) > most:
        raise NotADocument("size", f"a message has {len(payload)} bytes; at most {most} are read")
    if is_pickle(payload):
        raise NotADocument("pickle", "a message is a pickle, which is not read")
    try:
        value = _json(payload) if payload.lstrip()[:1] in (b"[", b"{") else _msgpack(payload)
    except NotADocument:
        raise
    except Pickled as error:
        raise NotADocument("pickle", str(error)) from error
    except RecursionError as error:
        raise NotADocument("depth", "a message nests too deep") from error
    except Exception as error:  # whatever msgpack, JSON and numpy raise for foreign bytes
        text = str(error)[:200] or type(error).__name__
        raise NotADocument("format", f"a message is neither msgpack nor JSON: {text}") from error
    _check_depth(value, depth)
    return value


def is_pickle(payload: bytes) -> bool:
    """Return whether a message is a pickle of protocol 2 to 5.

    To msgpack it is an empty mapping with something after it.
    """
    return payload[:1] == b"\x80" and payload[1:2] in (b"\x02", b"\x03", b"\x04", b"\x05")


def checked(name: Any, doc: Any) -> tuple[str, Document]:
    """Return a name and a document if they are those of bluesky.

    Raises
    ------
    NotADocument
    """
    if not isinstance(name, str) or name not in _NAMES:
        raise NotADocument("name", f"bluesky has no document {str(name)[:50]!r}")
    if not isinstance(doc, dict):
        raise NotADocument("format", f"a {name} document is {type(doc).__name__}, not a mapping")
    if not all(isinstance(key, str) for key in cast("dict[Any, Any]", doc)):
        raise NotADocument("format", f"a {name} document has a key that is no text")
    found = cast("dict[str, Any]", doc)
    if name == "bulk_events":
        _check_bulk(found)
        return name, found
    links = [key for key in _LINKS if key in found or key in _NEEDED.get(name, ())]
    if name in ("event_page", "datum_page"):
        links = [key for key in links if key != "uid"]  # one for each of its rows
    wrong = next((key for key in links if not _is_name(found.get(key))), None)
    if wrong is not None:
        raise NotADocument("format", f"a {name} document has no text as {wrong}")
    return name, found


def _check_bulk(doc: dict[str, Any]) -> None:
    """Raise unless a document of many events has lists of events."""
    for events in doc.values():
        if not isinstance(events, list):
            raise NotADocument("format", "a bulk_events document has no list of events")
        for event in cast("list[Any]", events):
            checked("event", event)


def _is_name(value: Any) -> bool:
    return isinstance(value, str) and bool(value)


def encode(name: str, doc: Document) -> bytes:
    """Return a document as the message that `decode` reads, and bluesky-kafka.

    Raises
    ------
    NotADocument
        When it holds what no message can: objects of a program.
    """
    try:
        return pack((name, doc))
    except (ValueError, TypeError, OverflowError) as error:
        text = str(error)[:200]
        raise NotADocument("format", f"a {name} document cannot be written: {text}") from error


def _json(payload: bytes) -> Any:
    if payload.count(b"[") + payload.count(b"{") > CONTAINERS:
        raise NotADocument("size", f"a message has over {CONTAINERS} lists and mappings")
    if len(payload) > SMALL_JSON:
        _check_weight(of_json(payload), payload)
    return json.loads(payload)


def _msgpack(payload: bytes) -> Any:
    # Passed over first, which makes nothing: a list may state four thousand million items,
    # for which room would be made before they are missed.
    if len(payload) > SMALL:
        _check_weight(of_msgpack(payload, _bound(payload)), payload)
    else:
        walked = Unpacker(max_buffer_size=max(len(payload), 1))
        walked.feed(payload)
        walked.skip()
    count = _Count()
    return unpackb(
        payload,
        object_hook=count.mapping,
        list_hook=count.list,
        ext_hook=_refuse_extension,
    )


def _bound(payload: bytes) -> int:
    return max(ROOM, TIMES * len(payload))


def _check_weight(weight: int, payload: bytes) -> None:
    if weight > _bound(payload):
        raise NotADocument(
            "size",
            f"a message of {len(payload)} bytes would take over {_bound(payload) >> 20} MB of "
            "memory; numbers come as arrays, not as lists",
        )


class _Count:
    """Count the containers of a message while they are made."""

    def __init__(self) -> None:
        self._left = CONTAINERS

    def mapping(self, item: dict[Any, Any]) -> Any:
        self.list(None)
        return array_of(item)

    def list(self, item: Any) -> Any:
        self._left -= 1
        if self._left < 0:
            raise NotADocument("size", f"a message has over {CONTAINERS} lists and mappings")
        return item


def _refuse_extension(code: int, _: bytes) -> Any:
    raise ValueError(f"its extension type {code} is not known")


def _check_depth(value: Any, depth: int) -> None:
    """Raise where containers nest deeper than `depth`, or a mapping has a key that is no text."""
    level = [value]
    for _ in range(depth):
        level = [held for item in level for held in _containers_in(item)]
        if not level:
            return
    raise NotADocument("depth", f"a message nests over {depth} deep")


def _containers_in(item: Any) -> Iterator[Any]:
    if isinstance(item, dict):
        held = cast("dict[Any, Any]", item)
        if not all(type(key) is str for key in held):
            raise NotADocument("format", "a mapping has a key that is no text")
        values = list(held.values())
    elif isinstance(item, list):
        values = cast("list[Any]", item)
    else:
        return
    if not _FLAT.issuperset(map(type, values)):
        yield from (value for value in values if isinstance(value, (dict, list)))
