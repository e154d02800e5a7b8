"""Find named fields in a run and read their numbers: the same for every layout."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from fnmatch import fnmatchcase
from typing import Any

import numpy as np

from rankaae_stream.errors import Refused
from rankaae_stream.spectrum import Floats, Limits

__all__ = [
    "first",
    "levels_of",
    "limits_of",
    "match_all",
    "missing_fields",
    "names_of",
    "numbers",
]


def limits_of(
    limits: Mapping[str, Limits], fields: Mapping[Any, Sequence[str]]
) -> dict[str, Limits]:
    """Limits of the roles that a run has, each with its field's name, or how many there are."""
    named: dict[str, Limits] = {}
    for role, names in fields.items():
        if role in limits:
            name = names[0] if len(names) == 1 else f"one of {len(names)} {role} fields"
            named[role] = replace(limits[role], name=name)
    return named


def levels_of(
    limits: Mapping[str, Limits], read: Mapping[Any, Sequence[Floats]]
) -> dict[str, Floats]:
    """What the detectors with limits read, (n,) each: of several that are summed the highest."""
    return {role: np.max(np.abs(read[role]), axis=0) for role in limits}


def first(wanted: Iterable[str | None], keys: Mapping[str, Any]) -> str | None:
    """The first of several fields that there is."""
    return next((key for key in wanted if key is not None and key in keys), None)


def match_all(wanted: Iterable[str], keys: Mapping[str, Any]) -> tuple[str, ...]:
    """All of several fields or patterns, or nothing where one of them is absent."""
    found: dict[str, None] = {}
    for name in wanted:
        fitting = [key for key in keys if key == name or fnmatchcase(key, name)]
        if not fitting:
            return ()
        found.update(dict.fromkeys(fitting))
    return tuple(found)


def numbers(data: Mapping[str, Any], key: str) -> Floats:
    """A field's value or values, as floats of whatever shape they have.

    Raises
    ------
    Refused
        ``missing_fields`` when there is none, or it holds something else.
    """
    try:
        return np.asarray(data[key], dtype=float)
    except KeyError:
        message = f"an event has no {key}, which its descriptor announces"
    except (TypeError, ValueError):
        message = f"{key} holds {str(data[key])[:60]!r}, which is no number"
    raise Refused("missing_fields", message)


def names_of(stream: str, fields: Mapping[Any, Sequence[str]]) -> dict[str, str]:
    """Where each role is found, in words; see `base.NamingReader`."""
    return {role: f"{' + '.join(keys)} in stream {stream}" for role, keys in fields.items()}


def missing_fields(
    stream: str, absent: Iterable[tuple[str, Iterable[str]]], keys: Iterable[str]
) -> Refused:
    """Refusal of a stream that has not what the profile names, with what it has."""
    wanted = ", no ".join(f"{what} ({' or '.join(names)})" for what, names in absent)
    return Refused(
        "missing_fields",
        f"stream {stream!r} has no {wanted}; its fields are {', '.join(sorted(keys))}",
    )
