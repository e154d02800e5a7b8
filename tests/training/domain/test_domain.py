"""The classifier of oxides and what is none, on made-up spectra whose kind is plain."""

import json

import numpy as np
import pytest

from rankaae_stream.errors import ConfigurationError
from training import config
from training.domain import build, classifier, judge, spectra
from training.domain.spectra import AXIS, OXIDES, Spectra
from training.folders import CONFIGS

IRON = config.load(CONFIGS / "fe-k.toml")


def white_line(height, edge):
    """A step with a peak behind it."""
    step = 0.5 + np.arctan((AXIS - edge) / 1.5) / np.pi
    return step + height * np.exp(-0.5 * ((AXIS - edge - 5.0) / 2.5) ** 2)


def made_up(kind, height, count, name):
    rng = np.random.default_rng(len(kind))
    flat = [
        white_line(height * rng.uniform(0.9, 1.1), rng.uniform(0.0, 10.0)) for _ in range(count)
    ]
    names = np.array([f"{name}{i % 10}" for i in range(count)])
    return Spectra(np.stack(flat), np.array([kind] * count), np.array(["Fe"] * count), names)


def together(*parts):
    columns = zip(*((one.flat, one.kind, one.element, one.compound) for one in parts), strict=True)
    return Spectra(*(np.concatenate(column) for column in columns))


@pytest.fixture(scope="module")
def world():
    """Oxides with a high white line, sulfides with a low one, halides between."""
    others = together(made_up("sulfides", 0.1, 60, "s"), made_up("halides", 0.35, 60, "h"))
    return (
        made_up(OXIDES, 0.8, 300, "o"),
        others,
        together(made_up(OXIDES, 0.75, 10, "mo"), made_up("sulfides", 0.12, 10, "ms")),
    )


@pytest.fixture
def quick(monkeypatch):
    monkeypatch.setattr(classifier, "EPOCHS", 12)
    monkeypatch.setattr(judge, "SEEDS", (0,))


@pytest.mark.slow
def test_it_tells_oxides_from_the_rest_wherever_the_edge_lies(world, quick):
    made = classifier.fit(*world, seeds=(0,))
    good = np.stack([white_line(0.8, edge) for edge in (-3.0, 4.0, 12.0)])
    found = classifier.no_oxide(made, good)
    assert found.max() < 0.3
    assert np.ptp(found) < 0.05
    assert classifier.no_oxide(made, np.stack([white_line(0.1, 2.0)]))[0] > 0.7


@pytest.mark.slow
def test_the_same_spectra_and_seed_give_the_same_networks(world, quick):
    one, two = (classifier.fit(*world, seeds=(3,)) for _ in range(2))
    flat = world[1].flat
    np.testing.assert_array_equal(classifier.no_oxide(one, flat), classifier.no_oxide(two, flat))


@pytest.mark.slow
def test_a_compound_is_judged_by_what_has_not_seen_it_and_a_kind_too(world, quick, monkeypatch):
    seen = []
    fit = classifier.fit

    def watched(oxides, others, measured, seeds):
        seen.append((set(others.key), set(others.kind), set(measured.key)))
        return fit(oxides, others, measured, seeds)

    monkeypatch.setattr(judge, "fit", watched)
    simulated, found = judge.cross_fitted(*world)
    assert np.isfinite(simulated).all()
    assert np.isfinite(found).all()
    for key in world[1].key:
        assert any(key not in others for others, _, _ in seen)
    for key in world[2].key:
        assert any(key not in measured for _, _, measured in seen)
    limit = judge.threshold(world[2], found)
    seen.clear()
    strange, strangers = judge.kinds_left_out(*world)
    # One classifier a kind, in their order, that has seen nothing of it.
    assert all(kind not in kinds for kind, (_, kinds, _) in zip(spectra.KINDS, seen, strict=True))
    assert np.isfinite(strange).all()
    assert (np.isnan(strangers) == (world[2].kind == OXIDES)).all()
    assert 0.0 < limit < 1.0


def test_compounds_are_counted_by_kind_and_by_element():
    others, measured = made_up("sulfides", 0.1, 20, "s"), made_up("sulfides", 0.1, 10, "ms")
    oxides = made_up(OXIDES, 0.8, 10, "mo")
    known = together(measured, oxides)
    theory = np.where(others.compound == "s3", 0.2, 0.9)
    found = np.where(np.isin(known.compound, ["ms7", "mo1"]), [0.4] * 10 + [0.8] * 10, 0.6)
    found[10:][known.compound[10:] != "mo1"] = 0.1

    def tally(names, of):
        return judge.tally(names, of, (others, theory), (known, found), 0.5)

    sulfides, metals = tally(["sulfides", "metals and alloys"], lambda one: one.kind)
    assert (sulfides.simulated, sulfides.flagged_simulated) == (10, 0.9)
    assert (sulfides.measured, sulfides.missed) == (10, ("Fe ms7",))
    assert (metals.simulated, metals.oxides) == (0, 0)
    assert np.isnan(metals.flagged_simulated)
    iron, copper = tally(["Fe", "Cu"], lambda one: one.element)
    assert (iron.measured, iron.missed) == (10, ("Fe ms7",))
    assert (iron.oxides, iron.alarms) == (10, ("Fe mo1",))
    assert copper.measured == 0


def test_one_oxide_in_twenty_lies_beyond_the_threshold():
    measured = made_up(OXIDES, 0.8, 40, "o")  # four spectra of each of ten compounds
    found = 0.1 * np.char.replace(measured.compound, "o", "").astype(float)
    limit = judge.threshold(measured, found, more=[0.05] * 10)
    assert limit == pytest.approx(np.quantile([0.05] * 10 + list(0.1 * np.arange(10)), 0.95))
    assert np.sum(np.unique(found) > limit) == 1


def test_kinds_of_the_files_are_known_by_the_words_of_sentences():
    assert spectra.kind_of("metal-rich sulfide") == "sulfides"
    assert spectra.kind_of("alloy") == "metals and alloys"
    with pytest.raises(ConfigurationError, match=r"kind 'jam' .* known: alloy"):
        spectra.kind_of("jam")


def test_simulated_sites_that_are_no_oxides_are_read_of_every_kind():
    vanadium = config.load(CONFIGS / "v-k.toml")
    found = spectra.others([IRON, vanadium])
    assert set(found.kind) == set(spectra.KINDS)
    assert set(found.element) == {"Fe", "V"}
    assert found.flat.shape[1] == AXIS.size
    assert np.isfinite(found.flat).all()


def test_measured_spectra_have_the_kind_of_their_formula():
    found = spectra.measured(["Fe"])
    kinds = dict(zip(found.compound, found.kind, strict=True))
    assert kinds["Fe"] == "metals and alloys"
    assert kinds["FeS2"] == "sulfides"
    assert kinds["Fe3C"] == "carbides, borides, silicides and hydrides"
    assert kinds["FeN"] == "nitrides"
    assert kinds["Fe2O3 hematite"] == OXIDES


def test_without_simulated_sites_that_are_no_oxides_the_file_is_asked_for(tmp_path):
    with pytest.raises(ConfigurationError, match="nonoxides-"):
        spectra.others([IRON], tmp_path)


def test_a_classifier_that_is_missing_or_another_one_is_an_error(tmp_path, monkeypatch):
    shipped = build.read_domain(tmp_path)
    assert shipped.card["kinds"] == list(classifier.NAMES)
    monkeypatch.setattr(build, "MODELS", tmp_path)
    with pytest.raises(ConfigurationError, match="python -m training domain"):
        build.read_domain(tmp_path)
    folder = tmp_path / "domain" / "1"
    folder.mkdir(parents=True)
    (folder / "card.json").write_text(json.dumps({"sha256": "0" * 64}), encoding="utf-8")
    (folder / "domain.onnx").write_bytes(b"other")
    with pytest.raises(ConfigurationError, match="another graph than its card says"):
        build.read_domain(tmp_path)
