"""What curves show, and the sentences made from it."""

import numpy as np
import pytest

from training.evaluation.sweeps import Sweep, features, judge_trend, sweep_all

ENERGY = np.arange(-10.0, 60.0, 0.25)


def curve(edge=10.0, pre=0.0, white=0.3, width=3.0, second=0.1, at=40.0):
    """A step with a pre-edge, a white line and a resonance."""
    rise = 0.5 * (1.0 + np.tanh((ENERGY - edge) / 1.5))
    lines = [(pre, edge - 8.0, 1.0), (white, edge + 6.0, width), (second, at, 4.0)]
    return rise + sum(h * np.exp(-0.5 * ((ENERGY - c) / w) ** 2) for h, c, w in lines)


def test_features_are_where_they_were_put():
    found = features(ENERGY, curve(pre=0.2))
    assert found["edge"] == pytest.approx(10.0, abs=0.3)
    assert found["pre_edge"] == pytest.approx(0.2, abs=0.01)
    assert found["white_line"] == pytest.approx(1.3, abs=0.01)
    assert found["white_line_width"] == pytest.approx(2.355 * 3.0, abs=0.5)
    assert found["resonance"] == pytest.approx(40.0, abs=0.3)


def test_a_pre_edge_above_half_the_step_is_not_the_edge():
    assert features(ENERGY, curve(pre=0.9))["edge"] == pytest.approx(10.0, abs=0.3)


def test_what_a_curve_does_not_show_is_unknown():
    found = features(ENERGY, curve(white=0.0, second=0.0))
    assert np.isnan(found["white_line_width"])
    assert np.isnan(found["resonance"])
    assert all(np.isnan(one) for one in features(ENERGY, np.zeros(ENERGY.size)).values())


def sweep(name, unit, values, curves):
    return Sweep(name, unit, np.array(values), ENERGY, np.stack(curves))


MOVED = {"2": 0.0, "3": 2.0, "4": 4.0}
"""eV by valence that a simulation was moved by."""


def test_the_trend_that_is_known_is_called_so_and_measured():
    curves = [curve(edge=8.0 + 3.0 * v) for v in (2.0, 2.5, 3.0, 3.5)]
    found = judge_trend(sweep("oxidation_state", "e", [2.0, 2.5, 3.0, 3.5], curves), MOVED)
    assert found.verdict == "as known"
    assert found.changes["edge"] == pytest.approx(4.5, abs=0.1)
    assert "+4.5 eV" in found.sentence
    assert "+3.0 eV of it were put in before training" in found.sentence


def test_the_opposite_is_called_contrary():
    curves = [curve(edge=8.0 - v) for v in (2.0, 2.5, 3.0, 3.5)]
    found = judge_trend(sweep("oxidation_state", "e", [2.0, 2.5, 3.0, 3.5], curves))
    assert found.verdict == "contrary"
    assert "Contrary to the literature" in found.sentence


def test_no_change_is_no_trend():
    found = judge_trend(sweep("oxidation_state", "e", [2.0, 3.0, 4.0], [curve()] * 3))
    assert found.verdict == "unclear"


def test_half_of_a_rule_is_said_to_be_half():
    curves = [curve(pre=0.1, white=h) for h in (0.1, 0.2, 0.3)]
    found = judge_trend(sweep("coordination_number", "1", [4.0, 5.0, 6.0], curves))
    assert found.verdict == "in part"


def test_longer_bonds_should_draw_the_resonance_down():
    curves = [curve(at=at) for at in (42.0, 40.0, 38.0, 36.0)]
    found = judge_trend(sweep("mean_bond_length", "Å", [1.9, 2.0, 2.1, 2.2], curves))
    assert found.verdict == "as known"
    assert found.changes["resonance"] == pytest.approx(-6.0, abs=0.5)
    assert "Natoli" in found.sentence


def test_where_no_rule_is_known_the_change_is_only_measured():
    curves = [curve(white=h) for h in (0.1, 0.2, 0.3)]
    found = judge_trend(sweep("ligand_coordination", "1", [2.0, 3.0, 4.0], curves))
    assert found.verdict == "no rule"
    assert "the white line's height changes (+0.20 edge steps" in found.sentence
    assert "no simple rule" in found.sentence


def test_a_sweep_goes_from_the_5th_to_the_95th_percentile_of_training(steps):
    judge = steps.judge()
    valences = np.linspace(2.0, 4.0, 101)
    latents = judge.encode(steps.step(valences))
    (found,) = sweep_all(judge, latents)
    assert found.values[[0, -1]] == pytest.approx([2.1, 3.9], abs=0.02)
    assert judge_trend(found).changes["edge"] == pytest.approx(5.4, abs=0.1)


def test_a_decoder_that_turns_the_wrong_way_is_found_out(steps):
    latents = steps.judge().encode(steps.step(np.linspace(2.0, 4.0, 101)))
    mirrored = steps.judge(draws=lambda valence: steps.step(6.0 - valence))
    assert judge_trend(sweep_all(mirrored, latents)[0]).verdict == "contrary"
