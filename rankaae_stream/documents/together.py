"""Say which scans belong together: repeats of one sample, or the course of its change."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from rankaae_stream.documents.rules import lookup
from rankaae_stream.layouts.base import Document, value_at

__all__ = ["GROUPED_BY", "HOURS", "SeriesRules"]

HOURS = "hours"
"""Axis of a series whose runs have no number that changes: the time since the first, h."""

GROUPED_BY: tuple[tuple[str, ...], ...] = (
    ("sample_uid",),
    ("sample_id",),
    ("sample_name",),
    ("sample.name",),
    ("Sample.name",),
    ("XDI.Sample.name",),
    ("sample",),
    ("scan_group_uid",),
)
"""Start keys that name what is measured; of several the first that a run has all of."""


@dataclass(frozen=True, slots=True)
class SeriesRules:
    """Rules by which scans of one edge and channel make a series.

    Attributes
    ----------
    group : tuple of tuple of str
        Dotted keys of the start document: scans belong together whose values are the same. Of
        several alternatives the first counts of which a run has all keys. A run without any
        has the series of its own sweeps only.
    gap : float
        Hours between two scans beyond which the later one begins another series.
    stop_at : float or None
        Half-width of the valence's interval that repeats should reach, e.
    against : tuple of str
        Dotted keys of the start document whose numbers are published with each scan, such as a
        temperature; the first that changes is what rates are given by, else the time.
    """

    group: tuple[tuple[str, ...], ...] = GROUPED_BY
    gap: float = 2.0
    stop_at: float | None = None
    against: tuple[str, ...] = ()

    def group_of(self, start: Document) -> dict[str, str]:
        """Return what names a run's series, by key; the run's uid where nothing else does."""
        for keys in self.group:
            found = {key: _text(start, key) for key in keys}
            if all(found.values()):
                return found
        return {"uid": str(start["uid"])}

    def numbers(self, start: Document) -> dict[str, float]:
        """Return the numbers of a run that `against` names, such as a temperature."""
        found = {key: _number(value_at(start, key)) for key in self.against}
        return {key: value for key, value in found.items() if value is not None}

    def along(self, starts: Sequence[Document]) -> tuple[str, list[float]]:
        """Return the axis along which a series changes: its name, and its value for each run.

        That is the first key of `against` that every run has a number of, and not always the
        same; else the hours since the first run began.
        """
        numbers = [self.numbers(start) for start in starts]
        for key in self.against:
            values = [found[key] for found in numbers if key in found]
            if len(values) == len(starts) and len(set(values)) > 1:
                return key, values
        began = [float(start.get("time") or 0.0) for start in starts]
        return HOURS, [(time - began[0]) / 3600.0 for time in began]


def _text(start: Document, key: str) -> str:
    value = value_at(start, key)
    # Sample numbers are names, too.
    number = isinstance(value, int) and not isinstance(value, bool)
    return str(value) if number else lookup(start, (key,)) or ""


def _number(value: Any) -> float | None:
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        return None
    return float(value) if abs(value) < 1e300 else None
