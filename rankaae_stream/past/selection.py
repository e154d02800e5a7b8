"""Select stored runs by uid, by time, and by values of their start documents."""

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Self

from rankaae_stream.errors import ConfigurationError
from rankaae_stream.layouts.base import value_at

__all__ = ["Selection", "meanings"]


@dataclass(frozen=True, slots=True)
class Selection:
    """Select runs; all of them by default.

    Attributes
    ----------
    uids : tuple of str
        Beginnings of uids; a run with any of them is taken.
    since, until : float or None
        Seconds since the epoch: start times of the first or later, and before the second.
    where : tuple of (key, text)
        Values that the start document must have; a dot separates nested keys.
    """

    uids: tuple[str, ...] = ()
    since: float | None = None
    until: float | None = None
    where: tuple[tuple[str, str], ...] = ()

    @classmethod
    def parse(
        cls,
        uids: Iterable[str] = (),
        since: str | None = None,
        until: str | None = None,
        where: Iterable[str] = (),
    ) -> Self:
        """Parse what a person types: ISO dates and times, ``key=value``.

        Raises
        ------
        ConfigurationError
            When a date or a condition cannot be read.

        Examples
        --------
        >>> Selection.parse(where=["sample_name=Fe2O3"]).where
        (('sample_name', 'Fe2O3'),)
        """
        conditions: list[tuple[str, str]] = []
        for text in where:
            key, equals, value = text.partition("=")
            if not (key.strip() and equals):
                raise ConfigurationError(f"--where {text!r}: write key=value, say element=Fe")
            conditions.append((key.strip(), value.strip()))
        for uid in uids:
            if not uid or not all(char.isalnum() or char == "-" for char in uid):
                raise ConfigurationError(f"--uid {uid!r}: a uid holds letters, digits and hyphens")
        return cls(
            tuple(uids),
            _seconds("--since", since) if since else None,
            _seconds("--until", until, last=True) if until else None,
            tuple(conditions),
        )

    def takes(self, start: Mapping[str, Any]) -> bool:
        """Return whether a run with this start document is selected."""
        uid, time = str(start.get("uid", "")), _began(start)
        return (
            (not self.uids or any(uid.startswith(beginning) for beginning in self.uids))
            and (self.since is None or time >= self.since)
            and (self.until is None or time < self.until)
            and all(_meant(text, value_at(start, key)) for key, text in self.where)
        )


def _began(start: Mapping[str, Any]) -> float:
    """Return when a run began; 0 where its start document does not say."""
    try:
        return float(start.get("time", 0.0))
    except (TypeError, ValueError, OverflowError):
        return 0.0


def _seconds(option: str, text: str, *, last: bool = False) -> float:
    """Parse a time, local unless it names a zone; a date as the end includes its whole day."""
    try:
        when = datetime.fromisoformat(text)
        if last and len(text) <= len("2026-11-22"):
            when += timedelta(days=1)
        return when.timestamp()
    except (ValueError, OverflowError, OSError) as error:  # also beyond the years of a clock
        raise ConfigurationError(
            f"{option} {text!r} is no ISO date or time; write 2026-11-22 or 2026-11-22T14:30"
        ) from error


def meanings(text: str) -> list[Any]:
    """Return what a typed value can mean: ``5`` the number or the text, else text only.

    Examples
    --------
    >>> meanings("5"), meanings("Fe")
    (['5', 5], ['Fe'])
    """
    try:
        number = json.loads(text)
    except (ValueError, RecursionError):
        return [text]
    return [text, number] if isinstance(number, (int, float)) else [text]


def _meant(text: str, value: Any) -> bool:
    return any(value == meaning and type(value) is type(meaning) for meaning in meanings(text)) or (
        isinstance(value, float) and value in meanings(text)
    )
