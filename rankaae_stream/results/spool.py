"""Keep every final result, complete and on the disk, before a sink sees it."""

import contextlib
import json
import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, cast

from rankaae_stream.results.compose import ResultRun

try:
    import fcntl
except ImportError:  # Windows: leftovers are then taken up without a lock
    fcntl = None

__all__ = ["SUBFOLDERS", "Entry", "Spool", "entries"]

State = Literal["waiting", "rejected", "sent"]

SUBFOLDERS: dict[State, str] = {"waiting": ".", "rejected": "rejected", "sent": "sent"}

REASON = ".reason"
"""Suffix of the file beside a rejected result that says why."""


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
            found.append((path.stat().st_mtime_ns, path))
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
    except (ValueError, TypeError):
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

    Raises
    ------
    OSError
        When the folder cannot be made or written.
    """

    def __init__(self, folder: Path, keep: int = 1000) -> None:
        self.folder = folder
        self._keep = keep
        for sub in SUBFOLDERS.values():
            (folder / sub).mkdir(parents=True, exist_ok=True, mode=0o700)
        # Listed once: a folder of a thousand files is not read again for each result.
        self._sent = dict.fromkeys(path.stem for _, path in _files(folder, "sent"))
        self._lock_file = (folder / "lock").open("a")
        self.owner = self._lock()

    def add(self, run: ResultRun) -> None:
        """Write a result complete; it is on the disk when this returns."""
        path = self._path(run.uid, "waiting")
        temporary = path.with_suffix(".part")
        try:
            with temporary.open("w", encoding="utf-8") as file:
                for item in run.documents():
                    file.write(json.dumps(item) + "\n")
                file.flush()
                os.fsync(file.fileno())
            temporary.replace(path)
        except BaseException:
            with contextlib.suppress(OSError):
                temporary.unlink(missing_ok=True)  # half of it helps nobody, least a full disk
            raise
        self._sync_folder()

    def waiting(self) -> list[str]:
        """List the uids of results not yet sent, oldest first."""
        return [path.stem for _, path in _files(self.folder, "waiting")]

    def read(self, uid: str) -> ResultRun:
        """Read a waiting result as it was written."""
        text = self._path(uid, "waiting").read_text(encoding="utf-8")
        return ResultRun(**dict(json.loads(line) for line in text.splitlines()))

    def sent(self, uid: str) -> None:
        """Mark a result as sent."""
        self._move(uid, "waiting", "sent")
        self._sent.pop(uid, None)
        self._sent[uid] = None
        while len(self._sent) > self._keep:
            oldest = next(iter(self._sent))
            del self._sent[oldest]
            self._path(oldest, "sent").unlink(missing_ok=True)

    def rejected(self, uid: str, reason: str = "") -> None:
        """Put aside a result that the sink will not take, for a person to look at."""
        self._move(uid, "waiting", "rejected")
        self._path(uid, "rejected").with_suffix(REASON).write_text(reason, encoding="utf-8")

    def restore(self, uid: str) -> None:
        """Let a rejected result wait again."""
        self._move(uid, "rejected", "waiting")
        self._path(uid, "rejected").with_suffix(REASON).unlink(missing_ok=True)

    def close(self) -> None:
        """Release the folder."""
        self._lock_file.close()

    def _path(self, uid: str, state: State) -> Path:
        return self.folder / SUBFOLDERS[state] / f"{uid}.jsonl"

    def _move(self, uid: str, old: State, new: State) -> None:
        with contextlib.suppress(FileNotFoundError):
            self._path(uid, old).replace(self._path(uid, new))

    def _sync_folder(self) -> None:
        """Bring the new name to the disk too; Windows has no such call."""
        if fcntl is not None:
            descriptor = os.open(self.folder, os.O_RDONLY)
            try:
                os.fsync(descriptor)
            finally:
                os.close(descriptor)

    def _lock(self) -> bool:
        """Return whether this process may send what others left here."""
        if fcntl is None:
            return True
        try:
            fcntl.flock(self._lock_file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            return False
        return True
