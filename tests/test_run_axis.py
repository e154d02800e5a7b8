"""The axis of a run: what the foil's shift does to a report, and what is said of it."""

import dataclasses
import json

import numpy as np
import pytest
from typer.testing import CliRunner

from rankaae_stream.analysis import Analysis
from rankaae_stream.commands.cli import app
from rankaae_stream.errors import ConfigurationError
from rankaae_stream.profile import load_profile
from rankaae_stream.report import FoilShift, flatten, to_dict
from rankaae_stream.spectra.axis import AxisRules
from rankaae_stream.spectrum import Edge, Origin

IRON = Edge("Fe", "K", 7112.0)


@pytest.fixture
def answer(analysis, hematite):
    """Fe2O3 by other rules, with a reference of one's own."""

    def process(rules=None, reference=None):
        energy, i0, it, ir = hematite
        under = Analysis(analysis.models, analysis.foils, "test", rules)
        foil = -np.log(ir / it) if reference is None else reference
        return under.process_columns(energy, np.log(i0 / it), IRON, Origin("scan"), (energy, foil))

    return process


def flagged(report):
    return {flag.name: flag for flag in report.flags}


def width(report):
    state = report.estimate("oxidation_state")
    return state.high - state.low


def test_a_report_says_all_of_its_shift(answer):
    shifts = answer().shifts
    assert shifts.calibration == shifts.foil.value == pytest.approx(0.38, abs=0.05)
    assert (shifts.calibration_run, shifts.calibration_age) == ("scan", 0.0)
    assert shifts.uncertainty == shifts.foil.uncertainty == pytest.approx(0.1, abs=0.05)
    assert shifts.foil.misfit < 0.01
    assert shifts.foil.library == "foils/Fe.xdi"
    assert abs(shifts.foil.moved) < 0.25


def test_a_large_shift_is_flagged_with_the_limit(answer):
    flag = flagged(answer())["energy_shift"]
    assert (flag.severity, flag.unit) == ("info", "eV")
    assert flag.value == pytest.approx(0.38, abs=0.05)
    assert "beyond 0.1 eV; it was added" in flag.message
    assert "energy_shift" not in flagged(answer(AxisRules(limit=1.0)))


def test_a_shift_that_is_only_reported_leaves_the_axis_and_its_uncertainty(answer):
    applied, reported = answer(), answer(AxisRules(apply=False))
    assert reported.shifts.calibration == 0.0
    assert reported.shifts.foil == applied.shifts.foil
    assert reported.shifts.calibration_run == "scan"
    assert reported.shifts.uncertainty == 0.7
    assert flagged(reported)["energy_shift"].severity == "warning"
    assert "reported only" in flagged(reported)["energy_shift"].message
    assert width(reported) > width(applied)
    near = answer(AxisRules(apply=False, limit=1.0))
    assert flagged(near)["energy_shift"].severity == "info", "never silent where it is not applied"


def test_a_reference_that_is_no_foil_is_flagged_with_the_reason(answer, hematite):
    energy, i0, it, _ = hematite
    oxide = flagged(answer(reference=np.log(i0 / it)))["no_foil"]
    assert "not Fe metal" in oxide.message
    assert oxide.value == 0.7
    noise = np.random.default_rng(1).normal(0, 0.3, energy.size)
    assert "too noisy" in flagged(answer(reference=_foil(hematite) + noise))["no_foil"].message
    dark = flagged(answer(reference=np.full(energy.size, np.nan)))["no_foil"]
    assert "usable energies" in dark.message


def test_the_sigma_of_an_axis_without_a_foil_is_the_profiles(answer, hematite):
    none = np.full(hematite[0].size, np.nan)
    narrow, wide = answer(AxisRules(sigma=0.3), none), answer(AxisRules(sigma=1.5), none)
    assert (narrow.shifts.uncertainty, wide.shifts.uncertainty) == (0.3, 1.5)
    assert width(narrow) < width(wide)


def test_a_refusal_after_the_calibration_says_its_shift_too(analysis, hematite):
    energy, i0, it, ir = (
        column[(abs(hematite[0] - 7105) < 30) & (abs(hematite[0] - 7113) > 4)]
        for column in hematite
    )
    report = analysis.process_columns(
        energy, np.log(i0 / it), IRON, Origin("short"), (energy, -np.log(ir / it))
    )
    assert report.refusal.name == "coverage"
    assert report.shifts.calibration == pytest.approx(0.38, abs=0.05)


def test_columns_of_an_event_hold_the_shift_and_none_is_nan(answer, hematite):
    row = flatten(answer(), [])
    assert row["foil_shift"] == row["shift_calibration"] == pytest.approx(0.38, abs=0.05)
    assert (row["shift_run"], row["shift_age"]) == ("scan", 0.0)
    assert row["shift_uncertainty"] == row["foil_uncertainty"]
    row = flatten(answer(reference=np.full(hematite[0].size, np.nan)), [])
    assert np.isnan([row["foil_shift"], row["foil_uncertainty"], row["foil_misfit"]]).all()
    assert (row["shift_uncertainty"], row["shift_run"]) == (0.7, "")


def test_a_shift_is_plain_data_by_the_schema(answer, root):
    jsonschema = pytest.importorskip("jsonschema")
    schema = json.loads((root / "rankaae_stream/schemas/report-1.json").read_text())
    for report in (answer(), answer(AxisRules(apply=False))):
        jsonschema.validate(json.loads(json.dumps(to_dict(report))), schema)
    known = list(
        schema["properties"]["energy_shift"]["properties"]["foil"]["oneOf"][1]["properties"]
    )
    assert known == [field.name for field in dataclasses.fields(FoilShift)]


# ---- the profile ---------------------------------------------------------------------


def test_settings_of_the_axis_are_the_profiles():
    rules = load_profile("sim").energy.build()
    assert rules == AxisRules()
    given = {"calibration": "report", "axis_sigma": 0.5, "foil_max_age": 0, "shift_limit": 0.3}
    assert load_profile("sim", energy=given).energy.build() == AxisRules(False, 0.5, 0.0, 0.3)
    for wrong in ({"calibration": "ignore"}, {"axis_sigma": 0}, {"foil_max_age": -1}, {"sigma": 1}):
        with pytest.raises(ConfigurationError, match=f"energy.{next(iter(wrong))}"):
            load_profile("sim", energy=wrong)


def test_only_settings_that_change_a_number_change_a_results_uid():
    usual = load_profile("sim").analysis_hash()
    assert load_profile("sim", energy={"shift_limit": 0.3}).analysis_hash() == usual
    for changed in ({"calibration": "report"}, {"axis_sigma": 0.5}, {"foil_max_age": 1.0}):
        assert load_profile("sim", energy=changed).analysis_hash() != usual


def test_verify_lists_every_foil_and_its_move(root, monkeypatch):
    monkeypatch.setattr("rankaae_stream.commands.models.shipped_models", dict)
    said = CliRunner().invoke(app, ["models", "verify"]).stdout
    for path in (root / "profiles/spectra/foils").glob("*.xdi"):
        (line,) = [line for line in said.splitlines() if line.startswith(f"foils/{path.name}:")]
        assert "moved by" in line
        assert "first inflection" in line


def _foil(hematite):
    _, _, it, ir = hematite
    return -np.log(ir / it)
