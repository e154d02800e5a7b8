"""The residual that is left after a measurement's nuisances are fitted."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from rankaae_stream.model.card import DomainRule
from rankaae_stream.model.domain import edge_aligned, fit_nuisances, judge_domain, poor_fit

ENERGY = np.linspace(-12.0, 60.0, 256)


def curve(shift: float = 0.0) -> np.ndarray:
    """A white line and two wiggles, (256,)."""
    x = ENERGY - shift
    return (
        0.5
        + np.arctan(x - 6.0) / np.pi
        + 0.4 * np.exp(-0.05 * (x - 12.0) ** 2)
        + 0.05 * np.sin(0.3 * x)
    )


def residual(measured, reconstruction, start=5.0, max_shift=0.5):
    """Fitted curve, and the root mean square that it leaves from `start` on."""
    fitted = fit_nuisances(measured, reconstruction, ENERGY, start, max_shift)
    left = (measured - fitted)[..., start <= ENERGY]
    return fitted, np.sqrt(np.mean(left**2, axis=-1))


@given(st.floats(0.9, 1.1), st.floats(-0.05, 0.05), st.floats(-0.45, 0.45))
def test_height_slope_and_a_small_shift_leave_almost_nothing(height, slope, shift):
    measured = curve(shift) * (height + slope * np.maximum(ENERGY, 0.0) / 50.0)
    fitted, distance = residual(measured, curve())
    assert distance < 0.07
    np.testing.assert_allclose(fitted[ENERGY > 20], measured[ENERGY > 20], atol=0.02)


def test_a_shift_beyond_its_bound_shows():
    _, small = residual(curve(0.4), curve())
    _, large = residual(curve(2.0), curve())
    assert large > 5 * small


def test_without_shift_only_height_and_slope_are_fitted():
    _, free = residual(curve(0.4), curve())
    _, fixed = residual(curve(0.4), curve(), max_shift=0.0)
    assert fixed > 3 * free


def test_what_lies_below_the_start_is_not_judged():
    measured = curve()
    measured[ENERGY < 5.0] += 3.0
    _, distance = residual(measured, curve())
    assert distance == pytest.approx(0.0, abs=1e-6)


def test_a_peak_that_the_reconstruction_lacks_is_what_remains():
    peak = 0.3 * np.exp(-0.5 * (ENERGY - 30.0) ** 2)
    fitted, distance = residual(curve() + peak, curve())
    judged = ENERGY >= 5.0
    wanted = np.sqrt(np.mean(peak[judged] ** 2))
    assert distance == pytest.approx(wanted, rel=0.1)
    assert fitted.shape == ENERGY.shape


def test_many_spectra_at_once_are_each_one_alone():
    measured = np.stack([curve(0.3), 1.1 * curve(-0.5), curve() + 0.05])
    reconstruction = np.stack([curve(), curve(0.2), curve()])
    fitted, distance = residual(measured, reconstruction)
    for i in range(3):
        alone, one = residual(measured[i], reconstruction[i])
        np.testing.assert_allclose(fitted[i], alone, atol=1e-12)
        assert distance[i] == pytest.approx(float(one))


def test_a_bare_step_does_not_divide_by_nothing():
    _, distance = residual(np.ones_like(ENERGY), curve())
    assert np.isfinite(distance)


def test_a_constant_reconstruction_is_no_accident():
    _, distance = residual(curve(), np.ones_like(ENERGY))
    assert np.isfinite(distance)


def test_inputs_stay_as_they_are():
    measured, reconstruction = curve(0.5), curve()
    before = measured.copy(), reconstruction.copy()
    residual(measured, reconstruction)
    np.testing.assert_array_equal(measured, before[0])
    np.testing.assert_array_equal(reconstruction, before[1])


def test_the_region_that_is_missed_most_is_named():
    fitted = curve()
    measured = fitted + np.where((ENERGY >= 12.0) & (ENERGY < 20.0), 0.1, 0.0)
    misfit, region = poor_fit(measured, fitted, ENERGY, 5.0)
    judged = ENERGY >= 5.0
    assert misfit == pytest.approx(np.sqrt(np.mean((measured - fitted)[judged] ** 2)))
    assert tuple(region) == (12.0, 20.0)


@given(st.floats(-4.0, 4.0))
def test_an_aligned_spectrum_does_not_move_with_the_axis(shift):
    here = edge_aligned(ENERGY, curve()[None], (-6.0, 30.0))
    there = edge_aligned(ENERGY, curve(shift)[None], (-6.0, 30.0))
    assert np.abs(here - there).max() < 0.03


def test_a_pre_edge_peak_above_half_height_is_not_the_edge():
    peak = 0.8 * np.exp(-0.5 * ((ENERGY + 4.0) / 0.6) ** 2)
    plain, peaked = edge_aligned(ENERGY, np.stack([curve(), curve() + peak]), (-4.0, 20.0))
    np.testing.assert_allclose(peaked[4:], plain[4:], atol=1e-6)


def test_spectra_that_never_reach_half_height_have_a_place_all_the_same():
    flat = np.stack([np.zeros_like(ENERGY), np.ones_like(ENERGY)])
    assert np.isfinite(edge_aligned(ENERGY, flat, (-6.0, 42.0))).all()


RULE = DomainRule((-6.0, 42.0), ("oxides", "metals", "sulfides"), 0.7, 5.0, 0.1)


def test_the_probability_of_no_oxide_is_what_the_others_add_up_to():
    found = judge_domain(np.log([[0.4, 0.25, 0.35]]), RULE)[0]
    assert found.distance == pytest.approx(0.6)
    assert (found.threshold, found.looks_like) == (0.7, "sulfides")
    assert judge_domain(np.array([[900.0, -900.0, 0.0]]), RULE)[0].distance == 0.0
