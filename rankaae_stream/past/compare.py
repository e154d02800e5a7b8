"""Compare two answers to the same spectra: published and replayed, or by two models."""

import json
import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal, NamedTuple, cast

from rankaae_stream.past.archive import documents_of
from rankaae_stream.past.references import open_to_read
from rankaae_stream.report import Report, result_uid
from rankaae_stream.results.sinks import Postponed, Unavailable

__all__ = [
    "Compared",
    "Place",
    "Said",
    "Value",
    "Verdict",
    "choose",
    "compare",
    "published_answers",
    "said_in",
    "said_of",
]

BATCH = 50
"""Runs whose results are asked for at once."""

Verdict = Literal["identical", "within", "beyond", "one_refused", "missing"]
"""What a difference amounts to, see `Compared`."""


class Place(NamedTuple):
    """Which spectrum: its run, channel and sweep."""

    run: str
    channel: str
    sweep: int


class Value(NamedTuple):
    """An estimate with its interval."""

    value: float
    low: float
    high: float


@dataclass(frozen=True, slots=True)
class Said:
    """What an answer says, as far as two can be compared.

    Attributes
    ----------
    values : mapping of Value
        By the descriptor's name; empty where it was refused.
    flags : frozenset of str
    refusal : str
        Name of the refusal, or empty.
    model : str
        Name and version.
    uid, model_id : str
        Of the result, and of its model.
    """

    values: Mapping[str, Value] = field(default_factory=dict[str, Value])
    flags: frozenset[str] = frozenset()
    refusal: str = ""
    model: str = ""
    uid: str = ""
    model_id: str = ""


@dataclass(frozen=True, slots=True)
class Compared:
    """Two answers to one spectrum.

    Attributes
    ----------
    place : Place
    before, after : Said or None
        None where there is no such answer.
    verdict : Verdict
        ``identical``: the same values, intervals, flags and refusal, bit for bit; ``within``:
        each value lies in the interval of the answer before; ``beyond``: at least one does not;
        ``one_refused``: refused by one only, or with another reason; ``missing``: there is no
        answer before, or none after.
    beyond : tuple of str
        Descriptors whose value is beyond.
    """

    place: Place
    before: Said | None
    after: Said | None
    verdict: Verdict
    beyond: tuple[str, ...] = ()

    def difference(self, name: str) -> float | None:
        """Return by how much a descriptor's value has grown; None where one has none."""
        old = self.before.values.get(name) if self.before else None
        new = self.after.values.get(name) if self.after else None
        return None if old is None or new is None else new.value - old.value


def compare(place: Place, before: Said | None, after: Said | None) -> Compared:
    """Compare two answers.

    Examples
    --------
    >>> old = Said({"oxidation_state": Value(3.0, 2.8, 3.2)})
    >>> new = Said({"oxidation_state": Value(3.3, 3.0, 3.6)})
    >>> found = compare(Place("run", "transmission", 0), old, new)
    >>> found.verdict, found.beyond
    ('beyond', ('oxidation_state',))
    """
    if before is None or after is None:
        return Compared(place, before, after, "missing")
    if before.refusal != after.refusal:
        return Compared(place, before, after, "one_refused")
    if before.values == after.values and before.flags == after.flags:
        return Compared(place, before, after, "identical")
    beyond = tuple(
        name
        for name, old in before.values.items()
        if name in after.values and not old.low <= after.values[name].value <= old.high
    )
    return Compared(place, before, after, "beyond" if beyond else "within", beyond)


def said_of(report: Report, settings: str) -> tuple[Place, Said]:
    """Return what a report says, and of which spectrum; `settings` is the profile's hash."""
    model_id = report.model.id if report.model else ""
    return Place(str(report.source), report.channel, report.sweep), Said(
        {one.name: Value(one.value, one.low, one.high) for one in report.estimates},
        frozenset(flag.name for flag in report.flags),
        report.refusal.name if report.refusal else "",
        f"{report.model.name} {report.model.version}" if report.model else "",
        result_uid(report.origin, model_id, settings),
        model_id,
    )


def published_answers(
    uri: str, node: str, api_key: str | None, runs: Sequence[str]
) -> dict[Place, list[Said]]:
    """Return all published answers to the spectra of runs, in the order of their writing.

    Parameters
    ----------
    uri, node : str
        Server and container.
    api_key : str or None
        None for a server that lets everyone read.
    runs : sequence of str
        Uids.

    Raises
    ------
    Unavailable
        When they cannot be read.
    """
    from httpx import HTTPError
    from tiled.client import constructors
    from tiled.queries import In

    found: dict[Place, list[Said]] = {}
    context: Any = None
    try:
        context, path = open_to_read(uri, api_key)
        results = cast("Any", constructors).from_context(context, node_path_parts=path)[node]
        for at in range(0, len(runs), BATCH):
            asked = In("start.original_run_uid", list(runs[at : at + BATCH]))
            for result in results.search(asked).values():
                for place, said in said_in(result):
                    found.setdefault(place, []).append(said)
    except (Unavailable, Postponed, HTTPError, KeyError) as error:
        raise Unavailable(f"{node!r} at {uri} cannot be read: {error}") from error
    finally:
        if context is not None:
            context.close()
    return found


def choose(answers: Iterable[Said], like: Said) -> Said | None:
    """Return the published answer to compare with: of the same uid, else model, else the last."""
    ranked = [
        (answer.uid == like.uid, answer.model_id == like.model_id, number, answer)
        for number, answer in enumerate(answers)
    ]
    return max(ranked, key=lambda one: one[:3])[3] if ranked else None


def said_in(result: Any) -> list[tuple[Place, Said]]:
    """Return what a published result says, with its `metadata` and, for rows, `documents()`.

    Of one that is not as we write it nothing is returned.
    """
    try:
        metadata: Any = result.metadata
        start, stop = metadata["start"], metadata.get("stop")
        if not stop or "sweep" not in start:
            return []  # it grows still, or is a series
        if start.get("sweeps"):
            return list(_said_in_rows(start, documents_of(result)))
        return [_said_in_summary(start, stop["summary"])]
    except (LookupError, TypeError, ValueError, AttributeError):
        return []


def _said_in_summary(start: Mapping[str, Any], summary: Mapping[str, Any]) -> tuple[Place, Said]:
    values = {
        str(name): Value(float(one["value"]), float(one["low"]), float(one["high"]))
        for name, one in summary["estimates"].items()
    }
    refusal = summary.get("refusal") or {"name": ""}
    return _place(start, start["sweep"]), _said(
        start, values, summary.get("flags") or {}, refusal["name"]
    )


def _said_in_rows(
    start: Mapping[str, Any], documents: Iterable[tuple[str, Mapping[str, Any]]]
) -> Iterator[tuple[Place, Said]]:
    """Yield the answers of one result run to many quick sweeps, each of which is a row."""
    names = [str(one["name"]) for one in start["descriptors"]]
    for kind, doc in documents:
        if kind == "event":
            rows: list[Mapping[str, Any]] = [doc["data"]]
        elif kind == "event_page":
            columns: Mapping[str, Sequence[Any]] = doc["data"]
            count = len(doc["seq_num"])
            rows = [{key: column[i] for key, column in columns.items()} for i in range(count)]
        else:
            continue
        for row in rows:
            read = {
                name: Value(*(_number(row[f"{name}{end}"]) for end in ("", "_low", "_high")))
                for name in names
            }
            values = {name: one for name, one in read.items() if math.isfinite(one.value)}
            flags = [flag["name"] for flag in json.loads(row["flags"])]
            yield _place(start, row["sweep"]), _said(start, values, flags, row["refusal"])


def _number(value: Any) -> float:
    return math.nan if value is None else float(value)


def _place(start: Mapping[str, Any], sweep: Any) -> Place:
    return Place(str(start["original_run_uid"]), str(start["channel"]), int(sweep))


def _said(
    start: Mapping[str, Any], values: dict[str, Value], flags: Iterable[Any], refusal: Any
) -> Said:
    model = cast("Mapping[str, Any]", start.get("model") or {})
    named = f"{model['name']} {model['version']}" if model else ""
    names = frozenset(str(flag) for flag in flags)
    return Said(values, names, str(refusal), named, str(start["uid"]), str(model.get("id", "")))
