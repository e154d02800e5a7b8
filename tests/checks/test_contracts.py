"""Contracts that every layout, model and sink keeps; and that a broken one does not pass them."""

import dataclasses
import json
import re
import shutil

import event_model
import numpy as np
import pytest

from rankaae_stream import resources
from rankaae_stream.checks.base import Broken, run_checks
from rankaae_stream.checks.layouts import layout_checks
from rankaae_stream.checks.models import check_model
from rankaae_stream.checks.rehearsal import at_home, example_scan, rehearse, start_of
from rankaae_stream.checks.sinks import example_result, sink_checks
from rankaae_stream.errors import ModelError
from rankaae_stream.layouts.fly import FlyLayout
from rankaae_stream.layouts.step import StepLayout
from rankaae_stream.model.folder import shipped_models
from rankaae_stream.profile import load_profile
from rankaae_stream.results.sinks import CallableSink
from rankaae_stream.results.tiled_sink import TiledSink

STEP = StepLayout("primary", ("energy",), ("i0",), ("it",), ("ir",), fluorescence=("a", "b"))


def shipped_layouts():
    """Every layout of every shipped profile, and the kind that none of them uses."""
    for path in sorted(resources.folder("profiles").glob("*.toml")):
        profile = load_profile(path.stem)
        choice = profile.run.build()
        for layout in profile.build_layouts():
            start = start_of(choice, choice.xas[0] if choice.xas else None)
            yield f"{path.stem} {type(layout).__name__}", layout, start
    yield "fly", FlyLayout("primary", ("e",), ("i0",), ("it",), ("ir",), ("det_*",)), {}


LAYOUTS = list(shipped_layouts())
CHECKS = [
    (name, check)
    for name, *layout in LAYOUTS
    for check in layout_checks(layout[0], None, layout[1])
]


@pytest.mark.parametrize("check", [c for _, c in CHECKS], ids=[f"{n}: {c.name}" for n, c in CHECKS])
def test_a_layout_keeps_its_contract(check):
    check.ask()


@pytest.mark.parametrize(("name", "layout", "start"), LAYOUTS, ids=[name for name, *_ in LAYOUTS])
def test_rehearsed_documents_are_those_of_the_event_model(name, layout, start, tmp_path):
    scan = example_scan("valid", start, sweeps=2)
    for kind, doc in rehearse(at_home(layout, tmp_path), scan, tmp_path):
        event_model.schema_validators[event_model.DocumentNames[kind]].validate(doc)


class Changed:
    """A step layout that does one thing wrong; it rehearses as the right one does."""

    def __init__(self, change):
        self._change = change

    def open(self, start):
        return self._change(STEP.open(start))

    def rehearse(self, scan, folder):
        return rehearse(STEP, scan, folder)


class Reader:
    """The right reader, whose readings pass through `turn`."""

    shared = None

    def __init__(self, inner):
        self._inner = inner

    def feed(self, name, doc):
        reading = self._inner.feed(name, doc)
        return None if reading is None else self.turn(reading)

    def missing(self):
        return self._inner.missing()

    def turn(self, reading):
        return reading


class UpsideDown(Reader):
    def turn(self, reading):
        return dataclasses.replace(reading, mu={k: -v for k, v in reading.mu.items()})


class Shifted(Reader):
    def turn(self, reading):
        return dataclasses.replace(reading, energy=reading.energy + 0.05)


class Sorted(Reader):
    """Gives all at the end, by energy."""

    def __init__(self, inner):
        super().__init__(inner)
        self._points = []

    def feed(self, name, doc):
        reading = self._inner.feed(name, doc)
        if reading is not None:
            self._points.append(reading)
        if name != "stop" or not self._points:
            return None
        points = sorted(self._points, key=lambda one: one.energy[0])
        mu = {k: np.concatenate([one.mu[k] for one in points]) for k in points[0].mu}
        energy = np.concatenate([one.energy for one in points])
        return dataclasses.replace(points[0], energy=energy, mu=mu)


class Whole(Reader):
    """Loses a point where any channel has no number."""

    def turn(self, reading):
        good = all(np.isfinite(v).all() for v in reading.mu.values())
        return reading if good else None


class Changing(Reader):
    def feed(self, name, doc):
        if name == "event":
            doc["data"]["seen"] = 1.0
        return super().feed(name, doc)


class Raising(Reader):
    def feed(self, name, doc):
        if name == "event":
            float(doc["data"].get("it", 0.0))
        return super().feed(name, doc)


class Everything(Reader):
    """Takes any event for the scan's."""

    def feed(self, name, doc):
        if name == "descriptor":
            self._uid = doc["uid"] if doc["name"] == "primary" else getattr(self, "_uid", "")
        if name == "event" and "energy" in doc["data"]:
            doc = {**doc, "descriptor": self._uid}
        return super().feed(name, doc)


class Shared(Reader):
    """One reader for all runs."""

    inner = None

    def __init__(self, inner):
        Shared.inner = Shared.inner or inner
        super().__init__(Shared.inner)

    def turn(self, reading):
        if Shared.before is not None and abs(reading.energy[0] - Shared.before) > 100.0:
            reading = dataclasses.replace(reading, energy=reading.energy + 5.0)
        Shared.before = reading.energy[0]
        return reading

    before = None


@pytest.mark.parametrize(
    ("reader", "failing"),
    [
        (UpsideDown, "a rising scan is read as it was played"),
        (Shifted, "a rising scan is read as it was played"),
        (Sorted, "several sweeps in one run are separated"),
        (Sorted, "a falling scan is read as it was played"),
        (Whole, "a signal without a number affects its channel only"),
        (Changing, "documents are not changed"),
        (Raising, "strange values are refused by name"),
        (Everything, "documents it does not know are ignored"),
        (Shared, "runs that interleave do not mix"),
    ],
)
def test_a_layout_that_breaks_it_is_told(reader, failing):
    Shared.inner = Shared.before = None
    findings = {one.name: one for one in run_checks(layout_checks(Changed(reader)))}
    assert findings[failing].verdict == "failed"
    assert findings[failing].message


def test_a_layout_that_opens_any_file_is_told(tmp_path, monkeypatch):
    from rankaae_stream.layouts import fly

    monkeypatch.setattr(fly, "resolve", lambda root, path, *_: tmp_path / "fly.h5")
    (fly_layout,) = (layout for name, layout, _ in LAYOUTS if name == "fly")
    checks = {one.name: one for one in layout_checks(fly_layout, tmp_path)}
    scan = example_scan("fly")
    rehearse(fly_layout, scan, tmp_path)
    with pytest.raises(Broken, match="a stream_resource with the file /etc/hostname: it is read"):
        checks["strange values are refused by name"].ask()


def test_a_layout_that_cannot_rehearse_is_not_checked_and_says_how_it_could_be():
    class Alone:
        def open(self, start):
            return STEP.open(start)

    (first, *_) = run_checks(layout_checks(Alone()))
    assert first.verdict == "not checked"
    assert "rehearse(scan, folder)" in first.fix


def test_the_guides_example_asks_the_contract():
    text = (resources.folder("profiles") / "README.md").read_text()
    (example,) = [
        block
        for block in re.findall(r"```python\n(.*?)```", text, flags=re.DOTALL)
        if "layout_checks" in block
    ]
    names = {"CrystalLayout": lambda theta: dataclasses.replace(STEP, energy=(theta,))}
    exec(example, names)
    (mark,) = names["test_my_layout"].pytestmark
    asked = [names["test_my_layout"](check) for check in mark.args[1]]
    assert len(asked) == 10


# ---- models --------------------------------------------------------------------------


@pytest.mark.parametrize("key", sorted(shipped_models()))
def test_a_model_keeps_its_contract(key):
    said = check_model(resources.folder("models") / key, shipped_models()[key])
    assert "8 golden spectra" in said


def test_a_model_that_is_not_the_pinned_one_or_has_a_grid_that_falls_is_told(tmp_path):
    key = min(shipped_models())
    own = tmp_path / "own"
    shutil.copytree(resources.folder("models") / key, own)
    assert "no id pins it" in check_model(own)
    with pytest.raises(ModelError, match="give this id"):
        check_model(own, "0" * 64)
    card = json.loads((own / "card.json").read_bytes())
    card["grid"]["start"], card["grid"]["stop"] = card["grid"]["stop"], card["grid"]["start"]
    (own / "card.json").write_text(json.dumps(card))
    with pytest.raises(Broken, match="do not rise"):
        check_model(own)


# ---- sinks ---------------------------------------------------------------------------


class Memory:
    """A sink that keeps the contract, as one of another package would."""

    name = "memory"

    def __init__(self, held):
        self._held = held
        self._mine = {}

    def provisional(self, run):
        if self._whole(run.uid):
            return
        number = self._mine[run.uid] = self._mine.get(run.uid, 0) + 1
        if number == 1:
            self._held[run.uid] = [("start", run.start), ("descriptor", run.descriptor)]
        self._held[run.uid].append(("event", run.numbered(number).event))

    def final(self, run):
        if not self._whole(run.uid):
            self.provisional(run)
            self._held[run.uid].append(("stop", run.numbered(self._mine[run.uid]).stop))

    def close(self):
        pass

    def _whole(self, uid):
        return any(name == "stop" for name, _ in self._held.get(uid, []))


class Twice(Memory):
    def _whole(self, uid):
        return False


class Endless(Memory):
    def final(self, run):
        self.provisional(run)


class Continuing(Memory):
    """Appends to what another session began."""

    def provisional(self, run):
        if run.uid in self._held and not self._mine.get(run.uid):
            self._mine[run.uid] = 1
        super().provisional(run)


class Forgetful(Memory):
    def provisional(self, run):
        if run.event["data"]["refusal"] == "":
            super().provisional(run)


def verdicts(kind):
    held = {}
    checks = sink_checks(lambda: kind(held), lambda uid: held.get(uid, []))
    return {one.name: one.verdict for one in run_checks(checks)}


def test_a_sink_of_another_package_keeps_the_contract():
    assert set(verdicts(Memory).values()) == {"ok"}


@pytest.mark.parametrize(
    ("kind", "failing"),
    [
        (Twice, "a result that is sent again changes nothing"),
        (Endless, "a result arrives complete"),
        (Continuing, "a run that was interrupted is written again"),
        (Forgetful, "a refusal arrives like any result"),
    ],
)
def test_a_sink_that_breaks_it_is_told(kind, failing):
    assert verdicts(kind)[failing] == "failed"


def test_a_callable_keeps_the_contract_where_a_start_begins_a_run_anew():
    held, runs = {}, {}

    def receive(name, doc):
        if name == "start":
            held[doc["uid"]] = []
        if name == "descriptor":
            runs[doc["uid"]] = doc["run_start"]
        uid = doc["uid"] if name == "start" else doc.get("run_start") or runs[doc["descriptor"]]
        held[uid].append((name, doc))

    checks = sink_checks(lambda: CallableSink(receive), lambda uid: held[uid])
    found = {one.name: (one.verdict, one.message) for one in run_checks(checks)}
    # It cannot be asked whether a result is there, and begins one that comes again.
    found.pop("a result that is sent again changes nothing")
    assert {verdict for verdict, _ in found.values()} == {"ok"}, found


def test_tiled_keeps_the_contract(server):
    checks = sink_checks(
        lambda: TiledSink(server.uri, "processed", server.api_key),
        lambda uid: server.client("processed")[uid].documents(),
    )
    for check in checks:
        check.ask()


def test_the_results_that_sinks_are_tried_with_say_what_they_are():
    run = example_result(2.5)
    assert run.event["data"]["oxidation_state"] == 2.5
    assert run.start["sample_name"] == "a probe of rankaae-stream check"
    for name, doc in run.documents():
        event_model.schema_validators[event_model.DocumentNames[name]].validate(doc)
