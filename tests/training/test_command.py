"""``python -m training`` as a person uses it."""

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from typer.testing import CliRunner

from rankaae_stream.files.read import read_spectrum
from training import config
from training.__main__ import app
from training.config import Data
from training.descriptors import describe
from training.folders import DATA
from training.measured.shown import elsewhere
from training.measured.standards import find_file
from training.simulated.sources import read_sites
from training.simulated.sources.csv import AUX, Table, write_table

RUNS = Path(__file__).resolve().parents[1] / "data" / "feff"
TINY = Path(config.__file__).resolve().parent / "configs" / "tiny.toml"


@pytest.fixture
def runner(monkeypatch):
    monkeypatch.setenv("COLUMNS", "200")
    return CliRunner()


@pytest.mark.slow
def test_fit_writes_a_model_and_shows_its_figures(runner, tmp_path):
    models = tmp_path / "models"
    result = runner.invoke(
        app, ["fit", str(TINY), "--models", str(models), "--runs", str(tmp_path / "runs")]
    )
    assert result.exit_code == 0, result.output
    assert (models / "fe-k" / "tiny" / "card.json").is_file()
    assert "tensorboard --logdir" in result.output
    assert "trial 0: 6 epochs" in result.output
    assert "shift beyond the table" in " ".join(result.output.split())
    assert "oxidation_state" in result.output
    assert "FeO" in result.output


def test_a_misspelt_key_ends_the_command_with_its_name(runner, tmp_path):
    path = tmp_path / "bad.toml"
    path.write_text(TINY.read_text(encoding="utf-8") + "\nseeds = 3\n", encoding="utf-8")
    result = runner.invoke(app, ["fit", str(path)])
    assert result.exit_code == 1
    assert "seeds" in result.output


def test_a_trial_that_fails_ends_the_command_with_its_seed_and_where_it_was(runner, tmp_path):
    path = tmp_path / "bad.toml"
    text = TINY.read_text(encoding="utf-8").replace("epochs = 6", "epochs = 0\nseed = 7")
    path.write_text(text, encoding="utf-8")
    result = runner.invoke(app, ["fit", str(path), "--runs", str(tmp_path), "--workers", "1"])
    assert result.exit_code == 1
    assert "trial 7 (seed 7) failed: ValueError" in result.output
    assert "in fit_trial" in result.output


def test_help_says_what_is_resumed(runner):
    result = runner.invoke(app, ["fit", "--help"])
    assert result.exit_code == 0
    assert "resumes where it stopped" in result.output


@pytest.mark.slow
def test_fit_takes_ones_own_csv_and_lists_what_it_skipped(runner, tmp_path):
    sites = read_sites("Fe", Data(simulated="fe-*.parquet", core_hole_width=1.25), DATA).sites[:120]
    energy = np.arange(7110.0, 7180.0, 0.5)
    labels = np.stack([describe(s.symbols, s.xyz, s.oxidation_state) for s in sites])
    table = Table(
        index=("material", "site"),
        material=tuple(site.group for site in sites),
        site=tuple(str(i) for i in range(len(sites))),
        energy=energy,
        mu=np.stack([np.interp(energy, site.energy, site.mu) for site in sites]),
        aux={name: labels[:, k] for k, name in enumerate(AUX)},
    )
    table.mu[2, 5] = np.nan
    write_table(tmp_path / "fe.csv", table)
    path = tmp_path / "own.toml"
    path.write_text(
        TINY.read_text(encoding="utf-8")
        .replace('simulated = "fe-feff10-*.parquet"', 'source = "csv"\nsimulated = "fe.csv"')
        .replace("copies = 1", "copies = 4")  # a quantile of 90 % asks for nine or more
        .replace("epochs = 6", "epochs = 60"),  # of one step each
        encoding="utf-8",
    )
    where = ["--models", str(tmp_path / "models"), "--runs", str(tmp_path / "runs")]
    where += ["--workers", "1"]
    arguments = ["fit", str(path), "--data", str(tmp_path), *where]
    refused = runner.invoke(app, arguments)
    assert refused.exit_code == 1
    assert "fe.csv, line 4" in refused.output
    result = runner.invoke(app, [*arguments, "--skip-bad"])
    assert result.exit_code == 0, result.output
    assert "skipped fe.csv, line 4" in result.output
    card = json.loads((tmp_path / "models/fe-k/tiny/card.json").read_text(encoding="utf-8"))
    assert len(card["data"]["skipped"]) == 1
    assert card["data"]["dropped"]["sites"] == {}


def test_a_descriptor_that_no_row_is_labelled_with_ends_the_command(runner, tmp_path):
    shutil.copytree(RUNS / "Fe2O3_Fe_feff10", tmp_path / "one")
    path = tmp_path / "own.toml"
    path.write_text(
        TINY.read_text(encoding="utf-8").replace(
            'simulated = "fe-feff10-*.parquet"', 'source = "feff"\nsimulated = "one"'
        ),
        encoding="utf-8",
    )
    result = runner.invoke(app, ["fit", str(path), "--data", str(tmp_path)])
    assert result.exit_code == 1
    assert "one: no site is labelled with oxidation_state" in result.output
    assert "data.table" in result.output


def test_describe_counts_sites_that_hang_on_a_cutoff(runner):
    result = runner.invoke(app, ["describe", str(DATA / "fe-feff10-1.parquet")])
    assert result.exit_code == 0, result.output
    row = next(line for line in result.output.splitlines() if "Fe native" in line)
    assert [cell.strip() for cell in row.strip("│").split("│")][1:3] == ["82", "0 / 2"]


@pytest.mark.parametrize(
    ("arguments", "complaint"),
    [
        (["nothing-*.parquet"], "no file matches nothing"),
        (["*", "--source", "csv", "--data", str(RUNS.parent)], "a CSV holds no structures"),
        (["*", "--source", "xml"], "'parquet', 'csv' or 'feff'"),
    ],
)
def test_describe_says_what_it_cannot_read(runner, arguments, complaint):
    result = runner.invoke(app, ["describe", *arguments])
    assert result.exit_code == 1
    assert complaint in result.output


def test_describe_takes_runs_and_skips_what_is_none(runner, tmp_path):
    for name in ("Fe2O3_Fe_feff10", "NaCuO_Cu_feff9"):
        shutil.copytree(RUNS / name, tmp_path / name)
    (tmp_path / "empty").mkdir()
    arguments = ["describe", "*", "--data", str(tmp_path), "--source", "feff"]
    assert runner.invoke(app, arguments).exit_code == 1
    result = runner.invoke(app, [*arguments, "--skip-bad"])
    assert result.exit_code == 0, result.output
    assert result.output.count("skipped empty: no xmu.dat") == 1
    assert "Cu native" in result.output


@pytest.fixture(scope="module")
def laboratory(tmp_path_factory):
    """A table of two measured spectra of another laboratory: hematite, and a sulfide."""
    rows: list[dict[str, Any]] = []
    for file, compound, kind in (("Fe2O3", "Fe2O3", "oxide"), ("FeS2", "FeS2", "sulfide")):
        found = read_spectrum(find_file(f"Fe/{file}_rt_01.xdi"))
        row = {"element": "Fe", "compound": compound, "oxidation_state": 3.0, "kind": kind}
        row |= {"coordination_number": 6.0, "energy": found.energy, "mu": found.mu}
        rows.append(row | {"source": "a laboratory, its table of 2026"})
    path = tmp_path_factory.mktemp("laboratory") / "measured.parquet"
    pq.write_table(pa.Table.from_pylist(rows), path)
    return path


def test_shifts_lays_every_compound_on_its_own_structure(runner, laboratory, tmp_path):
    result = runner.invoke(app, ["shifts", str(TINY), str(laboratory), "--runs", str(tmp_path)])
    assert result.exit_code == 0, result.output
    assert "by structure" in result.output
    assert "of its formula" in " ".join(result.output.split())
    assert "eV more" not in result.output, "nothing is trained here"


@pytest.mark.slow
def test_constants_writes_what_came_of_spectra_that_stay_elsewhere(runner, laboratory, tmp_path):
    out = tmp_path / "elsewhere.toml"
    arguments = ["constants", str(laboratory), "--config", str(TINY), "--out", str(out)]
    result = runner.invoke(app, [*arguments, "--runs", str(tmp_path / "runs")])
    assert result.exit_code == 0, result.output
    (one,) = elsewhere("Fe", out)
    assert (one.compound, one.source) == ("Fe2O3", "a laboratory, its table of 2026")
    # Left out of the shifts it is judged on the others' axis, some tenths of an eV away.
    error = one.estimate["oxidation_state"] - 3.0
    assert one.error["oxidation_state"] == pytest.approx(error, abs=0.3)


def test_a_table_that_is_none_is_an_error_that_names_it(runner, tmp_path):
    (tmp_path / "x.parquet").write_bytes(b"no table")
    result = runner.invoke(app, ["shifts", str(TINY), str(tmp_path / "x.parquet")])
    assert result.exit_code == 1
    assert "x.parquet" in result.output.replace("\n", "")


def test_a_row_that_holds_no_spectrum_is_an_error_and_no_traceback(runner, laboratory, tmp_path):
    rows = pq.read_table(laboratory).to_pylist()
    rows[0]["mu"] = [float("nan")] * len(rows[0]["mu"])
    pq.write_table(pa.Table.from_pylist(rows), tmp_path / "x.parquet")
    result = runner.invoke(app, ["shifts", str(TINY), str(tmp_path / "x.parquet")])
    assert result.exit_code == 1
    assert isinstance(result.exception, SystemExit)
