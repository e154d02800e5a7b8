"""Keep every final result, complete and on the disk, before a sink sees it.

Several sessions may share a spool. One of them, its owner, also sends what others left
there; each remembers on the disk which runs it has growing in the sink, so that the next
owner can end those of a session that was killed.
"""

import contextlib
import json
import os
import shutil
import stat
import sys
import tempfile
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, cast

from rankaae_stream.private import lock, open_lock, open_private, private_folder
from rankaae_stream.results.compose import ResultRun
from rankaae_stream.results.what_if import PURPOSE

__all__ = ["SUBFOLDERS", "Entry", "Spool", "entries"]

State = Literal["waiting", "rejected", "sent"]

SUBFOLDERS: dict[State, str] = {"waiting": ".", "rejected": "rejected", "sent": "sent"}

REASON = ".reason"
"""Suffix of the file beside a rejected result that says why."""

GROWING = "growing"
"""Subfolder with a folder for each session, which holds a lock and the stop documents of the
runs that the session has growing in the sink."""


@dataclass(frozen=True, slots=True)
class Entry:
    """A result in a spool, as a person looks for it.

    Attributes
    ----------
    uid : str
    state : {"waiting", "rejected", "sent"}
    written : float
        Seconds since the epoch.
    start : dict
        The result's start document; empty where the file is damaged.
    reason : str
        Why a sink did not take it.
    """

    uid: str
    state: State
    written: float
    start: dict[str, Any]
    reason: str = ""


def entries(folder: Path) -> list[Entry]:
    """List the results in a spool's folder, oldest first; read-only, takes no lock."""
    found = [
        _entry(path, state, nanoseconds / 1e9)
        for state in SUBFOLDERS
        for nanoseconds, path in _files(folder, state)
    ]
    return sorted((entry for entry in found if entry), key=lambda entry: entry.written)


def _files(folder: Path, state: State) -> list[tuple[int, Path]]:
    """List the files of a state with the time each was written (ns), oldest first."""
    found: list[tuple[int, Path]] = []
    for path in (folder / SUBFOLDERS[state]).glob("*.jsonl"):
        with contextlib.suppress(FileNotFoundError):  # sent meanwhile
            about = path.stat()
            # A pipe or a device would hold up who opens it.
            if stat.S_ISREG(about.st_mode) or stat.S_ISDIR(about.st_mode):
                found.append((about.st_mtime_ns, path))
    return sorted(found)


def _entry(path: Path, state: State, written: float) -> Entry | None:
    reason = ""
    try:
        with path.open(encoding="utf-8") as file:
            first = file.readline()
        if state == "rejected":
            with contextlib.suppress(FileNotFoundError):
                reason = path.with_suffix(REASON).read_text(encoding="utf-8")
    except FileNotFoundError:
        return None  # sent meanwhile
    except (OSError, UnicodeDecodeError) as error:
        return Entry(path.stem, state, written, {}, f"cannot be read: {error}")
    try:
        name, start = json.loads(first)
    except (ValueError, TypeError, RecursionError):
        name, start = "", {}
    whole = name == "start" and isinstance(start, dict)
    kept = cast("dict[str, Any]", start) if whole else {}
    return Entry(path.stem, state, written, kept, reason)


class Spool:
    """A folder of final results: waiting, sent, and those that a sink will not take.

    Parameters
    ----------
    folder : Path
        Made when it does not exist, readable by its owner only.
    keep : int
        How many sent results stay for a look.

    Attributes
    ----------
    owner : bool
        Whether this process may send what others left in the folder; see `claim`.

    Raises
    ------
    OSError
        When the folder cannot be made or written, or others may write into it: a result
        that anyone may plant would be published under this user's key.
    """

    def __init__(self, folder: Path, keep: int = 1000) -> None:
        self.folder = folder
        self._keep = keep
        for sub in (*SUBFOLDERS.values(), GROWING):
            private_folder(folder / sub)
        # Listed once: a folder of a thousand files is not read again for each result.
        self._sent = dict.fromkeys(path.stem for _, path in _files(folder, "sent"))
        self._read: dict[str, int] = {}  # which file it was, by its number on the disk
        self._lock_file = open_lock(folder / "lock")
        self.owner = False
        self.claim()
        self._session = Path(tempfile.mkdtemp(dir=folder / GROWING))
        self._session_lock = open_lock(self._session / "lock")
        lock(self._session_lock)

    def claim(self) -> bool:
        """Become the owner unless another process is; return whether this one is it now."""
        self.owner = self.owner or lock(self._lock_file)
        return self.owner

    def add(self, run: ResultRun) -> None:
        """Write a result complete; it is on the disk when this returns."""
        # A name that no other session has: two may bring the same result at once.
        descriptor, name = tempfile.mkstemp(".part", f"{run.uid}.", self.folder)
        temporary = Path(name)
        try:
            with open(descriptor, "w", encoding="utf-8") as file:
                for item in run.documents():
                    file.write(json.dumps(item) + "\n")
                file.flush()
                os.fsync(file.fileno())
            temporary.replace(self._path(run.uid, "waiting"))
        except BaseException:
            with contextlib.suppress(OSError):
                temporary.unlink(missing_ok=True)  # half of it helps nobody, least a full disk
            raise
        self._sync_folder()

    def waiting(self, older_than: float = 0.0) -> list[str]:
        """List the uids of results not yet sent, oldest first; those of a minimum age, s."""
        now = time.time_ns()
        # Of a file from the future nobody knows the age: the clock was set back since.
        return [
            path.stem
            for written, path in _files(self.folder, "waiting")
            if not 0 <= now - written < older_than * 1e9
        ]

    def written(self, uid: str) -> float:
        """Return when a waiting result was written, seconds since the epoch; now if it is gone."""
        try:
            return self._path(uid, "waiting").stat().st_mtime
        except OSError:
            return time.time()

    def is_extra(self, uid: str) -> bool:
        """Return whether what waits is a model's what-if curves, and no result of a scan."""
        found = _entry(self._path(uid, "waiting"), "waiting", 0.0)
        return found is not None and found.start.get("purpose") == PURPOSE

    def is_sent(self, uid: str) -> bool:
        """Return whether a result lies among those that were sent."""
        return self._path(uid, "sent").exists()

    def read(self, uid: str) -> ResultRun:
        """Read a waiting result as it was written.

        Raises
        ------
        FileNotFoundError
        ValueError
            When the file holds something else than this result's documents.
        """
        try:
            with self._path(uid, "waiting").open(encoding="utf-8") as file:
                self._read[uid] = os.fstat(file.fileno()).st_ino
                text = file.read()
            run = ResultRun.of(json.loads(line) for line in text.splitlines())
            if run.uid != uid or any(doc.get("time") is None for _, doc in run.documents()):
                raise ValueError(f"its start document has the uid {run.uid!r}")
        except (IsADirectoryError, TypeError, LookupError, AttributeError, RecursionError) as error:
            raise ValueError(f"{type(error).__name__}: {error}") from error
        return run

    def sent(self, uid: str) -> bool:
        """Mark a result as sent, unless another answer has taken its place since it was read.

        Returns
        -------
        bool
            Whether nothing of that uid waits any more.
        """
        if not self._move(uid, "waiting", "sent"):
            return False
        self._sent.pop(uid, None)
        self._sent[uid] = None
        while len(self._sent) > self._keep:
            oldest = next(iter(self._sent))
            del self._sent[oldest]
            self._path(oldest, "sent").unlink(missing_ok=True)
        return True

    def rejected(self, uid: str, reason: str = "") -> bool:
        """Put aside a result that the sink will not take, for a person to look at; see `sent`."""
        if not self._move(uid, "waiting", "rejected"):
            return False
        aside = self._path(uid, "rejected").with_suffix(REASON)
        plain = reason.encode("utf-8", "backslashreplace").decode("utf-8")
        with open(aside, "w", encoding="utf-8", opener=open_private) as file:
            file.write(plain)
        return True

    def restore(self, uid: str, state: State = "rejected") -> None:
        """Let a rejected result, or one of another state, wait again."""
        self._move(uid, state, "waiting")
        self._path(uid, "rejected").with_suffix(REASON).unlink(missing_ok=True)

    def growing(self, uid: str, stop: Mapping[str, Any]) -> None:
        """Remember a run that grows in the sink, with the stop document to end it by."""
        path = self._session / f"{uid}.json"
        with open(path, "w", encoding="utf-8", opener=open_private) as file:
            json.dump(stop, file)

    def grown(self, uid: str) -> None:
        """Forget a run that has ended in the sink."""
        (self._session / f"{uid}.json").unlink(missing_ok=True)

    def left_growing(self) -> dict[str, dict[str, Any]]:
        """Take over the runs that killed sessions have left growing: stop documents by uid."""
        found: dict[str, dict[str, Any]] = {}
        for session in sorted((self.folder / GROWING).iterdir()):
            if session == self._session or not session.is_dir():
                continue
            with contextlib.suppress(OSError), (session / "lock").open("a") as file:
                if not lock(file):
                    continue  # of a session that lives
                for path in session.glob("*.json"):
                    with contextlib.suppress(OSError, ValueError, RecursionError):
                        stop = json.loads(path.read_text(encoding="utf-8"))
                        if isinstance(stop, dict):
                            found[path.stem] = cast("dict[str, Any]", stop)
                            self.growing(path.stem, found[path.stem])
                shutil.rmtree(session, ignore_errors=True)
        return found

    def close(self) -> None:
        """Release the folder."""
        self._lock_file.close()
        if not any(self._session.glob("*.json")):
            shutil.rmtree(self._session, ignore_errors=True)
        self._session_lock.close()

    def _path(self, uid: str, state: State) -> Path:
        return self.folder / SUBFOLDERS[state] / f"{uid}.jsonl"

    def _move(self, uid: str, old: State, new: State) -> bool:
        """Move a result's file; put back one that is not the file that was read."""
        read = self._read.pop(uid, None)
        source, target = self._path(uid, old), self._path(uid, new)
        with contextlib.suppress(FileNotFoundError):
            source.replace(target)
            if read is not None and target.stat().st_ino != read:
                target.replace(source)
                return False
        return True

    def _sync_folder(self) -> None:
        """Bring the new name to the disk too; Windows has no such call."""
        if sys.platform != "win32":
            descriptor = os.open(self.folder, os.O_RDONLY)
            try:
                os.fsync(descriptor)
            finally:
                os.close(descriptor)
