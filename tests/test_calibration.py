"""Maps, intervals and the theory shift."""

import itertools

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.optimize import isotonic_regression

from rankaae_stream import calibration
from rankaae_stream.calibration import ShiftScan

values = st.lists(st.integers(-4, 4).map(float), min_size=2, max_size=40)


@given(values, st.randoms(use_true_random=False))
def test_pooled_levels_are_those_of_scipy(value, random):
    y = np.array(value)
    weight = np.array([random.choice([0.5, 1.0, 3.0]) for _ in value])
    x = np.arange(y.size, dtype=float)
    fitted = calibration.fit_monotone(x, y, weight)
    wanted = isotonic_regression(y, weights=weight)
    # One knot a block, at the block's mean latent with its level.
    edges = wanted.blocks
    if edges.size > 2:
        blocks = list(itertools.pairwise(edges))
        levels = [wanted.x[a] for a, _ in blocks]
        centres = [np.average(x[a:b], weights=weight[a:b]) for a, b in blocks]
        np.testing.assert_allclose(fitted.value, levels, atol=1e-12)
        np.testing.assert_allclose(fitted.latent, centres, atol=1e-12)
    else:
        np.testing.assert_allclose(fitted.value, wanted.x[0], atol=1e-12)


@given(st.lists(st.tuples(st.floats(-5, 5), st.floats(0, 8)), min_size=2, max_size=60))
def test_knots_always_increase_and_the_order_of_rows_does_not_matter(pairs):
    latent, value = np.array(pairs).T
    if np.unique(latent).size < 2:
        return
    fitted = calibration.fit_monotone(latent, value)
    assert (np.diff(fitted.latent) > 0).all()
    assert (np.diff(fitted.value) >= 0).all()
    turned = calibration.fit_monotone(latent[::-1], value[::-1])
    np.testing.assert_allclose(turned.value, fitted.value, atol=1e-9)


def test_separated_valences_are_joined_by_straight_lines():
    latent = np.array([-2.1, -1.9, 0.9, 1.1])
    fitted = calibration.fit_monotone(latent, np.array([2.0, 2.0, 3.0, 3.0]))
    found = calibration.apply_map(fitted, np.array([-5.0, -2.0, -0.5, 1.0, 5.0]))
    np.testing.assert_allclose(found, [2.0, 2.0, 2.5, 3.0, 3.0])


def test_unknown_values_are_left_out():
    latent = np.array([0.0, 1.0, 0.5])
    fitted = calibration.fit_monotone(latent, np.array([2.0, 3.0, np.nan]))
    np.testing.assert_allclose(fitted.latent, [0.0, 1.0])


def test_a_map_of_one_latent_is_refused():
    with pytest.raises(ValueError, match="two different latents, got 1"):
        calibration.fit_monotone(np.zeros(3), np.arange(3.0))


def scan(residual_at, valence_at, *, compounds=5):
    """Compounds whose residual and valence error are lowest at given shifts."""
    shift = np.arange(-5.0, 6.25, 0.25)
    truth = np.linspace(2.0, 3.0, compounds)
    residual = 0.05 + 0.01 * (shift[:, None] - np.broadcast_to(residual_at, compounds)) ** 2
    estimate = truth + 0.2 * (shift[:, None] - np.broadcast_to(valence_at, compounds))
    return ShiftScan(shift, residual, estimate, truth)


def test_two_optima_that_agree_give_their_mean_and_no_extra_uncertainty():
    fitted = calibration.fit_theory_shift(scan(1.0, 1.3))
    assert fitted.by_residual == pytest.approx(1.0, abs=0.02)
    assert fitted.by_valence == pytest.approx(1.3, abs=0.1)
    assert fitted.value == pytest.approx((fitted.by_residual + fitted.by_valence) / 2)
    assert fitted.uncertainty < 0.1


def test_half_of_a_disagreement_enters_the_uncertainty():
    fitted = calibration.fit_theory_shift(scan(2.0, -1.0))
    assert fitted.uncertainty == pytest.approx(1.5, abs=0.1)


def test_what_the_standards_axes_are_uncertain_by_is_added():
    fitted = calibration.fit_theory_shift(scan(1.0, 1.0), axis_uncertainty=0.7)
    assert fitted.uncertainty == pytest.approx(0.7, abs=0.05)


@pytest.mark.parametrize("compounds", [1, 2, 4])
def test_few_compounds_are_as_uncertain_as_simulations_misplace_single_ones(compounds):
    fitted = calibration.fit_theory_shift(scan(1.0, 1.0, compounds=compounds))
    assert fitted.uncertainty == pytest.approx(calibration.SCATTER / np.sqrt(compounds), abs=0.05)


def test_compounds_that_disagree_make_the_shift_uncertain():
    spread = np.array([-1.0, 0.0, 1.0, 2.0, 3.0])
    assert calibration.fit_theory_shift(scan(spread, spread)).uncertainty > 0.5


def test_the_weight_chooses_between_the_optima():
    one = scan(2.0, -1.0)
    assert calibration.fit_theory_shift(one, 1.0).value == pytest.approx(2.0, abs=0.05)
    assert calibration.fit_theory_shift(one, 0.0).value == pytest.approx(-1.0, abs=0.05)


def test_standards_of_one_valence_leave_the_shift_to_the_residual():
    both = scan(1.0, -3.0)
    one = ShiftScan(both.shift, both.residual, both.estimate, np.full(5, 2.0))
    fitted = calibration.fit_theory_shift(one)
    assert fitted.by_valence is None
    assert fitted.value == fitted.by_residual == pytest.approx(1.0, abs=0.05)


def test_a_compound_left_out_is_judged_at_the_shift_of_the_others():
    spread = np.array([1.0, 1.0, 1.0, 1.0, 3.0])
    errors, shifts = calibration.leave_one_compound_out(scan(1.0, spread), residual_weight=0.0)
    # The others put the shift at +1; the last compound needs +3, 0.2 a volt.
    assert shifts[-1] == pytest.approx(1.0, abs=0.05)
    assert errors[-1] == pytest.approx(-0.4, abs=0.05)
    assert np.abs(errors[:-1]).max() < 0.25


def test_a_compound_left_out_has_no_part_in_the_line_either():
    one = scan(1.0, 1.0)
    high = one.estimate.copy()
    high[:, -1] += 1.0
    errors, _ = calibration.leave_one_compound_out(
        ShiftScan(one.shift, one.residual, high, one.truth), residual_weight=1.0
    )
    assert errors[-1] == pytest.approx(1.0, abs=0.05)


def test_one_compound_alone_has_nothing_to_be_judged_by():
    errors, _ = calibration.leave_one_compound_out(scan(1.0, 1.0, compounds=1))
    assert np.isnan(errors).all()


def test_one_compound_moves_the_line_little_and_many_decide():
    truth = np.array([2.0])
    one = calibration.fit_line(truth + 0.5, truth)
    assert one.slope == 1.0
    assert -0.1 < one.offset < -0.05
    many = calibration.fit_line(np.tile(truth + 0.5, 200), np.tile(truth, 200))
    assert many.offset == pytest.approx(-0.5, abs=0.03)


def test_a_stretched_scale_is_pulled_together():
    truth = np.repeat([2.0, 3.0, 4.0], 300)
    line = calibration.fit_line(3.0 + 1.2 * (truth - 3.0), truth)
    assert line.slope == pytest.approx(1 / 1.2, abs=0.03)
    fitted = calibration.straighten(
        calibration.MonotoneMap(np.array([0.0, 1.0]), np.array([1.8, 4.2])), line
    )
    np.testing.assert_allclose(fitted.value, [2.0, 4.0], atol=0.05)


def test_a_line_keeps_levels_that_almost_agree_in_order():
    value = 3.0 + np.arange(50) * 4e-16
    fitted = calibration.MonotoneMap(np.arange(50.0), value)
    found = calibration.straighten(fitted, calibration.Line(0.1234, 0.9777, 2.7182))
    assert (np.diff(found.value) >= 0).all()


@given(st.lists(st.tuples(st.floats(0, 7), st.floats(0, 7)), min_size=1, max_size=12))
def test_no_line_turns_a_scale_over(pairs):
    estimate, truth = np.array(pairs).T
    assert calibration.fit_line(estimate, truth).slope >= 0.5
