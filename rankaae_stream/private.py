"""Make folders and files that only this user can read and write, whatever the umask.

Results carry sample names and proposals, and what lies in a spool is published under this
user's key. Nobody else may read them, or put something there.
"""

import errno
import os
import stat
import sys
from pathlib import Path
from typing import IO

if sys.platform == "win32":
    import msvcrt
else:
    import fcntl

__all__ = ["lock", "make_private", "open_lock", "open_private", "private_folder"]

OTHERS = stat.S_IRWXG | stat.S_IRWXO
OTHERS_WRITE = stat.S_IWGRP | stat.S_IWOTH


def private_folder(folder: Path) -> None:
    """Make a folder with those above it, or take away what others may do in one that exists.

    Raises
    ------
    OSError
        When it cannot be made, belongs to somebody else, or others may write into it: nobody
        can tell what they have put there.
    """
    for missing in reversed([path for path in (folder, *folder.parents) if not path.exists()]):
        missing.mkdir(mode=0o700, exist_ok=True)
    make_private(folder)


def make_private(path: Path) -> None:
    """Take away what others may do with a file or folder of this user.

    Raises
    ------
    OSError
        As for `private_folder`.
    """
    if os.name != "posix":
        return
    found = path.stat()
    if found.st_uid != os.geteuid():
        raise PermissionError(errno.EPERM, f"it belongs to user {found.st_uid}", str(path))
    if stat.S_ISDIR(found.st_mode) and found.st_mode & OTHERS_WRITE:
        reason = f"others may write into it; fix: chmod go-w {path}"
        raise PermissionError(errno.EPERM, reason, str(path))
    if found.st_mode & OTHERS:
        path.chmod(stat.S_IMODE(found.st_mode) & ~OTHERS)


def open_private(path: str, flags: int) -> int:
    """Open a file as `open`'s `opener`; a new one, and an old one of this user, is private."""
    descriptor = os.open(path, flags, 0o600)
    if os.name == "posix":
        found = os.fstat(descriptor)
        if found.st_uid == os.geteuid() and found.st_mode & OTHERS:
            os.fchmod(descriptor, stat.S_IMODE(found.st_mode) & ~OTHERS)
    return descriptor


def lock(file: IO[str]) -> bool:
    """Lock a file for this process; return False where another one has it."""
    try:
        if sys.platform == "win32":
            file.seek(0)  # a lock there is one of bytes, and may lie behind the end
            msvcrt.locking(file.fileno(), msvcrt.LK_NBLCK, 1)
        else:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        return False
    return True


def open_lock(path: Path) -> IO[str]:
    """Open a file to be locked; it stays open as long as the lock is held."""
    return os.fdopen(open_private(str(path), os.O_RDWR | os.O_CREAT), "a")
