"""Find the foil of an earlier run for a run without its own.

The rule: of the foils of the same edge that were accepted under the same settings before the
run began, the latest, if it is not too old. Which foil a result used is written to a file
beside the spool before the result is sent. So a new session knows the foils of the last one,
and a replay uses the same foil as the live stream, even if it knows later ones by now.
"""

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Protocol, cast

from rankaae_stream.printable import get_logger
from rankaae_stream.private import open_private, private_folder
from rankaae_stream.report import FoilShift, Result

__all__ = ["AcceptedFoil", "FoilHistory", "Foils", "Published", "Use", "read_foil"]

logger = get_logger(__name__)

KEEP = 20_000
"""Results whose foils are kept in the file, about 7 MB; older ones are read from Tiled."""

LARGEST = 1e15
"""No time, s, and no energy, eV, is as large."""

_TEXTS = ("library", "compound")
"""Fields of a shift that hold text."""

_PREFERRED = ("pips", "fluorescence", "transmission")
"""Channels whose foil is taken, of several of the same sweep: the last has preference."""


@dataclass(frozen=True, slots=True)
class AcceptedFoil:
    """A shift found from a run's own reference channel.

    `time` is that of the last document used, seconds since the epoch; `channel` is the one
    that the reference was read with.
    """

    edge: str
    run: str
    time: float
    sweep: int
    channel: str
    shift: FoilShift

    @property
    def order(self) -> tuple[float, str, int, int]:
        """Return the key to sort foils by, the latest last; the same live and in a replay."""
        return self.time, self.run, self.sweep, _PREFERRED.index(self.channel)


@dataclass(frozen=True, slots=True)
class Use:
    """The foil that a result used: its own, an earlier run's, or None."""

    foil: AcceptedFoil | None


class Foils(Protocol):
    """What a pipeline needs of the history of foils."""

    def earlier(self, result: str, edge: str, began: float) -> AcceptedFoil | None:
        """Return the foil for a result (by uid) of a run without a foil that began at a time, s."""
        ...

    def remember(self, result: Result) -> None:
        """Keep which foil a final result used."""
        ...


class Published(Protocol):
    """Published results that hold which foil they used."""

    def used(self, result: str) -> Use | None:
        """Return the foil that a result used; None where that is not known."""
        ...

    def latest(self, edge: str, began: float, max_age: float) -> AcceptedFoil | None:
        """Return the latest foil before a run began, at most `max_age` hours old, or None."""
        ...


class FoilHistory:
    """The accepted foils of each edge, and which foil each result used.

    Parameters
    ----------
    settings : str
        Hash of the settings; foils accepted under other settings are not used.
    max_age : float
        Hours after which a foil is no longer used.
    path : Path, optional
        File that keeps them between sessions, JSON lines.
    published : Published, optional
        Asked where neither memory nor file has the answer.
    writes : bool
        False to never change the file.
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
        """Return the foil that a result used, if that is known, else the latest before the run."""
        use = self.use(result)
        return use.foil if use is not None else self.latest(edge, began)

    def use(self, result: str) -> Use | None:
        """Return which foil a result used; None where that is not known."""
        known = self._uses.get(result)
        if known is None and self._published is not None:
            known = self._published.used(result)
        return known

    def latest(self, edge: str, began: float) -> AcceptedFoil | None:
        """Return the latest foil of an edge before a run began, if it is not too old."""
        oldest = began - 3600.0 * self._max_age
        found = [
            foil
            for foil in self._accepted.get(edge, ())
            if oldest < foil.time <= began  # with a maximal age of 0, none
        ]
        if self._published is not None and self._max_age:
            published = self._published.latest(edge, began, self._max_age)
            found += [published] if published is not None else []
        return max(found, key=lambda foil: foil.order, default=None)

    def remember(self, result: Result) -> None:
        """Keep which foil a final result used, unless it was refused before the calibration."""
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
        """Keep the foil of a result in memory and file; a failing disk is logged only."""
        use = Use(foil)
        if self._uses.get(result) == use:
            return
        self._know(result, use)
        if self._path is None or not self._writes:
            return
        line = {"settings": self._settings, "result": result, "foil": foil and asdict(foil)}
        try:
            private_folder(self._path.parent)
            with open(self._path, "a", encoding="utf-8", opener=open_private) as file:
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
    """Read the foils used under these settings, skip damaged lines, and shorten a long file."""
    try:
        lines = path.read_text(encoding="utf-8", errors="replace").splitlines()
    except FileNotFoundError:
        return []
    except OSError as error:
        logger.warning("foils of earlier sessions cannot be read: %s", error)
        return []
    if shorten and len(lines) > 2 * KEEP:
        lines = lines[-KEEP:]
        part = path.with_suffix(".part")
        try:
            with open(part, "w", encoding="utf-8", opener=open_private) as file:
                file.write("\n".join(lines) + "\n")
            part.replace(path)
        except OSError as error:
            logger.warning("%s cannot be shortened: %s", path, error)
    uses: list[tuple[str, Use]] = []
    for line in lines:
        try:
            item = json.loads(line)
            if item["settings"] == settings:
                foil = item["foil"]
                uses.append((str(item["result"]), Use(None if foil is None else read_foil(foil))))
        except (ValueError, TypeError, KeyError, RecursionError):
            logger.warning("%s holds a damaged line, which is skipped", path)
    return uses


def read_foil(plain: Mapping[str, Any]) -> AcceptedFoil:
    """Return a foil from plain data, which somebody else may have written.

    Raises
    ------
    ValueError, TypeError, KeyError
        When something is missing, of another type, or no number.
    """
    shift: dict[str, Any] = dict(plain["shift"])
    texts: list[Any] = [
        plain["edge"],
        plain["run"],
        plain["channel"],
        *(shift[key] for key in shift if key in _TEXTS),
    ]
    numbers: list[Any] = [plain["time"], *(shift[key] for key in shift if key not in _TEXTS)]
    if not all(isinstance(text, str) for text in texts) or plain["channel"] not in _PREFERRED:
        raise ValueError(f"a foil holds {texts}")
    if type(plain["sweep"]) is not int or not all(map(_is_number, numbers)):
        raise ValueError(f"a foil holds {[plain['sweep'], *numbers]}")
    foil: dict[str, Any] = {**plain, "shift": FoilShift(**shift)}
    return AcceptedFoil(**foil)


def _is_number(value: object) -> bool:
    return type(value) in (int, float) and abs(cast("float", value)) < LARGEST
