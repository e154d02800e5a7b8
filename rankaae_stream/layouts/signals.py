"""Find named fields in a run and read their numbers: the same for every layout."""

import operator
import reprlib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from fnmatch import fnmatchcase
from typing import Any, TypeGuard, cast

import numpy as np

from rankaae_stream.errors import Refused
from rankaae_stream.layouts.base import Document, EventNumbers, Field, value_at
from rankaae_stream.spectrum import Floats, Limits

__all__ = [
    "ANSWERS",
    "NamedSignals",
    "check_roles",
    "column",
    "energy_unit",
    "event_count",
    "event_numbers",
    "find_roles",
    "find_signals",
    "first",
    "first_dimension",
    "flat",
    "in_events",
    "levels_of",
    "limits_of",
    "match_all",
    "names_of",
    "no_stream",
    "numbers",
    "times_of",
]

ANSWERS = ("it", "fluorescence", "pips")
"""Signals of which a run needs one at least."""


@dataclass(frozen=True, slots=True)
class NamedSignals:
    """Field names of a scan in one stream, by role; of several the first that a run has is used."""

    stream: str
    energy: Sequence[str]
    i0: Sequence[str]
    it: Sequence[str] = ()
    ir: Sequence[str] = ()
    fluorescence: Sequence[Any] = ()
    pips: Sequence[str] = ()
    limits: Mapping[str, Limits] = field(default_factory=dict[str, Limits])

    def fields(self) -> list[Field]:
        """Return the names of the fields; see `layouts.base.NamingLayout`."""
        roles = ("energy", "i0", "it", "ir", "fluorescence", "pips")
        return [Field(role, getattr(self, role), self.stream) for role in roles]


def find_signals(
    fields: Iterable[Field],
    keys: Mapping[str, Any],
    dimension: str | None,
    sums: Iterable[Sequence[str]],
) -> dict[str, tuple[str, ...]]:
    """Return the fields of a scan by role.

    Parameters
    ----------
    fields : iterable of Field
    keys : mapping
        Data keys of the stream.
    dimension : str or None
        What the scan moves first: the energy where none of its names is there.
    sums : iterable of sequences of str
        Names or patterns to sum as the fluorescence; the first that all are there counts.
    """
    found = find_roles(fields, keys, ("energy", "i0", "it", "ir", "pips"))
    axis = first((dimension,), keys)
    if "energy" not in found and axis is not None and _unit_of(keys, axis).lower() in _UNITS:
        found["energy"] = (axis,)
    summed = next(filter(None, (match_all(names, keys) for names in sums)), ())
    return {**found, "fluorescence": summed} if summed else found


def find_roles(
    fields: Iterable[Field], keys: Mapping[str, Any], roles: Iterable[str]
) -> dict[str, tuple[str, ...]]:
    """Return, for each of the roles that a stream has, the first of its names that is there."""
    wanted = {field.role: first(field.names, keys) for field in fields}
    return {role: (name,) for role in roles if (name := wanted.get(role)) is not None}


def check_roles(
    stream: str,
    fields: Iterable[Field],
    found: Iterable[str],
    keys: Iterable[str],
    needed: Iterable[str] = ("energy", "i0"),
    answers: Iterable[str] = ANSWERS,
) -> None:
    """Refuse a stream in which not all needed roles were found, and one of the answers.

    Raises
    ------
    Refused
        ``missing_fields``, with the names that were looked for and those that there are.
    """
    found, names = set(found), {field.role: flat(field.names) for field in fields}
    absent = [f"{role} ({' or '.join(names[role])})" for role in needed if role not in found]
    if answers and not found.intersection(answers):
        either = [name for role in answers for name in names[role]]
        absent.append(f"it or fluorescence ({' or '.join(either)})")
    if absent:
        raise Refused(
            "missing_fields",
            f"stream {stream!r} has no {', no '.join(absent)}; its fields are "
            f"{', '.join(sorted(keys))}",
        )


def in_events(keys: Mapping[str, Any]) -> dict[str, Any]:
    """Return the data keys whose values are in events, not in files that are announced."""
    return {
        key: described
        for key, described in keys.items()
        if not str(described.get("external") or "").startswith("STREAM")
    }


def first_dimension(start: Document, stream: str) -> str | None:
    """Return the first axis that the scan moves in a stream, by the start document's hints."""
    dimensions = value_at(start, "hints.dimensions")
    if not isinstance(dimensions, (list, tuple)):
        return None
    for dimension in cast("Sequence[Any]", dimensions):
        # What a plan writes there is its own affair: it may be anything.
        match dimension:
            case [[str(axis), *_], str(name)] if name == stream:
                return axis
            case _:
                continue
    return None


def no_stream(stream: str, streams: Iterable[str]) -> str:
    """Return the reason why a run without a stream was not read."""
    return f"the run has no stream {stream!r}; its streams: {', '.join(streams) or 'none'}"


def limits_of(
    limits: Mapping[str, Limits], fields: Mapping[Any, Sequence[str]]
) -> dict[str, Limits]:
    """Return the limits of the roles that a run has, each with its field's name."""
    named: dict[str, Limits] = {}
    for role, names in fields.items():
        if role in limits:
            name = names[0] if len(names) == 1 else f"one of {len(names)} {role} fields"
            named[role] = replace(limits[role], name=name)
    return named


def levels_of(
    limits: Mapping[str, Limits], read: Mapping[Any, Sequence[Floats]]
) -> dict[str, Floats]:
    """Return what the detectors with limits read, (n,) each: of several the highest."""
    return {role: np.max(np.abs(read[role]), axis=0) for role in limits}


def first(wanted: Iterable[str | None], keys: Mapping[str, Any]) -> str | None:
    """Return the first of several names that is there."""
    return next((key for key in wanted if key is not None and key in keys), None)


def flat(names: Iterable[Any]) -> list[str]:
    """Return the single names of a list that may hold lists.

    Examples
    --------
    >>> flat(["a", ["b", "c"]])
    ['a', 'b', 'c']
    """
    return [name for item in names for name in ([item] if isinstance(item, str) else item)]


def match_all(wanted: Iterable[str], keys: Iterable[str]) -> tuple[str, ...]:
    """Return the keys that fit names or patterns; none where one of these fits nothing."""
    found: dict[str, None] = {}
    for name in wanted:
        fitting = [key for key in keys if key == name or fnmatchcase(key, name)]
        if not fitting:
            return ()
        found.update(dict.fromkeys(fitting))
    return tuple(found)


def numbers(data: Mapping[str, Any], key: str) -> Floats:
    """Return a field's value or values as floats, in whatever shape they have.

    Raises
    ------
    Refused
        ``missing_fields`` when there is none, or it holds something else.
    """
    try:
        value: Any = data[key]
        # Python counts True as 1: as a current it would be a wrong one, and nobody would see.
        several: Sequence[Any] = value if type(value) in (list, tuple) else (value,)
        if bool in map(type, several):
            raise TypeError
        return np.asarray(value, dtype=float)
    except KeyError:
        message = f"an event has no {key}, which its descriptor announces"
    except (TypeError, ValueError, OverflowError, RecursionError):
        message = f"{key} holds {reprlib.repr(data[key])}, which is no number"
    raise Refused("missing_fields", message)


def column(data: Mapping[str, Any], key: str, count: int | None = None) -> tuple[Floats, str]:
    """Return one number of each event, NaN where there is none, and why the first has none.

    Parameters
    ----------
    data : mapping
        Of an event, or of a page.
    key : str
    count : int, optional
        How many events the page has; not given for an event.

    Returns
    -------
    (n,) array
    problem : str
        Empty where every value is a number.
    """
    problem = ""
    try:
        values = numbers(data, key).ravel()
        if values.size == (count or 1):
            return values, ""
        problem = f"{key} holds {values.size} numbers for {count or 1} events"
    except Refused as refused:
        problem = refused.message
    found = np.full(count or 1, np.nan)
    values: Any = data.get(key)
    if count is not None and _is_column(values) and len(values) == count:
        each = [column({key: value}, key) for value in values]
        found = np.concatenate([value for value, _ in each])
        problem = next((why for _, why in each if why), problem)
    return found, problem


def event_count(name: str, doc: Document) -> int | None:
    """Return how many events a page has, None for an event."""
    if name == "event":
        return None
    columns = [doc.get(key) for key in ("time", "seq_num", "uid")]
    return max((len(values) for values in columns if _is_column(values)), default=0)


def _is_column(values: Any) -> TypeGuard[Sequence[Any]]:
    """Return whether these are the values of a page: a list, or an array as an archive has it."""
    return hasattr(values, "__len__") and not isinstance(values, (str, bytes, Mapping))


def event_numbers(stream: str, doc: Document, count: int | None) -> EventNumbers | None:
    """Return the numbers of an event, or of a page of `count`; None where it has none."""
    seq: Any = doc.get("seq_num")
    try:
        numbered = [operator.index(n) for n in ([seq] if count is None else seq)]
    except TypeError:
        return None
    if any(abs(n) >= _MOST for n in numbered):
        return None
    times = times_of(doc, count)
    return EventNumbers(stream, numbered, times) if len(numbered) == len(times) else None


_MOST = 2**62
"""No event has such a number; it would not fit an array."""


def times_of(doc: Document, count: int | None) -> list[float]:
    """Return the time of each event of a document, seconds since the epoch; 0 where unknown."""
    times, _ = column(doc, "time", count)
    return np.nan_to_num(times, nan=0.0, posinf=0.0, neginf=0.0).tolist()


_UNITS = {"": 1.0, "ev": 1.0, "electron_volt": 1.0, "kev": 1000.0, "kiloelectron_volt": 1000.0}


def energy_unit(keys: Mapping[str, Any], field: str) -> float:
    """Return one unit of an energy field in eV.

    Raises
    ------
    Refused
        ``missing_fields`` when its unit is no energy.
    """
    unit = _unit_of(keys, field)
    if unit.lower() not in _UNITS:
        raise Refused("missing_fields", f"energy {field} is in {unit}, not in eV or keV")
    return _UNITS[unit.lower()]


def _unit_of(keys: Mapping[str, Any], field: str) -> str:
    return str(keys[field].get("units") or "").strip()


def names_of(stream: str, fields: Mapping[Any, Sequence[str]]) -> dict[str, str]:
    """Return, for a person to read, where each role was found; see `base.NamingReader`."""
    return {role: f"{' + '.join(keys)} in stream {stream}" for role, keys in fields.items()}
