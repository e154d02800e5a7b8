"""What measured compounds of several elements say together."""

import json

import numpy as np
import pytest

from training import config, pool
from training.pool import Shown

FE = config.load(config.Path(config.__file__).resolve().parent / "configs" / "tiny.toml")


def shown(factor=1.0, misfit=0.1, length=2.0, element="Mn"):
    factors = {"coordination_number": factor, "oxidation_state": factor}
    return Shown(element, "x", factors, (misfit,) * 3, length)


def test_the_factor_is_the_conformal_quantile_of_the_compounds():
    compounds = [shown(factor) for factor in np.linspace(0.05, 1.0, 20)]
    # ceil(0.9 x 21) = 19th of 20
    assert pool.error_factor("coordination_number", compounds, 0.9) == pytest.approx(0.95)


def test_few_compounds_may_widen_an_interval_but_not_narrow_it():
    assert pool.error_factor("coordination_number", [shown(0.2)] * 8, 0.9) == 1.0
    assert pool.error_factor("coordination_number", [shown(0.2)] * 9, 0.9) == pytest.approx(0.2)
    assert pool.error_factor("coordination_number", [shown(3.0)], 0.9) == 3.0


def test_the_valence_allows_for_what_the_standards_were_used_to_choose():
    found = pool.error_factor("oxidation_state", [shown(0.2)] * 9, 0.9)
    assert found == pytest.approx(0.2 * pool.OTHER_LABORATORIES)


def test_a_descriptor_that_no_compound_defines_keeps_its_simulated_width():
    assert pool.error_factor("angle_spread", [shown(0.2)] * 20, 0.9) == 1.0


def test_one_oxide_in_twenty_lies_beyond_the_threshold():
    compounds = [shown(misfit=m) for m in np.linspace(0.05, 0.2, 40)]
    rule = pool.domain_rule(FE, compounds, start=0.5)
    scale = np.sqrt(np.mean(np.linspace(0.05, 0.2, 40) ** 2))
    assert [region.misfit for region in rule.regions] == pytest.approx([scale] * 3)
    assert rule.latent_length == pytest.approx(2.0)
    distances = [np.sqrt((3 * (one.misfits[0] / scale) ** 2 + 1.0) / 4) for one in compounds]
    assert np.sum(np.array(distances) > rule.threshold) == 2


def test_other_elements_come_from_the_models_of_the_index(tmp_path):
    rows = [
        {"element": "Mn", "compound": "MnO", "factors": {}, "misfits": [0.1] * 3, "length": 2.0},
        {"element": "Fe", "compound": "FeO", "factors": {}, "misfits": [0.1] * 3, "length": 2.0},
        {"element": "V", "compound": "VO2", "factors": {}, "misfits": [0.1] * 2, "length": 2.0},
    ]
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
