"""Runs to reports: what is answered, what is refused, and when."""

import csv
from dataclasses import replace

import numpy as np
import pytest

from rankaae_stream.about import run_at_hand
from rankaae_stream.errors import Refused
from rankaae_stream.files.read import read_spectrum
from rankaae_stream.loading import build_pipeline
from rankaae_stream.profile import load_profile
from rankaae_stream.report import result_uid, to_dict
from rankaae_stream.simulate.documents import Beam
from rankaae_stream.simulate.samples import SERIES
from rankaae_stream.simulate.tes import fly
from rankaae_stream.spectra.quality import coverage
from rankaae_stream.spectrum import K_EDGES, Edge, Origin


def play(pipeline, docs, seconds=0.05):
    """Feed documents with a clock that moves `seconds` a document: every tenth is answered."""
    now = 0.0
    for name, doc in docs:
        pipeline.feed(name, doc, now)
        now += seconds
    return now


def only(pipeline):
    """The one final report."""
    finals = [r.report for r in pipeline.results if r.report.complete]
    assert len(finals) == 1, [r.refusal for r in finals]
    return finals[0]


def test_a_measured_oxide_gets_its_oxidation_state_with_an_interval(pipeline, documents, hematite):
    play(pipeline, documents(*hematite))
    report = only(pipeline)
    state = report.estimate("oxidation_state")
    assert report.refusal is None
    assert state.value == pytest.approx(3.0, abs=0.3)
    assert state.low < 3.0 < state.high
    assert state.level == 0.9
    assert report.shifts.calibration == pytest.approx(0.38, abs=0.15)
    assert report.shifts.calibration_run == "run"
    assert [flag.name for flag in report.flags] == ["energy_shift"]


def test_direction_of_the_scan_does_not_change_the_answer(pipeline, documents, hematite):
    play(pipeline, documents(*hematite, uid="up"))
    play(pipeline, documents(*(column[::-1] for column in hematite), uid="down"))
    up, down = (r.report for r in pipeline.results if r.report.complete)
    assert up.estimates == down.estimates
    assert up.latent == down.latent


@pytest.mark.parametrize("falling", [False, True], ids=["rising", "falling"])
def test_a_growing_scan_is_answered_once_it_has_passed_the_edge(
    pipeline, documents, hematite, falling
):
    columns = [column[::-1] if falling else column for column in hematite]
    play(pipeline, documents(*columns), 1.0)
    provisional = [r.report for r in pipeline.results if not r.report.complete]
    answered = [r.refusal is None for r in provisional]
    assert True in answered
    assert False in answered
    assert answered == sorted(answered), "once answered, always answered"
    for report in provisional:
        first, last = report.energy_range
        if report.refusal is None:
            whole = first <= 7112 - 40 + 1 and last >= 7112 + 100 - 1
            assert (report.extent is None) == whole
            assert report.estimate("oxidation_state").low < 3.1
            assert report.estimate("oxidation_state").high > 2.9
        else:
            assert report.refusal.name == "coverage"
            assert first > 7112 - 2.5 or last < 7112 + 8.5
    assert len({r.uid for r in pipeline.results}) == 1
    assert pipeline.results[-1].report.complete


def test_provisional_answers_are_bounded_in_rate(pipeline, documents, hematite):
    seconds = 0.01
    end = play(pipeline, documents(*hematite), seconds)
    provisional = [r for r in pipeline.results if not r.report.complete]
    assert 1 <= len(provisional) <= end / 0.5 + 1


def test_a_tick_shows_what_came_after_the_last_answer(pipeline, documents, hematite):
    docs = list(documents(*hematite, stop=False))
    for name, doc in docs[:-1]:
        pipeline.feed(name, doc, 0.0)
    pipeline.feed(*docs[-1], 0.1)
    before = len(pipeline.results)
    pipeline.tick(0.2)
    assert len(pipeline.results) == before
    pipeline.tick(0.6)
    assert len(pipeline.results) == before + 1
    assert pipeline.results[-1].report.points == hematite[0].size
    pipeline.tick(5.0)
    assert len(pipeline.results) == before + 1, "nothing new, nothing said"


def cut(columns, low, high):
    keep = (columns[0] >= 7112 + low) & (columns[0] <= 7112 + high)
    return [column[keep] for column in columns]


@pytest.mark.parametrize(
    ("low", "high", "severity"),
    [(-150, 190, None), (-45, 120, "info"), (-45, 90, "warning"), (-19, 120, "warning")],
)
def test_less_coverage_is_flagged_and_widens_the_interval(
    pipeline, documents, hematite, monkeypatch, low, high, severity
):
    play(pipeline, documents(*hematite, uid="full"))
    play(pipeline, documents(*cut(hematite, low, high), uid="cut"))
    monkeypatch.setattr(
        "rankaae_stream.spectra.quality.coverage",
        lambda *args, **kwargs: replace(coverage(*args, **kwargs), step_error=0.0),
    )
    play(pipeline, documents(*cut(hematite, low, high), uid="as if the step were known"))
    full, short, sure = (r.report for r in pipeline.results if r.report.complete)
    assert short.refusal is None
    assert [f.severity for f in short.flags if f.name == "coverage"] == (
        [severity] if severity else []
    )
    wider = [
        (one.high - one.low) / (other.high - other.low)
        for one, other in zip(short.estimates, sure.estimates, strict=True)
    ]
    if severity:
        assert min(wider) >= 1.0
        assert max(wider) > 1.001
    else:
        assert full.estimate("oxidation_state").value == pytest.approx(
            short.estimate("oxidation_state").value, abs=0.02
        )


def test_only_the_grid_makes_constant_post_and_pre_edges(pipeline, documents, hematite):
    play(pipeline, documents(*cut(hematite, -19, 90)))
    used = only(pipeline).normalization
    assert (used.nnorm, used.npre, used.pre2) == (0, 0, -10.0)


@pytest.mark.parametrize(("low", "high"), [(-150, 5), (0, 190), (-5, 5)])
def test_less_than_the_edge_is_refused(pipeline, documents, hematite, low, high):
    play(pipeline, documents(*cut(hematite, low, high)))
    report = only(pipeline)
    assert report.refusal.name == "coverage"
    assert "eV" in report.refusal.message
    assert report.estimates == ()


def test_a_hole_in_the_edge_is_refused(pipeline, documents, hematite):
    keep = (hematite[0] < 7112 + 3) | (hematite[0] > 7112 + 20)
    play(pipeline, documents(*(column[keep] for column in hematite)))
    assert only(pipeline).refusal.name == "coverage"
    assert "no points in" in only(pipeline).refusal.message


def test_without_a_foil_the_interval_is_wider_and_it_is_said(pipeline, documents, hematite):
    play(pipeline, documents(*hematite, uid="foil"))
    play(pipeline, documents(*hematite[:3], uid="none"))
    foil, none = (r.report for r in pipeline.results if r.report.complete)
    assert [flag.name for flag in none.flags] == ["no_foil"]
    assert none.shifts.calibration == 0.0
    widths = [e.high - e.low for e in (r.estimate("oxidation_state") for r in (foil, none))]
    assert widths[1] > widths[0]


def test_a_reference_that_is_not_the_metal_is_no_foil(pipeline, documents, hematite):
    energy, i0, it, _ = hematite
    play(pipeline, documents(energy, i0, it, it * np.exp(-np.log(i0 / it))))
    assert [flag.name for flag in only(pipeline).flags] == ["no_foil"]
    assert "not Fe metal" in only(pipeline).flags[0].message


def with_(columns, which, value, where):
    """A copy of the columns with one of them changed at some points."""
    changed = [column.copy() for column in columns]
    changed[which][where] = value
    return changed


@pytest.mark.parametrize(
    ("make", "rule"),
    [
        (lambda c: with_(c, 1, 0.0, slice(None)), "bad_signal"),
        (lambda c: with_(c, 1, np.nan, slice(0, 60)), "bad_signal"),
        (lambda c: with_(c, 2, -1.0, slice(30, 90)), "bad_signal"),
        (lambda c: [c[0], c[1], c[1] * 0.5, c[1] * 0.2], "no_edge"),
        (lambda c: [np.full_like(c[0], 7112.0), *c[1:]], "bad_signal"),
        (
            lambda c: [col[np.random.default_rng(1).permutation(col.size)] for col in c],
            "energy_order",
        ),
    ],
    ids=["zero i0", "NaN i0", "negative it", "constant mu", "one energy", "to and fro"],
)
def test_bad_data_become_a_refusal_and_the_next_scan_works(
    pipeline, documents, hematite, make, rule
):
    play(pipeline, documents(*make(hematite), uid="bad"))
    bad = only(pipeline)
    assert bad.refusal.name == rule
    assert any(character.isdigit() for character in bad.refusal.message)
    assert bad.estimates == ()
    pipeline.results.clear()
    play(pipeline, documents(*hematite, uid="good"))
    assert only(pipeline).refusal is None


def test_a_few_bad_points_are_left_out_and_said(pipeline, documents, hematite):
    play(pipeline, documents(*with_(hematite, 1, 0.0, [3, 50])))
    report = only(pipeline)
    assert report.refusal is None
    assert [(f.name, f.value) for f in report.flags][:1] == [("bad_signal", 2.0)]
    assert report.points == hematite[0].size - 2


@pytest.mark.parametrize(
    ("start", "rule"),
    [({"element": "Zn"}, "unknown_element"), ({"element": "Cu"}, "no_model")],
)
def test_an_element_without_a_model_is_refused_by_name(
    pipeline, documents, hematite, start, rule, analysis, monkeypatch
):
    monkeypatch.delitem(analysis.models, "Cu K")
    play(pipeline, documents(*hematite, **start))
    assert only(pipeline).refusal.name == rule
    assert only(pipeline).element == start["element"]


def test_the_wrong_element_in_the_start_document_is_refused(pipeline, documents, hematite):
    play(pipeline, documents(*hematite, element="Mn"))
    assert only(pipeline).refusal.name == "coverage"
    assert "an answer needs -2 to +8 eV at least" in only(pipeline).refusal.message


def test_without_a_stated_element_the_rise_of_the_finished_scan_tells(
    pipeline, documents, hematite
):
    play(pipeline, documents(*hematite, element=""))
    (result,) = pipeline.results
    assert (result.report.element, result.report.refusal) == ("Fe", None)
    assert [flag.name for flag in result.report.flags] == ["element_deduced", "energy_shift"]


@pytest.mark.parametrize(
    "start",
    [
        {"edge": "k"},
        {"edge": "K-edge"},
        {"edge": "Fe K edge", "element": ""},
        {"edge": "1s"},
        {"element": "fe "},
    ],
)
def test_a_stated_edge_is_read_in_any_usual_spelling(pipeline, documents, hematite, start):
    play(pipeline, documents(*hematite, **start))
    assert only(pipeline).refusal is None
    assert [flag.name for flag in only(pipeline).flags] == ["energy_shift"]


def test_the_name_of_an_element_is_refused_with_its_symbol(pipeline, documents, hematite):
    play(pipeline, documents(*hematite, element="iron"))
    assert only(pipeline).refusal.name == "unknown_element"
    assert "its symbol, Fe" in only(pipeline).refusal.message


def test_a_rise_at_an_l_edge_is_refused_in_every_channel_of_an_unstated_run(
    pipeline, documents, hematite
):
    energy, *signals = hematite
    play(pipeline, documents(energy + 5483.0 - 7112.0, *signals, element=""))
    refusal = only(pipeline).refusal
    assert refusal.name == "unknown_element"
    assert "La L3 (5483 eV)" in refusal.message


def test_an_error_in_finding_the_edge_is_a_refusal_too(pipeline, documents, hematite, monkeypatch):
    def broken(*_):
        raise ZeroDivisionError("ours")

    monkeypatch.setattr("rankaae_stream.pipeline.find_edge", broken)
    play(pipeline, documents(*hematite))
    assert only(pipeline).refusal.name == "internal_error"


def test_a_run_without_the_fields_is_refused_with_what_it_has(pipeline):
    key = {"source": "x", "dtype": "number", "shape": []}
    pipeline.feed("start", {"uid": "r", "time": 1.0}, 0.0)
    descriptor = {"uid": "d", "run_start": "r", "name": "primary", "data_keys": {"motor": key}}
    pipeline.feed("descriptor", descriptor, 0.0)
    pipeline.feed("event", {"descriptor": "d", "time": 2.0, "data": {"motor": 1.0}}, 0.0)
    pipeline.feed("stop", {"uid": "s", "run_start": "r", "time": 3.0}, 0.0)
    refusal = only(pipeline).refusal
    assert refusal.name == "missing_fields"
    assert "motor" in refusal.message
    assert "mono-energy" in refusal.message


def test_a_run_without_the_stream_is_refused_too(pipeline):
    pipeline.feed("start", {"uid": "r", "time": 1.0}, 0.0)
    pipeline.feed("stop", {"uid": "s", "run_start": "r", "time": 3.0}, 0.0)
    assert only(pipeline).refusal.name == "missing_fields"
    assert "primary" in only(pipeline).refusal.message


def test_an_aborted_run_is_judged_by_what_it_covers(pipeline, documents, hematite):
    play(pipeline, documents(*hematite, uid="late", exit_status="abort"))
    play(pipeline, documents(*cut(hematite, -150, 40), uid="early", exit_status="abort"))
    late, early = (r.report for r in pipeline.results if r.report.complete)
    assert late.refusal is None
    assert [flag.name for flag in late.flags] == ["scan_aborted", "energy_shift"]
    assert early.extent[1] == pytest.approx(40.0, abs=2.0)
    assert [flag.name for flag in early.flags] == ["scan_aborted", "energy_shift", "partial"]


def test_a_run_without_a_stop_is_answered_after_its_deadline(pipeline, documents, hematite):
    now = play(pipeline, documents(*hematite, stop=False))
    pipeline.tick(now + 100.0)
    assert pipeline.open_runs == 1
    pipeline.tick(now + 901.0)
    assert [flag.name for flag in only(pipeline).flags] == ["no_stop", "energy_shift"]
    assert only(pipeline).refusal is None
    assert pipeline.open_runs == 0


def test_a_run_whose_start_is_told_again_goes_on(pipeline, documents, hematite):
    scan = list(documents(*hematite, stop=False))
    now = play(pipeline, scan)
    pipeline.feed(*scan[0], now + 800.0)
    pipeline.tick(now + 1600.0)
    assert pipeline.open_runs == 1
    pipeline.tick(now + 1701.0)
    assert [flag.name for flag in only(pipeline).flags] == ["no_stop", "energy_shift"]


def test_the_end_of_a_run_that_is_left_alone_is_told_too(
    pipeline, documents, hematite, monkeypatch
):
    """A service keeps its documents until then."""
    ended = []
    monkeypatch.setattr(pipeline, "_ended", ended.append)
    play(pipeline, documents(*hematite, uid="another", original_run_uid="raw"))
    assert ended == ["another"]
    assert pipeline.results == []


def test_a_log_can_say_which_run_the_work_is_about(pipeline, documents, hematite, monkeypatch):
    noted = []
    monkeypatch.setattr(pipeline, "_ended", lambda run: noted.append((run, run_at_hand())))
    play(pipeline, documents(*hematite, uid="one", scan_id=12))
    play(pipeline, documents(*hematite, uid="two", stop=False))
    pipeline.tick(1e9)
    assert noted == [("one", ("one", 12)), ("two", ("two", None))]
    assert run_at_hand() is None


def test_the_end_of_the_session_answers_what_is_open(pipeline, documents, hematite):
    play(pipeline, documents(*hematite, stop=False))
    pipeline.finish()
    assert [flag.name for flag in only(pipeline).flags] == ["no_stop", "energy_shift"]


def test_each_sweep_of_a_run_gets_its_own_report(pipeline, documents, hematite):
    up = [np.asarray(column) for column in hematite]
    there_and_back = [np.concatenate([c, c[::-1][1:], c[1:]]) for c in up]
    play(pipeline, documents(*there_and_back))
    finals = [r for r in pipeline.results if r.report.complete]
    assert [r.report.sweep for r in finals] == [0, 1, 2]
    assert len({r.uid for r in finals}) == 3
    assert all(r.report.refusal is None for r in finals)
    values = [r.report.estimate("oxidation_state").value for r in finals]
    assert max(values) - min(values) < 0.02


def test_repeated_energies_are_averaged(pipeline, documents, hematite):
    play(pipeline, documents(*(np.repeat(column, 2) for column in hematite)))
    assert only(pipeline).points == hematite[0].size
    assert only(pipeline).refusal is None


def test_interleaved_runs_do_not_mix(pipeline, documents, hematite):
    one = documents(*hematite, uid="one")
    two = documents(*(column[::-1] for column in hematite), uid="two")
    for pair in zip(one, two, strict=True):
        for name, doc in pair:
            pipeline.feed(name, doc, 0.0)
    finals = {r.report.source: r.report for r in pipeline.results if r.report.complete}
    assert finals["one"].estimates == finals["two"].estimates


def test_an_overrun_run_is_refused_with_the_count(pipeline, documents, hematite):
    *docs, stop = documents(*hematite)
    play(pipeline, docs)
    pipeline.feed(*stop, 0.0, dropped=17)
    assert only(pipeline).refusal.name == "overrun"
    assert "17 documents" in only(pipeline).refusal.message


def test_every_answer_that_was_begun_is_ended_when_the_run_is_refused(
    pipeline, documents, hematite
):
    short = [column[:40] for column in hematite]
    twice = [np.concatenate([column, column[::-1][1:15]]) for column in short]
    *docs, stop = documents(*twice)
    play(pipeline, docs)
    begun = {r.uid for r in pipeline.results if not r.report.complete}
    pipeline.feed(*stop, 0.0, dropped=1)
    ended = {r.uid for r in pipeline.results if r.report.complete}
    assert begun <= ended
    assert {r.report.refusal.name for r in pipeline.results if r.report.complete} <= {
        "overrun",
        "coverage",
    }


def with_a_gap(docs, lost):
    """Documents without the events of these numbers, each with how many are lost before it."""
    dropped = 0
    for name, doc in docs:
        if name == "event" and doc.get("seq_num") in lost and len(doc["data"]) > 1:
            dropped += 1
            continue
        told = dropped if name in ("event", "stop") else 0
        dropped -= told
        yield name, doc, told


@pytest.mark.parametrize(("profile", "points"), [("tes", 900), ("sim", 0)])
def test_after_a_gap_whole_sweeps_are_answered_and_those_that_lost_points_are_refused(
    profile, points, analysis, documents, hematite, tmp_path
):
    results = []
    if points:
        docs, lost = fly(Beam(SERIES[0], noise=1e-3), scans=7), {4, 5}
        refused, answered = [], [0, 1, 2, 3, 4]
    else:
        # There and back six times, lost from within the second sweep to within the fourth.
        n, there_and_back = hematite[0].size, [[*c, *c[::-1][1:-1]] for c in hematite]
        docs, lost = documents(*([*c, *c, *c] for c in there_and_back)), range(2 * n - 60, 3 * n)
        refused, answered = [1, 2], [0, 3, 4]
    pipeline = build_pipeline(load_profile(profile), results.append, analysis, provisional=False)
    before_the_end = []
    for name, doc, dropped in with_a_gap(docs, lost):
        if name == "stop":
            before_the_end = [one.report.sweep for one in results]
        pipeline.feed(name, doc, 0.0, dropped)
    assert pipeline.open_runs == 0, "nothing that was dropped is waited for"
    reports = {one.report.sweep: one.report for one in results if one.primary}
    assert [n for n, one in reports.items() if one.refusal] == refused
    assert [n for n, one in reports.items() if not one.refusal] == answered
    assert {one.refusal.name for one in reports.values() if one.refusal} <= {"overrun"}
    assert max(before_the_end) == len(reports) - 2, "each once the next has come"
    missing = [
        next((flag.value for flag in one.flags if flag.name == "events_missing"), 0)
        for one in reports.values()
    ]
    assert missing[-2:] == [len(lost)] * 2


def test_a_run_of_which_the_start_document_is_shortened_is_refused(pipeline, documents, hematite):
    for name, doc in documents(*hematite):
        pipeline.feed(name, doc, 0.0, int(name == "start"))
    assert only(pipeline).refusal.name == "overrun"


def test_derived_runs_are_left_alone(pipeline, documents, hematite):
    play(pipeline, documents(*hematite, original_run_uid="raw"))
    assert pipeline.results == []


def test_an_error_of_ours_becomes_a_refusal_not_a_silence(
    pipeline, documents, hematite, monkeypatch, caplog
):
    def broken(*_):
        raise ZeroDivisionError("ours")

    monkeypatch.setattr("rankaae_stream.answers.flat.normalize_rows", broken)
    play(pipeline, documents(*hematite))
    assert only(pipeline).refusal.name == "internal_error"
    assert "ZeroDivisionError" in only(pipeline).refusal.message
    assert "could not be analysed" in caplog.text


@pytest.mark.parametrize(
    ("make", "start"),
    [
        (list, {}),
        (lambda c: c[:3], {}),
        (lambda c: [*c[:3], c[2] * np.exp(-np.log(c[1] / c[2]))], {}),
        (lambda c: with_(c, 3, 0.0, slice(None)), {}),
        (lambda c: [*c[:2], c[1] * c[3] / c[2], c[3]], {}),
        (lambda c: cut(c, -150, 60), {}),
        (lambda c: with_(c, 1, np.nan, slice(None)), {}),
        (lambda c: [col[::-7] for col in c], {}),
        (list, {"element": "Zn"}),
    ],
    ids=[
        "answered",
        "no foil",
        "another foil",
        "dead reference",
        "the metal",
        "short",
        "NaN i0",
        "few points",
        "no element",
    ],
)
def test_nothing_of_a_run_waits_for_the_garbage_collector(
    pipeline, documents, hematite, uncollected, make, start
):
    """A kept `Refused` holds its frames: with one of them keeping it, only the collector helps."""
    docs = list(documents(*make(hematite), **start))
    with uncollected() as left:
        play(pipeline, docs)
        assert only(pipeline)
        pipeline.results.clear()
    assert left == set()


def test_documents_are_left_as_they_came(pipeline, documents, hematite):
    import copy

    docs = list(documents(*hematite))
    before = copy.deepcopy(docs)
    play(pipeline, docs)
    assert docs == before


def test_the_result_of_a_run_has_the_uid_of_its_question():
    raw = Origin("raw", "transmission", 0)
    same = result_uid(raw, "model", "hash")
    assert same == result_uid(replace(raw, complete=False), "model", "hash")
    others = {
        result_uid(replace(raw, source="raw2"), "model", "hash"),
        result_uid(replace(raw, channel="fluorescence"), "model", "hash"),
        result_uid(replace(raw, sweep=1), "model", "hash"),
        result_uid(raw, "model2", "hash"),
        result_uid(raw, "model", "hash2"),
    }
    assert len(others | {same}) == 6


def test_a_metal_is_answered_with_a_warning(pipeline, documents, measured):
    energy, mu = measured("Fe/Fe_metal_rt_02.xdi")
    keep = (energy > 7112 - 160) & (energy < 7112 + 200)
    energy, mu = energy[keep], mu[keep]
    i0 = np.full(energy.size, 1e6)
    it = i0 * np.exp(-mu)
    play(pipeline, documents(energy, i0, it, it * np.exp(-mu)))
    report = only(pipeline)
    assert "out_of_domain" in [f.name for f in report.flags if f.severity == "warning"]
    assert report.domain.distance > report.domain.threshold


@pytest.mark.parametrize("element", ["Ti", "V", "Cr", "Mn", "Fe", "Co", "Ni", "Cu"])
def test_a_metal_is_recognised_though_the_decoder_could_draw_it(analysis, root, element):
    foil = read_spectrum(root / "profiles" / "spectra" / "foils" / f"{element}.xdi")
    rough = foil.energy + 1.5, foil.mu * 0.3 + 0.1
    (flag,) = (
        flag
        for flag in analysis.process_columns(
            *rough, Edge(element, "K", K_EDGES[element]), Origin()
        ).flags
        if flag.name == "out_of_domain"
    )
    assert flag.severity == "warning"
    assert f"this is {element} metal" in flag.message


def test_no_measured_compound_is_taken_for_the_metal(analysis, root):
    folder = root / "training" / "data" / "standards"
    with open(folder / "labels.csv", encoding="utf-8") as file:
        compounds = [row for row in csv.DictReader(file) if row["role"] != "foil"]
    seen = 0
    for row in compounds:
        if not (folder / row["file"]).is_file():
            continue
        found = read_spectrum(folder / row["file"])
        edge = Edge(row["element"], "K", K_EDGES[row["element"]])
        report = analysis.process_columns(found.energy, found.mu, edge, Origin())
        assert not any("metal: it differs" in flag.message for flag in report.flags), row["file"]
        seen += report.refusal is None
    assert seen > 60


def test_refused_is_an_exception_with_a_name():
    with pytest.raises(Refused, match="because") as caught:
        raise Refused("rule", "because")
    assert caught.value.name == "rule"


def swept(analysis, *, more):
    """Complete results of a run of quick sweeps whose documents wait, or come one by one."""
    sample = next(one for one in SERIES if one.name == "Fe2O3")
    results = []
    pipeline = build_pipeline(load_profile("tes"), results.append, analysis)
    for name, doc in fly(Beam(sample, noise=1e-3), scans=4):
        pipeline.feed(name, doc, 0.0, more=more)
        if more and name == "event":
            assert not any(one.report.complete for one in results), "they wait"
    return [one for one in results if one.report.complete]


def test_sweeps_that_wait_together_get_the_results_that_each_gets_alone(analysis):
    together, alone = (
        [(one.uid, one.time, one.primary, one.quick, to_dict(one.report)) for one in results]
        for results in (swept(analysis, more=True), swept(analysis, more=False))
    )
    assert len(together) >= 4
    assert together == alone


def test_a_spectrum_that_fails_costs_no_other_that_is_answered_with_it(analysis, monkeypatch):
    answer = analysis.answer

    def failing(asked):
        if any(one.origin.sweep == 1 for one in asked):
            raise ZeroDivisionError("ours")
        return answer(asked)

    monkeypatch.setattr(analysis, "answer", failing)
    refused = {one.report.sweep for one in swept(analysis, more=True) if one.report.refusal}
    assert refused == {1}
