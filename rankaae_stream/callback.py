"""Answer the scans of a session while they run: ``RE.subscribe(DescriptorStream("sim"))``."""

import atexit
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from rankaae_stream.documents.inbox import Inbox
from rankaae_stream.errors import ConfigurationError
from rankaae_stream.layouts.base import Document
from rankaae_stream.printable import get_logger
from rankaae_stream.profile import Profile, load_profile
from rankaae_stream.report import Report
from rankaae_stream.series.live import SeriesResult
from rankaae_stream.service.isolated import IsolatedSession
from rankaae_stream.session import Session

__all__ = ["DescriptorStream", "Status"]

logger = get_logger(__name__)

AT_EXIT = 5.0
"""Seconds that a session which just ends waits for its results; an exit that hangs is killed."""


@dataclass(frozen=True, slots=True)
class Status:
    """State of the stream, to be printed.

    `waiting` documents are taken and not handled, `dropped` were lost to the
    inbox's bound, `unsent` final results are in the spool, `failing` says why. `behind` is for how
    many seconds the oldest of these documents and results has waited. `worker` says what is wrong
    with the thread that analyses, and is empty where nothing is. `device` is where the models run,
    and why not on a GPU where they might.
    """

    enabled: bool
    open_runs: int
    waiting: int
    dropped: int
    answered: int
    refused: int
    unsent: int
    failing: str
    last_error: str
    spool: str
    worker: str = ""
    behind: float = 0.0
    device: str = ""

    def __str__(self) -> str:
        lines = [f"rankaae-stream is {'on' if self.enabled else 'off'}"]
        lines += [
            f"  {name}: {value}"
            for name, value in asdict(self).items()
            if name != "enabled" and value not in ("", None)
        ]
        return "\n".join(lines)


class DescriptorStream:
    """A Bluesky callback that publishes oxidation state and coordination.

    Parameters
    ----------
    profile : str, Path or Profile
        A shipped profile's name, a TOML file, or a resolved profile.
    sinks : sequence of callables, optional
        Each receives (name, document) of every result, beside Tiled.
    to_tiled : bool
        False to publish to `sinks` only.
    clock : callable
        Monotonic seconds.
    **overrides
        Settings that take precedence over the profile's, such as ``spool="results"``.

    Raises
    ------
    ConfigurationError
        At once, when the profile, a model or the Tiled key is wrong.

    Notes
    -----
    Calling it appends to a bounded queue and returns; it never raises and never
    waits. Tiled need not be there: results are kept in the spool until it is.
    """

    def __init__(
        self,
        profile: str | Path | Profile = "sim",
        *,
        sinks: Sequence[Callable[[str, dict[str, Any]], Any]] = (),
        to_tiled: bool = True,
        clock: Callable[[], float] = time.monotonic,
        **overrides: Any,
    ) -> None:
        if not isinstance(profile, Profile):
            profile = load_profile(profile, **overrides)
        elif overrides:
            raise ConfigurationError(
                f"settings {', '.join(overrides)} are given beside a resolved profile; pass its "
                "name or path instead, or resolve it with load_profile(name, **settings)"
            )
        self.profile = profile
        self.enabled = True
        self._session = _session(profile, sinks, to_tiled=to_tiled)
        self._clock = clock
        self._inbox = Inbox(
            self._feed,
            lambda now: self._session.tick(now, self._documents_since),
            max_bytes=profile.inbox_megabytes * 1024 * 1024,
            clock=clock,
            name="rankaae-stream",
        )
        self._closed = False
        atexit.register(self.close, AT_EXIT)

    def __call__(self, name: str, doc: Document) -> None:
        """Take a document; a run that begins while `enabled` is False is ignored."""
        if self.enabled or name != "start":
            self._inbox(name, doc)

    def _feed(self, name: str, doc: Document, dropped: int) -> None:
        """Hand on a document; sweeps of what waits are answered together."""
        more = self._inbox.waiting > 1
        self._session.feed(name, doc, self._clock(), dropped, more=more)

    @property
    def last(self) -> Report | None:
        """The newest report, growing or final; None where a process of its own has it."""
        return self._session.last

    @property
    def series(self) -> SeriesResult | None:
        """What the newest series shows; None where a process of its own has it."""
        return self._session.series

    def status(self) -> Status:
        """Return the state of the stream."""
        session = self._session
        waits = time.time() - session.oldest if session.oldest else 0.0
        return Status(
            enabled=self.enabled,
            open_runs=session.open_runs,
            waiting=self._inbox.waiting,
            dropped=self._inbox.dropped,
            answered=session.answered,
            refused=session.refused.total(),
            unsent=session.unsent,
            failing=session.failing,
            last_error=self._inbox.last_error,
            spool=str(self.profile.spool.expanduser()),
            worker=self._inbox.worker,
            behind=round(max(waits, self._inbox.behind), 1),
            device=session.device,
        )

    @property
    def _documents_since(self) -> float:
        behind = self._inbox.behind
        return time.time() - behind if behind else 0.0

    def wait_idle(self, timeout: float = 30.0, *, series: bool = True) -> bool:
        """Wait until all that was taken is answered and published; False on time-out.

        Without `series` only until each scan is: a series is resolved in pauses.
        """
        deadline = time.monotonic() + timeout
        if not self._inbox.wait_idle(timeout):
            return False
        while self._session.at_work(series=series):
            if time.monotonic() > deadline:
                return False
            time.sleep(0.02)  # in the caller; the worker looks for the files itself
        return self._session.wait_sent(max(deadline - time.monotonic(), 0.0))

    def close(self, timeout: float = 10.0) -> int:
        """Answer what is open, publish or spool it, and end the threads.

        Returns
        -------
        int
            How many final results stay in the spool, to be sent next time.
        """
        if self._closed:
            return 0
        self._closed = True
        atexit.unregister(self.close)
        deadline = time.monotonic() + timeout
        whole = self._inbox.close(timeout)
        if not whole:
            logger.warning(
                "%d documents could not be analysed within %.0f s; replay their runs",
                self._inbox.waiting,
                timeout,
            )
        left = self._session.close(max(deadline - time.monotonic(), 0.0), finish=whole)
        if left:
            logger.warning(
                "%d results could not be sent and stay in %s; they are sent by the next session "
                "with this profile",
                left,
                self.profile.spool.expanduser(),
            )
        return left

    def __enter__(self) -> "DescriptorStream":
        return self

    def __exit__(self, *exc_info: object) -> None:
        self.close()


def _session(
    profile: Profile, sinks: Sequence[Callable[[str, dict[str, Any]], Any]], *, to_tiled: bool
) -> Session | IsolatedSession:
    if profile.isolation == "thread":
        return Session(profile, sinks, to_tiled=to_tiled)
    return IsolatedSession(profile, sinks, to_tiled=to_tiled)
