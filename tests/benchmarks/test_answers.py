"""A spectrum to its report, complete and while it grows, beside larch.pre_edge on the same one."""

import statistics
import time
import warnings

import numpy as np
import pytest

from rankaae_stream.files.read import read_spectrum
from rankaae_stream.loading import default_analysis
from rankaae_stream.resources import folder
from rankaae_stream.spectrum import K_EDGES, Edge, Origin, Spectrum

with warnings.catch_warnings():
    # What larch's own imports warn of is not ours to judge.
    warnings.simplefilter("ignore")
    larch = pytest.importorskip("larch", reason="the peer is in the extra `peers`")
    from larch.xafs import pre_edge

IRON = Edge("Fe", "K", K_EDGES["Fe"])
CALLS = 400


@pytest.fixture(scope="module")
def scanned():
    """A spectrum of hematite, and its foil, within 200 eV of the edge."""
    found = []
    for name, channel in (("Fe2O3_rt_01", "transmission"), ("Fe_metal_rt_01", "reference")):
        read = read_spectrum(folder("profiles/spectra") / f"Fe/{name}.xdi")
        near = np.abs(read.energy - IRON.e0) < 200
        found.append(Spectrum(read.energy[near], read.mu[near], IRON, Origin(name, channel)))
    return found


def taken(function):
    """Return milliseconds of single calls, sorted."""
    each = []
    for _ in range(CALLS):
        started = time.perf_counter()
        function()
        each.append(1e3 * (time.perf_counter() - started))
    return sorted(each)


def test_a_complete_spectrum_with_its_foil(benchmark, scanned):
    analysis, (sample, foil) = default_analysis(), scanned
    benchmark(analysis.process, sample, foil)

    def theirs():
        group = larch.Group(energy=sample.energy, mu=sample.mu)
        pre_edge(group, e0=IRON.e0, pre1=-150, pre2=-30, norm1=50, norm2=150, nnorm=1)

    ours, larchs = taken(lambda: analysis.process(sample, foil)), taken(theirs)
    benchmark.extra_info.update(
        report_ms=statistics.median(ours), larch_pre_edge_ms=statistics.median(larchs)
    )
    assert analysis.process(sample, foil).refusal is None


def test_an_update_of_a_growing_scan(benchmark, scanned):
    analysis, (sample, foil) = default_analysis(), scanned
    part = slice(0, int(np.searchsorted(sample.energy, IRON.e0 + 25.0)))
    grown = Spectrum(
        sample.energy[part], sample.mu[part], IRON, Origin("part", "transmission", 0, False)
    )
    reference = Spectrum(foil.energy, foil.mu, IRON, foil.origin)
    benchmark(analysis.process, grown, reference)
    each = taken(lambda: analysis.process(grown, reference))
    benchmark.extra_info.update(p50_ms=each[CALLS // 2], p99_ms=each[int(0.99 * CALLS)])
    assert analysis.process(grown, reference).extent is not None
