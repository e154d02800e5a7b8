"""Bad input at the RunEngine: what is published says which stream, field or file it was.

Each case goes through a RunEngine's dispatcher, which raises what a callback raises,
into a live stream; the run after it is answered as if nothing had been.
"""

import itertools
import time
import uuid
from contextlib import ExitStack

import h5py
import pytest
from engines import run_engine
from event_model import DocumentNames
from waiting import PATIENCE, wait_until

from rankaae_stream.callback import DescriptorStream
from rankaae_stream.profile import reading_under
from rankaae_stream.simulate import bmm, curves, panda, series, steps, tes
from rankaae_stream.simulate.documents import Beam
from rankaae_stream.simulate.pizzabox import QAS, Detector, fly_scan

HEMATITE = next(sample for sample in series("Fe") if sample.name == "Fe2O3")
NUMBER = itertools.count()


class Live:
    """A RunEngine with a stream that reads one folder, and what it has published."""

    def __init__(self, profile, engine, folder, spool):
        self.ahead = 0.0
        self.stops = []
        self.runs = {}
        self.engine = engine
        self.stream = DescriptorStream(
            reading_under(profile, folder, spool=spool),
            sinks=[self._take],
            to_tiled=False,
            clock=lambda: time.monotonic() + self.ahead,
        )
        self.engine.subscribe(self.stream)

    def _take(self, name, doc):
        if name == "start":
            self.runs[doc["uid"]] = doc
        elif name == "stop":
            self.stops.append((self.runs[doc["run_start"]], doc["summary"]))

    def _is_done(self):
        status = self.stream.status()
        return not status.open_runs and not status.waiting and self.stream.wait_idle(PATIENCE)

    def play(self, documents, *, wait=0.0):
        """What is published of one run, by channel; `wait` seconds pass after its last document."""
        documents = list(documents)
        uid, error = documents[0][1]["uid"], self.stream.status().last_error
        for name, doc in documents:
            self.engine.dispatcher.process(DocumentNames[name], doc)
        wait_until(lambda: not self.stream.status().waiting, "the documents are read")
        self.ahead += wait
        wait_until(self._is_done, str(self.stream.status()))
        found = [(start, s) for start, s in self.stops if start["original_run_uid"] == uid]
        assert found, self.stream.status()
        assert self.stream.status().last_error == error
        return {summary["channel"]: (start, summary) for start, summary in found}


@pytest.fixture(scope="module")
def live(tmp_path_factory):
    """A function that opens the stream of a profile, or returns it."""
    opened, closing = {}, ExitStack()

    def get(profile):
        if profile not in opened:
            folder = tmp_path_factory.mktemp(profile)
            (folder / "data").mkdir()
            opened[profile] = Live(
                profile, closing.enter_context(run_engine()), folder / "data", folder / "spool"
            )
            closing.callback(opened[profile].stream.close)
            opened[profile].folder = folder / "data"
        return opened[profile]

    with closing:
        yield get


# ---- runs ----------------------------------------------------------------------------


def flown(folder, beamline=None, **options):
    place = {"beamline": beamline} if beamline else {}
    return fly_scan(
        folder,
        curves(HEMATITE),
        element="Fe",
        uid=str(uuid.uuid4()),
        turns=(180.0, -180.0),
        seconds=3.0,
        **place,
        **options,
    )


def good(profile, folder):
    """A run that is answered."""
    name = f"good-{next(NUMBER)}"
    if profile == "iss":
        return flown(folder).documents
    if profile == "qas":
        return flown(folder, QAS).documents
    if profile == "bmm":
        return bmm.xafs(Beam(HEMATITE), name=name)
    if profile == "tes":
        return tes.fly(Beam(HEMATITE), name=name)
    return panda.fly(Beam(HEMATITE), folder, name=name)


def missing(folder, beamline=None):
    scan = flown(folder, beamline)
    next(path for key, path in scan.files.items() if key.endswith("enc1")).unlink()
    return scan.documents


def truncated(folder):
    scan = flown(folder)
    content = scan.files["apb_stream"].read_bytes()
    scan.files["apb_stream"].write_bytes(content[: len(content) // 6 | 1])
    return scan.documents


def wrong_spec(folder):
    documents = flown(folder).documents
    return [(n, {**d, "spec": "AD_TIFF"} if n == "resource" else d) for n, d in documents]


def outside(folder):
    return flown(folder.parent / "elsewhere").documents


def no_stop(folder):
    return flown(folder).documents[:-1]


def damaged_frames(folder):
    scan = flown(folder, detector=Detector())
    scan.files["xs_ch01_roi01"].write_bytes(b"no HDF5")
    return scan.documents


def fly_missing(folder):
    documents = list(panda.fly(Beam(HEMATITE), folder, name="gone"))
    (folder / "gone.h5").unlink()
    return documents


def fly_truncated(folder):
    documents = list(panda.fly(Beam(HEMATITE), folder, name="short"))
    with h5py.File(folder / "short.h5", "a") as file:
        file["i0"].resize((795,))
    return documents


def fly_outside(folder):
    elsewhere = folder.parent / "elsewhere"
    elsewhere.mkdir()
    return panda.fly(Beam(HEMATITE), elsewhere, name="outside")


def without_a_field(folder):
    del folder
    rid = {"It", "Fe1"}
    for name, doc in bmm.xafs(Beam(HEMATITE), name="nothing behind the sample"):
        keys = {key: value for key, value in doc.get("data_keys", {}).items() if key not in rid}
        yield name, {**doc, "data_keys": keys} if keys else doc


def without_energies(folder):
    del folder
    for name, doc in tes.fly(Beam(HEMATITE), name="no energies"):
        if "E_centers" not in doc.get("data", ()):
            yield name, doc


CASES = {
    "a file never comes": ("iss", missing, "missing_file", ("pb9_enc1", "encoder.txt")),
    "a file never comes, QAS": (
        "qas",
        lambda folder: missing(folder, QAS),
        "missing_file",
        ("pb1_enc1", "encoder.txt"),
    ),
    "a file is cut short": ("iss", truncated, "truncated_file", ("apb_stream", "apb.bin")),
    "more triggers than frames": (
        "iss",
        lambda folder: flown(folder, detector=Detector(surplus=5)).documents,
        "frames_unpaired",
        ("apb_trigger_xs", "xs_ch01_roi01"),
    ),
    "frames that are no HDF5": ("iss", damaged_frames, "no_frames", ("xs_ch01_roi01", "xs.h5")),
    "a wrong spec": ("iss", wrong_spec, "wrong_spec", ("apb_stream", "AD_TIFF")),
    "an unknown gain": (
        "iss",
        lambda folder: flown(folder, md={"ch2_amp_gain": "?"}).documents,
        "unknown_gain",
        ("ch2_amp_gain",),
    ),
    "no angle offset": (
        "iss",
        lambda folder: flown(folder, md={"angle_offset": None}).documents,
        "missing_fields",
        ("angle_offset",),
    ),
    "a path outside": ("iss", outside, "outside_roots", ("apb_stream", "allowed_roots")),
    "no stop document": ("iss", no_stop, "no_stop", ("no stop document",)),
    "an HDF5 file never comes": ("generic", fly_missing, "missing_file", ("energy", "gone.h5")),
    "an HDF5 file is short": ("generic", fly_truncated, "truncated_file", ("i0", "short.h5")),
    "an HDF5 file outside": (
        "generic",
        fly_outside,
        "outside_roots",
        ("energy", "allowed_roots"),
    ),
    "a field is missing": ("bmm", without_a_field, "missing_fields", ("'primary'", "It", "Iy")),
    "a stream is missing": ("tes", without_energies, "missing_fields", ("energy_bins",)),
}


@pytest.mark.slow
@pytest.mark.parametrize("case", CASES)
def test_bad_input_is_published_with_its_name_and_the_next_run_is_answered(live, case):
    profile, make, name, words = CASES[case]
    session = live(profile)
    published = session.play(make(session.folder), wait=1000.0)
    said = {}
    for _, summary in published.values():
        refusal = summary["refusal"] or {}
        said.setdefault(refusal.get("name"), refusal.get("message", ""))
        said |= {key: flag["message"] for key, flag in summary["flags"].items()}
    assert name in said
    assert [word for word in words if word not in said[name]] == []
    following = session.play(good(profile, session.folder))
    for _, summary in following.values():
        assert summary["refusal"] is None
        assert {"truncated_file", "no_stop", "unknown_gain"}.isdisjoint(summary["flags"])


HARMLESS = {
    "e0 is 0": ("iss", lambda folder: flown(folder, md={"e0": 0}).documents),
    "detectors are a dict": (
        "iss",
        lambda folder: steps.iss_step(Beam(HEMATITE), name="detectors as a dict"),
    ),
    "_mode is a tuple": (
        "bmm",
        lambda folder: bmm.xafs(Beam(HEMATITE), name="tuple", mode="fluorescence"),
    ),
    "_mode is a list": (
        "bmm",
        lambda folder: bmm.xafs(
            Beam(HEMATITE), name="list", mode="fluorescence", as_read_back=True
        ),
    ),
}


@pytest.mark.parametrize("case", HARMLESS)
def test_what_only_looks_odd_is_answered(live, case):
    profile, make = HARMLESS[case]
    session = live(profile)
    published = session.play(make(session.folder))
    for _, summary in published.values():
        assert summary["refusal"] is None
        state = summary["estimates"]["oxidation_state"]
        assert state["low"] < 3.0 < state["high"]
    primary = [channel for channel, (start, _) in published.items() if start["primary"]]
    assert primary == ["fluorescence" if "_mode" in case else "transmission"]


def test_documents_that_are_none_do_no_harm(live):
    session = live("bmm")
    for name, doc in (
        ("descriptor", {}),
        ("event", {}),
        ("event_page", {"descriptor": "of no run"}),
        ("resource", {"uid": "x"}),
        ("datum", {"resource": "of no run"}),
        ("stream_resource", {"uid": "y"}),
        ("stream_datum", {"stream_resource": "of no run"}),
        ("stop", {"run_start": "of no run", "uid": "z"}),
        ("event", {"descriptor": "of no run", "data": object()}),
    ):
        session.engine.dispatcher.process(DocumentNames[name], doc)
    wait_until(lambda: not session.stream.status().waiting, "the documents are read")
    published = session.play(good("bmm", session.folder))
    assert [summary["refusal"] for _, summary in published.values()] == [None, None]
