"""Say how much memory a message would take, before anything is made of it.

A text of two letters has three bytes in msgpack and 64 in Python: a message of 64 MB may become
1.6 GB. Values are passed over here by their heads, and counted with what they would take.
"""

import re
from typing import NamedTuple

__all__ = ["CutShort", "of_json", "of_msgpack"]

DEEPEST = 512
"""Lists and mappings in each other, which msgpack's own reader takes still."""

# Bytes in CPython of 64 bits as its allocator rounds them; a text's letters may take four each.
_NUMBER, _TEXT, _BYTES, _LIST, _MAPPING = 32, 88, 48, 72, 200
_SLOT, _ENTRY = 8, 48
"""Of each item of a list, and of a mapping beside its key and its value."""
_WIDE = 5
"""Times the bytes of a long text, while it is read, that has a letter beyond ASCII."""
_LONG = 4096
_ARRAY = 400
"""What the mapping of an array or a number of numpy takes more than what is made of it."""
_ROW = 8
"""Values of a list from which on it is worth a look whether they are of one kind."""

_ONES = re.compile(rb"[\x00-\x7f\xc0\xc2\xc3\xfb-\xff]*")
"""Values of one byte, which Python has already."""
_HIGH = re.compile(rb"[\x80-\xff]")
_JSON_FOUR = re.compile(rb"[\xf0-\xf7]|\\u[dD][89abAB]")
_JSON_TWO = re.compile(rb"[\xc4-\xf7]|\\u(?!00)")


class CutShort(ValueError):
    """A message ends before its values do, has more than one, or nests too deep to be passed."""


class _Head(NamedTuple):
    """What stands before a value: of which kind it is, its own bytes, and the number in it.

    The number is that of the bytes that follow, of a list's items or of a mapping's entries.
    """

    kind: str
    size: int
    number: int


def _one_byte(kind: int) -> _Head | None:
    """Return the head that a first byte is alone; None where a length follows."""
    if kind < 0x80 or kind >= 0xFB or kind in (0xC0, 0xC2, 0xC3):
        return _Head("known", 1, 0)
    if kind >= 0xE0:
        return _Head("number", 1, 0)
    if kind < 0xC0:
        what = "mapping" if kind < 0x90 else "list" if kind < 0xA0 else "text"
        return _Head(what, 1, kind & (31 if kind >= 0xA0 else 15))
    floats = {0xCA: 4, 0xCB: 8}
    integers = {0xCC + step: 2**step for step in range(4)}
    integers |= {0xD0 + step: 2**step for step in range(4)}
    bytes_after = (floats | integers).get(kind)
    return None if bytes_after is None else _Head("number", 1, bytes_after)


_HEADS = [_one_byte(kind) for kind in range(256)]
_LENGTHS = {
    0xC4: ("bytes", 1),
    0xC5: ("bytes", 2),
    0xC6: ("bytes", 4),
    0xD9: ("text", 1),
    0xDA: ("text", 2),
    0xDB: ("text", 4),
    0xDC: ("list", 2),
    0xDD: ("list", 4),
    0xDE: ("mapping", 2),
    0xDF: ("mapping", 4),
}
_TAKEN = {"known": 0, "number": _NUMBER, "text": _TEXT, "bytes": _BYTES}


def of_json(payload: bytes) -> int:
    """Return the bytes that a JSON text would take; signs within texts are counted, too."""
    lists, mappings = payload.count(b"["), payload.count(b"{")
    values = payload.count(b",") + lists + mappings
    texts = payload.count(b'"') // 2
    return (
        len(payload) * _text_times(payload)
        + values * (_SLOT + _NUMBER)
        + texts * (_TEXT - _NUMBER)
        + lists * _LIST
        + mappings * _MAPPING
    )


def _text_times(payload: bytes) -> int:
    """Return how many times its own bytes a JSON text takes, decoded as a whole and in parts."""
    escapes = b"\\" in payload
    if (escapes or not payload.isascii()) and _JSON_TWO.search(payload):
        return 12 if _JSON_FOUR.search(payload) else 6
    return 4 if escapes else 2


def of_msgpack(payload: bytes, most: int) -> int:
    r"""Return the bytes that a message of msgpack would take, or more than `most`.

    Parameters
    ----------
    payload : bytes
        One value.
    most : int
        Where this is passed, the rest is not looked at.

    Raises
    ------
    CutShort

    Examples
    --------
    >>> of_msgpack(b"\x93\x01\xa2ab\xc0", 1000)  # [1, "ab", None]
    186
    """
    place, taken, end = 0, 0, len(payload)
    left = [1]  # values still to come, of the list or mapping at hand and of those around it
    while left and taken <= most:
        if not left[-1]:
            left.pop()
            continue
        if place >= end or len(left) > DEEPEST:
            raise CutShort("it is cut short" if place >= end else "it nests too deep")
        head = _HEADS[payload[place]] or _long_head(payload, place)
        kind, size, number = head
        if kind in ("list", "mapping"):
            left[-1] -= 1
            place += size
            taken += _LIST + _SLOT * number if kind == "list" else _MAPPING + _ENTRY * number
            if kind == "mapping" and payload.startswith(b"\xc4\x02nd", place):
                taken -= _ARRAY
            left.append(number if kind == "list" else 2 * number)
            continue
        many = _in_a_row(payload, place, head, left[-1]) if left[-1] >= _ROW else 1
        left[-1] -= many
        taken += many * _TAKEN[kind]
        first, place = place + size, place + many * (size + number)
        if kind != "number":
            wide = kind == "text" and number > _LONG and _HIGH.search(payload, first, place)
            taken += many * number * (_WIDE if wide else 1)
    if taken <= most and place != end:
        raise CutShort("it is cut short" if place > end else f"{end - place} bytes come after it")
    return taken


def _in_a_row(payload: bytes, place: int, head: _Head, left: int) -> int:
    """Return how many of the next values have this head: some of one byte, else one or all."""
    if head.kind == "known":
        ones = _ONES.match(payload, place, place + left)
        return ones.end() - place if ones else 1
    step = head.size + head.number
    for at in range(place, place + head.size):
        if payload[at : at + left * step : step] != payload[at : at + 1] * left:
            return 1
    return left


def _long_head(payload: bytes, place: int) -> _Head:
    kind = payload[place]
    if kind not in _LENGTHS:
        raise CutShort(f"it has a value of kind {kind:#x}, which no document has")
    what, width = _LENGTHS[kind]
    return _Head(what, 1 + width, int.from_bytes(payload[place + 1 : place + 1 + width], "big"))
