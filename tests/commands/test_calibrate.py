"""`rankaae-stream calibrate`: from a table of standards to a model that a profile pins."""

import json

import numpy as np
import pytest
from typer.testing import CliRunner

from rankaae_stream import resources
from rankaae_stream.commands.cli import app
from rankaae_stream.errors import ConfigurationError
from rankaae_stream.files.read import read_spectrum
from rankaae_stream.inference import infer, infer_file
from rankaae_stream.loading import analysis_with, default_analysis, load_analysis
from rankaae_stream.profile.reading import load_profile
from rankaae_stream.spectra.normalize import normalize
from rankaae_stream.spectrum import NormalizationRanges

SPECTRA = resources.folder("profiles/spectra")


def run(*words):
    return CliRunner().invoke(app, ["calibrate", *map(str, words)], env={"COLUMNS": "100"})


def said(result):
    return " ".join(result.output.split())


def flat(name, energy):
    found = read_spectrum(SPECTRA / "Fe" / name)
    normalized = normalize(found.energy, found.mu, 7112.0, NormalizationRanges())
    return np.interp(energy, found.energy, normalized.norm)


@pytest.fixture(scope="module")
def series(tmp_path_factory):
    """Mixtures of FeO and Fe2O3 on an axis 1 eV off, and a scale of valence of their own."""
    folder = tmp_path_factory.mktemp("series")
    energy = np.concatenate([np.arange(6960.0, 7095.0, 5.0), np.arange(7095.0, 7300.0, 0.5)])
    ends = flat("FeO_rt_01.xdi", energy), flat("Fe2O3_rt_01.xdi", energy)
    lines = ["file,valence"]
    for number, share in enumerate(np.linspace(0.0, 1.0, 20)):
        mu = (1.0 - share) * ends[0] + share * ends[1]
        np.savetxt(folder / f"s{number:02d}.dat", np.c_[energy + 1.0, mu], header="energy mu")
        lines.append(f"s{number:02d}.dat,{2.0 + share:.4f}")
    (folder / "table.csv").write_text("\n".join(lines) + "\n", encoding="utf-8")
    return folder


@pytest.fixture(scope="module")
def calibrated(series):
    result = run("--standards", series / "table.csv", "--blocks", 10, "--element", "Fe",
                 "--output", series / "own", "--plot", series / "known.png")  # fmt: skip
    assert result.exit_code == 0, result.output
    return series / "own", said(result)


def errors(analysis, series):
    rows = [line.split(",") for line in (series / "table.csv").read_text().splitlines()[1:]]
    answers = [infer_file(series / name, "Fe", analysis=analysis)[0].report for name, _ in rows]
    found = [report.estimate("oxidation_state") for report in answers]
    return [abs(one.value - float(known)) for one, (_, known) in zip(found, rows, strict=True)]


def test_the_series_is_answered_better_and_the_new_model_is_what_was_judged(calibrated, series):
    folder, text = calibrated
    before, after = errors(default_analysis(), series), errors(analysis_with(folder), series)
    assert np.mean(before) > 0.05
    assert np.mean(after) < 0.03
    assert "left out" in text
    assert "no standard has a foil" in text
    assert (series / "known.png").stat().st_size > 1000


def test_the_card_names_its_parent_and_has_an_id_of_its_own(calibrated):
    folder, text = calibrated
    own, parent = analysis_with(folder).models["Fe K"].card, default_analysis().models["Fe K"].card
    assert own.id != parent.id
    assert own.own.parent == parent.id
    assert own.version.startswith(f"{parent.version}+calibrated.20")
    assert own.theory_shift.uncertainty == 0.0
    assert own.id in text
    assert "scores" not in own.raw
    verified = CliRunner().invoke(app, ["models", "verify", str(folder)])
    assert verified.exit_code == 0, verified.output


def test_a_profile_pins_it_and_its_reports_name_it(calibrated, tmp_path):
    folder, _ = calibrated
    card = analysis_with(folder).models["Fe K"].card
    profile = tmp_path / "own.toml"
    shipped = (resources.folder("profiles") / "sim.toml").read_text(encoding="utf-8")
    pinned = f'\n[models."Fe K"]\npath = "{folder}"\nid = "{card.id}"\n'
    profile.write_text(shipped + pinned, encoding="utf-8")
    analysis = load_analysis(load_profile(str(profile)))
    found = read_spectrum(SPECTRA / "Fe" / "Fe2O3_rt_01.xdi")
    report = infer(found.energy + 1.0, found.mu, "Fe", analysis=analysis)
    assert report.model == card.title
    assert "calibrated" in report.model.version


def test_an_answer_beyond_the_standards_is_flagged(calibrated):
    folder, _ = calibrated
    analysis = analysis_with(folder)
    found = read_spectrum(SPECTRA / "Fe" / "Fe2O3_rt_01.xdi")
    inside = infer(found.energy + 1.0, found.mu, "Fe", analysis=analysis)
    beyond = infer(found.energy + 4.0, found.mu, "Fe", analysis=analysis)
    assert "outside_standards" not in {flag.name for flag in inside.flags}
    flag = next(flag for flag in beyond.flags if flag.name == "outside_standards")
    assert "calibrate again" in flag.message
    widths = [
        one.high - one.low for one in (r.estimate("oxidation_state") for r in (inside, beyond))
    ]
    assert widths[1] > 2 * widths[0]


def test_parts_of_spectra_are_answered_on_the_new_scale(calibrated, series):
    folder, _ = calibrated
    own = analysis_with(folder)
    for number in (2, 18):
        energy, mu = np.loadtxt(series / f"s{number:02d}.dat", unpack=True)
        part = energy < 7112.0 + 46.0
        whole = infer(energy, mu, "Fe", analysis=own).estimate("oxidation_state")
        report = infer(energy[part], mu[part], "Fe", analysis=own)
        state = report.estimate("oxidation_state")
        assert report.extent is not None
        assert state.low <= whole.value <= state.high
        assert abs(state.value - (2.0 + number / 19.0)) < 0.25


def test_infer_takes_it_for_once(calibrated, series):
    folder, _ = calibrated
    words = ["infer", "--json", "--element", "Fe", "--model", folder, series / "s00.dat"]
    result = CliRunner().invoke(app, list(map(str, words)))
    assert "calibrated" in json.loads(result.output.splitlines()[0])["model"]["version"]


@pytest.mark.parametrize(
    ("table", "message"),
    [
        ("{Fe}/FeO_rt_01.xdi,2\n{Mn}/mn_mn2o3.xdi,3\n", "several edges"),
        ("{Fe}/FeO_rt_01.xdi,2\n{Fe}/Fe2O3_rt_01.xdi,9\n", "valence 9 is impossible"),
        ("{Fe}/FeO_rt_01.xdi,2\n{here}/table.csv,3\n", "two compounds are needed"),
        ("{here}/table.csv,2\n{here}/empty.dat,3\n", "no standard can be used"),
    ],
)
def test_standards_that_cannot_be_used_are_named(tmp_path, table, message):
    (tmp_path / "empty.dat").write_text("")
    text = table.format(Fe=SPECTRA / "Fe", Mn=SPECTRA / "Mn", here=tmp_path)
    (tmp_path / "table.csv").write_text("file,valence\n" + text)
    result = run("--standards", tmp_path / "table.csv", "--output", tmp_path / "own")
    assert result.exit_code == 1
    assert message in said(result)
    assert not (tmp_path / "own").exists()


def test_a_model_is_never_written_over(calibrated, series):
    folder, _ = calibrated
    words = ("--standards", series / "table.csv", "--blocks", 2, "--element", "Fe")
    result = run(*words, "--output", folder)
    assert result.exit_code == 1
    assert "choose another folder" in said(result)


def test_an_altered_model_is_not_calibrated(calibrated, tmp_path):
    with pytest.raises(ConfigurationError, match="cannot read"):
        analysis_with(tmp_path)
