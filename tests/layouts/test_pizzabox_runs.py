"""ISS and QAS fly scans that are aborted, unusual or faulty, and settings that are wrong."""

import gc
import hashlib
import json
import shutil
import tracemalloc

import numpy as np
import pytest
from played import feed, only, readings, reports

from rankaae_stream import resources
from rankaae_stream.checks.find_run import Recorded
from rankaae_stream.checks.recorded import recorded_findings
from rankaae_stream.checks.settings import layout_names
from rankaae_stream.errors import ConfigurationError
from rankaae_stream.layouts.electrometer import Currents
from rankaae_stream.loading import build_pipeline
from rankaae_stream.profile import load_profile
from rankaae_stream.simulate.pizzabox import Detector
from rankaae_stream.spectrum import K_EDGES

E0 = K_EDGES["Fe"]


def test_an_abort_at_40_ev_that_calls_itself_a_success_is_judged_by_its_range(station, play, iron):
    pipeline = station()
    scan = play(iron, turns=(600.0, 40.0))
    assert scan.documents[-1][1]["exit_status"] == "success"
    feed(pipeline, scan)
    assert only(pipeline).refusal.name == "coverage"  # it came down, and never saw the edge
    pipeline = station()
    feed(pipeline, play(iron, turns=(-200.0, 40.0)))
    assert only(pipeline).extent[1] == pytest.approx(40.0, abs=1.0)


def test_a_sample_that_no_beam_passes_is_refused_without_harm_to_the_next(station, play, iron):
    pipeline = station()
    feed(pipeline, play(iron, opaque=0.0))
    refusal = only(pipeline).refusal
    assert refusal.name == "bad_signal"
    assert only(pipeline, "fluorescence").refusal is None, "what does not need it is answered"
    pipeline.results.clear()
    feed(pipeline, play(iron))
    assert only(pipeline).refusal is None


def test_a_few_bins_without_a_mu_are_left_out(station, play, iron):
    pipeline = station()
    feed(pipeline, play(iron, opaque=580.0))
    report = only(pipeline)
    assert report.refusal is None
    assert "bad_signal" in [flag.name for flag in report.flags]


def test_without_a_foil_it_is_said(station, play, iron):
    pipeline = station()
    feed(pipeline, play(iron, foil=False))
    assert [flag.name for flag in only(pipeline).flags] == ["no_foil"]
    assert only(pipeline).refusal is None


def test_a_saturated_chamber_is_named(station, play, iron):
    pipeline = station()
    feed(pipeline, play(iron, it_gain=8.0))
    flags = {flag.name: flag for flag in only(pipeline).flags}
    assert flags["saturated"].value == pytest.approx(3300.0)
    assert flags["saturated"].message.startswith("it ")
    assert "saturated" not in {flag.name for flag in only(pipeline, "fluorescence").flags}


def test_a_low_signal_is_named(station, play, iron):
    pipeline = station()
    feed(pipeline, play(iron, it_gain=0.01))
    flags = {flag.name: flag for flag in only(pipeline).flags}
    assert flags["low_signal"].value < 20.0


def test_an_e0_of_0_falls_back_on_the_table(station, play, iron):
    pipeline = station()
    short = (400.0, -200.0)  # one edge only, so that the energies can tell the element
    feed(pipeline, play(iron, turns=short, uid="stated"))
    feed(pipeline, play(iron, turns=short, uid="zero", md={"e0": 0}))
    feed(pipeline, play(iron, turns=short, uid="nothing", md={"e0": None, "element": ""}))
    stated, zero, nothing = reports(pipeline, "transmission")
    assert stated.latent == zero.latent == nothing.latent


@pytest.mark.parametrize("gain", [None, "?", float("nan"), True])
def test_an_unknown_gain_changes_the_height_and_is_flagged(station, play, iron, gain):
    pipeline = station()
    feed(pipeline, play(iron, uid="known"))
    feed(pipeline, play(iron, uid="unknown", md={"ch2_amp_gain": gain}))
    known, unknown = reports(pipeline, "transmission")
    assert [flag.name for flag in unknown.flags] == ["unknown_gain", "energy_shift"]
    assert "ch2_amp_gain" in unknown.flags[0].message
    assert unknown.latent == pytest.approx(known.latent, abs=1e-3)


def test_offsets_are_taken_out_before_the_ratio_is_formed(station, play, iron):
    (right,) = readings(station(), play(iron))
    (raw,) = readings(station(offset=""), play(iron))
    difference = raw.mu["transmission"] - right.mu["transmission"]
    assert np.ptp(difference) > 1e-3


@pytest.mark.parametrize("kind", [{"a": {"device": "x"}}, ["apb"], None])
def test_detectors_of_any_kind_are_no_obstacle(station, play, iron, kind):
    pipeline = station()
    feed(pipeline, play(iron, md={"detectors": kind}))
    assert only(pipeline).refusal is None


def test_a_run_without_an_angle_offset_has_no_energy(station, play, iron):
    pipeline = station()
    feed(pipeline, play(iron, md={"angle_offset": None}))
    assert only(pipeline).refusal.name == "missing_fields"
    assert "angle_offset" in only(pipeline).refusal.message


def test_a_resource_that_does_not_name_its_run_belongs_to_the_one_going_on(station, play, iron):
    scan = play(iron)
    for name, doc in scan.documents:
        if name == "resource":
            del doc["run_start"]
    pipeline = station()
    feed(pipeline, scan)
    assert only(pipeline).refusal is None


def test_a_run_without_a_stop_is_answered_after_its_deadline(station, play, iron):
    pipeline = station()
    scan = play(iron)
    for name, doc in scan.documents[:-1]:
        pipeline.feed(name, doc, 0.0)
    pipeline.tick(899.0)
    assert reports(pipeline) == []
    pipeline.tick(901.0)
    assert only(pipeline).refusal is None
    assert [flag.name for flag in only(pipeline).flags] == ["no_stop", "energy_shift"]


def test_only_what_can_change_a_number_is_in_the_hash(reading_under):
    one = load_profile("iss")
    moved = {"root_map": {"/nsls2": "/mnt"}}
    same = reading_under("iss", "/mnt", {"file_deadline": 5.0}, **moved)
    other = reading_under("iss", "/mnt", d_spacing=3.1355)
    assert one.analysis_hash() == same.analysis_hash() != other.analysis_hash()


def test_the_folders_come_from_the_environment_too(monkeypatch):
    monkeypatch.setenv("RANKAAE_STREAM_LAYOUT__ALLOWED_ROOTS", '["/mnt/qas"]')
    layout = load_profile("qas").layout
    assert [str(path) for path in layout.allowed_roots] == ["/mnt/qas"]
    assert layout.encoder == ("pb1_enc1",)


@pytest.mark.parametrize(
    ("key", "value"), [("it", "aux9"), ("allowed_roots", []), ("strem", "x"), ("d_spacing", -1.0)]
)
def test_a_wrong_setting_is_named(key, value, reading_under):
    with pytest.raises(ConfigurationError, match=key):
        reading_under("iss", "/mnt", **{key: value})


@pytest.mark.parametrize(
    ("md", "why"),
    [
        ({"spectrometer": "johann"}, "HERFD"),
        ({"e0": 7058.0}, "-54.0 eV from the Fe K edge"),
        ({"scan_kind": "johann_xes_step", "spectrometer": "johann"}, "an emission spectrum"),
        ({"spectrometer": "von_hamos"}, "an emission spectrum"),
        ({"experiment": "collect_n_exposures"}, "collect_n_exposures"),
    ],
)
def test_what_is_no_plain_absorption_scan_is_refused_with_its_reason(station, play, iron, md, why):
    pipeline = station()
    feed(pipeline, play(iron, md=md))
    refusal = only(pipeline).refusal
    assert refusal.name == "not_xas"
    assert why in refusal.message
    pipeline.results.clear()
    feed(pipeline, play(iron))
    assert only(pipeline).refusal is None


def test_herfd_is_answered_by_a_model_whose_card_says_so_and_by_no_other(
    play, iron, tmp_path, reading_under
):
    shipped = next((resources.folder("models") / "fe-k").iterdir())
    mine = tmp_path / "model"
    shutil.copytree(shipped, mine)
    card = json.dumps({**json.loads((mine / "card.json").read_text()), "herfd": True}).encode()
    (mine / "card.json").write_bytes(card)
    pinned = {"Fe K": {"path": str(mine), "id": hashlib.sha256(card).hexdigest()}}
    profile = reading_under("iss", tmp_path / "data", {"models": pinned})
    results = []
    pipeline = build_pipeline(profile, results.append)
    herfd = {"spectrometer": "johann"}
    scan = play(iron, md=herfd, uid="fe", detector=Detector("pil100k"))
    feed(pipeline, scan)
    assert [r.report.refusal for r in results] == [None, None]
    assert {r.report.model.id for r in results} == {pinned["Fe K"]["id"]}
    found = recorded_findings(profile, Recorded("here", scan.documents), layout_names(profile))
    assert {one.name: one.verdict for one in found}["XAS"] == "ok", "check says the same"
    results.clear()
    for md in ({"element": "Mn"}, {"element": ""}, {"scan_kind": "johann_xes"}):
        feed(pipeline, play(iron, uid=str(md), md={**herfd, **md, "e0": 0}))
    reasons = [r.report.refusal.message for r in results]
    assert ["HERFD" in reason for reason in reasons] == [True, True, False]
    assert "an emission spectrum" in reasons[2]


def test_a_defect_of_ours_ends_as_a_refusal(station, play, iron, monkeypatch):
    def broken(*_):
        raise ZeroDivisionError("a defect")

    monkeypatch.setattr(Currents, "absorption", broken)
    pipeline = station()
    feed(pipeline, play(iron))
    assert only(pipeline).refusal.name == "internal_error"
    assert pipeline.open_runs == 0


@pytest.mark.slow
def test_two_hundred_scans_leave_nothing_behind(station, play, iron):
    pipeline = station()
    scan = play(iron, turns=(150.0, -100.0), seconds=0.5)

    def one(number):
        uid = f"run-{number}"
        for name, doc in scan.documents:
            text = {
                key: value.replace(scan.uid, uid) if isinstance(value, str) else value
                for key, value in doc.items()
                if key not in ("resource_path", "data")
            }
            if "resource_path" in doc:
                text["resource_path"] = doc["resource_path"]
            if "data" in doc:
                text["data"] = {k: [v[0].replace(scan.uid, uid)] for k, v in doc["data"].items()}
            pipeline.feed(name, text, 1000.0 * number)
        pipeline.tick(1000.0 * number + 950.0)
        assert only(pipeline).refusal is None
        pipeline.results.clear()

    # Without the collector: what waits for it in a cycle counts as left behind.
    tracemalloc.start()
    gc.collect()
    gc.disable()
    try:
        for number in range(20):
            one(number)
        before, _ = tracemalloc.get_traced_memory()
        for number in range(20, 220):
            one(number)
        after, _ = tracemalloc.get_traced_memory()
    finally:
        gc.enable()
        tracemalloc.stop()
    assert pipeline.open_runs == 0
    # One leaked array of a scan is 5 kB and more; numpy and onnxruntime keep some
    # hundred bytes a call for themselves, and the foils of many runs are remembered.
    assert (after - before) / 200 < 3500
