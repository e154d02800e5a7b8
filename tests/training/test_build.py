"""One tiny epoch from configuration to a model folder that the runtime accepts."""

import csv
import hashlib
import json
import shutil
from pathlib import Path

import numpy as np
import onnxruntime
import pytest
import torch

from rankaae_stream.errors import Refused
from rankaae_stream.files.read import read_spectrum
from rankaae_stream.model.card import EVIDENCE, ModelCard
from rankaae_stream.model.folder import load_model
from rankaae_stream.spectrum import K_EDGES
from training import config
from training.build import build
from training.export import write_model
from training.folders import STANDARDS
from training.measured import standards
from training.network import ensemble, train
from training.network.networks import RankAAE
from training.simulated import dataset

pytestmark = pytest.mark.slow

TINY = Path(config.__file__).resolve().parent / "configs" / "tiny.toml"


@pytest.fixture(scope="module")
def built(tmp_path_factory):
    folder = tmp_path_factory.mktemp("tiny")
    result = build(config.load(TINY), models=folder / "models", runs=folder / "runs")
    return result, folder


def test_the_folder_is_a_model_whose_card_and_hashes_agree(built):
    result, folder = built
    where = folder / "models" / "fe-k" / "tiny"
    card = ModelCard.from_bytes((where / "card.json").read_bytes())
    assert card.id == result.card.id
    assert {path.name for path in where.iterdir()} == {*card.files, "card.json"}
    for name, digest in card.files.items():
        assert hashlib.sha256((where / name).read_bytes()).hexdigest() == digest
    index = json.loads((folder / "models" / "index.json").read_text(encoding="utf-8"))
    assert index == {"fe-k/tiny": card.id}


def test_the_graphs_have_a_member_axis_and_take_any_number_of_spectra(built):
    result, folder = built
    where = folder / "models" / "fe-k" / "tiny"
    encoder = onnxruntime.InferenceSession(
        where / "encoder.onnx", providers=["CPUExecutionProvider"]
    )
    decoder = onnxruntime.InferenceSession(
        where / "decoder.onnx", providers=["CPUExecutionProvider"]
    )
    members, latent = result.card.members, result.card.latent
    for n in (1, 7):
        (z,) = encoder.run(None, {"flat": np.zeros((n, 256), dtype=np.float32)})
        assert z.shape == (members, n, latent)
        (flat,) = decoder.run(None, {"latent": z})
        assert flat.shape == (members, n, 256)
        assert flat.dtype == np.float32


def test_no_file_tells_where_it_was_made(built):
    where = built[1] / "models" / "fe-k" / "tiny"
    checkout = str(Path(config.__file__).resolve().parents[1]).encode()
    for path in where.iterdir():
        content = path.read_bytes()
        assert checkout not in content, path.name
        assert b".py" not in content, path.name


def test_the_card_says_what_a_number_depends_on(built):
    raw = built[0].card.raw
    assert raw["tail"]["function"] == "training.simulated.dataset.lorentzian_tail"
    assert "FEFF's own normalisation" in raw["data"]["normalization"]
    assert raw["training"]["config"]["network"]["width"] == 16
    assert raw["data"]["files"]
    for output in built[0].card.outputs:
        assert output.error_constant > 0
        assert output.evidence in EVIDENCE


def test_the_evaluation_is_what_infer_says_of_the_same_files(built, inferred):
    result, folder = built
    model = load_model(folder / "models" / "fe-k" / "tiny", result.card.id, "cpu")
    reports = inferred(model)
    files = result.evaluation["files"]
    assert reports.keys() == files.keys()
    for name, report in reports.items():
        found = files[name]
        assert found["refusal"] == (report.refusal.message if report.refusal else "")
        assert found["foil_shift"] == pytest.approx(report.shifts.calibration, abs=1e-9)
        assert found["distance"] == pytest.approx(report.domain.distance, abs=1e-6)
        assert len(report.estimates) == len(result.card.outputs)
        for one in report.estimates:
            assert found[one.name] == pytest.approx(one.value, abs=1e-6)
            assert found[f"{one.name}_low"] == pytest.approx(one.low, abs=1e-6)
            assert found[f"{one.name}_high"] == pytest.approx(one.high, abs=1e-6)


def test_a_second_run_finds_its_trials_and_gives_the_same_card(built):
    result, folder = built
    trials = sorted(folder.glob("runs/**/*.pt"))
    stamps = [path.stat().st_mtime_ns for path in trials]
    assert len(trials) == 2
    again = build(config.load(TINY), models=folder / "again", runs=folder / "runs")
    assert [path.stat().st_mtime_ns for path in trials] == stamps
    assert again.evaluation == result.evaluation
    assert again.card.outputs[0].error_constant == result.card.outputs[0].error_constant


def test_the_same_seed_trains_the_same_network():
    tiny = config.load(TINY)
    simulated = dataset.read(tiny.element, tiny.data, tiny.grid)
    split = dataset.split(simulated, tiny.data)
    one, two = (train.fit_trial(tiny, simulated, split, seed=3).state_dict() for _ in range(2))
    for name, value in one.items():
        assert torch.equal(value, two[name]), name


def test_folding_batchnorm_changes_nothing():
    torch.manual_seed(0)
    network = config.Network()
    models = [RankAAE(256, network) for _ in range(2)]
    flat = torch.rand(64, 256)
    for model in models:
        for _ in range(5):  # so that the running statistics are not those of the start
            model.decoder(model.encoder(flat))
        model.eval()
    stacked = ensemble.stack([model.encoder for model in models])
    decoders = ensemble.stack([model.decoder for model in models])
    with torch.no_grad():
        latent = stacked(flat)
        output = decoders(latent)
        for m, model in enumerate(models):
            np.testing.assert_allclose(latent[m], model.encoder(flat), atol=1e-5)
            np.testing.assert_allclose(output[m], model.decoder(latent[m]), atol=1e-5)


def test_an_export_that_computes_something_else_is_refused(monkeypatch):
    monkeypatch.setattr(write_model, "TOLERANCE", -1.0)
    stacked = ensemble.stack([RankAAE(256, config.Network()).eval().encoder])
    with pytest.raises(ValueError, match="ONNX differs from torch"):
        write_model.to_onnx(
            stacked, np.zeros((2, 256), dtype=np.float32), "flat", "latent", batch=0
        )


@pytest.mark.parametrize("element", ["Ti", "V", "Cr", "Mn", "Fe", "Co", "Ni", "Cu"])
def test_every_measured_file_is_read_calibrated_and_normalised(element):
    found = standards.load(element)
    # No oxide of cobalt or titanium whose spectrum is sound may be shipped.
    few = element in ("Co", "Ti")
    assert {one.role for one in found} >= ({"foil"} if few else {"standard", "foil"})
    for one in found:
        assert abs(one.calibration) < 2.5
        energy, flat = one.normalized()
        assert np.isfinite(flat).all()
        beyond = (energy > 40.0) & (energy < 90.0)
        assert np.mean(flat[beyond]) == pytest.approx(1.0, abs=0.1)


def test_a_foil_in_the_files_own_channel_moves_its_axis():
    found = {one.file: one for one in standards.load("Cr")}
    one = found["Cr/cro2_rt_001.xdi"]
    assert one.foil == standards.CHANNEL
    assert one.calibration == pytest.approx(-1.9, abs=0.3)


def test_a_channel_whose_foil_is_damped_gives_its_shift_with_the_damping():
    found = {one.file: one for one in standards.load("Cu")}
    assert found["Cu/CuS_covellite_13K_01.xdi"].foil == standards.CHANNEL
    shift = found["Cu/CuS_covellite_13K_01.xdi"].shift
    assert shift.damping == pytest.approx(0.3)
    assert shift.uncertainty > 0.15


def test_a_channel_that_a_live_scan_would_refuse_gives_no_shift(tmp_path):
    oxide = read_spectrum(standards.find_file("Cu/CuO_tenorite_13K_01.xdi"))
    rows = "\n".join(f"{a} {b} {b}" for a, b in zip(oxide.energy, oxide.mu, strict=True))
    columns = "# Column.1: energy eV\n# Column.2: mutrans\n# Column.3: murefer"
    (tmp_path / "oxide.xdi").write_text(f"# XDI/1.0\n{columns}\n# ///\n#---\n{rows}\n")
    head = "file,element,compound,oxidation_state,coordination_number,role,foil"
    (tmp_path / "labels.csv").write_text(f"{head}\noxide.xdi,Cu,CuO,2.0,4.0,other,channel\n")
    (found,) = standards.load("Cu", tmp_path)
    assert found.foil == standards.CHANNEL
    assert found.shift is None


def test_a_label_that_promises_a_channel_which_the_file_has_not_is_an_error(tmp_path):
    head = "file,element,compound,oxidation_state,coordination_number,role,foil"
    row = "extra/ni_nio.xdi,Ni,NiO,2.0,6.0,standard,channel"
    (tmp_path / "labels.csv").write_text(f"{head}\n{row}\n")
    (tmp_path / "extra").mkdir()
    shutil.copy(standards.find_file("extra/ni_nio.xdi"), tmp_path / "extra")
    with pytest.raises(Refused, match=r"extra/ni_nio\.xdi has no reference channel"):
        standards.load("Ni", tmp_path)


def test_every_measured_file_has_a_label():
    folder = STANDARDS
    with (folder / "labels.csv").open(encoding="utf-8", newline="") as handle:
        labelled = {row["file"] for row in csv.DictReader(handle)}
    files = {path.relative_to(folder).as_posix() for path in folder.rglob("*.xd*")}
    assert files <= labelled


def test_every_configuration_that_is_shipped_can_be_read():
    found = sorted(TINY.parent.glob("*.toml"))
    families = {f"{element.lower()}-k" for element in K_EDGES}
    assert {path.stem for path in found} == {*families, "tiny"}
    for path in found:
        config.load(path)
