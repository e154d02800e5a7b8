"""Define what a sink is: Tiled, or any callable on (name, document).

Sending a result twice changes nothing: a sink that holds a complete run of its uid is done.
"""

from collections.abc import Callable, Mapping
from typing import Any, Protocol

from rankaae_stream.results.compose import ResultRun

__all__ = ["CallableSink", "Postponed", "Rejected", "Sink", "Unavailable", "Unreachable"]


class Rejected(Exception):
    """The sink understood the documents and will never take them."""


class Postponed(Exception):
    """One result cannot be written now, while others may; the message says why."""


class Unavailable(Exception):
    """The sink takes nothing now; the message says why and what to do."""


class Unreachable(Unavailable):
    """Nothing answers there."""


class Sink(Protocol):
    """A place for results. Its methods may raise; the sender then tries again.

    `Rejected` puts the result aside. `Unavailable` lets all results wait, any other
    exception this one only, so that the next ones have their turn.
    """

    name: str

    def provisional(self, run: ResultRun) -> None:
        """Show an event of a result that is still changing."""
        ...

    def final(self, run: ResultRun) -> None:
        """Write a complete result; doing it twice must change nothing."""
        ...

    def abandon(self, uid: str, stop: Mapping[str, Any] | None) -> None:
        """End a run that a killed session left growing.

        With `stop` None a final result of that uid follows and replaces it.
        """
        ...

    def close(self) -> None:
        """Close connections."""
        ...


class CallableSink:
    """Hand results to any callable on (name, document)."""

    def __init__(self, function: Callable[[str, dict[str, Any]], Any]) -> None:
        self.name = getattr(function, "__name__", type(function).__name__)
        self._function = function
        self._events: dict[str, int] = {}

    def provisional(self, run: ResultRun) -> None:
        """Send start, descriptor and event the first time, then the event only."""
        number = self._events.get(run.uid, 0) + 1
        for name, doc in run.numbered(number).documents():
            if name == "event" or (number == 1 and name != "stop"):
                self._function(name, doc)
        self._events[run.uid] = number

    def final(self, run: ResultRun) -> None:
        """Send what is still missing of the run."""
        opened = self._events.pop(run.uid, 0)
        for name, doc in run.numbered(opened + 1).documents():
            if not opened or name in ("event", "stop"):
                self._function(name, doc)

    def abandon(self, uid: str, stop: Mapping[str, Any] | None) -> None:
        """Do nothing: what a callable of another session has taken is not known here."""

    def close(self) -> None:
        """Do nothing: a callable has no connection."""
