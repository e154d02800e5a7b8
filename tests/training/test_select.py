"""Which trials are kept."""

import numpy as np
import pytest

from training.select import TrialScore, rank_correlation, select


def score(
    seed: int, correlations: tuple[float, ...], entanglement: float = 0.3, loss: float = 0.1
) -> TrialScore:
    return TrialScore(seed, correlations, entanglement, loss)


def test_better_ranks_win():
    scores = [score(0, (0.5, 0.5)), score(1, (0.9, 0.8)), score(2, (0.7, 0.6))]
    assert select(scores, 2) == [1, 2]


def test_of_equal_ranks_the_less_entangled_wins():
    scores = [score(0, (0.9,), 0.8), score(1, (0.9,), 0.2)]
    assert select(scores, 1) == [1]


def test_of_equal_ranks_the_better_curves_win():
    assert select([score(0, (0.9,), loss=0.13), score(1, (0.9,), loss=0.08)], 1) == [1]


def test_one_trial_alone_is_kept():
    assert select([score(7, (0.1,))], 1) == [0]


def test_rank_correlation_ignores_unknown_labels():
    a, b = np.array([1.0, 2.0, 3.0, 4.0]), np.array([10.0, 20.0, np.nan, 30.0])
    assert rank_correlation(a, b) == pytest.approx(1.0)


def test_a_constant_correlates_with_nothing():
    assert rank_correlation(np.ones(5), np.arange(5.0)) == 0.0
    assert rank_correlation(np.arange(2.0), np.arange(2.0)) == 0.0
