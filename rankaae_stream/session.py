"""Answer the documents of a session one after the other, and publish what comes of them.

A live stream in its thread and a worker of the service do the same: they give documents and
the time, and learn which runs are over.
"""

import hashlib
import time
from collections import Counter
from collections.abc import Callable, Sequence
from typing import Any

from rankaae_stream.analysis import Analysis
from rankaae_stream.errors import Refusal
from rankaae_stream.layouts.base import Document
from rankaae_stream.loading import build_pipeline, load_analysis, open_foils
from rankaae_stream.printable import get_logger
from rankaae_stream.profile import Profile
from rankaae_stream.report import SCHEMA, Report, Result
from rankaae_stream.results.publisher import ResultPublisher
from rankaae_stream.series.kept import KeptScans
from rankaae_stream.series.live import LiveSeries, SeriesResult

__all__ = ["Session"]

logger = get_logger(__name__)


class Session:
    """The pipeline of a profile with its publisher and its series; not to be shared by threads.

    Parameters
    ----------
    profile : Profile
    sinks : sequence of callables, optional
        Each receives (name, document) of every result, beside Tiled.
    to_tiled : bool
        False to publish to `sinks` only.
    ended : callable, optional
        Receives the uid of a run once all its results are on the disk, or sent.

    Attributes
    ----------
    last : Report or None
    series : SeriesResult or None
        As it was shown last.
    answered : int
        Complete results with numbers.
    refused : Counter of str
        Those without, by the refusal's name.
    answered_at : float
        Seconds since the epoch of the last complete result; 0 before.

    Raises
    ------
    ConfigurationError
        When a model or the Tiled key is wrong.
    """

    def __init__(
        self,
        profile: Profile,
        sinks: Sequence[Callable[[str, dict[str, Any]], Any]] = (),
        *,
        to_tiled: bool = True,
        ended: Callable[[str], None] = lambda _: None,
    ) -> None:
        if to_tiled:
            profile.api_key()  # missing, it is reported before the second that models take to load
        analysis = load_analysis(profile)
        self.models = {edge: model.card.title for edge, model in analysis.models.items()}
        self.last: Report | None = None
        self.series: SeriesResult | None = None
        self.answered = 0
        self.refused: Counter[str] = Counter()
        self.answered_at = 0.0
        self._analysis = analysis
        self._after = ended
        self._over: list[str] = []  # runs that are answered, and not said to be yet
        foils = open_foils(profile)
        self.publisher = ResultPublisher(profile, sinks, to_tiled=to_tiled, models=analysis.models)
        self._pipeline = build_pipeline(
            profile, self._emit, analysis, foils=foils, ended=self._ended
        )
        self._series: LiveSeries | None = None
        if profile.series.publish:
            kept = _kept_scans(profile, analysis)
            self._series = LiveSeries(profile.series.build(), analysis, self._emit_series, kept)

    def feed(
        self, name: str, doc: Document, now: float, dropped: int = 0, *, more: bool = False
    ) -> None:
        """Take one document; see `Pipeline.feed`."""
        self._pipeline.feed(name, doc, now, dropped, more=more)

    def refuse(self, start: Document, refusal: Refusal) -> None:
        """Publish that a run, of which nothing else was taken, is refused as a whole."""
        self._pipeline.refuse_run(start, refusal)

    def tick(self, now: float, documents_since: float = 0.0) -> None:
        """Answer what has waited, end silent runs, show series that have grown, tell of lateness.

        `documents_since` is since when the oldest document waits for this, seconds since the
        epoch, or 0.
        """
        self._pipeline.tick(now)
        if self._series is not None:
            self._series.tick(now)
        self.publisher.tick(documents_since)
        self._say_over()

    @property
    def device(self) -> str:
        """Where the models run now; see `Analysis.device`."""
        return self._analysis.device

    @property
    def open_runs(self) -> int:
        """Number of runs that have begun and are not answered to their end."""
        return self._pipeline.open_runs

    @property
    def unsent(self) -> int:
        """Final results that are not sent."""
        return self.publisher.waiting

    @property
    def oldest_unsent(self) -> float:
        """Since when the oldest of them waits, seconds since the epoch; 0 where none does."""
        return self.publisher.oldest

    @property
    def failing(self) -> str:
        """Why results wait; empty where none does."""
        return self.publisher.failing

    @property
    def oldest(self) -> float:
        """Since when the oldest result waits that is not sent, seconds since the epoch, or 0."""
        return self.oldest_unsent

    def wait_sent(self, timeout: float) -> bool:
        """Wait until everything is sent; return False on time-out."""
        return self.publisher.wait_idle(timeout)

    def at_work(self, *, series: bool = True) -> bool:
        """Return whether a run waits for its files, or a series has grown unseen."""
        growing = series and self._series is not None and self._series.pending
        return bool(self._pipeline.waiting_for_files or growing)

    def close(self, timeout: float, *, finish: bool = True) -> int:
        """Answer what is open, unless without `finish`, and publish or spool it.

        Returns
        -------
        int
            How many final results stay in the spool, to be sent next time.
        """
        deadline = time.monotonic() + timeout
        if finish:
            self._pipeline.finish()
            if self._series is not None:
                self._series.finish()
        if self._series is not None:
            self._series.close()
        return self.publisher.close(max(deadline - time.monotonic(), 0.0))

    def _ended(self, run: str) -> None:
        self.publisher.ended(run)
        self._over.append(run)
        self._say_over()

    def _say_over(self) -> None:
        """Say which runs are over, unless a full disk keeps results in memory only."""
        if self._over and not self.publisher.in_memory:
            over, self._over = self._over, []
            for run in over:
                self._after(run)

    def _emit(self, result: Result) -> None:
        report = result.report
        self.last = report
        self.publisher(result)
        if self._series is not None:
            self._series.take(result)
        if report.complete:
            self.answered_at = time.time()
            if report.refusal is None:
                self.answered += 1
            else:
                self.refused[report.refusal.name] += 1

    def _emit_series(self, series: SeriesResult) -> None:
        self.series = series
        self.publisher.series(series)


def _kept_scans(profile: Profile, analysis: Analysis) -> KeptScans | None:
    """Return where scans of open series are kept beside the spool; None where they cannot be."""
    models = sorted(model.card.id for model in analysis.models.values())
    answered_by = "\n".join((str(SCHEMA), profile.name, profile.analysis_hash(), *models))
    settings = hashlib.sha256(answered_by.encode()).hexdigest()
    folder = profile.spool.expanduser() / "series" / profile.folder_name
    try:
        return KeptScans(folder, settings, profile.series.gap)
    except OSError as error:
        logger.warning("with another process series would begin anew: %s", error)
        return None
