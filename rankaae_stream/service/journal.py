"""Keep documents on the disk until the results of their run are there.

A file for each run holds its documents in the order in which they came, each with its number
in the whole. Whatever is killed, the next process finds what was not answered.
"""

import contextlib
import hashlib
import os
import struct
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO

from rankaae_stream.documents.inbox import parent_of
from rankaae_stream.layouts.base import Document
from rankaae_stream.printable import get_logger
from rankaae_stream.private import open_private, private_folder
from rankaae_stream.service.decode import NotADocument, decode, encode

__all__ = ["Journal", "Kept"]

logger = get_logger(__name__)

RECORD = struct.Struct("<QI")
"""A record's head: the document's number, and how many bytes follow."""

ENDING = ".docs"
REASON = ".reason"
"""Of the file beside a run that was put aside, which says why."""


@dataclass(frozen=True, slots=True)
class Kept:
    """A document with its number and the run that it belongs to; empty where nobody knows.

    `since` is when it was taken, or read again after a worker died; seconds since the epoch.
    """

    number: int
    run: str
    payload: bytes
    since: float = field(default_factory=time.time, compare=False)


class Journal:
    """Documents of the runs that are not answered yet.

    Parameters
    ----------
    folder : Path
        Made when it does not exist, readable by its owner only.

    Raises
    ------
    OSError
        When the folder cannot be made or written.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._aside = folder / "quarantine"
        for path in (folder, self._aside):
            private_folder(path)
        self._next = 0
        self._files: dict[str, IO[bytes]] = {}
        self._sizes: dict[str, int] = {}
        self._run_of: dict[str, str] = {}
        self._dirty: set[str] = set()
        for path in folder.glob(f"*{ENDING}"):
            _mend(path)
        for kept in self.unfinished():
            self._next = max(self._next, kept.number + 1)

    @property
    def bytes(self) -> int:
        """Bytes on the disk."""
        return sum(self._sizes.values())

    def add(self, name: str, doc: Document) -> Kept:
        """Write a document to the file of its run; on the disk it is after `flush`."""
        run = self._find_run(name, doc)
        kept = Kept(self._next, run, encode(name, doc))
        self._next += 1
        if run:
            self._write(kept)
        return kept

    def flush(self) -> None:
        """Bring to the disk what was added."""
        dirty, self._dirty = self._dirty, set()
        for run in dirty:
            file = self._files.get(run)
            if file is not None:
                file.flush()
                os.fsync(file.fileno())

    def forget(self, run: str) -> None:
        """Remove the documents of a run whose results are on the disk."""
        self._close(run)
        self._sizes.pop(run, None)
        self._path(run).unlink(missing_ok=True)

    def put_aside(self, run: str, reason: str) -> Document | None:
        """Keep a run for a person to look at, with the reason; return its start document."""
        start = next((doc for name, doc in self.documents(run) if name == "start"), None)
        self._close(run)
        self._sizes.pop(run, None)
        path = self._path(run)
        with contextlib.suppress(FileNotFoundError):
            target = self._aside / path.name
            path.replace(target)
            with open(
                target.with_suffix(REASON), "w", encoding="utf-8", opener=open_private
            ) as file:
                file.write(reason)
        return start

    @property
    def put_aside_runs(self) -> int:
        """How many runs lie aside."""
        return sum(1 for _ in self._aside.glob(f"*{ENDING}"))

    def documents(self, run: str) -> list[tuple[str, Document]]:
        """Return the documents of a run, as far as they can be read."""
        self.flush()
        found: list[tuple[str, Document]] = []
        for _, payload in _records(self._path(run)):
            with contextlib.suppress(NotADocument):
                found.append(decode(payload))
        return found

    def unfinished(self) -> list[Kept]:
        """Return all documents on the disk by their numbers, and know again whose they are."""
        self.flush()
        found: list[Kept] = []
        for path in self._folder.glob(f"*{ENDING}"):
            run = ""
            for number, payload in _records(path):
                try:
                    name, doc = decode(payload)
                except NotADocument:
                    logger.warning("a document in %s cannot be read; it is left out", path)
                    continue
                run = self._find_run(name, doc) or run
                found.append(Kept(number, run, payload))
            self._sizes[run] = path.stat().st_size
        return sorted(found, key=lambda kept: kept.number)

    def close(self) -> None:
        """Flush and close all files; they stay."""
        self.flush()
        for run in tuple(self._files):
            self._close(run)

    def _find_run(self, name: str, doc: Document) -> str:
        """Return the uid of the run that a document belongs to, and note whose parent it is."""
        uid = str(doc.get("uid") or doc.get("resource") or "")
        if name == "start":
            return uid
        stated = doc.get("run_start")
        run = str(stated) if stated else self._run_of.get(str(parent_of(name, doc)), "")
        if run and uid and name in ("descriptor", "resource", "stream_resource"):
            self._run_of[uid] = run
        return run

    def _write(self, kept: Kept) -> None:
        file = self._files.get(kept.run)
        if file is None:
            flags = os.O_WRONLY | os.O_CREAT | os.O_APPEND
            descriptor = open_private(str(self._path(kept.run)), flags)
            file = self._files[kept.run] = os.fdopen(descriptor, "ab")
        file.write(RECORD.pack(kept.number, len(kept.payload)))
        file.write(kept.payload)
        size = RECORD.size + len(kept.payload)
        self._sizes[kept.run] = self._sizes.get(kept.run, 0) + size
        self._dirty.add(kept.run)

    def _close(self, run: str) -> None:
        file = self._files.pop(run, None)
        self._dirty.discard(run)
        if file is not None:
            with contextlib.suppress(OSError):
                file.close()
        self._run_of = {uid: owner for uid, owner in self._run_of.items() if owner != run}

    def _path(self, run: str) -> Path:
        # A run's uid may be any text; no path is made of it.
        return self._folder / f"{hashlib.sha256(run.encode()).hexdigest()[:40]}{ENDING}"


def _records(path: Path) -> Iterator[tuple[int, bytes]]:
    """Yield numbers and payloads of a file; what was being written when it was killed is left."""
    try:
        content = path.read_bytes()
    except FileNotFoundError:
        return
    for number, begin, end in _places(content):
        yield number, content[begin:end]


def _places(content: bytes) -> Iterator[tuple[int, int, int]]:
    """Yield the number of each whole record, and where its payload lies."""
    place = 0
    while place + RECORD.size <= len(content):
        number, size = RECORD.unpack_from(content, place)
        place += RECORD.size
        if place + size > len(content):
            return
        yield number, place, place + size
        place += size


def _mend(path: Path) -> None:
    """Cut off what was being written when the process was killed: more is appended there."""
    content = path.read_bytes()
    end = max((end for _, _, end in _places(content)), default=0)
    if end < len(content):
        os.truncate(path, end)
