"""What an interval is made of, and what is advised to narrow it."""

import re
from dataclasses import fields, replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from rankaae_stream.model.card import Level, MonotoneMap, Output
from rankaae_stream.model.intervals import Causes, advise, interval

AS_IT_IS = MonotoneMap(np.array([1.0]), np.array([1.0]))
LINE = MonotoneMap(np.array([-10.0, 10.0]), np.array([-10.0, 10.0]))
OUTPUT = Output("oxidation_state", "e", 0, (0.0, 8.0), (LINE,), 0.9, 0.1, 1.0, AS_IT_IS, "measured")
WIDER = replace(OUTPUT, calibration=MonotoneMap(np.array([1.0]), np.array([2.0])))
NARROWER = replace(OUTPUT, calibration=MonotoneMap(np.array([1.0]), np.array([0.5])))

halves = st.floats(0.0, 5.0)


def split(output, value, causes):
    """Half-width and shares of one output of one spectrum."""
    given = {field.name: np.array([[getattr(causes, field.name)]]) for field in fields(causes)}
    half, shares = interval((output,), np.array([[value]]), Causes(**given))
    return float(half[0, 0]), {name: float(share[0, 0]) for name, share in shares.items()}


def advised(output, causes, sigma):
    """The advice for one spectrum of valence 2."""
    (found,) = advise(output, np.array([2.0]), causes, np.array([sigma]))
    return found


@given(
    st.builds(
        Causes,
        ensemble=st.floats(1e-3, 5.0),
        axis=halves,
        step=halves,
        background=halves,
        noise=halves,
        blurred=halves,
        extent=halves,
    ),
    st.sampled_from([OUTPUT, WIDER, NARROWER]),
)
def test_shares_add_to_one_and_no_cause_is_lost(causes, output):
    half, found = split(output, 2.0, causes)
    assert sum(found.values()) == pytest.approx(1.0)
    assert all(share >= 0.0 for share in found.values())
    assert half >= max(causes.noise, causes.extent)


@pytest.mark.parametrize(
    ("cause", "name"),
    [
        ("axis", "axis"),
        ("step", "normalization"),
        ("background", "normalization"),
        ("noise", "noise"),
        ("blurred", "noise"),
        ("extent", "extent"),
    ],
)
def test_the_largest_cause_has_the_largest_share(cause, name):
    found = split(OUTPUT, 2.0, replace(Causes(ensemble=0.1), **{cause: 1.0}))[1]
    assert max(found, key=lambda key: found[key]) == name


def test_what_measured_compounds_ask_for_beyond_the_known_causes_is_theory():
    _, found = split(WIDER, 2.0, Causes(ensemble=0.3))
    assert found["theory"] == pytest.approx(0.75)
    assert split(NARROWER, 2.0, Causes(ensemble=0.3))[1]["theory"] == 0.0


def test_a_valence_that_few_compounds_show_is_uncertain_by_theory():
    few = replace(OUTPUT, levels=(Level(4.0, 1),), unsupported_half=0.9)
    assert split(few, 4.0, Causes(ensemble=0.1))[1]["theory"] > 0.9


@pytest.mark.parametrize(
    ("cause", "sentence"),
    [
        ("axis", "a reference foil in the beam would narrow it from ±1.00 to ±0.16"),
        ("noise", "four times the counting time would narrow it from ±1.00 to ±0.51"),
        ("extent", r"a scan that goes on to \+150 eV would narrow it from ±1.00 to ±0.10"),
        ("background", "a longer pre-edge and post-edge would narrow it from ±1.00 to ±0.10"),
    ],
)
def test_the_advice_names_what_helps_most_and_by_how_much(cause, sentence):
    found = advised(OUTPUT, replace(Causes(ensemble=0.1), **{cause: 1.0}), sigma=0.8)
    assert re.fullmatch(sentence, found), found


def test_where_theory_rules_known_compounds_are_advised_and_no_number_is_promised():
    found = advised(WIDER, Causes(ensemble=0.3, axis=0.01), sigma=0.1)
    assert "rankaae-stream calibrate" in found
    assert "±" not in found
