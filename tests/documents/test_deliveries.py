"""However a run's documents are delivered, its answer is that of the undisturbed run."""

import itertools
import random

import numpy as np
import pytest

from rankaae_stream.layouts.base import EventNumbers, Reading
from rankaae_stream.loading import build_pipeline
from rankaae_stream.profile import load_profile


def scan(documents, columns):
    """Start, descriptor, events and stop of a step scan; the stop counts the events."""
    start, descriptor, *events, stop = documents(*columns)
    stop = (stop[0], {**stop[1], "num_events": {"primary": len(events)}})
    return start, descriptor, events, stop


def again(events, later=500.0, **changes):
    """The same points, measured once more: their numbers, but uids and times of their own."""
    return [
        (name, {**doc, "uid": f"{doc['uid']} + {later}", "time": doc["time"] + later, **changes})
        for name, doc in events
    ]


def dark(events):
    """The same events without beam."""
    nothing = {"ic-i0": 0.0, "ic-it": 0.0, "ic-ir": 0.0}
    return [(name, {**doc, "data": {**doc["data"], **nothing}}) for name, doc in events]


def page(events):
    docs = [doc for _, doc in events]
    rows = {key: [doc[key] for doc in docs] for key in ("uid", "time", "seq_num")}
    data = {key: [doc["data"][key] for doc in docs] for key in docs[0]["data"]}
    return "event_page", {"descriptor": docs[0]["descriptor"], "data": data, **rows}


def shuffled(events):
    return random.Random(0).sample(events, len(events))


def redelivered(start, descriptor, events, stop):
    return [start, descriptor, *events[:100], *events[60:], stop]


def rewound(start, descriptor, events, stop):
    return [start, descriptor, *events[:100], *again(events[60:100]), *events[100:], stop]


def suspended(start, descriptor, events, stop):
    """The beam was lost before the suspender noticed."""
    taken = [*events[:90], *dark(again(events[90:100], 1.0)), *again(events[80:100])]
    return [start, descriptor, *taken, *events[100:], stop]


def rewound_and_shuffled(start, descriptor, events, stop):
    taken = [*events[:90], *dark(again(events[90:100], 0.0)), *events[100:]]
    before = [(name, {**doc, "uid": "x" + doc["uid"]}) for name, doc in taken]
    return [start, descriptor, *shuffled([*before, *again(events[85:105])]), stop]


def in_any_order(start, descriptor, events, stop):
    return [start, descriptor, *shuffled(events), stop]


def events_before_their_descriptor(start, descriptor, events, stop):
    return [start, *events[:20], descriptor, *events[20:], stop]


def descriptor_after_the_end(start, descriptor, events, stop):
    return [start, *events, stop, descriptor]


def everything_before_the_start(start, descriptor, events, stop):
    return [stop, *events[:20], descriptor, *events[20:], start]


def pages_that_overlap(start, descriptor, events, stop):
    pages = [page(events[:80]), page(again(events[50:120])), page(events[70:])]
    return [start, descriptor, *pages, stop]


def a_page_within_which_points_repeat(start, descriptor, events, stop):
    return [start, descriptor, page([*events[:80], *again(events[50:80]), *events[80:]]), stop]


def in_bulk(start, descriptor, events, stop):
    docs = [doc for _, doc in events]
    return [start, descriptor, ("bulk_events", {"primary": docs[:70]}), *events[60:], stop]


def start_and_descriptor_twice(start, descriptor, events, stop):
    return [start, descriptor, *events[:50], start, descriptor, *events[50:], stop]


def all_of_it_again(*run):
    start, descriptor, events, stop = run
    return [start, descriptor, *events, stop, start, descriptor, *events, stop]


def stop_before_the_last_events(start, descriptor, events, stop):
    return [start, descriptor, *events[:-30], stop, *events[-30:]]


def configured_anew(start, descriptor, events, stop):
    """After a pause the stream has another descriptor, and goes back to its checkpoint."""
    other = (descriptor[0], {**descriptor[1], "uid": "other"})
    late = again(events[90:], descriptor="other")
    return [start, descriptor, *events[:100], other, *late, stop]


def unchanged(start, descriptor, events, stop):
    return [start, descriptor, *events, stop]


DELIVERIES = [
    redelivered,
    rewound,
    suspended,
    rewound_and_shuffled,
    in_any_order,
    events_before_their_descriptor,
    descriptor_after_the_end,
    everything_before_the_start,
    pages_that_overlap,
    a_page_within_which_points_repeat,
    in_bulk,
    start_and_descriptor_twice,
    all_of_it_again,
    stop_before_the_last_events,
    configured_anew,
]


def finals(pipeline, items):
    for number, (name, doc) in enumerate(items):
        pipeline.feed(name, doc, 0.05 * number)  # every tenth is answered while the scan grows
    found = [result for result in pipeline.results if result.report.complete]
    pipeline.results.clear()
    return found


@pytest.mark.parametrize("deliver", DELIVERIES, ids=lambda deliver: deliver.__name__)
def test_the_answer_is_that_of_the_undisturbed_run(
    open_pipeline, documents, hematite, deliver, pipeline
):
    run = scan(documents, hematite)
    (plain,) = finals(pipeline, unchanged(*run))
    (found,) = finals(open_pipeline(pipeline.profile), deliver(*run))
    assert (found.uid, found.report.refusal) == (plain.uid, None)
    assert [flag.name for flag in found.report.flags] == [f.name for f in plain.report.flags]
    assert found.report.points == plain.report.points
    for one, other in zip(found.report.estimates, plain.report.estimates, strict=True):
        assert (one.value, one.low, one.high) == pytest.approx(
            (other.value, other.low, other.high), rel=1e-9
        )


@pytest.mark.slow
@pytest.mark.parametrize("deliver", [redelivered, rewound, in_any_order], ids=lambda d: d.__name__)
def test_sweeps_stay_what_they_were(pipeline, open_pipeline, documents, hematite, deliver):
    there_and_back = [np.concatenate([column, column[::-1], column]) for column in hematite]
    run = scan(documents, there_and_back)
    plain = finals(pipeline, unchanged(*run))
    found = finals(open_pipeline(pipeline.profile), deliver(*run))
    assert [result.report.sweep for result in plain] == [0, 1, 2]
    assert [result.uid for result in found] == [result.uid for result in plain]
    for one, other in zip(found, plain, strict=True):
        assert one.report.latent == pytest.approx(other.report.latent, rel=1e-9)


def test_events_that_never_come_are_waited_for_and_then_said(pipeline, documents, hematite):
    start, descriptor, events, stop = scan(documents, hematite)
    late = [start, descriptor, *events[:-3], stop]
    assert finals(pipeline, late) == []
    assert pipeline.waiting_for_files == 1
    pipeline.tick(0.05 * len(late) + pipeline.profile.file_deadline)
    (result,) = [result for result in pipeline.results if result.report.complete]
    (flag,) = [flag for flag in result.report.flags if flag.name == "events_missing"]
    assert (flag.value, flag.severity) == (3.0, "warning")


def test_events_that_were_lost_on_the_way_are_said(pipeline, documents, hematite):
    start, descriptor, events, (name, stop) = scan(documents, hematite)
    stop = {key: value for key, value in stop.items() if key != "num_events"}
    kept = [*events[:40], *events[42:]]
    (result,) = finals(pipeline, [start, descriptor, *kept, (name, stop)])
    assert "events_missing" in {flag.name for flag in result.report.flags}


def test_a_sweep_is_not_finished_while_one_of_its_points_is_on_the_way(
    pipeline, documents, hematite
):
    there_and_back = [np.concatenate([column, column[::-1]]) for column in hematite]
    start, descriptor, events, stop = scan(documents, there_and_back)
    late = events[40:50]
    first = finals(pipeline, [start, descriptor, *events[:40], *events[50:]])
    assert first == []
    assert [result.report.sweep for result in finals(pipeline, [*late, stop])] == [0, 1]


def test_whole_scans_in_one_event_are_replaced_whole(open_pipeline):
    from rankaae_stream.profile import load_profile
    from rankaae_stream.simulate import series, tes
    from rankaae_stream.simulate.documents import Beam

    documents = list(tes.fly(Beam(series("Fe")[2]), name="twice"))
    scans = [i for i, (name, doc) in enumerate(documents) if "I0" in doc.get("data", ())]
    plain = finals(open_pipeline(load_profile("tes")), documents)
    first = scans[0]
    name, doc = documents[first]
    uid = ["once more"] if name == "event_page" else "once more"
    once_more = [*documents[: scans[-1] + 1], (name, {**doc, "uid": uid}), *documents[first:]]
    found = finals(open_pipeline(load_profile("tes")), once_more)
    assert [result.uid for result in found] == [result.uid for result in plain]
    for one, other in zip(found, plain, strict=True):
        assert one.report.latent == pytest.approx(other.report.latent, rel=1e-9)


def test_a_point_costs_the_same_however_many_there_are(monkeypatch):
    from rankaae_stream.documents import sweeps

    looked = itertools.count()
    real = sweeps.turning_points

    def counted(energy):
        next(looked)
        return real(energy)

    monkeypatch.setattr(sweeps, "turning_points", counted)
    made = sweeps.Sweeps()
    for number, energy in enumerate(np.linspace(7000.0, 7500.0, 3000)):
        events = EventNumbers("primary", [number + 1], [float(number)])
        made.add(Reading(np.array([energy]), {"transmission": np.ones(1)}, 0.0, events=events))
    assert next(looked) == 0, "the whole sweep is looked at only where it turned"
    assert len(made.items[0].energy) == 3000


def test_documents_of_a_run_that_has_no_start_are_let_go_in_the_end(
    analysis, documents, hematite, caplog
):
    ended = []
    pipeline = build_pipeline(load_profile("sim"), lambda _: None, analysis, ended=ended.append)
    for name, doc in list(documents(*hematite))[1:]:
        pipeline.feed(name, doc, 0.0)
    pipeline.tick(1e6)
    assert ended == ["run"], "who keeps them need keep them no longer"
    assert "run run" in caplog.text
    assert not pipeline._owner
    for name, doc in documents(*hematite):
        pipeline.feed(name, doc, 2e6)
    assert ended == ["run", "run"], "it is answered when it comes whole"
