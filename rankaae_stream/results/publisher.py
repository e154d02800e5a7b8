"""Publish every result: compose it, spool it, and hand it to the sender of each sink.

The live stream and a replay both end here, so that a result leaves in one way only.
"""

import re
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from rankaae_stream.errors import ConfigurationError, describe
from rankaae_stream.model.networks import Model
from rankaae_stream.printable import get_logger
from rankaae_stream.private import private_folder
from rankaae_stream.profile import API_KEY_VARIABLE, Profile
from rankaae_stream.report import Result
from rankaae_stream.results.compose import ResultRun, compose, compose_rows
from rankaae_stream.results.compose_series import compose_series
from rankaae_stream.results.late import LateNotice, Waits
from rankaae_stream.results.sender import Sender
from rankaae_stream.results.sinks import CallableSink, Sink
from rankaae_stream.results.spool import Spool
from rankaae_stream.results.tiled_sink import ABANDONED, TiledSink
from rankaae_stream.results.what_if import compose_what_if
from rankaae_stream.series.live import SeriesResult

__all__ = ["PATIENCE", "ResultPublisher", "tiled_folder"]

logger = get_logger(__name__)

PATIENCE = 20.0
"""Seconds without one result leaving after which the rest stays in the spool."""

ANOTHER_WRITER = ABANDONED + 30.0
"""Seconds added to that while only single results are postponed: one that another session has
left half written can be written again after `ABANDONED`, found at the next attempt."""

FEWEST_ROWS = 20
"""Quick sweeps of a run and channel from which on they are rows of one result run: a reader finds
a few as results of their own."""

MOST_ROWS = 500
"""Rows of a result run; more sweeps make another."""


class ResultPublisher:
    """Publish results to Tiled and to other sinks.

    Parameters
    ----------
    profile : Profile
    sinks : sequence of callables, optional
        Each receives (name, document) of every result, beside Tiled.
    to_tiled : bool
        False to publish to `sinks` only.
    models : mapping of Model, optional
        Their what-if curves go to Tiled after the first final result of each.

    Raises
    ------
    ConfigurationError
        At once, when there is no key for Tiled or the spool cannot be written.
    """

    def __init__(
        self,
        profile: Profile,
        sinks: Sequence[Callable[[str, dict[str, Any]], Any]] = (),
        *,
        to_tiled: bool = True,
        models: Mapping[str, Model] | None = None,
    ) -> None:
        self._settings = profile.published()
        self._copied_keys = profile.copied_keys()
        self._series = profile.series.build()
        # Those whose what-if curves this process has not published.
        self._models = {model.card.id: model for model in (models or {}).values()}
        chosen: list[Sink] = [CallableSink(sink) for sink in sinks]
        if to_tiled:
            chosen.insert(0, tiled_sink(profile, profile.api_key()))
            # Imported here and not in the sender's thread: an import holds the
            # interpreter for hundreds of milliseconds, which a scan would feel.
            import bluesky_tiled_plugins  # noqa: F401  # pyright: ignore[reportUnusedImport]
            import tiled.client  # noqa: F401  # pyright: ignore[reportUnusedImport]
        spools = [_spool(profile, folder) for folder in _folders(chosen)]
        self._senders = [Sender(*pair) for pair in zip(chosen, spools, strict=True)]
        self._tiled = self._senders[0] if to_tiled else None
        self._quick: dict[tuple[str, str, str], list[Result]] = {}
        self._documents_since = 0.0
        self._late: LateNotice | None = None  # of who only publishes, as a replay, nobody waits

    def __call__(self, result: Result) -> None:
        """Take a result; a final one is on the disk when this returns.

        That of a quick sweep is when its run is `ended`, or has `MOST_ROWS` of them.
        """
        if result.quick:
            report = result.report
            key = str(result.start["uid"]), report.channel, str(report.edge)
            rows = self._quick.setdefault(key, [])
            rows.append(result)
            if len(rows) == MOST_ROWS:
                self._send(self._quick.pop(key))
        else:
            self._send([result])

    def ended(self, run: str) -> None:
        """Take note that a run has no further results: those of its quick sweeps are published."""
        for key in [key for key in self._quick if key[0] == str(run)]:
            rows = self._quick.pop(key)
            if len(rows) >= FEWEST_ROWS or rows[0].report.sweep >= MOST_ROWS:
                self._send(rows)
            else:
                for one in rows:
                    self._send([one])

    def _send(self, results: Sequence[Result]) -> None:
        """Compose results as one run, and hand it to every sender."""
        result = results[0]
        try:
            run = self._composed(results, self._copied_keys)
        except Exception:
            logger.exception("a start document cannot be copied from; its result is published")
            known = {"uid": result.start["uid"], "time": result.time}
            run = self._composed([replace(one, start=known) for one in results], ())
        for sender in self._senders:
            if result.report.complete:
                sender.final(run)
            else:
                sender.provisional(run)
        if self._tiled is not None and result.report.complete and result.report.model:
            self._publish_what_if(result.report.model.id, self._tiled)

    def _composed(self, results: Sequence[Result], copied_keys: tuple[str, ...]) -> ResultRun:
        if len(results) == 1:
            return compose(results[0], self._settings, copied_keys)
        return compose_rows(results, self._settings, copied_keys)

    def series(self, series: SeriesResult) -> None:
        """Take what a series shows up to now; of a complete one it is on the disk afterwards."""
        run = compose_series(series, self._settings, self._copied_keys, self._series)
        for sender in self._senders:
            if series.complete:
                sender.final(run)
            else:
                sender.provisional(run)

    def tick(self, documents_since: float) -> None:
        """Look whether results are late, and have that written where readers of Tiled see it.

        Parameters
        ----------
        documents_since : float
            Since when the oldest document waits to be analysed, seconds since the epoch; 0
            where none does.
        """
        if self._tiled is None:
            return
        self._documents_since = documents_since
        if self._late is None:
            self._late = LateNotice(self._settings, self._tiled.spool.folder, self._waits)
        if self._late.due:
            self._tiled.notice(self._late)

    def _waits(self) -> Waits:
        return Waits(self._documents_since, self.oldest, self.waiting, self.failing)

    @property
    def waiting(self) -> int:
        """Final results not yet sent."""
        return sum(sender.waiting for sender in self._senders)

    @property
    def in_memory(self) -> bool:
        """Whether a final result is neither on the disk nor sent."""
        return any(sender.in_memory for sender in self._senders)

    @property
    def oldest(self) -> float:
        """Since when the oldest of them waits, seconds since the epoch; 0 where none does."""
        waiting = [sender.oldest for sender in self._senders if sender.oldest]
        return min(waiting, default=0.0)

    @property
    def failing(self) -> str:
        """Why sinks take nothing now, or an empty string."""
        return "; ".join(sender.failing for sender in self._senders if sender.failing)

    @property
    def _blocked(self) -> bool:
        return any(sender.blocked for sender in self._senders)

    @property
    def rejected(self) -> int:
        """Final results that a sink understood and did not take."""
        return sum(sender.rejected for sender in self._senders)

    def wait_idle(self, timeout: float) -> bool:
        """Wait until everything is sent; return False on time-out."""
        deadline = time.monotonic() + timeout
        return all(
            sender.wait_idle(max(deadline - time.monotonic(), 0.0)) for sender in self._senders
        )

    def drain(self, patience: float, progress: Callable[[int], object] | None = None) -> bool:
        """Wait as long as results leave; return False when none has for `patience` seconds.

        Where single results are postponed and the sinks take others, `ANOTHER_WRITER` longer.
        `progress` receives how many wait, a few times a second.
        """
        left, since = self.waiting, time.monotonic()
        while not self.wait_idle(0.25):
            if self.waiting < left:
                left, since = self.waiting, time.monotonic()
            elif time.monotonic() - since > patience + (0 if self._blocked else ANOTHER_WRITER):
                return False
            if progress is not None:
                progress(left)
        return True

    def close(self, timeout: float) -> int:
        """Send what can be sent in time; return how many results stay in the spool."""
        deadline = time.monotonic() + timeout
        if self._tiled is not None and self._late is not None and self._late.told:
            self._documents_since = 0.0
            self._tiled.notice(self._late)
        return sum(sender.close(max(deadline - time.monotonic(), 0.0)) for sender in self._senders)

    def _publish_what_if(self, model_id: str, tiled: Sender) -> None:
        """Publish a model's what-if curves the first time, behind the result that is sent."""
        model = self._models.pop(model_id, None)
        if model is None:
            return
        try:
            run = _what_if(model)
        except Exception as error:  # noqa: BLE001 - results count, curves are an extra
            logger.error(
                "the what-if curves of model %s %s are left out: %s",
                model.card.name,
                model.card.version,
                describe(error),
            )
        else:
            tiled.final(run)


def _what_if(model: Model) -> ResultRun:
    middle = np.zeros((model.card.members, 1, model.card.latent))
    mean = model.decode(middle).mean(axis=0, dtype=float)[0]
    return compose_what_if(model.card, mean, model.what_if)


def tiled_folder(profile: Profile) -> Path:
    """Return the spool of what goes to the profile's Tiled."""
    return profile.spool.expanduser() / tiled_sink(profile, "").name


def tiled_sink(profile: Profile, key: str) -> TiledSink:
    """Return the sink of the profile's Tiled; it connects when it is first used."""
    server = profile.tiled
    return TiledSink(server.uri, server.node, key, key_variable=API_KEY_VARIABLE)


def _folders(sinks: Sequence[Sink]) -> list[str]:
    """Name a folder for each sink; two functions of one name must not share a spool."""
    names: list[str] = []
    for sink in sinks:
        plain = re.sub(r"\W+", "-", sink.name).strip("-") or "sink"
        same = sum(name == plain or name.startswith(f"{plain}.") for name in names)
        names.append(f"{plain}.{same + 1}" if same else plain)
    return names


def _spool(profile: Profile, name: str) -> Spool:
    folder = profile.spool.expanduser() / name
    try:
        # Who may write into the folder above may put another folder in this place.
        private_folder(folder.parent)
        return Spool(folder)
    except OSError as error:
        raise ConfigurationError(
            f"cannot write the spool {folder} ({error.strerror}); set spool in profile "
            f"{profile.name!r} to a folder that can be written"
        ) from error
