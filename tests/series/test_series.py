"""Repeats, mixtures and changes of a series, on made-up spectra whose answer is known."""

from dataclasses import replace

import numpy as np
import pytest

from rankaae_stream.report import Estimate, Shares
from rankaae_stream.series.changes import change_points, course, drift, student_tail
from rankaae_stream.series.mixtures import count_components, fractions, mix, purest, smooth
from rankaae_stream.series.repeats import Repeat, advise, by_scatter, merge
from rankaae_stream.series.stack import Stack
from rankaae_stream.spectrum import Edge, Origin, Spectrum

ENERGY = np.arange(-12.0, 60.0, 0.5)
IRON = Edge("Fe", "K", 7112.0)


def white_line(edge, height, energy=ENERGY):
    step = 0.5 + np.arctan((energy - edge) / 1.5) / np.pi
    return step + height * np.exp(-0.5 * ((energy - edge - 4.0) / 3.0) ** 2)


ENDS = np.stack([white_line(5.0, 0.4), white_line(9.0, 0.7), white_line(1.0, 0.05)])


def series(shares, noise=0.003, jitter=0.0, seed=0):
    rng = np.random.default_rng(seed)
    flat = []
    for row in np.atleast_2d(shares):
        curve = row @ ENDS[: len(row)]
        moved = np.interp(ENERGY + jitter * rng.normal(), ENERGY, curve)
        flat.append(moved + noise * rng.normal(size=ENERGY.size))
    n = len(flat)
    names = tuple(f"s{i}" for i in range(n))
    return Stack(IRON.e0 + ENERGY, np.array(flat), np.zeros(n), np.full(n, 0.2), names, noise)


def ramp(n):
    share = np.linspace(0.0, 1.0, n)
    return np.column_stack([1.0 - share, share])


# ---- mixtures ------------------------------------------------------------------------


def test_one_two_and_three_components_are_counted_beside_drifts_of_the_axis():
    same = np.tile([1.0, 0.0], (30, 1))
    three = np.column_stack(
        [
            np.clip(1.0 - np.linspace(0, 2, 40), 0, 1),
            1.0 - np.abs(np.linspace(-1, 1, 40)),
            np.clip(np.linspace(-1, 1, 40), 0, 1),
        ]
    )
    assert count_components(series(same, jitter=0.1)) == 1
    assert count_components(series(ramp(40), jitter=0.1)) == 2
    assert count_components(series(three, jitter=0.05)) == 3
    assert count_components(series(same[:2])) == 1


def test_the_purest_spectra_are_the_ends_of_a_ramp():
    assert purest(series(ramp(41)), 2).tolist() in ([0, 40], [0, 39], [1, 40])


def test_more_spectra_than_energies_are_smoothed_and_counted_alike():
    few = series(ramp(100), noise=0.01)  # as many energies: 144
    many = np.repeat(few.flat, 2, axis=0)  # each spectrum twice has the same components
    np.testing.assert_allclose(smooth(many, 3)[::2], smooth(few.flat, 3), atol=1e-9)
    rows = np.array([7, 150])
    np.testing.assert_allclose(smooth(many, 3, rows), smooth(many, 3)[rows], atol=1e-12)
    assert count_components(series(ramp(1000), noise=0.01, jitter=0.05)) == 2


def test_fractions_add_to_one_and_are_never_negative():
    rng = np.random.default_rng(2)
    shares = rng.dirichlet([0.3, 0.3, 0.3], 200)
    found = fractions(shares @ ENDS + 0.01 * rng.normal(size=(200, ENERGY.size)), ENDS)
    np.testing.assert_allclose(found.sum(axis=1), 1.0)
    assert found.min() >= 0.0
    assert np.abs(found - shares).max() < 0.1


def test_intervals_of_fractions_hold_as_often_as_they_say():
    found = series(np.tile([0.3, 0.7], (1000, 1)), noise=0.01, jitter=0.05)
    mixed = mix(found, ENDS[:2], ("a", "b"), np.array([2.0, 3.0]), np.zeros(2))
    held = np.abs(mixed.fractions[:, 1] - 0.7) <= 1.6449 * mixed.sigma[:, 1]
    assert 0.85 <= held.mean() <= 0.97


def test_the_valence_of_a_mixture_lies_on_the_line():
    found = series(ramp(41), jitter=0.05)
    mixed = mix(found, ENDS[:2], ("a", "b"), np.array([2.0, 3.0]), np.array([0.1, 0.1]))
    line = 2.0 + ramp(41)[:, 1]
    assert np.abs(mixed.valence - line).max() < 0.05
    assert np.mean(np.abs(mixed.valence - line) <= mixed.half) >= 0.85
    assert 0.5 < np.median(mixed.misfit) < 1.3


def test_a_series_of_a_single_end_is_that_end():
    mixed = mix(series(np.ones((5, 1))), ENDS[:1], ("a",), np.array([2.0]), np.array([0.3]))
    assert (mixed.fractions == 1.0).all()
    assert mixed.half == pytest.approx([0.3] * 5)


# ---- changes -------------------------------------------------------------------------


def test_a_step_is_found_where_it_is_and_a_ramp_is_none():
    rng = np.random.default_rng(1)
    step = np.r_[np.zeros(120), np.ones(180)] + 0.05 * rng.normal(size=300)
    (change,) = change_points(step)
    assert abs(change.at - 120) <= 2
    assert change_points(np.linspace(0.0, 1.0, 300) + 0.05 * rng.normal(size=300)) == []
    assert change_points(np.zeros(5)) == []


def test_changes_of_a_long_series_are_given_back_in_spectra():
    rng = np.random.default_rng(3)
    n, first, last = 11_987, 2411, 9603
    long = np.clip((np.arange(n) - first) / (last - first), 0, 1) + 0.03 * rng.normal(size=n)
    begin, end = change_points(long)
    assert abs(begin.at - first) <= 2 * begin.within < 200
    assert abs(end.at - last) <= 2 * end.within < 200
    assert begin.after == pytest.approx(1.0 / (last - first), rel=0.02)


def test_a_course_is_told_in_pieces_per_unit_of_what_was_varied():
    rng = np.random.default_rng(5)
    hours = np.arange(90) / 20.0
    truth = np.interp(hours, [0.0, 1.5, 3.5, 5.0], [3.0, 3.0, 2.0, 2.0])
    values = truth + 0.02 * rng.normal(size=90)
    before, fall, after = course(values, at=hours)
    assert (before.start, after.stop) == (0, 90)
    assert before.stop == fall.start
    assert [before.plateau, fall.plateau, after.plateau] == [True, False, True]
    assert fall.rate == pytest.approx(-0.5, abs=3 * fall.rate_sigma)
    assert fall.slope == pytest.approx(-0.025, abs=3 * fall.sigma)
    begin, _ = change_points(values, at=hours)
    assert begin.at_value == pytest.approx(1.5, abs=2 * begin.at_within)
    # An axis that is missing, constant, or goes to and fro gives no rate.
    for axis in (None, np.ones(90), np.sin(hours * 10.0), np.full(90, np.nan)):
        assert all(piece.rate is None for piece in course(values, at=axis))
    (still,) = course(0.02 * rng.normal(size=50))
    assert still.plateau
    assert course(np.zeros(2)) == []


def test_a_plateau_after_a_ramp_is_found():
    rng = np.random.default_rng(4)
    course = np.minimum(np.arange(60) / 40.0, 1.0) + 0.02 * rng.normal(size=60)
    (change,) = change_points(course)
    assert abs(change.at - 40) <= max(change.within, 3)
    assert change.before > 0.02 > abs(change.after)


def test_looking_after_every_repeat_raises_few_false_alarms():
    """The fine calibration, of 400,000 sessions, stands at `changes.ALPHA`."""
    rng = np.random.default_rng(0)
    sessions = rng.normal(size=(200, 100))
    alarms = [any(drift(values[:n]).sure for n in range(5, values.size + 1)) for values in sessions]
    assert np.mean(alarms) <= 0.04


def test_a_trend_is_found_with_its_rate_and_the_value_before():
    rng = np.random.default_rng(0)
    hours = (np.arange(20) + 0.5) / 4.0
    values = 2.0 + 0.04 * hours + 0.02 * rng.normal(size=20)
    damaged = drift(values, hours)
    assert damaged.sure
    assert drift(-values).sure
    assert damaged.rate == pytest.approx(0.01, abs=3 * damaged.sigma)
    assert damaged.rate_at == pytest.approx(4.0 * damaged.rate)
    assert damaged.start == pytest.approx(2.0, abs=3 * damaged.start_sigma)
    assert drift(np.zeros(4)) is None
    assert not drift(np.zeros(20)).sure


@pytest.mark.parametrize(
    ("degrees", "t", "both"),
    [  # from printed tables of Student's t
        (1, 63.657, 0.01),
        (3, 12.924, 0.001),
        (5, 4.032, 0.01),
        (10, 4.587, 0.001),
        (30, 2.042, 0.05),
        (120, 3.373, 0.001),
        (198, 0.0, 1.0),
        (100_000, 2.5758, 0.01),
    ],
)
def test_the_tail_of_students_t_is_that_of_the_tables(degrees, t, both):
    assert student_tail(t, degrees) == pytest.approx(both, rel=3e-3)


# ---- repeats -------------------------------------------------------------------------


def repeat(number, noise=0.01, edge=5.0, factor=1.0, stop=60.0, shift=0.0):
    energy = np.arange(-12.0, stop, 0.5) + shift
    rng = np.random.default_rng(number)
    mu = white_line(edge, 0.4, energy) + noise * rng.normal(size=energy.size)
    scan = Spectrum(IRON.e0 + energy, factor * mu, IRON, Origin(f"r{number}"))
    return Repeat(scan, factor, noise)


def test_sixteen_repeats_have_a_quarter_of_the_noise_in_whatever_order():
    repeats = [repeat(i) for i in range(16)]
    merged = merge(repeats)
    truth = white_line(5.0, 0.4)
    assert np.std(merged.spectrum.mu - truth) == pytest.approx(0.0025, rel=0.25)
    assert np.mean(merged.error) == pytest.approx(0.0025, rel=0.1)
    again = merge(repeats[::-1])
    np.testing.assert_allclose(again.spectrum.mu, merged.spectrum.mu, atol=1e-12)


def test_thousands_of_repeats_are_averaged_one_by_one():
    repeats = [repeat(i % 40, noise=0.01 + 0.01 * (i % 2)) for i in range(1200)]
    repeats[700] = repeat(0, edge=9.0)
    repeats[3] = repeat(3, stop=30.0, noise=0.02)
    merged = merge(repeats)
    assert len(merged.taken) == 1199
    assert 700 not in merged.taken
    assert merged.used[0] == 1199.0
    assert merged.used[-1] == 1198.0
    weights = np.array([1.0 / one.noise**2 for i, one in enumerate(repeats) if i != 700])
    rows = np.stack([one.spectrum.mu[:50] for i, one in enumerate(repeats) if i != 700])
    np.testing.assert_allclose(merged.spectrum.mu[:50], weights @ rows / weights.sum(), atol=1e-12)


def test_a_short_repeat_counts_where_it_was_measured():
    merged = merge([repeat(0), repeat(1, stop=30.0), repeat(2)])
    assert merged.used[0] == 3.0
    assert merged.used[-1] == 2.0
    assert merged.spectrum.energy.size == 144


def test_repeats_on_other_axes_keep_the_edge_sharp_and_a_gap_is_not_filled():
    moved = [repeat(i, noise=0.0, shift=0.1 * i) for i in range(5)]
    merged = merge(moved)
    inner = slice(2, -2)
    truth = white_line(5.0, 0.4, merged.spectrum.energy - IRON.e0)
    assert np.abs(merged.spectrum.mu - truth)[inner].max() < 4e-4
    whole, cut = moved[1].spectrum, slice(60, 90)
    hole = replace(whole, energy=np.delete(whole.energy, cut), mu=np.delete(whole.mu, cut))
    used = merge([moved[0], replace(moved[1], spectrum=hole), moved[2]]).used
    assert (used[62:88] == 2.0).all()
    assert used[30] == 3.0


def test_another_height_is_kept_and_another_sample_left_out():
    repeats = [repeat(i) for i in range(8)] + [repeat(8, factor=3.0), repeat(9, edge=9.0)]
    merged = merge(repeats)
    assert merged.taken == tuple(range(9))
    assert [one.source for one in merged.left_out] == ["r9"]
    assert "differs from the median" in merged.left_out[0].reason


def test_a_change_of_all_repeats_leaves_none_out():
    merged = merge([repeat(i, edge=5.0 + 0.3 * i) for i in range(10)])
    assert len(merged.taken) >= 8


def estimate(half, noise):
    shares = Shares(noise=noise, axis=1.0 - noise)
    return Estimate("oxidation_state", 3.0, 3.0 - half, 3.0 + half, 0.9, "e", shares)


def test_the_advice_counts_repeats_and_says_where_they_do_not_help():
    assert advise(estimate(0.1, 0.5), 4, 0.2).more == 0
    # Of 0.2^2 half the axis' part stays, 0.004; (0.036 / 0.0185)^(2/3) of 4 is 6.2.
    assert advise(estimate(0.2, 0.8), 4, 0.15).more == 3
    nothing = advise(estimate(0.2, 0.1), 4, 0.1)
    assert nothing.more is None
    assert "without any noise it would be ±0.13" in nothing.sentence


def test_of_a_quiet_mean_only_the_noise_falls_and_of_a_noisy_one_all_but_theory():
    theory = Shares(noise=0.01, ensemble=0.59, theory=0.4)
    quiet = Estimate("oxidation_state", 3.0, 2.8, 3.2, 0.9, "e", theory)
    assert advise(quiet, 4, 0.19).more is None
    assert advise(quiet, 4, 0.1995).more == 4  # 0.0004 of 0.04 to 0.0002 of it
    noisy = replace(quiet, shares=Shares(noise=0.2, ensemble=0.4, theory=0.4))
    assert advise(noisy, 4, 0.15).more == 6  # (0.024 / 0.0065)^(2/3) of 4 is 9.6
    assert advise(noisy, 4, 0.12).more is None


def alone(values, noise=0.1):
    """Estimates of repeats with so much noise in a half-width of 0.2, e."""
    share = noise**2 / 0.2**2
    return [replace(estimate(0.2, share), value=v, low=v - 0.2, high=v + 0.2) for v in values]


def test_the_noise_of_a_mean_is_what_its_repeats_scatter_by():
    merged = estimate(0.2, 0.25)  # of 0.2^2, 0.03 is not noise
    values = 3.0 + 0.4 * np.tile([1.0, -1.0], 8)
    wide = by_scatter(merged, alone(values))
    noise = (1.6449**2 * 16 * 0.4**2 + 3 * 0.1**2) / 18 / 16
    assert (wide.high - wide.low) / 2.0 == pytest.approx(np.sqrt(0.03 + noise), rel=1e-3)
    assert wide.shares.noise == pytest.approx(noise / (0.03 + noise), rel=1e-3)
    assert wide.shares.noise + wide.shares.axis == pytest.approx(1.0)
    assert by_scatter(merged, alone(values[:1])) == merged


def test_the_noise_of_a_mean_of_sixteen_is_a_quarter_and_a_trend_is_no_scatter():
    merged, rng = estimate(0.2, 0.25), np.random.default_rng(6)
    values = 3.0 + 0.1 / 1.6449 * rng.normal(size=16)
    quarter = by_scatter(merged, alone(values))
    assert np.sqrt(quarter.shares.noise) * (quarter.high - quarter.low) / 2.0 == pytest.approx(
        0.1 / 4.0, rel=0.25
    )
    trend = values + 0.2 * (np.arange(16) - 7.5)
    assert by_scatter(merged, alone(trend)).shares.noise > 0.5
    told = by_scatter(merged, alone(trend), drift(trend))
    assert told.shares.noise == pytest.approx(quarter.shares.noise, rel=0.5)


def test_an_interval_stays_within_possible_values():
    cut = replace(estimate(0.2, 0.25), value=0.1, low=0.0, high=0.3)
    wide = by_scatter(cut, alone([0.5, -0.5] * 4), None, (0.0, 6.0))
    assert wide.low == 0.0
    assert wide.high - wide.value > 0.2
    assert advise(cut, 8, 0.25).more == 0
    assert advise(cut, 8, 0.19).more > 0
