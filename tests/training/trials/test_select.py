"""Which trials are kept."""

from types import SimpleNamespace

import numpy as np
import pytest

from rankaae_stream.errors import ConfigurationError
from training.network.train import Trial
from training.trials.select import (
    TrialScore,
    free_correlation,
    rank_correlation,
    score_trial,
    select,
    tied_excess,
)


def score(
    seed: int,
    correlations: tuple[float, ...],
    free: float = 0.3,
    loss: float = 0.1,
    tied: float = 0.2,
    mixtures: float = 0.04,
) -> TrialScore:
    return TrialScore(seed, correlations, free, tied, loss, mixtures)


def test_better_ranks_win():
    scores = [score(0, (0.5, 0.5)), score(1, (0.9, 0.8)), score(2, (0.7, 0.6))]
    assert select(scores, 2) == [1, 2]


def test_of_equal_ranks_the_less_entangled_wins():
    assert select([score(0, (0.9,), free=0.8), score(1, (0.9,), free=0.2)], 1) == [1]
    assert select([score(0, (0.9,), tied=0.8), score(1, (0.9,), tied=0.2)], 1) == [1]


def test_entanglement_of_tied_latents_counts_beside_a_larger_free_one():
    scores = [score(0, (0.9,), free=0.6, tied=0.5), score(1, (0.9,), free=0.6, tied=0.1)]
    assert select(scores, 1) == [1]


def test_of_equal_ranks_the_better_curves_win():
    assert select([score(0, (0.9,), loss=0.13), score(1, (0.9,), loss=0.08)], 1) == [1]


def test_of_equal_ranks_the_one_that_reads_mixtures_better_wins():
    scores = [score(0, (0.9,), mixtures=0.2), score(1, (0.9,), mixtures=0.1)]
    assert select(scores, 1) == [1]


def test_a_trial_that_has_lost_its_curves_comes_last():
    scores = [score(0, (0.95,), loss=30.0), score(1, (0.7,)), score(2, (0.9,))]
    assert select(scores, 2) == [2, 1]
    assert select(scores, 3) == [2, 1, 0]


def test_one_trial_alone_is_kept():
    assert select([score(7, (0.1,))], 1) == [0]


def test_a_trial_that_diverged_is_left_out_and_spoils_no_other():
    scores = [score(0, (0.5,)), score(1, (0.0,), loss=np.nan), score(2, (0.9,))]
    assert select(scores, 2) == [2, 0]
    with pytest.raises(ConfigurationError, match=r"2 of 3 trials converged, keep = 3"):
        select(scores, 3)


def test_rank_correlation_ignores_unknown_labels():
    a, b = np.array([1.0, 2.0, 3.0, 4.0]), np.array([10.0, 20.0, np.nan, 30.0])
    assert rank_correlation(a, b) == pytest.approx(1.0)


def test_a_constant_correlates_with_nothing():
    assert rank_correlation(np.ones(5), np.arange(5.0)) == 0.0
    assert rank_correlation(np.arange(2.0), np.arange(2.0)) == 0.0


@pytest.fixture
def correlated():
    """Two descriptors that hang together, rho .5 or so, and one on its own; (200, 3)."""
    rng = np.random.default_rng(0)
    labels = rng.normal(size=(200, 3))
    labels[:, 1] += 0.6 * labels[:, 0]
    return labels


def test_latents_may_hang_together_as_their_descriptors_do(correlated):
    assert rank_correlation(correlated[:, 0], correlated[:, 1]) > 0.4
    assert tied_excess(correlated, correlated) == 0.0
    assert tied_excess(-correlated, correlated) == 0.0  # the sign of a pair is no entanglement


def test_only_what_exceeds_the_descriptors_own_correlation_counts(correlated):
    latent = correlated.copy()
    latent[:, 1] += 2.0 * latent[:, 0]
    own = rank_correlation(correlated[:, 0], correlated[:, 1])
    expected = rank_correlation(latent[:, 0], latent[:, 1]) - own
    assert expected > 0.2
    assert tied_excess(latent, correlated) == pytest.approx(expected)
    # A free dimension behind the tied ones is none of theirs.
    assert tied_excess(np.column_stack([latent, latent[:, 0]]), correlated) == pytest.approx(
        expected
    )


def test_a_pair_is_judged_where_both_its_labels_are_known(correlated):
    latent, labels = correlated.copy(), correlated.copy()
    labels[100:, 2] = np.nan
    latent[100:, 2] = latent[100:, 0]  # entangled only where nobody can say by how much
    assert tied_excess(latent, labels) == 0.0
    labels[:, 2] = np.nan
    assert tied_excess(latent, labels) == 0.0


def test_every_pair_with_a_free_dimension_counts_in_full():
    rng = np.random.default_rng(1)
    latent = rng.normal(size=(200, 5))  # three tied, two free
    latent[:, 1] = latent[:, 0]
    assert free_correlation(latent, 3) < 0.3  # tied pairs are judged elsewhere
    tied_and_free, two_free = latent.copy(), latent.copy()
    tied_and_free[:, 4] = -tied_and_free[:, 2]
    two_free[:, 4] = two_free[:, 3]
    assert free_correlation(tied_and_free, 3) == pytest.approx(1.0)
    assert free_correlation(two_free, 3) == pytest.approx(1.0)
    assert free_correlation(latent[:, :3], 3) == 0.0


def test_a_trial_is_scored_by_what_its_network_does(correlated):
    flat = np.column_stack([correlated, np.ones(200)])
    model = SimpleNamespace(encoder=lambda x: -x, decoder=lambda z: -z + 0.5)
    judged = np.ones(flat.shape, dtype=bool)
    found = score_trial(Trial(4, model), flat, flat, judged, correlated, 0.1)  # pyright: ignore
    assert found.seed == 4
    assert found.spearman_scores == pytest.approx((-1.0, -1.0, -1.0))
    assert found.tied_excess_loss == 0.0
    assert found.free_correlation_loss == 0.0  # the free one is constant
    assert found.reconstruction_loss == pytest.approx(0.5, abs=3e-3)  # few latents are cut
    judged[:, 1:] = False
    target = flat.copy()
    target[:, 1:] = 1e6  # not simulated there
    again = score_trial(Trial(4, model), flat, target, judged, correlated, 0.1)  # pyright: ignore
    assert again.reconstruction_loss == pytest.approx(0.5, abs=3e-3)
    assert again.mixture_loss == 0.1
