"""Step scans and TES scans as beamlines emit them, through the pipeline with the shipped models."""

import numpy as np
import pytest
from played import FLY, channels, check_equal, check_valid, flags, refusals

from rankaae_stream import resources
from rankaae_stream.profile import load_profile
from rankaae_stream.simulate import bmm, panda, series, steps, tes
from rankaae_stream.simulate.documents import Beam

HEMATITE = series("Fe")[2]
V2O3, VO2, V2O5 = series("V")
NOISY = {
    "bmm": lambda beam, name, _: ("bmm", bmm.xafs(beam, name=name)),
    "iss step": lambda beam, name, _: ("iss", steps.iss_step(beam, name=name)),
    "ophyd step": lambda beam, name, _: ("generic", steps.ophyd_step(beam, name=name)),
    "ophyd-async step": lambda beam, name, _: (
        "generic",
        steps.ophyd_async_step(beam, name=name, element="Fe"),
    ),
    "ophyd-async fly": lambda beam, name, folder: (
        FLY.format(root=folder),
        panda.fly(beam, folder, name=name, sweeps=1),
    ),
    "tes": lambda beam, name, _: ("tes", tes.fly(beam, name=name)),
}


def state(result):
    return result.report.estimate("oxidation_state").value


@pytest.mark.parametrize("pages", [False, True], ids=["events", "page"])
@pytest.mark.parametrize("falling", [False, True], ids=["rising", "falling"])
def test_bmm_is_read_from_its_nested_metadata_beside_a_baseline(answer, falling, pages):
    documents = bmm.xafs(Beam(HEMATITE), falling=falling, pages=pages)
    check_valid(documents)
    results, spectra = answer("bmm", documents)
    energy, _ = bmm.bmm_energies(7112.0)
    assert energy.size == 347
    check_equal(spectra, HEMATITE, energy)
    assert channels(results) == [("transmission", 0), ("fluorescence", 0)]
    assert refusals(results) == [None, None]
    assert state(results[0]) == pytest.approx(3.0, abs=0.3)
    assert results[0].report.element == "Fe"
    assert flags(results[0]) == ["energy_shift"]


@pytest.mark.parametrize("mode", ["transmission", "fluorescence", "both"])
@pytest.mark.parametrize("as_read_back", [False, True], ids=["tuple", "list"])
def test_bmms_mode_names_the_primary_result(answer, mode, as_read_back):
    results, _ = answer("bmm", bmm.xafs(Beam(HEMATITE), mode=mode, as_read_back=as_read_back))
    (primary,) = [r.report.channel for r in results if r.primary]
    assert primary == ("fluorescence" if mode == "fluorescence" else "transmission")


def test_bmms_other_runs_leave_no_result_and_repeats_agree(answer):
    runs = [
        bmm.xafs(Beam(HEMATITE), name="up"),
        bmm.other(),
        bmm.xafs(Beam(HEMATITE), name="down", falling=True),
    ]
    for documents in runs:
        check_valid(documents)
    results, _ = answer("bmm", *runs)
    assert len({r.start["uid"] for r in results}) == 2
    values = [state(r) for r in results if r.primary]
    assert len(values) == 2
    assert np.ptp(values) < 1e-6


@pytest.mark.slow
def test_bmms_growing_scan_is_answered_on_its_way(answer):
    answer("bmm", bmm.xafs(Beam(HEMATITE)), seconds=2.0)
    answered = [r.report.refusal is None for r in answer.provisional]
    assert True in answered
    assert answered[0] is False


def test_a_dilute_sample_is_answered_from_its_fluorescence(answer):
    beam = Beam(HEMATITE, dilution=0.01, noise=1e-3)
    results, _ = answer("bmm", bmm.xafs(beam, mode="fluorescence"))
    by_channel = {r.report.channel: r for r in results}
    assert by_channel["fluorescence"].primary
    assert state(by_channel["fluorescence"]) == pytest.approx(3.0, abs=0.3)
    transmission = by_channel["transmission"].report
    steps = {channel: s.report.edge_step for channel, s in by_channel.items()}
    assert transmission.refusal is not None or steps["transmission"] < 0.02


@pytest.mark.parametrize("kind", NOISY)
def test_noise_leaves_no_bias_at_any_beamline(answer, tmp_path, kind):
    """Energies as without noise; mu scatters about the played spectrum, by no more than it must."""
    noise, scans, seeds = 2e-3, {}, range(100, 106)
    for number, seed in enumerate((None, *seeds)):
        beam = Beam(HEMATITE) if seed is None else Beam(HEMATITE, noise=noise, seed=seed)
        _, spectra = answer(*NOISY[kind](beam, f"{kind} {number}".replace(" ", "-"), tmp_path))
        for (_, channel, _), (spectrum, _) in spectra.items():
            scans.setdefault(channel, []).append(spectrum)
    for clean, *noisy in scans.values():
        assert len(noisy) == len(seeds)
        for spectrum in noisy:
            np.testing.assert_array_equal(spectrum.energy, clean.energy)
        # Of an absorption or of a ratio: two signals' noise, in units that are the same for both.
        scale = 1.0 if clean.origin.channel == "transmission" else clean.mu
        off = np.array([(spectrum.mu - clean.mu) / scale for spectrum in noisy])
        assert 0.5 * noise < np.std(off) < 2 * noise
        assert abs(off.mean()) < 4 * np.std(off) / np.sqrt(off.size)


def test_without_a_foil_in_the_beam_it_is_said(answer):
    results, _ = answer("bmm", bmm.xafs(Beam(HEMATITE, foil=False)))
    assert all("no_foil" in flags(r) for r in results)
    assert all(r.report.shifts.calibration == 0.0 for r in results)


def test_an_aborted_scan_is_judged_by_what_it_covers(answer):
    energy, _ = bmm.bmm_energies(7112.0)
    points = int(np.searchsorted(energy, 7112 + 30))
    short, _ = answer("bmm", bmm.xafs(Beam(HEMATITE), points=points, stop="abort"))
    assert set(refusals(short)) == {None}
    assert all({"scan_aborted", "partial"} <= set(flags(r)) for r in short)
    points = int(np.searchsorted(energy, 7112 + 160))
    long, _ = answer("bmm", bmm.xafs(Beam(HEMATITE), points=points, stop="abort"))
    assert refusals(long) == [None, None]


def test_a_run_without_a_stop_document_is_answered_and_said(answer):
    results, _ = answer("bmm", bmm.xafs(Beam(HEMATITE), stop=None))
    assert refusals(results) == [None, None]
    assert all("no_stop" in flags(r) for r in results)


def test_a_signal_that_is_not_a_number_is_refused_in_its_channel_only(answer):
    beam = Beam(HEMATITE, nan=(7100.0, 7130.0))
    results, _ = answer("bmm", bmm.xafs(beam), bmm.xafs(Beam(HEMATITE), name="next"))
    assert refusals(results) == ["bad_signal", None, None, None]


@pytest.mark.parametrize("falling", [False, True], ids=["rising", "falling"])
def test_iss_step_scans_lose_their_offsets(answer, falling):
    documents = steps.iss_step(Beam(HEMATITE), falling=falling)
    check_valid(documents)
    assert isinstance(documents[0][1]["detectors"], dict)
    results, spectra = answer("iss", documents)
    check_equal(spectra, HEMATITE, steps.over_the_edge(HEMATITE))
    assert [channel for channel, _ in channels(results)] == ["transmission", "fluorescence", "pips"]
    assert [r.primary for r in results] == [True, False, False]
    assert refusals(results) == [None] * 3


def test_an_emission_spectrum_is_refused_with_its_reason(answer):
    scan = steps.iss_step(Beam(HEMATITE))
    emission = steps.iss_step(Beam(HEMATITE), name="xes", spectrometer="von_hamos")
    results, _ = answer("iss", scan, emission)
    assert refusals(results) == [None, None, None, "not_xas"]
    assert "an emission spectrum" in results[-1].report.refusal.message
    assert "von_hamos" in results[-1].report.refusal.message
    exposures = steps.iss_step(Beam(HEMATITE), experiment="collect_n_exposures")
    results, _ = answer("iss", exposures)
    assert "collect_n_exposures" in results[0].report.refusal.message
    assert results[0].report.points == 0


def test_a_run_leaves_no_trace_where_it_names_no_element_or_its_rule_says_so(answer):
    iss = (resources.folder("profiles") / "iss.toml").read_text()
    skipping = iss.replace('others = "refuse"', 'others = "skip"')
    emission = steps.iss_step(Beam(HEMATITE), spectrometer="von_hamos")
    results, _ = answer(skipping, emission)
    assert refusals(results) == ["not_xas"], "it names iron"
    unnamed = [(name, {**doc, "element": ""} if name == "start" else doc) for name, doc in emission]
    assert answer(skipping, unnamed)[0] == []
    for others in (iss, skipping):
        silent = others.replace('reason = "an emission', 'skip = true\nreason = "an emission')
        assert answer(silent, emission)[0] == []


def test_a_step_scan_without_points_is_not_taken_for_a_fly_scan_without_files(answer):
    documents = [item for item in steps.iss_step(Beam(HEMATITE)) if item[0] != "event"]
    results, _ = answer("iss", documents)
    assert refusals(results) == ["missing_fields"]
    assert "before its first point" in results[0].report.refusal.message


def test_a_missing_offset_is_named(answer):
    results, _ = answer("iss", steps.iss_step(Beam(HEMATITE), offsets=False))
    assert refusals(results) == ["missing_fields"]
    assert "apb_ave_ch1_offset" in results[0].report.refusal.message


@pytest.mark.parametrize("kev", [False, True], ids=["eV", "keV"])
def test_a_plain_list_scan_is_understood_without_any_metadata(answer, kev):
    documents = steps.ophyd_step(Beam(HEMATITE), kev=kev)
    check_valid(documents)
    results, spectra = answer("generic", documents, seconds=1.0)
    check_equal(spectra, HEMATITE, steps.over_the_edge(HEMATITE))
    assert [channel for channel, _ in channels(results)] == ["transmission", "fluorescence", "pips"]
    assert refusals(results) == [None] * 3
    assert results[0].report.element == "Fe"
    assert answer.provisional == [], "only the finished scan tells its element"


@pytest.mark.parametrize("pages", [False, True], ids=["events", "page"])
@pytest.mark.parametrize("falling", [False, True], ids=["rising", "falling"])
def test_hyphenated_keys_of_ophyd_async_are_understood(answer, falling, pages):
    documents = steps.ophyd_async_step(Beam(VO2), falling=falling, pages=pages, element="V")
    check_valid(documents)
    results, spectra = answer("generic", documents, seconds=1.0)
    check_equal(spectra, VO2, steps.over_the_edge(VO2))
    assert refusals(results) == [None]
    assert state(results[0]) == pytest.approx(4.0, abs=0.5)
    assert pages or answer.provisional


def test_the_scans_own_motor_is_the_energy_only_in_its_units(answer):
    documents = steps.ophyd_step(Beam(HEMATITE))
    renamed = [(name, _renamed(doc, "energy", "bragg_axis", "eV")) for name, doc in documents]
    results, spectra = answer("generic", renamed)
    check_equal(spectra, HEMATITE, steps.over_the_edge(HEMATITE))
    assert refusals(results) == [None] * 3
    millimetres = [(name, _renamed(doc, "energy", "stage", "mm")) for name, doc in documents]
    assert answer("generic", millimetres)[0] == []


def _renamed(doc, old, new, units):
    """A document with one field and motor under another name and in another unit."""
    doc = {**doc, "hints": {"dimensions": [[[new], "primary"]]}}
    if "data_keys" in doc:
        keys = {new if key == old else key: value for key, value in doc["data_keys"].items()}
        doc["data_keys"] = {**keys, new: {**keys[new], "units": units}}
    if "data" in doc:
        doc["data"] = {new if key == old else key: value for key, value in doc["data"].items()}
    return doc


@pytest.mark.parametrize("back_and_forth", [False, True], ids=["sawtooth", "there and back"])
def test_every_sweep_of_a_run_has_its_own_report(answer, back_and_forth):
    documents = steps.ophyd_step(
        Beam(HEMATITE), repeats=4, back_and_forth=back_and_forth, element="Fe"
    )
    results, spectra = answer("generic", documents)
    # Two sweeps that meet share the point where they do.
    energy = steps.over_the_edge(HEMATITE)
    meeting = {1: energy[:-1], 2: energy[1:], 3: energy[:-1]} if back_and_forth else {}
    for key, spectrum in spectra.items():
        check_equal({key: spectrum}, HEMATITE, meeting.get(key[2], energy))
    assert [r.report.sweep for r in results if r.primary] == [0, 1, 2, 3]
    assert refusals(results) == [None] * 12
    assert len({r.uid for r in results}) == 12


def test_what_is_no_energy_scan_leaves_no_result(answer):
    assert answer("generic", bmm.other())[0] == []
    assert answer("generic", steps.ophyd_step(Beam(HEMATITE), points=60))[0] == []
    assert answer("generic", steps.ophyd_step(Beam(HEMATITE), points=0))[0] == []


def test_an_edge_without_a_model_is_refused_by_its_name(answer):
    documents = steps.ophyd_step(Beam(HEMATITE), element="Pt", edge="L3")
    results, _ = answer("generic", documents)
    assert set(refusals(results)) == {"unknown_element"}
    assert "Pt L3" in results[0].report.refusal.message


@pytest.mark.parametrize("falling", [False, True], ids=["rising", "falling"])
@pytest.mark.parametrize("pages", [False, True], ids=["events", "page"])
def test_each_complete_scan_of_tes_has_its_report(answer, falling, pages):
    documents = tes.fly(Beam(V2O5), scans=3, falling=falling, pages=pages)
    check_valid(documents)
    results, spectra = answer("tes", documents)
    check_equal(spectra, V2O5, tes.pixel_energies(5465.0))
    assert channels(results) == [
        (channel, i) for i in range(3) for channel in ("fluorescence", "pips")
    ]
    assert refusals(results) == [None] * 6
    assert [r.primary for r in results] == [True, False] * 3
    # Half a volt off its foil, V2O5 lies at the edge of the domain.
    assert all(flags(r)[0] == "no_foil" for r in results)


def test_a_tes_scan_is_answered_when_it_is_there_not_when_the_run_ends(answer):
    documents = tes.fly(Beam(V2O5), scans=3, stop=None)
    answer("tes", documents, seconds=30.0)
    assert {r.report.sweep for r in answer.provisional} >= {0}
    assert all(r.report.refusal is None for r in answer.provisional)


def test_a_tes_scan_that_was_ended_early_is_short_not_misplaced(answer):
    results, spectra = answer("tes", tes.fly(Beam(V2O5), scans=2, last=300))
    assert refusals(results) == [None, None, "coverage", "coverage"]
    (short, _) = spectra[results[2].start["uid"], "fluorescence", 1]
    np.testing.assert_allclose(short.energy, tes.pixel_energies(5465.0)[:300])


def test_tes_without_its_energies_is_refused_by_the_streams_name(answer):
    documents = [
        (name, doc) for name, doc in tes.fly(Beam(V2O5)) if "E_centers" not in doc.get("data", ())
    ]
    results, _ = answer("tes", documents)
    assert refusals(results) == ["missing_fields"]
    assert "energy_bins" in results[0].report.refusal.message


def test_a_dashboard_finds_the_primary_result_in_the_start_document(answer):
    from rankaae_stream.results.compose import compose

    results, _ = answer("bmm", bmm.xafs(Beam(HEMATITE), mode="fluorescence"))
    profile = load_profile("bmm")
    runs = [compose(r, profile.published(), profile.copied_keys()) for r in results]
    assert {run.start["channel"]: run.start["primary"] for run in runs} == {
        "transmission": False,
        "fluorescence": True,
    }
    for run in runs:
        check_valid(run.documents())


def test_a_replay_says_which_runs_the_profile_leaves_out():
    from rankaae_stream.replay import replay

    done = replay([bmm.other(), bmm.xafs(Beam(HEMATITE))], "bmm", dry_run=True)
    line_scan, scan = done.outcomes
    assert "not XAS" in line_scan.skipped
    assert line_scan.reports == ()
    assert [report.refusal for report in scan.reports] == [None, None]
    assert not done.failed


def test_generated_runs_are_the_same_whenever_they_are_made():
    for make in (
        lambda: bmm.xafs(Beam(HEMATITE, noise=0.01)),
        lambda: tes.fly(Beam(V2O3)),
        lambda: steps.iss_step(Beam(HEMATITE)),
        lambda: steps.ophyd_step(Beam(HEMATITE)),
    ):
        assert make() == make()
