"""Make runs with something wrong in them, and documents that belong to no scan."""

from collections.abc import Iterator, Mapping
from typing import Any

from rankaae_stream.files.run_writer import Documents

__all__ = ["spoiled_runs", "strangers"]


def strangers(uid: str) -> Documents:
    """Return documents that a run may hold in addition to its scan."""
    key: dict[str, Any] = {"source": "PV:x", "dtype": "number", "shape": []}
    described = {"uid": "a stranger", "run_start": uid, "time": 1.0, "name": "another stream"}
    file = {"uid": "a file", "run_start": uid, "data_key": "current"}
    event: dict[str, Any] = {"uid": "e", "descriptor": "a stranger", "time": 1.0, "seq_num": 1}
    event["timestamps"] = {}
    return [
        ("descriptor", {**described, "data_keys": {"current": key}, "configuration": {}}),
        ("event", {**event, "data": {"current": 400.0}}),
        ("resource", {**file, "spec": "AD_TIFF", "root": "/", "resource_path": "image.tif"}),
        ("datum", {"datum_id": "a file/0", "resource": "a file", "datum_kwargs": {}}),
        ("stream_resource", {**file, "mimetype": "image/tiff", "uri": "file:///image.tif"}),
        (
            "stream_datum",
            {
                "uid": "a file/1",
                "stream_resource": "a file",
                "descriptor": "a stranger",
                "indices": {"start": 0, "stop": 1},
                "seq_nums": {"start": 1, "stop": 2},
            },
        ),
        ("a_document_of_the_future", {"uid": "?", "run_start": uid}),
    ]


def spoiled_runs(documents: Documents) -> Iterator[tuple[str, Documents]]:
    """Yield what is wrong, and the run in which it is wrong."""
    kinds = {name for name, _ in documents}
    if kinds & {"event", "event_page"}:
        for what, value in (
            ("None", None),
            ("a text", "?"),
            ("a list", [[1.0], []]),
            ("nothing", _GONE),
        ):
            yield f"an event with {what} for a value", _with_values(documents, value)
    for name in sorted(kinds & {"resource", "stream_resource"}):
        for path in ("/etc/hostname", "../../../../etc/hostname"):
            where = {"resource_path": path} if name == "resource" else {"uri": f"file://{path}"}
            if path.startswith("/") or name == "resource":
                yield f"a {name} with the file {path}", _with(documents, name, where)
        if name == "stream_resource":
            yield "an address that is no file", _with(documents, name, {"uri": "http://x/y"})
    if len(kinds) > 2:
        start_and_stop = [item for item in documents if item[0] in ("start", "stop")]
        yield "a run of start and stop", start_and_stop
        yield "a run without a stop", [item for item in documents if item[0] != "stop"]


_GONE = object()


def _with_values(documents: Documents, value: Any) -> Documents:
    spoiled: Documents = []
    for name, doc in documents:
        if name not in ("event", "event_page"):
            spoiled.append((name, doc))
            continue
        column = [value] * len(doc["time"]) if name == "event_page" else value
        data = {} if value is _GONE else dict.fromkeys(doc["data"], column)
        spoiled.append((name, {**doc, "data": data}))
    return spoiled


def _with(documents: Documents, kind: str, change: Mapping[str, Any]) -> Documents:
    return [(name, {**doc, **change} if name == kind else doc) for name, doc in documents]
