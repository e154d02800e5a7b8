"""Each augmentation does what its name says, and nothing to its input."""

import numpy as np
import pytest

from training import augment
from training.config import Augment

AXIS = np.arange(-24.0, 72.25, 0.25)
GRID = np.linspace(-12.0, 60.0, 256)


def edges(n: int = 5) -> np.ndarray:
    """Arctangent edges at slightly different energies, (n, f)."""
    centres = np.linspace(4.0, 8.0, n)[:, None]
    return 0.5 + np.arctan(AXIS - centres) / np.pi + 0.4 * np.exp(-0.05 * (AXIS - centres - 5) ** 2)


def rng() -> np.random.Generator:
    return np.random.default_rng(0)


def test_onto_grid_without_shift_is_interpolation():
    mu = edges()
    found = augment.onto_grid(AXIS, mu, GRID, np.zeros(5))
    np.testing.assert_allclose(found, [np.interp(GRID, AXIS, row) for row in mu], atol=1e-12)


def test_a_positive_shift_moves_the_edge_up():
    mu = edges(1)
    shifted = augment.onto_grid(AXIS, mu, GRID, np.array([2.0]))
    np.testing.assert_allclose(shifted[0], np.interp(GRID - 2.0, AXIS, mu[0]), atol=1e-12)


def test_beyond_the_axis_the_last_value_holds():
    found = augment.onto_grid(AXIS, edges(1), GRID, np.array([-50.0]))
    assert found[0, -1] == edges(1)[0, -1]


def test_broadening_is_a_gaussian_convolution():
    mu, sigma = edges(1), 1.2
    kernel = np.exp(-0.5 * (np.arange(-40, 41) * 0.25 / sigma) ** 2)
    wanted = np.convolve(mu[0], kernel / kernel.sum(), mode="same")
    found = augment.broaden(mu, np.array([sigma]), 0.25)
    np.testing.assert_allclose(found[0, 60:-60], wanted[60:-60], atol=1e-6)


def test_no_broadening_changes_nothing():
    np.testing.assert_allclose(augment.broaden(edges(), np.zeros(5), 0.25), edges(), atol=1e-12)


def test_over_absorption_lowers_the_white_line_and_keeps_the_step():
    mu = np.array([[0.0, 1.0, 1.5]])
    damped = augment.over_absorb(mu, 0.3, 1.0, rng())
    assert damped[0, 0] == 0.0
    assert damped[0, 1] == pytest.approx(1.0)
    assert 1.2 < damped[0, 2] < 1.5


def test_over_absorption_spares_the_rest():
    np.testing.assert_array_equal(augment.over_absorb(edges(), 0.3, 0.0, rng()), edges())


def test_height_and_slope_have_the_stated_spread():
    ones = np.ones((4000, GRID.size))
    found = augment.height_and_slope(ones, GRID, 0.04, 0.03, rng())
    below, at_50 = found[:, 0], found[:, np.argmin(np.abs(GRID - 50.0))]
    assert np.log(below).std() == pytest.approx(0.04, rel=0.1)
    assert (at_50 / below).std() == pytest.approx(0.03, rel=0.1)


def test_noise_is_no_larger_than_stated():
    found = augment.noise(np.zeros((2000, 64)), 0.015, rng())
    spread = found.std(axis=1)
    assert spread.max() < 0.015 * 1.4
    assert spread.mean() == pytest.approx(0.0075, rel=0.1)


def test_a_mixture_has_the_mean_valence_and_no_geometry():
    mu, labels = edges(200), np.column_stack([np.arange(200.0), np.ones(200), np.ones(200)])
    mixed, first, blended = augment.mix(mu, np.zeros(200), labels, 1.0, rng())
    touched = ~np.isclose(blended[:, 0], labels[:, 0])
    assert touched.mean() > 0.95
    assert np.isnan(blended[touched, 2]).all()
    assert (first == 0.0).all()
    assert blended[:, 0].mean() == pytest.approx(labels[:, 0].mean(), rel=0.1)
    assert mixed.shape == mu.shape


def test_a_mixture_exists_only_where_both_parts_do():
    first = np.array([1.0, 5.0] * 20)
    _, mixed_first, _ = augment.mix(edges(40), first, np.ones((40, 3)), 1.0, rng())
    assert (mixed_first >= first).all()


def test_a_missing_label_stays_missing_in_a_mixture():
    labels = np.ones((6, 3))
    labels[0] = np.nan
    _, _, blended = augment.mix(edges(6), np.zeros(6), labels, 0.0, rng())
    np.testing.assert_array_equal(blended, labels)


def test_the_same_seed_gives_the_same_batch_and_leaves_its_input_alone():
    mu, labels, first = edges(), np.ones((5, 5)), np.array([0.0, 1.0, 2.0, 3.0, 4.0])
    before = mu.copy()
    one = augment.augment(AXIS, mu, first, labels, GRID, Augment(), rng())
    two = augment.augment(AXIS, mu, first, labels, GRID, Augment(), rng())
    np.testing.assert_array_equal(one.flat, two.flat)
    np.testing.assert_array_equal(mu, before)


def test_the_target_counts_only_where_simulation_exists():
    quiet = Augment(mixture_share=0.0)
    first = np.array([0.0, 3.0])
    batch = augment.augment(AXIS, edges(2), first, np.ones((2, 5)), GRID, quiet, rng())
    np.testing.assert_array_equal(batch.weight, (first[:, None] <= GRID).astype(float))
