"""Keep documents on the disk until the results of their run are there.

A file for each run holds its documents in the order in which they came, each with its number
in the whole. Whatever is killed, the next process finds what was not answered.
"""

import contextlib
import errno
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
from rankaae_stream.private import lock, open_lock, open_private, private_folder
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

    Only `flush` raises for a disk that is full or cannot be written: until it has worked, the
    documents stay in memory, and what is on the disk stays readable.

    Parameters
    ----------
    folder : Path
        Made when it does not exist, readable by its owner only. One process has it at a time.

    Raises
    ------
    BlockingIOError
        When another process has the folder.
    OSError
        When the folder cannot be made or written.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._aside = folder / "quarantine"
        for path in (folder, self._aside):
            private_folder(path)
        self._lock = open_lock(folder / "lock")
        if not lock(self._lock):
            self._lock.close()
            raise BlockingIOError(errno.EBUSY, "another process has it", str(folder))
        self._next = 0
        self._files: dict[str, IO[bytes]] = {}
        self._sizes: dict[str, int] = {}
        self._run_of: dict[str, str] = {}
        self._unwritten: dict[str, list[Kept]] = {}
        self._over: set[str] = set()  # runs whose file could not be removed
        self._begin()

    def _begin(self) -> None:
        for path in self._folder.glob(f"*{ENDING}"):
            _mend(path)
        for kept in self.unfinished():
            self._next = max(self._next, kept.number + 1)

    def take_over(self, folder: Path) -> None:
        """Take the documents of another folder, unless a process that lives has it.

        Raises
        ------
        OSError
            When they cannot be moved.
        """
        if folder == self._folder or not folder.is_dir():
            return
        with contextlib.closing(open_lock(folder / "lock")) as held:
            if not lock(held):
                return
            for path in folder.glob(f"*{ENDING}"):
                if not (self._folder / path.name).exists():
                    path.replace(self._folder / path.name)
        self._begin()

    @property
    def bytes(self) -> int:
        """Bytes on the disk."""
        return sum(tuple(self._sizes.values()))  # asked in another thread

    def add(self, name: str, doc: Document) -> Kept:
        """Take a document; in the file of its run it is after `flush`."""
        payload = encode(name, doc)  # first: one that cannot be kept owns no others
        run = self._find_run(name, doc)
        kept = Kept(self._next, run, payload)
        self._next += 1
        if run:
            self._over.discard(run)
            self._unwritten.setdefault(run, []).append(kept)
        return kept

    def flush(self) -> None:
        """Bring to the disk what was added.

        Raises
        ------
        OSError
            When that cannot be; what was added is tried again the next time.
        """
        for run in tuple(self._unwritten):
            self._write(run)
        for run in tuple(self._over):
            self.forget(run)

    def forget(self, run: str) -> None:
        """Remove the documents of a run whose results are on the disk."""
        self._close(run)
        self._unwritten.pop(run, None)
        try:
            self._path(run).unlink(missing_ok=True)
        except OSError as error:  # it is tried again: the next service would answer it once more
            if run not in self._over:
                logger.warning("the documents of run %s cannot be removed: %s", run, error)
            self._over.add(run)
        else:
            self._sizes.pop(run, None)
            self._over.discard(run)

    def put_aside(self, run: str, reason: str) -> Document | None:
        """Keep a run for a person to look at, with the reason; return its start document."""
        start = next((doc for name, doc in self.documents(run) if name == "start"), None)
        self._close(run)
        self._unwritten.pop(run, None)
        path = self._path(run)
        target = self._aside / path.name
        try:
            path.replace(target)
            self._sizes.pop(run, None)
            with open(
                target.with_suffix(REASON), "w", encoding="utf-8", opener=open_private
            ) as file:
                file.write(reason)
        except FileNotFoundError:
            pass  # nothing of it was on the disk
        except OSError as error:
            logger.warning("run %s cannot be put aside: %s", run, error)
        return start

    @property
    def put_aside_runs(self) -> int:
        """How many runs lie aside."""
        return sum(1 for _ in self._aside.glob(f"*{ENDING}"))

    def documents(self, run: str) -> list[tuple[str, Document]]:
        """Return the documents of a run, as far as they can be read."""
        payloads = [payload for _, payload in _records(self._path(run))]
        payloads += [kept.payload for kept in self._unwritten.get(run, ())]
        found: list[tuple[str, Document]] = []
        for payload in payloads:
            with contextlib.suppress(NotADocument):
                found.append(decode(payload))
        return found

    def unfinished(self) -> list[Kept]:
        """Return all documents by their numbers, and know again whose they are."""
        found = [kept for some in self._unwritten.values() for kept in some]
        over = {self._path(run) for run in self._over}
        for path in self._folder.glob(f"*{ENDING}"):
            if path in over:
                continue
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
        """Flush and close all files, which stay, and let another process have the folder."""
        try:
            self.flush()
        except OSError as error:
            logger.error("documents are not kept: %s", error)
        for run in tuple(self._files):
            self._close(run)
        self._lock.close()

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

    def _write(self, run: str) -> None:
        """Append what is unwritten of a run; whole, or not at all."""
        file = self._files.get(run)
        if file is None:
            flags = os.O_WRONLY | os.O_CREAT | os.O_APPEND
            descriptor = open_private(str(self._path(run)), flags)
            file = self._files[run] = os.fdopen(descriptor, "ab", buffering=0)
        before = size = self._sizes.get(run, 0)
        try:
            for kept in self._unwritten[run]:
                head = RECORD.pack(kept.number, len(kept.payload))
                for part in _parts(head, kept.payload):
                    left = memoryview(part)
                    while left:
                        left = left[file.write(left) :]
                size += len(head) + len(kept.payload)
            os.fsync(file.fileno())
        except BaseException:
            # Also what was written but not synced: nobody knows what of it reached the disk.
            with contextlib.suppress(OSError):
                os.truncate(self._path(run), before)
            raise
        self._sizes[run] = size
        del self._unwritten[run]

    def _close(self, run: str) -> None:
        file = self._files.pop(run, None)
        if file is not None:
            with contextlib.suppress(OSError):
                file.close()
        self._run_of = {uid: owner for uid, owner in self._run_of.items() if owner != run}

    def _path(self, run: str) -> Path:
        # A run's uid may be any text; no path is made of it.
        name = hashlib.sha256(run.encode("utf-8", "surrogatepass")).hexdigest()[:40]
        return self._folder / f"{name}{ENDING}"


def _parts(head: bytes, payload: bytes) -> tuple[bytes, ...]:
    """Put a head and what follows together, unless copying costs more than a second write."""
    return (head, payload) if len(payload) > 1 << 16 else (head + payload,)


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
