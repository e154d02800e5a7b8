"""What is said of measured files, on made-up ones."""

from dataclasses import replace

import numpy as np
import pytest

from rankaae_stream.spectrum import K_EDGES
from training.evaluation.on_measured import (
    alarm_threshold,
    by_compound,
    deviation_from_line,
    mix_end_members,
    mix_foil,
    moved_to,
    ordered_pairs,
    read_standards,
    score_detection,
    standing,
)


def wiggle(energy):
    """Nothing that a step could describe."""
    return 0.5 * (1.0 + np.tanh(energy - 10.0)) * (1.0 + 0.4 * np.sin(energy))


def test_a_standard_is_read_as_a_live_scan_would_be(steps):
    (reading,) = read_standards(steps.judge(), [steps.standard("FeO", 2.0)])
    (estimate,) = reading.estimates
    assert estimate.value == pytest.approx(2.0, abs=0.02)
    # The model's 0.3, and 0.1 eV of the foil's axis, a thirtieth of a valence.
    assert (estimate.high - estimate.low) / 2 == pytest.approx(np.hypot(0.3, 1.645 / 30), abs=0.01)
    assert not reading.flagged
    assert reading.refusal == ""


def test_a_scan_that_is_too_short_is_refused_and_counted(steps):
    files = [steps.standard("FeO", 2.0), steps.standard("FeO", 2.0, reach=(-30.0, 40.0))]
    readings = read_standards(steps.judge(), files)
    assert "the model needs" in readings[1].refusal
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


def test_detection_is_judged_at_the_cards_threshold_and_at_its_own():
    inside = list(np.linspace(0.5, 1.0, 21))
    found = score_detection("foil", [0.4, 0.98, 1.2, 1.5, float("nan")], inside, 1.1)
    assert alarm_threshold(inside) == pytest.approx(0.975)
    assert found.files == 4
    assert found.at_card == 0.5
    assert found.at_false_alarms == 0.75
    # 0.4 lies below all 21 oxides, 0.98 above 20 of them, two above all.
    assert found.auroc_score == pytest.approx((0 + 20 + 21 + 21) / 84)
    told = [True, None, False, True, True]
    found = score_detection("foil", [0.4, 0.98, 1.2, 1.5, float("nan")], inside, 1.1, told)
    assert found.at_card == 0.75, "recognised, beyond, or both; a refused one counts nowhere"
    assert found.metals == (True, None, False, True)


def test_without_oxides_or_others_nothing_is_said():
    assert np.isnan(score_detection("foil", [2.0], [], 1.0).auroc_score)
    assert np.isnan(score_detection("foil", [], [1.0], 1.0).at_card)


def test_a_linear_judge_sees_linear_mixtures(steps):
    files = [
        steps.standard("FeO", 2.0),
        steps.standard("Fe2O3 hematite", 3.0),
        steps.standard("Fe2O3 hematite", 3.0, file="again.xdi"),
    ]
    found = mix_end_members(steps.judge(), files)
    assert found is not None
    assert found.pairs == 2
    assert found.monotone == 1.0
    assert found.worst < 1e-3
    assert found.valences[3] == pytest.approx(2.3, abs=0.02)
    assert mix_end_members(steps.judge(), files[:1]) is None


def test_the_largest_deviation_is_that_from_the_own_end_members():
    shares = np.linspace(0.0, 1.0, 5)
    assert deviation_from_line(shares, np.array([2.0, 2.1, 2.9, 2.8, 3.0])) == pytest.approx(0.4)


def test_more_metal_in_an_oxide_is_flagged_more_often(steps):
    files = [steps.standard("FeO", 2.0), steps.standard("Fe", 0.0, role="foil", flat=wiggle)]
    found = mix_foil(steps.judge(threshold=6.0), files)
    assert found.pairs == 1
    assert found.flagged[0] == 0.0
    assert found.flagged[-1] == 1.0
    assert list(found.flagged) == sorted(found.flagged)
    assert mix_foil(steps.judge(), files[:1]).flagged == ()


def test_only_good_oxides_of_other_elements_stand_for_a_wrong_one(steps):
    files = [steps.standard("FeO", 2.0), steps.standard("Fe", 0.0, role="foil")]
    others = [replace(one, energy=one.energy + K_EDGES["Mn"] - K_EDGES["Fe"]) for one in files]
    judge = steps.judge()
    (own,) = read_standards(judge, files[:1])
    assert moved_to(judge, {"Fe": files, "Mn": others}) == pytest.approx([own.distance])
    # A file that does not reach across the edge is no example.
    assert moved_to(judge, {"Mn": files}) == []
