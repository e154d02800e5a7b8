"""The residual that is left after a measurement's nuisances are fitted."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from rankaae_stream.model.card import DomainRule, Region
from rankaae_stream.model.domain import (
    domain_distance,
    fit_nuisances,
    latent_length,
    region_misfits,
)

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


WHOLE = [(5.0, 60.0)]


def residual(measured, reconstruction, start=5.0, max_shift=0.5):
    """Fitted curve, and the share of the structure that it leaves from `start` on."""
    fitted = fit_nuisances(measured, reconstruction, ENERGY, start, max_shift)
    return fitted, region_misfits(measured, fitted, ENERGY, start, WHOLE)[..., 0]


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
    wanted = np.sqrt(np.mean(peak[judged] ** 2)) / np.std((curve() + peak)[judged])
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


def test_the_same_misfit_weighs_more_where_there_is_less_structure():
    wiggle = 0.05 * np.sin(0.8 * ENERGY)
    quiet = 1.0 + 0.3 * (curve() - 1.0)
    _, on_oxide = residual(curve() + wiggle, curve())
    _, on_metal = residual(quiet + wiggle, quiet)
    assert on_metal > 2 * on_oxide


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


def test_a_misfit_is_found_in_its_own_region():
    fitted = curve()
    measured = fitted + np.where((ENERGY >= 0.0) & (ENERGY < 5.0), 0.1, 0.0)
    found = region_misfits(measured, fitted, ENERGY, 5.0, [(-10.0, 0.0), (0.0, 5.0), (5.0, 12.0)])
    structure = np.std(measured[ENERGY >= 5.0])
    np.testing.assert_allclose(found, [0.0, 0.1 / structure, 0.0], atol=1e-9)


def test_latents_count_by_the_mean_square_over_the_members():
    latents = np.zeros((2, 3, 4))
    latents[0, 1] = 1.0
    np.testing.assert_allclose(latent_length(latents), [0.0, np.sqrt(2.0), 0.0])


RULE = DomainRule(
    start=5.0,
    regions=(Region(-10.0, 0.0, 0.1), Region(0.0, 5.0, 0.2)),
    latent_length=2.0,
    threshold=1.5,
)


def test_what_is_as_far_as_good_oxides_lies_at_one():
    latents = np.full((3, 4), 1.0)
    measured = curve()
    structure = np.std(measured[ENERGY >= 5.0])
    measured = measured + np.where(ENERGY < 0.0, 0.1 * structure, 0.0)
    measured = measured + np.where((ENERGY >= 0.0) & (ENERGY < 5.0), 0.2 * structure, 0.0)
    _, distance = domain_distance(measured, curve(), latents, ENERGY, RULE)
    assert distance == pytest.approx(1.0, abs=1e-6)


def test_the_distance_grows_with_misfit_and_with_the_latents():
    near = domain_distance(curve(), curve(), np.full((3, 4), 1.0), ENERGY, RULE)[1]
    far = domain_distance(curve(), curve(), np.full((3, 4), 3.0), ENERGY, RULE)[1]
    foot = curve() + np.where(ENERGY < 5.0, 0.3, 0.0)
    odd = domain_distance(foot, curve(), np.full((3, 4), 1.0), ENERGY, RULE)[1]
    assert far == pytest.approx(3.0 * near)
    assert odd > 2.0 * near


def test_many_distances_at_once_are_each_one_alone():
    measured = np.stack([curve(0.3), 1.1 * curve(-0.5), curve() + 0.05])
    latents = np.random.default_rng(0).normal(size=(3, 3, 4))
    fitted, distance = domain_distance(measured, np.stack([curve()] * 3), latents, ENERGY, RULE)
    for i in range(3):
        alone = domain_distance(measured[i], curve(), latents[:, i], ENERGY, RULE)
        np.testing.assert_allclose(fitted[i], alone[0], atol=1e-12)
        assert distance[i] == pytest.approx(float(alone[1]))
