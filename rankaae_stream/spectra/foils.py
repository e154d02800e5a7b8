"""Foils of earlier runs: which of them serves a run that has none of its own.

The rule knows no session: of the foils of one edge that were accepted under the same
settings before a run began, the latest, if it is not too old. What a result used is
written down, beside the spool, before the result leaves; so a session that starts
again knows what the last one knew, and a replay uses what the live stream used, even
where it knows more by now.
"""

import json
import logging
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Protocol

from rankaae_stream.report import FoilShift, Result

__all__ = ["AcceptedFoil", "FoilHistory", "Foils", "Published", "Use"]

logger = logging.getLogger(__name__)

KEEP = 20_000
"""Results whose foils stay in the file, about 7 MB; older ones are read from Tiled."""

_PREFERRED = ("pips", "fluorescence", "transmission")
"""Whose bins of one sweep's foil are taken: of equal age the last named."""


@dataclass(frozen=True, slots=True)
class AcceptedFoil:
    """A shift that a run's own reference channel gave.

    `time` is when the last document arrived that took part, seconds since the epoch;
    `channel` is the one beside which the reference was read.
    """

    edge: str
    run: str
    time: float
    sweep: int
    channel: str
    shift: FoilShift

    @property
    def order(self) -> tuple[float, str, int, int]:
        """Later ones serve before earlier ones; the same whoever sorts, and from where."""
        return self.time, self.run, self.sweep, _PREFERRED.index(self.channel)


@dataclass(frozen=True, slots=True)
class Use:
    """What a result was made with: a foil, its own or an earlier run's, or None."""

    foil: AcceptedFoil | None


class Foils(Protocol):
    """Where a pipeline asks for earlier foils and tells of its own."""

    def earlier(self, result: str, edge: str, began: float) -> AcceptedFoil | None:
        """Return the foil for a result, by its uid, of a run that began then and has none."""
        ...

    def remember(self, result: Result) -> None:
        """Keep which foil a final result was made with."""
        ...


class Published(Protocol):
    """Results that were published, as far as they tell of foils; None where they do not."""

    def used(self, result: str) -> Use | None:
        """What the result of that uid was made with."""
        ...

    def latest(self, edge: str, began: float, max_age: float) -> AcceptedFoil | None:
        """The latest foil before a run began, at most `max_age` hours old."""
        ...


class FoilHistory:
    """Foils by edge and uses by result.

    Parameters
    ----------
    settings : str
        Hash of the settings; foils found under others are not known.
    max_age : float
        Hours for which a foil serves.
    path : Path, optional
        File that keeps them over sessions, JSON lines.
    published : Published, optional
        Asked where neither memory nor the file tells.
    writes : bool
        False to leave the file as it is.
    """

    def __init__(
        self,
        settings: str,
        max_age: float,
        path: Path | None = None,
        published: Published | None = None,
        *,
        writes: bool = True,
    ) -> None:
        self._settings = settings
        self._max_age = max_age
        self._path = path
        self._published = published
        self._writes = writes
        self._uses: dict[str, Use] = {}
        self._accepted: dict[str, list[AcceptedFoil]] = {}
        for result, use in _read(path, settings, shorten=writes) if path else ():
            self._know(result, use)

    def earlier(self, result: str, edge: str, began: float) -> AcceptedFoil | None:
        """Return what a result was made with, if that is known, else the latest foil before it."""
        use = self.use(result)
        return use.foil if use is not None else self.latest(edge, began)

    def use(self, result: str) -> Use | None:
        """What a result was made with; None where nothing tells."""
        known = self._uses.get(result)
        if known is None and self._published is not None:
            known = self._published.used(result)
        return known

    def latest(self, edge: str, began: float) -> AcceptedFoil | None:
        """The latest foil of an edge before a run began, if it is not too old."""
        oldest = began - 3600.0 * self._max_age
        found = [
            foil
            for foil in self._accepted.get(edge, ())
            if oldest < foil.time <= began  # of now on: a maximal age of 0 leaves none
        ]
        if self._published is not None and self._max_age:
            published = self._published.latest(edge, began, self._max_age)
            found += [published] if published is not None else []
        return max(found, key=lambda foil: foil.order, default=None)

    def remember(self, result: Result) -> None:
        """Keep which foil a final result was made with; nothing where it never had an axis."""
        report, shifts = result.report, result.report.shifts
        if report.edge is None or shifts.uncertainty is None:
            return
        edge, foil = str(report.edge), None
        if shifts.foil is not None and shifts.calibration_run == report.source:
            foil = AcceptedFoil(
                edge, report.source, result.time, report.sweep, report.channel, shifts.foil
            )
        elif shifts.foil is not None:
            foil = self.earlier(result.uid, edge, float(result.start.get("time", 0.0)))
        self.add(result.uid, foil)

    def add(self, result: str, foil: AcceptedFoil | None) -> None:
        """Take note of a use, on the disk too; a disk that is full loses it, and says so."""
        use = Use(foil)
        if self._uses.get(result) == use:
            return
        self._know(result, use)
        if self._path is None or not self._writes:
            return
        line = {"settings": self._settings, "result": result, "foil": foil and asdict(foil)}
        try:
            self._path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
            with self._path.open("a", encoding="utf-8") as file:
                file.write(json.dumps(line) + "\n")
        except OSError as error:
            logger.warning("the foil of result %s is kept in memory only: %s", result, error)

    def _know(self, result: str, use: Use) -> None:
        self._uses[result] = use
        if use.foil is not None:
            known = self._accepted.setdefault(use.foil.edge, [])
            if use.foil not in known[-10:]:
                known.append(use.foil)


def _read(path: Path, settings: str, *, shorten: bool) -> list[tuple[str, Use]]:
    """Uses under these settings; a damaged line is left out, and a file too long is cut."""
    try:
        lines = path.read_text(encoding="utf-8", errors="replace").splitlines()
    except FileNotFoundError:
        return []
    except OSError as error:
        logger.warning("earlier foils are not known: %s", error)
        return []
    if shorten and len(lines) > 2 * KEEP:
        lines = lines[-KEEP:]
        part = path.with_suffix(".part")
        try:
            part.write_text("\n".join(lines) + "\n", encoding="utf-8")
            part.replace(path)
        except OSError as error:
            logger.warning("%s cannot be shortened: %s", path, error)
    uses: list[tuple[str, Use]] = []
    for line in lines:
        try:
            item = json.loads(line)
            if item["settings"] == settings:
                uses.append((str(item["result"]), Use(_foil(item["foil"]))))
        except (ValueError, TypeError, KeyError):
            logger.warning("%s holds a damaged line, which is left out", path)
    return uses


def _foil(plain: Mapping[str, Any] | None) -> AcceptedFoil | None:
    if plain is None:
        return None
    if plain["channel"] not in _PREFERRED:
        raise ValueError(plain["channel"])
    return AcceptedFoil(
        plain["edge"],
        plain["run"],
        plain["time"],
        plain["sweep"],
        plain["channel"],
        FoilShift(**plain["shift"]),
    )
