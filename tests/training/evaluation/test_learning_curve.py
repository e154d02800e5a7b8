"""Parts of the training compounds, and one tiny learning curve."""

from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest

from rankaae_stream.errors import ConfigurationError
from training import config
from training.evaluation.learning_curve import learn, subset
from training.evaluation.single import write_figures
from training.folders import RUNS

pytestmark = pytest.mark.slow

TINY = Path(config.__file__).resolve().parent / "configs" / "tiny.toml"


class Counted:
    """A watch that counts what was trained and what was found."""

    def __init__(self) -> None:
        self.begun, self.recalled = 0, 0

    def starts(self, jobs, logs):
        """Nothing to prepare."""

    def found(self, job):
        """Trained before."""
        self.recalled += 1

    def begin(self, job):
        """Trained now."""
        self.begun += 1
        return lambda *_: None


def test_a_part_holds_whole_compounds_and_its_share_of_every_valence(steps):
    simulated = steps.simulated(compounds=60, copies=4)
    rows = np.arange(8, 240)  # two compounds are not training's
    part = subset(simulated, rows, 0.5, seed=1)
    assert part.size == pytest.approx(0.5 * rows.size, abs=4)
    assert set(part) <= set(rows)
    assert all(np.sum(simulated.group[part] == name) == 4 for name in simulated.group[part])
    share = [np.mean(simulated.labels[part, 0] == valence) for valence in (2.0, 3.0, 4.0)]
    assert share == pytest.approx([1 / 3] * 3, abs=0.05)


def test_a_smaller_part_lies_within_a_larger_one_and_the_whole_is_all(steps):
    simulated = steps.simulated(compounds=60, copies=4)
    rows = np.arange(240)
    parts = [set(subset(simulated, rows, one, seed=1)) for one in (0.1, 0.25, 0.5, 1.0)]
    assert all(small < large for small, large in pairwise(parts))
    assert parts[-1] == set(rows)
    assert parts[1] != set(subset(simulated, rows, 0.25, seed=2))


def test_unknown_valences_are_dealt_among_themselves(steps):
    simulated = steps.simulated(compounds=20, copies=2)
    simulated.labels[:20, 0] = np.nan
    part = subset(simulated, np.arange(40), 0.5, seed=0)
    assert np.mean(np.isnan(simulated.labels[part, 0])) == pytest.approx(0.5, abs=0.1)


@pytest.fixture(scope="module")
def curve(tmp_path_factory):
    folder, watch = tmp_path_factory.mktemp("runs"), Counted()
    return learn(config.load(TINY), [1.0, 0.5], 1, runs=folder, watch=watch), folder, watch


def test_a_curve_has_one_point_a_part_with_figures_of_every_network(curve):
    found, _, watch = curve
    small, whole = found["points"]
    assert watch.begun == 2
    assert small["spectra"] == pytest.approx(whole["spectra"] / 2, rel=0.05)
    assert small["compounds"] < whole["compounds"]
    for point in found["points"]:
        (score,) = point["scores"]
        assert score["oxidation_state"]["mean_absolute_error_loss"] > 0
        assert -1 <= score["ligand_coordination"]["spearman_score"] <= 1
        assert 0 < score["f1_score"] <= 1
    assert small["scores"] != whole["scores"]


def test_a_second_run_trains_nothing_and_finds_the_same(curve):
    found, folder, _ = curve
    watch = Counted()
    assert learn(config.load(TINY), [0.5, 1.0], 1, runs=folder, watch=watch) == found
    assert (watch.begun, watch.recalled) == (0, 2)


def test_the_whole_is_what_fit_has_trained(curve):
    _, folder, _ = curve
    tiny = config.load(TINY)
    (path,) = (folder / "fe").glob("*/trial-*.pt")
    assert path.name == f"trial-{tiny.fit.seed}.pt"
    assert len(list((folder / "learning" / "0.5").rglob("*.pt"))) == 1


def test_a_fraction_that_is_none_is_an_error():
    with pytest.raises(ConfigurationError, match=r"fractions \[0\.0, 25\.0\]"):
        learn(config.load(TINY), [0.0, 0.5, 25.0], 1, runs=RUNS)


def test_a_curve_is_written_whole(tmp_path):
    path = tmp_path / "learning" / "fe-k.json"
    write_figures({"points": []}, path)
    assert path.read_text() == '{\n "points": []\n}\n'
    assert [one.name for one in path.parent.iterdir()] == ["fe-k.json"]
