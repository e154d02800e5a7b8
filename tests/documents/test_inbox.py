"""The Inbox: what the scan's thread hands over, and what can go wrong with it."""

import ctypes
import logging
import threading
import time
import tracemalloc
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from waiting import PATIENCE, wait_until

from rankaae_stream.documents.inbox import Inbox


class Recorder:
    """A handler that keeps what it gets, and can be held."""

    def __init__(self) -> None:
        self.got: list[tuple[str, Any, int]] = []
        self.go = threading.Event()
        self.go.set()
        self.busy = threading.Event()

    def __call__(self, name: str, doc: Any, dropped: int) -> None:
        self.busy.set()
        assert self.go.wait(PATIENCE)
        self.got.append((name, doc, dropped))

    def names(self) -> list[str]:
        return [name for name, _, _ in self.got]


@pytest.fixture
def recorder():
    made = Recorder()
    yield made
    made.go.set()


@pytest.fixture
def make(recorder):
    """Inboxes around the recorder, closed at the end."""
    made: list[Inbox] = []

    def inbox(**settings: Any) -> Inbox:
        made.append(Inbox(settings.pop("handle", recorder), **settings))
        return made[-1]

    yield inbox
    recorder.go.set()
    assert all(inbox.close(PATIENCE) for inbox in made)


def run(uid: str, points: int, value: Any = 1.0, stop: bool = True):
    yield "start", {"uid": uid}
    yield "descriptor", {"uid": f"{uid}-d", "run_start": uid, "name": "primary"}
    for number in range(points):
        yield "event", {"uid": f"{uid}-{number}", "descriptor": f"{uid}-d", "data": {"x": value}}
    if stop:
        yield "stop", {"uid": f"{uid}-s", "run_start": uid}


def feed(inbox: Callable[[str, Any], None], documents) -> None:
    for name, doc in documents:
        inbox(name, doc)


def test_documents_come_out_in_the_order_they_came_in(make, recorder):
    inbox = make()
    documents = [*run("a", 200), *run("b", 200)]
    feed(inbox, documents)
    assert inbox.wait_idle(PATIENCE)
    assert [(name, doc) for name, doc, _ in recorder.got] == documents
    assert inbox.waiting == inbox.dropped == inbox.errors == 0


def test_documents_are_handed_on_as_they_are_and_not_copied(make, recorder):
    inbox = make()
    doc = {"uid": "a"}
    inbox("start", doc)
    assert inbox.wait_idle(PATIENCE)
    assert recorder.got[0][1] is doc


def test_documents_of_several_threads_all_arrive_each_thread_in_its_order(make, recorder):
    inbox = make()
    threads = [threading.Thread(target=feed, args=(inbox, list(run(uid, 300)))) for uid in "abcd"]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(PATIENCE)
    assert inbox.wait_idle(PATIENCE)
    for uid in "abcd":
        mine = [(name, doc) for name, doc, _ in recorder.got if doc["uid"][0] == uid]
        assert mine == list(run(uid, 300))


def test_what_the_handler_does_happens_in_another_thread(make):
    seen: list[threading.Thread] = []
    inbox = make(handle=lambda *_: seen.append(threading.current_thread()), name="worker of a test")
    inbox("start", {"uid": "a"})
    assert inbox.wait_idle(PATIENCE)
    assert [thread.name for thread in seen] == ["worker of a test"]
    assert seen[0].daemon, "a stuck handler must not keep the interpreter from ending"


@pytest.mark.parametrize("error", [ValueError("bad"), SystemExit(3), KeyboardInterrupt()])
def test_a_handler_that_raises_is_counted_and_logged_and_the_next_document_works(
    make, caplog, error
):
    handled: list[str] = []

    def handle(name: str, doc: Any, dropped: int) -> None:
        if name == "start":
            raise error
        handled.append(name)

    inbox = make(handle=handle)
    with caplog.at_level(logging.ERROR, "rankaae_stream.documents.inbox"):
        feed(inbox, run("a", 2))
        assert inbox.wait_idle(PATIENCE)
    assert handled == ["descriptor", "event", "event", "stop"]
    assert inbox.errors == 1
    assert type(error).__name__ in inbox.last_error
    (record,) = caplog.records
    assert "the scan is not affected" in record.message
    assert record.exc_info is not None
    assert record.exc_info[1] is error


def test_a_tick_that_raises_does_not_end_the_ticks(make):
    twice = threading.Event()
    ticks: list[float] = []

    def tick(now: float) -> None:
        ticks.append(now)
        if len(ticks) >= 2:
            twice.set()
        raise RuntimeError("no")

    inbox = make(tick=tick, period=0.01)
    assert twice.wait(PATIENCE)
    assert inbox.errors >= 1


_json = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text() | st.binary(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    max_leaves=8,
)
_keys = st.sampled_from(["uid", "run_start", "descriptor", "data", "resource", "other"])
_names = st.sampled_from(
    ["start", "descriptor", "event", "event_page", "stop", "datum", "resource", "stream_datum"]
)


@pytest.mark.slow
@given(
    name=_names | st.text() | st.none() | st.integers() | st.just([]),
    doc=st.dictionaries(_keys, _json) | _json,
)
def test_no_document_whatever_it_is_raises_into_the_caller(name, doc):
    got: list[Any] = []
    inbox = Inbox(lambda *args: got.append(args))
    try:
        inbox(name, doc)
        feed(inbox, run("good", 1))
        assert inbox.wait_idle(PATIENCE)
        assert [name for name, _, _ in got][-4:] == ["start", "descriptor", "event", "stop"]
        assert len(got) + inbox.errors + inbox.dropped == 5
    finally:
        assert inbox.close(PATIENCE)


def test_a_document_that_cannot_be_taken_is_counted_and_named(make, recorder):
    inbox = make()
    inbox("event", None)
    assert inbox.errors == 1
    assert inbox.last_error
    assert inbox.waiting == 0


def test_overflow_drops_events_of_the_run_that_overflows_and_of_no_other(make, recorder):
    inbox = make(max_bytes=200_000)
    recorder.go.clear()
    large = np.zeros(4096)  # 33 kB, of which two leave half of the room
    feed(inbox, run("small", 3, stop=False))
    feed(inbox, run("large", 20, large))
    inbox("stop", {"uid": "small-s", "run_start": "small"})
    recorder.go.set()
    assert inbox.wait_idle(PATIENCE)
    stops = {doc["run_start"]: dropped for name, doc, dropped in recorder.got if name == "stop"}
    kept = [d for n, d, _ in recorder.got if n == "event" and d["descriptor"] == "large-d"]
    assert stops["small"] == 0
    assert stops["large"] == 20 - len(kept) == inbox.dropped > 0
    assert len(kept) >= 1
    assert [d["uid"] for d in kept] == [f"large-{i}" for i in range(len(kept))], "from the end"
    assert recorder.names().count("start") == recorder.names().count("descriptor") == 2
    small = [d for n, d, _ in recorder.got if n == "event" and d["descriptor"] == "small-d"]
    assert len(small) == 3
    assert all(dropped == 0 for name, _, dropped in recorder.got if name != "stop")


def test_a_run_that_lost_events_goes_on_once_half_of_the_room_is_free_and_the_gap_is_told(
    make, recorder
):
    inbox = make(max_bytes=64 * 1024)
    recorder.go.clear()
    before, after = list(run("a", 400)), list(run("a", 420))[402:]
    feed(inbox, before[:-1])
    recorder.go.set()
    assert inbox.wait_idle(PATIENCE)
    kept = recorder.names().count("event")
    assert 0 < kept < 400
    feed(inbox, after)
    assert inbox.wait_idle(PATIENCE)
    told = [dropped for name, _, dropped in recorder.got if name in ("event", "stop")]
    assert told == [0] * kept + [400 - kept] + [0] * 20
    assert inbox.dropped == 400 - kept


def test_after_a_gap_events_are_not_taken_one_by_one_as_they_fit(make, recorder):
    inbox = make(max_bytes=64 * 1024)
    recorder.go.clear()
    feed(inbox, run("a", 400, stop=False))
    waiting, lost = inbox.waiting, inbox.dropped
    assert lost
    with inbox._lock:
        inbox._bytes -= 16 * 1024  # a quarter has been handled
    for _, event in list(run("a", 420))[402:-1]:
        inbox("event", event)
    assert (inbox.waiting, inbox.dropped) == (waiting, lost + 20)
    with inbox._lock:
        inbox._bytes += 16 * 1024


def test_a_start_document_that_was_shortened_says_so(make, recorder):
    inbox = make(max_bytes=1)
    inbox("start", {"uid": "a", "note": "x" * 100_000})
    inbox("stop", {"uid": "a-s", "run_start": "a"})
    assert inbox.wait_idle(PATIENCE)
    assert [(name, doc.keys(), dropped) for name, doc, dropped in recorder.got] == [
        ("start", {"uid"}, 1),
        ("stop", {"uid", "run_start"}, 0),
    ]


def test_start_descriptor_and_stop_are_taken_however_full_it_is(make, recorder):
    inbox = make(max_bytes=1)
    recorder.go.clear()
    feed(inbox, run("a", 5))
    feed(inbox, run("b", 0))
    recorder.go.set()
    assert inbox.wait_idle(PATIENCE)
    assert recorder.names() == ["start", "descriptor", "stop"] * 2
    assert [dropped for name, _, dropped in recorder.got if name == "stop"] == [5, 0]


def test_a_run_after_an_overflow_is_whole_again(make, recorder):
    inbox = make(max_bytes=5_000)
    recorder.go.clear()
    feed(inbox, run("a", 50))
    recorder.go.set()
    assert inbox.wait_idle(PATIENCE)
    recorder.got.clear()
    assert inbox.dropped > 0
    # fed only as fast as it is handled, it fits
    for item in run("b", 50):
        inbox(*item)
        assert inbox.wait_idle(PATIENCE)
    assert recorder.names() == ["start", "descriptor", *["event"] * 50, "stop"]
    assert recorder.got[-1][2] == 0


def test_datums_are_bounded_with_the_run_of_their_resource(make, recorder):
    inbox = make(max_bytes=2_000)
    recorder.go.clear()
    feed(inbox, run("a", 0, stop=False))
    inbox("resource", {"uid": "a-r", "run_start": "a"})
    for number in range(10):
        inbox("datum", {"datum_id": f"a-r/{number}", "resource": "a-r"})
    inbox("stop", {"uid": "a-s", "run_start": "a"})
    recorder.go.set()
    assert inbox.wait_idle(PATIENCE)
    assert recorder.got[-1][2] == 10 - recorder.names().count("datum") > 0


def test_lost_events_of_an_unknown_run_cost_no_other_event_its_place(make, recorder):
    inbox = make(max_bytes=5_000)
    recorder.go.clear()
    for number in range(50):
        inbox("event", {"descriptor": "unknown", "data": {}, "uid": str(number)})
    recorder.go.set()
    assert inbox.wait_idle(PATIENCE)
    assert inbox.dropped > 0
    before = len(recorder.got)
    inbox("event", {"descriptor": "another", "data": {}, "uid": "last"})
    assert inbox.wait_idle(PATIENCE)
    assert len(recorder.got) == before + 1


def test_the_caller_is_never_held_while_the_handler_is_stuck(make, recorder):
    inbox = make(max_bytes=100_000)
    recorder.go.clear()
    inbox("start", {"uid": "stuck"})
    assert recorder.busy.wait(PATIENCE)
    started = time.thread_time()
    feed(inbox, run("a", 2000, [0.0] * 16))
    assert not inbox.wait_idle(0.0)
    assert recorder.got == [], "the handler is still in its first document"
    assert time.thread_time() - started < 1.0
    assert inbox.waiting + inbox.dropped == 2000 + 4
    assert not inbox.close(0.0), "a stuck handler does not end in no time"


def test_it_says_for_how_long_the_oldest_document_has_waited(make, recorder):
    now = [100.0]
    inbox = make(clock=lambda: now[0])
    assert inbox.behind == 0.0
    recorder.go.clear()
    inbox("start", {"uid": "stuck"})
    assert recorder.busy.wait(PATIENCE)
    now[0] = 130.0
    inbox("start", {"uid": "next"})
    assert inbox.behind == 30.0
    recorder.go.set()
    assert inbox.wait_idle(PATIENCE)
    assert inbox.behind == 0.0


def test_it_ticks_while_nothing_arrives(make):
    times: list[float] = []
    enough = threading.Event()

    def tick(now: float) -> None:
        times.append(now)
        if len(times) == 3:
            enough.set()

    make(tick=tick, period=0.01, clock=lambda: 42.0)
    assert enough.wait(PATIENCE)
    assert times[:3] == [42.0] * 3, "with its own clock"


def test_it_ticks_under_load_by_its_clock_and_not_by_the_document(make):
    now, ticks = [0.0], []

    def handle(name: str, doc: Any, dropped: int) -> None:
        now[0] += 0.25

    # A period that the queue never waits out here: every tick is one under load.
    inbox = make(handle=handle, tick=ticks.append, period=60.0, clock=lambda: now[0])
    feed(inbox, run("a", 477))
    assert inbox.wait_idle(PATIENCE)
    assert inbox.close(PATIENCE)
    assert ticks == [60.0, 120.0]


def test_close_handles_what_is_waiting_and_takes_nothing_more(make, recorder):
    inbox = make()
    recorder.go.clear()
    feed(inbox, run("a", 100))
    recorder.go.set()
    assert inbox.close(PATIENCE)
    assert len(recorder.got) == 103
    inbox("start", {"uid": "late"})
    assert inbox.waiting == 0
    assert len(recorder.got) == 103
    assert inbox.close(0.0), "closing twice is closing"


def test_waiting_for_idle_gives_up_in_time(make, recorder):
    inbox = make()
    recorder.go.clear()
    inbox("start", {"uid": "a"})
    assert not inbox.wait_idle(0.01)
    recorder.go.set()
    assert inbox.wait_idle(PATIENCE)


def test_events_wake_nobody_until_another_document_comes_or_half_the_room_is_taken(make, recorder):
    inbox = make(period=PATIENCE, max_bytes=MEGABYTE)
    start, descriptor, *events, stop = run("a", 20, value="x" * 20_000)
    feed(inbox, (start, descriptor))
    wait_until(lambda: not inbox.waiting and not inbox._wake.is_set(), "the worker to wait")
    time.sleep(0.2)
    feed(inbox, events[:7])
    time.sleep(0.1)
    assert inbox.waiting == 7
    inbox(*stop)
    wait_until(lambda: "stop" in recorder.names(), "the stop document")
    assert recorder.names() == ["start", "descriptor", *["event"] * 7, "stop"]

    start, descriptor, *events = run("b", 40, value="x" * 20_000, stop=False)
    feed(inbox, (start, descriptor, *events))
    wait_until(lambda: len(recorder.got) >= 10 + 2 + 20, "half the room, without a period")


# ---- the bound -----------------------------------------------------------------------

MEGABYTE = 1024 * 1024


def grown(documents, max_bytes=MEGABYTE):
    """By how much the process's memory grows while the worker hangs, bytes, and the inbox."""
    go = threading.Event()
    inbox = Inbox(lambda *_: go.wait(PATIENCE), period=PATIENCE, max_bytes=max_bytes)
    inbox("start", {"uid": "first"})
    tracemalloc.start()
    try:
        feed(inbox, documents)
        return tracemalloc.get_traced_memory()[0], inbox
    finally:
        tracemalloc.stop()
        go.set()
        assert inbox.close(PATIENCE)


def begun(uid="a"):
    yield "start", {"uid": uid}
    yield "descriptor", {"uid": f"{uid}-d", "run_start": uid, "name": "primary"}
    yield "event", {"uid": "small", "descriptor": f"{uid}-d", "data": {"x": 1.0}}


def values():
    """Values of 100 kB or more each, in whatever form."""
    yield "an array", lambda: np.ones(100_000)
    yield "a view of an array", lambda: np.ones((2, 100_000))[0]
    yield "an array of objects", lambda: np.array(["x" * 100_000, None], dtype=object)
    yield "a nested list", lambda: [[float(i) for i in range(100)] for _ in range(25)]
    yield "a long text", lambda: "".join(["x"] * 200_000)
    yield "bytes", lambda: bytes(bytearray(200_000))
    yield "a large integer", lambda: 1 << 1_000_000


def later_events(make_value):
    yield from begun()
    for number in range(40):
        data = {"x": make_value()}
        yield "event", {"uid": str(number), "descriptor": "a-d", "data": data}


def events_with_other_keys(make_value):
    yield from begun()
    for number in range(40):
        doc = {"uid": str(number), "descriptor": "a-d", "data": {"x": 1.0}}
        yield "event", {**doc, "timestamps": {"x": make_value()}}


def starts(make_value):
    for number in range(40):
        yield "start", {"uid": str(number), "note": make_value()}


def descriptors(make_value):
    yield "start", {"uid": "a"}
    for number in range(40):
        doc = {"uid": str(number), "run_start": "a", "name": "primary"}
        yield "descriptor", {**doc, "configuration": {"x": {"data": make_value()}}}


def stops(make_value):
    for number in range(40):
        yield "stop", {"uid": str(number), "run_start": str(number), "reason": make_value()}


@pytest.mark.parametrize(
    "documents", [later_events, events_with_other_keys, starts, descriptors, stops]
)
@pytest.mark.parametrize(("what", "value"), list(values()))
def test_behind_a_hung_worker_memory_stays_within_the_bound(documents, what, value):
    memory, inbox = grown(documents(value))
    assert memory < 1.2 * MEGABYTE, what
    lost = inbox.dropped or documents in (starts, stops)
    assert lost, "what does not fit is counted, or shortened"


def test_no_number_of_small_documents_breaks_the_bound():
    memory, inbox = grown(((name, {**doc}) for i in range(500) for name, doc in run(str(i), 1)), 1)
    assert memory < 0.2 * MEGABYTE
    assert inbox.dropped > 0


def test_a_start_document_for_which_there_is_no_room_still_names_its_run(make, recorder):
    inbox = make(max_bytes=100_000)
    recorder.go.clear()
    inbox("start", {"uid": "hung"})
    assert recorder.busy.wait(PATIENCE)
    feed(inbox, run("full", 200, stop=False))
    long = {"note": "".join(["x"] * 100_000), "element": "Fe"}
    inbox("start", {"uid": "a", "time": 1.0, **long})
    feed(inbox, list(run("a", 3))[1:])
    recorder.go.set()
    assert inbox.wait_idle(PATIENCE)
    starts = {doc["uid"]: doc for name, doc, _ in recorder.got if name == "start"}
    assert starts["a"] == {"uid": "a", "time": 1.0, "element": "Fe"}
    told = [(name, lost) for name, doc, lost in recorder.got if lost]
    assert told == [("start", 1), ("stop", 3)]


def test_a_value_that_holds_itself_is_counted_once(make, recorder):
    inbox = make()
    endless = [1.0]
    endless.append(endless)
    inbox("event", {"descriptor": "d", "data": {"x": endless}})
    assert inbox.wait_idle(PATIENCE)
    assert inbox.errors == 0


# ---- a worker that ends --------------------------------------------------------------


def end_worker(inbox, error=MemoryError):
    """Raise in the worker's thread, wherever that is; wait until it has been raised."""
    (thread,) = [one for one in threading.enumerate() if one is inbox._thread]
    before = inbox.errors
    ctypes.pythonapi.PyThreadState_SetAsyncExc(
        ctypes.c_ulong(thread.ident), ctypes.py_object(error)
    )
    wait_until(lambda: inbox.errors > before or not thread.is_alive(), "it was raised")


@pytest.mark.parametrize("error", [MemoryError, SystemExit])
def test_what_ends_the_worker_between_two_documents_starts_it_again(make, recorder, caplog, error):
    inbox = make()
    feed(inbox, run("a", 3))
    assert inbox.wait_idle(PATIENCE)
    assert inbox.worker == ""
    end_worker(inbox, error)
    feed(inbox, run("b", 3))
    assert inbox.wait_idle(PATIENCE)
    assert recorder.names() == ["start", "descriptor", *["event"] * 3, "stop"] * 2
    assert "started again" in inbox.worker
    assert error.__name__ in inbox.last_error
    assert "started again" in caplog.text


def test_the_document_in_hand_of_a_worker_that_ended_is_handled(make, recorder, monkeypatch):
    inbox = make()
    real, broken = inbox._guarded, [True]

    def fails_once(function, *arguments):
        if broken and function is recorder:
            broken.clear()
            raise MemoryError
        real(function, *arguments)

    monkeypatch.setattr(inbox, "_guarded", fails_once)
    feed(inbox, run("a", 2))
    assert inbox.wait_idle(PATIENCE)
    assert recorder.names() == ["start", "descriptor", "event", "event", "stop"]
    assert inbox.dropped == 0


def test_a_document_that_ends_every_worker_holds_no_other(make, recorder, monkeypatch):
    inbox = make(period=0.001)
    real = inbox._guarded
    handed = []

    def fails(function, *arguments):
        if function is recorder and arguments[1].get("uid") == "bad":
            handed.append(arguments)
            raise MemoryError
        real(function, *arguments)

    monkeypatch.setattr(inbox, "_guarded", fails)
    inbox("start", {"uid": "bad"})
    feed(inbox, run("a", 2))
    assert inbox.wait_idle(PATIENCE)
    assert recorder.names() == ["start", "descriptor", "event", "event", "stop"]
    assert len(handed) == 2


class Wordless(Exception):
    def __str__(self) -> str:
        raise RuntimeError("there is no text")

    __repr__ = __str__


class Hostile(dict[str, Any]):
    def get(self, *_: Any) -> Any:
        raise Wordless

    __getitem__ = values = get


def test_an_error_that_has_no_text_is_named_and_harms_nothing(make, recorder):
    def handle(name: str, doc: Any, dropped: int) -> None:
        if doc.keys() == {"bad"}:
            raise Wordless
        recorder(name, doc, dropped)

    inbox = make(handle=handle)
    for name in ("event", "start", "stop", "descriptor"):
        inbox(name, Hostile(uid="x", run_start="x"))  # in the scan's thread
        assert "Wordless" in inbox.last_error
        inbox.last_error = ""
        inbox(name, {"bad": 1})  # in the worker's
        wait_until(lambda: "Wordless" in inbox.last_error, "it is named")
    feed(inbox, run("a", 2))
    assert inbox.wait_idle(PATIENCE)
    assert recorder.names() == ["start", "descriptor", "event", "event", "stop"]
    assert inbox.restarts == 0


def test_a_worker_that_cannot_be_started_again_is_said_to_be_dead(make, recorder, monkeypatch):
    inbox = make()

    def gone():
        raise RuntimeError("can't start new thread")

    worker = inbox._thread
    monkeypatch.setattr(inbox, "_run", lambda: None)
    monkeypatch.setattr(inbox, "_start", gone)
    monkeypatch.setattr(worker, "is_alive", lambda: False)
    assert inbox.worker.startswith("dead")
    recorder.go.clear()
    feed(inbox, run("a", 2))
    assert not inbox.wait_idle(0.01)
    assert not inbox.close(0.01), "what waits is not said to be handled"
    monkeypatch.undo()


def test_what_comes_after_the_end_is_counted_and_said(make, recorder, caplog):
    inbox = make()
    assert inbox.close(PATIENCE)
    feed(inbox, run("a", 2))
    assert inbox.late == 5
    assert caplog.text.count("after the end") == 1
