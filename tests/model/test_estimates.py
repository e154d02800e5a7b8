"""Estimates and their intervals, from latents and a card."""

from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest

from rankaae_stream.model import estimates
from rankaae_stream.model.card import Level, MonotoneMap, Output
from rankaae_stream.model.estimates import describe_many
from rankaae_stream.model.intervals import little_shown

LINE = MonotoneMap(np.array([-10.0, 10.0]), np.array([-10.0, 10.0]))
"""The latent is the descriptor."""


AS_IT_IS = MonotoneMap(np.array([1.0]), np.array([1.0]))


def card(constant=0.3, per_spread=2.0, limits=(-20.0, 20.0), levels=(), calibration=AS_IT_IS):
    output = Output(
        name="oxidation_state",
        unit="e",
        latent=0,
        range=limits,
        maps=(LINE, LINE),
        level=0.9,
        error_constant=constant,
        error_per_spread=per_spread,
        calibration=calibration,
        evidence="measured",
        levels=levels,
        unsupported_half=0.8,
    )
    return SimpleNamespace(outputs=(output,))


def latents(own, lower, higher, *more):
    """Two members that agree, one latent; an edge step that is certain."""
    rows = (own, lower, higher, own, own, *more)
    return np.array([rows, rows], dtype=float)[:, None, :, None]


def describe(rows, card, sigma=0.0):
    (found,), _ = estimates.describe(rows, card, np.array([sigma]))
    return found


def test_members_that_agree_leave_the_constant():
    (found,) = describe(latents(2.0, 2.0, 2.0), card())
    assert (found.value, found.high - found.value) == pytest.approx((2.0, 0.3))


def test_members_that_differ_widen_the_interval():
    apart = np.array([[[1.0]], [[3.0]]])
    values, halves = describe_many(apart, card())
    assert values[0, 0] == pytest.approx(2.0)
    assert halves[0, 0] == pytest.approx(0.3 + 2.0 * 1.0)


def test_the_larger_effect_of_a_nuisance_is_added_in_quadrature():
    (found,) = describe(latents(2.0, 1.9, 2.4), card())
    assert found.high - 2.0 == pytest.approx(np.hypot(0.3, 1.6449 * 0.4), abs=1e-3)


def test_an_interval_ends_where_a_descriptor_can_be_nothing():
    (found,) = describe(latents(0.1, 0.1, 0.1), card(limits=(0.0, 8.0)))
    assert found.low == 0.0
    assert found.high == pytest.approx(0.4)


def test_near_a_valence_of_few_measured_compounds_the_interval_is_wide():
    known = (Level(2.0, 3), Level(3.0, 2))
    (well,) = describe(latents(2.4, 2.4, 2.4), card(levels=known))
    (little,) = describe(latents(2.6, 2.6, 2.6), card(levels=known))
    assert (well.high - 2.4, little.high - 2.6) == pytest.approx((0.3, 0.8))
    assert little_shown(card(levels=known).outputs[0], 2.6) == known[1]
    assert little_shown(card(levels=known).outputs[0], 2.4) is None
    assert little_shown(card().outputs[0], 2.0) is None


def test_the_whole_half_width_is_calibrated():
    half = MonotoneMap(np.array([0.3, 0.6]), np.array([0.1, 0.6]))
    (flat,) = describe(latents(2.0, 2.0, 2.0), card(calibration=half))
    (steep,) = describe(latents(2.0, 2.5, 2.0), card(calibration=half))
    assert flat.high - 2.0 == pytest.approx(0.1)
    assert steep.high - 2.0 == pytest.approx(np.hypot(0.3, 1.6449 * 0.5), abs=1e-3)


def test_on_a_flat_map_the_axis_counts_as_it_does_for_a_mixture():
    found = card()
    mixed = SimpleNamespace(outputs=(replace(found.outputs[0], per_ev=0.25),))
    (blind,) = describe(latents(2.0, 2.0, 2.0), found, sigma=0.8)
    (seeing,) = describe(latents(2.0, 2.0, 2.0), mixed, sigma=0.8)
    assert blind.high - 2.0 == pytest.approx(0.3)
    assert seeing.high - 2.0 == pytest.approx(np.hypot(0.3, 1.6449 * 0.2), abs=1e-3)
