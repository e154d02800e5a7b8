"""Raw fly scans through databroker's handlers and in Tiled: the same readers."""

import importlib
import tomllib

import event_model
import numpy as np
import pytest
from bluesky_tiled_plugins import TiledWriter

from rankaae_stream.files.frames import read_frames
from rankaae_stream.files.pizzabox import read_apb, read_encoder, read_pulses
from rankaae_stream.files.tiled_adapters import raw_writer_options
from rankaae_stream.loading import build_pipeline
from rankaae_stream.profile import reading_under as profile_under
from rankaae_stream.server.tiled_server import EmbeddedServer
from rankaae_stream.simulate import panda, series
from rankaae_stream.simulate.documents import Beam
from rankaae_stream.simulate.pizzabox import Detector, fly_scan
from rankaae_stream.simulate.samples import curves

pytestmark = pytest.mark.services

HEMATITE = next(sample for sample in series("Fe") if sample.name == "Fe2O3")


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("registered")


@pytest.fixture(scope="module")
def scan(folder):
    played = curves(HEMATITE)
    return fly_scan(folder / "data", played, element="Fe", seconds=4.0, detector=Detector())


@pytest.fixture(scope="module")
def streamed(folder):
    """A scan whose files stream resources name."""
    detector = Detector("pil100k")
    played = curves(HEMATITE)
    return fly_scan(
        folder / "data", played, element="Fe", seconds=4.0, detector=detector, streaming=True
    )


@pytest.fixture(scope="module")
def hdf5(folder, scan):
    """An ophyd-async fly scan's documents; its file lies beside the others."""
    return list(panda.fly(Beam(HEMATITE), folder / "data", sweeps=2))


@pytest.fixture(scope="module")
def tables(scan):
    """What the readers say of the scan's files, time in front."""
    content = {key: path.read_bytes() for key, path in scan.files.items()}
    apb, encoder = read_apb(content["apb_stream"]), read_encoder(content["pb9_enc1"])
    pulses = read_pulses(content["apb_trigger_xs"])
    return {
        "apb_stream": np.column_stack([apb.time, apb.microvolt]),
        "pb9_enc1": np.column_stack([encoder.time, encoder.counts]),
        "apb_trigger_xs": np.column_stack([pulses.rise, pulses.fall]),
    }


def handlers(root):
    """As the package registers them."""
    project = tomllib.loads((root / "pyproject.toml").read_text())["project"]
    found = {}
    for spec, target in project["entry-points"]["databroker.handlers"].items():
        module, name = target.split(":")
        found[spec] = getattr(importlib.import_module(module), name)
        assert spec in found[spec].specs
    return found


def test_databroker_fills_a_runs_events_with_what_the_readers_read(root, scan, tables):
    filled = {}
    with event_model.Filler(handlers(root), inplace=False) as filler:
        for name, doc in scan.documents:
            # The frames have a reader of their own in databroker.
            if any("xs_stream" in str(doc.get(key)) for key in ("uid", "resource", "descriptor")):
                continue
            _, seen = filler(name, doc)
            if name == "event_page":
                filled.update({key: values[0] for key, values in seen["data"].items()})
    assert filled.keys() == tables.keys()
    for key, table in tables.items():
        assert np.array_equal(filled[key], table)


@pytest.fixture(scope="module")
def tree(folder, scan, streamed, hdf5):
    """The runs in Tiled, written while their files lie where the server may read."""
    with EmbeddedServer(folder / "tiled", readable=[folder / "data"]) as server:
        client = server.client("raw")
        for documents in (scan.documents, streamed.documents, hdf5):
            write(client, documents)
        yield client


def write(client, documents):
    writer = TiledWriter(client, **raw_writer_options())
    for name, doc in documents:
        writer(name, dict(doc))


@pytest.fixture(scope="module")
def stored(tree, scan):
    return tree[scan.uid]


def test_a_raw_run_is_readable_in_tiled(stored, tables):
    for key, table in tables.items():
        assert np.array_equal(stored[key][key].read()[0], table)


def test_a_detectors_sums_are_readable_in_tiled_too(stored, scan):
    counts = read_frames(
        scan.files["xs_ch02_roi01"], "entry/instrument/detector/NDAttributes/CHAN2ROI1"
    )
    assert np.array_equal(stored["xs_stream"]["xs_ch02_roi01"].read().ravel(), counts)


def test_files_that_stream_resources_name_are_readable_in_tiled(tree, streamed):
    run = tree[streamed.uid]
    apb = read_apb(streamed.files["apb_stream"].read_bytes())
    assert np.array_equal(run["apb_stream"]["apb_stream"].read()[0, :, 1:], apb.microvolt)
    encoder = read_encoder(streamed.files["pb9_enc1"].read_bytes())
    assert np.array_equal(run["pb9_enc1"]["pb9_enc1"].read()[0, :, 1], encoder.counts)
    counts = read_frames(streamed.files["pil100k_roi1"], "entry/instrument/NDAttributes/_ROI1Total")
    assert np.array_equal(run["pil100k_stream"]["pil100k_roi1"].read().ravel(), counts)


def test_an_ophyd_async_fly_scan_is_readable_in_tiled_and_replays_to_the_live_report(
    tree, hdf5, analysis, folder
):
    run = tree[hdf5[0][1]["uid"]]
    energy = run["primary"]["energy"].read()
    assert energy.shape == (800,)
    assert energy[0] == energy[-1] == 7112 - 160, "up and down"
    profile, answers = profile_under("generic", folder / "data"), []
    for documents in (hdf5, run.documents()):
        results = []
        pipeline = build_pipeline(profile, results.append, analysis)
        for name, doc in documents:
            pipeline.feed(name, doc, 0.0)
        pipeline.finish()
        answers.append({r.uid: r.report for r in results if r.report.complete})
    live, replayed = answers
    assert len(live) == 4
    assert {report.refusal for report in live.values()} == {None}
    assert {uid: report.latent for uid, report in live.items()} == {
        uid: report.latent for uid, report in replayed.items()
    }


def test_a_run_replayed_from_tiled_gives_the_live_report(
    stored, scan, open_pipeline, folder, reading_under
):
    answers = []
    for documents in (scan.documents, stored.documents()):
        pipeline = open_pipeline(reading_under("iss", folder / "data"))
        for name, doc in documents:
            pipeline.feed(name, doc, 0.0)
        answers.append({r.report.channel: r for r in pipeline.results})
    live, replayed = answers
    assert live.keys() == replayed.keys() == {"transmission", "fluorescence"}
    for channel in live:
        assert live[channel].report.refusal is None
        assert live[channel].uid == replayed[channel].uid
        assert live[channel].report.latent == replayed[channel].report.latent
        assert live[channel].report.flags == replayed[channel].report.flags
        assert [flag.name for flag in live[channel].report.flags] == ["energy_shift"]
