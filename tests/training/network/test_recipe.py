"""Training comes out as it did, or `RECIPE` was raised: kept trials are found again by it.

Spectra are augmented and weights are trained in double precision: measured, another number of
threads or another processor's kernels move a tensor's root mean square by 3e-7 then, and a
hundredth more of the rate, of the weight decay or of the mutual information by 8e-6 or more. In
single precision the kernels move it by percents; where only the spectra are in single
precision, by 5e-6 in a convolutional network.
"""

import json
import os
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from training import config
from training.network import train
from training.simulated import augment, dataset

TINY = config.load(Path(config.__file__).resolve().parent / "configs" / "tiny.toml")
KEPT = Path(__file__).with_name("recipe.json")
TOLERANCE = 2e-6
WRITE = "RECIPE_WRITE=1 python -m pytest tests/training/network/test_recipe.py"


@pytest.fixture(scope="module")
def material():
    return dataset.material(TINY.element, TINY.data, TINY.grid)


@pytest.fixture
def double(monkeypatch):
    """Augment and train in double precision, with one thread."""
    monkeypatch.setattr(augment, "PRECISION", np.float64)
    monkeypatch.setattr(train, "tensor", lambda values: torch.from_numpy(np.array(values, float)))
    threads = torch.get_num_threads()
    torch.set_default_dtype(torch.float64)
    torch.set_num_threads(1)
    yield
    torch.set_default_dtype(torch.float32)
    torch.set_num_threads(threads)


def trained(settings, simulated, split):
    """Root mean square and mean of every tensor of a network of two epochs, by name."""
    short = settings.fit.model_copy(update={"epochs": 2})
    model = train.fit_trial(settings.model_copy(update={"fit": short}), simulated, split, seed=0)
    return {
        name: [float(value.double().square().mean().sqrt()), float(value.double().mean())]
        for name, value in model.state_dict().items()
    }


def cnn():
    network = TINY.network.model_copy(update={"encoder": "cnn", "channels": (4, 8)})
    return TINY.model_copy(update={"network": network})


def related(simulated):
    """The same sites under other compounds' names, to be trained along."""
    return replace(simulated, related=replace(simulated, group=np.char.add("x", simulated.group)))


@pytest.mark.parametrize("kind", ["tiny.toml", "a cnn with related sites"])
def test_training_gives_the_weights_that_are_kept_for_this_recipe(kind, material, double):
    simulated, split = material
    if kind == "tiny.toml":
        found = trained(TINY, simulated, split)
    else:
        found = trained(cnn(), related(simulated), split)
    kept = json.loads(KEPT.read_text(encoding="utf-8"))
    if os.environ.get("RECIPE_WRITE") and kept.get(kind, {}).get("recipe") != train.RECIPE:
        kept[kind] = {"recipe": train.RECIPE, "torch": torch.__version__, "weights": found}
        KEPT.write_text(json.dumps(kept, indent=1) + "\n", encoding="utf-8")
    recipe, version, weights = kept[kind].values()
    assert recipe == train.RECIPE, f"recipe.json holds weights of recipe {recipe}; run {WRITE}"
    assert found.keys() == weights.keys()
    for name, (size, mean) in weights.items():
        assert found[name] == pytest.approx([size, mean], abs=TOLERANCE * size, rel=0), (
            f"{name}: the same settings, data and seed train to other weights than under RECIPE = "
            f"{recipe} (kept with torch {version}, here {torch.__version__}). If that was meant, "
            f"raise RECIPE in training/network/train.py, then run {WRITE}"
        )


@pytest.mark.parametrize(
    ("section", "changed"),
    [
        ("losses", {"smoothness": 1.1}),
        ("losses", {"mutual_information": 0.101}),
        ("fit", {"rate": 4.04e-3}),
        ("fit", {"weight_decay": 0.0101}),
        ("augment", {"noise": 0.01501}),
    ],
)
def test_a_little_more_of_anything_is_seen(section, changed, material, double):
    other = TINY.model_copy(update={section: getattr(TINY, section).model_copy(update=changed)})
    weights = json.loads(KEPT.read_text(encoding="utf-8"))["tiny.toml"]["weights"]
    found = trained(other, *material)
    assert any(
        found[name] != pytest.approx(one, abs=TOLERANCE * one[0], rel=0)
        for name, one in weights.items()
    )


def test_one_more_random_number_is_seen(material, double, monkeypatch):
    copies = train._copies

    def with_one_more(settings, simulated, rows, rng):
        rng.random()
        return copies(settings, simulated, rows, rng)

    monkeypatch.setattr(train, "_copies", with_one_more)
    weights = json.loads(KEPT.read_text(encoding="utf-8"))["tiny.toml"]["weights"]
    found = trained(TINY, *material)
    assert any(
        found[name] != pytest.approx(one, abs=TOLERANCE * one[0], rel=0)
        for name, one in weights.items()
    )
