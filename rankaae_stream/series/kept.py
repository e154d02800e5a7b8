"""Keep the scans of open series on the disk: whichever process comes next goes on with them.

Each process writes a file for each open series into a folder of its own, a line for each scan,
and removes it when the series ends. What one that was killed has left, the next one takes.
"""

import stat
import tempfile
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

from rankaae_stream.errors import describe
from rankaae_stream.printable import get_logger
from rankaae_stream.private import lock, open_lock, open_private, private_folder
from rankaae_stream.report import Result
from rankaae_stream.series.lines import LARGEST, to_line, to_result

__all__ = ["KeptScans"]

logger = get_logger(__name__)

ENDING = ".scans"

TRIAL = "trial"
"""File in the folder of a process until it has shown the series that it took from another."""

MOST_BYTES = 128 << 20
"""Bytes of all files of a process: what 5,000 scans of 500 points have, the most that series hold.
Beyond, the series that was silent longest is not kept any more."""

LATE = 24.0
"""Hours for which a series is kept at least: a bus may bring late what belongs to it."""


class KeptScans:
    """The answered scans of the open series of one process. A failing disk is logged only.

    Parameters
    ----------
    folder : Path
        Of one profile; made when it does not exist, readable by its owner only.
    settings : str
        What the answers depend on; scans that were kept under another are not taken.
    gap : float
        Hours without a scan after which a series may be dropped.

    Raises
    ------
    OSError
        When the folder cannot be made or written, or others may write into it.
    """

    def __init__(self, folder: Path, settings: str, gap: float) -> None:
        private_folder(folder)
        self._folder = folder
        self._settings = settings
        self._oldest = 3600.0 * max(gap, LATE)
        self._sizes: dict[str, int] = {}  # by series; the one that was written last is the last
        self._not_kept: set[str] = set()
        self._on_trial = False
        self._own = Path(tempfile.mkdtemp(dir=folder))
        self._lock = open_lock(self._own / "lock")
        lock(self._lock)

    def earlier(self) -> Iterator[Result]:
        """Yield the scans that processes have left which do not live; their files are removed.

        Whoever takes a scan must `add` it before the next one, lest it be kept by nobody, and say
        when the series are `settled`: of scans that end a process another would end, too.
        """
        for other in sorted(self._folder.iterdir()):
            if other == self._own:
                continue
            try:
                with open_lock(other / "lock") as held:
                    if not lock(held):
                        continue
                    yield from self._take_over(other)
                _remove(other)
            except OSError as error:
                logger.warning("%s holds no scans of open series: %s", other, error)

    def settled(self) -> None:
        """Take note that the series of others were shown, and did no harm."""
        if self._on_trial:
            self._on_trial = False
            with suppress(OSError):
                (self._own / TRIAL).unlink(missing_ok=True)

    def add(self, series: str, result: Result) -> None:
        """Write a scan of a series."""
        if series in self._not_kept:
            return
        try:
            line = to_line(self._settings, result)
            with open(self._path(series), "ab", opener=open_private) as file:
                file.write(line)
        except Exception as error:  # noqa: BLE001 - start documents hold anything
            self._give_up(series, describe(error))  # with a gap it would be another series
            return
        self._sizes[series] = self._sizes.pop(series, 0) + len(line)
        while sum(self._sizes.values()) > MOST_BYTES:
            self._give_up(next(iter(self._sizes)), f"all have more than {MOST_BYTES >> 20} MB")

    def forget(self, series: str) -> None:
        """Remove the scans of a series that has ended."""
        self._sizes.pop(series, None)
        self._not_kept.discard(series)
        try:
            self._path(series).unlink(missing_ok=True)
        except OSError as error:
            logger.warning("the scans of a series cannot be removed: %s", error)

    def close(self) -> None:
        """Leave what is kept to the next process."""
        self.settled()
        self._lock.close()
        if not self._sizes:
            _remove(self._own)

    def _give_up(self, series: str, why: str) -> None:
        logger.warning("a series would begin anew in another process: it is not kept (%s)", why)
        self.forget(series)
        self._not_kept.add(series)

    def _path(self, series: str) -> Path:
        return self._own / f"{series}{ENDING}"

    def _take_over(self, other: Path) -> Iterator[Result]:
        """Yield the scans in the folder of a process that does not live, and remove them."""
        left = sorted(other.glob(f"*{ENDING}"))
        if (other / TRIAL).exists():
            logger.warning("series begin anew: a process that went on with them has ended at once")
        elif left:
            self._on_trial = True
            for folder in (self._own, other):
                (folder / TRIAL).touch()
            for path in left:
                yield from self._read(path)
        for path in (*left, other / TRIAL):
            with suppress(OSError):  # what cannot be removed is no file of ours
                path.unlink()

    def _read(self, path: Path) -> Iterator[Result]:
        """Yield the scans in a file that may hold anything."""
        about = path.stat()
        if not stat.S_ISREG(about.st_mode) or about.st_size > MOST_BYTES:
            logger.warning("%s holds no scans of open series; it is left out", path)
            return
        if time.time() - about.st_mtime > self._oldest:
            return
        others = damaged = 0
        with path.open("rb") as file:
            while line := file.readline(LARGEST):
                try:
                    found = to_result(self._settings, line)
                except (ValueError, TypeError, LookupError, RecursionError):
                    damaged += 1
                    continue
                if found is None:
                    others += 1
                else:
                    yield found
        if damaged:
            logger.warning("%d scans in %s cannot be read; they are left out", damaged, path)
        if others:
            logger.warning(
                "a series of %d scans begins anew: the profile or a model has changed", others
            )


def _remove(folder: Path) -> None:
    """Remove a folder of which only the lock is left; whatever else is there stays."""
    with suppress(OSError):
        (folder / "lock").unlink(missing_ok=True)
        folder.rmdir()
