"""Binning a 10 s fly scan, against a plain transcription of today's processing.

The transcription follows its description: interpolate every channel to the
slowest one's clock, sort by energy, and multiply each column with a matrix of
one Gaussian a grid point, as wide as the grid is spaced there.
"""

import statistics
import time
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from rankaae_stream.files.pizzabox import read_apb, read_encoder
from rankaae_stream.layouts.rebin import bin_rows, grid_edges, turning_points
from rankaae_stream.pipeline import Pipeline
from rankaae_stream.profile import load_profile
from rankaae_stream.simulate.pizzabox import ISS, fly_scan
from rankaae_stream.simulate.samples import curves, series
from rankaae_stream.spectrum import K_EDGES

ROUNDS = 9
CHANNELS = ("i0", "it", "ir", "iff")

Columns = dict[str, np.ndarray]


@pytest.fixture(scope="module")
def scans(tmp_path_factory, chromate):
    """Rows of Fe2O3 and K2CrO4: electrometer time and currents, encoder time and energy."""
    folder = tmp_path_factory.mktemp("scans")
    hematite = curves(next(sample for sample in series("Fe") if sample.name == "Fe2O3"))
    found = {}
    for element, played in (("Fe", hematite), ("Cr", chromate)):
        scan = fly_scan(folder, played, element=element)
        apb = read_apb(scan.files[ISS.analog].read_bytes())
        encoder = read_encoder(scan.files[ISS.encoder].read_bytes())
        mono = load_profile("iss").layout[0].build().mono
        energy = mono.energy(encoder.counts, ISS.angle_offset)
        offsets = 1e3 * (2.0 + np.arange(4))
        currents = dict(zip(CHANNELS, (apb.microvolt[:, :4] - offsets).T, strict=True))
        found[element] = (apb.time, currents, encoder.time, energy, encoder.counts, mono)
    return found


def ours(element: str, scan: Any) -> Columns:
    clock, currents, encoder_time, _, counts, mono = scan
    at = mono.energy(np.interp(clock, encoder_time, counts), ISS.angle_offset)
    edges = grid_edges(K_EDGES[element], float(at.min()), float(at.max()))
    (rows,) = turning_points(at)
    bins = bin_rows(at[rows], {name: values[rows] for name, values in currents.items()}, edges)
    return {"energy": bins.energy, **absorption(bins.signals)}


def theirs(
    element: str, scan: Any, kernel: Callable[..., np.ndarray], *, mu_first: bool
) -> Columns:
    clock, currents, encoder_time, energy, _, _ = scan
    columns = {"energy": np.interp(clock, encoder_time, energy)}
    for name, values in currents.items():
        columns[name] = np.interp(clock, clock, values)
    if mu_first:
        columns.update(absorption(columns))
    order = np.argsort(columns["energy"])
    columns = {name: values[order] for name, values in columns.items()}
    at = columns["energy"]
    edges = grid_edges(K_EDGES[element], float(at.min()), float(at.max()))
    weights = kernel(edges, at)
    kept = weights.sum(axis=0) > 0
    weights = weights[:, kept] / weights[:, kept].sum(axis=0)
    binned = {name: values @ weights for name, values in columns.items()}
    return binned if mu_first else {"energy": binned["energy"], **absorption(binned)}


def gaussian(edges: np.ndarray, at: np.ndarray) -> np.ndarray:
    """One column a grid point, full width at half maximum the spacing there."""
    middle, sigma = (edges[1:] + edges[:-1]) / 2, np.diff(edges) / 2.3548
    return np.exp(-0.5 * ((at[:, None] - middle) / sigma) ** 2) / sigma


def box(edges: np.ndarray, at: np.ndarray) -> np.ndarray:
    """The same matrix with our stated kernel."""
    return ((at[:, None] >= edges[:-1]) & (at[:, None] < edges[1:])).astype(float)


def absorption(currents: Any) -> Columns:
    return {
        "transmission": -np.log(currents["it"] / currents["i0"]),
        "reference": -np.log(currents["ir"] / currents["it"]),
        "fluorescence": currents["iff"] / currents["i0"],
    }


def seconds_a_call(*functions: Callable[[], Any]) -> list[float]:
    """Medians of rounds that alternate, so that what else runs here meets all alike."""
    taken: list[list[float]] = [[] for _ in functions]
    for _ in range(ROUNDS):
        for function, times in zip(functions, taken, strict=True):
            started = time.perf_counter()
            function()
            times.append(time.perf_counter() - started)
    return [statistics.median(times) for times in taken]


@pytest.mark.parametrize("element", ["Fe", "Cr"])
def test_binning_is_ten_times_as_fast_and_equal_with_the_same_kernel(benchmark, scans, element):
    scan = scans[element]
    rows, positions = scan[0].size, scan[2].size
    assert rows > 10_000
    assert positions > 20_000
    us = ours(element, scan)
    same = theirs(element, scan, box, mu_first=False)
    first = theirs(element, scan, box, mu_first=True)
    smooth = theirs(element, scan, gaussian, mu_first=True)

    def difference(other: Columns, within: float = 150.0) -> float:
        """Of mu in edge steps, at our energies around the edge."""
        near = np.abs(us["energy"] - K_EDGES[element]) < within
        at = us["energy"][near]
        order = np.argsort(other["energy"])
        moved = np.interp(at, other["energy"][order], other["transmission"][order])
        return float(np.abs(moved - us["transmission"][near]).max())

    # The sample is played with an edge step of 1.
    assert us["energy"] == pytest.approx(same["energy"], abs=1e-3)
    for channel in ("transmission", "reference", "fluorescence"):
        assert np.abs(us[channel] - same[channel]).max() < 1e-3
    benchmark(lambda: ours(element, scan))
    we, they = seconds_a_call(
        lambda: ours(element, scan), lambda: theirs(element, scan, gaussian, mu_first=True)
    )
    benchmark.extra_info.update(
        rows=rows,
        positions=positions,
        bins=us["energy"].size,
        binning_ms=we * 1e3,
        transcription_ms=they * 1e3,
        ratio=they / we,
        largest_difference_same_kernel=difference(same),
        largest_difference_mu_before_averaging=difference(first),
        largest_difference_gaussian=difference(smooth),
    )
    assert they >= 10 * we, f"the transcription takes {they * 1e3:.1f} ms, ours {we * 1e3:.1f} ms"


def test_stop_document_to_the_report_of_a_fly_scan(benchmark, analysis, tmp_path, reading_under):
    """Files are read, binned and answered in the worker; reported, not asserted."""
    played = curves(next(sample for sample in series("Fe") if sample.name == "Fe2O3"))
    profile = reading_under("iss", tmp_path)
    results: list[Any] = []
    pipeline = Pipeline(
        profile.build_layout(),
        analysis,
        profile.run.build(),
        results.append,
    )
    taken: dict[str, list[float]] = {"10 s": [], "30 s": []}

    def one(name: str, seconds: float) -> None:
        *before, stop = fly_scan(tmp_path, played, element="Fe", seconds=seconds).documents
        for item in before:
            pipeline.feed(*item, 0.0)
        started = time.perf_counter()
        pipeline.feed(*stop, 0.0)
        taken[name].append(time.perf_counter() - started)
        assert results[-1].report.refusal is None

    benchmark.pedantic(lambda: one("10 s", 10.0), rounds=8, warmup_rounds=1)
    for _ in range(4):
        one("30 s", 30.0)
    benchmark.extra_info.update(
        {f"{name}_scan_median_ms": statistics.median(times) * 1e3 for name, times in taken.items()}
    )
