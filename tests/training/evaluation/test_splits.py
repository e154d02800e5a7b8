"""One tiny network a split, and figures over splits."""

from pathlib import Path

import numpy as np
import pytest

from training import config
from training.evaluation.splits import judge_splits, over_splits
from training.simulated import dataset
from training.trials import trials

TINY = Path(config.__file__).resolve().parent / "configs" / "tiny.toml"


@pytest.mark.slow
def test_each_split_has_a_network_of_its_own_and_the_first_is_the_models(tmp_path, monkeypatch):
    tiny = config.load(TINY)
    learned = []
    inner = trials.fit_trial

    def counted(settings, simulated, split, *rest):
        learned.append(split)
        return inner(settings, simulated, split, *rest)

    monkeypatch.setattr(trials, "fit_trial", counted)
    found = judge_splits(tiny, [tiny.data.split_seed, 7], runs=tmp_path)
    first, second = found["splits"]
    assert found["kind"] == "all"
    assert [one["split_seed"] for one in found["splits"]] == [tiny.data.split_seed, 7]
    assert set(learned[0].test) != set(learned[1].test)
    assert first["spectra"] == learned[0].test.size
    for one in (first, second):
        assert one["oxidation_state"]["mean_absolute_error_loss"] > 0
        assert 0 < one["f1_score"] <= 1
    # Again: nothing is trained, and the model's own first trial is that of its own split.
    assert judge_splits(tiny, [tiny.data.split_seed, 7], runs=tmp_path) == found
    assert len(learned) == 2
    simulated, split = dataset.material(tiny.element, tiny.data, tiny.grid)
    own = tiny.model_copy(update={"fit": tiny.fit.model_copy(update={"trials": 1, "keep": 1})})
    trials.fit_all(own, simulated, split, tmp_path)
    assert len(learned) == 2


def test_a_figure_that_one_split_has_not_is_unknown():
    found = {"splits": [{"f1_score": 0.8}, {"oxidation_state": {"spearman_score": 0.9}}]}
    assert np.isnan(over_splits(found, "f1_score")[0])
    assert np.isnan(over_splits(found, "bond_length_spread", "spearman_score")[0])
    mean, spread = over_splits({"splits": [{"f1_score": 0.8}]}, "f1_score")
    assert mean == 0.8
    assert np.isnan(spread)
