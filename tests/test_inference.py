"""Arrays and files to reports, and the command that shows them."""

import json
import math
import os
import subprocess
import sys
from importlib.resources import files
from pathlib import Path

import numpy as np
import pytest
from jsonschema import Draft202012Validator
from typer.testing import CliRunner

import rankaae_stream
from rankaae_stream import resources
from rankaae_stream.commands.cli import app
from rankaae_stream.errors import ConfigurationError
from rankaae_stream.files.read import read_file
from rankaae_stream.inference import (
    find_files,
    infer,
    infer_file,
    infer_files,
    infer_series,
    read_foil,
)
from rankaae_stream.report import to_dict

HERE = Path(__file__).parent
SPECTRA = resources.folder("profiles/spectra")
STANDARDS = HERE.parent / "training" / "data" / "standards"
HEMATITE, FOIL = SPECTRA / "Fe" / "Fe2O3_rt_01.xdi", SPECTRA / "Fe" / "Fe_metal_rt_02.xdi"
SCHEMA = json.loads(files("rankaae_stream").joinpath("schemas", "report-1.json").read_text())
MEASURED = sorted(
    path
    for folder in (
        SPECTRA,
        STANDARDS,
    )
    for path in folder.rglob("*")
    if path.suffix in (".xdi", ".xd")
)


@pytest.fixture
def command(monkeypatch):
    """Run the command line; returns its result."""
    monkeypatch.setenv("COLUMNS", "160")
    monkeypatch.setattr("rankaae_stream.commands.cli.console.width", 160)

    def run(*arguments):
        return CliRunner().invoke(app, ["infer", *map(str, arguments)])

    return run


# ---- arrays --------------------------------------------------------------------------


def test_a_spectrum_in_memory_gives_the_live_answer(pipeline, documents, hematite):
    energy, i0, it, ir = hematite
    for name, doc in documents(*hematite):
        pipeline.feed(name, doc, 0.0)
    live = pipeline.results[-1].report
    report = infer(energy, -np.log(it / i0), "Fe", reference=-np.log(ir / it))
    assert report.estimates == live.estimates
    assert report.latent == live.latent
    assert report.shifts.calibration == live.shifts.calibration


def test_the_public_function_is_the_one_of_the_readme():
    energy, mu = read_file(HEMATITE)[0].energy, read_file(HEMATITE)[0].mu
    report = rankaae_stream.infer(energy, mu, element="Fe")
    assert report.estimate("oxidation_state").value == pytest.approx(3, abs=0.4)


def test_a_series_gives_one_report_a_spectrum():
    energy, mu = read_file(HEMATITE)[0].energy, read_file(HEMATITE)[0].mu
    one, two = infer_series(energy, np.stack([mu, 2 * mu + 1]), "Fe")
    assert one.estimate("oxidation_state").value == pytest.approx(
        two.estimate("oxidation_state").value, abs=1e-4
    )
    with pytest.raises(ValueError, match="one spectrum a row"):
        infer_series(energy, mu, "Fe")


@pytest.mark.parametrize(
    ("energy", "mu", "says"),
    [([1, 2], [1], "mu has 1 points"), ([[1, 2]], [[1, 2]], "one dimension")],
)
def test_arrays_that_do_not_fit_are_a_mistake_of_the_program(energy, mu, says):
    with pytest.raises(ValueError, match=says):
        infer(energy, mu)


def test_a_shell_without_a_model_is_refused():
    assert infer([1.0, 2.0], [1.0, 2.0], "Fe", shell="L3").refusal.name == "unknown_element"


# ---- files ---------------------------------------------------------------------------


@pytest.mark.parametrize("path", MEASURED, ids=lambda path: path.stem)
def test_every_measured_file_gives_an_answer_or_a_reason(path):
    ((report, *_),) = infer_file(path)
    assert report.element
    if report.refusal is None:
        state = report.estimate("oxidation_state")
        assert state.low <= state.value <= state.high
        assert all(math.isfinite(e.value) for e in report.estimates)
    else:
        assert report.refusal.name == "no_model", report.refusal


def test_a_foil_of_the_session_moves_the_axis():
    ((without, *_),) = infer_file(HEMATITE)
    ((with_foil, *_),) = infer_file(HEMATITE, foil=read_foil(FOIL))
    assert [flag.name for flag in without.flags] == ["no_foil"]
    assert [flag.name for flag in with_foil.flags] == ["energy_shift"]
    assert with_foil.shifts.calibration == pytest.approx(0.38, abs=0.05)
    assert with_foil.shifts.calibration_run == str(FOIL)
    assert abs(with_foil.estimate("oxidation_state").value - 3) < 0.1


def test_a_foil_that_is_none_is_an_error_not_a_silent_guess():
    with pytest.raises(ConfigurationError, match="is not Fe metal"):
        read_foil(HEMATITE)


def test_files_that_are_answered_together_give_what_each_alone_gives(tmp_path):
    broken = tmp_path / "broken.xdi"
    broken.write_text("no columns")
    paths = [HEMATITE, broken, HERE / "data" / "athena.prj", FOIL]
    together = list(infer_files(paths))
    assert [name for name, _ in together] == [str(path) for path in paths]
    for name, answers in together:
        alone = infer_file(name)
        assert [to_dict(one.report) for one in answers] == [to_dict(one.report) for one in alone]
        assert [one.notes for one in answers] == [one.notes for one in alone]
    assert together[1][1][0].report.refusal.name == "file"


def test_files_are_read_no_further_than_they_are_answered_together(monkeypatch):
    monkeypatch.setattr("rankaae_stream.inference.AT_ONCE", 3)
    taken = []
    answers = infer_files(taken.append(i) or HEMATITE for i in range(5))
    next(answers)
    assert len(taken) == 3
    assert len(list(answers)) == 4


def test_a_group_of_a_project_is_chosen_by_its_name():
    project = HERE / "data" / "athena.prj"
    assert [r.element for r, *_ in infer_file(project)] == ["Fe", "V"]
    ((one, *_),) = infer_file(f"{project}::V2O5 RT")
    assert one.source.endswith("athena.prj::V2O5 RT")
    ((none, *_),) = infer_file(f"{project}::nosuch")
    assert none.refusal.message == "no group 'nosuch'; groups: FeO_rt_01, V2O5 RT"


def test_folders_and_patterns_become_files(tmp_path):
    for name in ("b.xdi", "a.dat", "notes.md"):
        (tmp_path / name).write_text("x")
    (tmp_path / "deep").mkdir()
    (tmp_path / "deep" / "c.prj").write_text("x")
    names = [Path(name).name for name in find_files([str(tmp_path)])]
    assert names == ["a.dat", "b.xdi", "c.prj"]
    assert [Path(n).name for n in find_files([f"{tmp_path}/*.xdi"])] == ["b.xdi"]
    assert list(find_files(["nosuch.xdi"])) == ["nosuch.xdi"]


# ---- the command ---------------------------------------------------------------------


def test_the_table_says_what_each_file_is_and_a_bad_one_does_not_stop_it(command, tmp_path):
    bad = tmp_path / "page.dat"
    bad.write_text("<html>")
    result = command(bad, HEMATITE, tmp_path / "nosuch.xdi")
    assert result.exit_code == 1
    assert "Fe K" in result.output
    assert "web page" in result.output
    assert "No such file" in result.output
    assert "no_foil" in result.output
    assert command(HEMATITE).exit_code == 0


def test_json_lines_are_of_the_documented_schema(command, tmp_path):
    empty = tmp_path / "empty.xdi"
    empty.write_text("")
    copper = SPECTRA / "Cu" / "CuO_tenorite_13K_01.xdi"
    metal = SPECTRA / "V" / "V_foil.xdi"
    result = command(HEMATITE, empty, copper, metal, HERE / "data" / "athena.prj", "--json")
    lines = [json.loads(line) for line in result.stdout.splitlines()]
    assert len(lines) == 6
    Draft202012Validator.check_schema(SCHEMA)
    for line in lines:
        Draft202012Validator(SCHEMA).validate(line)
    answered, refused, *_ = lines
    assert answered["refusal"] is None
    assert answered["source"] == str(HEMATITE)
    assert refused["estimates"] == []
    assert refused["refusal"] == {"name": "file", "message": "the file is empty"}
    assert "out_of_domain" in [flag["name"] for flag in lines[3]["flags"]]


def test_the_schema_can_refuse():
    for broken in ({}, {"schema": 2}, {"schema": 1, "estimates": "none"}):
        assert list(Draft202012Validator(SCHEMA).iter_errors(broken))


def test_options_reach_the_reader(command, tmp_path):
    measured = read_file(HEMATITE)[0]
    path = tmp_path / "columns.txt"
    table = np.column_stack([measured.mu, np.ones_like(measured.mu), measured.energy / 1000])
    np.savetxt(path, table)
    result = command(path, "--columns", "energy=3,mu=1", "--element", "Fe", "--foil", FOIL)
    assert result.exit_code == 0, result.output
    assert "+3.0" in result.output or "+2.9" in result.output
    assert "read as keV" in result.output


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["--columns", "energy"], "write energy=1,mu=2"),
        (["--foil", str(HEMATITE)], "give a foil of the scans' element"),
        (["--plot", "picture.gif"], "give a name with .pdf, .png or .svg"),
        (["--plot", "/nosuch/picture.png"], "cannot write"),
    ],
)
def test_a_wrong_option_ends_with_the_fix(command, arguments, says):
    result = command(HEMATITE, *arguments)
    assert result.exit_code == 1
    assert says in " ".join(result.output.split())


@pytest.mark.parametrize("ending", ["png", "pdf", "svg"])
def test_a_picture_is_drawn_of_answers_and_refusals(command, tmp_path, ending):
    path = tmp_path / f"picture.{ending}"
    copper = SPECTRA / "Cu" / "CuO_tenorite_13K_01.xdi"
    command(HEMATITE, copper, "--plot", path)
    drawn = sorted(tmp_path.iterdir())
    assert len(drawn) == (1 if ending == "pdf" else 2)
    assert all(one.stat().st_size > 5000 for one in drawn)


def test_a_reader_of_numbers_does_not_wait_for_matplotlib():
    code = (
        "import sys; from rankaae_stream.commands.cli import app; "
        "from typer.testing import CliRunner;"
        f"CliRunner().invoke(app, ['infer', {str(HEMATITE)!r}]);"
        "print([m for m in ('matplotlib', 'bluesky', 'tiled') if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_a_folder_of_many_elements_stays_readable(command, monkeypatch):
    folder = HERE / "data" / "cases" / "files" / "folder_of_elements"
    for width in (80, 160):
        monkeypatch.setenv("COLUMNS", str(width))
        monkeypatch.setattr("rankaae_stream.commands.cli.console.width", width)
        lines = command(folder).output.splitlines()
        assert max(map(len, lines)) <= max(width, 100)
        assert len([line for line in lines if ".xdi" in line]) == 1
        (counted,) = [line for line in lines if "other edges" in line]
        assert counted.startswith("6 files of other edges than the models here (Ag, As, Se, Sn, ")
    assert command(folder, "--verbose").output.count(".xdi") == 7


def test_a_sentence_that_a_narrow_table_cuts_is_printed_below_it(command, monkeypatch):
    monkeypatch.setenv("COLUMNS", "80")
    monkeypatch.setattr("rankaae_stream.commands.cli.console.width", 80)
    result = command(HERE / "data" / "cases" / "files" / "cls_event_id.dat")
    assert "give --columns energy=...,mu=..." in " ".join(result.output.split())


def test_of_many_notes_the_first_are_printed(command):
    folder = HERE / "data" / "cases" / "files"
    few, all_of_them = command(folder).output, command(folder, "--verbose").output
    assert "more notes with --verbose" in few
    assert "more notes" not in all_of_them
    assert len(few.splitlines()) < len(all_of_them.splitlines())


def test_the_files_of_a_folder_without_numbers_are_counted(command, tmp_path):
    for name in ("scan.001", "more.xyz"):
        (tmp_path / name).write_bytes(HEMATITE.read_bytes())
    (tmp_path / "notes.md").write_text("# Notes\n\nSome words.\n")
    (tmp_path / "picture.png").write_bytes(b"\x89PNG\r\n\0\0\0")
    (tmp_path / ".hidden.xyz").write_bytes(HEMATITE.read_bytes())
    result = command(tmp_path)
    assert result.exit_code == 0
    assert result.output.count("Fe K") == 2
    assert "2 files in the folders without a scan, left out (.md, .png)" in result.output


def test_a_group_of_a_project_is_a_foil(command):
    project = HERE / "data" / "cases" / "files" / "athena_reference_tied.prj"
    result = command(HEMATITE, "--foil", f"{project}::Ref hematite")
    assert "energy_shift" in result.output
    result = command(HEMATITE, "--foil", f"{project}::nosuch")
    assert "no group 'nosuch'; groups: hematite, Ref hematite" in " ".join(result.output.split())


@pytest.mark.parametrize("where", ["name", "header", "label", "column"])
def test_herfd_is_refused_by_name_header_label_or_column(where, tmp_path):
    measured = read_file(HEMATITE)[0]
    i0 = np.ones_like(measured.mu)
    path = tmp_path / ("Fe_HERFD_1.dat" if where == "name" else "Fe_1.dat")
    head = "HERFD-XANES, Fe Ka1\nenergy i0 iff" if where == "header" else "energy i0 iff"
    if where == "column":
        head = "energy i0 HERFD"
    np.savetxt(path, np.column_stack([measured.energy, i0, measured.mu]), header=head)
    if where == "label":
        path = tmp_path / "project.prj"
        rows = ["('" + "','".join(map(str, x)) + "')" for x in (measured.energy, measured.mu)]
        path.write_text(
            "# Athena project file\n@args = ('label','oxide HERFD','bkg_z','Fe');\n"
            f"@x = {rows[0]};\n@y = {rows[1]};\n[record]\n"
        )
    ((report, *_),) = infer_file(path)
    assert report.refusal.name == "not_xas"
    assert "HERFD" in report.refusal.message


def test_the_repeats_of_a_fly_scan_in_one_file_are_answered_apart(tmp_path):
    measured = read_file(HEMATITE)[0]
    up = np.column_stack([measured.energy, measured.mu])
    path = tmp_path / "repeats.dat"
    np.savetxt(path, np.concatenate([up, up[::-1], up]), header="energy mu")
    found = infer_file(path, "Fe")
    assert [report.source for report, *_ in found] == [f"{path}::{n}" for n in (1, 2, 3)]
    states = [report.estimate("oxidation_state") for report, *_ in found]
    assert len({state.value for state in states}) == 1
    assert [state.low for state in states] == pytest.approx([states[0].low] * 3, abs=0.01)
    ((second, *_),) = infer_file(f"{path}::2", "Fe")
    assert second.estimates == found[1].report.estimates


def test_the_idle_chamber_is_left_out_of_every_repeat(tmp_path):
    measured = read_file(HEMATITE)[0]
    i0 = np.full_like(measured.mu, 1e5)
    up = np.column_stack([measured.energy, i0, 0.7 * i0, i0 * measured.mu])
    path = tmp_path / "repeats.dat"
    np.savetxt(path, np.concatenate([up, up[::-1]]), header="energy i0 it iff")
    found = infer_file(path, "Fe")
    assert [(r.source, r.channel) for r, *_ in found] == [
        (f"{path}::1", "fluorescence"),
        (f"{path}::2", "fluorescence"),
    ]


def test_groups_of_one_label_are_all_answered(tmp_path):
    measured = read_file(HEMATITE)[0]
    flat = np.zeros_like(measured.mu)
    path, groups = tmp_path / "project.prj", ""
    for number, mu in enumerate((measured.mu, flat)):
        x, y = ("('" + "','".join(map(str, values)) + "')" for values in (measured.energy, mu))
        groups += f"$old_group = 'g{number}';\n@args = ('label','oxide','bkg_z','Fe');\n"
        groups += f"@x = {x};\n@y = {y};\n[record]\n"
    path.write_text(f"# Athena project file\n{groups}")
    assert [r.refusal and r.refusal.name for r, *_ in infer_file(path)] == [None, "no_edge"]


def test_rows_in_no_order_are_one_spectrum_and_said(tmp_path):
    measured = read_file(HEMATITE)[0]
    order = np.random.default_rng(0).permutation(measured.energy.size)
    path = tmp_path / "shuffled.dat"
    np.savetxt(path, np.column_stack([measured.energy, measured.mu])[order], header="energy mu")
    ((report, notes, _),) = infer_file(path, "Fe")
    assert report.estimate("oxidation_state").value == pytest.approx(3.0, abs=0.1)
    assert "the rows were sorted" in "; ".join(notes)


def test_a_pipe_is_refused_and_not_waited_for(tmp_path):
    os.mkfifo(tmp_path / "pipe")
    ((report, *_),) = infer_file(tmp_path / "pipe")
    assert "is a folder, pipe or device" in report.refusal.message
