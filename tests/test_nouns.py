"""Spectra, reports and the small stations around them."""

import json

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from rankaae_stream.errors import Refusal, Refused
from rankaae_stream.report import Estimate, Flag, Report, flatten, summarize, to_dict
from rankaae_stream.spectra.regrid import perturbed, regrid
from rankaae_stream.spectrum import Edge, EnergyGrid, Spectrum

IRON = Edge("Fe", "K", 7112.0)
STATE = Estimate("oxidation_state", 2.9, 2.6, 3.1, 0.9, "e")


def report(**changes):
    base = {
        "source": "raw",
        "element": "Fe",
        "edge": IRON,
        "channel": "transmission",
        "sweep": 0,
        "points": 412,
        "energy_range": (6960.1, 7203.0),
        "complete": True,
        "estimates": (STATE,),
    }
    return Report(**{**base, **changes})


def test_a_spectrum_increases_strictly():
    with pytest.raises(ValueError, match="increase strictly"):
        Spectrum(np.array([1.0, 1.0]), np.zeros(2), IRON)
    with pytest.raises(ValueError, match="equal length"):
        Spectrum(np.array([1.0, 2.0]), np.zeros(3), IRON)


@given(st.lists(st.floats(-2, 2), min_size=256, max_size=256))
def test_regridding_onto_the_same_grid_is_the_identity(values):
    grid = EnergyGrid(-12.0, 60.0, 256)
    energy = IRON.e0 + grid.relative()
    np.testing.assert_array_equal(regrid(energy, np.array(values), grid, IRON.e0), values)


def test_perturbed_copies_are_moved_both_ways_and_scaled_both_ways():
    grid = EnergyGrid(-10.0, 10.0, 41)
    energy = IRON.e0 + np.linspace(-20.0, 20.0, 161)
    copies = perturbed(energy, energy - IRON.e0, grid, IRON.e0, sigma=0.5, step_error=0.1)
    flat = regrid(energy, energy - IRON.e0, grid, IRON.e0)
    wanted = [flat, flat - 0.5, flat + 0.5, 0.9 * flat, 1.1 * flat]
    np.testing.assert_allclose(copies, wanted, atol=1e-9)


def test_regridding_never_extrapolates():
    grid = EnergyGrid(-12.0, 60.0, 256)
    for energy in (np.linspace(7101, 7200, 99), np.linspace(7000, 7171, 99)):
        with pytest.raises(Refused, match=r"the model needs 7100\.0-7172\.0 eV"):
            regrid(energy, energy, grid, IRON.e0)


def test_a_report_carries_estimates_or_a_refusal():
    with pytest.raises(ValueError, match="either"):
        report(estimates=())
    with pytest.raises(ValueError, match="either"):
        report(refusal=Refusal("coverage", "too short"))


def test_plain_data_are_json_with_the_documented_keys():
    plain = json.loads(json.dumps(to_dict(report(flags=(Flag("a", "info", None, "", "b"),)))))
    assert plain["schema"] == 1
    assert plain["edge"] == "K"
    assert plain["energy_range"] == [6960.1, 7203.0]
    assert plain["estimates"][0] == {
        "name": "oxidation_state",
        "value": 2.9,
        "low": 2.6,
        "high": 3.1,
        "level": 0.9,
        "unit": "e",
        "shares": None,
    }
    assert plain["flags"][0]["name"] == "a"
    assert plain["refusal"] is None


def test_the_summary_is_keyed_by_name_so_that_a_query_reaches_it():
    assert summarize(report())["estimates"]["oxidation_state"]["value"] == 2.9


def test_an_answer_and_a_refusal_have_the_same_columns():
    answered = flatten(report(), ["oxidation_state"])
    refused = flatten(
        report(estimates=(), refusal=Refusal("coverage", "too short")), ["oxidation_state"]
    )
    assert answered.keys() == refused.keys()
    assert {k: type(v) for k, v in answered.items()} == {k: type(v) for k, v in refused.items()}
    assert np.isnan(refused["oxidation_state_low"])
    assert refused["refusal"] == "coverage"
    assert answered["refusal"] == ""
