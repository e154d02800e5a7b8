"""Intervals and weights on made-up evidence whose answer is known."""

import numpy as np
import pytest

from training.measured.intervals import conformal_error, domain_start
from training.measured.maps import valence_weights
from training.simulated.dataset import Simulated


def simulated(valence, native) -> Simulated:
    valence = np.array(valence, dtype=float)
    labels = np.full((valence.size, 7), np.nan)
    labels[:, 0] = valence
    empty = np.empty(0)
    return Simulated(
        energy=empty,
        mu=empty,
        first=np.linspace(-1.0, 3.0, valence.size),
        last=empty,
        labels=labels,
        group=np.array(["x"] * valence.size),
        sources=(),
        native=np.array(native, dtype=bool),
        own_host=np.array(native, dtype=bool),
    )


def test_intervals_hold_at_their_level_where_members_tell_hard_from_easy():
    rng = np.random.default_rng(0)
    held, halves = [], []
    for _ in range(50):
        spread = rng.choice([0.1, 1.0], size=600)
        residual = rng.normal(size=600) * spread
        error = conformal_error(residual[:300], spread[:300], 0.9)
        halves.append(error.half(np.array([0.1, 1.0])))
        held.append(np.abs(residual[300:]) <= error.half(spread[300:]))
    assert np.mean(held) == pytest.approx(0.9, abs=0.015)
    easy, hard = np.mean(halves, axis=0)
    assert hard > 5 * easy


def test_a_spread_that_says_nothing_leaves_a_constant():
    rng = np.random.default_rng(1)
    error = conformal_error(rng.normal(size=4000), rng.uniform(size=4000), 0.9)
    assert error.half(np.array([0.5]))[0] == pytest.approx(1.645, abs=0.1)
    assert error.per_spread < 0.5


def test_unknown_truths_take_no_part():
    residual = np.array([0.1, -0.2, np.nan, 0.15] * 20)
    spread = np.array([0.1, 0.1, 9.0, 0.1] * 20)
    assert conformal_error(residual, spread, 0.9).half(np.array([0.1]))[0] <= 0.21


def test_valences_without_a_native_site_weigh_half():
    one = simulated([2] * 10 + [4] * 10 + [7] * 10, [True] * 20 + [False] * 10)
    weights = valence_weights(one, np.arange(30), np.array([2.0, 3.0, 4.0, 5.5, 7.0, np.nan]))
    np.testing.assert_allclose(weights[:5], [1.0, 1.0, 1.0, 0.75, 0.5])
    assert np.isnan(weights[5])


def test_without_any_native_site_all_rows_weigh_the_same():
    one = simulated([2] * 5 + [3] * 15, [False] * 20)
    np.testing.assert_allclose(valence_weights(one, np.arange(20), np.array([2.0, 2.5, 3.0])), 1.0)


def test_native_sites_of_other_rows_do_not_count():
    one = simulated([2] * 10 + [4] * 10, [True] * 5 + [False] * 5 + [True] * 10)
    weights = valence_weights(one, np.arange(5, 20), np.array([2.0, 4.0]))
    np.testing.assert_allclose(weights, [0.5, 1.0])


def test_the_domain_starts_where_most_was_simulated():
    assert domain_start(simulated([2] * 1000, [True] * 1000), np.arange(1000)) == 1.0
