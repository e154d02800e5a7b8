"""Model folders: what is accepted, and what is said of the rest."""

import json
import shutil

import numpy as np
import pytest

from rankaae_stream import resources
from rankaae_stream.errors import ModelError
from rankaae_stream.model.card import ModelCard
from rankaae_stream.model.folder import load_model, shipped_models

SHIPPED = shipped_models()


@pytest.fixture(params=SHIPPED)
def shipped(request):
    return resources.folder("models") / request.param, SHIPPED[request.param]


@pytest.fixture
def copied(tmp_path):
    key = next(iter(SHIPPED))
    path = tmp_path / "model"
    shutil.copytree(resources.folder("models") / key, path)
    return path, SHIPPED[key]


def test_a_shipped_model_loads_and_gives_its_golden_numbers(shipped):
    path, digest = shipped
    model = load_model(path, digest, "cpu")
    with np.load(path / "golden.npz", allow_pickle=False) as golden:
        latent = model.encode(golden["flat"])
        np.testing.assert_allclose(latent, golden["latent"], atol=1e-5)
        np.testing.assert_allclose(model.decode(latent), golden["reconstruction"], atol=1e-5)
        assert latent.shape == (model.card.members, golden["flat"].shape[0], model.card.latent)


def test_any_number_of_spectra_goes_in(shipped):
    model = load_model(*shipped, "cpu")
    flat = np.random.default_rng(0).uniform(0, 1.5, (7, model.card.grid.points))
    whole = model.encode(flat)
    one_by_one = np.concatenate([model.encode(row[None]) for row in flat], axis=1)
    # Noise is no spectrum: its latents reach 30, where single precision has 1e-6 of that.
    np.testing.assert_allclose(whole, one_by_one, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("name", ["encoder.onnx", "decoder.onnx", "domain.onnx", "golden.npz"])
def test_an_altered_file_is_named_with_the_fix(copied, name):
    path, digest = copied
    content = bytearray((path / name).read_bytes())
    content[-1] ^= 1
    (path / name).write_bytes(content)
    with pytest.raises(ModelError, match=rf"{name} has sha256 .*reinstall"):
        load_model(path, digest)


def test_an_altered_card_is_unknown(copied):
    path, digest = copied
    card = json.loads((path / "card.json").read_text())
    card["theory_shift"]["value"] += 0.1
    (path / "card.json").write_text(json.dumps(card))
    with pytest.raises(ModelError, match="give this id in the profile"):
        load_model(path, digest)


def test_a_missing_file_is_named(copied):
    path, digest = copied
    (path / "encoder.onnx").unlink()
    with pytest.raises(ModelError, match=r"cannot read .*encoder.onnx"):
        load_model(path, digest)


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"schema": 2}, "schema 2"),
        ({"members": 99}, "99 members"),
        ({"edge": {"element": "Fe"}}, "not a valid model card"),
        ({"herfd": "no"}, "herfd is 'no', must be true or false"),
        ({"outputs": [{"name": "x"}]}, "not a valid model card"),
    ],
)
def test_a_card_that_contradicts_itself_is_refused(copied, change, says):
    card = json.loads((copied[0] / "card.json").read_text())
    with pytest.raises(ModelError, match=says):
        ModelCard.from_bytes(json.dumps({**card, **change}).encode())


def test_a_card_says_what_its_model_was_trained_for_beside_plain_absorption(shipped):
    content = (shipped[0] / "card.json").read_bytes()
    card = ModelCard.from_bytes(content)
    assert (card.id, card.trained_for) == (shipped[1], frozenset())
    herfd = json.dumps({**json.loads(content), "herfd": True}).encode()
    assert ModelCard.from_bytes(herfd).trained_for == {"herfd"}


@pytest.mark.parametrize("content", [b"", b"[]", b"{", b"\xff\xfe"])
def test_a_card_that_is_no_json_object_is_refused(content):
    with pytest.raises(ModelError, match="not a valid model card"):
        ModelCard.from_bytes(content)


def test_files_outside_the_folder_are_not_read(copied):
    path, _ = copied
    card = json.loads((path / "card.json").read_text())
    card["files"]["../secret"] = "0" * 64
    content = json.dumps(card).encode()
    (path / "card.json").write_bytes(content)
    with pytest.raises(ModelError, match="must lie beside the card"):
        load_model(path, ModelCard.from_bytes(content).id)


def test_loading_a_model_prints_nothing_on_this_machine(shipped, capfd):
    load_model(*shipped, "auto")
    printed = capfd.readouterr()
    assert printed.out == printed.err == ""
