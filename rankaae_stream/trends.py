"""Read one value of many results, and series of scans, from their summaries alone."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, cast
from urllib.parse import parse_qs, urlparse

import numpy as np
from numpy.typing import NDArray

from rankaae_stream.results.compose_series import PURPOSE as SERIES
from rankaae_stream.results.tiled_client import query_parameters

__all__ = ["Series", "read_series", "read_trend"]

PAGE = 300
"""Results a request: the most that Tiled gives."""

SERIES_PAGE = 20
"""Series a request: each may hold 2,000 spectra."""

SUMMARY = "stop.summary"


def read_trend(
    results: Any,
    descriptor: str = "oxidation_state",
    *,
    against: tuple[str, ...] = (),
    series: Sequence["Series"] = (),
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
    series : sequence of Series
        What `read_series` has found, to tell the valence of each result as a mixture too.

    Returns
    -------
    dict of (n,) arrays
        ``uid`` of the result, ``raw_uid``, ``time`` (s since the epoch), ``scan_id`` (text where
        one of them is no number), ``sample_name``, ``element``, ``value``, ``low`` and ``high``
        in the descriptor's unit (NaN where the scan was refused or the model has no such
        output), ``refusal`` (its name, or empty), ``out_of_domain`` (bool), and each of `against`;
        with `series` also ``mixture_value`` and ``mixture_half_width`` (e, NaN where none of
        them holds the result as a mixture).

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
    trend = {
        "uid": np.array(plain["uid"], dtype=str),
        **{name: _text(plain[name]) for name in ("raw_uid", "sample_name", "element", "refusal")},
        "scan_id": _either(plain["scan_id"]),
        **{name: _numbers(plain[name]) for name in ("time", "value", "low", "high")},
        "out_of_domain": np.array([it is not None for it in plain["out_of_domain"]], dtype=bool),
        **{key: _either(plain[key]) for key in against},
    }
    return {**trend, **_mixtures(series, plain["uid"])} if series else trend


def _mixtures(series: Sequence["Series"], uids: list[str]) -> dict[str, NDArray[np.float64]]:
    """Return valence and half-width of results as mixtures; a later series counts more."""
    known = {
        _word(row.get("uid")): (row.get("valence"), row.get("half_width"))
        for one in series
        for row in map(_mapping, _list(one.state.get("spectra")))
        if "valence" in row
    }
    found = [known.get(uid, (None, None)) for uid in uids]
    return {
        "mixture_value": _numbers([value for value, _ in found]),
        "mixture_half_width": _numbers([half for _, half in found]),
    }


@dataclass(frozen=True, slots=True, eq=False)
class Series:
    """What a published series shows.

    Attributes
    ----------
    uid : str
    time : float
        When its first scan began, s since the epoch.
    group : dict of str
        The start keys that name it, with their values.
    sample_name, element, edge, channel : str
    complete : bool
        Whether no more spectra will come.
    components : int
        How many spectra it is mixed of; 1 for repeats.
    spectra : dict of (n,) arrays
        A column for each key of its spectra: ``uid`` of the result, ``raw_uid``, ``time``,
        ``scan_id``, ``alone`` and ``alone_half_width`` (e), of mixtures also ``share_1`` ...,
        ``share_1_sigma`` ..., ``valence``, ``half_width`` and ``misfit``, and the numbers that the
        profile's ``series.against`` names. NaN or empty where a spectrum has no such value.
    ends : list of str
        The spectra that it is mixed of, by their names in the column ``spectrum``.
    merged : (3,) array
        Valence of the mean of repeats, and the low and high end of its interval, e; NaN without.
    advice : str
        On more repeats.
    changes : dict of (m,) arrays
        Where the course changes: ``at``, ``within``, ``before``, ``after`` and the like.
    state : dict
        All that was published, as it is.
    """

    uid: str
    time: float
    group: dict[str, Any]
    sample_name: str
    element: str
    edge: str
    channel: str
    complete: bool
    components: int
    spectra: dict[str, NDArray[Any]]
    ends: list[str]
    merged: NDArray[np.float64]
    advice: str
    changes: dict[str, NDArray[Any]]
    state: dict[str, Any]


def read_series(results: Any) -> list[Series]:
    """Read the published series, in the order of their first scans.

    One whose spectra are all in a longer series of the same sample is left out: a session that
    started again between two scans began it, and a replay has joined it to the first.

    Parameters
    ----------
    results : tiled.client.container.Container
        The container of results, or what its ``search`` has found.

    Examples
    --------
    >>> from tiled.queries import Key  # doctest: +SKIP
    >>> found = read_series(results.search(Key("start.sample_name") == "LFP"))  # doctest: +SKIP
    >>> table = found[-1].spectra  # doctest: +SKIP
    >>> plt.errorbar(table["time"], table["valence"], table["half_width"])  # doctest: +SKIP
    """
    from tiled.queries import Key

    names = ("time", "group", "sample_name", "element", "edge", "channel")
    wanted = {**{name: f"start.{name}" for name in names}, "state": SUMMARY}
    rows = _rows(results.search(Key("start.purpose") == SERIES), wanted, page=SERIES_PAGE)
    return _without_fragments([_series(row) for row in rows])


def _without_fragments(found: list[Series]) -> list[Series]:
    """Leave out series that are a part of another one of their group, edge and channel."""
    named: dict[str, list[tuple[Series, frozenset[str]]]] = {}
    for one in found:
        key = json.dumps([one.group, one.element, one.edge, one.channel], sort_keys=True)
        uids = frozenset(map(str, one.spectra.get("uid", np.array([])).tolist()))
        named.setdefault(key, []).append((one, uids))
    parts = {
        one.uid
        for same in named.values()
        for one, uids in same
        if uids and any(uids < others for _, others in same)
    }
    return [one for one in found if one.uid not in parts]


def _series(row: dict[str, Any]) -> Series:
    state = _mapping(row["state"])
    merged = _mapping(state.get("merged"))
    components = _number(state.get("components"))
    return Series(
        uid=row["uid"],
        time=_number(row["time"]),
        group=_mapping(row["group"]),
        sample_name=_word(row["sample_name"]),
        element=_word(row["element"]),
        edge=_word(row["edge"]),
        channel=_word(row["channel"]),
        complete=state.get("complete") is True,
        components=int(components) if np.isfinite(components) else 1,
        spectra=_columns(state.get("spectra")),
        ends=[_word(end) for end in _list(state.get("ends"))],
        merged=_numbers([merged.get(key) for key in ("value", "low", "high")]),
        advice=_word(state.get("advice")),
        changes=_columns(state.get("changes")),
        state=state,
    )


def _columns(table: Any) -> dict[str, NDArray[Any]]:
    """Return a column for each key that a row has."""
    rows = [_mapping(row) for row in _list(table)]
    keys = dict.fromkeys(key for row in rows for key in row)
    return {key: _either([row.get(key) for row in rows]) for key in keys}


def _mapping(value: Any) -> dict[str, Any]:
    """Return a mapping, and an empty one for anything else: other programs write runs, too."""
    return dict(cast("Mapping[str, Any]", value)) if isinstance(value, Mapping) else {}


def _list(value: Any) -> list[Any]:
    return cast("list[Any]", value) if isinstance(value, list) else []


def _rows(results: Any, wanted: dict[str, str], page: int | None = None) -> list[dict[str, Any]]:
    """Return the wanted keys of every complete result, by the time of the scan."""
    picked = ", ".join(f"{json.dumps(name)}: {_quoted(key)}" for name, key in wanted.items())
    params = {
        **query_parameters(results),
        "select_metadata": f'{{"ended": "stop"."time", {picked}}}',
        "fields": "metadata",
        "page[limit]": page or PAGE,
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
        answer = response.json()
        for item in answer["data"]:
            selected = item["attributes"]["metadata"]["selected"]
            # Whoever writes a run without a time has not written a result.
            if selected["ended"] is not None and np.isfinite(_number(selected["time"])):
                found.append({**selected, "uid": str(item["id"])})
        link = answer["links"]["next"]
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
    return np.array([_word(value) for value in values], dtype=str)


def _word(value: Any) -> str:
    return "" if value is None else str(value)


def _either(values: list[Any]) -> NDArray[Any]:
    """Return numbers where all that are there can be numbers, else text."""
    numbers = _numbers(values)
    missing = [value is None or isinstance(value, float) for value in values]
    return _text(values) if np.isnan(numbers[~np.array(missing, dtype=bool)]).any() else numbers
