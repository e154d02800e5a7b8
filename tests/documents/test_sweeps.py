"""Sweeps split at turning points, points sorted and averaged."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from rankaae_stream.documents.sweeps import Sweeps, check_order, to_spectrum
from rankaae_stream.errors import Refused
from rankaae_stream.layouts.base import EventNumbers, Reading
from rankaae_stream.spectrum import Edge, Origin

IRON = Edge("Fe", "K", 7112.0)


def sweeps_of(energy):
    sweeps = Sweeps()
    energy = np.asarray(energy, dtype=float)
    sweeps.add(Reading(energy, {"transmission": np.arange(energy.size, dtype=float)}, 0.0))
    return sweeps.items


def points_of(sweeps):
    return [len(sweep.energy) for sweep in sweeps]


def test_one_motion_is_one_sweep():
    for energy in (np.arange(7000, 7200.0), np.arange(7200, 7000.0, -1)):
        (sweep,) = sweeps_of(energy)
        assert sweep.energy == list(energy)


def test_a_turning_point_belongs_to_the_sweep_that_reached_it():
    up, down = np.arange(7000, 7100.0), np.arange(7098, 6999.0, -1)
    first, second = sweeps_of(np.concatenate([up, down]))
    assert first.energy == list(up)
    assert second.energy == list(down)
    assert second.mu["transmission"][0] == up.size


@pytest.mark.parametrize("step", [0.3, 1.0, 5.0])
@pytest.mark.parametrize("way", [1, -1], ids=["rising", "falling"])
def test_repeats_that_each_begin_at_the_same_end_are_whole_sweeps(step, way):
    once = np.arange(7000, 7100.0, step)[::way]
    found = sweeps_of(np.tile(once, 4))
    assert [sweep.energy for sweep in found] == [list(once)] * 4
    check_order(points_of(found))


def test_encoder_jitter_is_no_reversal():
    jitter = np.random.default_rng(0).normal(0, 0.3, 400)
    assert len(sweeps_of(np.linspace(7000, 7200, 400) + jitter)) == 1


@given(st.lists(st.floats(6000, 8000), max_size=60))
def test_no_point_is_lost_or_doubled_whatever_the_motion(energies):
    sweeps = sweeps_of(energies)
    assert [e for sweep in sweeps for e in sweep.energy] == energies
    numbers = [i for sweep in sweeps for i in sweep.mu.get("transmission", [])]
    assert numbers == list(range(len(energies)))
    assert [sweep.index for sweep in sweeps] == list(range(len(sweeps)))


@given(st.lists(st.floats(6000, 8000), max_size=60), st.integers(1, 7))
def test_pages_and_single_points_give_the_same_sweeps(energies, size):
    whole, paged = sweeps_of(energies), Sweeps()
    energies = np.asarray(energies, dtype=float)
    for i in range(0, energies.size, size):
        part = energies[i : i + size]
        mu = np.arange(i, i + part.size, dtype=float)
        paged.add(Reading(part, {"transmission": mu}, 0.0))
    assert [s.energy for s in paged.items] == [s.energy for s in whole]


def test_jumping_to_and_fro_is_refused_with_the_count():
    energy = np.random.default_rng(0).uniform(7000, 7200, 200)
    with pytest.raises(Refused, match=r"reverses \d+ times in 200 points"):
        check_order(points_of(sweeps_of(energy)))


def test_repeats_of_real_length_are_in_order():
    up = np.arange(7000, 7100.0)
    check_order(points_of(sweeps_of(np.concatenate([up, up[::-1], up, up[::-1], up]))))


def test_duplicates_are_averaged_and_bad_points_counted():
    spectrum, bad = to_spectrum(
        np.array([2.0, 1.0, 2.0, 3.0, 4.0]),
        np.array([1.0, 5.0, 3.0, np.inf, 7.0]),
        IRON,
        Origin(),
    )
    np.testing.assert_array_equal(spectrum.energy, [1.0, 2.0, 4.0])
    np.testing.assert_array_equal(spectrum.mu, [5.0, 2.0, 7.0])
    assert bad == 1


def test_nothing_usable_is_refused():
    with pytest.raises(Refused, match="0 usable energies out of 3 points"):
        to_spectrum(np.arange(3.0), np.full(3, np.nan), IRON, Origin())


def test_a_sweep_is_found_by_its_number_while_the_run_grows_and_when_it_is_split_anew():
    def part(channel, sweep, number):
        mu, events = {channel: np.zeros(50)}, EventNumbers("primary", [number], [1.0], [50])
        return Reading(np.linspace(7000.0, 7100.0, 50), mu, 1.0, sweep, events=events)

    sweeps = Sweeps()
    sweeps.add(part("transmission", 0, 1))
    sweeps.add(part("transmission", 1, 3))
    assert sweeps.of_index(0) == sweeps.items[:1]
    sweeps.add(part("fluorescence", 1, 4))
    assert sweeps.of_index(1) == sweeps.items[1:]
    assert not sweeps.of_index(2)
    sweeps.add(part("transmission", 1, 2))
    sweeps.settle()
    numbers = [item.index for item in sweeps.items]
    assert [len(sweeps.of_index(number)) for number in set(numbers)] == [
        numbers.count(number) for number in set(numbers)
    ]
    assert all(item in sweeps.of_index(item.index) for item in sweeps.items)


def test_the_range_of_a_run_leaves_out_energies_that_are_not_known():
    sweeps = Sweeps()
    assert sweeps.range is None
    sweeps.add(Reading(np.array([np.nan]), {"transmission": np.zeros(1)}, 1.0))
    assert sweeps.range is None
    sweeps.add(Reading(np.array([7112.0, np.inf, 7000.0]), {"transmission": np.zeros(3)}, 1.0))
    assert sweeps.range == (7000.0, 7112.0)


@pytest.mark.parametrize("free", [0, 1, 2])
def test_what_is_answered_is_let_go_and_the_rest_stays_as_it_is(free):
    """Also where points of the rest come late or again."""

    def point(number, again=0.0):
        at = (number - 1) % 100
        energy = 7000.0 + at if at < 50 else 7100.0 - at
        events = EventNumbers("primary", [number], [number + again])
        mu = {"transmission": np.array([number + again])}
        return Reading(np.array([energy]), mu, 0.0, events=events)

    sweeps = Sweeps()
    for number in [n for n in range(1, 181) if n != 160]:
        sweeps.add(point(number))
    before, took = sweeps.range, sweeps.first_took
    sweeps.free(free)
    assert points_of(sweeps.items[:free]) == [0] * free
    assert (sweeps.range, sweeps.first_took, sweeps.points) == (before, took, 179)
    assert (sweeps.lost(), sweeps.whole) == (1, False)
    page = EventNumbers("primary", [10, 160], [10.9, 160.0])
    mu = {"transmission": np.array([10.9, 160.0])}
    for late in (
        point(20, 0.5),
        Reading(np.array([7009.0, 7041.0]), mu, 0.0, events=page),
        point(170, 0.5),
    ):
        sweeps.add(late)
    sweeps.settle()
    assert (sweeps.lost(), sweeps.points, len(sweeps.items)) == (0, 180, 4)
    assert points_of(sweeps.items)[free:] == [51, 50, 50, 29][free:]
    assert [sweep.index for sweep in sweeps.items] == [0, 1, 2, 3]
    values = [mu for sweep in sweeps.items for mu in sweep.mu["transmission"]]
    assert values[-29:] == [*range(152, 170), 170.5, *range(171, 181)]
    assert sweeps.of_index(0)[0].channels == ["transmission"]
