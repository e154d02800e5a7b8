"""Help a layout to write a run of its own kind: names that fit, and signals that it can read."""

import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from rankaae_stream.layouts.base import Field, Scan
from rankaae_stream.spectrum import Floats, Limits

__all__ = ["example", "examples", "names_played", "passes", "put", "within"]


def names_played(fields: Iterable[Field], scan: Scan) -> dict[str, tuple[str, ...]]:
    """Return the first name of each role that a layout names and the scan holds."""
    return {
        field.role: (field.names[0],)
        for field in fields
        if field.names and field.role in scan.signals
    }


def passes(scan: Scan) -> NDArray[np.intp]:
    """Return the indices of a scan's points in the order of the motion, there and back."""
    once = np.arange(scan.energy.size)
    return np.concatenate([once[::-1] if i % 2 else once for i in range(scan.sweeps)])


def within(limits: Mapping[str, Limits], role: str, signal: Floats) -> Floats:
    """Return a signal (n,) scaled into what the detector can read; its shape stays."""
    known = limits.get(role)
    if known is None or not np.isfinite(known.high):
        return signal * (2 * known.low / np.nanmin(signal)) if known and known.low else signal
    return signal * (0.9 * known.high / np.nanmax(signal))


def example(pattern: str, wild: str = "") -> str:
    """Return a text that fits a pattern, `wild` where that has ``*``.

    Examples
    --------
    >>> example("scan_nd xafs*"), example("xs_channel*_roi0[12]", "3"), example("?*")
    ('scan_nd xafs', 'xs_channel3_roi01', 'x')
    """
    pattern = re.sub(r"\[([^!\]])[^\]]*\]", r"\1", pattern)
    return pattern.replace("*", wild).replace("?", wild or "x")


def examples(patterns: Sequence[str]) -> tuple[str, ...]:
    """Return names that fit all of several patterns: two for a pattern."""
    names = [example(pattern, wild) for pattern in patterns for wild in ("1", "2")]
    return tuple(dict.fromkeys(names))


def put(start: dict[str, Any], key: str, value: Any) -> None:
    """Set a dotted key of a start document."""
    *tables, last = key.split(".")
    for name in tables:
        start[name] = dict(start.get(name) or {})
        start = start[name]
    start[last] = value
