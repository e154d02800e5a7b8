"""What the callback costs the scan: CPU time on the engine's thread, wall time of a scan."""

import statistics
import time
from collections.abc import Iterator
from typing import Any

import pytest

from rankaae_stream.callback import DescriptorStream
from rankaae_stream.simulate import SERIES, Beamline, scan, scan_energies

PATIENCE = 120.0
FE2O3 = next(sample for sample in SERIES if sample.name == "Fe2O3")


@pytest.fixture
def stream(server, tmp_path) -> Iterator[DescriptorStream]:
    settings: dict[str, Any] = {"tiled": {"uri": server.uri}, "tiled_api_key": server.api_key}
    with DescriptorStream("sim", spool=tmp_path, **settings) as made:
        yield made


def test_cpu_time_of_the_engines_thread_for_one_event(benchmark, engine, stream):
    """Each call on its own, in a real scan with everything running behind it."""
    spent: list[int] = []

    def measured(name: str, doc: dict[str, Any]) -> None:
        started = time.thread_time_ns()
        stream(name, doc)
        ended = time.thread_time_ns()
        if name == "event":
            spent.append(ended - started)

    def empty() -> None:
        started = time.thread_time_ns()
        clock.append(time.thread_time_ns() - started)

    clock: list[int] = []
    for _ in range(1000):
        empty()
    engine.subscribe(measured)
    beamline = Beamline(dwell=0.005)
    benchmark.pedantic(lambda: engine(scan(beamline, FE2O3)), rounds=3, iterations=1)
    assert stream.wait_idle(PATIENCE)
    assert stream.status().answered == 3
    assert len(spent) == 3 * scan_energies(FE2O3).size
    benchmark.extra_info.update(
        events=len(spent),
        median_us=statistics.median(spent) / 1e3,
        ninetieth_us=statistics.quantiles(spent, n=10)[-1] / 1e3,
        of_which_the_clock_us=statistics.median(clock) / 1e3,
    )


def test_wall_time_of_a_scan_at_50_ms_dwell_with_and_without(benchmark, engine, stream):
    """Alternated, because a machine is not the same from minute to minute."""
    energies = scan_energies(FE2O3, quick=True)[20:60]
    beamline = Beamline(dwell=0.05)
    taken: dict[bool, list[float]] = {False: [], True: []}

    def one(with_us: bool) -> None:
        token = engine.subscribe(stream) if with_us else None
        started = time.perf_counter()
        engine(scan(beamline, FE2O3, energies=energies))
        taken[with_us].append(time.perf_counter() - started)
        if token is not None:
            engine.unsubscribe(token)
            assert stream.wait_idle(PATIENCE)

    def alternate() -> None:
        one(False)
        one(True)

    one(False)  # the first scan of an engine connects the devices
    taken[False].clear()
    benchmark.pedantic(alternate, rounds=3, iterations=1)
    without, with_us = (statistics.median(taken[key]) for key in (False, True))
    benchmark.extra_info.update(
        points=energies.size,
        without_s=without,
        with_s=with_us,
        per_event_us=(with_us - without) / energies.size * 1e6,
    )
    assert stream.status().answered + stream.status().refused == 3
