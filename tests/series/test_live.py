"""Results of a session become series by the profile's rule, and are resolved as they grow."""

from dataclasses import replace

import numpy as np
import pytest

from rankaae_stream import resources
from rankaae_stream.documents.together import SeriesRules
from rankaae_stream.files.read import read_spectrum
from rankaae_stream.inference import infer
from rankaae_stream.loading import default_analysis
from rankaae_stream.report import Result
from rankaae_stream.results.compose_series import PURPOSE, compose_series, is_newer
from rankaae_stream.series.live import LiveSeries

SPECTRA = resources.folder("profiles/spectra/Fe")
COPIED = ("sample_name", "scan_id", "proposal")


@pytest.fixture(scope="module")
def reports():
    """Answers to FeO and hematite, each measured twice with noise."""
    found = {}
    for name in ("FeO_rt_01", "Fe2O3_rt_01"):
        scan = read_spectrum(SPECTRA / f"{name}.xdi")
        rng = np.random.default_rng(0)
        found[name[:3]] = [
            infer(scan.energy, scan.mu + 0.002 * rng.normal(size=scan.mu.size), "Fe")
            for _ in range(2)
        ]
    return found


def result(report, number, *, minute=None, primary=True, sweep=0, **start):
    uid = f"{number:08x}-1111-5111-8111-111111111111"
    raw = f"raw-{number}"
    began = 60.0 * (number if minute is None else minute)
    doc = {"uid": raw, "time": began, "scan_id": number, **start}
    mine = replace(report, source=raw, sweep=sweep)
    return Result(mine, uid, doc, began + 30.0, primary=primary)


class Kept(list):
    def __init__(self, **rules):
        super().__init__()
        self.live = LiveSeries(SeriesRules(**rules), default_analysis(), self.append)

    def take(self, *results):
        for one in results:
            self.live.take(one)
        return self

    def finish(self):
        self.live.finish()
        return [([one.report.source for one in found.results], found.complete) for found in self]


def test_repeats_of_a_sample_are_one_series_and_another_sample_is_none(reports):
    feo, hematite = reports["FeO"], reports["Fe2"]
    kept = Kept().take(
        result(feo[0], 1, sample_name="a"),
        result(hematite[0], 2, sample_name="b"),
        result(feo[1], 3, sample_name="a"),
    )
    assert kept.finish() == [(["raw-1", "raw-3"], True)]
    assert kept[0].found.merged.estimate("oxidation_state").value == pytest.approx(2.0, abs=0.3)


def test_it_is_resolved_anew_when_it_has_grown_and_not_before(reports):
    kept = Kept().take(result(reports["FeO"][0], 1, sample_name="a"))
    kept.live.tick(0.0)
    assert not kept
    assert not kept.live.pending
    kept.take(result(reports["FeO"][1], 2, sample_name="a"))
    assert kept.live.pending
    kept.live.tick(0.1)
    kept.live.tick(0.2)
    assert [one.complete for one in kept] == [False]
    assert not kept.live.pending
    kept.take(result(reports["FeO"][0], 3, sample_name="a"))
    kept.live.tick(0.3)
    assert len(kept) == 1, "the next update comes a second later at the earliest"
    kept.live.tick(1e6)
    assert len(kept) == 2
    assert kept[0].uid == kept[1].uid


@pytest.mark.parametrize(
    ("first", "second"),
    [
        ({}, {"minute": 500.0}),
        ({}, {"sample_name": "b"}),
        ({"sample_name": ""}, {"sample_name": ""}),
        ({"primary": False}, {}),
    ],
    ids=["hours later", "another sample", "no sample named", "not the primary channel"],
)
def test_what_does_not_belong_together_is_no_series(reports, first, second):
    one = result(reports["FeO"][0], 1, **{"sample_name": "a", **first})
    two = result(reports["FeO"][1], 2, **{"sample_name": "a", **second})
    assert Kept().take(one, two).finish() == []


def test_sweeps_of_one_run_are_a_series_without_any_name(reports):
    sweeps = [
        replace(result(one, 7, sweep=i), uid=f"{i:08x}-1111-5111-8111-111111111111")
        for i, one in enumerate(reports["FeO"])
    ]
    kept = Kept().take(*sweeps)
    assert kept.finish() == [(["raw-7", "raw-7"], True)]
    assert kept[0].found.series.sources == ("raw-7", "raw-7 sweep 1")


def test_keys_of_the_profile_name_a_series(reports):
    feo = reports["FeO"]
    cells = [{"cell": 1, "sample_name": "x"}, {"cell": 1, "sample_name": "y"}]
    taken = [result(one, i, **cell) for i, (one, cell) in enumerate(zip(feo, cells, strict=True))]
    assert len(Kept(group=(("cell",),)).take(*taken).finish()) == 1
    assert Kept(group=(("cell", "sample_name"),)).take(*taken).finish() == []


def test_stored_runs_in_any_order_make_the_same_series(reports):
    feo = reports["FeO"]
    taken = [result(feo[i % 2], i, sample_name="a") for i in range(4)]
    forwards, backwards = Kept().take(*taken), Kept().take(*taken[::-1], taken[0])
    assert forwards.finish() == backwards.finish()
    assert forwards[0].uid == backwards[0].uid


def test_a_series_that_cannot_be_resolved_harms_nothing(reports, monkeypatch, caplog):
    monkeypatch.setattr("rankaae_stream.series.live.resolve", lambda *_, **__: 1 / 0)
    kept = Kept().take(*(result(one, i, sample_name="a") for i, one in enumerate(reports["FeO"])))
    assert kept.finish() == []
    assert "a series of 2 spectra could not be resolved" in caplog.text


def test_it_is_published_with_what_it_is_told_with(reports):
    rules = SeriesRules(against=("heater.T", "name"), stop_at=1.0)
    live = Kept(stop_at=1.0)
    live.take(
        *(
            result(one, i, sample_name="a", heater={"T": 300.0 + i}, name="x", proposal=7)
            for i, one in enumerate(reports["FeO"])
        )
    )
    live.live.tick(0.0)
    live.finish()
    growing, complete = (compose_series(one, {"name": "sim"}, COPIED, rules) for one in live)
    assert growing.start == complete.start
    assert growing.start["purpose"] == PURPOSE
    assert growing.start["original_run_uid"] == ""
    assert (growing.start["proposal"], growing.start.get("scan_id")) == (7, None)
    state = complete.stop["summary"]
    assert [row["heater.T"] for row in state["spectra"]] == [300.0, 301.0]
    assert [row["scan_id"] for row in state["spectra"]] == [0, 1]
    assert "name" not in state["spectra"][0]
    assert state["enough"] is True
    assert is_newer(growing.stop, complete)
    assert not is_newer(complete.stop, growing)
    assert not is_newer(complete.stop, complete)


def test_a_series_that_nothing_can_join_any_more_ends_while_others_go_on(reports, monkeypatch):
    monkeypatch.setattr("rankaae_stream.series.live.LEFT", 2)
    feo, hematite = reports["FeO"], reports["Fe2"]
    kept = Kept(gap=1.0).take(
        result(feo[0], 1, sample_name="a"),
        result(feo[1], 2, sample_name="a"),
        result(hematite[0], 90, sample_name="b"),
    )
    assert not kept, "stored runs may come out of order"
    kept.take(result(hematite[1], 91, sample_name="b"))
    assert [([one.report.source for one in found.results], found.complete) for found in kept] == [
        (["raw-1", "raw-2"], True)
    ]
