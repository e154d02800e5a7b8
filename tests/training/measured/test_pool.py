"""What measured compounds of several elements say together."""

import json

import numpy as np
import pytest

from rankaae_stream.errors import ConfigurationError
from training import config
from training.measured import pool
from training.measured.pool import Shown

FE = config.load(config.Path(config.__file__).resolve().parent / "configs" / "tiny.toml")


def shown(error=0.2, half=1.0, misfit=0.1, length=2.0, element="Mn"):
    names = ("coordination_number", "oxidation_state")
    return Shown(
        element, "x", dict.fromkeys(names, error), dict.fromkeys(names, half), (misfit,) * 3, length
    )


def test_nine_of_ten_new_compounds_lie_within_their_widened_intervals():
    rng = np.random.default_rng(0)
    held = []
    for _ in range(200):
        compounds = [
            shown(abs(rng.normal(0.0, 0.5 * half)), half) for half in rng.uniform(0.01, 1.0, 41)
        ]
        found = pool.widening("coordination_number", compounds[:40], 0.9)
        new = compounds[40]
        held.append(
            new.errors["coordination_number"] <= found.half(new.halves["coordination_number"])
        )
    assert 0.85 <= np.mean(held) <= 0.97


def test_one_compound_that_simulation_finds_easy_does_not_widen_all_others():
    compounds = [shown(0.2, 0.5)] * 30 + [shown(0.4, 0.01)] * 5
    found = pool.widening("coordination_number", compounds, 0.9)
    assert found.allowance == pytest.approx(0.2)
    assert found.half(0.01) >= 0.4
    assert found.half(0.5) < 1.5, "by a factor alone it would be 20"


def test_errors_that_grow_with_the_simulated_ones_need_no_allowance():
    compounds = [shown(0.5 * half, half) for half in np.linspace(0.1, 2.0, 30)]
    found = pool.widening("coordination_number", compounds, 0.9)
    assert (found.factor, found.allowance) == pytest.approx((0.5, 0.0))


def test_few_compounds_may_widen_an_interval_but_not_narrow_it():
    assert pool.widening("coordination_number", [shown(0.2)] * 8, 0.9).factor == 1.0
    many = pool.widening("coordination_number", [shown(0.2)] * 9, 0.9)
    assert many.half(1.0) == pytest.approx(0.2)
    assert pool.widening("coordination_number", [shown(3.0, 1.0)], 0.9).half(1.0) == 3.0


def test_an_interval_is_never_nothing():
    found = pool.widening("coordination_number", [shown(0.0)] * 20, 0.9)
    assert found.half(1.0) == pytest.approx(pool.LEAST)


def test_the_valence_allows_for_what_the_standards_were_used_to_choose():
    found = pool.widening("oxidation_state", [shown(0.2)] * 9, 0.9)
    assert found.half(1.0) == pytest.approx(0.2 * pool.OTHER_LABORATORIES)


def test_a_descriptor_that_no_compound_defines_keeps_its_simulated_width():
    assert pool.widening("angle_spread", [shown(0.2)] * 20, 0.9).half(0.7) == 0.7


def test_one_oxide_in_twenty_lies_beyond_the_threshold():
    compounds = [shown(misfit=m) for m in np.linspace(0.05, 0.2, 40)]
    rule = pool.domain_rule(FE, compounds, start=0.5)
    scale = np.median(np.linspace(0.05, 0.2, 40))
    assert [region.misfit for region in rule.regions] == pytest.approx([scale] * 3)
    assert rule.latent_length == pytest.approx(2.0)
    distances = [np.sqrt((3 * (one.misfits[0] / scale) ** 2 + 1.0) / 4) for one in compounds]
    assert np.sum(np.array(distances) > rule.threshold) == 2


def test_other_elements_come_from_the_models_of_the_index(tmp_path):
    rows = [
        {"element": element, "compound": compound, "errors": {}, "halves": {}, "length": 2.0}
        | {"misfits": [0.1] * regions}
        for element, compound, regions in (("Mn", "MnO", 3), ("Fe", "FeO", 3), ("V", "VO2", 2))
    ]
    rows.append({key: value for key, value in rows[0].items() if key != "errors"})
    where = tmp_path / "mn-k" / "one"
    where.mkdir(parents=True)
    (where / "evaluation.json").write_text(json.dumps({"shown": rows}), encoding="utf-8")
    index = {"mn-k/one": "", "v-k/gone": ""}
    (tmp_path / "index.json").write_text(json.dumps(index), encoding="utf-8")
    found = pool.others(FE, tmp_path)
    # Its own element is judged anew, and other regions than its own mean nothing.
    assert [one.compound for one in found] == ["MnO"]
    assert found[0].misfits == (0.1, 0.1, 0.1)


def test_without_models_there_are_no_others(tmp_path):
    assert pool.others(FE, tmp_path) == []


def test_without_any_measured_oxide_nobody_knows_where_the_domain_ends():
    with pytest.raises(ConfigurationError, match="no measured oxide of Fe"):
        pool.domain_rule(FE, [], start=0.5)
