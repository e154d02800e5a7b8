"""Read one value of many results, from their summaries alone."""

import json
from typing import Any
from urllib.parse import parse_qs, urlparse

import numpy as np
from numpy.typing import NDArray

from rankaae_stream.results.tiled_client import query_parameters

__all__ = ["read_trend"]

PAGE = 300
"""Results a request: the most that Tiled gives."""

SUMMARY = "stop.summary"


def read_trend(
    results: Any, descriptor: str = "oxidation_state", *, against: tuple[str, ...] = ()
) -> dict[str, NDArray[Any]]:
    """Read one descriptor of every final result, in the order of their scans.

    The server picks the wanted keys out of the metadata: thousands of results come in the
    time that a few hundred take with all their metadata.

    Parameters
    ----------
    results : tiled.client.container.Container
        The container of results, or what its ``search`` has found.
    descriptor : str
        A name among the model's outputs.
    against : tuple of str
        Further metadata, by dotted key: ``"start.sample_heater_1_T_rb"``.

    Returns
    -------
    dict of (n,) arrays
        ``uid`` of the result, ``raw_uid``, ``time`` (s since the epoch), ``scan_id`` (text where
        one of them is no number), ``sample_name``, ``element``, ``value``, ``low`` and ``high``
        in the descriptor's unit (NaN where the scan was refused or the model has no such
        output), ``refusal`` (its name, or empty), ``out_of_domain`` (bool), and each of `against`.

    Examples
    --------
    >>> from tiled.queries import Key  # doctest: +SKIP
    >>> iron = results.search(Key("start.element") == "Fe")  # doctest: +SKIP
    >>> iron = iron.search(Key("start.primary") == True)  # doctest: +SKIP
    >>> trend = read_trend(iron, against=("start.sample_T",))  # doctest: +SKIP
    >>> plt.errorbar(trend["start.sample_T"], trend["value"])  # doctest: +SKIP
    """
    wanted = {
        "raw_uid": "start.original_run_uid",
        "time": "start.time",
        "scan_id": "start.scan_id",
        "sample_name": "start.sample_name",
        "element": "start.element",
        **{name: f"{SUMMARY}.estimates.{descriptor}.{name}" for name in ("value", "low", "high")},
        "refusal": f"{SUMMARY}.refusal.name",
        "out_of_domain": f"{SUMMARY}.flags.out_of_domain.severity",
        **{key: key for key in against},
    }
    rows = [row for row in _rows(results, wanted) if row["raw_uid"]]
    plain = {name: [row[name] for row in rows] for name in ("uid", *wanted)}
    return {
        "uid": np.array(plain["uid"], dtype=str),
        **{name: _text(plain[name]) for name in ("raw_uid", "sample_name", "element", "refusal")},
        "scan_id": _either(plain["scan_id"]),
        **{name: _numbers(plain[name]) for name in ("time", "value", "low", "high")},
        "out_of_domain": np.array([it is not None for it in plain["out_of_domain"]], dtype=bool),
        **{key: _either(plain[key]) for key in against},
    }


def _rows(results: Any, wanted: dict[str, str]) -> list[dict[str, Any]]:
    """Return the wanted keys of every complete result, by the time of the scan."""
    picked = ", ".join(f"{json.dumps(name)}: {_quoted(key)}" for name, key in wanted.items())
    params = {
        **query_parameters(results),
        "select_metadata": f'{{"ended": "stop"."time", {picked}}}',
        "fields": "metadata",
        "page[limit]": PAGE,
    }
    found: list[dict[str, Any]] = []
    link = results.item["links"]["search"]
    # In the order of writing, which the server pages through by a cursor. By time it would
    # sort all of them again for every page, and link to no page after the first few.
    while link is not None:
        response = results.context.http_client.get(
            link, params={**parse_qs(urlparse(str(link)).query), **params}
        )
        response.raise_for_status()
        page = response.json()
        for item in page["data"]:
            selected = item["attributes"]["metadata"]["selected"]
            # Whoever writes a run without a time has not written a result.
            if selected["ended"] is not None and np.isfinite(_number(selected["time"])):
                found.append({**selected, "uid": str(item["id"])})
        link = page["links"]["next"]
    return sorted(found, key=lambda row: _number(row["time"]))


def _quoted(key: str) -> str:
    """Write a dotted key as JMESPath has it, whatever characters its parts hold."""
    return ".".join(json.dumps(part) for part in key.split("."))


def _numbers(values: list[Any]) -> NDArray[np.float64]:
    return np.array([_number(value) for value in values], dtype=float)


def _number(value: Any) -> float:
    """Return a number, and NaN for anything else: other programs write runs, too."""
    try:
        return np.nan if value is None else float(value)
    except (TypeError, ValueError, OverflowError):
        return np.nan


def _text(values: list[Any]) -> NDArray[np.str_]:
    return np.array(["" if value is None else str(value) for value in values], dtype=str)


def _either(values: list[Any]) -> NDArray[Any]:
    """Return numbers where all that are there can be numbers, else text."""
    numbers = _numbers(values)
    missing = [value is None or isinstance(value, float) for value in values]
    return _text(values) if np.isnan(numbers[~np.array(missing, dtype=bool)]).any() else numbers
