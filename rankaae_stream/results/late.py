"""Tell readers of Tiled that results are late, since when and why, until they are not.

Who looks at Tiled sees no difference between a beamline at rest and results that wait elsewhere.
So whoever publishes writes that they wait, as a run of its own whose stop document is renewed.
Nothing is written as long as all is well.
"""

import socket
import time
import uuid
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, NamedTuple

from rankaae_stream.printable import get_logger, printable
from rankaae_stream.private import open_private
from rankaae_stream.results.compose import ResultRun, one_event_run

__all__ = ["PURPOSE", "LateNotice", "Waits"]

logger = get_logger(__name__)

PURPOSE = "lateness of results by rankaae-stream"
"""The purpose in the start document of every notice, and of nothing else."""

LATE = 60.0
"""Seconds that a document or a result may wait: a slow file or a short outage takes less."""

LASTS = 10.0
"""Seconds that this must last before it is told: what an earlier session has left in the spool
is as old as it is, and sent at once."""

RENEW = 30.0
"""Seconds after which the notice is written anew; a reader takes one for old after ten times
as many."""

LONGEST = 300
"""Characters of a reason."""


class Waits(NamedTuple):
    """What waits.

    Attributes
    ----------
    documents, results : float
        Since when the oldest document waits to be analysed, and the oldest result to be sent;
        seconds since the epoch, 0 where none does.
    unsent : int
        Results that wait.
    reason : str
        Why they do; empty where nothing is wrong but that they are many.
    """

    documents: float
    results: float
    unsent: int
    reason: str

    @property
    def since(self) -> float:
        """Since when the oldest of all waits, or 0."""
        return min(filter(None, (self.documents, self.results)), default=0.0)


class LateNotice:
    """The notice of one spool, which a sender writes as it is at that moment.

    Parameters
    ----------
    profile : mapping
        The resolved profile as plain data.
    folder : Path
        The spool, where a file says that the notice in Tiled has to be taken back.
    waits : callable
        Returns what waits now.
    clock : callable
        Seconds since the epoch.
    """

    def __init__(
        self,
        profile: Mapping[str, Any],
        folder: Path,
        waits: Callable[[], Waits],
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._profile = str(profile.get("name", ""))
        self._mark = folder / "late"
        self._waits = waits
        self._clock = clock
        self._uid = str(
            uuid.uuid5(uuid.NAMESPACE_URL, f"rankaae-stream late:{socket.gethostname()}:{folder}")
        )
        self._told = self._mark.exists()  # by a session before this one
        self._late_from: float | None = None
        self._written = float("-inf")

    @property
    def due(self) -> bool:
        """Return whether the notice has to be written now."""
        now, since = self._clock(), self._waits().since
        # Half of it, lest a wait of about that length is told and taken back in turns.
        if not since or now - since < (LATE / 2 if self._told else LATE):
            self._late_from = None
            return self._told and now - self._written >= LASTS
        if self._late_from is None:
            self._late_from = now
        lasts = self._told or now - self._late_from >= LASTS
        return lasts and now - self._written >= RENEW

    @property
    def told(self) -> bool:
        """Return whether Tiled says, as far as is known, that results are late."""
        return self._told

    def compose(self) -> ResultRun:
        """Compose the notice as it is now; `since` in its summary is 0 where nothing is late."""
        now, waits = self._clock(), self._waits()
        self._written = now
        late = waits.since if waits.since and now - waits.since >= LATE / 2 else 0.0
        summary = {
            "since": late,
            "told": now,
            "unsent": waits.unsent if late else 0,
            "analysis": bool(late and waits.documents == waits.since),
            "reason": printable(waits.reason)[:LONGEST] if late else "",
            "profile": self._profile,
        }
        if late:
            self._note()
        start = {"uid": self._uid, "time": now, "purpose": PURPOSE, "original_run_uid": ""}
        return one_event_run(start, {}, {}, time=now, stop={"summary": summary})

    def taken(self, run: ResultRun) -> None:
        """Take note that Tiled has a notice."""
        if not run.stop["summary"]["since"]:
            self._told = False
            self._mark.unlink(missing_ok=True)

    def _note(self) -> None:
        """Write down that Tiled says so, before it does: a session may be killed at any moment."""
        if self._told:
            return
        self._told = True
        try:
            with open(self._mark, "w", encoding="utf-8", opener=open_private) as file:
                file.write("Tiled was told that results are late\n")
        except OSError as error:
            logger.debug("the spool cannot be written: %s", error)
