"""A search: the given settings first, resumed after a stop, its winner a file that fit takes."""

import tomllib
from pathlib import Path

import pytest
from typer.testing import CliRunner

from rankaae_stream.errors import ConfigurationError
from training import config
from training.__main__ import app
from training.simulated import dataset
from training.trials import search
from training.trials.select import TrialScore, validation_score
from training.trials.trials import fit_all

pytestmark = pytest.mark.slow

PATH = Path(config.__file__).resolve().parent / "configs" / "tiny.toml"
TINY = config.load(PATH)


class Seen:
    def __init__(self, stop_at=None):
        self.stop_at = stop_at
        self.configs, self.old = [], []

    def starts(self, jobs, logs):
        self.jobs = jobs

    def found(self, job):
        self.old.append(job.config)

    def begin(self, job):
        self.configs.append(job.config)
        if len(self.configs) == self.stop_at:
            raise KeyboardInterrupt
        return lambda done, losses, rate: None


@pytest.fixture(scope="module")
def searched(tmp_path_factory):
    """Three samples, of which the second was interrupted once."""
    runs = tmp_path_factory.mktemp("runs")
    first = Seen(stop_at=2)
    with pytest.raises(KeyboardInterrupt):
        search.search(TINY, 3, runs=runs, watch=first)
    second = Seen()
    return search.search(TINY, 3, runs=runs, watch=second), first, second, runs


def test_the_given_settings_are_the_first_sample(searched):
    _, first, _, _ = searched
    assert first.configs[0].model_dump() == TINY.model_dump()


def test_a_search_resumes_with_what_it_was_trying(searched):
    found, first, second, runs = searched
    assert second.configs[0] == first.configs[1] != TINY
    assert len(second.configs) == second.jobs == 2
    assert len(found.samples) == 3
    third = Seen()
    again = search.search(TINY, 3, runs=runs, watch=third)
    assert third.configs == third.old == []
    assert again.samples == found.samples


def test_the_best_is_a_configuration_whose_network_fit_finds_again(searched):
    found, _, _, runs = searched
    best = found.samples[0]
    assert best.score == max(sample.score for sample in found.samples)
    assert best.score == validation_score(best.figures)
    settings = config.load(found.path)
    assert settings.name == TINY.name
    for key, value in best.settings.items():
        section, name = key.split(".")
        assert getattr(getattr(settings, section), name) == pytest.approx(value, rel=1e-3)
    once = settings.model_copy(
        update={"fit": settings.fit.model_copy(update={"trials": 1, "keep": 1})}
    )
    simulated = dataset.read(once.element, once.data, once.grid)
    seen = Seen()
    fit_all(once, simulated, dataset.split(simulated, once.data), runs, watch=seen)
    assert (len(seen.old), seen.configs) == (1, [])


def test_samples_stay_within_the_stated_space(searched):
    for sample in searched[0].samples:
        for one in search._ranges(TINY):
            given, value = searched[0].given[one.key], sample.settings[one.key]
            if one.kind == "factor":
                assert one.low * 0.999 <= value / given <= one.high * 1.001
            elif one.kind == "uniform":
                assert one.low <= value <= one.high
            else:
                assert max(given + one.low, 1) <= value <= given + one.high


def test_the_space_covers_network_losses_fit_and_augmentation():
    keys = {one.key for one in search._ranges(TINY)}
    assert keys >= {"network.width", "network.depth", "network.dropout", "fit.rate"}
    assert keys >= {"augment.shift", "augment.mixture_share"}
    assert keys >= {"losses.linear", "losses.reconstruction", "losses.mutual_information"}
    assert "losses.rank" not in keys  # the scale of the others


def test_what_is_switched_off_stays_off():
    off = TINY.model_copy(update={"augment": TINY.augment.model_copy(update={"noise": 0.0})})
    assert "augment.noise" not in {one.key for one in search._ranges(off)}


def test_the_score_is_absolute_and_knows_which_way_is_better():
    def score(rho=0.8, free=0.3, tied=0.2, rms=0.08, bent=0.04):
        return validation_score(TrialScore(0, (rho, rho), free, tied, rms, bent))

    assert score() == pytest.approx(0.8 - 0.03 - 0.02 - 0.08 - 0.02)
    assert score(bent=0.2) < score()
    assert score(rho=-0.8) < score(free=0.9) < score()
    assert score(tied=0.5) < score()
    assert score(rms=0.2) < score()


def test_a_sample_that_diverged_is_worse_than_any_other():
    worst = validation_score(TrialScore(0, (-1.0,), 1, 1, 1, 1.0))
    assert search._finite(float("nan")) < worst


def test_every_key_survives_being_written(tmp_path):
    content = {
        "name": 'a "b" \\ µ',
        "version": "1",
        "element": "Fe",
        "data": {"simulated": "*", "core_hole_width": 1e-05, "table": None},
        "network": {"descriptors": ["oxidation_state"]},
        "augment": {"broadening": [0.25, 1.0]},
    }
    given = config.Config.model_validate(content)
    best = search.Sample(1, 0.5, {}, TrialScore(0, (0.5,), 0, 0, 0, 0.04))
    written = search._toml(given, best)
    assert config.Config.model_validate(tomllib.loads(written)) == given
    assert written.startswith("# Sample 1 of a search, score 0.5000 on validation, one seed.\n")


def test_a_descriptor_without_labels_ends_the_search(tmp_path, monkeypatch):
    simulated = dataset.read(TINY.element, TINY.data, TINY.grid)
    simulated.labels[:, 1] = float("nan")
    monkeypatch.setattr(search.dataset, "read", lambda *a, **k: simulated)
    with pytest.raises(ConfigurationError, match="no site is labelled with coordination_number"):
        search.search(TINY, 1, runs=tmp_path)


def test_the_command_shows_the_best_and_trains_no_model(searched, tmp_path, monkeypatch):
    found, _, _, runs = searched
    monkeypatch.setenv("COLUMNS", "150")
    models = tmp_path / "models"
    result = CliRunner().invoke(
        app,
        ["fit", str(PATH), "--search", "3", "--runs", str(runs), "--models", str(models)],
    )
    assert result.exit_code == 0, result.output
    assert f"{found.samples[0].score:.4f}" in result.output
    assert "losses.reconstruction" in result.output
    assert f"python -m training fit {found.path}" in result.output
    assert not models.exists()
