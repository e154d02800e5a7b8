"""`rankaae-stream models`: what is listed, and what `verify` says of a damaged folder."""

import hashlib
import io
import json
import pickle
import shutil

import numpy as np
import pytest
from typer.testing import CliRunner

from rankaae_stream import resources
from rankaae_stream.commands.cli import app
from rankaae_stream.commands.models import read_scores
from rankaae_stream.errors import ModelError
from rankaae_stream.model.folder import shipped_models
from rankaae_stream.model.verify import TOLERANCE, verify_model

SHIPPED = shipped_models()


def run(*words):
    return CliRunner().invoke(app, ["models", *map(str, words)], env={"COLUMNS": "80"})


def flat_text(result):
    return " ".join(result.output.split())


@pytest.fixture
def own(tmp_path):
    """A copy of a shipped model, and what writes it anew with hashes that agree."""
    key = min(SHIPPED)
    path = tmp_path / "own"
    shutil.copytree(resources.folder("models") / key, path)

    def changed(files=None, **card):
        wanted = {**json.loads((path / "card.json").read_bytes()), **card}
        for name, content in (files or {}).items():
            (path / name).write_bytes(content)
            wanted["files"][name] = hashlib.sha256(content).hexdigest()
        (path / "card.json").write_text(json.dumps(wanted), encoding="utf-8")
        return hashlib.sha256((path / "card.json").read_bytes()).hexdigest()

    return path, changed


def packed(**arrays):
    file = io.BytesIO()
    np.savez(file, **arrays)
    return file.getvalue()


def golden_of(path):
    with np.load(path / "golden.npz", allow_pickle=False) as golden:
        return {name: golden[name] for name in golden.files}


@pytest.fixture
def only(monkeypatch, tmp_path):
    """Let the runtime find its models in another folder."""

    def put(path, digest):
        root = tmp_path / "models"
        shutil.copytree(path, root / "fe-k" / "1")
        (root / "index.json").write_text(json.dumps({"fe-k/1": digest}))
        monkeypatch.setattr(resources, "folder", lambda kind: tmp_path / kind)
        return root

    return put


def test_the_list_has_every_shipped_model_with_its_scores():
    result = run()
    assert result.exit_code == 0
    for key, digest in SHIPPED.items():
        card = json.loads((resources.folder("models") / key / "card.json").read_bytes())
        (line,) = [line for line in result.output.splitlines() if digest[:12] in line]
        assert key.split("/")[1] in line
        score = card["scores"]["test"]["oxidation_state"]
        assert f"{score['spearman_score']:.2f}" in line
        assert f"{score['mean_absolute_error_loss']:.2f}" in line
        assert f"{card['theory_shift']['value']:+.2f}" in line


def test_the_list_as_json_is_one_object_a_line():
    lines = run("--json").output.splitlines()
    rows = [json.loads(line) for line in lines]
    assert {row["model"]: row["id"] for row in rows} == SHIPPED
    for row in rows:
        path = resources.folder("models") / row["model"]
        compounds = json.loads((path / "evaluation.json").read_bytes())["compounds"]
        errors = [abs(one["error"]["oxidation_state"]) for one in compounds]
        assert row["standards_compounds"] == len(errors)
        if errors:
            assert row["standards_mean_absolute_error_loss"] == pytest.approx(np.mean(errors))
        card = json.loads((path / "card.json").read_bytes())
        files = json.loads((path / "evaluation.json").read_bytes())["files"].values()
        widths = [
            one["oxidation_state_high"] - one["oxidation_state_low"]
            for one in files
            if one["role"] == "standard"
        ]
        assert row["interval_width"] == (pytest.approx(np.median(widths)) if widths else None)
        assert list(row["evidence"]) == [one["name"] for one in card["outputs"]]


def test_scores_that_a_card_lacks_are_dashes(own, only):
    path, changed = own
    digest = changed({"evaluation.json": b"[]"}, scores={"test": None})
    only(path, digest)
    result = run()
    assert result.exit_code == 0, result.output
    (line,) = [line for line in result.output.splitlines() if digest[:12] in line]
    assert line.split()[3:6] == ["-", "-", "-"]
    row = json.loads(run("--json").output)
    assert row["test_spearman_score"] is row["standards_mean_absolute_error_loss"] is None


def test_a_compound_without_a_number_is_left_out_of_the_mean(own):
    path, changed = own
    compounds = [{"error": {"oxidation_state": -0.2}}, {"error": {}}, {}]
    digest = changed({"evaluation.json": json.dumps({"compounds": compounds}).encode()})
    scores = read_scores(path, "fe-k/1", digest)
    assert scores.standards_compounds == 1
    assert scores.standards_mean_absolute_error_loss == pytest.approx(0.2)


def test_descriptors_shown_on_simulations_only_are_named(own, only):
    path, changed = own
    outputs = json.loads((path / "card.json").read_bytes())["outputs"]
    for i, one in enumerate(outputs):
        one["evidence"] = "measured" if i < 2 else "simulation"
    only(path, changed(outputs=outputs))
    named = ", ".join(one["name"] for one in outputs[2:])
    assert f"shown on simulations only: {named} rho, MAE" in flat_text(run())
    outputs = [{**one, "evidence": "measured"} for one in outputs]
    shutil.rmtree(path.parent / "models")
    only(path, changed(outputs=outputs))
    assert "shown on simulations only: none" in flat_text(run())


def test_a_damaged_model_ends_the_list_with_its_name(own, only):
    path, changed = own
    root = only(path, changed())
    (root / "fe-k" / "1" / "encoder.onnx").write_bytes(b"")
    result = run()
    assert result.exit_code == 1
    assert "encoder.onnxhassha256" in "".join(result.output.split())


def test_shipped_models_are_whole_and_told_in_a_line_each():
    result = run("verify")
    assert result.exit_code == 0
    lines = [line for line in result.output.splitlines() if not line.startswith("foils/")]
    assert len(lines) == len(SHIPPED)
    for line, key in zip(lines, sorted(SHIPPED), strict=True):
        assert line.startswith(f"ok {key} {SHIPPED[key][:12]}: ")


def test_a_model_is_named_by_edge_or_by_its_folder():
    key = min(SHIPPED)
    for name in (key, key.split("/")[0], resources.folder("models") / key):
        result = run("verify", name)
        assert result.exit_code == 0
        assert SHIPPED[key][:12] in result.output
        assert "not in the index" not in result.output


def test_a_model_of_ones_own_is_checked_and_its_id_told(own):
    path, changed = own
    digest = changed(name="mine")
    result = run("verify", path)
    assert result.exit_code == 0
    (line,) = result.output.splitlines()
    assert line.endswith(f"not in the index, id {digest}")


def test_one_bad_model_among_good_ones_fails_and_the_rest_is_told(own):
    path, _ = own
    (path / "encoder.onnx").write_bytes(b"")
    result = run("verify", min(SHIPPED), path, "nowhere", max(SHIPPED))
    assert result.exit_code == 1
    first, second, third, last = result.output.splitlines()
    assert first.startswith("ok")
    assert last.startswith("ok")
    assert second.startswith("FAILED")
    assert "encoder.onnx has sha256" in second
    assert "export the model again" in second
    assert "no such model" in third
    assert min(SHIPPED) in third


def test_a_card_that_is_not_the_one_of_the_index_fails(own, only):
    path, changed = own
    root = only(path, changed())
    (root / "index.json").write_text(json.dumps({"fe-k/1": "0" * 64}))
    result = run("verify")
    assert result.exit_code == 1
    assert "card.json has sha256" in result.output
    assert "reinstall" in result.output


@pytest.mark.parametrize("content", ["{", "[1]", '"x"'])
def test_a_damaged_index_is_named(own, only, content):
    root = only(own[0], "0")
    (root / "index.json").write_text(content)
    for words in ((), ("verify",)):
        result = run(*words)
        assert result.exit_code == 1
        assert "index.jsonisnotanindexofmodels" in "".join(result.output.split())
    with pytest.raises(ModelError, match=r"index\.json is not an index of models.*reinstall"):
        shipped_models()


@pytest.mark.parametrize(("name", "graph"), [("latent", "encoder"), ("reconstruction", "decoder")])
@pytest.mark.parametrize("wrong", [3 * TOLERANCE, np.nan])
def test_a_graph_that_gives_other_numbers_is_named(own, name, graph, wrong):
    path, changed = own
    golden = golden_of(path)
    golden[name][-1, -1, -1] += wrong
    digest = changed({"golden.npz": packed(**golden)})
    with pytest.raises(ModelError, match=rf"{graph}\.onnx differs from golden\.npz by"):
        verify_model(path, digest)


def test_what_the_golden_pair_allows_passes(own):
    path, changed = own
    golden = golden_of(path)
    golden["reconstruction"] = golden["reconstruction"] + np.float32(0.3 * TOLERANCE)
    done = verify_model(path, changed({"golden.npz": packed(**golden)}))
    assert 0.1 * TOLERANCE < done.flat_difference < 0.9 * TOLERANCE
    assert done.spectra == golden["flat"].shape[0]


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"PK\x03\x04 cut short",
        packed(flat=np.zeros((1, 256))),
        packed(flat=np.zeros((1, 9)), latent=np.zeros(1), reconstruction=np.zeros(1)),
        packed(**dict.fromkeys(("flat", "latent", "reconstruction"), np.float64(0))),
        pickle.dumps(1),
    ],
    ids=["empty", "cut", "parts", "shapes", "scalars", "pickle"],
)
def test_a_golden_file_that_holds_no_pair_is_named(own, content):
    path, changed = own
    digest = changed({"golden.npz": content})
    with pytest.raises(ModelError, match=r"golden\.npz holds .*export the model again"):
        verify_model(path, digest)


def test_a_pickle_in_the_golden_file_is_never_executed(own):
    path, changed = own
    digest = changed({"golden.npz": packed(flat=np.array([print], dtype=object))})
    with pytest.raises(ModelError, match="allow_pickle=False"):
        verify_model(path, digest)


def test_a_model_without_a_golden_pair_is_named(own):
    path, _ = own
    card = json.loads((path / "card.json").read_bytes())
    del card["files"]["golden.npz"]
    (path / "card.json").write_text(json.dumps(card))
    with pytest.raises(ModelError, match=r"names no golden\.npz"):
        verify_model(path, None)


def test_a_graph_that_is_none_is_named(own):
    path, changed = own
    digest = changed({"decoder.onnx": b"no graph"})
    with pytest.raises(ModelError, match=r"decoder\.onnx, .* do not run.*export the model again"):
        verify_model(path, digest)
