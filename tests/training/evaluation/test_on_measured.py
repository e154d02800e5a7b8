"""Measured files answered and averaged by compound, on made-up ones."""

import numpy as np
import pytest

from training.evaluation.on_measured import (
    by_compound,
    ordered_pairs,
    read_standards,
    standing,
)


def wiggle(energy):
    """Nothing that a step could describe."""
    return 0.5 * (1.0 + np.tanh(energy - 10.0)) * (1.0 + 0.4 * np.sin(energy))


def test_a_standard_is_read_as_a_live_scan_would_be(steps):
    (reading,) = read_standards(steps.judge(), [steps.standard("FeO", 2.0)])
    (estimate,) = reading.report.estimates
    assert estimate.value == pytest.approx(2.0, abs=0.02)
    # The model's 0.3, and 0.1 eV of the foil's axis, a thirtieth of a valence.
    assert (estimate.high - estimate.low) / 2 == pytest.approx(np.hypot(0.3, 1.645 / 30), abs=0.01)
    assert not reading.flagged
    assert reading.report.refusal is None


def test_a_foil_that_knows_its_axis_badly_makes_the_interval_wider(steps):
    sharp, blurred = read_standards(
        steps.judge(), [steps.standard("FeO", 2.0), steps.standard("FeO", 2.0, axis=0.9)]
    )
    (narrow,), (wide,) = sharp.report.estimates, blurred.report.estimates
    assert wide.value == narrow.value
    assert (wide.high - wide.low) / 2 == pytest.approx(np.hypot(0.3, 0.9 * 1.645 / 3), abs=0.02)


def test_a_scan_that_is_too_short_is_refused_and_counted(steps):
    files = [steps.standard("FeO", 2.0), steps.standard("FeO", 2.0, reach=(-30.0, 40.0))]
    readings = read_standards(steps.judge(), files)
    assert "the model needs" in readings[1].report.refusal.message
    (compound,) = by_compound(readings, "standard", {})
    assert (compound.files, compound.refused) == (2, 1)
    assert compound.descriptors["oxidation_state"].estimate == pytest.approx(2.0, abs=0.02)


def test_what_no_step_describes_is_flagged(steps):
    (reading,) = read_standards(steps.judge(), [steps.standard("Fe", 0.0, flat=wiggle)])
    assert reading.flagged


def test_the_valence_is_judged_with_its_compound_left_out(steps):
    readings = read_standards(steps.judge(), [steps.standard("FeO", 2.0)])
    (compound,) = by_compound(readings, "standard", {"FeO": {"left_out_error": 0.5}})
    state = compound.descriptors["oxidation_state"]
    assert compound.left_out
    assert state.error == pytest.approx(0.5)
    assert compound.fitted_error == pytest.approx(0.0, abs=0.02)
    assert not state.hit
    assert state.high - state.low == pytest.approx(0.61, abs=0.02)
    (alone,) = by_compound(readings, "standard", {"FeO": {"left_out_error": None}})
    assert not alone.left_out
    assert alone.descriptors["oxidation_state"].hit


def test_compounds_are_averaged_over_their_files_and_suspects_stay_apart(steps):
    files = [
        steps.standard("Fe2O3", 3.0),
        steps.standard("Fe2O3", 3.0, flat=lambda e: steps.step(3.2, e)),
        steps.standard("FeO", 2.0),
        steps.standard("doubtful", 2.0, role="suspect"),
    ]
    readings = read_standards(steps.judge(), files)
    compounds = by_compound(readings, "standard", {})
    assert [one.name for one in compounds] == ["FeO", "Fe2O3"]
    assert compounds[1].descriptors["oxidation_state"].estimate == pytest.approx(3.1, abs=0.02)
    figures = standing(compounds, "oxidation_state")
    assert (figures.compounds, figures.hits) == (2, 2)
    assert figures.mean_absolute_error_loss == pytest.approx(0.05, abs=0.02)
    assert [one.name for one in by_compound(readings, "suspect", {})] == ["doubtful"]


def test_a_descriptor_that_no_structure_defines_is_not_counted(steps):
    compounds = by_compound(
        read_standards(steps.judge(), [steps.standard("FeO", 2.0)]), "standard", {}
    )
    figures = standing(compounds, "bond_length_spread")
    assert figures.compounds == 0
    assert np.isnan(figures.mean_absolute_error_loss)


def test_only_pairs_half_a_valence_apart_have_an_order(steps):
    files = [steps.standard(f"c{v}", v) for v in (2.0, 2.4, 2.5, 3.0)]
    readings = read_standards(steps.judge(), files)
    wrong = {"c3.0": {"left_out_error": -0.8}}
    assert ordered_pairs(by_compound(readings, "standard", {})) == (4, 4)
    # 3.0 read as 2.2 still lies above 2.0, but below 2.4 and 2.5.
    assert ordered_pairs(by_compound(readings, "standard", wrong)) == (2, 4)
