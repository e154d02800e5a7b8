"""Write an answered scan as a line of text that holds every bit of it, and read it again."""

import base64
import functools
import hashlib
import json
from collections.abc import Mapping
from dataclasses import fields, is_dataclass
from types import UnionType
from typing import Any, Literal, cast, get_args, get_origin, get_type_hints

import numpy as np

from rankaae_stream.report import Report, Result

__all__ = ["LARGEST", "to_line", "to_result"]

LARGEST = 2 << 20
"""Bytes of a line: a scan of 40,000 points, and its start document."""

NUMBERS = np.dtype("<f8")


def to_line(settings: str, result: Result) -> bytes:
    """Return a scan as a line, which begins with the digest of the rest.

    Raises
    ------
    ValueError, TypeError, RecursionError
        When it is too large, or cannot be written as text.
    """
    start = json.dumps(dict(result.start), default=_plain, skipkeys=True)
    kept = {"settings": settings, "uid": result.uid, "time": result.time, "start": start}
    text = json.dumps({**kept, "report": result.report}, default=_packed).encode()
    line = b"%s %s\n" % (_digest(text), text)
    if len(line) >= LARGEST:
        raise ValueError(f"a scan would take {len(line) / (1 << 20):.1f} MB")
    return line


def to_result(settings: str, line: bytes) -> Result | None:
    """Return the scan in a line; None where it was answered under other settings.

    Raises
    ------
    ValueError, TypeError, LookupError, RecursionError
        When it is damaged, or something else.
    """
    digest, _, text = line.rstrip(b"\n").partition(b" ")
    if digest != _digest(text):
        raise ValueError("it is not what was written")
    kept = json.loads(text)
    if kept["settings"] != settings:
        return None
    start = json.loads(kept["start"])
    if "uid" not in start:
        raise ValueError("its run has no uid")
    uid, at = _as(str, kept["uid"]), _as(float, kept["time"])
    return Result(_as(Report, kept["report"]), uid, start, at)


def _digest(text: bytes) -> bytes:
    return hashlib.sha256(text).hexdigest()[:32].encode()


def _plain(value: Any) -> Any:
    """Return what JSON does not have in a start document as what it has."""
    if isinstance(value, (np.ndarray, np.generic)):
        return cast("Any", value).tolist()
    return dict(cast("Mapping[Any, Any]", value)) if isinstance(value, Mapping) else str(value)


def _packed(value: Any) -> Any:
    """Return a noun as its fields, and an array as text that holds every bit."""
    if isinstance(value, np.ndarray):
        return base64.b64encode(value.astype(NUMBERS).tobytes()).decode()
    if isinstance(value, np.generic):
        return cast("Any", value).item()
    return {one.name: getattr(value, one.name) for one in fields(value)}


def _as(kind: Any, value: Any) -> Any:
    """Return the value of a type that `_packed` was given.

    Raises
    ------
    ValueError, TypeError
        When it is of another type.
    """
    origin, parts = get_origin(kind), get_args(kind)
    if origin is UnionType:
        return None if value is None else _as(parts[0], value)
    if origin is np.ndarray:
        return np.frombuffer(base64.b64decode(value, validate=True), NUMBERS)
    if origin is tuple and type(value) is list:
        items = cast("list[Any]", value)
        each = parts[:1] * len(items) if parts[1:] == (...,) else parts
        return tuple(_as(part, one) for part, one in zip(each, items, strict=True))
    if is_dataclass(kind) and type(value) is dict:
        known, make = _types(kind), cast("Any", kind)
        named = cast("dict[str, Any]", value).items()
        return make(**{name: _as(known[name], one) for name, one in named})
    if (origin is Literal and value in parts) or type(value) is kind:
        return value
    if kind is float and type(value) is int:
        return float(value)
    raise TypeError(f"{type(value).__name__} is no {kind}")


@functools.cache
def _types(kind: Any) -> dict[str, Any]:
    return get_type_hints(kind)
