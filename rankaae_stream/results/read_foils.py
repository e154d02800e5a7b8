"""Read from published results which foil a run was answered with.

A replay on a machine that never saw the foils needs it.
"""

from collections.abc import Callable, Iterable, Mapping
from typing import Any, TypeVar, cast

from rankaae_stream.printable import get_logger
from rankaae_stream.report import result_uid
from rankaae_stream.results.tiled_client import get_child, open_context
from rankaae_stream.spectra.foils import AcceptedFoil, Use, read_foil
from rankaae_stream.spectrum import Origin

__all__ = ["PublishedFoils"]

logger = get_logger(__name__)

T = TypeVar("T")

TIMEOUT = 10.0
"""Seconds that the server may take for one answer."""
LONGEST = 86_400.0
"""Longest time that a run may take, s: one that began earlier ended before the oldest foil."""
LOOK_AT = 40
"""How many of the newest results are read: overlapping runs end in another order than they
begin."""


class PublishedFoils:
    """Ask the container of results, only when a run has no foil; nothing is written.

    Parameters
    ----------
    uri, node : str
        Server and container.
    api_key : str or None
        None for a server that lets everyone read.
    settings : str
        Hash of the settings that results have to be made with.

    Attributes
    ----------
    failing : str
        Why it could not be asked, or empty; then it is not asked again.
    """

    def __init__(self, uri: str, node: str, api_key: str | None, settings: str) -> None:
        self._uri, self._node, self._api_key = uri, node, api_key
        self._settings = settings
        self._context: Any = None
        self._results: Any = None
        self.failing = ""

    def used(self, result: str) -> Use | None:
        """Return the foil that the result of that uid was made with; None where unknown."""
        return self._asked(lambda: self._used(result))

    def latest(self, edge: str, began: float, max_age: float) -> AcceptedFoil | None:
        """Return the latest foil before a run began, at most `max_age` hours old."""
        return self._asked(lambda: self._latest(edge, began, max_age))

    def close(self) -> None:
        """Close the connection."""
        if self._context is not None:
            self._context.close()

    def _used(self, result: str) -> Use | None:
        try:
            found = get_child(self._container(), result).metadata
        except KeyError:
            return None
        shift = _shift_of(found)
        if shift is None:
            return None
        run, own = shift["calibration_run"], found["start"]["original_run_uid"]
        if not run or _under(shift, "foil").get("compound"):
            return Use(None)
        if run == own:
            # Its own foil was accepted then and is not now: which earlier one, nobody knows.
            return None
        from tiled.queries import Key

        there = self._container().search(Key("start.original_run_uid") == run)
        foil = self._newest(there.values(), began=None)
        return Use(foil) if foil is not None else None

    def _latest(self, edge: str, began: float, max_age: float) -> AcceptedFoil | None:
        from tiled.queries import Comparison, Key

        element, shell = edge.split()
        oldest = began - 3600.0 * max_age
        found = (
            self._container()
            .search(Key("start.element") == element)
            .search(Key("start.edge") == shell)
            .search(Comparison("ge", "start.time", oldest - LONGEST))
            .search(Comparison("le", "start.time", began))
            .search(Key("stop.summary.energy_shift.calibration_age") == 0.0)
            .search(Comparison("gt", "stop.summary.energy_shift.foil.uncertainty", 0.0))
            .sort(("start.time", -1))
        )
        foil = self._newest(found.values().head(LOOK_AT), began)
        return foil if foil is not None and foil.time > oldest else None

    def _newest(self, runs: Iterable[Any], began: float | None) -> AcceptedFoil | None:
        found = [foil for run in runs if (foil := self._read(run.metadata)) is not None]
        found = [foil for foil in found if began is None or foil.time <= began]
        return max(found, key=lambda foil: foil.order, default=None)

    def _read(self, metadata: Mapping[str, Any]) -> AcceptedFoil | None:
        """Return what `_accepted` does, and None where what is stored is not as we write it."""
        try:
            return self._accepted(metadata)
        except (TypeError, ValueError, KeyError, AttributeError, OverflowError) as error:
            logger.info("a published result is passed over: %s", error)
            return None

    def _accepted(self, metadata: Mapping[str, Any]) -> AcceptedFoil | None:
        """Return the foil of a result's own run, if it was accepted under the same settings."""
        start, shift = metadata["start"], _shift_of(metadata)
        if shift is None or shift["foil"] is None:
            return None
        run, model = start["original_run_uid"], str(_under(start, "model").get("id", ""))
        uid = result_uid(Origin(run, start["channel"], start["sweep"]), model, self._settings)
        if shift["calibration_run"] != run or uid != start["uid"]:
            return None
        return read_foil(
            {
                "edge": f"{start['element']} {start['edge']}",
                "run": run,
                "time": float(metadata["stop"]["time"]),
                "sweep": start["sweep"],
                "channel": start["channel"],
                "shift": shift["foil"],
            }
        )

    def _asked(self, ask: Callable[[], T | None]) -> T | None:
        if self.failing:
            return None
        try:
            return ask()
        except Exception as error:  # noqa: BLE001 - runs are answered without it
            self.failing = " ".join(f"{error or type(error).__name__}".split())[:300]
            logger.warning("published results cannot be asked for foils: %s", self.failing)
            return None

    def _container(self) -> Any:
        if self._results is None:
            from tiled.client import constructors

            self._context, path = open_context(self._uri, self._api_key, TIMEOUT)
            self._results = constructors.from_context(self._context, node_path_parts=path)[
                self._node
            ]
        return cast("Any", self._results)


def _shift_of(metadata: Mapping[str, Any]) -> Mapping[str, Any] | None:
    """Return the energy shift of a complete result; None where it was refused before that."""
    shift = _under(metadata, "stop", "summary", "energy_shift")
    return shift if shift.get("uncertainty") is not None else None


def _under(mapping: Mapping[str, Any], *keys: str) -> Mapping[str, Any]:
    """Return the mapping below the keys; an empty one where there is none."""
    for key in keys:
        found = mapping.get(key)
        mapping = cast("Mapping[str, Any]", found) if isinstance(found, Mapping) else {}
    return mapping
