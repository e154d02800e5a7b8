"""Results that reach Tiled in a second, beside Tiled's own writer with the same documents.

The peer is given finished documents; ours are composed, and are on the disk before they are sent.
"""

import statistics
import time
import uuid

import pytest
from bluesky_tiled_plugins import TiledWriter

from rankaae_stream.inference import infer_file
from rankaae_stream.loading import default_analysis
from rankaae_stream.profile import load_profile
from rankaae_stream.report import Result
from rankaae_stream.resources import folder
from rankaae_stream.results.compose import compose
from rankaae_stream.results.publisher import ResultPublisher

PATIENCE = 120.0
ROUNDS = 4
RESULTS = 8
"""Of each round, which come at once, as from runs that waited."""


@pytest.fixture(scope="module")
def answered():
    """Return a function that makes results of hematite, each with a uid of its own."""
    (answer,) = infer_file(folder("profiles/spectra") / "Fe/Fe2O3_rt_01.xdi")
    card = default_analysis().models["Fe K"].card
    grid = card.edge.e0 + card.grid.relative()

    def make():
        raw = {"uid": str(uuid.uuid4()), "time": time.time(), "sample_name": "hematite"}
        return Result(answer.report, str(uuid.uuid4()), raw, time.time(), card.described, grid)

    return make


def test_results_in_tiled_a_second_beside_tileds_own_writer(benchmark, server, tmp_path, answered):
    settings = {"tiled": {"uri": server.uri}, "tiled_api_key": server.api_key}
    profile = load_profile("sim", spool=tmp_path, **settings)
    publisher, container = ResultPublisher(profile), server.client("processed")
    ours, theirs, processor = [], [], []

    def round_of_both():
        results = [answered() for _ in range(RESULTS)]
        started, used = time.monotonic(), time.process_time()
        for one in results:
            publisher(one)
        assert publisher.wait_idle(PATIENCE)
        ours.append(RESULTS / (time.monotonic() - started))
        processor.append((time.process_time() - used) / RESULTS)
        there = set(container)
        assert all(one.uid in there for one in results)

        runs = [compose(answered(), profile.published(), profile.copied_keys()) for _ in results]
        writer = TiledWriter(container, normalizer=None, batch_size=1)
        started = time.monotonic()
        for run in runs:
            for name, doc in run.documents():
                writer(name, dict(doc))
        theirs.append(RESULTS / (time.monotonic() - started))

    try:
        benchmark.pedantic(round_of_both, rounds=ROUNDS, iterations=1, warmup_rounds=1)
    finally:
        publisher.close(PATIENCE)
    # The first of each is the warm-up. In turns, so that a busy machine slows both.
    ratios = [one / other for one, other in zip(ours[1:], theirs[1:], strict=True)]
    benchmark.extra_info.update(
        results_a_second=round(statistics.median(ours[1:]), 1),
        tiled_writer_alone=round(statistics.median(theirs[1:]), 1),
        ratio=round(statistics.median(ratios), 2),
        session_cpu_ms=round(1e3 * statistics.median(processor[1:]), 1),
    )
