"""The trend of 5,000 results, beside reading their metadata whole; publisher's cost of a stream."""

import time
import uuid
from copy import deepcopy
from typing import Any

import numpy as np
import pytest

from rankaae_stream.callback import DescriptorStream
from rankaae_stream.server.tiled_server import EmbeddedServer
from rankaae_stream.trends import read_trend

MANY = 5000
WHOLE = 250
"""Results whose metadata are read whole; all would take twenty times as long."""
SECONDS = 20


@pytest.fixture(scope="module")
def filled(tmp_path_factory, documents, hematite):
    """A server with `MANY` results: one real one, repeated with other uids, times and values."""
    folder = tmp_path_factory.mktemp("many")
    with EmbeddedServer(folder / "tiled") as server:
        with DescriptorStream(
            "sim",
            tiled={"uri": server.uri},
            tiled_api_key=server.api_key,
            spool=folder / "spool",
        ) as stream:
            for item in documents(*hematite, uid="scan", sample_name="hematite"):
                stream(*item)
            assert stream.wait_idle(60)
        results = server.client("processed")
        (run,) = [one for one in results.values() if one.start.get("sample_name")]
        for number in range(1, MANY):
            results.create_container(
                key=str(uuid.uuid4()), metadata=_moved(dict(run.metadata), number), specs=run.specs
            )
        yield results


def _moved(metadata: dict[str, Any], number: int) -> dict[str, Any]:
    metadata = deepcopy(metadata)
    metadata["start"]["time"] += number
    metadata["stop"]["summary"]["estimates"]["oxidation_state"]["value"] += np.sin(number / 100.0)
    return metadata


def test_the_trend_of_five_thousand_results(benchmark, filled):
    trend = benchmark.pedantic(read_trend, (filled,), rounds=3)
    assert trend["value"].size == MANY
    began = time.perf_counter()
    whole = [run.metadata["stop"] for run in filled.values().head(WHOLE)]
    taken = time.perf_counter() - began
    assert len(whole) == WHOLE
    benchmark.extra_info["trend of 5,000, median (s)"] = round(benchmark.stats["median"], 2)
    benchmark.extra_info[f"{WHOLE} results whole by the client (s)"] = round(taken, 2)
    ratio = taken / WHOLE * MANY / benchmark.stats["median"]
    benchmark.extra_info["times faster a result"] = round(ratio, 1)


def test_cpu_of_a_one_hertz_provisional_stream(benchmark, server, tmp_path, documents, hematite):
    """CPU time of this whole process, of which the scan itself is next to nothing."""
    scan = list(documents(*hematite, uid="steady"))
    points = np.linspace(len(scan) - SECONDS, len(scan) - 1, SECONDS).astype(int)
    with DescriptorStream(
        "sim", tiled={"uri": server.uri}, tiled_api_key=server.api_key, spool=tmp_path
    ) as stream:
        for item in scan[: points[0]]:
            stream(*item)
        assert stream.wait_idle(60)

        def play() -> float:
            began = time.process_time()
            for at in points:
                stream(*scan[at])
                time.sleep(1.0)
            return time.process_time() - began

        used = benchmark.pedantic(play, rounds=1)
    benchmark.extra_info["share of a core at one provisional answer a second"] = (
        f"{used / SECONDS:.1%}"
    )
