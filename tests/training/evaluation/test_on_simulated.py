"""Figures on made-up data whose answer is known."""

from dataclasses import replace

import numpy as np
import pytest

from rankaae_stream.model.card import MonotoneMap
from training.descriptors import DESCRIPTORS
from training.evaluation.on_simulated import (
    classes,
    confusion,
    covered,
    r2_score,
    reconstruction_error,
    score_simulated,
    style_pairs,
    weighted_f1,
)


def test_r2_is_one_for_the_truth_zero_for_its_mean_and_negative_for_worse():
    truth = np.array([1.0, 2.0, 3.0, np.nan])
    assert r2_score(truth, truth) == 1.0
    assert r2_score(np.full(4, 2.0), truth) == 0.0
    assert r2_score(np.array([3.0, 2.0, 1.0, 9.0]), truth) == pytest.approx(-3.0)
    assert np.isnan(r2_score(truth, np.full(4, 2.0)))


def test_intervals_are_cut_where_the_descriptor_ends():
    values, halves = np.array([0.1, 5.0, 7.9, 5.0]), np.full(4, 0.5)
    truth = np.array([0.0, 5.6, 7.5, np.nan])
    held, width = covered(values, halves, truth, (0.0, 8.0))
    assert held == pytest.approx(2 / 3)
    assert width == pytest.approx(0.6)  # widths 0.6, 1.0 and 0.6


def test_an_interval_that_just_reaches_the_truth_holds_it():
    assert covered(np.array([5.9]), np.array([0.1]), np.array([6.0]), (0.0, 12.0))[0] == 1.0


def test_coordination_beyond_four_to_six_joins_its_neighbour():
    found = classes(np.array([2.0, 4.0, 5.0, 6.0, 8.0, 12.0]))
    assert found.tolist() == [0, 0, 1, 2, 2, 2]


def test_weighted_f1_is_the_mean_over_classes_as_they_are_frequent():
    truth, found = np.array([0, 0, 0, 1, 2, 2]), np.array([0, 0, 1, 1, 2, 0])
    matrix = confusion(truth, found)
    assert matrix.tolist() == [[2, 1, 0], [0, 1, 0], [1, 0, 1]]
    each = []
    for one in range(3):
        right = np.sum((truth == one) & (found == one))
        precision, recall = right / np.sum(found == one), right / np.sum(truth == one)
        each.append(2 * precision * recall / (precision + recall))
    assert weighted_f1(matrix) == pytest.approx((3 * each[0] + each[1] + 2 * each[2]) / 6)


def test_tied_dimensions_that_are_their_descriptors_hang_together_as_these_do():
    rng = np.random.default_rng(0)
    labels = rng.normal(size=(50, 3))
    labels[:, 1] += labels[:, 0]
    labels[5, 2] = np.nan
    latents = np.stack([np.nan_to_num(labels), -np.nan_to_num(labels)])
    pairs = style_pairs(latents, labels, ["a", "b", "c"])
    assert [(one.first, one.second) for one in pairs] == [("a", "b"), ("a", "c"), ("b", "c")]
    for one in pairs:
        assert one.latents == pytest.approx(one.descriptors)
    assert pairs[0].latents > 0.5


def test_reconstruction_is_judged_where_simulation_exists():
    flat, output = np.zeros((2, 4)), np.array([[9.0, 9.0, 1.0, 3.0], [0.0, 2.0, 2.0, 2.0]])
    judged = np.array([[False, False, True, True], [False, True, True, True]])
    assert reconstruction_error(output, flat, judged).tolist() == [2.0, 2.0]


def test_a_judge_that_reads_every_step_is_right_about_all_of_them(steps):
    simulated = steps.simulated()
    rows = np.arange(30)
    found = score_simulated(steps.judge(), steps.config, simulated, rows)
    state = found.descriptors["oxidation_state"]
    assert state.spectra == found.spectra == 30
    assert state.spearman_score > 0.99
    assert state.r2_score > 0.99
    assert state.mean_absolute_error_loss < 0.05
    assert state.coverage == 1.0
    assert state.width == pytest.approx(0.6)
    assert found.reconstruction_mean_absolute_error_loss < 0.01
    assert found.free_correlation_loss == 0.0
    assert found.tightest is None
    assert found.confusion is None


def test_intervals_as_measured_miss_where_clean_ones_hold(steps):
    """Noise and normalisation errors move an area, and so what this judge reads."""
    judge, simulated = steps.judge(half=0.06), steps.simulated()
    found = score_simulated(judge, steps.config, simulated, np.arange(90))
    state = found.descriptors["oxidation_state"]
    assert state.coverage == 1.0
    assert state.augmented_coverage < 0.6


def test_sites_of_an_ambiguous_shell_are_scored_apart(steps):
    simulated = steps.simulated(compounds=20)
    column = list(DESCRIPTORS).index("coordination_number")
    simulated.labels[:, column] = np.where(simulated.labels[:, 0] == 2.0, 4.0, 6.0)
    doubtful = simulated.ambiguous.copy()
    doubtful[:6] = True
    simulated.labels[:3, column] = 6.0  # a label that no spectrum follows
    judge = steps.judge()
    valences = MonotoneMap(np.array([10.0, 13.0]), np.array([4.0, 6.0]))
    shell = replace(judge.card.outputs[0], name="coordination_number", maps=(valences,) * 2)
    judge.card = replace(judge.card, outputs=(shell,))
    network = steps.config.network.model_copy(update={"descriptors": ("coordination_number",)})
    config = steps.config.model_copy(update={"network": network})
    rows = np.arange(60)
    found = score_simulated(judge, config, replace(simulated, ambiguous=doubtful), rows)
    assert found.ambiguous == 6
    assert found.clear_f1_score == 1.0
    assert found.ambiguous_f1_score < found.f1_score < 1.0
    assert np.isnan(score_simulated(judge, config, simulated, rows).ambiguous_f1_score)
