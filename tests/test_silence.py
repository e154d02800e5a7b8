"""A run that names an element with a model gets a result or a refusal, whatever is wrong."""

import threading

import pytest
from waiting import PATIENCE, wait_until

from rankaae_stream.callback import DescriptorStream
from rankaae_stream.profile import load_profile
from rankaae_stream.results.compose import compose


@pytest.fixture
def live(tmp_path):
    """A stream under ``others = "skip"``, and what it publishes, by run."""
    found = {}

    def take(name, doc):
        if name == "start":
            found.setdefault(doc["original_run_uid"], []).append([doc, None])
        elif name == "stop":
            next(iter(reversed(list(found.values()))))[-1][1] = doc["summary"]

    profile = load_profile("generic", run={"others": "skip", "copy": ["note"]})
    stream = DescriptorStream(profile.model_copy(update={"spool": tmp_path}), sinks=[take],
                              to_tiled=False)  # fmt: skip
    stream.found = found
    yield stream
    stream.close(PATIENCE)


def played(stream, documents, uid="run"):
    for name, doc in documents:
        stream(name, doc)
    assert stream.wait_idle(PATIENCE)
    return [summary for _, summary in stream.found.get(uid, ())]


def generic(documents):
    """The same documents under names that the generic profile knows."""
    names = {"ic-it": "It", "ic-ir": "Ir", "ic-i0": "I0"}
    for name, doc in documents:
        fields = {key: doc[key] for key in ("data", "data_keys") if key in doc}
        renamed = {
            key: {names.get(field, field): value for field, value in held.items()}
            for key, held in fields.items()
        }
        yield name, {**doc, **renamed}


def nested(depth):
    value = []
    for _ in range(depth):
        value = [value]
    return value


def test_a_run_that_a_rule_excludes_is_refused_where_it_names_an_element(
    tmp_path, documents, hematite
):
    silent = {"plan_name": "map", "skip": True}
    rules = {"others": "skip", "xas": [{"plan_name": "xafs"}], "not_xas": [silent]}
    profile = load_profile("generic", run=rules, spool=str(tmp_path))
    found = []
    runs = [("renamed", "Fe"), ("renamed", "Zn"), ("renamed", None), ("map", "Fe")]
    with DescriptorStream(
        profile, sinks=[lambda *item: found.append(item)], to_tiled=False
    ) as stream:
        for plan, element in runs:
            uid = f"{plan} {element}"
            for name, doc in documents(*hematite):
                new = {"uid": uid, "plan_name": plan, "element": element}
                owner = {"run_start": uid} if "run_start" in doc else {}
                stream(name, doc | (new if name == "start" else owner))
        assert stream.wait_idle(PATIENCE)
    (stop,) = [doc for name, doc in found if name == "stop"]
    assert stop["summary"]["refusal"]["name"] == "not_xas"
    assert "plan_name 'renamed'" in stop["summary"]["refusal"]["message"]
    assert found[0][1]["original_run_uid"] == "renamed Fe"


STARTS = {
    "hints None": {"hints": None},
    "hints a text": {"hints": "x"},
    "odd dimensions": {"hints": {"dimensions": [None, 5, [["a"]], [[], "primary"]]}},
    "dimensions a number": {"hints": {"dimensions": 5}},
    "time None": {"time": None},
    "time a text": {"time": "yesterday"},
    "a deep note": {"note": nested(500)},
    "a deeper note": {"note": nested(5000)},
    "a large number": {"note": 10**400},
    "a list for an edge": {"edge": [["K"]]},
}


@pytest.mark.parametrize("case", STARTS)
def test_an_odd_start_document_is_answered(live, documents, hematite, case):
    (name, start), *rest = generic(documents(*hematite))
    (summary,) = played(live, [(name, {**start, **STARTS[case]}), *rest])
    assert summary["refusal"] is None


def test_a_run_whose_uid_is_a_number_is_answered(live, documents, hematite):
    numbered = [
        (name, {**doc, ("uid" if name == "start" else "run_start"): 5})
        if name == "start" or "run_start" in doc
        else (name, doc)
        for name, doc in generic(documents(*hematite))
    ]
    (summary,) = played(live, numbered, uid=5)
    assert summary["refusal"] is None


def without(documents, change):
    """The events changed by their place."""
    count = 0
    for name, doc in documents:
        if name == "event":
            count += 1
            changed = change(count, doc)
            yield name, changed
        else:
            yield name, doc


def lacks(key, places):
    def change(place, doc):
        data = {name: value for name, value in doc["data"].items() if name != key}
        return {**doc, "data": data} if place in places else doc

    return change


def holds(key, value, places):
    return lambda n, doc: {**doc, "data": {**doc["data"], key: value}} if n in places else doc


def no_data(places):
    def change(place, doc):
        if place not in places:
            return doc
        return {key: value for key, value in doc.items() if key not in ("data", "time")}

    return change


FEW, MANY, ALL = {60, 61}, set(range(60, 80)), set(range(1000))
EVENTS = {
    "a missing signal": lacks("It", FEW),
    "a missing energy": lacks("mono-energy", FEW),
    "no energy": holds("mono-energy", float("nan"), FEW),
    "an infinite energy": holds("mono-energy", float("inf"), FEW),
    "None": holds("It", None, FEW),
    "a text": holds("It", "dark", FEW),
    "a truth value": holds("It", True, FEW),
    "a number too large": holds("It", 10**400, FEW),
    "brackets": holds("It", nested(3000), FEW),
    "several values": holds("It", [1.0, 2.0], FEW),
    "no data": no_data(FEW),
    "data of another kind": lambda n, doc: {**doc, "data": 5} if n in FEW else doc,
}


@pytest.mark.parametrize("case", EVENTS)
def test_a_point_that_cannot_be_read_is_left_out_and_said(live, documents, hematite, case):
    (summary,) = played(live, without(generic(documents(*hematite)), EVENTS[case]))
    assert summary["refusal"] is None
    assert summary["flags"]["bad_signal"]["value"] == 2.0
    assert "events_missing" not in summary["flags"]


@pytest.mark.parametrize("places", [MANY, ALL], ids=["many", "all"])
@pytest.mark.parametrize(
    "change",
    [
        lambda places: lacks("It", places),
        lambda places: holds("mono-energy", float("nan"), places),
        no_data,
    ],
    ids=["a missing signal", "no energy", "no data"],
)
def test_too_many_of_them_are_refused(live, documents, hematite, change, places):
    (summary,) = played(live, without(generic(documents(*hematite)), change(places)))
    assert summary["refusal"]["name"] == "bad_signal"


def test_a_run_without_the_fields_is_refused_if_it_names_an_element(live, documents, hematite):
    def renamed(items):
        for name, doc in items:
            keys = {"I_zero" if k == "I0" else k: v for k, v in doc.get("data_keys", {}).items()}
            yield name, {**doc, "data_keys": keys} if keys else doc

    (summary,) = played(live, renamed(generic(documents(*hematite))))
    assert summary["refusal"]["name"] == "missing_fields"
    unnamed = [
        (name, {**doc, "element": None} if name == "start" else doc)
        for name, doc in renamed(generic(documents(*hematite, uid="other")))
    ]
    assert played(live, unnamed, "other") == []


def test_a_descriptor_that_cannot_be_read_is_said(live, documents, hematite):
    start, (name, descriptor), *rest = generic(documents(*hematite))
    odd = {key: value for key, value in descriptor.items() if key != "data_keys"}
    (summary,) = played(live, [start, (name, odd), *rest])
    assert summary["refusal"]["name"] == "missing_fields"
    assert "descriptor" in summary["refusal"]["message"]


STATIONS = [
    "rankaae_stream.answers.flat.normalize_rows",
    "rankaae_stream.answers.case.to_spectrum",
    "rankaae_stream.pipeline.find_edge",
    "rankaae_stream.pipeline.signal_flags",
    "rankaae_stream.layouts.step.absorption",
]


@pytest.mark.parametrize("error", [SystemExit, KeyboardInterrupt, GeneratorExit, MemoryError])
@pytest.mark.parametrize("station", STATIONS)
def test_whatever_a_station_raises_the_run_is_refused(
    live, documents, hematite, monkeypatch, station, error
):
    def broken(*args, **kwargs):
        raise error

    with monkeypatch.context() as patched:
        patched.setattr(station, broken)
        if "layouts" in station:  # else the other layout reads the events
            patched.setattr(station.replace("step", "fly"), broken)
        (summary,) = played(live, generic(documents(*hematite)))
    assert summary["refusal"]["name"] == "internal_error"
    assert error.__name__ in summary["refusal"]["message"]
    (summary,) = played(live, generic(documents(*hematite, uid="next")), "next")
    assert summary["refusal"] is None


def test_a_worker_that_ends_is_said_and_the_next_scans_are_answered(live, documents, hematite):
    import ctypes

    worker = live._inbox._thread
    ctypes.pythonapi.PyThreadState_SetAsyncExc(
        ctypes.c_ulong(worker.ident), ctypes.py_object(MemoryError)
    )
    wait_until(lambda: live._inbox.errors or not worker.is_alive(), "it was raised")
    (summary,) = played(live, generic(documents(*hematite)))
    assert summary["refusal"] is None
    assert "started again" in str(live.status())
    assert threading.active_count() > 1


@pytest.mark.parametrize(
    ("start", "name"),
    [
        ({"sample": "Fe2O3"}, "Fe2O3"),
        ({"sample": {"name": "Fe2O3", "id": 5}}, "Fe2O3"),
        ({"Sample": {"name": "Fe2O3"}}, "Fe2O3"),
        ({"sample_id": "S-5"}, "S-5"),
        ({"sample_name": "A", "sample": "B"}, "A"),
    ],
)
def test_a_result_has_the_name_of_its_sample(pipeline, documents, hematite, start, name):
    for item, doc in documents(*hematite, **start, title="T", comment="C"):
        pipeline.feed(item, doc, 0.0)
    profile = load_profile("generic")
    run = compose(pipeline.results[-1], profile.published(), profile.copied_keys())
    assert (run.start["sample_name"], run.start["title"], run.start["comment"]) == (name, "T", "C")
    assert start.items() <= run.start.items()
