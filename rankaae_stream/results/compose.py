"""Compose a report's documents as a bluesky run.

All uids and times follow from the raw run, the model and the settings, so that the live
stream and a replay compose the same documents.
"""

import uuid
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, cast

import numpy as np

from rankaae_stream.documents.open_run import time_of
from rankaae_stream.documents.rules import lookup
from rankaae_stream.report import Result, flatten, summarize

__all__ = [
    "CURVES",
    "PURPOSE",
    "ResultRun",
    "compose",
    "compose_rows",
    "copied_from",
    "data_key",
    "holds_more",
    "is_partial",
    "one_event_run",
    "plain",
]

STREAM = "primary"
PURPOSE = "descriptors from XANES by rankaae-stream"
"""The purpose in the start document of every result, and of nothing else."""

SAMPLE = ("sample", "sample.name", "Sample.name", "XDI.Sample.name", "sample_id")
"""Start keys that name the sample of a run without ``sample_name``; the first is taken."""
DEEPEST = 64
"""Brackets within brackets that are copied from a start document."""

CURVES = ("flat", "reconstruction", "residual")
"""Rows of the event's array `curves`, each on the model's grid."""


@dataclass(frozen=True, slots=True)
class ResultRun:
    """The documents of one result: start, descriptor, one event, stop.

    That of many quick sweeps has an event for each: `earlier` are all but the last.
    """

    start: dict[str, Any]
    descriptor: dict[str, Any]
    event: dict[str, Any]
    stop: dict[str, Any]
    earlier: Sequence[dict[str, Any]] = ()

    @property
    def uid(self) -> str:
        """Return the run's uid."""
        return self.start["uid"]

    def documents(self) -> Iterator[tuple[str, dict[str, Any]]]:
        """Yield (name, document) in order."""
        yield "start", self.start
        yield "descriptor", self.descriptor
        for event in self.earlier:
            yield "event", event
        yield "event", self.event
        yield "stop", self.stop

    @classmethod
    def of(cls, documents: Iterable[tuple[str, dict[str, Any]]]) -> "ResultRun":
        """Put the documents of a run together again, as `documents` gave them."""
        events: list[dict[str, Any]] = []
        single: dict[str, Any] = {}
        for name, doc in documents:
            if name == "event":
                events.append(doc)
            else:
                single[name] = doc
        return cls(**single, event=events[-1], earlier=events[:-1])

    def numbered(self, number: int) -> "ResultRun":
        """Return the same run with its events numbered in the stream from `number` on."""
        first, last = number, number + len(self.earlier)
        return replace(
            self,
            event=_numbered(self.uid, self.event, last),
            stop={**self.stop, "num_events": {STREAM: last}},
            earlier=[_numbered(self.uid, event, first + i) for i, event in enumerate(self.earlier)],
        )


def _numbered(run: str, event: dict[str, Any], number: int) -> dict[str, Any]:
    uid = str(uuid.uuid5(uuid.UUID(run), f"event {number}"))
    return {**event, "uid": uid, "seq_num": number}


def compose(result: Result, profile: Mapping[str, Any], copied_keys: tuple[str, ...]) -> ResultRun:
    """Compose a report as a run of its own, valid by event-model's schemas.

    Parameters
    ----------
    result : Result
    profile : mapping
        The resolved profile as plain data.
    copied_keys : tuple of str
        Start keys to repeat from the raw run where it has them.

    Returns
    -------
    ResultRun
        All uids and times follow from the raw run, so that a replay composes
        the same documents.
    """
    return _compose([result], profile, copied_keys)


def compose_rows(
    results: Sequence[Result], profile: Mapping[str, Any], copied_keys: tuple[str, ...]
) -> ResultRun:
    """Compose the quick sweeps of one run and channel as one run, an event a sweep.

    Its uid and start document are those of the first sweep, with the number of `sweeps`. Each
    event has the columns of a single result, and its `sweep`. The summary is that of the last
    sweep that was answered.

    Parameters
    ----------
    results : sequence of Result
        In the order of their sweeps, by one model.
    profile, copied_keys
        See `compose`.
    """
    run = _compose(results, profile, copied_keys)
    run.start["sweeps"] = len(results)
    refused = sum(result.report.refusal is not None for result in results)
    run.stop["sweeps"] = {"answered": len(results) - refused, "refused": refused}
    return run


def _compose(
    results: Sequence[Result], profile: Mapping[str, Any], copied_keys: tuple[str, ...]
) -> ResultRun:
    result, last = results[0], results[-1]
    answered = [one for one in results if one.report.refusal is None]
    report, told = result.report, (answered or results)[-1].report
    started = time_of(result.start, result.time)
    summary = summarize(told)
    start = {
        **copied_from(result.start, copied_keys),
        "uid": result.uid,
        "time": started,
        "original_run_uid": result.start["uid"],
        "purpose": PURPOSE,
        "element": report.element,
        "edge": summary["edge"],
        "channel": report.channel,
        "primary": result.primary,
        "sweep": report.sweep,
        "model": summary["model"],
        "descriptors": [output._asdict() for output in result.outputs],
        "profile": plain(profile),
        "code_version": report.code_version,
    }
    if len(results) > 1:
        rows = [{"sweep": float(one.report.sweep), **_row(one)} for one in results]
    else:
        rows = [_row(result)]
    units = dict(_UNITS)
    for output in result.outputs:
        units.update({f"{output.name}{suffix}": output.unit for suffix in ("", "_low", "_high")})
    run = one_event_run(
        start,
        rows[-1],
        {key: data_key(value, units.get(key, "")) for key, value in rows[0].items()},
        time=last.time,
        hints={"rankaae_stream": {"fields": [output.name for output in result.outputs]}},
        configuration={"rankaae_stream": _grid(result, started)},
        stop={
            "reason": told.refusal.message if told.refusal else "",
            "summary": plain(summary),
        },
    )
    earlier = [
        {**run.event, "data": row, "time": one.time, "timestamps": dict.fromkeys(row, one.time)}
        for row, one in zip(rows[:-1], results[:-1], strict=True)
    ]
    return replace(run, earlier=earlier).numbered(1) if earlier else run


def _row(result: Result) -> dict[str, Any]:
    """Return the columns of a result's event."""
    return {
        **flatten(result.report, [output.name for output in result.outputs]),
        **_curves(result),
    }


def copied_from(start: Mapping[str, Any], keys: tuple[str, ...]) -> dict[str, Any]:
    """Return what a result repeats of a raw run's start document, and the sample's name."""
    copied = {key: plain(start[key]) for key in keys if key in start}
    named = None if "sample_name" in copied else lookup(start, SAMPLE)
    if named is not None:
        copied["sample_name"] = named
    return copied


def one_event_run(
    start: dict[str, Any],
    data: dict[str, Any],
    data_keys: dict[str, Any],
    *,
    time: float,
    hints: Mapping[str, Any] | None = None,
    configuration: Mapping[str, Any] | None = None,
    stop: Mapping[str, Any] | None = None,
) -> ResultRun:
    """Compose a run of one event; all uids follow from that of the start document.

    `time` is that of event and stop, seconds since the epoch; `stop` holds further keys.
    """
    uid = uuid.UUID(start["uid"])
    descriptor = {
        "uid": str(uuid.uuid5(uid, "descriptor")),
        "run_start": start["uid"],
        "time": start["time"],
        "name": STREAM,
        "data_keys": data_keys,
        "object_keys": {"rankaae_stream": list(data_keys)},
        "hints": dict(hints or {}),
        "configuration": dict(configuration or {}),
    }
    event = {
        "uid": str(uuid.uuid5(uid, "event 1")),
        "descriptor": descriptor["uid"],
        "time": time,
        "seq_num": 1,
        "data": data,
        "timestamps": dict.fromkeys(data, time),
        "filled": {},
    }
    end = {
        "uid": str(uuid.uuid5(uid, "stop")),
        "run_start": start["uid"],
        "time": time,
        "exit_status": "success",
        "reason": "",
        "num_events": {STREAM: 1},
        **(stop or {}),
    }
    return ResultRun(start, descriptor, event, end)


def holds_more(run: ResultRun, found: Mapping[str, Any]) -> bool:
    """Return whether a run answers more than a complete one that is stored under its uid.

    The stored one answers a run that could not be read whole, and this one does not; or it has
    fewer of the quick sweeps, as from a session that ended before the raw run did.

    Parameters
    ----------
    run : ResultRun
    found : mapping
        `start` and `stop` of the stored one.
    """
    stop = found["stop"]
    if is_partial(stop) and not is_partial(run.stop):
        return True
    return _extent(run.start, run.stop) > _extent(found.get("start") or {}, stop)


def _extent(start: Mapping[str, Any], stop: Mapping[str, Any]) -> tuple[int, int]:
    """Return how many quick sweeps a result has, and how many of these were answered; else 0."""
    told = stop.get("sweeps")
    answered = cast("Mapping[str, Any]", told).get("answered") if isinstance(told, Mapping) else 0
    counts = start.get("sweeps"), answered
    sweeps, known = (count if isinstance(count, int) else 0 for count in counts)
    return sweeps, known


def is_partial(stop: Mapping[str, Any]) -> bool:
    """Return whether a result's stop document answers a run that could not be read whole.

    Of single results such an answer, and no other, may be replaced by a later one. It comes
    from a session that ended before the scan did, an inbox that overflowed, or a file that was
    missing; a replay that reads the whole run has the better answer.
    """
    summary: Mapping[str, Any] = stop.get("summary") or {}
    refusal: Mapping[str, Any] = summary.get("refusal") or {}
    flags: Mapping[str, Any] = summary.get("flags") or {}
    return refusal.get("name") in _UNREAD or not _UNREAD_FLAGS.isdisjoint(flags)


_UNREAD = ("overrun", "missing_file", "file", "outside_roots")
_UNREAD_FLAGS = frozenset({"no_stop", "truncated_file", "no_frames", "events_missing"})
"""Refusals and flags of data that may be there later, or for somebody else."""


def _curves(result: Result) -> dict[str, list[list[float]]]:
    """Return the curves as one array: each array costs the server as much as a table row."""
    if result.grid is None:
        return {}
    curves = result.report.curves
    if curves is None:
        return {"curves": [[float("nan")] * result.grid.size] * len(CURVES)}
    rows = curves.flat, curves.reconstruction, curves.flat - curves.reconstruction
    return {"curves": [row.tolist() for row in rows]}


_UNITS = {
    "points": "1",
    "sweep": "1",
    "energy_first": "eV",
    "energy_last": "eV",
    "extent_first": "eV",
    "extent_last": "eV",
    "edge_step": "1",
    "domain_distance": "1",
    "domain_threshold": "1",
    "shift_calibration": "eV",
    "shift_theory": "eV",
    "shift_uncertainty": "eV",
    "shift_age": "h",
    "foil_shift": "eV",
    "foil_uncertainty": "eV",
    "foil_misfit": "1",
    "curves": "1",
}


def _grid(result: Result, started: float) -> dict[str, Any]:
    """Return the descriptor's configuration: what the rows of `curves` are, and their grid."""
    settings = {
        "curve_rows": list(CURVES),
        "energy_grid": [] if result.grid is None else result.grid.tolist(),
    }
    return {
        "data": settings,
        "timestamps": dict.fromkeys(settings, started),
        "data_keys": {
            "curve_rows": {**data_key(settings["curve_rows"], ""), "dtype_numpy": "<U14"},
            "energy_grid": data_key(settings["energy_grid"], "eV"),
        },
    }


def data_key(value: Any, unit: str) -> dict[str, Any]:
    """Return a plain value's data key of a descriptor: type, shape and unit."""
    key: dict[str, Any] = {"source": "rankaae-stream", "shape": [], "units": unit}
    if isinstance(value, list):
        shape = list(np.shape(cast("list[Any]", value)))
        return {**key, "dtype": "array", "shape": shape, "dtype_numpy": "<f8"}
    if isinstance(value, bool):
        return {**key, "dtype": "boolean", "dtype_numpy": "|b1"}
    if isinstance(value, str):
        return {**key, "dtype": "string"}
    return {**key, "dtype": "number", "dtype_numpy": "<f8"}


def plain(value: Any, depth: int = 0) -> Any:
    """Copy a value as JSON has it: arrays to lists, numbers that are not finite to None."""
    if depth > DEEPEST:
        return "..."
    if isinstance(value, Mapping):
        items = cast("Mapping[Any, Any]", value).items()
        return {str(key): plain(item, depth + 1) for key, item in items}
    if isinstance(value, (list, tuple, set, frozenset)):
        return [plain(item, depth + 1) for item in cast("Iterable[Any]", value)]
    if isinstance(value, (np.ndarray, np.generic)):
        return plain(value.tolist(), depth)
    if isinstance(value, float):
        return value if np.isfinite(value) else None
    if isinstance(value, int) and abs(value) >= 2**63:  # no format on the way holds more
        return hex(value)
    return value if value is None or isinstance(value, (bool, int, str)) else str(value)
