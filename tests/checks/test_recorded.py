"""A beamline's own recorded run: what is understood, or the first thing that does not fit."""

import copy
import json
import re

import numpy as np
import pytest

from rankaae_stream.checks.find_run import find_run
from rankaae_stream.checks.recorded import recorded_findings
from rankaae_stream.checks.settings import layout_names
from rankaae_stream.errors import ConfigurationError
from rankaae_stream.profile import load_profile
from rankaae_stream.show.text_plot import text_plot
from rankaae_stream.simulate import bmm, series, steps, tes
from rankaae_stream.simulate.documents import Beam
from rankaae_stream.simulate.pizzabox import Detector, fly_scan
from rankaae_stream.simulate.samples import curves

HEMATITE = series("Fe")[2]
ORDER = ["found", "XAS", "layout", "signals", "motion", "edge", "foil"]


@pytest.fixture
def write(tmp_path):
    """Write runs as a file of JSON lines; its path."""

    def lines(*runs, name="runs.jsonl"):
        with (tmp_path / name).open("w") as file:
            for run in runs:
                for kind, doc in run:
                    file.write(json.dumps({"name": kind, "doc": doc}) + "\n")
        return str(tmp_path / name)

    return lines


@pytest.fixture
def understood(analysis):
    """Findings of a profile on a recorded run, by what they are about."""

    def read(profile, source):
        profile = load_profile(profile) if isinstance(profile, str) else profile
        names = layout_names(profile)
        findings = recorded_findings(profile, find_run(profile, source), names, lambda: analysis)
        return {one.name: one for one in findings}

    return read


def renamed(documents, **names):
    """The same documents with other texts and keys."""

    def change(value):
        if isinstance(value, dict):
            return {names.get(key, key): change(item) for key, item in value.items()}
        if isinstance(value, (list, tuple)):
            return [change(item) for item in value]
        return names.get(value, value) if isinstance(value, str) else value

    return [(kind, change(dict(doc))) for kind, doc in documents]


def failures(found):
    return [name for name, one in found.items() if one.verdict == "failed"]


# ---- what is understood ----------------------------------------------------------------


def test_a_bmm_scan_is_understood_from_the_plan_to_the_answer(understood, write):
    found = understood("bmm", write(bmm.xafs(Beam(HEMATITE)), bmm.other()))
    assert failures(found) == []
    assert list(found)[:7] == ORDER
    assert "scan_nd xafs transmission, scan_id 40000" in found["found"].message
    assert found["layout"].message == "layout (step) fits"
    signals = found["signals"].message
    assert "i0: I0 in stream primary" in signals
    assert "fluorescence: Fe1 + Fe2 + Fe3 + Fe4 in stream primary" in signals
    assert "not in this run: layout.pips = ['Iy']" in signals
    assert found["motion"].message == "1 sweep, rising, 347 points, 6912.0 to 7828.9 eV"
    assert "element from XDI.Element.symbol, edge from XDI.Element.edge" in found["edge"].message
    assert found["foil"].data["value"] == pytest.approx(0.38, abs=0.02)
    answer = found["transmission, the primary channel"]
    assert re.search(r"oxidation state \+(2\.9|3\.0)", answer.message)
    assert "energy_shift: the foil's shift" in answer.message
    assert found["fluorescence"].message.endswith("flags energy_shift")
    curve = found["curve"]
    assert "▲ Fe K 7112" in curve.message
    assert len(curve.data["energy"]) == 347
    json.dumps([one.data for one in found.values()], allow_nan=False)


def test_a_fly_scan_is_understood_from_its_files(understood, tmp_path, write, reading_under):
    (tmp_path / "data").mkdir()
    scan = fly_scan(
        tmp_path / "data",
        curves(HEMATITE),
        element="Fe",
        turns=(200.0, -200.0, 200.0),
        seconds=3.0,
        detector=Detector(),
    )
    profile = reading_under("iss", tmp_path / "data")
    found = understood(profile, write(scan.documents))
    assert failures(found) == []
    assert found["layout"].message == "layout 1 (pizzabox) fits"
    assert "energy: pb9_enc1 with the start key angle_offset" in found["signals"].message
    assert "it: input it of apb_stream" in found["signals"].message
    assert "xs_ch04_roi01, triggered by apb_trigger_xs" in found["signals"].message
    assert found["motion"].message.startswith("2 sweeps, falling and rising")
    assert "fluorescence, sweep 2" in found


def test_tes_says_that_it_has_no_foil_and_where_its_energies_are(understood, write):
    found = understood("tes", write(tes.fly(Beam(series("V")[2]), scans=3)))
    assert failures(found) == []
    assert "energy: E_centers in stream energy_bins" in found["signals"].message
    assert found["motion"].message.startswith("3 sweeps, rising, 900 points")
    assert found["foil"].verdict == "not checked"
    assert found["foil"].fix == "set layout.ir to the chamber behind the foil, if there is one"


def test_an_element_that_nobody_states_is_found_by_the_rise_of_mu(understood, write):
    found = understood("generic", write(steps.ophyd_step(Beam(HEMATITE), falling=True)))
    assert found["edge"].message == "Fe K, by the rise of mu"
    assert "falling" in found["motion"].message


# ---- what does not fit -------------------------------------------------------------------

STEP = steps.ophyd_step(Beam(HEMATITE), element="Fe")


def kev_without_a_word():
    documents = copy.deepcopy(steps.ophyd_step(Beam(HEMATITE), element="Fe", kev=True))
    for kind, doc in documents:
        for key in doc.get("data_keys", {}).values() if kind == "descriptor" else ():
            key.pop("units", None)
    return documents


@pytest.mark.parametrize(
    ("documents", "where", "message", "fix"),
    [
        (
            renamed(STEP, I0="ion_I0"),
            "layout (step)",
            "no field of layout.i0 = ['I0', 'i0', 'ic-i0', 'ic_i0'] is in stream primary; it has "
            "energy, energy_user_setpoint, ion_I0",
            "set layout.i0, perhaps to ['ion_I0']",
        ),
        (
            renamed(STEP, energy="bragg", eV="deg"),
            "layout (step)",
            "no field of layout.energy",
            "set layout.energy",
        ),
        (
            renamed(STEP, primary="primary_scan"),
            "layout (step)",
            "no stream 'primary', which layout.stream names; its streams: primary_scan (energy",
            "set layout.stream, perhaps to 'primary_scan'",
        ),
        (
            renamed(STEP, I1="T", vortex_1="V", vortex_2="W", pips="P"),
            "layout (step)",
            "no field of layout.it or layout.fluorescence",
            "set layout.it or layout.fluorescence",
        ),
        (renamed(STEP, I0="I1", I1="I0"), "transmission, the primary channel", "no_edge", "i0"),
        (kev_without_a_word(), "motion", "7.0 to 7.3 eV: no K edge", "keV"),
        (renamed(STEP, Fe="Pt"), "edge", "Pt K, element from element", "rankaae-stream models"),
        (renamed(STEP, Fe="V"), "edge", "the energies cross the Fe K edge", "run.element"),
        (
            steps.ophyd_step(Beam(HEMATITE), points=60),
            "edge",
            "no K edge is crossed; no start key names the element; there are detectors",
            "set run.element, now ['element', 'XDI.Element.symbol']",
        ),
        (
            steps.ophyd_step(Beam(HEMATITE), points=100, element="Fe"),
            "transmission, the primary channel",
            "refused as coverage: the scan covers -160.0 to +6.5 eV",
            "not at fault",
        ),
        (
            steps.ophyd_step(Beam(HEMATITE), points=5, element="Fe"),
            "motion",
            "only 5 points",
            "",
        ),
        (
            steps.ophyd_step(Beam(HEMATITE), points=0),
            "layout (step)",
            "ended before its first point",
            "",
        ),
        (renamed(STEP[:1], plan_name="plan_name"), "layout (step)", "no descriptor", ""),
    ],
    ids=[
        "i0",
        "energy",
        "stream",
        "signals",
        "swapped",
        "keV",
        "element",
        "wrong element",
        "no element",
        "short",
        "fragment",
        "no points",
        "start only",
    ],
)
def test_the_first_thing_that_does_not_fit_is_named(
    understood, write, documents, where, message, fix
):
    step = load_profile("generic").layout[0].model_dump()
    found = understood(load_profile("generic", layout=step), write(documents))
    assert failures(found)[0] == where
    assert message in found[where].message
    assert fix in found[where].fix


def test_a_run_that_the_rules_leave_out_says_by_which(understood, write):
    found = understood("iss", write(steps.iss_step(Beam(HEMATITE), spectrometer="von_hamos")))
    assert list(found) == ["found", "XAS"]
    assert "an emission spectrum" in found["XAS"].message
    assert "[[run.not_xas]]" in found["XAS"].fix


def test_an_analysis_of_another_run_points_at_that(understood, write):
    start, *others = STEP
    documents = [("start", {**start[1], "original_run_uid": "the-raw-run"}), *others]
    found = understood("generic", write(documents))
    assert failures(found) == ["XAS"]
    assert found["XAS"].fix == "check that run: --run the-raw-run"


def test_of_several_layouts_the_one_that_came_furthest_speaks(understood, write, tmp_path):
    scan = fly_scan(tmp_path, curves(HEMATITE), element="Fe", turns=(200.0, -200.0), seconds=1.0)
    found = understood("iss", write(scan.documents))
    assert failures(found) == ["layout 1 (pizzabox)"]
    assert "outside layout.allowed_roots (/nsls2/data)" in found["layout 1 (pizzabox)"].message
    assert "layout 2 (step) does not fit either" in found["layout 1 (pizzabox)"].message
    renamed_keys = renamed(scan.documents, apb_stream="apb_stream_c")
    found = understood("iss", write(renamed_keys))
    assert "analog of layout 1 (pizzabox)" in found["layout 1 (pizzabox)"].fix
    assert "apb_stream_c" in found["layout 1 (pizzabox)"].fix


def test_files_that_are_only_at_the_beamline_are_no_failure(
    understood, write, tmp_path, reading_under
):
    (tmp_path / "data").mkdir()
    scan = fly_scan(
        tmp_path / "data", curves(HEMATITE), element="Fe", turns=(200.0, -200.0), seconds=1.0
    )
    for path in scan.files.values():
        path.unlink()
    found = understood(reading_under("iss", tmp_path / "data"), write(scan.documents))
    assert failures(found) == []
    assert "apb.bin is not there" in found["layout 1 (pizzabox)"].message
    assert "root_map" in found["layout 1 (pizzabox)"].fix


# ---- where the run is --------------------------------------------------------------------


def test_the_first_scan_of_a_file_is_taken_or_the_one_that_is_asked_for(write):
    profile = load_profile("bmm")
    scans = [bmm.other(name="first"), bmm.xafs(Beam(HEMATITE)), bmm.xafs(Beam(HEMATITE), name="b")]
    path = write(*scans)
    found = find_run(profile, path)
    assert found.start["uid"] == scans[1][0][1]["uid"]
    assert "1 others left out: the profile takes no run with plan_name" in found.left_out
    uid = scans[2][0][1]["uid"]
    assert find_run(profile, f"{path}#{uid[:8]}").start["uid"] == uid
    with pytest.raises(ConfigurationError, match="begins with ffff"):
        find_run(profile, f"{path}#ffff")


@pytest.mark.parametrize(
    ("source", "why"),
    [("/nowhere/runs.jsonl", "no archive"), ("no uid!", "letters, digits")],
)
def test_what_is_no_run_is_told(source, why):
    with pytest.raises(ConfigurationError, match=why):
        find_run(load_profile("bmm"), source)


def test_a_damaged_file_is_told(write, tmp_path):
    path = write(bmm.xafs(Beam(HEMATITE)))
    text = (tmp_path / "runs.jsonl").read_text()
    (tmp_path / "runs.jsonl").write_text(text[: len(text) // 2])
    with pytest.raises(ConfigurationError, match="cut short"):
        find_run(load_profile("bmm"), path)


def test_a_uid_is_looked_for_in_the_profiles_tiled(server, monkeypatch, understood):
    from bluesky_tiled_plugins import TiledWriter

    documents = steps.ophyd_step(Beam(HEMATITE), name="for check", element="Fe")
    writer = TiledWriter(server.client("raw"))
    for name, doc in documents:
        writer(name, dict(doc))
    monkeypatch.setenv("RANKAAE_STREAM_TILED__URI", server.uri)
    monkeypatch.setenv("RANKAAE_STREAM_TILED_API_KEY", server.api_key)
    uid = documents[0][1]["uid"]
    found = understood("generic", uid[:10])
    assert failures(found) == []
    assert found["found"].message.startswith(f"{uid[:8]} of {server.uri}#raw")
    with pytest.raises(ConfigurationError, match=r"begins with ffffffff.*there: raw"):
        understood("generic", "ffffffff")
    monkeypatch.setenv("RANKAAE_STREAM_TILED_API_KEY", "wrong")
    with pytest.raises(ConfigurationError, match=r"401.*RANKAAE_STREAM_TILED_API_KEY"):
        understood("generic", uid)


# ---- the plot ------------------------------------------------------------------------------


def dots(lines):
    """Columns of braille: for each the rows that have a dot."""
    return [line.split("┤")[1] for line in lines[:-1]]


def test_an_edge_is_drawn_as_an_edge():
    energy = np.linspace(7000.0, 7200.0, 101)
    mu = np.where(energy < 7100, 0.25, 1.25)
    lines = text_plot(energy[::-1], mu[::-1], mark=(7100.0, "Fe K"), width=40, height=6)
    assert lines[0].startswith("1.25 ┤")
    assert lines[5].startswith("0.25 ┤")
    assert lines[-1].split() == ["7000", "▲", "Fe", "K", "7200"]
    assert lines[-1].index("▲") == 6 + 20
    rows = dots(lines)
    empty = "\u2800"
    assert set(rows[0][:19]) == {empty}
    assert empty not in rows[0][20:]
    assert empty not in rows[5][:19]
    assert set(rows[5][21:]) == {empty}
    assert all(row[19] != empty or row[20] != empty for row in rows), "one line, without a gap"


@pytest.mark.parametrize(
    "mu", [np.full(5, np.nan), np.array([1.0, np.nan, np.nan, np.nan, np.inf])]
)
def test_a_curve_without_numbers_says_so(mu):
    assert text_plot(np.arange(5.0), mu) == ["(fewer than two points with a number)"]


def test_a_flat_curve_and_gaps_are_drawn():
    lines = text_plot(np.arange(5.0), np.array([1.0, 1.0, np.nan, 1.0, 1.0]), width=8, height=2)
    assert all("\u2800" not in row or set(row) == {"\u2800"} for row in dots(lines))


def test_keys_that_look_like_a_name_and_are_not_copied_are_listed(understood, write):
    keys = {"SampleLabel": "Fe2O3", "beam_group": "x", "holder": {"specimen": 5}, "sample": "y"}
    (kind, start), *rest = bmm.xafs(Beam(HEMATITE))
    found = understood("bmm", write([(kind, {**start, **keys, "group_empty": ""}), *rest]))
    said = found["names"]
    assert said.data["not_copied"] == ["SampleLabel", "beam_group", "holder"]
    assert "copy = ['SampleLabel', 'beam_group', 'holder']" in said.fix
