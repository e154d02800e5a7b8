"""Pizza-box files through databroker's handlers and Tiled's adapter: the same readers."""

import importlib
import tomllib

import event_model
import numpy as np
import pytest
from bluesky_tiled_plugins import TiledWriter

from rankaae_stream.files.frames import read_frames
from rankaae_stream.files.pizzabox import read_apb, read_encoder, read_pulses
from rankaae_stream.files.tiled_adapters import (
    SPEC_TO_MIMETYPE,
    PizzaboxAdapter,
    raw_writer_options,
)
from rankaae_stream.pipeline import Pipeline
from rankaae_stream.server import EmbeddedServer, configuration
from rankaae_stream.simulate.pizzabox import Detector, fly_scan
from rankaae_stream.simulate.samples import curves, series


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("registered")


@pytest.fixture(scope="module")
def scan(folder):
    played = curves(next(sample for sample in series("Fe") if sample.name == "Fe2O3"))
    return fly_scan(folder / "data", played, element="Fe", seconds=4.0, detector=Detector())


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
def stored(folder, scan):
    """The run in Tiled, written while its files lie where the server may read."""
    trees = configuration(folder / "tiled", host="127.0.0.1", port=0, allow_anonymous_access=True)[
        "trees"
    ]
    adapter = f"{PizzaboxAdapter.__module__}:{PizzaboxAdapter.__name__}"
    for tree in trees:
        tree["args"]["readable_storage"] = [str(folder / "data")]
        tree["args"]["adapters_by_mimetype"] = dict.fromkeys(SPEC_TO_MIMETYPE.values(), adapter)
    with EmbeddedServer(folder / "tiled", extra={"trees": trees}) as server:
        client = server.client("raw")
        writer = TiledWriter(client, **raw_writer_options())
        for name, doc in scan.documents:
            writer(name, dict(doc))
        yield client[scan.uid]


def test_a_raw_run_is_readable_in_tiled(stored, tables):
    for key, table in tables.items():
        assert np.array_equal(stored[key][key].read()[0], table)


def test_a_detectors_sums_are_readable_in_tiled_too(stored, scan):
    counts = read_frames(
        scan.files["xs_ch02_roi01"], "entry/instrument/detector/NDAttributes/CHAN2ROI1"
    )
    assert np.array_equal(stored["xs_stream"]["xs_ch02_roi01"].read().ravel(), counts)


def test_a_run_replayed_from_tiled_gives_the_live_report(
    stored, scan, analysis, folder, reading_under
):
    profile = reading_under("iss", folder / "data")
    answers = []
    for documents in (scan.documents, stored.documents()):
        results = []
        pipeline = Pipeline(
            profile.build_layout(),
            analysis,
            profile.run.build(),
            results.append,
        )
        for name, doc in documents:
            pipeline.feed(name, doc, 0.0)
        answers.append({r.report.channel: r for r in results})
    live, replayed = answers
    assert live.keys() == replayed.keys() == {"transmission", "fluorescence"}
    for channel in live:
        assert live[channel].report.refusal is None
        assert live[channel].uid == replayed[channel].uid
        assert live[channel].report.latent == replayed[channel].report.latent
        assert live[channel].report.flags == replayed[channel].report.flags
        assert [flag.name for flag in live[channel].report.flags] == ["energy_shift"]
