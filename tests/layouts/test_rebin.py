"""Rows to bins: the grid, the split at turning points, and what an average keeps."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from rankaae_stream.layouts.rebin import averages_between, bin_rows, grid_edges, turning_points


@pytest.mark.parametrize(("e0", "step"), [(7112.0, 0.2), (17998.0, 0.3), (25514.0, 0.4)])
def test_the_grid_is_fine_at_the_edge_and_even_in_k_beyond(e0, step):
    edges = grid_edges(e0, e0 - 201.0, e0 + 600.0)
    assert np.all(np.diff(edges) > 0)
    assert edges[0] <= e0 - 201.0
    assert edges[-1] > e0 + 600.0
    relative = edges - e0
    steps = np.diff(relative)
    before, after = relative[1:] < -29.9, relative[:-1] > 49.9
    assert np.allclose(steps[before], 5.0)
    assert np.allclose(steps[~before & ~after], step, rtol=0.02)
    k = np.sqrt(0.2624684 * relative[:-1][after])
    assert np.allclose(np.diff(k), 0.04)


def test_a_scan_that_ends_before_the_exafs_still_has_a_grid():
    edges = grid_edges(7112.0, 7100.0, 7130.0)
    assert edges[0] <= 7100.0
    assert edges[-1] > 7130.0


def test_a_motion_is_split_where_it_turns_and_nowhere_else():
    down, up = np.linspace(7700, 6900, 500), np.linspace(6900, 7700, 400)
    rest = np.full(30, 7700.0)
    motion = np.concatenate([rest, down, up, down, rest - 800])
    motion += np.random.default_rng(1).normal(0.0, 0.05, motion.size)
    sweeps = turning_points(motion)
    assert [(s.start, s.stop) for s in sweeps] == [
        (0, pytest.approx(530, abs=1)),
        (pytest.approx(530, abs=1), pytest.approx(930, abs=1)),
        (pytest.approx(930, abs=1), motion.size),
    ]


def test_a_motor_at_rest_is_one_sweep():
    assert turning_points(np.full(20, 7000.0)) == [slice(0, 20)]
    assert turning_points(np.empty(0)) == []


@given(st.lists(st.floats(7000, 7010), min_size=1, max_size=60))
def test_sweeps_hold_every_row_once(energies):
    sweeps = turning_points(np.array(energies))
    rows = [row for sweep in sweeps for row in range(sweep.start, sweep.stop)]
    assert rows == list(range(len(energies)))


@given(
    st.lists(st.tuples(st.floats(7000, 7010), st.floats(-5, 5)), min_size=1, max_size=80),
)
def test_every_bin_is_the_plain_mean_of_its_rows_and_none_is_empty(rows):
    energy, signal = (np.array(column) for column in zip(*rows, strict=True))
    edges = np.arange(7000.0, 7011.5, 0.7)
    bins = bin_rows(energy, {"i0": signal}, edges)
    which = np.digitize(energy, edges)
    for number, b in enumerate(np.unique(which)):
        assert bins.energy[number] == pytest.approx(energy[which == b].mean(), abs=1e-9)
        assert bins.signals["i0"][number] == pytest.approx(signal[which == b].mean(), abs=1e-9)
        assert bins.rows[number] == np.count_nonzero(which == b)
    assert bins.energy.size == np.unique(which).size


def test_rows_without_an_energy_are_left_out_and_inputs_stay_as_they_are():
    energy = np.array([7000.0, np.nan, 7000.2, np.inf, 9000.0])
    signal = np.arange(5.0)
    kept = energy.copy(), signal.copy()
    bins = bin_rows(energy, {"i0": signal}, np.array([6999.0, 7001.0]))
    assert bins.energy == pytest.approx([7000.1])
    assert bins.signals["i0"] == pytest.approx([1.0])
    assert np.array_equal(energy, kept[0], equal_nan=True)
    assert np.array_equal(signal, kept[1])


def test_an_exposure_has_the_mean_of_its_rows():
    time = np.arange(10.0)
    means = averages_between(
        time, {"i0": time**2}, np.array([1.5, 8.2, 20.0]), np.array([4.5, 8.4, 21.0])
    )
    assert means["i0"] == pytest.approx([(4 + 9 + 16) / 3, 81.0, 81.0])
