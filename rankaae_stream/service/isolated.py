"""Let a session's stream answer in a process of its own: ``isolation = "process"``."""

import time
from collections import Counter
from collections.abc import Callable, Sequence
from typing import Any

from rankaae_stream.errors import ConfigurationError
from rankaae_stream.layouts.base import Document
from rankaae_stream.profile import Profile
from rankaae_stream.report import Report
from rankaae_stream.series.live import SeriesResult
from rankaae_stream.service.supervisor import Limits, Supervisor
from rankaae_stream.service.worker import DROPPED

__all__ = ["IsolatedSession"]

FULL = 0.05
"""Seconds between looks whether the worker has room for more."""


class IsolatedSession:
    """What `session.Session` does, in a worker that may die without the session.

    Parameters
    ----------
    profile : Profile
    sinks : sequence of callables
        None: functions of this process cannot be called from another.
    to_tiled : bool
        True: there is nothing else to publish to.
    limits : Limits, optional

    Raises
    ------
    ConfigurationError
        When a model or the Tiled key is wrong, or with sinks.
    """

    last: Report | None = None
    series: SeriesResult | None = None

    def __init__(
        self,
        profile: Profile,
        sinks: Sequence[Callable[[str, dict[str, Any]], Any]] = (),
        *,
        to_tiled: bool = True,
        limits: Limits | None = None,
    ) -> None:
        if sinks or not to_tiled:
            raise ConfigurationError(
                f'isolation = "process" in profile {profile.name!r} publishes to Tiled only; leave '
                "out sinks and to_tiled, or set isolation to thread"
            )
        profile.api_key()
        bound = Limits(kept=profile.inbox_megabytes << 20)
        self._supervisor = Supervisor(profile, limits or bound, alone=False)
        self._supervisor.wait_ready()

    def feed(
        self, name: str, doc: Document, now: float, dropped: int = 0, *, more: bool = False
    ) -> None:
        """Take one document; wait while the worker has no room: the inbox has a bound."""
        del now, more
        while self._supervisor.full():
            time.sleep(FULL)
        self._supervisor.take(name, {**doc, DROPPED: dropped} if dropped else doc)
        if name == "stop":
            self._supervisor.flush()

    def tick(self, now: float, documents_since: float = 0.0) -> None:
        """Bring what was taken to the disk."""
        del now, documents_since
        self._supervisor.flush()

    @property
    def device(self) -> str:
        """Where the worker's models run; see `Analysis.device`."""
        return self._supervisor.state().device

    @property
    def open_runs(self) -> int:
        """Number of runs that have begun and are not answered to their end."""
        return self._supervisor.state().open_runs

    @property
    def answered(self) -> int:
        """Complete results with numbers."""
        return self._supervisor.state().answered

    @property
    def refused(self) -> Counter[str]:
        """Complete results without, by the refusal's name."""
        return Counter(self._supervisor.state().refused)

    @property
    def unsent(self) -> int:
        """Final results that are not sent."""
        return self._supervisor.state().unsent

    @property
    def oldest_unsent(self) -> float:
        """Since when the oldest of them waits, seconds since the epoch; 0 where none does."""
        return self._supervisor.state().oldest_unsent

    @property
    def failing(self) -> str:
        """Why results wait, or what is wrong with the worker."""
        return self._supervisor.state().failing

    @property
    def oldest(self) -> float:
        """Since when the oldest document or result waits, seconds since the epoch, or 0."""
        state = self._supervisor.state()
        return min(filter(None, (state.oldest_waiting, state.oldest_unsent)), default=0.0)

    def at_work(self, *, series: bool = True) -> bool:
        """Return whether documents wait for the worker, or it has something to finish."""
        return self._supervisor.at_work(series=series)

    def wait_sent(self, timeout: float) -> bool:
        """Wait until everything is sent; return False on time-out."""
        return self._supervisor.wait_idle(timeout)

    def close(self, timeout: float, *, finish: bool = True) -> int:
        """End the worker; return how many final results stay in the spool."""
        return self._supervisor.close(timeout, finish=finish)
