"""From the scan's stop document to a subscriber in another process, beside Tiled's own writer."""

import queue
import statistics
import subprocess
import sys
import threading
import time
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from bluesky_tiled_plugins import TiledWriter

from rankaae_stream.callback import DescriptorStream

PATIENCE = 120.0
SCANS = 10

Documents = list[tuple[str, dict[str, Any]]]


class Subscriber:
    """The process of `subscriber.py`, and when it heard of what."""

    def __init__(self, uri: str) -> None:
        script = str(Path(__file__).with_name("subscriber.py"))
        self.process = subprocess.Popen(
            [sys.executable, script, uri], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )
        self._lines: queue.Queue[list[str]] = queue.Queue()
        self._reader = threading.Thread(target=self._read)
        self._reader.start()
        self.heard("listens", "-")

    def _read(self) -> None:
        assert self.process.stdout is not None
        for line in self.process.stdout:
            self._lines.put(line.split())

    def heard(self, what: str, uid: str) -> float:
        """When that was heard; waits for it."""
        while True:
            line = self._lines.get(timeout=PATIENCE)
            if line[:2] == [what, uid]:
                return float(line[2])

    def close(self) -> None:
        with self.process:
            assert self.process.stdin is not None
            self.process.stdin.close()
            self.process.wait(PATIENCE)
        self._reader.join()


@pytest.fixture
def subscriber(server) -> Iterator[Subscriber]:
    listening = Subscriber(server.uri)
    yield listening
    listening.close()


@pytest.mark.parametrize("growing", [True, False], ids=["step scan", "fly scan"])
def test_stop_document_to_a_subscriber_beside_tileds_own_writer(
    benchmark, server, subscriber, tmp_path, documents, hematite, growing
):
    """A step scan has shown a provisional answer; of a fly scan all comes at its end.

    The peer writes the very same result documents with nothing around it.
    """
    client = server.client("processed")
    results: list[Documents] = []

    def keep(name: str, doc: dict[str, Any]) -> None:
        if name == "start":
            results.append([])
        results[-1].append((name, doc))

    now = [0.0]
    ours: list[float] = []
    settings: dict[str, Any] = {"tiled": {"uri": server.uri}, "tiled_api_key": server.api_key}
    with DescriptorStream(
        "sim", spool=tmp_path, sinks=[keep], clock=lambda: now[0], **settings
    ) as stream:

        def one() -> None:
            # Before its end only a scan that states its element is answered.
            about = {} if growing else {"element": ""}
            *scan, late, stop = documents(*hematite, uid=str(uuid.uuid4()), **about)
            for item in scan:
                stream(*item)
            assert stream.wait_idle(PATIENCE)
            now[0] += 1.0
            stream(*late)
            assert stream.wait_idle(PATIENCE)
            started = time.monotonic()
            stream(*stop)
            assert stream.wait_idle(PATIENCE)
            ours.append(subscriber.heard("stop", results[-1][0][1]["uid"]) - started)

        benchmark.pedantic(one, rounds=SCANS, iterations=1, warmup_rounds=1)
    shown = [sum(name == "event" for name, _ in run) > 1 for run in results]
    assert all(shown) if growing else not any(shown)

    theirs = [_written_alone(client, run, subscriber, growing) for run in results]
    # The first of each is the warm-up.
    benchmark.extra_info.update(
        results=SCANS,
        median_ms=statistics.median(ours[1:]) * 1e3,
        slowest_ms=max(ours[1:]) * 1e3,
        tiled_writer_alone_ms=statistics.median(theirs[1:]) * 1e3,
    )


def _written_alone(client: Any, run: Documents, subscriber: Subscriber, growing: bool) -> float:
    uid = str(uuid.uuid4())
    writer = TiledWriter(client, normalizer=None, batch_size=1)
    before = len(run) - 2 if growing else 0
    for name, doc in run[:before]:
        writer(name, as_run(doc, uid))
    started = time.monotonic()
    for name, doc in run[before:]:
        writer(name, as_run(doc, uid))
    return subscriber.heard("stop", uid) - started


def as_run(doc: dict[str, Any], uid: str) -> dict[str, Any]:
    """The document as one of another run."""
    changed = dict(doc)
    if "run_start" in doc:
        changed["run_start"] = uid
    elif "descriptor" not in doc:
        changed["uid"] = uid
    return changed
