"""Read runs from files: suitcase JSON lines and msgpack, and bluesky's own JSON lines.

Nothing in a file is evaluated; arrays in msgpack are read by `packed`.
"""

import json
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, cast

from rankaae_stream.layouts.base import Document

__all__ = ["ENDINGS", "Damaged", "StoredRun", "read_runs"]

ENDINGS = (".jsonl", ".msgpack")


class Damaged(Exception):
    """What was read is not a run, or not all of one; the message says where."""


@dataclass(slots=True, eq=False)
class StoredRun:
    """One run of a file.

    Attributes
    ----------
    source : str
        The file.
    start : mapping
        Empty where the file holds no start document.
    problem : str
        Why its documents cannot all be read, or empty.
    """

    source: str
    start: Document
    held: list[tuple[str, Document]] = field(default_factory=list[tuple[str, Document]])
    problem: str = ""

    def documents(self) -> Iterator[tuple[str, Document]]:
        """Yield (name, document) in order.

        Raises
        ------
        Damaged
            At the end, when there should be more.
        """
        yield from self.held
        if self.problem:
            raise Damaged(self.problem)


def read_runs(path: Path) -> list[StoredRun]:
    """Read the runs of a file; one that is damaged is returned with its problem.

    Runs that ended before the damage are complete.
    """
    runs: dict[str, StoredRun] = {}
    owner: dict[str, str] = {}
    problem = ""
    try:
        for name, doc in _documents(path):
            run = _run_of(name, doc, runs, owner, path)
            run.held.append((name, doc))
    except (Damaged, OSError) as error:
        problem = str(error) if isinstance(error, Damaged) else f"{path}: {error.strerror}"
    if not runs:
        return [StoredRun(str(path), {}, problem=problem or f"{path} is empty")]
    if problem:
        for run in runs.values():
            if run.held[-1][0] != "stop":
                run.problem = problem
        if not any(run.problem for run in runs.values()):
            return [*runs.values(), StoredRun(str(path), {}, problem=problem)]
    return list(runs.values())


def _run_of(
    name: str, doc: Document, runs: dict[str, StoredRun], owner: dict[str, str], path: Path
) -> StoredRun:
    """Return the run that a document belongs to; a writer may mix several in a file."""
    if name == "start":
        uid = str(doc.get("uid", ""))
        if not uid:
            raise Damaged(f"{path}: a start document has no uid")
        return runs.setdefault(uid, StoredRun(str(path), doc))
    parents = (doc.get(key) for key in ("run_start", "descriptor", "resource", "stream_resource"))
    parent = next((str(value) for value in parents if value), "")
    uid = parent if parent in runs else owner.get(parent, "")
    if not uid and len(runs) == 1:
        uid = next(iter(runs))
    if uid not in runs:
        raise Damaged(f"{path}: a {name} document belongs to no run of the file")
    if "uid" in doc:
        owner[str(doc["uid"])] = uid
    return runs[uid]


def _documents(path: Path) -> Iterator[tuple[str, Document]]:
    items = _json_lines(path) if path.suffix == ".jsonl" else _msgpack(path)
    for place, item in items:
        name, doc = None, None
        if isinstance(item, dict):
            named = cast("dict[str, Any]", item)
            name, doc = named.get("name"), named.get("doc")
        elif isinstance(item, list) and len(pair := cast("list[Any]", item)) == 2:
            name, doc = pair
        if not isinstance(name, str) or not isinstance(doc, dict):
            raise Damaged(f"{path}, {place}: no bluesky document, which is a name with a mapping")
        yield name, cast("Document", doc)


def _json_lines(path: Path) -> Iterator[tuple[str, Any]]:
    with path.open("rb") as file:
        for number, line in enumerate(file, start=1):
            if not line.strip():
                continue
            place = f"line {number}"
            try:
                yield place, json.loads(line)
            except (ValueError, RecursionError) as error:
                what = "is not JSON" if line.endswith(b"\n") else "is cut short"
                raise Damaged(f"{path}, {place}: it {what}") from error


def _msgpack(path: Path) -> Iterator[tuple[str, Any]]:
    import msgpack

    from rankaae_stream.past.packed import Unpacker  # not read for JSON lines

    size = path.stat().st_size
    with path.open("rb") as file:
        # Nothing in a file can be longer than the file.
        unpacker = Unpacker(file, object_hook=_listed, max_buffer_size=max(size, 1))
        number = 0
        while unpacker.tell() < size:
            number += 1
            place = f"document {number}"
            try:
                yield place, unpacker.unpack()
            except msgpack.OutOfData as error:
                raise Damaged(f"{path}, {place}: it is cut short") from error
            except Exception as e:  # whatever msgpack and numpy raise for foreign bytes
                raise Damaged(f"{path}, {place}: it is not msgpack of documents ({e})") from e


def _listed(item: dict[Any, Any]) -> Any:
    """Return what stands for an array as JSON would have it: a number, a list; else an array."""
    from rankaae_stream.past.packed import array_of

    value = array_of(item)
    return value.tolist() if getattr(value, "ndim", 2) < 2 else value
