"""Compose what a series shows as a run of its own, whose state is replaced as the series grows."""

import json
from collections.abc import Mapping
from dataclasses import asdict
from typing import Any

from rankaae_stream.documents.open_run import time_of
from rankaae_stream.documents.together import SeriesRules
from rankaae_stream.report import Result
from rankaae_stream.results.compose import (
    ResultRun,
    copied_from,
    data_key,
    one_event_run,
    plain,
)
from rankaae_stream.series.live import SeriesResult
from rankaae_stream.series.stack import in_words, name_of
from rankaae_stream.series.state import to_dict

__all__ = ["PURPOSE", "about", "compose_series", "is_newer"]

PURPOSE = "series of XANES by rankaae-stream"
"""The purpose in the start document of every series, and of nothing else."""

OF_ONE_SCAN = frozenset({"scan_id", "scan_name", "title", "comment"})
"""Keys that a series does not copy from its first scan."""


def compose_series(
    series: SeriesResult,
    profile: Mapping[str, Any],
    copied_keys: tuple[str, ...],
    rules: SeriesRules,
) -> ResultRun:
    """Compose a series up to now; its uid and start document stay the same while it grows.

    Parameters
    ----------
    series : SeriesResult
    profile : mapping
        The resolved profile as plain data.
    copied_keys : tuple of str
        Start keys to repeat from the first raw run where it has them.
    rules : SeriesRules
        Which numbers of each scan are told.

    Returns
    -------
    ResultRun
        The state, as `series.state.to_dict` gives it, is the stop document's ``summary``, where
        a metadata query finds it, and the event's column `state` as JSON. `complete` in it is
        False while the series grows.
    """
    first, last = series.results[0], series.results[-1]
    report = series.found.series.reports[0]
    keys = tuple(key for key in copied_keys if key not in OF_ONE_SCAN)
    start = {
        **copied_from(first.start, keys),
        "uid": series.uid,
        "time": time_of(first.start, first.time),
        "purpose": PURPOSE,
        # Empty, for there are several; the key keeps a series from being taken for a scan.
        "original_run_uid": "",
        "element": report.element,
        "edge": report.edge.shell if report.edge else "",
        "channel": report.channel,
        "group": dict(series.group),
        "model": asdict(report.model) if report.model else None,
        "profile": plain(profile),
        "code_version": report.code_version,
    }
    state: dict[str, Any] = {
        "complete": series.complete,
        "against": series.against,
        **to_dict(series.found, about(series, rules)),
    }
    starts = [one.start for one in series.results]
    scans = {
        str(start["uid"]): f"scan {start['scan_id']}"
        for start in starts
        if isinstance(start.get("scan_id"), int)
    }
    for flag in state["flags"]:
        flag["message"] = in_words(flag["message"], scans)
    merged = state["merged"] or dict.fromkeys(("value", "low", "high"), float("nan"))
    data: dict[str, Any] = {
        "spectra": float(state["count"]),
        "components": float(state["components"]),
        "merged": merged["value"],
        "merged_low": merged["low"],
        "merged_high": merged["high"],
        "advice": state["advice"],
        "state": json.dumps(state),
    }
    units = {"merged": "e", "merged_low": "e", "merged_high": "e"}
    return one_event_run(
        start,
        data,
        {key: data_key(value, units.get(key, "1")) for key, value in data.items()},
        time=last.time,
        stop={"summary": state},
    )


def is_newer(found: Mapping[str, Any], run: ResultRun) -> bool:
    """Return whether a series holds more than the stop document that is stored."""
    stored: Mapping[str, Any] = found.get("summary") or {}
    return _extent(run.stop["summary"]) > _extent(stored)


def _extent(state: Mapping[str, Any]) -> tuple[int, bool]:
    return int(state.get("count") or 0), bool(state.get("complete"))


def about(series: SeriesResult, rules: SeriesRules) -> dict[str, dict[str, Any]]:
    """Return what is published of each spectrum beside its numbers, by its name there."""
    return {name_of(one.report): _about(one, rules) for one in series.results}


def _about(result: Result, rules: SeriesRules) -> dict[str, Any]:
    return {
        "uid": result.uid,
        "raw_uid": str(result.start["uid"]),
        "sweep": result.report.sweep,
        "time": time_of(result.start, result.time),
        "scan_id": plain(result.start.get("scan_id")),
        **rules.numbers(result.start),
    }
