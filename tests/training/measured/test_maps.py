"""Maps from latents to descriptors."""

import itertools

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.optimize import isotonic_regression

from rankaae_stream.model.maps import apply_map
from training.measured import maps

values = st.lists(st.integers(-4, 4).map(float), min_size=2, max_size=40)


@given(values, st.randoms(use_true_random=False))
def test_pooled_levels_are_those_of_scipy(value, random):
    y = np.array(value)
    weight = np.array([random.choice([0.5, 1.0, 3.0]) for _ in value])
    x = np.arange(y.size, dtype=float)
    fitted = maps.fit_monotone(x, y, weight)
    wanted = isotonic_regression(y, weights=weight)
    # One knot a block, at the block's mean latent with its level.
    edges = wanted.blocks
    if edges.size > 2:
        blocks = list(itertools.pairwise(edges))
        levels = [wanted.x[a] for a, _ in blocks]
        centres = [np.average(x[a:b], weights=weight[a:b]) for a, b in blocks]
        np.testing.assert_allclose(fitted.value, levels, atol=1e-12)
        np.testing.assert_allclose(fitted.latent, centres, atol=1e-12)
    else:
        np.testing.assert_allclose(fitted.value, wanted.x[0], atol=1e-12)


@given(st.lists(st.tuples(st.floats(-5, 5), st.floats(0, 8)), min_size=2, max_size=60))
def test_knots_always_increase_and_the_order_of_rows_does_not_matter(pairs):
    latent, value = np.array(pairs).T
    if np.unique(latent).size < 2:
        return
    fitted = maps.fit_monotone(latent, value)
    assert (np.diff(fitted.latent) > 0).all()
    assert (np.diff(fitted.value) >= 0).all()
    turned = maps.fit_monotone(latent[::-1], value[::-1])
    np.testing.assert_allclose(turned.value, fitted.value, atol=1e-9)


def test_separated_valences_are_joined_by_straight_lines():
    latent = np.array([-2.1, -1.9, 0.9, 1.1])
    fitted = maps.fit_monotone(latent, np.array([2.0, 2.0, 3.0, 3.0]))
    found = apply_map(fitted, np.array([-5.0, -2.0, -0.5, 1.0, 5.0]))
    np.testing.assert_allclose(found, [2.0, 2.0, 2.5, 3.0, 3.0])


def test_unknown_values_are_left_out():
    latent = np.array([0.0, 1.0, 0.5])
    fitted = maps.fit_monotone(latent, np.array([2.0, 3.0, np.nan]))
    np.testing.assert_allclose(fitted.latent, [0.0, 1.0])


def test_a_map_of_one_latent_is_refused():
    with pytest.raises(ValueError, match="two different latents, got 1"):
        maps.fit_monotone(np.zeros(3), np.arange(3.0))
