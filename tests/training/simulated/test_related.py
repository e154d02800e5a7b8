"""Sites of other elements that are trained along: what they may teach, and what never."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from rankaae_stream.errors import ConfigurationError
from training import config
from training.config import Data, Grid
from training.descriptors import DESCRIPTORS
from training.network import train
from training.simulated import dataset
from training.trials import trials

pytestmark = pytest.mark.slow

TINY = config.load(Path(config.__file__).resolve().parent / "configs" / "tiny.toml")
IRON = Data(simulated="fe-feff10-*.parquet", core_hole_width=1.25, related="[fm][en]-feff10-*")


@pytest.fixture(scope="module")
def iron():
    return dataset.with_related(dataset.read("Fe", IRON, Grid()), "Fe", IRON, Grid())


def test_they_are_the_other_elements_of_the_files(iron):
    manganese = dataset.read("Mn", IRON.model_copy(update={"simulated": "mn-*"}), Grid())
    assert [name for name, _ in iron.related.sources] == [
        "mn-feff10-1.parquet",
        "mn-feff10-2.parquet",
    ]
    np.testing.assert_array_equal(iron.related.labels[:, 1:], manganese.labels[:, 1:])
    np.testing.assert_array_equal(iron.related.group, manganese.group)
    # Iron's rows are of valence 2 to 4: where an edge of valence 7 would lie nothing tells.
    valence = manganese.labels[:, 0]
    known = np.where(valence == 7.0, np.nan, valence)
    assert np.isnan(known).any()
    np.testing.assert_array_equal(iron.related.labels[:, 0], known)


def test_edges_of_equal_valence_lie_together(iron):
    def middle(one, valence):
        rows = one.labels[:, 0] == valence
        return np.median(one.energy[np.argmax(one.mu[rows] > 0.5, axis=1)])

    apart = [middle(iron.related, v) - middle(iron, v) for v in (2.0, 3.0, 4.0)]
    assert np.abs(apart).max() <= dataset.STEP


def test_without_the_setting_there_are_none(iron):
    alone = replace(iron, related=None)
    plain = IRON.model_copy(update={"related": None})
    assert dataset.with_related(alone, "Fe", plain, Grid()) is alone


@pytest.mark.parametrize("glob", ["nothing-*.parquet", "fe-feff10-*.parquet"])
def test_files_without_another_element_are_an_error(iron, glob):
    data = IRON.model_copy(update={"related": glob})
    with pytest.raises(ConfigurationError, match=r"data\.related"):
        dataset.with_related(iron, "Fe", data, Grid())


@pytest.fixture
def company(steps):
    """Steps of one element, and of another in compounds of which the first's are a part."""
    simulated = steps.simulated(compounds=30)
    labels = np.full((90, len(DESCRIPTORS)), np.nan)
    related = replace(steps.simulated(compounds=30), labels=labels, sources=(("other", "1"),))
    return replace(simulated, related=related)


def quick(settings, epochs):
    fit = settings.fit.model_copy(update={"epochs": epochs, "batch": 16})
    network = settings.network.model_copy(update={"width": 8, "depth": 1})
    return settings.model_copy(update={"fit": fit, "network": network})


def test_no_compound_of_validation_or_test_is_ever_trained_on(company, steps, monkeypatch):
    seen: dict[int, set[str]] = {id(company): set(), id(company.related): set()}
    copies = train._copies

    def watched(config, simulated, rows, rng):
        seen[id(simulated)] |= set(simulated.group[rows])
        return copies(config, simulated, rows, rng)

    monkeypatch.setattr(train, "_copies", watched)
    settings = quick(steps.config, epochs=20)
    split = dataset.split(company, settings.data)
    train.fit_trial(settings, company, split, seed=0)
    unseen = set(company.group[np.concatenate([split.validation, split.test])])
    assert unseen
    for groups in seen.values():
        assert len(groups) > 10
        assert not groups & unseen


def test_they_leave_before_the_end(company, steps, monkeypatch):
    sizes, along = [], []
    together = train._together

    def watched(one, other):
        sizes.append(len(one.flat))
        along.append(len(other.flat))
        return together(one, other)

    monkeypatch.setattr(train, "_together", watched)
    settings = quick(steps.config, epochs=40)
    split = dataset.split(company, settings.data)
    each = len(split.train) // 16
    train.fit_trial(settings, company, split, seed=0)
    assert along[: 16 * each] == sizes[: 16 * each] == [16] * (16 * each)
    assert along == sorted(along, reverse=True)
    assert 16 * each < len(along) <= 32 * each < 40 * each


def test_a_mixture_never_crosses_elements(company, steps):
    """Else the labels of a mixture with a related site would all be unknown."""
    settings = steps.config
    one = train._copies(settings, company, np.arange(30), np.random.default_rng(0))
    other = train._copies(settings, company.related, np.arange(20), np.random.default_rng(0))
    both = train._together(one, other)
    assert both.flat.shape == (50, settings.grid.points)
    assert np.isfinite(both.labels[:30]).all()
    assert np.isnan(both.labels[30:]).all()


def test_a_configuration_with_related_sites_is_never_trained_without_them(steps):
    data = steps.config.data.model_copy(update={"related": "mn-feff10-*"})
    with pytest.raises(ValueError, match="with_related"):
        trials.check_labels(steps.config.model_copy(update={"data": data}), steps.simulated())


def test_they_are_part_of_what_a_trial_depends_on(company, steps):
    alone = train.fingerprint(steps.config, replace(company, related=None))
    assert train.fingerprint(steps.config, company) != alone
    assert TINY.data.related is None, "the tiny configuration trains in seconds"
