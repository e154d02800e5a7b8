"""`rankaae-stream series`: a folder of scans to fractions, or to one merged answer."""

import csv
import json

import numpy as np
import pytest
from typer.testing import CliRunner

from rankaae_stream import resources
from rankaae_stream.commands.cli import app
from rankaae_stream.files.read import read_spectrum
from rankaae_stream.simulate import SERIES
from rankaae_stream.simulate.documents import Beam
from rankaae_stream.simulate.steps import ophyd_step
from rankaae_stream.spectra.normalize import normalize
from rankaae_stream.spectrum import NormalizationRanges

SAMPLES = {sample.name: sample for sample in SERIES}
SPECTRA = resources.folder("profiles/spectra")
ENERGY = np.concatenate([np.arange(6962.0, 7092.0, 5.0), np.arange(7092.0, 7290.0, 0.6)])


def run(*words):
    result = CliRunner().invoke(app, ["series", *map(str, words)], env={"COLUMNS": "120"})
    assert result.exit_code in (0, 1), result.output
    return result


def flat(name, shift=0.0):
    found = read_spectrum(SPECTRA / "Fe" / f"{name}.xdi")
    good = normalize(found.energy, found.mu, 7112.0, NormalizationRanges())
    return np.interp(ENERGY + shift, found.energy, good.norm)


def write(path, mu):
    np.savetxt(path, np.c_[ENERGY, mu], header="energy mu")


@pytest.fixture(scope="module")
def reduction(tmp_path_factory):
    """Hematite for three scans, then a ramp to FeO; the axis jitters by 0.05 eV."""
    folder, rng = tmp_path_factory.mktemp("reduction"), np.random.default_rng(0)
    for number in range(1, 18):
        share = min(max((number - 3) / 12.0, 0.0), 1.0)
        shift = 0.05 * rng.normal()
        mu = (1.0 - share) * flat("Fe2O3_rt_01", shift) + share * flat("FeO_rt_01", shift)
        write(folder / f"scan_{number}.dat", mu + 0.003 * rng.normal(size=mu.size))
    return folder


@pytest.fixture(scope="module")
def repeats(tmp_path_factory):
    """Eight noisy scans of hematite and one of another sample."""
    folder, rng = tmp_path_factory.mktemp("repeats"), np.random.default_rng(1)
    for number in range(1, 10):
        mu = flat("FeO_rt_01" if number == 6 else "Fe2O3_rt_01")
        write(folder / f"r{number}.dat", mu + 0.02 * rng.normal(size=mu.size))
    return folder


def test_a_reduction_is_resolved_into_its_ends_and_its_plateau_found(reduction, tmp_path):
    found = json.loads(run(reduction, "--element", "Fe", "--json").stdout)
    assert found["components"] == 2
    names = [row["spectrum"].rsplit("_", 1)[1] for row in found["spectra"]]
    assert names == [f"{number}.dat" for number in range(1, 18)], "scan_2 before scan_10"
    first, middle, last = (found["spectra"][i] for i in (0, 8, 16))
    assert first["share_1"] + first["share_2"] == pytest.approx(1.0)
    assert middle["valence"] == pytest.approx(2.5, abs=0.06)
    assert abs(middle["valence"] - 2.5) <= middle["half_width"]
    assert first["valence"] - last["valence"] == pytest.approx(1.0, abs=0.12)
    assert any(abs(one["at"] - 14) <= 2 for one in found["changes"])


def test_the_table_and_the_picture_are_written(reduction, tmp_path):
    result = run(
        reduction, "--element", "Fe", "--table", tmp_path / "t.csv", "--plot", tmp_path / "s.png"
    )
    assert "17 spectra: 2 components" in result.output
    rows = list(csv.DictReader((tmp_path / "t.csv").read_text(encoding="utf-8").splitlines()))
    assert len(rows) == 17
    assert float(rows[0]["misfit"]) < 2.0
    assert (tmp_path / "s.png").stat().st_size > 10_000


def test_known_references_are_fitted_instead(reduction):
    ends = [SPECTRA / "Fe" / f"{name}.xdi" for name in ("Fe2O3_rt_01", "FeO_rt_01")]
    words = [word for end in ends for word in ("--end", end)]
    found = json.loads(run(reduction, "--element", "Fe", "--json", *words).stdout)
    assert [name.rsplit("/", 1)[1] for name in found["ends"]] == [end.name for end in ends]
    assert found["spectra"][8]["share_2"] == pytest.approx(0.5, abs=0.05)


def test_repeats_are_averaged_and_the_other_sample_is_left_out(repeats):
    found = json.loads(run(repeats, "--element", "Fe", "--json", "--stop-at", "0.4").stdout)
    assert found["components"] == 1
    assert found["merged"]["low"] <= 3.0 <= found["merged"]["high"]
    (left_out,) = found["left_out"]
    assert left_out["spectrum"].endswith("r6.dat")
    assert found["more_repeats"] == 0
    assert found["advice"].startswith("enough: ")


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["{folder}/scan_1.dat"], "a series needs two complete spectra of one edge"),
        (["{folder}", "--end", "{folder}/none.dat"], "--end"),
        (["{folder}/*.xyz"], "two complete spectra"),
        (["{folder}", "--plot", "x.doc"], "cannot draw into x.doc"),
    ],
)
def test_what_cannot_be_a_series_is_named(reduction, words, message):
    result = run(*(word.format(folder=reduction) for word in words), "--element", "Fe")
    assert result.exit_code == 1
    assert message in " ".join(result.output.split())


@pytest.fixture(scope="module")
def session(tmp_path_factory):
    """Stored runs: a cell that is heated and reduced in one step, and a single scan of another."""
    path = tmp_path_factory.mktemp("session") / "runs.jsonl"
    lines = []
    for number in range(9):
        beam = Beam(SAMPLES["Fe2O3" if number < 5 else "FeO"])
        heater = {"T": 300.0 + 20.0 * number}
        names = {"sample_name": "cell 3" if number else "other", "scan_id": 100 + number}
        for name, doc in ophyd_step(beam, name=f"x{number}", element="Fe", heater=heater, **names):
            lines.append(json.dumps([name, {**doc, "time": doc["time"] + 600.0 * number}]))
    path.write_text("\n".join(lines), encoding="utf-8")
    return path


def test_stored_runs_make_series_by_the_profiles_rule(session, tmp_path):
    words = (session, "--profile", "generic", "--against", "heater.T")
    found = json.loads(run(*words, "--json").stdout)
    assert found["series"] == "cell 3, Fe K, transmission"
    assert found["against"] == "heater.T"
    assert [row["scan_id"] for row in found["spectra"]] == list(range(101, 109))
    assert [row["heater.T"] for row in found["spectra"]] == [320.0 + 20.0 * i for i in range(8)]
    (change,) = found["changes"]
    assert (change["at"], change["at_value"]) == (4, pytest.approx(400.0, abs=20.0))
    output = run(*words, "--table", tmp_path / "t.csv").output
    assert "scan 105 (± 1 spectra), heater.T" in output
    rows = list(csv.DictReader((tmp_path / "t.csv").read_text(encoding="utf-8").splitlines()))
    assert {row["series"] for row in rows} == {"cell 3, Fe K, transmission"}


def test_runs_that_make_no_series_say_what_does(session):
    result = run(session, "--profile", "generic", "--where", "sample_name=other")
    assert result.exit_code == 1
    assert "[series] of the profile" in result.output


def test_a_scan_half_beside_the_sample_is_named_and_bends_no_course(reduction, tmp_path):
    for path in reduction.glob("*.dat"):
        mu = np.loadtxt(path, unpack=True)[1]
        if path.name == "scan_2.dat":
            mu = -np.log(0.5 * np.exp(-2.5 * mu) + 0.5)
        write(tmp_path / path.name, mu)
    found = json.loads(run(tmp_path, "--element", "Fe", "--json").stdout)
    (flag,) = [one for one in found["flags"] if one["name"] == "no_mixture"]
    assert "scan_2.dat" in flag["message"]
    assert found["spectra"][1]["misfit"] > 4.0
    assert abs(found["pieces"][0]["slope"]) < 3 * found["pieces"][0]["sigma"]
