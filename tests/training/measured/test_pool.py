"""What measured compounds of several elements say together."""

from dataclasses import asdict

import numpy as np
import pytest

from training import config
from training.export.place import as_json
from training.folders import CONFIGS
from training.measured import pool, shown
from training.measured.shown import Shown

FE = config.load(CONFIGS / "tiny.toml")
SHELL = "coordination_number"


def compound(error=0.2, half=1.0, axis=0.0, truth=6.0, estimate=None, element="Mn", misfit=0.1):
    return Shown(
        element=element,
        compound="x",
        oxidation_state=2.0,
        truth={SHELL: truth},
        estimate={SHELL: truth + error if estimate is None else estimate},
        error={SHELL: error},
        half={SHELL: half},
        axis={SHELL: axis},
        shift=0.5,
        misfit=misfit,
    )


def test_nine_of_ten_new_compounds_lie_within_their_whole_intervals():
    rng = np.random.default_rng(0)
    held = []
    for _ in range(200):
        widths = rng.uniform(0.01, 1.0, (61, 2))
        found = [
            compound(rng.normal(0.0, 0.5) * np.hypot(half, 1.6449 * axis), half, axis)
            for half, axis in widths
        ]
        fitted = pool.calibration(SHELL, found[:60], 0.9)
        new = found[60]
        held.append(abs(new.error[SHELL]) <= fitted.half(np.array(new.whole(SHELL, 0.9))))
    assert 0.85 <= np.mean(held) <= 0.97


def test_flat_and_steep_compounds_have_a_factor_of_their_own():
    flat = [compound(0.01, half) for half in np.linspace(0.1, 0.2, 20)]
    steep = [compound(half, half) for half in np.linspace(0.8, 1.2, 20)]
    fitted = pool.calibration(SHELL, flat + steep, 0.9)
    low, high = fitted.half(np.array([0.1, 1.2]))
    assert low == pytest.approx(0.1 * pool.LEAST)
    assert high == pytest.approx(1.2)
    # Too few for two groups: one factor holds them all.
    assert len(pool.calibration(SHELL, flat + steep[:19], 0.9).knots) == 1
    assert fitted.at_least_whole().half(np.array(0.15)) >= 0.15


def one_factor(rows):
    fitted = pool.calibration(SHELL, rows, 0.9)
    assert len(fitted.knots) == 1
    return fitted.halves[0] / fitted.knots[0]


def test_few_compounds_may_widen_an_interval_but_not_narrow_it():
    assert one_factor([compound(0.2)] * 8) == 1.0
    assert one_factor([compound(-0.3)] * 9) == pytest.approx(0.3)
    assert one_factor([compound(3.0, 1.0)]) == 3.0


def test_an_interval_is_never_nothing():
    assert one_factor([compound(0.0)] * 20) == pool.LEAST


def test_a_descriptor_that_no_compound_defines_keeps_its_simulated_width():
    fitted = pool.calibration("angle_spread", [compound()] * 20, 0.9)
    np.testing.assert_allclose(fitted.half(np.array([0.1, 3.0])), [0.1, 3.0])


def test_valences_count_the_compounds_that_have_them():
    states = {"a": 2.0, "b": 2.25, "c": 2.667, "d": 3.0, "e": 3.0}
    own = [
        Shown(**{**asdict(compound()), "compound": name, "oxidation_state": one})
        for name, one in states.items()
    ]
    other_laboratory = Shown(**{**asdict(own[-1]), "source": "a table"})
    rows = pool.levels([*own, other_laboratory], [2.0, 3.0, 4.0])
    assert {row["value"]: row["compounds"] for row in rows} == {2.0: 2, 3.0: 3, 4.0: 0}


def test_a_valence_that_few_show_has_the_errors_of_all_others():
    rows = [{**asdict(compound()), "error": {"oxidation_state": 0.1 * i}} for i in range(-9, 10)]
    assert pool.unsupported_half([Shown(**row) for row in rows], 0.9) == pytest.approx(0.9)
    assert pool.unsupported_half([], 0.9) == 0.0


def test_one_oxide_in_twenty_fits_poorly():
    limit = pool.poor_fit_limit([compound(misfit=one) for one in np.linspace(0.05, 0.2, 40)])
    assert np.sum(np.linspace(0.05, 0.2, 40) > limit) == 2
    assert pool.poor_fit_limit([]) == np.inf


def test_a_descriptor_is_shown_by_three_compounds_in_the_right_order_within_their_intervals():
    good = [
        compound(0.1, 0.2, truth=4.0, estimate=4.1),
        compound(0.1, 0.2, truth=5.0, estimate=4.9),
        compound(0.1, 0.2, truth=6.0, estimate=6.1),
    ]
    whole, narrow = pool.Calibration((1.0,), (1.0,)), pool.Calibration((1.0,), (0.4,))
    assert pool.is_shown(good, SHELL, whole, 0.9)
    assert not pool.is_shown(good[:2], SHELL, whole, 0.9)
    assert not pool.is_shown(good, SHELL, narrow, 0.9)
    turned = [compound(0.1, 0.2, truth=one, estimate=9.0 - one) for one in (4.0, 5.0, 6.0)]
    assert not pool.is_shown(turned, SHELL, whole, 0.9)
    assert not pool.is_shown([good[2]] * 3, SHELL, whole, 0.9)


def test_other_elements_come_from_the_models_of_the_index(tmp_path):
    where = tmp_path / "mn-k" / "one"
    where.mkdir(parents=True)
    rows = [asdict(compound()), asdict(compound(element="Fe"))]
    (where / "evaluation.json").write_bytes(as_json({"compounds": rows}))
    (tmp_path / "index.json").write_bytes(as_json({"mn-k/one": "", "v-k/gone": ""}))
    # Its own element is judged anew.
    assert shown.others(FE, tmp_path) == [compound()]


def test_without_models_there_are_no_others(tmp_path):
    assert shown.others(FE, tmp_path) == []


def test_what_is_elsewhere_is_written_as_it_is_read(tmp_path):
    path = tmp_path / "elsewhere.toml"
    unlaid = Shown(**{**asdict(compound()), "shift": None, "source": "somewhere"})
    path.write_text(shown.as_toml([compound(), unlaid]), encoding="utf-8")
    assert shown.elsewhere("Mn", path) == [compound(), unlaid]
    assert shown.elsewhere("Fe", path) == []
    assert shown.elsewhere("Fe", tmp_path / "none.toml") == []
    assert [one.shift for one in shown.laid_elsewhere([compound(), unlaid])] == [0.5]


def test_every_spectrum_that_is_elsewhere_names_its_source():
    known = [one for element in ("Co", "Cr", "Ti") for one in shown.elsewhere(element)]
    assert {one.compound for one in known} >= {"CoO", "LiCoO2", "TiO2 rutile"}
    assert all(len(one.source) > 20 for one in known)
