"""From the scan's stop document to a result that a client can read in Tiled."""

import statistics
import time
import uuid
from typing import Any

from bluesky_tiled_plugins import TiledWriter

from rankaae_stream.callback import DescriptorStream

PATIENCE = 120.0
SCANS = 10


def test_stop_document_to_a_readable_result_beside_tileds_own_writer(
    benchmark, server, tmp_path, documents, hematite
):
    """The peer writes the very same documents with nothing around it."""
    client = server.client("processed")
    results: list[list[tuple[str, dict[str, Any]]]] = []

    def keep(name: str, doc: dict[str, Any]) -> None:
        if name == "start":
            results.append([])
        results[-1].append((name, doc))

    def read(uid: str) -> None:
        run = client[uid]
        assert run.metadata["stop"]["summary"]["refusal"] is None
        assert bool(run["primary"].read()["complete"].values[-1])

    now = [0.0]
    ours: list[float] = []
    settings: dict[str, Any] = {"tiled": {"uri": server.uri}, "tiled_api_key": server.api_key}
    with DescriptorStream(
        "sim", spool=tmp_path, sinks=[keep], clock=lambda: now[0], **settings
    ) as stream:

        def one() -> None:
            *scan, (name, stop) = documents(*hematite, uid=str(uuid.uuid4()))
            for item in scan[:-1]:
                stream(*item)
            # One provisional answer, which opens the run in Tiled as in a real scan.
            assert stream.wait_idle(PATIENCE)
            now[0] += 1.0
            stream(*scan[-1])
            assert stream.wait_idle(PATIENCE)
            started = time.perf_counter()
            stream(name, stop)
            assert stream.wait_idle(PATIENCE)
            ours.append(time.perf_counter() - started)
            read(results[-1][0][1]["uid"])

        benchmark.pedantic(one, rounds=SCANS, iterations=1, warmup_rounds=1)

    theirs: list[float] = []
    for run in results:
        uid = str(uuid.uuid4())
        writer = TiledWriter(client, normalizer=None, batch_size=1)
        *before, event, stop = run
        assert [name for name, _ in before].count("event") >= 1
        for name, doc in before:
            writer(name, as_run(doc, uid))
        started = time.perf_counter()
        for name, doc in (event, stop):
            writer(name, as_run(doc, uid))
        theirs.append(time.perf_counter() - started)
        read(uid)
    assert len(ours) == len(theirs) == SCANS + 1
    # The first of each is the warm-up.
    benchmark.extra_info.update(
        results=SCANS,
        median_ms=statistics.median(ours[1:]) * 1e3,
        slowest_ms=max(ours[1:]) * 1e3,
        tiled_writer_alone_ms=statistics.median(theirs[1:]) * 1e3,
    )


def as_run(doc: dict[str, Any], uid: str) -> dict[str, Any]:
    """The document as one of another run."""
    changed = dict(doc)
    if "run_start" in doc:
        changed["run_start"] = uid
    elif "descriptor" not in doc:
        changed["uid"] = uid
    return changed
