"""What is said of standards that are few, foreign or not shipped."""

import tomllib
from dataclasses import replace

import numpy as np
import pytest

from rankaae_stream.errors import ConfigurationError
from rankaae_stream.report import FoilShift
from rankaae_stream.spectrum import AXIS_UNCERTAINTY, Edge, Spectrum
from training import config
from training.measured import constants, find_constants, judge_standards
from training.measured.constants import Constant
from training.measured.intervals import Widening
from training.measured.shift import SCATTER, ShiftFit, ShiftScan
from training.measured.standards import Standard

FE = config.load(config.Path(config.__file__).resolve().parent / "configs" / "tiny.toml")
AS_SIMULATED = Widening(1.0, 0.0)
COO = Constant("Co", "CoO", 2.0, 1.5, 1.3, 2.1, "somewhere", "python -m training constants ...")


def standard(compound, session="", foil=""):
    scan = Spectrum(np.array([7000.0, 7001.0]), np.zeros(2), Edge("Fe", "K", 7112.0))
    shift = FoilShift(0.0, 0.1, 0.01, "", 0.0) if foil else None
    return Standard("f", compound, "standard", 2.0, 6.0, scan, foil, shift, session, np.empty(0))


def compound(truth, value, error=0.1):
    empty = np.empty(0)
    return judge_standards.Compound(
        "x", np.array([truth]), np.array([value]), 0.0, 0.0, np.array([0.2]), empty,
        np.array([error]), empty, 1.0,
    )  # fmt: skip


def test_files_of_one_session_err_together_and_sessions_apart():
    one = [standard("a", "s"), standard("b", "s")]
    assert judge_standards._axis_uncertainty(one) == pytest.approx(AXIS_UNCERTAINTY)
    two = [standard("a", "s"), standard("b", "t")]
    assert judge_standards._axis_uncertainty(two) == pytest.approx(AXIS_UNCERTAINTY / np.sqrt(2))
    half = [standard("a", foil="channel"), standard("b", "t")]
    assert judge_standards._axis_uncertainty(half) == pytest.approx(AXIS_UNCERTAINTY / 2)


def test_many_files_of_one_compound_weigh_as_one():
    used = [standard("a", "s"), standard("b", foil="channel"), standard("b", foil="channel")]
    assert judge_standards._axis_uncertainty(used) == pytest.approx(AXIS_UNCERTAINTY / 2)


def test_an_element_of_constants_alone_takes_their_mean():
    other = replace(COO, compound="Co3O4", shift=2.5)
    fit = judge_standards._from_constants(FE, [COO, other])
    assert fit.value == 2.0
    assert fit.uncertainty == pytest.approx(1.3 / np.sqrt(2))
    assert fit.by_valence is None


def test_an_element_without_any_standard_says_what_is_missing():
    with pytest.raises(ConfigurationError, match=r"constants\.toml"):
        judge_standards._from_constants(FE, [])


def test_a_constant_is_one_more_compound():
    nothing = np.zeros((3, 1))
    scan = ShiftScan(np.arange(3.0), nothing + 1.0, nothing, np.array([4.0]))
    fit = judge_standards._with_constants(
        ShiftFit(1.0, 1.0, 1.0, None), scan, [replace(COO, shift=3.0)]
    )
    assert fit.value == fit.by_residual == 2.0
    # One more compound helps, but the two disagree.
    assert fit.uncertainty == pytest.approx(np.hypot(1.0 / np.sqrt(2), 1.0))


def test_constants_are_written_as_they_are_read(tmp_path):
    path = tmp_path / "constants.toml"
    path.write_text(find_constants.as_toml([COO]), encoding="utf-8")
    (found,) = constants.load("Co", path)
    assert replace(found, source=COO.source) == COO
    assert constants.load("Fe", path) == ()
    assert constants.load("Fe", tmp_path / "none.toml") == ()


def test_every_constant_that_is_shipped_names_its_source_and_command():
    rows = tomllib.loads(constants.CONSTANTS.read_text(encoding="utf-8"))["constant"]
    assert {row["element"] for row in rows} == {"Co", "Ti"}
    for row in rows:
        assert len(row["source"]) > 20
        assert row["command"].startswith("python -m training constants")
        assert row["uncertainty"] >= SCATTER


def test_a_descriptor_is_shown_by_three_compounds_in_the_right_order_within_their_intervals():
    good = [compound(2.0, 2.1), compound(3.0, 2.9), compound(4.0, 4.2)]
    assert judge_standards.is_shown(good, 0, AS_SIMULATED)
    assert not judge_standards.is_shown(good[:2], 0, AS_SIMULATED)
    assert not judge_standards.is_shown(good, 0, Widening(0.4, 0.0))
    assert judge_standards.is_shown([*good[:2], compound(4.0, 4.2, error=0.4)], 0, AS_SIMULATED)
    assert not judge_standards.is_shown(
        [good[0], *[compound(3.0, 3.1, error=0.4)] * 2], 0, AS_SIMULATED
    )
    turned = [compound(2.0, 4.2), compound(3.0, 2.9), compound(4.0, 2.1)]
    assert not judge_standards.is_shown(turned, 0, AS_SIMULATED)
    alike = [compound(6.0, 5.9), compound(6.0, 6.0), compound(6.0, 6.1)]
    assert not judge_standards.is_shown(alike, 0, AS_SIMULATED)
    assert not judge_standards.is_shown([*good[:2], compound(np.nan, 4.0)], 0, AS_SIMULATED)
