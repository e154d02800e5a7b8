"""Each augmentation does what its name says, and nothing to its input."""

import numpy as np
import pytest

from rankaae_stream.spectra import quality
from rankaae_stream.spectra.normalize import normalize
from rankaae_stream.spectrum import EnergyGrid, NormalizationRanges
from training.config import Augment
from training.simulated import augment

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


def test_core_hole_broadening_is_a_lorentzian_convolution():
    # A step convolved with a Lorentzian is an arctangent of half its full width.
    step = (AXIS > 20.1).astype(float)[None]
    (found,) = augment.broaden(step, np.zeros(1), 0.25, np.array([3.0]))
    wanted = 0.5 + np.arctan((AXIS - 20.125) / 1.5) / np.pi
    # Mirrored at its ends, the step is one of many; their tails are a hundredth here.
    np.testing.assert_allclose(found, wanted, atol=0.02)
    quarters = np.interp([0.25, 0.75], found, AXIS)
    assert np.diff(quarters) == pytest.approx(3.0, rel=0.03)


def test_both_broadenings_are_one_after_the_other():
    mu = edges()
    sigma, width = np.linspace(0.3, 1.6, 5), np.linspace(0.0, 1.0, 5)
    one_by_one = augment.broaden(augment.broaden(mu, sigma, 0.25), 0.0 * sigma, 0.25, width)
    np.testing.assert_allclose(augment.broaden(mu, sigma, 0.25, width), one_by_one, atol=1e-12)


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


def test_curvature_is_a_parabola_from_the_edge_on_with_the_stated_spread():
    ones = np.ones((4000, GRID.size))
    found = augment.curvature(ones, GRID, 0.01, rng()) - 1.0
    assert (found[:, GRID <= 0.0] == 0.0).all()
    at_25, at_50 = (np.array([np.interp(e, GRID, row) for row in found]) for e in (25.0, 50.0))
    assert at_50.std() == pytest.approx(0.01, rel=0.05)
    np.testing.assert_allclose(at_25, at_50 / 4.0, atol=1e-5)


WHITE = {"drift": 0.0, "length": (1.0, 10.0)}


def test_noise_is_no_larger_than_stated():
    found = augment.noise(np.zeros((2000, 256)), GRID, 0.015, rng=rng(), **WHITE)
    spread = found.std(axis=1)
    assert spread.max() < 0.015 * 1.2
    assert spread.mean() == pytest.approx(0.0075, rel=0.05)


def test_counting_noise_is_white():
    found = augment.noise(np.zeros((2000, 256)), GRID, 0.015, rng=rng(), **WHITE)
    assert np.mean(found[:, 1:] * found[:, :-1]) == pytest.approx(0.0, abs=0.01 * found.var())


@pytest.mark.parametrize("length", [1.0, 4.0, 10.0])
def test_a_drift_has_the_stated_size_and_forgets_itself_over_its_length(length):
    zeros = np.zeros((8000, 256))
    found = augment.noise(zeros, GRID, 0.0, 0.02, (length, length), rng())
    # A uniform standard deviation up to 0.02 has the mean square 0.02 ** 2 / 3, at every energy.
    variance = 0.02**2 / 3.0
    np.testing.assert_allclose((found**2).mean(axis=0), variance, rtol=0.15)
    step = GRID[1] - GRID[0]
    for lag in (1, 4, 14):
        alike = np.mean(found[:, lag:] * found[:, :-lag]) / variance
        assert alike == pytest.approx(np.exp(-lag * step / length), abs=0.06)


def test_counting_noise_and_drift_add_up():
    found = augment.noise(np.ones((8000, 256)), GRID, 0.03, 0.02, (1.0, 10.0), rng())
    assert found.mean() == pytest.approx(1.0, abs=1e-3)
    assert found.var() == pytest.approx((0.03**2 + 0.02**2) / 3.0, rel=0.05)


def test_a_glitch_is_one_peak_of_the_stated_size_and_width_in_a_share_of_the_spectra():
    zeros = np.zeros((20000, GRID.size))
    found = augment.glitch(zeros, GRID, 0.1, (1.5, 1.5), 0.05, rng())
    touched = np.abs(found).max(axis=1) > 0.0
    assert touched.mean() == pytest.approx(0.05, rel=0.15)
    peaks = found[touched]
    at = np.abs(peaks).argmax(axis=1)
    inner = (at > 10) & (at < GRID.size - 10)
    peaks, at = peaks[inner], at[inner]
    height = peaks[np.arange(at.size), at]
    assert height.std() == pytest.approx(0.1, rel=0.15)
    area = peaks.sum(axis=1) * (GRID[1] - GRID[0])
    # Area of a Gaussian: 1.0645 times height and full width.
    assert np.median(area / height) == pytest.approx(1.0645 * 1.5, rel=0.03)
    assert at.std() > 50


def test_a_gap_is_bridged_by_a_line_and_the_rest_stays():
    mu = augment.onto_grid(AXIS, edges(40), GRID, np.zeros(40))
    found = augment.gap(mu, GRID, (6.0, 6.0), 1.0, rng())
    for row, one in zip(mu, found, strict=True):
        changed = np.flatnonzero(row != one)
        assert 1 <= changed.size <= 6.0 / (GRID[1] - GRID[0]) + 1
        left = np.delete(np.arange(GRID.size), np.arange(changed[0], changed[-1] + 1))
        np.testing.assert_allclose(one, np.interp(GRID, GRID[left], row[left]), atol=1e-12)


def test_gaps_come_in_the_stated_share_and_no_wider_than_the_runtime_bridges():
    mu = np.cumsum(np.ones((4000, GRID.size)), axis=1) ** 2
    found = augment.gap(mu, GRID, (1.0, 6.0), 0.1, rng())
    changed = (found != mu).sum(axis=1)
    assert (changed > 0).mean() == pytest.approx(0.1, rel=0.2)
    assert Augment().gap[1] <= quality.LARGEST_GAP


def fine_structure(energy: np.ndarray, end: float) -> np.ndarray:
    """A flat spectrum that is nothing below -8 eV and 1 from `end` on."""
    rise = np.clip((energy + 8.0) / 16.0, 0.0, 1.0)
    along = np.clip((energy - 8.0) / (end - 8.0), 0.0, 1.0)
    return rise + 0.4 * np.sin(energy / 6.0) * np.sin(np.pi * along) ** 2


def as_the_runtime_normalises(energy: np.ndarray, mu: np.ndarray) -> np.ndarray:
    grid = EnergyGrid(-12.0, 60.0, 256)
    cover = quality.coverage(energy, 0.0, NormalizationRanges(), grid, 0.0, complete=True)
    return np.interp(GRID, energy, normalize(energy, mu, 0.0, cover.ranges).flat)


@pytest.mark.parametrize("seed", range(4))
def test_a_scan_that_ends_early_looks_as_the_runtime_makes_it(seed):
    flat = fine_structure(GRID, 60.0)
    (found,) = augment.ends_early(flat[None], GRID, 0.2, 1.0, np.random.default_rng(seed))
    height = flat[40] / found[40]  # below the edge nothing else was done
    slope = (found[-1] * height - flat[-1]) / GRID[-1]
    # Which end it drew follows from the height; beyond the grid the spectrum is 1.
    ends = np.arange(61.0, 100.0, 0.25)

    def scan(end: float) -> np.ndarray:
        energy = np.arange(-150.0, end + 0.1, 0.25)
        mu = 0.3 + fine_structure(energy, 60.0) + slope * np.maximum(energy, 0.0)
        return as_the_runtime_normalises(energy, 2.0 * mu)

    misfit = [np.abs(scan(end) - found).max() for end in ends if end < 99.5]
    assert np.abs(found - flat).max() > 0.02
    assert min(misfit) < 0.01


@pytest.mark.parametrize("seed", range(4))
def test_a_scan_that_starts_late_looks_as_the_runtime_makes_it(seed):
    flat = fine_structure(GRID, 50.0)
    (found,) = augment.starts_late(flat[None], GRID, 0.4, 1.0, np.random.default_rng(seed))
    (slope, _), step = np.polyfit(GRID[:10], found[:10], 1), (flat[150] - 1) / (found[150] - 1)
    starts = np.arange(-30.0, -12.0, 0.25)

    def scan(start: float) -> np.ndarray:
        energy = np.arange(start, 160.0, 0.25)
        return as_the_runtime_normalises(
            energy, 0.7 + 3.0 * (fine_structure(energy, 50.0) + slope * step * energy)
        )

    misfit = [np.abs(scan(start) - found).max() for start in starts]
    assert np.abs(found - flat).max() > 0.01
    assert min(misfit) < 0.005


def test_scans_are_cut_in_the_stated_share():
    ones = np.ones((4000, GRID.size))
    for cut in (augment.ends_early, augment.starts_late):
        found = cut(ones, GRID, 0.1, 0.1, rng())
        assert (found != ones).any(axis=1).mean() == pytest.approx(0.1, rel=0.2)


def test_a_scan_on_a_grid_that_covers_the_ranges_is_never_cut():
    wide = np.linspace(-40.0, 120.0, 256)
    ones = np.ones((20, 256))
    for cut in (augment.ends_early, augment.starts_late):
        np.testing.assert_array_equal(cut(ones, wide, 0.1, 1.0, rng()), ones)


def labels_that_name_their_site(n: int) -> np.ndarray:
    """Labels (n, 3) whose first column differs from site to site."""
    return np.column_stack([np.arange(float(n)), np.full(n, 4.0), np.ones(n)])


def test_a_mixture_has_the_mean_valence_and_no_geometry():
    n = 600
    sites = np.eye(n)  # what is mixed says of which sites and how much
    labels = labels_that_name_their_site(n)
    mixed, _, blended = augment.mix(sites, np.zeros(n), labels, 1.0, rng())
    np.testing.assert_allclose(mixed.sum(axis=1), 1.0)
    assert (mixed >= 0.0).all()
    np.testing.assert_allclose(blended[:, 0], mixed @ labels[:, 0])
    np.testing.assert_allclose(blended[:, 1], 4.0)
    assert np.isnan(blended[:, 2]).all()


@pytest.mark.slow
def test_a_mixture_has_two_or_three_sites_as_often_and_any_weights():
    mixed, _, _ = augment.mix(np.eye(4000), np.zeros(4000), np.ones((4000, 3)), 1.0, rng())
    count = (mixed > 0.0).sum(axis=1)
    assert set(count) == {2, 3}
    assert (count == 3).mean() == pytest.approx(0.5, abs=0.03)
    own = mixed.diagonal()
    # Uniform on the simplex: means 1/2 and 1/3, variances 1/12 and 1/18.
    for sites, mean, variance in ((2, 1 / 2, 1 / 12), (3, 1 / 3, 1 / 18)):
        assert own[count == sites].mean() == pytest.approx(mean, abs=0.02)
        assert own[count == sites].var() == pytest.approx(variance, rel=0.1)


def test_mixtures_come_in_the_stated_share_and_the_others_stay():
    n = 4000
    labels = labels_that_name_their_site(n)
    mixed, _, blended = augment.mix(np.eye(n), np.zeros(n), labels, 0.3, rng())
    alone = mixed.diagonal() == 1.0
    assert alone.mean() == pytest.approx(0.7, abs=0.03)
    np.testing.assert_array_equal(blended[alone], labels[alone])


def test_what_a_mixture_averages_follows_the_order_of_the_labels():
    labels = np.column_stack([np.ones(50), np.arange(50.0)])
    mixed, _, blended = augment.mix(np.eye(50), np.zeros(50), labels, 1.0, rng(), averaged=(1,))
    assert np.isnan(blended[:, 0]).all()
    np.testing.assert_allclose(blended[:, 1], mixed @ labels[:, 1])


def test_a_mixture_exists_only_where_all_its_parts_do():
    n = 300
    first = np.arange(float(n))
    mixed, begin, _ = augment.mix(np.eye(n), first, np.ones((n, 3)), 1.0, rng())
    np.testing.assert_array_equal(begin, np.where(mixed > 0.0, first, -np.inf).max(axis=1))


def test_a_mixture_with_something_unlabelled_is_unlabelled():
    n = 300
    labels = labels_that_name_their_site(n)
    labels[::3] = np.nan
    mixed, _, blended = augment.mix(np.eye(n), np.zeros(n), labels, 1.0, rng())
    unknown = (mixed[:, ::3] > 0.0).any(axis=1)
    assert 0.2 < unknown.mean() < 0.9
    np.testing.assert_array_equal(np.isnan(blended[:, 0]), unknown)


def test_a_single_spectrum_has_nothing_to_be_mixed_with():
    labels = np.ones((1, 3))
    mixed, _, blended = augment.mix(edges(1), np.zeros(1), labels, 1.0, rng())
    np.testing.assert_array_equal(mixed, edges(1))
    np.testing.assert_array_equal(blended, labels)


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


def test_every_effect_is_on_by_default_and_off_at_zero():
    off = {name: 0.0 for name, value in Augment() if not isinstance(value, tuple)}
    still = Augment(**off, broadening=(0.0, 0.0), core_hole=(0.0, 0.0))
    mu, labels, first = edges(), np.ones((5, 5)), np.zeros(5)
    quiet = augment.augment(AXIS, mu, first, labels, GRID, still, rng())
    wanted = augment.onto_grid(AXIS, mu, GRID, np.zeros(5))
    np.testing.assert_allclose(quiet.flat, wanted, atol=1e-5)
    np.testing.assert_allclose(quiet.target, wanted, atol=1e-5)
    np.testing.assert_array_equal(quiet.labels, labels)
    for name, value in Augment():
        assert (value[1] if isinstance(value, tuple) else value) > 0.0, name


def test_a_grid_shift_of_all_is_the_shift_of_each():
    mu = edges()
    alike = augment.onto_grid(AXIS, mu, GRID, np.full(5, 1.3))
    apart = [augment.onto_grid(AXIS, row[None], GRID, np.array([1.3]))[0] for row in mu]
    np.testing.assert_array_equal(alike, apart)


def test_the_shift_of_a_batch_has_the_stated_spread():
    n = 3000
    only = Augment(
        **{name: 0.0 for name, value in Augment() if not isinstance(value, tuple)}
        | {"shift": 0.7, "broadening": (0.0, 0.0), "core_hole": (0.0, 0.0)}
    )
    ramp = np.tile(AXIS, (n, 1))  # its height tells how far it was moved
    seen = augment.augment(AXIS, ramp, np.zeros(n), np.ones((n, 2)), GRID, only, rng())
    moved = (GRID - seen.flat)[:, 128]
    assert moved.std() == pytest.approx(0.7, rel=0.05)
    assert moved.mean() == pytest.approx(0.0, abs=0.05)
    np.testing.assert_allclose(seen.target[:, 128], GRID[128], atol=0.02)
