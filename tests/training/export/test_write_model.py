"""A model folder is there whole or not at all, and it is the only one of its edge."""

import copy
import errno
import hashlib
import json
import logging
import os
import shutil
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
import torch

from rankaae_stream.errors import ConfigurationError, ModelError
from rankaae_stream.model.card import MonotoneMap
from rankaae_stream.model.folder import checked_files, load_model, shipped_models
from rankaae_stream.model.verify import largest_difference, verify_model
from rankaae_stream.resources import folder
from training.config import Config, Data, Network
from training.export import place, write_model
from training.measured.intervals import ErrorModel
from training.network.ensemble import Ensemble, Stacked
from training.network.networks import RankAAE
from training.network.train import Trial

FULL = OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
KEYS = ["fe-k/1", "fe-k/2", "mn-k/1"]
"""Written over the same version, beside an older one, and as the first of its edge."""


class Killed(BaseException):
    """What a test raises where the process would be gone."""


class Disk:
    """Counts the steps on the disk, and lets the k-th fail; a kill leaves no step after it."""

    def __init__(self, monkeypatch, k: int, error: BaseException) -> None:
        self.steps: list[str] = []
        self.k, self.error = k, error
        for owner, name in (
            (shutil, "rmtree"),
            *((Path, name) for name in ("mkdir", "write_bytes", "rename", "replace", "unlink")),
        ):
            monkeypatch.setattr(owner, name, self._breaking(name, getattr(owner, name)))

    def _breaking(self, name, step):
        def broken(path, *given, **options):
            self.steps.append(name)
            now = len(self.steps) - 1
            if now == self.k and name == "write_bytes":
                step(path, given[0][: len(given[0]) // 2])
            if now == self.k and name == "rmtree":
                os.remove(max(file for file in path.rglob("*") if file.is_file()))
            if now == self.k or (now > self.k >= 0 and isinstance(self.error, Killed)):
                raise self.error
            return step(path, *given, **options)

        return broken


def tree(models: Path) -> dict[str, bytes]:
    """Every file below a folder, and the folders."""
    return {
        path.relative_to(models).as_posix(): path.read_bytes() if path.is_file() else b""
        for path in models.rglob("*")
    }


def indexed(models: Path) -> dict[str, str]:
    return json.loads((models / "index.json").read_bytes())


@pytest.fixture(autouse=True)
def hashes_only(monkeypatch):
    """Let folders be verified by their hashes, where a test is about files alone."""
    monkeypatch.setattr(place, "verify_model", checked_files)


@pytest.fixture(scope="module")
def shipped() -> dict[str, bytes]:
    """A shipped model's files."""
    path = folder("models") / min(shipped_models())
    card = json.loads((path / "card.json").read_bytes())
    return {name: (path / name).read_bytes() for name in ["card.json", *card["files"]]}


def changed(contents: dict[str, bytes], note: str, files: dict[str, bytes]) -> dict[str, bytes]:
    """Other files under a card of another id."""
    digests = {name: hashlib.sha256(content).hexdigest() for name, content in files.items()}
    card = {**json.loads(contents["card.json"]), "note": note, "files": digests}
    return {**files, "card.json": json.dumps(card).encode()}


@pytest.fixture(scope="module")
def one(shipped) -> dict[str, bytes]:
    """A model of short files: a test copies them hundreds of times."""
    return changed(shipped, "one", {name: name.encode() for name in shipped if name != "card.json"})


@pytest.fixture(scope="module")
def two(one) -> dict[str, bytes]:
    """The same files under a card of another id."""
    return changed(one, "two", {name: one[name] for name in one if name != "card.json"})


@pytest.fixture
def models(tmp_path, one) -> Path:
    """An index with one version of iron, and one of vanadium that nothing may touch."""
    place.place(tmp_path / "models", "v-k/1", one)
    place.place(tmp_path / "models", "fe-k/1", one)
    return tmp_path / "models"


@pytest.fixture
def steps(models, two, tmp_path, monkeypatch):
    """What an undisturbed export does on the disk, and the tree it leaves."""

    def done(key):
        copy = tmp_path / f"copy of {key.replace('/', ' ')}"
        shutil.copytree(models, copy)
        with monkeypatch.context() as patched:
            disk = Disk(patched, -1, FULL)
            place.place(copy, key, two)
        return disk.steps, tree(copy)

    return done


@pytest.mark.parametrize("key", KEYS)
def test_an_export_leaves_one_version_of_its_edge_and_the_other_edges(models, one, two, key):
    place.place(models, key, two)
    index = indexed(models)
    assert set(index) == {"v-k/1", key} | ({"fe-k/1"} if key == "mn-k/1" else set())
    wanted = {f"{one}/{file}" for one in index for file in two}
    assert {name for name in tree(models) if name.count("/") == 2} == wanted
    assert {path.name for path in models.iterdir()} == {
        "index.json",
        *(name.split("/")[0] for name in index),
    }
    for name, digest in index.items():
        checked_files(models / name, digest)
        files = two if name == key else one
        assert (models / name / "card.json").read_bytes() == files["card.json"]


def test_an_older_version_that_goes_is_told(models, two, caplog):
    with caplog.at_level(logging.WARNING):
        place.place(models, "fe-k/2", two)
    (record,) = caplog.records
    assert str(models / "fe-k" / "1") in record.getMessage()


def test_nothing_that_the_index_does_not_name_is_removed(models, two):
    for name in ("fe-k/own", "outside"):
        (models / name).mkdir()
        (models / name / "card.json").write_text("mine")
    odd = dict.fromkeys(("fe-k/../outside", "fe-k/..", "fe-k/", "fe-k/.", "fe-k/../v-k/1"), "0")
    (models / "index.json").write_text(json.dumps({**indexed(models), **odd}))
    place.place(models, "fe-k/2", two)
    assert set(indexed(models)) == {"fe-k/2", "v-k/1"}
    for name in ("fe-k/own", "outside"):
        assert (models / name / "card.json").read_text() == "mine"
    assert (models / "v-k" / "1" / "card.json").is_file()
    assert not (models / "fe-k" / "1").exists()


@pytest.mark.parametrize("key", KEYS)
def test_an_error_anywhere_before_the_index_is_replaced_changes_nothing(
    models, two, key, steps, monkeypatch
):
    before = tree(models)
    names, _ = steps(key)
    assert names.count("write_bytes") == len(two) + 1
    begins, commits = names.index("write_bytes"), names.index("replace")
    for k in range(begins, commits + 1):
        with monkeypatch.context() as patched:
            disk = Disk(patched, k, FULL)
            with pytest.raises(ConfigurationError, match=r"No space left.*unchanged.*Make room"):
                place.place(models, key, two)
        assert disk.steps[k] == names[k]
        assert tree(models) == before, (k, names[k])


@pytest.mark.parametrize("key", KEYS)
def test_after_a_kill_the_next_export_restores_what_the_index_names_and_names_the_rest(
    models, two, key, steps, monkeypatch, tmp_path, caplog
):
    before = tree(models)
    names, after = steps(key)
    for k, name in enumerate(names):
        killed = tmp_path / f"killed {k}"
        shutil.copytree(models, killed)
        with monkeypatch.context() as patched:
            Disk(patched, k, Killed())
            with pytest.raises(Killed):
                place.place(killed, key, two)
        # A new version never stands in the way of the one that is used meanwhile.
        for one, digest in indexed(killed).items() if key != "fe-k/1" else ():
            checked_files(killed / one, digest)
        found = after if indexed(killed) != json.loads(before["index.json"]) else before
        place._restore(killed / key.split("/")[0], indexed(killed))
        assert found.items() <= tree(killed).items(), (k, name)
        caplog.clear()
        place.place(killed, key, two)
        there = tree(killed)
        assert after.items() <= there.items(), (k, name)
        left = there.keys() - after.keys()
        assert {"/".join(one.split("/")[:2]) for one in left} <= {"fe-k/1"}
        assert not left or str(killed / "fe-k" / "1") in caplog.text


def test_files_that_the_runtime_would_refuse_do_not_replace_a_model(
    models, shipped, two, monkeypatch
):
    before = tree(models)
    with pytest.raises(ModelError, match=r"encoder\.onnx has sha256"):
        place.place(models, "fe-k/1", {**two, "encoder.onnx": two["decoder.onnx"]})
    assert tree(models) == before
    monkeypatch.setattr(place, "verify_model", verify_model)
    files = {name: shipped[name] for name in shipped if name != "card.json"}
    swapped = changed(shipped, "swapped", {**files, "encoder.onnx": files["decoder.onnx"]})
    with pytest.raises(ModelError, match="encoder"):
        place.place(models, "fe-k/1", swapped)
    assert tree(models) == before


def test_a_damaged_index_is_named_and_stays(models, two):
    (models / "index.json").write_text('{"fe-k/1": ')
    before = tree(models)
    with pytest.raises(ConfigurationError, match=r"index\.json is not an index.*restore it"):
        place.place(models, "fe-k/2", two)
    assert tree(models) == before


def test_elements_that_are_exported_at_once_all_reach_the_index(tmp_path, one):
    keys = [f"{edge}-k/1" for edge in ("ti", "v", "cr", "mn")]
    with ThreadPoolExecutor(len(keys)) as pool:
        list(pool.map(lambda key: place.place(tmp_path, key, one), keys))
    assert set(indexed(tmp_path)) == set(keys)


@pytest.fixture(scope="module")
def ensemble() -> Ensemble:
    """Two untrained members, with statistics of their own in every BatchNorm."""
    torch.manual_seed(0)
    trials = [Trial(seed, RankAAE(256, Network(width=16, depth=2))) for seed in range(2)]
    for trial in trials:
        for _ in range(50):
            trial.model.decoder(trial.model.encoder(torch.rand(64, 256)))
        trial.model.eval()
    return Ensemble(trials)


def classifier() -> bytes:
    """Two kinds from 55 edge-aligned points."""
    example = np.random.default_rng(2).random((4, 55)).astype(np.float32)
    torch.manual_seed(0)
    return write_model.to_onnx(torch.nn.Linear(55, 2).eval(), example, "aligned", "kinds", batch=0)


def write(ensemble: Ensemble, models: Path, check) -> None:
    config = Config(
        name="fe-k-untrained",
        version="1",
        element="Fe",
        data=Data(simulated="*", core_hole_width=1.0),
        network=Network(width=16, depth=2),
    )
    maps = [MonotoneMap(np.array([0.0, 1.0]), np.array([2.0, 3.0]))] * 2
    error = ErrorModel(0.1, 0.1)
    drafted = write_model.draft(
        config,
        ensemble,
        [
            write_model.output_entry(
                "oxidation_state",
                0,
                maps,
                0.9,
                error,
                calibration={"whole": [1.0], "half": [1.0]},
                per_ev=0.0,
                levels=[],
                unsupported_half=0.0,
                evidence="simulation",
            )
        ],
        {"value": 0.0, "uncertainty": 0.4, "moved": {}},
        {
            "aligned": [-8.0, 46.0],
            "kinds": ["oxides", "sulfides"],
            "threshold": 0.7,
            "start": 0.0,
            "poor_fit": 0.1,
        },
        classifier(),
        examples=check,
    )
    write_model.write_model(
        config,
        drafted,
        evaluation={},
        notes={},
        golden=np.random.default_rng(0).random((3, 256)),
        models=models,
    )


@pytest.mark.slow
def test_a_thousand_spectra_give_the_same_in_torch_and_onnx(ensemble, tmp_path, monkeypatch):
    monkeypatch.setattr(place, "verify_model", verify_model)
    check = np.random.default_rng(1).random((1000, 256))
    write(ensemble, tmp_path, check)
    (digest,) = indexed(tmp_path).values()
    path = tmp_path / "fe-k" / "1"
    assert verify_model(path, digest).spectra == 3
    model = load_model(path, digest, "cpu")
    latent = ensemble.encode(check)
    assert largest_difference(model.encode(check), latent) <= write_model.TOLERANCE
    drawn = ensemble.decode(latent)
    assert largest_difference(model.decode(latent), drawn) <= write_model.TOLERANCE


class Clipped(Stacked):
    """Computes something else in torch than in the exported graph, above 1.5 edge steps."""

    def forward(self, x):
        return super().forward(x if torch.compiler.is_exporting() else x.clamp(max=1.5))


@pytest.mark.slow
def test_one_spectrum_of_a_thousand_that_differs_stops_the_export(ensemble, tmp_path):
    encoder = ensemble.encoder
    odd = copy.copy(ensemble)
    odd.encoder = Clipped(encoder.weights, encoder.biases, encoder.slopes).eval()
    check = np.random.default_rng(1).random((1000, 256))
    check[700, 100] = 5.0
    with pytest.raises(ValueError, match=r"flat -> latent: ONNX differs .* by \S+ in 1000 spectra"):
        write(odd, tmp_path, check)
    assert tree(tmp_path) == {}
    write(odd, tmp_path, np.delete(check, 700, axis=0))
    assert set(indexed(tmp_path)) == {"fe-k/1"}
