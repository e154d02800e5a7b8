"""Read Athena project files (``.prj``): groups of mu(E) as Demeter and larch write them.

A project is text, usually gzipped: either assignments in Perl's syntax, one record for
each group, or one JSON object. Nothing in it is evaluated. Format: B. Ravel, Demeter's
documentation, and larch's writer.
"""

import json
import re
import zlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any, cast

import numpy as np

from rankaae_stream.errors import Refused
from rankaae_stream.files.base import MAX_BYTES, Measured
from rankaae_stream.files.energies import stated_ev
from rankaae_stream.files.text import decode, split_lines
from rankaae_stream.spectrum import Floats

__all__ = ["is_athena", "read_athena"]

MAX_JSON = 32 * 1024 * 1024
"""Largest JSON project, in characters: read, they take about twenty times the memory."""
MOST = 5000
"""Most groups of a project."""
LONGEST = 1_000_000
"""Characters of a group's settings that are read."""
_GZIP = b"\x1f\x8b"
_ASSIGNMENT = re.compile(r"[@$](\w+)\s*=")
_WORD = re.compile(r"'((?:[^'\\]|\\.)*)'|\"((?:[^\"\\]|\\.)*)\"|([^\s,()]+)")


@dataclass(frozen=True, slots=True)
class _Group:
    """One record: its name inside the project, its settings and its columns."""

    name: str
    settings: Mapping[str, str]
    x: list[Any]
    y: list[Any]

    @property
    def label(self) -> str:
        """Return the name that the user gave it."""
        return self.settings.get("label") or self.name


def is_athena(content: bytes) -> bool:
    """Return whether a file's content is an Athena project."""
    head = _unpack(content, 4096) if content.startswith(_GZIP) else content
    return b"Athena project file" in head[:2000]


def read_athena(content: bytes) -> tuple[Measured, ...]:
    """Read every group of a project.

    Parameters
    ----------
    content : bytes
        Of the file, gzipped or not.

    Returns
    -------
    tuple of Measured
        In the project's order, each with its label, on the project's shifted axis, and with
        its reference group as the foil; a group that is a reference has that channel.

    Raises
    ------
    Refused
        ``file`` when the project is damaged, cut short, too large, or holds no group.
    """
    text = decode(_unpack(content, MAX_BYTES) if content.startswith(_GZIP) else content)
    records = _json_records(text) if text.lstrip().startswith("{") else _perl_records(text)
    groups: dict[str, _Group] = {}
    for group in records:
        groups[group.name if group.name not in groups else f"{group.name} {len(groups)}"] = group
        if len(groups) > MOST:
            raise Refused("file", f"the project holds more than {MOST} groups")
    if not groups:
        raise Refused("file", "the Athena project holds no group")
    spectra = {name: _measured(group) for name, group in groups.items()}
    for name, group in groups.items():
        tied = group.settings.get("reference", "")
        if tied == name or tied not in spectra or _is_reference(group):
            continue
        foil = spectra[tied]
        spectra[name] = replace(
            spectra[name],
            reference=foil.mu,
            reference_energy=foil.energy,
            notes=(*spectra[name].notes, f"its reference group {foil.label.strip()!r} is the foil"),
        )
        if _is_reference(groups[tied]):
            spectra[tied] = replace(foil, channel="reference")
    return tuple(spectra.values())


def _unpack(content: bytes, limit: int) -> bytes:
    """Unpack at most `limit` bytes: a small file can unpack to any size."""
    unpack = zlib.decompressobj(zlib.MAX_WBITS | 16)
    try:
        found = unpack.decompress(content, limit)
    except zlib.error as error:
        raise Refused("file", f"the compressed project is damaged ({error})") from error
    if limit >= MAX_BYTES:
        if unpack.unconsumed_tail:
            raise Refused("file", f"the project unpacks to more than {limit // 1024**2} MiB")
        if not unpack.eof:
            raise Refused("file", "the compressed project is cut short")
    return found


def _perl_records(text: str) -> Iterator[_Group]:
    """Yield each group's record, from ``$old_group`` to ``[record]``."""
    record: dict[str, str] = {}
    for line in split_lines(text):
        found = _ASSIGNMENT.match(line)
        if found:
            record[found[1]] = line[found.end() :].strip().rstrip(";")
        elif line.startswith("[record]"):
            if _cells(record.get("x", "")):
                words = [re.sub(r"\\(.)", r"\1", word) for word in _words(record.get("args", ""))]
                settings = dict(zip(words[::2], words[1::2], strict=False))
                name = _words(record.get("old_group", ""))
                x, y = _cells(record["x"]), _cells(record.get("y", ""))
                yield _Group(name[0] if name else "", settings, x, y)
            record = {}
    if _cells(record.get("x", "")):
        raise Refused("file", "the project is cut short inside a group")


def _words(text: str) -> list[str]:
    return [a or b or c for a, b, c in _WORD.findall(text[:LONGEST])]


def _cells(text: str) -> list[str]:
    """Return the numbers of a list, still as text."""
    inside = text.strip("() ,").replace("'", "").replace('"', "")
    return inside.split(",") if inside else []


def _json_records(text: str) -> Iterator[_Group]:
    if len(text) > MAX_JSON:
        raise Refused("file", f"a JSON project of more than {MAX_JSON // 1024**2} MiB")
    try:
        project = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise Refused("file", f"the JSON project is damaged or cut short ({error})") from error
    for name, record in project.items():
        if not name.startswith("_") and isinstance(record, dict) and record.get("x"):
            group = cast("dict[str, Any]", record)
            args: Any = group.get("args")
            if isinstance(args, list):  # keys and values in turn, as in the older format
                listed = cast("list[Any]", args)
                args = dict(zip(map(str, listed[::2]), listed[1::2], strict=False))
            stated = cast("dict[Any, Any]", args if isinstance(args, dict) else {})
            settings = {str(key): str(value) for key, value in stated.items()}
            yield _Group(name, settings, group["x"], group.get("y") or [])


def _measured(group: _Group) -> Measured:
    label, settings = group.label, group.settings
    energy, mu = _numbers(label, group.x), _numbers(label, group.y)
    if energy.size != mu.size:
        raise Refused("file", f"group {label!r} has {energy.size} energies but {mu.size} values")
    shift = _number(settings.get("bkg_eshift"))
    notes: tuple[str, ...] = ()
    if shift:
        energy = energy + shift
        notes = (f"the energy shift of the project, {shift:+g} eV, was added",)
    element = settings.get("bkg_z", "").strip()
    # Athena writes hydrogen where nobody has set the element.
    known = element.lower() not in ("", "h", "hydrogen", "?")
    return Measured(
        energy=energy,
        mu=mu,
        element=element if known else None,
        shell=(settings.get("fft_edge") or "K").upper() if known else None,
        label=label,
        notes=notes,
        e0=stated_ev(settings.get("bkg_e0")),
        kind=_kind(group),
    )


def _kind(group: _Group) -> str:
    """Return the kind of a group: ``xas``, ``herfd``, ``chi`` or ``difference``."""
    settings, label = group.settings, group.label.lower()
    if settings.get("is_chi") == "1" or settings.get("datatype") == "chi":
        return "chi"
    if settings.get("is_diff") == "1" or re.match(r"\s*diff(erence)?\b", label):
        return "difference"
    return "herfd" if "herfd" in label else "xas"


def _is_reference(group: _Group) -> bool:
    return re.match(r"\s*ref\b", group.label, re.IGNORECASE) is not None


def _number(text: str | None) -> float:
    try:
        value = float(text or 0.0)
    except ValueError:
        return 0.0
    return value if abs(value) < 1000.0 else 0.0


def _numbers(label: str, words: list[Any]) -> Floats:
    try:
        return np.array(words, dtype=float).ravel()
    except (ValueError, TypeError, OverflowError) as error:
        raise Refused("file", f"group {label!r} holds values that are not numbers") from error
