"""What is fitted to standards, how it is judged, and what the intervals rest on."""

import numpy as np
import pytest

from rankaae_stream.model.card import Level, MonotoneMap, Output
from rankaae_stream.report import Estimate
from rankaae_stream.standards.encode import SHIFTS, Encoded
from rankaae_stream.standards.fit import ZERO, correct, corrected, monotone_map, predict
from rankaae_stream.standards.leave_out import attainable, judge, quantile
from rankaae_stream.standards.table import Row, left_out_groups

SLOPE, SIGMA = 0.3, 0.3
"""What the answer moves by, a eV; uncertainty of axis and theory shift, eV."""


def output(half=0.2):
    line = MonotoneMap(np.array([-10.0, 10.0]), np.array([-10.0, 10.0]))
    return Output(
        name="oxidation_state",
        unit="e",
        latent=0,
        range=(0.0, 8.0),
        maps=(line, line),
        level=0.9,
        error_constant=half,
        error_per_spread=2.0,
        calibration=MonotoneMap(np.array([1.0]), np.array([1.0])),
        evidence="measured",
        levels=(Level(2.0, 5), Level(3.0, 1)),
        unsupported_half=0.5,
    )


def standard(known, answered, name=""):
    """A standard whose answer follows the axis, as members that agree see it."""
    moved = np.array([0.0, -SIGMA, SIGMA, 0.0, 0.0]) * SLOPE
    values = answered + SLOPE * SHIFTS[:, None] + moved
    latents = np.repeat(values[:, None, :, None], 2, axis=1)
    before = Estimate("oxidation_state", answered, answered - 0.25, answered + 0.25, 0.9, "e")
    row = Row(f"{name or known}.dat", known, name or f"{known:g}")
    return Encoded(row, before, latents, values[:, 0], SIGMA, True, ())


def judged(pairs, blocks=None, theory=0.0, half=0.2):
    standards = [standard(k, a, f"number {i}") for i, (k, a) in enumerate(pairs)]
    groups = left_out_groups([one.row.compound for one in standards], blocks)
    return judge(output(half), standards, groups, theory), standards


def test_three_standards_keep_the_shipped_interval_and_say_what_they_support():
    found, standards = judged([(2.0, 2.02), (2.5, 2.49), (3.0, 3.01)])
    assert (found.level, found.replaces_theory, found.widened) == (0.75, False, 1.0)
    before = predict(output(), correct("none", output(), standards, 3), standards, 0.0)[2]
    after = predict(found.output, found.correction, standards, 0.0)[2]
    assert np.all(after >= before)


def test_an_error_that_all_standards_share_is_removed():
    found, _ = judged([(v, v + 0.2) for v in (2.0, 2.3, 2.6, 3.0)])
    assert found.error < 0.05
    assert found.widened == 1.0


def test_an_error_of_one_standard_widens_the_interval():
    found, _ = judged([(2.0, 2.0), (2.3, 2.3), (2.6, 3.6), (3.0, 3.0)])
    assert found.widened > 1.3
    assert found.output.unsupported_half == pytest.approx(0.5 * found.widened)
    assert found.holds == 1.0


def test_two_standards_move_but_do_not_stretch():
    found, _ = judged([(2.0, 2.3), (3.0, 3.3)])
    assert found.correction.kind == "shift"
    assert found.correction.slope == 1.0


def test_four_standards_stretch_a_scale_that_is_too_short():
    found, _ = judged([(v, 2.5 + 0.6 * (v - 2.5)) for v in (2.0, 2.2, 2.4, 2.6, 2.8, 3.0)])
    assert found.correction.kind == "line"
    assert 1.2 < found.correction.slope < 1 / 0.6  # half-way, as its prior asks for
    assert found.error < 0.09  # 0.12 before


def test_standards_that_the_model_answers_right_change_nothing():
    found, _ = judged([(v, v + e) for v, e in ((2.0, 0.01), (2.5, -0.01), (3.0, 0.01))])
    assert found.correction.kind == "none"


def series(number=40, noise=0.01):
    """A charge whose answers saturate, as LiNiO2's do."""
    rng = np.random.default_rng(0)
    known = np.linspace(3.0, 3.9, number)
    return known, 3.1 + 0.9 * np.sin((known - 3.0) / 0.9 * 1.3) + noise * rng.normal(size=number)


def test_a_series_that_saturates_is_bent_back_with_intervals_of_its_own():
    known, answered = series()
    found, _ = judged(list(zip(known, answered, strict=True)), blocks=10)
    assert found.correction.kind == "map"
    assert np.abs(answered - known).mean() > 0.15
    assert found.error < 0.03
    assert 0.8 <= found.holds <= 1.0
    assert np.median(found.half) < 0.1
    assert found.replaces_theory


def test_beyond_the_standards_the_interval_is_wide_again():
    known, answered = series()
    found, _ = judged(list(zip(known, answered, strict=True)), blocks=10)
    inside, beyond = standard(3.4, 3.6), standard(5.0, 6.0)
    _, _, half = predict(found.output, found.correction, [inside, beyond], 0.0)
    assert half[0] < 0.1
    assert half[1] >= 0.5


def test_fewer_blocks_than_nine_keep_the_shipped_interval():
    known, answered = series()
    found, _ = judged(list(zip(known, answered, strict=True)), blocks=5)
    assert not found.replaces_theory
    assert np.min(found.half) >= 0.2


def test_a_common_error_is_shared_between_axis_and_valence():
    standards = [standard(v, v - SLOPE * 0.6) for v in (2.0, 2.4, 2.8, 3.0)]
    found = correct("shift", output(), standards, 4)
    assert found.ev > 0
    assert found.offset > 0
    value, _, _ = predict(corrected(output(), found), found, standards, 0.0)
    assert np.abs(value - [2.0, 2.4, 2.8, 3.0]).max() < 0.05


def test_replicates_count_once():
    standards = [standard(2.0, 2.3, "FeO"), standard(3.0, 3.3, "Fe2O3")]
    twice = correct("shift", output(), standards * 5, 2)
    once = correct("shift", output(), standards, 2)
    assert (twice.offset, twice.shift) == (pytest.approx(once.offset), once.shift)


def test_a_map_never_falls_and_ends_within_the_range():
    rng = np.random.default_rng(1)
    latent, known = rng.normal(size=40), rng.uniform(2.0, 4.0, 40)
    found = monotone_map(latent, known, (2.5, 3.5))
    assert np.all(np.diff(found.value) >= 0)
    assert np.all(np.diff(found.latent) > 0)
    assert (found.value[0] >= 2.5, found.value[-1] <= 3.5) == (True, True)
    flat = monotone_map(np.zeros(12), known[:12], (0.0, 8.0))
    assert np.all(np.diff(flat.latent) > 0)


def test_the_quantile_counts_the_new_one_too():
    scores = np.arange(1.0, 20.0)
    assert quantile(scores, 0.9) == 18.0
    assert quantile(scores[:5], 0.9) == 5.0
    assert attainable(19) == 0.95


def test_a_scan_that_does_not_reach_a_shift_rules_it_out():
    standards = [standard(2.0, 1.0), standard(3.0, 2.0)]
    standards[0].values[ZERO + 1 :] = np.nan
    assert correct("shift", output(), standards, 2).shift <= ZERO
