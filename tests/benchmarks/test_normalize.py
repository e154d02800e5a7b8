"""normalize against larch.pre_edge on the same spectra, in the same process.

larch is a peer for goldens and benchmarks, not a dependency: install the extra
`peers` to run this.
"""

import statistics
import time
import warnings
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from rankaae_stream.files.read import read_spectrum
from rankaae_stream.resources import folder
from rankaae_stream.spectra.normalize import normalize
from rankaae_stream.spectrum import K_EDGES, NormalizationRanges

with warnings.catch_warnings():
    # What larch's own imports warn of is not ours to judge.
    warnings.simplefilter("ignore")
    larch = pytest.importorskip("larch", reason="the peer is in the extra `peers`")
    from larch.xafs import pre_edge

E0 = K_EDGES["Fe"]
RANGES = NormalizationRanges()
BATCHES, CALLS = 15, 40


@pytest.fixture(scope="module")
def hematite() -> tuple[np.ndarray, np.ndarray]:
    spectrum = read_spectrum(folder("profiles/spectra") / "Fe/Fe2O3_rt_01.xdi")
    energy, mu = spectrum.energy, spectrum.mu
    near = np.abs(energy - E0) < 200
    return energy[near], mu[near]


def seconds_a_call(*functions: Callable[[], Any]) -> list[float]:
    """Median over batches, which alternate so that what else runs here meets all alike."""
    taken: list[list[float]] = [[] for _ in functions]
    for _ in range(BATCHES):
        for function, times in zip(functions, taken, strict=True):
            started = time.perf_counter()
            for _ in range(CALLS):
                function()
            times.append((time.perf_counter() - started) / CALLS)
    return [statistics.median(times) for times in taken]


def test_normalize_is_at_least_20_times_as_fast_as_larch(benchmark, hematite):
    energy, mu = hematite

    def ours() -> Any:
        return normalize(energy, mu, E0, RANGES)

    def theirs() -> Any:
        group = larch.Group(energy=energy, mu=mu)
        pre_edge(
            group,
            e0=E0,
            pre1=RANGES.pre1,
            pre2=RANGES.pre2,
            norm1=RANGES.norm1,
            norm2=RANGES.norm2,
            nnorm=RANGES.nnorm,
        )
        return group

    assert np.allclose(ours().flat, theirs().flat, atol=1e-8), "they answer the same question"
    benchmark(ours)
    us, them = seconds_a_call(ours, theirs)
    benchmark.extra_info.update(
        points=energy.size, normalize_us=us * 1e6, larch_us=them * 1e6, ratio=them / us
    )
    assert them >= 20 * us, f"larch takes {them * 1e6:.0f} us, normalize {us * 1e6:.0f} us"
