"""The residual that is left after a measurement's nuisances are fitted."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from rankaae_stream.latent import reconstruction_residual

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


@given(st.floats(0.9, 1.1), st.floats(-0.05, 0.05), st.floats(-0.45, 0.45))
def test_height_slope_and_a_small_shift_leave_almost_nothing(height, slope, shift):
    measured = curve(shift) * (height + slope * np.maximum(ENERGY, 0.0) / 50.0)
    fitted, distance = reconstruction_residual(measured, curve(), ENERGY, start=5.0)
    assert distance < 0.07
    np.testing.assert_allclose(fitted[ENERGY > 20], measured[ENERGY > 20], atol=0.02)


def test_a_shift_beyond_its_bound_shows():
    _, small = reconstruction_residual(curve(0.4), curve(), ENERGY, 5.0)
    _, large = reconstruction_residual(curve(2.0), curve(), ENERGY, 5.0)
    assert large > 5 * small


def test_without_shift_only_height_and_slope_are_fitted():
    _, free = reconstruction_residual(curve(0.4), curve(), ENERGY, 5.0)
    _, fixed = reconstruction_residual(curve(0.4), curve(), ENERGY, 5.0, max_shift=0.0)
    assert fixed > 3 * free


def test_what_lies_below_the_start_is_not_judged():
    measured = curve()
    measured[ENERGY < 5.0] += 3.0
    _, distance = reconstruction_residual(measured, curve(), ENERGY, start=5.0)
    assert distance == pytest.approx(0.0, abs=1e-6)


def test_a_peak_that_the_reconstruction_lacks_is_what_remains():
    peak = 0.3 * np.exp(-0.5 * (ENERGY - 30.0) ** 2)
    fitted, distance = reconstruction_residual(curve() + peak, curve(), ENERGY, start=5.0)
    judged = ENERGY >= 5.0
    wanted = np.sqrt(np.mean(peak[judged] ** 2)) / np.std((curve() + peak)[judged])
    assert distance == pytest.approx(wanted, rel=0.1)
    assert fitted.shape == ENERGY.shape


def test_many_spectra_at_once_are_each_one_alone():
    measured = np.stack([curve(0.3), 1.1 * curve(-0.5), curve() + 0.05])
    reconstruction = np.stack([curve(), curve(0.2), curve()])
    fitted, distance = reconstruction_residual(measured, reconstruction, ENERGY, 5.0)
    for i in range(3):
        alone, one = reconstruction_residual(measured[i], reconstruction[i], ENERGY, 5.0)
        np.testing.assert_allclose(fitted[i], alone, atol=1e-12)
        assert distance[i] == pytest.approx(float(one))


def test_the_same_misfit_weighs_more_where_there_is_less_structure():
    wiggle = 0.05 * np.sin(0.8 * ENERGY)
    quiet = 1.0 + 0.3 * (curve() - 1.0)
    _, on_oxide = reconstruction_residual(curve() + wiggle, curve(), ENERGY, 5.0)
    _, on_metal = reconstruction_residual(quiet + wiggle, quiet, ENERGY, 5.0)
    assert on_metal > 2 * on_oxide


def test_a_bare_step_does_not_divide_by_nothing():
    _, distance = reconstruction_residual(np.ones_like(ENERGY), curve(), ENERGY, 5.0)
    assert np.isfinite(distance)


def test_a_constant_reconstruction_is_no_accident():
    _, distance = reconstruction_residual(curve(), np.ones_like(ENERGY), ENERGY, 5.0)
    assert np.isfinite(distance)


def test_inputs_stay_as_they_are():
    measured, reconstruction = curve(0.5), curve()
    before = measured.copy(), reconstruction.copy()
    reconstruction_residual(measured, reconstruction, ENERGY, 5.0)
    np.testing.assert_array_equal(measured, before[0])
    np.testing.assert_array_equal(reconstruction, before[1])
