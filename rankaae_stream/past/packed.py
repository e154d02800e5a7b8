"""Read and write msgpack with arrays as msgpack_numpy has them, and never a pickle.

A program that imports bluesky-kafka, as beamlines' sessions do, has its msgpack replaced by
one that unpickles arrays of objects before any hook of ours is asked. So msgpack's own reader
is taken here.
"""

# pyright: basic
# msgpack has no types

import re
from typing import Any

import numpy as np

try:
    from msgpack import _cmsgpack as _plain
except ImportError:  # where it was installed without a compiler
    from msgpack import fallback as _plain

__all__ = ["Pickled", "Unpacker", "array_of", "pack", "unpackb"]

Unpacker: Any = _plain.Unpacker
unpackb: Any = _plain.unpackb
"""Msgpack's own, whatever others have put in their place."""

_KINDS = re.compile(r"[<>|=]?(?:[biufcSU]\d{1,9}|\?|[mM]8(?:\[\d{0,9}[a-zA-Z]{1,7}\])?)")
_EMPTY = 2**20
"""Longest side of an array that holds nothing: its lists would be made of no bytes at all."""


class Pickled(ValueError):
    """A pickle, which can run any program when it is read."""


def array_of(item: dict[Any, Any]) -> Any:
    """Return the array, number or complex that a mapping of msgpack_numpy stands for.

    Parameters
    ----------
    item : dict
        As msgpack's `object_hook` gets it; any other is returned as it is.

    Returns
    -------
    object
        An array is a view of the message's bytes, and cannot be changed.

    Raises
    ------
    Pickled
        For an array of objects.
    ValueError
        For an array that does not fit its bytes, or of a kind that is not read.
    """
    if b"complex" in item:
        text = item.get(b"data")
        if not isinstance(text, str) or len(text) > 100:
            raise ValueError("a complex number is not written as a text")
        return complex(text)
    if b"nd" not in item:
        return item
    kind, data = item.get(b"type"), item.get(b"data")
    if item.get(b"kind") == b"O" or "O" in str(kind):
        raise Pickled("an array of objects is a pickle, which is not read")
    if not isinstance(kind, str) or not _KINDS.fullmatch(kind) or not isinstance(data, bytes):
        raise ValueError(f"an array of {str(kind)[:50]!r} is not read")
    array = np.frombuffer(data, dtype=np.dtype(kind))
    if item[b"nd"] is not True:
        return array[0]
    shape = item.get(b"shape")
    if not isinstance(shape, (list, tuple)) or any(
        type(side) is not int or not 0 <= side <= max(len(data), _EMPTY) for side in shape
    ):
        raise ValueError(f"an array has no shape {str(shape)[:50]}")
    return array.reshape(shape)


def pack(value: Any) -> bytes:
    """Return a value as msgpack, arrays as msgpack_numpy writes them.

    Raises
    ------
    ValueError, TypeError, OverflowError
        For what has no place in it: objects, numbers of more than 64 bits.
    """
    packer: Any = _plain.Packer(default=_packed)
    return packer.pack(value)


def _packed(value: Any) -> Any:
    if isinstance(value, np.ndarray):
        kind = value.dtype.str
        if not _KINDS.fullmatch(kind):
            raise ValueError(f"an array of {kind!r} is not written")
        return {
            b"nd": True,
            b"type": kind,
            b"kind": b"",
            b"shape": value.shape,
            b"data": value.tobytes(),
        }
    if isinstance(value, (np.bool_, np.number)):
        return {b"nd": False, b"type": value.dtype.str, b"data": value.tobytes()}
    if isinstance(value, complex):
        return {b"complex": True, b"data": repr(value)}
    raise TypeError(f"{type(value).__name__} is not written")
