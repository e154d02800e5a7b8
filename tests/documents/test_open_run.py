"""One raw run from its start document to its answers: what is kept, and when it is due."""

import numpy as np
import pytest

from rankaae_stream.documents.open_run import OpenRun
from rankaae_stream.edges import Stated
from rankaae_stream.errors import Refused
from rankaae_stream.layouts.base import EventNumbers, Reading

UP = np.arange(7000.0, 7020.0)


class Reader:
    """Gives what it was made with, document by document; collects once `there`."""

    def __init__(self, readings=(), files=(), there=True):
        self.readings, self.files, self.there, self.asked = list(readings), files, there, 0

    def feed(self, name, doc):
        reading = self.readings.pop(0) if self.readings else None
        if isinstance(reading, Exception):
            raise reading
        return reading

    def missing(self):
        return "there is nothing"

    def collect(self, *, last):
        self.asked += 1
        if isinstance(self.files, Exception):
            raise self.files
        return self.files if self.there or last else None


def reading(energy, time=1.0):
    return Reading(energy, {"transmission": energy, "reference": energy}, time)


def open_run(*readings, **files):
    return OpenRun({"uid": "run", "time": 1.0}, Stated("Fe"), Reader(readings, **files), 0.0, 1.0)


def test_a_sweep_is_finished_once_the_next_has_ten_points():
    run = open_run(reading(UP), reading(UP[::-1][1:6]), reading(UP[::-1][6:]))
    seen = []
    for _ in range(4):
        run.feed("event", {})
        seen.append([sweep.index for sweep in run.finished_sweeps()])
    assert seen == [[], [], [0], []]
    assert [sweep.index for sweep in run.unanswered_sweeps()] == [1]


def test_a_growing_sweep_is_shown_at_most_once_an_interval_and_only_when_it_has_grown():
    run = open_run(reading(UP[:5]), reading(UP[5:15]), reading(UP[15:]))
    run.feed("event", {})
    assert run.growing_sweep(0.0, 0.5) is None, "five points tell nothing"
    run.feed("event", {})
    sweep = run.growing_sweep(1.0, 0.5)
    assert run.shown == [(sweep, "transmission")]
    assert run.growing_sweep(9.0, 0.5) is None, "nothing has come since"
    run.feed("event", {})
    assert run.growing_sweep(1.2, 0.5) is None, "too soon"
    assert run.growing_sweep(1.5, 0.5) is sweep


def test_a_run_waits_for_its_files_until_they_are_there_and_reads_them_once():
    run = open_run(files=[reading(UP, 7.0)], there=False)
    assert run.state == "growing"
    assert not run.collect(last=False)
    run.wait_for_files(20.0)
    assert (run.state, run.give_up_at) == ("waiting_for_files", 20.0)
    run.reader.there = True
    assert run.collect(last=False)
    assert run.collect(last=True)
    assert (len(run.unanswered_sweeps()), run.time, run.reader.asked) == (1, 7.0, 2)
    assert run.refusal_at_end() is None


@pytest.mark.parametrize(
    ("error", "name"),
    [(Refused("missing_file", "gone"), "missing_file"), (OSError("broken"), "internal_error")],
)
def test_files_that_cannot_be_read_refuse_the_run(error, name):
    run = open_run(files=error)
    assert run.collect(last=True)
    assert run.refusal_at_end().name == name


def test_what_a_document_refuses_stays_and_nothing_more_is_read():
    run = open_run(Refused("missing_fields", "no energy"), reading(UP))
    assert not run.feed("descriptor", {})
    assert not run.feed("event", {})
    assert run.refusal_at_end().message == "no energy"
    assert run.sweeps.items == []


def test_a_run_without_points_is_refused_by_its_reader():
    assert open_run().refusal_at_end().message == "there is nothing"


def test_the_stop_document_gives_flags_the_time_and_the_count_of_what_was_lost():
    run = open_run()
    run.stop({"time": 9.0, "exit_status": "abort", "reason": "beam dump"}, dropped=3)
    assert run.time == 9.0
    assert [flag.name for flag in run.end_flags] == ["scan_aborted"]
    assert "beam dump" in run.end_flags[0].message
    refusal = run.refusal_at_end()
    assert (refusal.name, refusal.message[:11]) == ("overrun", "3 documents")
    run.stop_without_document("silence")
    assert [flag.name for flag in run.end_flags] == ["no_stop"]


def test_the_primary_channel_is_the_wanted_one_or_the_first_of_the_sample():
    run = open_run(reading(UP))
    run.feed("event", {})
    assert run.primary(0, "transmission") == "transmission"
    assert run.primary(0, "fluorescence") == "transmission"
    assert open_run().primary(0, "fluorescence") == "fluorescence"


def numbered(first, energy):
    events = EventNumbers("primary", range(first, first + energy.size), [1.0] * energy.size)
    return Reading(energy, {"transmission": energy}, 1.0, events=events)


DOWN = UP[::-1][1:]


@pytest.mark.parametrize(("begin", "end", "again"), [(3, 20, 20), (0, 7, 12), (0, 15, 20)])
def test_a_step_scan_that_lost_points_is_refused_wherever_they_were(begin, end, again):
    run = open_run(*(numbered(a + 1, UP[a:b]) for a, b in ((begin, end), (again, 20)) if a < b))
    run.feed("event", {})
    run.lose(begin or again - end)
    run.feed("event", {})
    assert run.growing_sweep(9.0, 0.5) is None or end == 15, "nothing is shown of it"
    run.stop({"num_events": {"primary": 20}})
    assert run.refusal_at_end().name == "overrun"


@pytest.mark.parametrize("counted", [True, False])
def test_points_that_were_lost_at_the_end_cost_the_last_sweep(counted):
    run = open_run(numbered(1, UP), numbered(21, DOWN), numbered(40, UP[1:]))
    for _ in range(3):
        run.feed("event", {})
    run.stop({"num_events": {"primary": 63}} if counted else {}, dropped=5)
    assert run.refusal_at_end() is None
    assert [sweep.lost for sweep in run.unanswered_sweeps()] == [0, 0, 5]


def test_a_gap_where_the_motion_turned_costs_the_sweeps_on_both_sides_and_no_other():
    run = open_run(*(numbered(1 + 30 * i, (UP, UP[::-1])[i % 2]) for i in range(4)))
    answered = []
    for number in range(4):
        if number == 2:
            run.lose(30)
        run.feed("event", {})
        answered.append([(sweep.index, sweep.lost) for sweep in run.finished_sweeps()])
    assert answered == [[], [], [(0, 10), (1, 20)], [(2, 20)]]


def test_without_numbers_a_run_that_lost_documents_is_refused_as_a_whole():
    run = open_run(reading(UP), reading(DOWN), reading(UP))
    run.feed("event", {})
    run.lose(1)
    run.feed("event", {})
    run.feed("event", {})
    assert list(run.finished_sweeps()) == []
    run.stop({})
    assert run.refusal_at_end().name == "overrun"
