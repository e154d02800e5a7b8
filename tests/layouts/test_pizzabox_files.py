"""Files of ISS and QAS fly scans that are late, missing, cut short or not to be opened."""

import dataclasses
import os
import shutil
import uuid

import numpy as np
import pytest
from played import changed, feed, only, reports
from tiled.queries import Key
from waiting import PATIENCE

from rankaae_stream import replay as replay_module
from rankaae_stream.callback import DescriptorStream
from rankaae_stream.simulate.pizzabox import Detector, fly_scan
from rankaae_stream.spectrum import K_EDGES

E0 = K_EDGES["Fe"]


@pytest.mark.parametrize("streaming", [False, True], ids=["resource", "stream_resource"])
@pytest.mark.parametrize("key", ["apb_stream", "pb9_enc1", "xs_ch01_roi01"])
def test_a_file_that_is_three_seconds_late_is_waited_for(
    station, play, iron, key, streaming, tmp_path
):
    pipeline = station()
    scan = play(iron, detector=Detector(), streaming=streaming)
    late = tmp_path / "late"
    shutil.move(scan.files[key], late)
    feed(pipeline, scan, 100.0)
    pipeline.tick(102.9)
    assert reports(pipeline) == []
    assert pipeline.open_runs == 1
    shutil.move(late, scan.files[key])
    pipeline.tick(103.0)
    pipeline.tick(103.2)
    assert only(pipeline).refusal is None
    assert only(pipeline, "fluorescence").refusal is None
    assert {flag.name for flag in only(pipeline).flags} == {"energy_shift"}, (
        "the same report as in time"
    )
    assert pipeline.open_runs == 0


def test_a_late_file_is_read_when_it_has_stopped_growing(station, play, iron):
    pipeline = station()
    scan = play(iron)
    path = scan.files["pb9_enc1"]
    content = path.read_bytes()
    path.unlink()
    feed(pipeline, scan)
    for part in (0.3, 0.6, 1.0):
        path.write_bytes(content[: int(part * len(content))])
        pipeline.tick(1.0 + part)
        assert reports(pipeline) == []
    pipeline.tick(2.5)
    assert only(pipeline).refusal is None
    assert only(pipeline).energy_range[0] < E0 - 190


def test_other_runs_go_on_while_a_file_is_waited_for(station, play, iron):
    pipeline = station()
    waiting, next_one = play(iron, uid="waiting"), play(iron, uid="next")
    content = waiting.files["apb_stream"].read_bytes()
    waiting.files["apb_stream"].unlink()
    feed(pipeline, waiting)
    feed(pipeline, next_one, 0.5)
    assert [report.source for report in reports(pipeline, "transmission")] == ["next"]
    waiting.files["apb_stream"].write_bytes(content)
    pipeline.tick(1.0)
    pipeline.tick(1.2)
    assert [r.source for r in reports(pipeline, "transmission")] == ["next", "waiting"]


@pytest.mark.parametrize("key", ["apb_stream", "pb9_enc1"])
def test_a_file_that_never_comes_is_refused_by_name(station, play, iron, key):
    pipeline = station()
    scan = play(iron)
    scan.files[key].unlink()
    feed(pipeline, scan)
    pipeline.tick(19.0)
    assert reports(pipeline) == []
    pipeline.tick(20.1)
    refusal = only(pipeline).refusal
    assert refusal.name == "missing_file"
    assert key in refusal.message
    assert scan.files[key].name in refusal.message
    pipeline.results.clear()
    feed(pipeline, play(iron), 30.0)
    assert only(pipeline).refusal is None


def test_a_replay_with_the_file_replaces_the_refusal_for_want_of_it(
    server, monkeypatch, analysis, play, iron, tmp_path, reading_under
):
    monkeypatch.setattr(replay_module, "load_analysis", lambda _: analysis)
    tiled = {"tiled": {"uri": server.uri}, "tiled_api_key": server.api_key}
    profile = reading_under("iss", tmp_path / "data", {**tiled, "spool": tmp_path / "spool"})
    scan = play(iron, uid=str(uuid.uuid4()))
    path, away = scan.files["pb9_enc1"], tmp_path / "away"
    found = server.client("processed").search(Key("start.original_run_uid") == scan.uid)

    def answered():
        summaries = [run.metadata["stop"]["summary"] for run in found.values()]
        return {item["channel"]: (item["refusal"] or {}).get("name") for item in summaries}

    shutil.move(path, away)
    replay_module.replay([scan.documents], profile)
    assert answered() == {"transmission": "missing_file"}
    shutil.move(away, path)
    replay_module.replay([scan.documents], profile)
    assert answered() == {"transmission": None, "fluorescence": None}
    shutil.move(path, away)
    replay_module.replay([scan.documents], profile)
    assert answered() == {"transmission": None, "fluorescence": None}, "never the other way"


def test_frames_that_never_come_leave_the_other_channels(station, play, iron):
    pipeline = station()
    scan = play(iron, detector=Detector())
    scan.files["xs_ch01_roi01"].unlink()
    feed(pipeline, scan)
    pipeline.tick(10.0)
    pipeline.tick(20.1)
    assert only(pipeline).refusal is None
    flag, _ = only(pipeline).flags
    assert flag.name == "no_frames"
    assert "xs.h5" in flag.message


def test_the_end_of_the_session_does_not_wait(station, play, iron):
    pipeline = station()
    scan = play(iron)
    scan.files["pb9_enc1"].unlink()
    feed(pipeline, scan)
    pipeline.finish()
    assert only(pipeline).refusal.name == "missing_file"
    assert pipeline.open_runs == 0


@pytest.mark.parametrize("key", ["apb_stream", "pb9_enc1"])
def test_a_truncated_file_is_named_and_judged_by_what_it_covers(station, play, iron, key):
    pipeline = station()
    scan = play(iron)
    content = scan.files[key].read_bytes()
    # Within a row, where the electrometer's rows have ended or not.
    scan.files[key].write_bytes(content[: int(0.3 * len(content)) | 1])
    feed(pipeline, scan)
    pipeline.tick(0.1)
    pipeline.tick(20.1)
    report = only(pipeline)
    assert report.refusal.name == "coverage"
    said = [flag.message for flag in report.flags if flag.name == "truncated_file"]
    assert "within a row" in said[0]
    for message in said:
        assert message.startswith(f"{key}: ")
        assert scan.files[key].name in message


def test_an_electrometer_that_stopped_in_the_motion_is_named(station, play, iron):
    pipeline = station()
    scan = play(iron, turns=(-200.0, 600.0))
    path = scan.files["apb_stream"]
    table = np.frombuffer(path.read_bytes(), dtype="<i4").reshape(-1, 10).copy()
    table[8000:] = 0
    path.write_bytes(table.tobytes())
    feed(pipeline, scan)
    pipeline.tick(20.1)
    report = only(pipeline)
    assert report.refusal is None
    (flag,) = [flag for flag in report.flags if flag.name == "truncated_file"]
    assert "eV of motion" in flag.message


def test_a_path_outside_the_allowed_roots_is_refused(station, play, iron, tmp_path):
    outside = tmp_path / "outside"
    scan = fly_scan(outside, iron, element="Fe")
    pipeline = station()
    feed(pipeline, scan)
    refusal = only(pipeline).refusal
    assert refusal.name == "outside_roots"
    assert "apb_stream" in refusal.message
    assert "allowed_roots" in refusal.message


def test_a_link_that_leaves_the_allowed_roots_is_refused(station, play, iron, tmp_path):
    pipeline = station()
    scan = play(iron)
    elsewhere = tmp_path / "elsewhere"
    shutil.move(scan.files["pb9_enc1"], elsewhere)
    os.symlink(elsewhere, scan.files["pb9_enc1"])
    feed(pipeline, scan)
    assert only(pipeline).refusal.name == "outside_roots"


def test_a_root_of_another_machine_is_mapped(station, play, iron, tmp_path):
    scan = changed(play(iron), "resource", root="/nsls2/data/iss")
    for name, doc in scan.documents:
        if name == "resource":
            doc["resource_path"] = doc["resource_path"].replace(
                str(tmp_path / "data"), "/nsls2/data/iss"
            )
    pipeline = station(root_map={"/nsls2/data/iss": str(tmp_path / "data")})
    feed(pipeline, scan)
    assert only(pipeline).refusal is None


def test_a_wrong_spec_is_refused_with_those_that_are_read(station, play, iron):
    pipeline = station()
    feed(pipeline, changed(play(iron), "resource", spec="AD_TIFF"))
    refusal = only(pipeline).refusal
    assert refusal.name == "wrong_spec"
    assert "AD_TIFF" in refusal.message
    assert "APB" in refusal.message


def test_a_run_without_the_streams_is_refused_with_those_it_has(station, play, iron):
    pipeline = station(encoder=["pb2_enc1"])
    feed(pipeline, play(iron))
    refusal = only(pipeline).refusal
    assert refusal.name == "missing_fields"
    assert "pb2_enc1" in refusal.message
    assert "pb9_enc1" in refusal.message


def test_an_event_whose_datum_is_lost_is_refused(station, play, iron):
    scan = play(iron)
    documents = [(name, doc) for name, doc in scan.documents if name != "datum"]
    pipeline = station()
    feed(pipeline, dataclasses.replace(scan, documents=documents))
    assert only(pipeline).refusal.name == "missing_fields"


def test_files_of_different_times_are_refused(station, play, iron):
    pipeline = station()
    scan = play(iron)
    path = scan.files["apb_stream"]
    table = np.frombuffer(path.read_bytes(), dtype="<i4").reshape(-1, 10).copy()
    table[table[:, 8] > 0, 8] += 3600
    path.write_bytes(table.tobytes())
    feed(pipeline, scan)
    refusal = only(pipeline).refusal
    assert refusal.name == "no_overlap"
    assert "apb.bin" in refusal.message
    assert "encoder.txt" in refusal.message


def test_the_live_stream_answers_with_a_late_file_and_never_raises(
    play, iron, tmp_path, reading_under
):
    data = tmp_path / "data"
    profile = reading_under("iss", data, {"spool": tmp_path / "spool"})
    published = []
    scan = play(iron)
    path = scan.files["pb9_enc1"]
    shutil.move(path, tmp_path / "late")
    with DescriptorStream(
        profile, sinks=[lambda name, doc: published.append((name, doc))], to_tiled=False
    ) as stream:
        stream("descriptor", {})
        stream("event_page", {"descriptor": "unknown"})
        for item in scan.documents:
            stream(*item)
        assert not stream.wait_idle(0.3)
        assert published == []
        shutil.move(tmp_path / "late", path)
        assert stream.wait_idle(PATIENCE)
        assert stream.status().open_runs == 0
    stops = [doc for name, doc in published if name == "stop"]
    assert [stop["summary"]["channel"] for stop in stops] == ["transmission", "fluorescence"]
    assert all(stop["summary"]["refusal"] is None for stop in stops)
