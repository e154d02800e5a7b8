"""The theory shift."""

import numpy as np
import pytest

from training.measured import shift as module
from training.measured.shift import ShiftScan


def scan(residual_at, valence_at, *, compounds=5):
    """Compounds whose residual and valence error are lowest at given shifts."""
    shift = np.arange(-5.0, 6.25, 0.25)
    truth = np.linspace(2.0, 3.0, compounds)
    residual = 0.05 + 0.01 * (shift[:, None] - np.broadcast_to(residual_at, compounds)) ** 2
    estimate = truth + 0.2 * (shift[:, None] - np.broadcast_to(valence_at, compounds))
    return ShiftScan(shift, residual, estimate, truth)


def test_two_optima_that_agree_give_their_mean_and_no_extra_uncertainty():
    fitted = module.fit_theory_shift(scan(1.0, 1.3))
    assert fitted.by_residual == pytest.approx(1.0, abs=0.02)
    assert fitted.by_valence == pytest.approx(1.3, abs=0.1)
    assert fitted.value == pytest.approx((fitted.by_residual + fitted.by_valence) / 2)
    assert fitted.uncertainty < 0.1


def test_half_of_a_disagreement_enters_the_uncertainty():
    fitted = module.fit_theory_shift(scan(2.0, -1.0))
    assert fitted.uncertainty == pytest.approx(1.5, abs=0.1)


def test_what_the_standards_axes_are_uncertain_by_is_added():
    fitted = module.fit_theory_shift(scan(1.0, 1.0), axis_uncertainty=0.7)
    assert fitted.uncertainty == pytest.approx(0.7, abs=0.05)


@pytest.mark.parametrize("compounds", [1, 2, 4])
def test_few_compounds_are_as_uncertain_as_simulations_misplace_single_ones(compounds):
    fitted = module.fit_theory_shift(scan(1.0, 1.0, compounds=compounds))
    assert fitted.uncertainty == pytest.approx(module.SCATTER / np.sqrt(compounds), abs=0.05)


def test_compounds_that_disagree_make_the_shift_uncertain():
    spread = np.array([-1.0, 0.0, 1.0, 2.0, 3.0])
    assert module.fit_theory_shift(scan(spread, spread)).uncertainty > 0.5


def test_the_weight_chooses_between_the_optima():
    one = scan(2.0, -1.0)
    assert module.fit_theory_shift(one, 1.0).value == pytest.approx(2.0, abs=0.05)
    assert module.fit_theory_shift(one, 0.0).value == pytest.approx(-1.0, abs=0.05)


def test_standards_of_one_valence_leave_the_shift_to_the_residual():
    both = scan(1.0, -3.0)
    one = ShiftScan(both.shift, both.residual, both.estimate, np.full(5, 2.0))
    fitted = module.fit_theory_shift(one)
    assert fitted.by_valence is None
    assert fitted.value == fitted.by_residual == pytest.approx(1.0, abs=0.05)


def test_a_compound_left_out_is_judged_at_the_shift_of_the_others():
    spread = np.array([1.0, 1.0, 1.0, 1.0, 3.0])
    errors, shifts = module.leave_one_compound_out(scan(1.0, spread), residual_weight=0.0)
    # The others put the shift at +1; the last compound needs +3, 0.2 a volt.
    assert shifts[-1] == pytest.approx(1.0, abs=0.05)
    assert errors[-1] == pytest.approx(-0.4, abs=0.05)
    assert np.abs(errors[:-1]).max() < 0.25


def test_a_compound_left_out_has_no_part_in_the_line_either():
    one = scan(1.0, 1.0)
    high = one.estimate.copy()
    high[:, -1] += 1.0
    errors, _ = module.leave_one_compound_out(
        ShiftScan(one.shift, one.residual, high, one.truth), residual_weight=1.0
    )
    assert errors[-1] == pytest.approx(1.0, abs=0.05)


def test_one_compound_alone_has_nothing_to_be_judged_by():
    errors, _ = module.leave_one_compound_out(scan(1.0, 1.0, compounds=1))
    assert np.isnan(errors).all()
