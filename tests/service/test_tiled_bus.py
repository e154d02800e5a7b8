"""Runs that Tiled stores are given once each, whole, also those that were written late."""

import json
import threading
import time
from collections import Counter
from types import SimpleNamespace

import httpx
import pytest
from bluesky_tiled_plugins import TiledWriter
from taking import Kept, answers, running, session
from waiting import wait_until

from rankaae_stream.errors import ConfigurationError
from rankaae_stream.past.archive import documents_of, open_archive
from rankaae_stream.past.in_files import Damaged
from rankaae_stream.past.selection import Selection
from rankaae_stream.results.sinks import Postponed, Unreachable
from rankaae_stream.service import tiled_bus as module
from rankaae_stream.service.tiled_bus import TiledBus

NOBODY = ("http://127.0.0.1:1", None)
DAY = 86400.0


@pytest.mark.slow
def test_stored_runs_are_answered_as_by_a_replay(server, tmp_path, open_pipeline):
    played, taker = session("FeO", "Fe2O3"), Kept()
    began, then = played[0][1]["time"] - 60.0, time.time()
    writer = TiledWriter(server.client("raw"), batch_size=20, max_array_size=0)
    address, own = f"{server.uri}#raw", (server.uri, server.api_key)
    clock = lambda: began + time.time() - then  # noqa: E731
    source = TiledBus(address, own, tmp_path, period=0.1, clock=clock)
    # The server may hold runs of other tests, which are given too.
    ours = {doc["uid"] for name, doc in played if name == "stop"}
    streams = {doc["uid"] for name, doc in played if name == "descriptor"}
    with running(source, taker):
        for name, doc in played[:80]:
            writer(name, doc)
        wait_until(lambda: given_of(taker, streams), "rows as they come")
        assert not ours & {doc["uid"] for name, doc in taker.kept if name == "stop"}
        for name, doc in played[80:]:
            writer(name, doc)
        wait_until(lambda: ours <= {doc["uid"] for _, doc in taker.kept if "uid" in doc}, "runs")
        wait_until(lambda: source.lag() == 0, "nothing waits")
    uids = tuple(doc["uid"] for name, doc in played if name == "start")
    with open_archive(address, Selection(uids=uids), own) as archive:
        replayed = [pair for run in archive.runs for pair in documents_of(run)]
    assert rows(taker.kept) >= rows(replayed)
    assert max(rows(taker.kept).values()) == 1, "each row is given once"
    found = answers(open_pipeline, replayed, complete=True)
    given = answers(open_pipeline, taker.kept, complete=True)
    assert all(answer in given for answer in found)
    next_one = TiledBus(address, own, tmp_path, period=0.1)
    with running(next_one, again := Kept()):
        wait_until(lambda: next_one.lag() == 0, "the next one has looked")
    assert not [doc for name, doc in again.kept if name == "stop" and doc["uid"] in ours]
    with running(TiledBus(f"{server.uri}#nowhere", own, tmp_path), again) as raised:
        wait_until(lambda: raised, "it ends")
    assert "nowhere" in str(raised[0])


@pytest.mark.slow
def test_a_tiled_server_rings_for_runs_and_rows(server, tmp_path, rarely):
    """Nothing would be found for an hour without its websockets."""
    played, taker = session("Fe3O4"), Kept()
    writer = TiledWriter(server.client("raw"), batch_size=20, max_array_size=0)
    own = server.uri, server.api_key
    source = TiledBus(f"{server.uri}#raw", own, tmp_path, **rarely)
    start = {**played[0][1], "time": time.time()}
    played[0] = "start", start
    with running(source, taker):
        wait_until(lambda: "tells what is new" in source.note(), "it is heard")
        for name, doc in played[:-1]:
            writer(name, doc)
        wait_until(lambda: rows(taker.kept), "rows as they come")
        writer(*played[-1])
        wait_until(lambda: start["uid"] in ended(taker), "its end")


def ended(taker):
    return {doc["run_start"] for name, doc in taker.kept if name == "stop"}


def given_of(taker, descriptors):
    """Whether an event of these descriptors was given."""
    return any(name == "event" and doc["descriptor"] in descriptors for name, doc in taker.kept)


def rows(documents):
    """How often each event comes."""
    found = Counter()
    for name, doc in documents:
        if name == "event":
            found[doc["descriptor"], doc["seq_num"]] += 1
    return found


class Stored:
    """A server with runs, whose clock and faults are this test's."""

    def __init__(self):
        self.now = 1000 * DAY
        self.runs = {}
        self.away = None
        self.asked = []
        self.reads = []
        self.opened = 0

    def write(self, uid, began, *, stop=True, fault=None, rows=0, more=(), **start):
        start = {"uid": uid, "time": began, **start}
        ended = {"uid": f"{uid}-s", "run_start": uid} if stop else None

        def documents():
            if self.runs[uid].fault is not None:
                raise self.runs[uid].fault
            between = [("descriptor", {"uid": f"{uid}-d", "run_start": uid, "name": "primary"})]
            numbers = [*range(1, rows + 1)]
            between += [
                ("event", {"descriptor": f"{uid}-d", "uid": f"{uid}-{n}", "seq_num": n, "data": {}})
                for n in numbers
            ]
            stop = [("stop", ended)] if ended else []
            return [("start", start), *between, *more, *stop] if rows else [("start", start), *stop]

        def read():  # whoever holds the run gets what is there by then
            self.reads.append(uid)
            return self.runs[uid].held()

        self.runs[uid] = SimpleNamespace(
            metadata={"start": start, "stop": ended}, documents=read, held=documents, fault=fault
        )

    def open(self, address, selection, own):
        self.opened += 1
        if self.away is not None:
            raise ConfigurationError("cannot open it: as Tiled says") from self.away
        return SimpleNamespace(find=self.find, stream=None, close=lambda: None)

    def find(self, selection):
        self.asked.append(selection.since)
        if self.away is not None:
            raise Unreachable("as Tiled says") from self.away
        since = selection.since or 0.0
        return [
            run
            for uid, run in self.runs.items()
            if uid == "theirs" or run.metadata["start"]["time"] >= since
        ]


@pytest.fixture
def stored(monkeypatch):
    made = Stored()
    monkeypatch.setattr(module, "open_archive", made.open)
    return made


@pytest.fixture
def bus(stored, tmp_path):
    def make(**settings):
        settings = {"period": 0.01, **settings}
        return TiledBus("http://tiled#raw", NOBODY, tmp_path, clock=lambda: stored.now, **settings)

    return make


def uids(taker):
    return [doc["uid"] for name, doc in taker.kept if name == "start"]


def looked(stored):
    """Wait until the server was asked twice more: what it has now was seen."""
    before = len(stored.asked)
    wait_until(lambda: len(stored.asked) > before + 2, "Tiled is asked again")


def test_a_run_is_given_once_it_has_ended_in_the_order_of_starts(stored, bus):
    taker, now = Kept(), stored.now
    stored.write("before", now - 1)
    source = bus()
    with running(source, taker):
        stored.write("late", now + 20)
        stored.write("growing", now + 10, stop=False)
        wait_until(lambda: uids(taker) == ["late"], "the one that has ended")
        stored.now += 3 * module.OVERLAP
        stored.write("later", stored.now)
        wait_until(lambda: uids(taker) == ["late", "later"], "the next one")
        stored.write("growing", now + 10)  # long after newer ones
        wait_until(lambda: uids(taker)[2:] == ["growing"], "the one that grew")
        stored.write("result", stored.now, original_run_uid="late")
        looked(stored)
    assert len(uids(taker)) == 3


class Bell:
    """A bell that a test rings; `heard` are the nodes that would ring, all of them by default."""

    def __init__(self):
        self.listened, self.heard, self.waits = set(), None, []
        self._rung, self._nodes = threading.Event(), set()

    def __enter__(self):
        return self

    def __exit__(self, *exc_info):
        pass

    def listen(self, stream, nodes):
        self.listened = set(nodes)

    def hears(self, node=()):
        return node in self.listened if self.heard is None else node in self.heard

    def deaf(self, node=()):
        return "" if self.hears(node) else "HTTP 404"

    def ring(self, *node):
        self._nodes.add(node)
        self._rung.set()

    def wait(self, seconds, stopping):
        self.waits.append(seconds)
        end = time.monotonic() + seconds
        while not stopping.is_set() and time.monotonic() < end and not self._rung.wait(0.01):
            pass
        self._rung.clear()
        rang, self._nodes = self._nodes, set()
        return rang


@pytest.fixture
def rarely(monkeypatch):
    """A bus that looks once an hour where nothing rings."""
    monkeypatch.setattr(module, "LONGEST", 3600.0)
    monkeypatch.setattr(module, "GAP", 0.01)
    monkeypatch.setattr(module, "WRITTEN", 0.0)
    return {"period": 3600.0}


def test_a_ring_brings_a_run_its_rows_and_its_end_at_once(stored, bus, rarely):
    bell, taker, began = Bell(), Kept(), stored.now
    source = bus(**rarely, bell=bell)
    with running(source, taker):
        wait_until(bell.hears, "it listens")
        stored.write("a", began, stop=False)
        bell.ring()
        wait_until(lambda: ("a",) in bell.listened, "it listens to the run")
        stored.write("a", began, stop=False, rows=1)
        stored.now += 1.0
        bell.ring("a")
        wait_until(lambda: rows(taker.kept).total() == 1, "its first row")
        wait_until(lambda: ("a", "primary", "internal") in bell.listened, "it listens to rows")
        stored.write("a", began, stop=False, rows=3)
        stored.now += 1.0
        bell.ring("a", "primary", "internal")
        wait_until(lambda: rows(taker.kept).total() == 3, "its other rows")
        stored.write("a", began, rows=3)
        bell.ring()
        wait_until(taker.ended, "its end")
        wait_until(lambda: bell.listened == {()}, "nobody listens to it any more")
        assert "tells what is new" in source.note()
    assert max(rows(taker.kept).values()) == 1


def test_rows_that_ring_are_read_without_a_search_or_a_new_connection(stored, bus, rarely):
    bell, taker, began = Bell(), Kept(), stored.now
    stored.write("a", began, stop=False, rows=1)
    stored.write("b", began + 1.0, stop=False, rows=1)
    with running(bus(**rarely, bell=bell, first="earliest"), taker):
        begin_to_ring(bell)
        wait_until(lambda: rows_by_and_by(stored, taker) == 2, "their first rows")
        rested(stored)
        asked, read = len(stored.asked), stored.reads.count("b")
        for number in range(2, 6):
            stored.write("a", began, stop=False, rows=number)
            bell.ring("a", "primary", "internal")
            wait_until(lambda: rows(taker.kept).total() == number + 1, "its row")  # noqa: B023
        stored.write("a", began, rows=6)
        bell.ring("a", "primary", "internal")
        wait_until(taker.ended, "its end, with its last row")
    assert len(stored.asked) == asked
    assert stored.reads.count("b") == read, "nothing rang for it"
    assert stored.opened == 1
    assert max(rows(taker.kept).values()) == 1


def test_a_row_that_rings_before_it_is_written_comes_by_and_by(stored, bus, rarely):
    """Tiled sends the message of a table's rows before it writes them."""
    bell, taker, began = Bell(), Kept(), stored.now
    stored.write("a", began, stop=False, rows=1)
    with running(bus(**rarely, bell=bell), taker):
        begin_to_ring(bell)
        for number in (2, 3):
            rested(stored)
            before = len(stored.reads)
            bell.ring("a", "primary", "internal")
            wait_until(lambda: len(stored.reads) > before, "it is read too early")  # noqa: B023
            if number == 3:  # Tiled may fail, too, at what is being written
                stored.runs["a"].held = lambda: 1 / 0
                wait_until(lambda: len(stored.reads) > before + 2, "it fails")  # noqa: B023
            stored.write("a", began, stop=False, rows=number)
            wait_until(lambda: rows(taker.kept).total() == number, "its row")  # noqa: B023
        rested(stored)


def begin_to_ring(bell):
    """Ring for each node that is listened to, as it does when it begins to be heard."""
    wait_until(bell.hears, "it listens")
    bell.ring()
    wait_until(lambda: ("a", "primary", "internal") in bell.listened, "it listens to rows")
    for node in bell.listened - {()}:
        bell.ring(*node)


def rested(stored):
    """Let time go on until no run is read any more."""
    before, end = -1, 0.0
    while time.monotonic() < end or len(stored.reads) > before:
        if len(stored.reads) > before:
            stored.now += module.SETTLED
            before, end = len(stored.reads), time.monotonic() + 0.3
        time.sleep(0.01)


def test_a_server_works_for_a_quarter_of_the_time_on_what_grows(stored, bus, rarely):
    """However many runs ring without end; each of the two takes 0.1 s to be read."""
    bell, taker = Bell(), Kept()
    for uid in ("a", "b"):
        stored.write(uid, stored.now, stop=False, rows=1)
        stored.runs[uid].held = slowly(stored.runs[uid].held)
    bell.wait = lambda seconds, stopping: {("a",), ("b",)}
    began = time.monotonic()
    with running(bus(**rarely, bell=bell), taker):
        wait_until(lambda: len(stored.reads) >= 8, "each is read four times")
        took = time.monotonic() - began
    assert took > 3 * 4 * 0.2


def slowly(documents):
    def held():
        time.sleep(0.1)
        return documents()

    return held


def test_rows_with_arrays_are_given_when_they_were_seen_twice(stored, bus, rarely):
    bell, taker, began = Bell(), Kept(), stored.now
    row = {"descriptor": "a-d", "uid": "row", "seq_num": 2, "time": began, "data": {"mu": [0.0]}}
    stored.write("a", began, stop=False, rows=1, more=[("event", row)])
    with running(bus(**rarely, bell=bell), taker):
        wait_until(lambda: rows(taker.kept).total() == 1, "the one without an array")
        bell.ring("a", "primary", "internal")
        wait_until(lambda: rows_by_and_by(stored, taker) == 2, "the other one, without a ring")


def test_a_message_that_was_lost_costs_an_interval_and_the_trust_in_the_bell(
    stored, bus, monkeypatch
):
    monkeypatch.setattr(module, "LONGEST", 0.4)
    bell, taker = Bell(), Kept()
    source = bus(bell=bell)
    with running(source, taker):
        wait_until(lambda: "every 0.4 s" in source.note(), "nothing was missed: ever more rarely")
        stored.write("a", stored.now)
        wait_until(lambda: uids(taker) == ["a"], "it is found without a ring")
        wait_until(lambda: max(bell.waits[-3:]) < 0.1, "and it is looked again more often")


@pytest.mark.parametrize("heard", [set(), {()}])
def test_what_does_not_ring_is_looked_at_as_often_as_without_a_bell(stored, bus, heard):
    bell, taker, began = Bell(), Kept(), stored.now
    bell.heard = heard
    stored.write("a", began, stop=False, rows=1)
    source = bus(bell=bell)
    with running(source, taker):
        wait_until(lambda: rows_by_and_by(stored, taker) == 1, "a row")
        stored.write("a", began, stop=False, rows=2)
        wait_until(lambda: rows_by_and_by(stored, taker) == 2, "another one")
        assert heard or "does not tell what is new (HTTP 404)" in source.note()
        assert source.failing() == ""


def test_a_bell_that_rings_without_end_holds_nothing_up(stored, bus, rarely):
    bell, taker = Bell(), Kept()
    bell.wait = lambda seconds, stopping: {(), ("a",), ("nobody", "knows")}
    with running(bus(**rarely, bell=bell), taker):
        stored.write("a", stored.now, stop=False, rows=2)
        wait_until(lambda: rows_by_and_by(stored, taker) == 2, "its rows")
        stored.write("a", stored.now)
        wait_until(taker.ended, "its end")


def rows_by_and_by(stored, taker):
    stored.now += 1.0
    return rows(taker.kept).total()


def test_each_row_of_a_run_that_grows_is_given_once(stored, bus):
    taker, began = Kept(), stored.now
    with running(bus(), taker):
        stored.write("a", began, stop=False)
        looked(stored)
        assert taker.kept == [], "nothing before it has rows"
        for number in (2, 5):
            stored.write("a", began, stop=False, rows=number)
            wait_until(lambda: rows_by_and_by(stored, taker) == number, "its rows")  # noqa: B023
        stored.now += 2 * module.BEAT
        wait_until(lambda: uids(taker) == ["a", "a"], "it is said to go on")
    with running(bus(), again := Kept()):
        wait_until(lambda: rows_by_and_by(stored, again) == 5, "after a restart from its start")
        stored.write("a", began, rows=7)
        wait_until(again.ended, "its end")
        looked(stored)
    names = [name for name, _ in again.kept]
    assert names == ["start", "descriptor", *["event"] * 7, "stop"]
    assert max(rows(taker.kept).values()) == 1


def test_a_row_of_which_a_column_is_not_written_yet_waits(stored, bus):
    taker, began = Kept(), stored.now
    keys = {"uid": "two", "run_start": "a", "name": "mono", "data_keys": {"energy": {}, "mu": {}}}

    def row(number, **data):
        doc = {"descriptor": "two", "uid": f"row {number}", "seq_num": number, "data": data}
        return "event", {**doc, "time": began}

    parts = [row(1, energy=1.0, mu=1.0), row(2, energy=2.0), row(3, energy=3.0, mu=3.0)]
    stored.write("a", began, stop=False, rows=1, more=[("descriptor", keys), *parts])
    with running(bus(), taker):
        wait_until(lambda: rows_by_and_by(stored, taker), "the first")
        parts[1] = row(2, energy=2.0, mu=2.0)
        stored.write("a", began, rows=1, more=[("descriptor", keys), *parts])
        wait_until(taker.ended, "its end")
    events = [doc for name, doc in taker.kept if name == "event" and "row" in doc["uid"]]
    assert [(doc["uid"].split("-")[0], *doc["data"]) for doc in events] == [
        (f"row {number}", "energy", "mu") for number in (1, 2, 3)
    ]


def test_a_row_that_a_service_read_half_written_is_put_right_by_the_next_one(stored, bus):
    """A worker knows the rows from the disk, by their uids: the right one must have another."""
    row = {"descriptor": "a-d", "uid": "row", "seq_num": 2, "time": 1.0, "data": {"mu": 0.0}}
    given = []
    for mu in (0.0, 0.0, 0.7):
        stored.write(
            "a", stored.now, stop=False, rows=1, more=[("event", dict(row, data={"mu": mu}))]
        )
        with running(bus(), taker := Kept()):
            wait_until(lambda: rows_by_and_by(stored, taker) == 2, "its rows")
        given.append([doc["uid"] for name, doc in taker.kept if name == "event"])
    first, again, right = given
    assert first == again, "what is the same is known"
    assert first[0] == right[0]
    assert first[1] != right[1]


def test_a_row_that_was_read_while_it_was_written_is_put_right(stored, bus):
    taker, began = Kept(), stored.now
    row = {"descriptor": "a-d", "uid": "row", "seq_num": 2, "time": began, "data": {"mu": 0.0}}
    stored.write("a", began, stop=False, rows=1, more=[("event", row)])
    with running(bus(), taker):
        wait_until(lambda: rows_by_and_by(stored, taker) == 2, "its rows")
        stored.write("a", began, rows=1, more=[("event", {**row, "data": {"mu": 0.7}})])
        wait_until(taker.ended, "its end")
    first, second = (doc for name, doc in taker.kept if name == "event" and doc["seq_num"] == 2)
    assert (first["data"], second["data"]) == ({"mu": 0.0}, {"mu": 0.7})
    assert first["uid"] != second["uid"], "the later point of a number counts"


def test_a_run_with_files_is_given_when_it_has_ended(stored, bus):
    taker, began = Kept(), stored.now
    file = ("stream_resource", {"uid": "f", "run_start": "a", "data_key": "energy"})
    stored.write("a", began, stop=False, rows=3, more=[file])
    with running(bus(), taker):
        looked(stored)
        assert taker.kept == []
        stored.write("a", began, rows=3, more=[file])
        wait_until(taker.ended, "its end")
    assert [name for name, _ in taker.kept] == [
        "start",
        "descriptor",
        *["event"] * 3,
        "stream_resource",
        "stop",
    ]


def test_a_service_that_has_never_run_takes_all_where_it_is_told_to(stored, bus):
    taker = Kept()
    stored.write("second", 2 * DAY)
    stored.write("first", DAY)
    with running(bus(first="earliest"), taker):
        wait_until(lambda: uids(taker) == ["first", "second"], "both")


def test_runs_of_the_time_when_the_service_was_off_are_found(stored, bus):
    first, second = Kept(), Kept()
    with running(bus(), first):
        stored.write("a", stored.now + 1)
        wait_until(lambda: uids(first) == ["a"], "a run")
    for day in range(1, 30):
        stored.write(f"day {day}", stored.now + day * DAY)
    stored.now += 30 * DAY
    with running(bus(), second):
        wait_until(lambda: len(uids(second)) == 29, "a month of runs")
        looked(stored)
    assert uids(second) == [f"day {day}" for day in range(1, 30)]
    with running(bus(), third := Kept()):
        looked(stored)
    assert third.kept == []


def test_a_run_that_was_written_days_late_is_found_within_an_hour(stored, bus):
    taker = Kept()
    with running(bus(), taker):
        stored.write("a", stored.now + 2 * DAY)
        stored.now += 2 * DAY
        wait_until(lambda: uids(taker) == ["a"], "a run")
        stored.write("old", stored.now - DAY)
        looked(stored)
        assert uids(taker) == ["a"]
        stored.now += module.DEEP_PERIOD
        wait_until(lambda: uids(taker) == ["a", "old"], "the one that was late")


@pytest.mark.parametrize(
    "away",
    [
        Unreachable("it does not answer"),
        Postponed("HTTP 500"),
        json.JSONDecodeError("Expecting value", "<html>Back in an hour</html>", 0),
        httpx.DecodingError("half an answer"),
    ],
)
def test_a_server_that_is_away_or_fails_is_asked_again(stored, bus, away):
    taker, source = Kept(), bus()
    stored.away = away
    stored.write("a", stored.now)
    with running(source, taker):
        wait_until(lambda: "as Tiled says" in source.failing(), "it says so")
        stored.away = None
        wait_until(lambda: uids(taker) == ["a"], "it is back")
        wait_until(lambda: source.failing() == "", "nothing fails any more")
        stored.away = KeyError("raw")  # it once was there
        wait_until(source.failing, "it has gone again")
        stored.away = None
        wait_until(lambda: source.failing() == "", "it is back again")


def test_a_damaged_run_holds_no_other_and_is_given_up_in_the_end(stored, bus):
    taker, source = Kept(), bus()
    stored.write("bad", stored.now + 1, fault=Damaged("its rows are not there"))
    with running(source, taker):
        wait_until(lambda: "its rows" in source.failing(), "it says so")
        for number in range(2 * module.ATTEMPTS):
            stored.now += 700
            stored.write(f"good {number}", stored.now)
            wait_until(lambda: f"good {number}" in uids(taker), "the others are given")  # noqa: B023
        wait_until(lambda: source.refused["unreadable"] == 1, "it is given up")
        wait_until(lambda: source.failing() == "", "nothing fails any more")
    assert "bad" not in uids(taker)


@pytest.mark.parametrize(
    "start", ["text", ["a"], {"uid": ["a"], "time": 1.0}, {"uid": "x", "time": float("nan")}]
)
def test_what_somebody_stored_that_is_no_run_holds_no_run(stored, bus, start):
    taker, source = Kept(), bus()
    with running(source, taker):
        looked(stored)
        stored.runs["theirs"] = SimpleNamespace(metadata={"start": start, "stop": "no"}, fault=None)
        stored.write("a", stored.now)
        wait_until(lambda: uids(taker) == ["a"], "the run")
        assert source.failing() == ""


def test_a_server_that_reads_no_run_at_all_costs_none(stored, bus):
    taker, source = Kept(), bus()
    fault = RuntimeError("406 Not Acceptable")
    stored.write("a", stored.now, fault=fault)
    with running(source, taker):
        for _ in range(2 * module.ATTEMPTS):
            stored.now += 700
            looked(stored)
        assert "json_seq_exporter" in source.failing()  # what its configuration needs
        stored.runs["a"].fault = None
        stored.now += 700
        wait_until(lambda: uids(taker) == ["a"], "the run")
    assert not source.refused


def test_a_run_without_an_end_is_given_after_a_day(stored, bus):
    taker = Kept()
    with running(bus(), taker):
        stored.write("lost", stored.now, stop=False)
        looked(stored)
        assert taker.kept == []
        stored.now += module.ABANDONED + 1
        wait_until(lambda: uids(taker) == ["lost"], "what there is of it")
    assert taker.count("stop") == 0


def test_a_run_is_forgotten_only_when_it_is_kept(stored, bus):
    killed, next_one = Kept(), Kept()
    killed.broken = OSError(28, "No space left on device")
    source = bus()
    stored.write("a", stored.now)
    with running(source, killed):
        wait_until(lambda: "No space" in source.failing(), "it says why")
    with running(bus(), next_one):
        wait_until(lambda: uids(next_one) == ["a"], "it comes again")


def test_a_full_taker_lets_runs_wait(stored, bus):
    taker, source = Kept(), bus()
    taker.is_full = True
    stored.write("a", stored.now)
    with running(source, taker):
        wait_until(lambda: source.lag() == 1, "it waits")
        taker.is_full = False
        wait_until(lambda: uids(taker) == ["a"], "it is taken")


def test_a_damaged_file_of_uids_is_named_and_costs_no_start(stored, bus, tmp_path, caplog):
    bus()
    (path,) = tmp_path.iterdir()
    for damaged in ("", "[]", "null", '{"began": 1}', '{"began": 1, "newest": 1, "uids": [1]}'):
        path.write_text(damaged)
        with running(bus(), Kept()):
            looked(stored)
        assert "is damaged" in caplog.text
        caplog.clear()


def test_a_wrong_setting_ends_the_program_at_its_start(tmp_path):
    with pytest.raises(ConfigurationError, match="TILED_API_KEY"):
        TiledBus("http://host?api_key=x#raw", NOBODY, tmp_path)
    with pytest.raises(ConfigurationError, match="not that of a server"):
        TiledBus("host#raw", NOBODY, tmp_path)
    (tmp_path / "file").write_text("")
    with pytest.raises(ConfigurationError, match="cannot be used"):
        TiledBus("http://host#raw", NOBODY, tmp_path / "file")


def test_a_port_at_which_nobody_listens_is_named(tmp_path):
    source = TiledBus("http://127.0.0.1:1#raw", NOBODY, tmp_path, period=0.01)
    with running(source, Kept()):
        wait_until(lambda: "does not answer:" in source.failing(), "it says so")
