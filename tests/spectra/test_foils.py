"""Foils of earlier runs: which one serves, what is said of it, and live equal to replay."""

import itertools
import json
import random
import uuid

import numpy as np
import pytest
from tiled.queries import Key
from waiting import PATIENCE

from rankaae_stream import replay as module
from rankaae_stream.analysis import Analysis
from rankaae_stream.callback import DescriptorStream
from rankaae_stream.loading import build_pipeline
from rankaae_stream.profile import load_profile
from rankaae_stream.replay import replay
from rankaae_stream.report import FoilShift
from rankaae_stream.spectra.foils import KEEP, AcceptedFoil, FoilHistory

HOUR = 3600.0
NOON = itertools.count(1.79e9, 10 * 24 * HOUR)
"""When the first run of each test begins; a run takes a thousand seconds."""


@pytest.fixture
def scanned(documents, hematite):
    """The documents of a scan of Fe2O3 that began some hours after noon, of a day of this test's:
    the server keeps the results of all."""
    noon = next(NOON)

    def make(uid, hours, *, foil=True, off=0.0, **start):
        energy, i0, it, ir = hematite
        columns = (energy - off, i0, it, ir) if foil else (energy - off, i0, it)
        later = noon + hours * HOUR - 1000.0
        return [
            (name, {**doc, "time": doc["time"] + later})
            for name, doc in documents(*columns, uid=uid, **start)
        ]

    return make


@pytest.fixture
def play(analysis):
    """Feed runs to one pipeline of the simulated beamline; final reports by run."""

    def through(*runs, **energy):
        profile, results = load_profile("sim", energy=energy), []
        by_rules = Analysis(analysis.models, analysis.foils, "test", profile.energy.build())
        pipeline = build_pipeline(profile, results.append, by_rules)
        for name, doc in itertools.chain(*runs):
            pipeline.feed(name, doc, 0.0)
        return {r.report.source: r.report for r in results if r.report.complete}

    return through


def no_foil(report):
    return next(flag for flag in report.flags if flag.name == "no_foil")


def width(report):
    state = report.estimate("oxidation_state")
    return state.high - state.low


# ---- which one serves ----------------------------------------------------------------


def test_a_run_without_a_foil_takes_the_shift_of_the_last_run_with_one(play, scanned):
    answers = play(
        scanned("old", 0.0, off=1.0), scanned("with", 1.0), scanned("without", 2.0, foil=False)
    )
    given, taken = answers["with"].shifts, answers["without"].shifts
    assert taken.calibration == given.calibration == pytest.approx(0.38, abs=0.05)
    assert (taken.calibration_run, taken.foil) == ("with", given.foil)
    assert taken.calibration_age == pytest.approx(1.0 - 1000 / HOUR)
    drift = 0.7 * taken.calibration_age / 12.0
    assert taken.uncertainty == pytest.approx(np.hypot(given.uncertainty, drift))
    assert width(answers["without"]) > width(answers["with"])
    assert "shift of run with, 0.7 h before stands instead" in no_foil(answers["without"]).message
    assert answers["old"].shifts.calibration == pytest.approx(1.38, abs=0.05)


@pytest.mark.parametrize(
    ("case", "settings"),
    [
        ({"hours": 13.0}, {}),
        ({"hours": 2.0}, {"foil_max_age": 1.0}),
        ({"hours": 0.3}, {"foil_max_age": 0}),
        ({"hours": 0.1}, {}),
        ({"hours": 1.0, "element": "Mn"}, {}),
    ],
    ids=["too old", "old by the profile", "never", "began before the foil was measured", "edge"],
)
def test_another_foil_does_not_serve(play, scanned, case, settings):
    answers = play(scanned("with", 0.0), scanned("without", foil=False, **case), **settings)
    shifts = answers["without"].shifts
    assert (shifts.calibration, shifts.calibration_run, shifts.foil) == (0.0, "", None)
    assert shifts.uncertainty == 0.7
    assert "used as measured" in no_foil(answers["without"]).message


def test_a_reference_that_is_refused_is_no_foil_for_later_runs(play, scanned):
    bad = [
        (name, {**doc, "data": {**doc["data"], "ic-ir": doc["data"]["ic-it"] * 0.5}})
        if name == "event"
        else (name, doc)
        for name, doc in scanned("bad", 1.0)
    ]
    answers = play(scanned("good", 0.0), bad, scanned("without", 2.0, foil=False))
    assert answers["bad"].shifts.calibration_run == "good"
    assert answers["without"].shifts.calibration_run == "good", "not by way of the bad one"


def test_a_foil_that_is_only_reported_serves_later_runs_the_same_way(play, scanned):
    answers = play(scanned("with", 0.0), scanned("without", 1.0, foil=False), calibration="report")
    shifts = answers["without"].shifts
    assert (shifts.calibration, shifts.uncertainty) == (0.0, 0.7)
    assert shifts.foil == answers["with"].shifts.foil
    assert shifts.calibration_run == "with"


def test_a_short_scan_tells_its_foil_to_the_next(play, scanned):
    short = [
        (name, doc)
        for name, doc in scanned("short", 0.0)
        if name != "event" or abs(doc["data"]["mono-energy"] - 7112) < 30
    ]
    answers = play(short, scanned("without", 1.0, foil=False))
    assert answers["short"].extent is not None
    assert answers["without"].shifts.calibration_run == "short"


# ---- what is kept --------------------------------------------------------------------


def accepted(run="a", time=0.0, **changed):
    shift = FoilShift(0.1, 0.1, 0.002, "foils/Fe.xdi", 0.03)
    plain = {"edge": "Fe K", "sweep": 0, "channel": "transmission", "shift": shift, **changed}
    return AcceptedFoil(run=run, time=time, **plain)


def test_the_latest_foil_serves_in_whatever_order_they_were_told():
    foils = [
        accepted("a", 1.0),
        accepted("b", 3.0, channel="fluorescence"),
        accepted("b", 3.0),
        accepted("b", 2.0, sweep=4),
        accepted("c", 9.0),
        accepted("d", 3.5, edge="Mn K"),
    ]
    for order in itertools.permutations(foils):
        history = FoilHistory("s", 1.0)
        for foil in order:
            history.add(f"{foil.run} {foil.sweep} {foil.channel}", foil)
        assert history.latest("Fe K", 5.0) == accepted("b", 3.0)


def test_uses_and_foils_outlive_the_session_but_not_a_change_of_settings(tmp_path):
    path = tmp_path / "spool" / "foils.jsonl"
    first = FoilHistory("s", 1.0, path)
    first.add("with", accepted(time=1 / 3))
    first.add("none", None)
    again = FoilHistory("s", 1.0, path)
    assert again.latest("Fe K", 10.0) == accepted(time=1 / 3), "to the last bit"
    assert again.use("none").foil is None
    assert again.use("other") is None
    other = FoilHistory("t", 1.0, path)
    assert (other.latest("Fe K", 10.0), other.use("none")) == (None, None)


def test_what_was_used_stands_above_what_is_known_by_now():
    history = FoilHistory("s", 1.0)
    history.add("result", None)
    history.add("later replayed", accepted(time=1.0))
    assert history.earlier("result", "Fe K", 2.0) is None
    assert history.earlier("another", "Fe K", 2.0) == accepted(time=1.0)


def test_a_damaged_file_loses_its_damaged_lines_only(tmp_path, caplog):
    path = tmp_path / "foils.jsonl"
    FoilHistory("s", 1.0, path).add("with", accepted())
    whole = path.read_text()
    path.write_text('{"settings": "s", "result": 1}\n[]\n\xff\n' + whole + whole[:40])
    assert FoilHistory("s", 1.0, path).latest("Fe K", 10.0) == accepted()
    assert caplog.text.count("damaged line") == 4


def test_a_file_that_grew_long_is_cut_and_a_reader_leaves_it(tmp_path):
    path = tmp_path / "foils.jsonl"
    path.write_text('{"settings": "s", "result": "x", "foil": null}\n' * (2 * KEEP + 1))
    FoilHistory("s", 1.0, path, writes=False).add("y", None)
    assert len(path.read_text().splitlines()) == 2 * KEEP + 1
    FoilHistory("s", 1.0, path)
    assert len(path.read_text().splitlines()) == KEEP


def test_a_disk_that_takes_nothing_costs_the_next_session_not_this_one(tmp_path, caplog):
    (tmp_path / "file").write_text("")
    history = FoilHistory("s", 1.0, tmp_path / "file" / "foils.jsonl")
    history.add("with", accepted())
    assert history.latest("Fe K", 10.0) == accepted()
    assert "in memory only" in caplog.text


# ---- live equals replay --------------------------------------------------------------


class Collector:
    """A sink that keeps results by run, as text, without what tells growing from whole."""

    def __init__(self):
        self.results, self._open = {}, []

    def __call__(self, name, doc):
        if name == "start":
            self._open = []
        kept = {k: v for k, v in doc.items() if name != "event" or k not in ("uid", "seq_num")}
        kept.pop("num_events", None)
        self._open = [item for item in self._open if item[0] != name] + [(name, kept)]
        if name == "stop":
            (_, start), *_ = self._open
            told = json.dumps(self._open, sort_keys=True)
            self.results.setdefault(start["original_run_uid"], []).append((doc["run_start"], told))

    def foils(self):
        """By run: the run whose foil its result was made with."""
        found = {}
        for run, ((_, told),) in self.results.items():
            (summary,) = (doc["summary"] for name, doc in json.loads(told) if name == "stop")
            found[run] = summary["energy_shift"]["calibration_run"]
        return found


@pytest.fixture(autouse=True)
def _models_loaded_once(monkeypatch, analysis):
    monkeypatch.setattr(module, "load_analysis", lambda _: analysis)
    monkeypatch.setattr("rankaae_stream.loading.load_analysis", lambda _: analysis)


@pytest.fixture
def runs(scanned):
    """Two foils with scans without one before, between and after them."""
    tag = uuid.uuid4().hex[:8]
    made = [
        scanned(f"{tag}-a", 0.0, foil=False),
        scanned(f"{tag}-b", 1.0, off=0.5),
        scanned(f"{tag}-c", 2.0, foil=False),
        scanned(f"{tag}-d", 3.0),
        scanned(f"{tag}-e", 4.0, foil=False),
        scanned(f"{tag}-f", 20.0, foil=False),
    ]
    return {documents[0][1]["uid"]: documents for documents in made}


@pytest.fixture
def settings(server):
    return {"tiled": {"uri": server.uri}, "tiled_api_key": server.api_key}


def live(runs, spool, settings, **options):
    """Answer runs as a session does; what its sink got."""
    collector = Collector()
    with DescriptorStream(
        "sim", sinks=[collector], spool=spool, clock=lambda: 0.0, **settings, **options
    ) as stream:
        for documents in runs:
            for name, doc in documents:
                stream(name, doc)
            assert stream.wait_idle(PATIENCE)
    return collector


def replayed(runs, spool, settings, **options):
    collector = Collector()
    profile = load_profile("sim", spool=spool, **settings)
    done = replay(runs, profile, sinks=[collector], **options)
    assert not done.failed
    assert done.foils_unknown == ""
    return collector


def chosen(runs, *letters):
    return [documents for uid, documents in runs.items() if uid[-1] in letters]


def used(collector):
    """By letter: the letter of the run whose foil was used, or none."""
    return {run[-1]: foil[-1:] for run, foil in collector.foils().items()}


def test_the_session_uses_what_it_is_meant_to(runs, tmp_path, settings):
    session = live(runs.values(), tmp_path, settings, to_tiled=False)
    expected = {"a": "", "b": "b", "c": "b", "d": "d", "e": "d", "f": ""}
    assert used(session) == expected


def test_a_replay_in_any_order_equals_the_session_from_the_archive_alone(runs, tmp_path, settings):
    session = live(runs.values(), tmp_path / "live", settings, to_tiled=False)
    shuffled = list(runs.values())
    for seed in range(4):
        random.Random(seed).shuffle(shuffled)
        again = replayed(shuffled, tmp_path / str(seed), settings, to_tiled=False)
        assert again.results == session.results


def test_a_replay_of_one_run_takes_its_foil_from_beside_the_spool(runs, tmp_path, settings):
    session = live(runs.values(), tmp_path, settings, to_tiled=False)
    for uid, documents in runs.items():
        again = replayed([documents], tmp_path, settings, to_tiled=False)
        assert again.results == {uid: session.results[uid]}


def test_a_replay_of_one_run_takes_its_foil_from_the_published_results(runs, tmp_path, settings):
    session = live(runs.values(), tmp_path / "live", settings)
    for uid, documents in runs.items():
        again = replayed([documents], tmp_path / uid, settings)
        assert again.results == {uid: session.results[uid]}


def test_a_session_that_starts_again_goes_on_as_a_replay_would(runs, tmp_path, settings):
    whole = live(runs.values(), tmp_path / "whole", settings, to_tiled=False)
    parts = {}
    for uid, documents in runs.items():
        parts |= live([documents], tmp_path / "parts", settings, to_tiled=False).results
        assert parts[uid] == whole.results[uid]


def test_a_session_that_forgot_is_replayed_as_it_was(runs, tmp_path, settings):
    """Another spool, so the foil before was not known: the replay knows it and keeps to it."""
    first = live(chosen(runs, "b"), tmp_path / "one", settings)
    second = live(chosen(runs, "c"), tmp_path / "other", settings)
    assert used(second) == {"c": ""}
    both = replayed(chosen(runs, "c", "b"), tmp_path / "third", settings)
    assert both.results == {**first.results, **second.results}


def test_a_run_that_was_never_answered_takes_the_published_foil_before_it(runs, tmp_path, settings):
    live(chosen(runs, "b", "d"), tmp_path / "live", settings)
    never = replayed(chosen(runs, "c"), tmp_path / "replay", settings)
    assert used(never) == {"c": "b"}
    assert used(replayed(chosen(runs, "e"), tmp_path / "replay", settings)) == {"e": "d"}


def test_a_replay_that_publishes_nothing_says_the_same_and_writes_nothing(runs, tmp_path, settings):
    session = live(runs.values(), tmp_path / "live", settings, to_tiled=False)
    profile = load_profile("sim", spool=tmp_path / "none", **settings)
    done = replay(list(runs.values())[::-1], profile, dry_run=True)
    assert {o.name: o.reports[0].shifts.calibration_run for o in done.outcomes} == session.foils()
    assert [outcome.name for outcome in done.outcomes] == list(runs)[::-1], "the archive's order"
    assert not (tmp_path / "none").exists()


def test_results_that_cannot_be_asked_are_said_and_stop_nothing(runs, tmp_path):
    profile = load_profile("sim", spool=tmp_path, tiled={"uri": "http://127.0.0.1:1"})
    done = replay(chosen(runs, "b", "c"), profile, dry_run=True)
    assert [o.reports[0].shifts.calibration_run[-1] for o in done.outcomes] == ["b", "b"]
    assert "does not answer" in done.foils_unknown
    assert replay(chosen(runs, "b"), profile, dry_run=True).foils_unknown == "", "not asked"


def test_the_shift_and_its_run_stand_in_the_event_and_are_found_by_a_query(
    runs, tmp_path, settings, server
):
    live(chosen(runs, "b", "c"), tmp_path, settings)
    raw = next(uid for uid in runs if uid[-1] == "c")
    (foil,) = (uid for uid in runs if uid[-1] == "b")
    found = server.client("processed").search(Key("start.original_run_uid") == raw)
    found = found.search(Key("stop.summary.energy_shift.calibration_run") == foil)
    (result,) = found.values()
    row = result["primary"].read()
    assert row["shift_run"].values[-1] == foil
    assert row["shift_age"].values[-1] == pytest.approx(1.0 - 1000 / HOUR)
    assert row["shift_calibration"].values[-1] == row["foil_shift"].values[-1]
    assert row["foil_shift"].values[-1] == pytest.approx(0.88, abs=0.05)
