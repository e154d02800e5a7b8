"""Fly scans of ophyd-async: their growing, late, missing and foreign HDF5 files."""

import numpy as np
import pytest
from played import FLY, channels, check_equal, check_valid, flags, refusals

from rankaae_stream.loading import build_pipeline
from rankaae_stream.profile import load_profile
from rankaae_stream.simulate import panda, series
from rankaae_stream.simulate.documents import Beam

HEMATITE = series("Fe")[2]


@pytest.mark.parametrize("late", [False, True], ids=["in time", "late"])
def test_a_fly_scan_is_read_from_its_growing_file(answer, tmp_path, late):
    folder = tmp_path / "data"
    folder.mkdir()
    documents = panda.fly(Beam(HEMATITE), folder, sweeps=3, late=late)
    results, spectra = answer(FLY.format(root=folder), documents, seconds=0.5)
    energy = np.linspace(7112 - 160, 7112 + 160, 400)
    meeting = {1: energy[:-1], 2: energy[1:]}
    for key, spectrum in spectra.items():
        check_equal({key: spectrum}, HEMATITE, meeting.get(key[2], energy))
    assert channels(results) == [
        (channel, i) for i in range(3) for channel in ("transmission", "fluorescence")
    ]
    assert refusals(results) == [None] * 6
    assert any(r.report.refusal is None for r in answer.provisional), "answered while it grows"


def test_a_fly_scans_documents_are_valid(tmp_path):
    check_valid(panda.fly(Beam(HEMATITE), tmp_path))


def test_what_ophyd_async_really_emits_is_read(tmp_path):
    """Its simulated camera has a value a frame too; here that is energy and signal."""
    import bluesky.plans as bp
    from bluesky.run_engine import RunEngine
    from ophyd_async.core import StaticFilenameProvider, StaticPathProvider, init_devices
    from ophyd_async.sim import SimBlobDetector

    from rankaae_stream.layouts.fly import FlyLayout

    engine, documents = RunEngine(), []
    with init_devices():
        det = SimBlobDetector(StaticPathProvider(StaticFilenameProvider("real"), tmp_path))
    engine(bp.count([det], num=3), lambda *item: documents.append(item))
    field = ("det-sum",)
    layout = FlyLayout("primary", field, field, field, allowed_roots=(str(tmp_path),))
    reader = layout.open(documents[0][1])
    readings = [reader.feed(name, doc) for name, doc in documents[1:]]
    energies = [e for reading in readings if reading is not None for e in reading.energy]
    assert len(energies) == 3
    assert all(e > 0 for e in energies)


def test_a_file_outside_the_allowed_folders_is_not_opened(answer, tmp_path):
    for name in ("data", "elsewhere"):
        (tmp_path / name).mkdir()
    profile = FLY.format(root=tmp_path / "data")
    results, _ = answer(profile, panda.fly(Beam(HEMATITE), tmp_path / "elsewhere"))
    assert refusals(results) == ["outside_roots"]
    assert "allowed_roots" in results[0].report.refusal.message
    (tmp_path / "data" / "link").symlink_to(tmp_path / "elsewhere")
    results, _ = answer(profile, panda.fly(Beam(HEMATITE), tmp_path / "data" / "link", name="two"))
    assert refusals(results) == ["outside_roots"]


def test_a_fly_scans_folder_of_another_machine_is_mapped(answer, tmp_path):
    here = tmp_path / "here"
    here.mkdir()
    documents = list(panda.fly(Beam(HEMATITE), here))
    there = [(name, _elsewhere(doc, str(here), "/data/2025")) for name, doc in documents]
    mapped = FLY.format(root=here) + f'[layout.root_map]\n"/data/2025" = "{here}"\n'
    results, _ = answer(mapped, there)
    assert set(refusals(results)) == {None}


def _elsewhere(doc, folder, other):
    return {**doc, "uri": doc["uri"].replace(folder, other)} if "uri" in doc else doc


def test_a_file_that_never_comes_is_named(answer, tmp_path):
    documents = list(panda.fly(Beam(HEMATITE), tmp_path))
    (tmp_path / "fly.h5").unlink()
    results, _ = answer(FLY.format(root=tmp_path), documents)
    assert refusals(results) == ["missing_file"]
    assert results[0].report.refusal.message.startswith("energy: ")
    assert "fly.h5" in results[0].report.refusal.message
    results, _ = answer(FLY.format(root=tmp_path), panda.fly(Beam(HEMATITE), tmp_path, name="next"))
    assert set(refusals(results)) == {None}


@pytest.fixture
def opened(analysis, tmp_path):
    """A pipeline of fly scans in ``tmp_path``, and its final results."""
    path = tmp_path / "profile.toml"
    path.write_text(FLY.format(root=tmp_path))
    results = []

    def take(result):
        if result.report.complete:
            results.append(result)

    return build_pipeline(load_profile(path), take, analysis), results


def test_a_fly_scans_file_that_appears_after_the_stop_is_waited_for(opened, tmp_path):
    pipeline, results = opened
    documents = list(panda.fly(Beam(HEMATITE), tmp_path, sweeps=2))
    path = tmp_path / "fly.h5"
    content = path.read_bytes()
    path.unlink()
    for name, doc in documents:
        pipeline.feed(name, doc, 100.0)
    assert (pipeline.waiting_for_files, results) == (1, [])
    for share in (0.5, 0.9, 0.99):
        path.write_bytes(content[: int(share * len(content))])
        pipeline.tick(101.0 + share)
        assert results == [], "its copy has begun"
    path.write_bytes(content)
    pipeline.tick(103.0)
    assert channels(results) == [
        (channel, sweep) for sweep in range(2) for channel in ("transmission", "fluorescence")
    ]
    assert refusals(results) == [None] * 4
    assert {name for r in results for name in flags(r)} == {"energy_shift"}
    assert (pipeline.waiting_for_files, pipeline.open_runs) == (0, 0)


def test_a_fly_scans_file_that_lacks_its_end_is_named_with_the_field(opened, tmp_path):
    import h5py

    pipeline, results = opened
    documents = list(panda.fly(Beam(HEMATITE), tmp_path, sweeps=2))
    with h5py.File(tmp_path / "fly.h5", "a") as file:
        file["it"].resize((790,))
    for name, doc in documents:
        pipeline.feed(name, doc, 100.0)
    assert {sweep for _, sweep in channels(results)} == {0}, "more rows may still come"
    pipeline.tick(120.1)
    assert [flags(r) for r in results[:2]] == [["energy_shift"]] * 2
    for result in results[2:]:
        (said,) = [f.message for f in result.report.flags if f.name == "truncated_file"]
        assert said == f"it: {tmp_path / 'fly.h5'}: 790 rows, 800 were announced"
        assert result.report.refusal is None


def test_a_fly_scan_whose_rows_were_never_announced_names_the_fields(opened, tmp_path):
    pipeline, results = opened
    documents = list(panda.fly(Beam(HEMATITE), tmp_path))
    (resource,) = [d["uid"] for n, d in documents if d.get("data_key") == "it" and "uri" in d]
    for name, doc in documents:
        if doc.get("stream_resource") != resource:
            pipeline.feed(name, doc, 0.0)
    assert refusals(results) == ["missing_fields"]
    assert results[0].report.refusal.message.endswith("rows of it")


@pytest.mark.parametrize("kind", ["external", "virtual"])
def test_a_fly_scans_file_cannot_lead_to_another(opened, tmp_path, kind):
    import h5py

    pipeline, results = opened
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    documents = list(panda.fly(Beam(HEMATITE), elsewhere))
    with h5py.File(tmp_path / "fly.h5", "w") as file:
        for key in ("energy", "i0", "it", "ir", "iff"):
            if kind == "external":
                file[key] = h5py.ExternalLink(str(elsewhere / "fly.h5"), key)
            else:
                layout = h5py.VirtualLayout((800,), float)
                layout[:] = h5py.VirtualSource(str(elsewhere / "fly.h5"), key, (800,))
                file.create_virtual_dataset(key, layout)
    for name, doc in documents:
        uri = {"uri": f"file://localhost{tmp_path}/fly.h5"} if "uri" in doc else {}
        pipeline.feed(name, {**doc, **uri}, 0.0)
    assert refusals(results) == ["outside_roots"]
    assert "another file" in results[0].report.refusal.message
