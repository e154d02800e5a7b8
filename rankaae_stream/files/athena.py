"""Read Athena project files (``.prj``): groups of mu(E) as Demeter and larch write them.

A project is text, usually gzipped: either assignments in Perl's syntax, one record for
each group, or one JSON object. Nothing in it is evaluated. Format: B. Ravel, Demeter's
documentation, and larch's writer.
"""

import json
import re
import zlib
from collections.abc import Iterator
from typing import Any

import numpy as np

from rankaae_stream.errors import Refused
from rankaae_stream.files.base import MAX_BYTES, Measured
from rankaae_stream.spectrum import Floats

__all__ = ["is_athena", "read_athena"]

_GZIP = b"\x1f\x8b"
_ASSIGNMENT = re.compile(r"^[@$](\w+)\s*=\s*(.*?);?\s*$")
_WORD = re.compile(r"'((?:[^'\\]|\\.)*)'|\"((?:[^\"\\]|\\.)*)\"|([^\s,()]+)")


def is_athena(content: bytes) -> bool:
    """Return whether a file's content is an Athena project."""
    head = _text(content, 4096)[:2000] if content.startswith(_GZIP) else _decoded(content[:2000])
    return "Athena project file" in head


def read_athena(content: bytes) -> tuple[Measured, ...]:
    """Read every group of a project.

    Parameters
    ----------
    content : bytes
        Of the file, gzipped or not.

    Returns
    -------
    tuple of Measured
        One for each group, in the project's order, with its label.

    Raises
    ------
    Refused
        ``file`` when the project is damaged, cut short, too large, or holds no group.
    """
    text = _text(content, MAX_BYTES) if content.startswith(_GZIP) else _decoded(content)
    records = _json_records(text) if text.lstrip().startswith("{") else _perl_records(text)
    groups = tuple(_measured(label, record) for label, record in records)
    if not groups:
        raise Refused("file", "the Athena project holds no group")
    return groups


def _text(content: bytes, limit: int) -> str:
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
    return _decoded(found)


def _decoded(content: bytes) -> str:
    return content.decode("utf-8", errors="replace")


def _perl_records(text: str) -> Iterator[tuple[str, dict[str, Any]]]:
    """Yield label and record of each group, from ``$old_group`` to ``[record]``."""
    record: dict[str, Any] = {}
    for line in text.splitlines():
        found = _ASSIGNMENT.match(line)
        if found:
            record[found[1]] = [a or b or c for a, b, c in _WORD.findall(found[2])]
        elif line.startswith("[record]"):
            if record.get("x"):
                yield _labelled(record)
            record = {}
    if record.get("x"):
        raise Refused("file", "the project is cut short inside a group")


def _labelled(record: dict[str, Any]) -> tuple[str, dict[str, Any]]:
    words = [_unescaped(word) for word in record.get("args", [])]
    settings = dict(zip(words[::2], words[1::2], strict=False))
    name = (record.get("old_group") or [""])[0]
    return settings.get("label") or name, {**record, "args": settings}


def _json_records(text: str) -> Iterator[tuple[str, dict[str, Any]]]:
    try:
        project = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise Refused("file", f"the JSON project is damaged or cut short ({error})") from error
    for name, record in project.items():
        if not name.startswith("_") and isinstance(record, dict) and record.get("x"):
            args = record.get("args")
            pairs = args.items() if isinstance(args, dict) else ()
            settings = {str(key): str(value) for key, value in pairs}
            yield settings.get("label") or name, {**record, "args": settings}


def _measured(label: str, record: dict[str, Any]) -> Measured:
    energy, mu = _numbers(label, record["x"]), _numbers(label, record.get("y") or [])
    if energy.size != mu.size:
        raise Refused("file", f"group {label!r} has {energy.size} energies but {mu.size} values")
    settings = record["args"]
    return Measured(
        energy=energy,
        mu=mu,
        element=settings.get("bkg_z") or None,
        shell=(settings.get("fft_edge") or "K").upper(),
        label=label,
    )


def _numbers(label: str, words: list[Any]) -> Floats:
    try:
        return np.array(words, dtype=float).ravel()
    except (ValueError, TypeError) as error:
        raise Refused("file", f"group {label!r} holds values that are not numbers") from error


def _unescaped(word: str) -> str:
    return re.sub(r"\\(.)", r"\1", word)
