"""Documents of a beamline's runs, as its own RunEngine would have emitted them.

The beamlines that are played here are not: their names, nestings and units are,
and a measured spectrum instead of a sample. Uids follow from the run's name, so
that the same run is the same documents.
"""

import uuid
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import event_model
import numpy as np

from rankaae_stream.simulate.plans import step_energies
from rankaae_stream.simulate.samples import Sample, curves
from rankaae_stream.spectrum import Floats

__all__ = ["Beam", "Documents", "RunWriter", "number", "over_the_edge", "stamped"]

Documents = list[tuple[str, Mapping[str, Any]]]


@dataclass(frozen=True, slots=True)
class Beam:
    """What the detectors of a scan see.

    Attributes
    ----------
    sample : Sample
    dilution : float
        By how much the edge step in transmission is smaller than of a
        well-made sample; the fluorescence keeps its shape.
    noise : float
        Relative standard deviation of every signal.
    foil : bool
        Whether there is a foil before the last ion chamber.
    nan : (float, float) or None
        Energies, eV, between which the chamber behind the sample reads nothing.
    seed : int
    """

    sample: Sample
    dilution: float = 1.0
    noise: float = 0.0
    foil: bool = True
    nan: tuple[float, float] | None = None
    seed: int = 0

    def signals(self, energy: Floats, i0: float = 100.0) -> dict[str, Floats]:
        """i0, it, ir and iff at energies (n,) in time order, in units of `i0`."""
        mu, foil = (np.array(x) for x in zip(*map(curves(self.sample).at, energy), strict=True))
        rng = np.random.default_rng(self.seed)
        decay = i0 * (1.0 - 0.02 * np.arange(energy.size) / max(energy.size, 1))
        thin = 0.4 + self.dilution * (mu - 0.4)
        columns = {
            "i0": decay,
            "it": decay * np.exp(-thin),
            "ir": decay * np.exp(-thin - (foil if self.foil else 0.0)),
            "iff": decay * 0.01 * mu,
        }
        for key, column in columns.items():
            columns[key] = column * (1.0 + self.noise * rng.standard_normal(energy.size))
        if self.nan is not None:
            columns["it"][(energy >= self.nan[0]) & (energy <= self.nan[1])] = np.nan
        return columns


def over_the_edge(sample: Sample, *, falling: bool = False) -> Floats:
    """Energies of a usual step scan over a sample's edge, eV."""
    energies = sample.edge.e0 + step_energies()
    return energies[::-1] if falling else energies


def number(units: str = "", source: str = "PV:simulated", precision: int = 5) -> dict[str, Any]:
    """A scalar data key as ophyd describes it."""
    key = {"source": source, "dtype": "number", "shape": [], "precision": precision}
    return {**key, "units": units} if units else key


def stamped(doc: Mapping[str, Any], now: float) -> dict[str, Any]:
    """The same document, emitted at `now`; what is known of one moment stays in step.

    Examples
    --------
    >>> stamped({"uid": ["a", "b"], "time": [1.0, 2.0], "timestamps": {"x": [1.0, 2.0]}}, 9.0)
    {'uid': ['a', 'b'], 'time': [8.0, 9.0], 'timestamps': {'x': [8.0, 9.0]}}
    """
    if "time" not in doc:
        return dict(doc)
    times = doc["time"]
    later = now - (times[-1] if isinstance(times, list) else times)

    def shifted(value: Any) -> Any:
        if isinstance(value, Mapping):
            return {key: shifted(item) for key, item in value.items()}
        return [item + later for item in value] if isinstance(value, list) else value + later

    return {**doc, **{key: shifted(doc[key]) for key in ("time", "timestamps") if key in doc}}


class RunWriter:
    """Writes one run's documents, valid by event-model's schemas.

    Parameters
    ----------
    name : str
        The run's uid follows from it.
    start : mapping
        Further keys of the start document.
    time : float
        Of the start, seconds since the epoch.
    """

    def __init__(self, name: str, start: Mapping[str, Any], time: float = 1.75e9) -> None:
        self.uid = uuid.uuid5(uuid.NAMESPACE_URL, f"rankaae-stream/simulate/{name}")
        self.time = time
        self._run = event_model.compose_run(uid=str(self.uid), time=time, metadata=dict(start))
        self.documents: Documents = [("start", self._run.start_doc)]
        self._streams: dict[str, Any] = {}

    def stream(
        self,
        name: str,
        data_keys: Mapping[str, Mapping[str, Any]],
        configuration: Mapping[str, Any] | None = None,
    ) -> None:
        """Declare a stream; data keys may say their device under ``object_name``."""
        objects: dict[str, list[str]] = {}
        for key, value in data_keys.items():
            objects.setdefault(str(value.get("object_name", key)), []).append(key)
        bundle = self._run.compose_descriptor(
            name,
            data_keys={key: dict(value) for key, value in data_keys.items()},  # type: ignore[arg-type]
            object_keys=objects,
            configuration=dict(configuration or {}),
            uid=self._uid(f"descriptor {name}"),
            time=self.time,
        )
        self._streams[name] = bundle
        self.documents.append(("descriptor", bundle.descriptor_doc))

    def descriptor_of(self, stream: str) -> event_model.EventDescriptor:
        """A stream's descriptor."""
        return self._streams[stream].descriptor_doc

    def event(self, stream: str, data: Mapping[str, Any], seconds: float = 1.0) -> None:
        """Append an event, `seconds` after what came before."""
        self.time += seconds
        event = self._streams[stream].compose_event(
            data=dict(data),
            timestamps=dict.fromkeys(data, self.time),
            uid=self._uid(f"event {len(self.documents)}"),
            time=self.time,
        )
        self.documents.append(("event", event))

    def page(self, stream: str, columns: Mapping[str, Any], seconds: float = 1.0) -> None:
        """Append all events of a stream as one event page; columns (n, ...)."""
        n = len(next(iter(columns.values())))
        times = [self.time + seconds * (i + 1) for i in range(n)]
        page = self._streams[stream].compose_event_page(
            data={key: list(values) for key, values in columns.items()},
            timestamps=dict.fromkeys(columns, times),
            seq_num=list(range(1, n + 1)),
            uid=[self._uid(f"event {i}") for i in range(n)],
            time=times,
        )
        self.time = times[-1]
        self.documents.append(("event_page", page))

    def stop(self, exit_status: str = "success", reason: str = "") -> None:
        """End the run."""
        self.time += 0.1
        stop = self._run.compose_stop(
            exit_status=exit_status,  # type: ignore[arg-type]
            reason=reason,
            uid=self._uid("stop"),
            time=self.time,
        )
        self.documents.append(("stop", stop))

    def _uid(self, what: str) -> str:
        return str(uuid.uuid5(self.uid, what))
