"""Documents as beamlines emit them, through the pipeline with the shipped models."""

import re

import event_model
import numpy as np
import pytest

from rankaae_stream import resources
from rankaae_stream.analysis import Analysis
from rankaae_stream.layouts.plugged import GROUP
from rankaae_stream.loading import build_pipeline
from rankaae_stream.profile import load_profile
from rankaae_stream.simulate import bmm, panda, series, steps, tes
from rankaae_stream.simulate.documents import Beam
from rankaae_stream.simulate.samples import curves

HEMATITE = series("Fe")[2]
V2O3, VO2, V2O5 = series("V")

FLY = """
name = "fly"
[layout]
kind = "fly"
energy = ["energy"]
i0 = ["i0"]
it = ["it"]
ir = ["ir"]
fluorescence = ["iff"]
allowed_roots = ["{root}"]
"""


class Watched(Analysis):
    """An analysis that keeps the spectra it was given."""

    def process(self, spectrum, reference=None, flags=(), earlier=None):
        self.seen.append((spectrum, reference))
        return super().process(spectrum, reference, flags, earlier)


@pytest.fixture
def play(analysis, tmp_path):
    """Feed documents to a profile's pipeline; final results, and the spectra behind them."""

    def through(profile, *runs, seconds=0.0):
        if "\n" in profile:
            path = tmp_path / "profile.toml"
            path.write_text(profile)
            profile = path
        watched = Watched(analysis.models, analysis._foils, "test")
        watched.seen, results, now = [], [], 0.0
        pipeline = build_pipeline(load_profile(profile), results.append, watched)
        for documents in runs:
            for name, doc in documents:
                pipeline.feed(name, doc, now)
                now += seconds
        pipeline.finish()
        through.provisional = [r for r in results if not r.report.complete]
        final = [r for r in results if r.report.complete]
        spectra = {
            (s.source, s.channel, s.sweep): (s, foil) for s, foil in watched.seen if s.complete
        }
        return final, spectra

    return through


def played(spectrum, sample, dilution=1.0):
    """What the simulated beam really had at a spectrum's energies."""
    mu, foil = (np.array(x) for x in zip(*map(curves(sample).at, spectrum.energy), strict=True))
    return (0.4 + dilution * (mu - 0.4)) if spectrum.channel == "transmission" else mu, foil


def check_equal(spectra, sample, energy, dilution=1.0):
    """Every spectrum is the played one: energy to 0.02 eV, mu to 1e-3 of the step."""
    assert spectra
    for spectrum, foil in spectra.values():
        np.testing.assert_allclose(spectrum.energy, np.unique(energy), atol=0.02, rtol=0)
        mu, metal = played(spectrum, sample, dilution)
        if spectrum.channel == "transmission":
            np.testing.assert_allclose(spectrum.mu, mu, atol=1e-3 * dilution)
        else:
            scale = (spectrum.mu @ mu) / (mu @ mu)
            np.testing.assert_allclose(spectrum.mu / scale, mu, atol=1e-3)
        if foil is not None:
            np.testing.assert_allclose(foil.mu, metal, atol=1.5e-3)


def check_valid(documents):
    for name, doc in documents:
        event_model.schema_validators[event_model.DocumentNames[name]].validate(doc)


def refusals(results):
    return [r.report.refusal and r.report.refusal.name for r in results]


def flags(result):
    return [flag.name for flag in result.report.flags]


def channels(results):
    return [(r.report.channel, r.report.sweep) for r in results]


def state(result):
    return result.report.estimate("oxidation_state").value


# ---- BMM -----------------------------------------------------------------------------


@pytest.mark.parametrize("pages", [False, True], ids=["events", "page"])
@pytest.mark.parametrize("falling", [False, True], ids=["rising", "falling"])
def test_bmm_is_read_from_its_nested_metadata_beside_a_baseline(play, falling, pages):
    documents = bmm.xafs(Beam(HEMATITE), falling=falling, pages=pages)
    check_valid(documents)
    results, spectra = play("bmm", documents)
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
def test_bmms_mode_names_the_primary_result(play, mode, as_read_back):
    results, _ = play("bmm", bmm.xafs(Beam(HEMATITE), mode=mode, as_read_back=as_read_back))
    (primary,) = [r.report.channel for r in results if r.primary]
    assert primary == ("fluorescence" if mode == "fluorescence" else "transmission")


def test_bmms_other_runs_leave_no_result_and_repeats_agree(play):
    runs = list(bmm.runs((HEMATITE,)))
    for documents in runs:
        check_valid(documents)
    results, _ = play("bmm", *runs)
    assert len({r.start["uid"] for r in results}) == 2
    values = [state(r) for r in results if r.primary]
    assert len(values) == 2
    assert np.ptp(values) < 1e-6


def test_bmms_growing_scan_is_answered_on_its_way(play):
    play("bmm", bmm.xafs(Beam(HEMATITE)), seconds=2.0)
    answered = [r.report.refusal is None for r in play.provisional]
    assert True in answered
    assert answered[0] is False


def test_a_dilute_sample_is_answered_from_its_fluorescence(play):
    beam = Beam(HEMATITE, dilution=0.01, noise=1e-3)
    results, _ = play("bmm", bmm.xafs(beam, mode="fluorescence"))
    by_channel = {r.report.channel: r for r in results}
    assert by_channel["fluorescence"].primary
    assert state(by_channel["fluorescence"]) == pytest.approx(3.0, abs=0.3)
    transmission = by_channel["transmission"].report
    steps = {channel: s.report.edge_step for channel, s in by_channel.items()}
    assert transmission.refusal is not None or steps["transmission"] < 0.02


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


@pytest.mark.parametrize("kind", NOISY)
def test_noise_leaves_no_bias_at_any_beamline(play, tmp_path, kind):
    """Energies as without noise; mu scatters about the played spectrum, by no more than it must."""
    noise, scans, seeds = 2e-3, {}, range(100, 106)
    for number, seed in enumerate((None, *seeds)):
        beam = Beam(HEMATITE) if seed is None else Beam(HEMATITE, noise=noise, seed=seed)
        _, spectra = play(*NOISY[kind](beam, f"{kind} {number}".replace(" ", "-"), tmp_path))
        for (_, channel, _), (spectrum, _) in spectra.items():
            scans.setdefault(channel, []).append(spectrum)
    for clean, *noisy in scans.values():
        assert len(noisy) == len(seeds)
        for spectrum in noisy:
            np.testing.assert_array_equal(spectrum.energy, clean.energy)
        # Of an absorption or of a ratio: two signals' noise, in units that are the same for both.
        scale = 1.0 if clean.channel == "transmission" else clean.mu
        off = np.array([(spectrum.mu - clean.mu) / scale for spectrum in noisy])
        assert 0.5 * noise < np.std(off) < 2 * noise
        assert abs(off.mean()) < 4 * np.std(off) / np.sqrt(off.size)


def test_without_a_foil_in_the_beam_it_is_said(play):
    results, _ = play("bmm", bmm.xafs(Beam(HEMATITE, foil=False)))
    assert all("no_foil" in flags(r) for r in results)
    assert all(r.report.shifts.calibration == 0.0 for r in results)


def test_an_aborted_scan_is_judged_by_what_it_covers(play):
    energy, _ = bmm.bmm_energies(7112.0)
    points = int(np.searchsorted(energy, 7112 + 30))
    short, _ = play("bmm", bmm.xafs(Beam(HEMATITE), points=points, stop="abort"))
    assert set(refusals(short)) == {"coverage"}
    assert all("scan_aborted" in flags(r) for r in short)
    points = int(np.searchsorted(energy, 7112 + 160))
    long, _ = play("bmm", bmm.xafs(Beam(HEMATITE), points=points, stop="abort"))
    assert refusals(long) == [None, None]


def test_a_run_without_a_stop_document_is_answered_and_said(play):
    results, _ = play("bmm", bmm.xafs(Beam(HEMATITE), stop=None))
    assert refusals(results) == [None, None]
    assert all("no_stop" in flags(r) for r in results)


def test_a_signal_that_is_not_a_number_is_refused_in_its_channel_only(play):
    beam = Beam(HEMATITE, nan=(7100.0, 7130.0))
    results, _ = play("bmm", bmm.xafs(beam), bmm.xafs(Beam(HEMATITE), name="next"))
    assert refusals(results) == ["bad_signal", None, None, None]


# ---- ISS -----------------------------------------------------------------------------


@pytest.mark.parametrize("falling", [False, True], ids=["rising", "falling"])
def test_iss_step_scans_lose_their_offsets(play, falling):
    documents = steps.iss_step(Beam(HEMATITE), falling=falling)
    check_valid(documents)
    assert isinstance(documents[0][1]["detectors"], dict)
    results, spectra = play("iss", documents)
    check_equal(spectra, HEMATITE, steps.over_the_edge(HEMATITE))
    assert [channel for channel, _ in channels(results)] == ["transmission", "fluorescence", "pips"]
    assert [r.primary for r in results] == [True, False, False]
    assert refusals(results) == [None] * 3


def test_an_emission_spectrum_is_refused_with_its_reason(play):
    scan, emission = steps.iss_runs((HEMATITE,))
    results, _ = play("iss", scan, emission)
    assert refusals(results) == [None, None, None, "not_xas"]
    assert "an emission spectrum" in results[-1].report.refusal.message
    assert "von_hamos" in results[-1].report.refusal.message
    exposures = steps.iss_step(Beam(HEMATITE), experiment="collect_n_exposures")
    results, _ = play("iss", exposures)
    assert "collect_n_exposures" in results[0].report.refusal.message
    assert results[0].report.points == 0


def test_the_same_run_leaves_no_trace_where_the_profile_skips_it(play):
    iss = (resources.folder("profiles") / "iss.toml").read_text()
    skipping = iss.replace('others = "refuse"', 'others = "skip"')
    results, _ = play(skipping, steps.iss_step(Beam(HEMATITE), spectrometer="johann"))
    assert results == []


def test_a_step_scan_without_points_is_not_taken_for_a_fly_scan_without_files(play):
    documents = [item for item in steps.iss_step(Beam(HEMATITE)) if item[0] != "event"]
    results, _ = play("iss", documents)
    assert refusals(results) == ["missing_fields"]
    assert "before its first point" in results[0].report.refusal.message


def test_a_missing_offset_is_named(play):
    results, _ = play("iss", steps.iss_step(Beam(HEMATITE), offsets=False))
    assert refusals(results) == ["missing_fields"]
    assert "apb_ave_ch1_offset" in results[0].report.refusal.message


# ---- any ophyd or ophyd-async scan ---------------------------------------------------


@pytest.mark.parametrize("kev", [False, True], ids=["eV", "keV"])
def test_a_plain_list_scan_is_understood_without_any_metadata(play, kev):
    documents = steps.ophyd_step(Beam(HEMATITE), kev=kev)
    check_valid(documents)
    results, spectra = play("generic", documents, seconds=1.0)
    check_equal(spectra, HEMATITE, steps.over_the_edge(HEMATITE))
    assert [channel for channel, _ in channels(results)] == ["transmission", "fluorescence", "pips"]
    assert refusals(results) == [None] * 3
    assert results[0].report.element == "Fe"
    assert play.provisional == [], "only the finished scan tells its element"


@pytest.mark.parametrize("pages", [False, True], ids=["events", "page"])
@pytest.mark.parametrize("falling", [False, True], ids=["rising", "falling"])
def test_hyphenated_keys_of_ophyd_async_are_understood(play, falling, pages):
    documents = steps.ophyd_async_step(Beam(VO2), falling=falling, pages=pages, element="V")
    check_valid(documents)
    results, spectra = play("generic", documents, seconds=1.0)
    check_equal(spectra, VO2, steps.over_the_edge(VO2))
    assert refusals(results) == [None]
    assert state(results[0]) == pytest.approx(4.0, abs=0.4)
    assert pages or play.provisional


def test_the_scans_own_motor_is_the_energy_only_in_its_units(play):
    documents = steps.ophyd_step(Beam(HEMATITE))
    renamed = [(name, _renamed(doc, "energy", "bragg_axis", "eV")) for name, doc in documents]
    results, spectra = play("generic", renamed)
    check_equal(spectra, HEMATITE, steps.over_the_edge(HEMATITE))
    assert refusals(results) == [None] * 3
    millimetres = [(name, _renamed(doc, "energy", "stage", "mm")) for name, doc in documents]
    assert play("generic", millimetres)[0] == []


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
def test_every_sweep_of_a_run_has_its_own_report(play, back_and_forth):
    documents = steps.ophyd_step(
        Beam(HEMATITE), repeats=4, back_and_forth=back_and_forth, element="Fe"
    )
    results, spectra = play("generic", documents)
    # Two sweeps that meet share the point where they do.
    energy = steps.over_the_edge(HEMATITE)
    meeting = {1: energy[:-1], 2: energy[1:], 3: energy[:-1]} if back_and_forth else {}
    for key, spectrum in spectra.items():
        check_equal({key: spectrum}, HEMATITE, meeting.get(key[2], energy))
    assert [r.report.sweep for r in results if r.primary] == [0, 1, 2, 3]
    assert refusals(results) == [None] * 12
    assert len({r.uid for r in results}) == 12


def test_what_is_no_energy_scan_leaves_no_result(play):
    assert play("generic", bmm.other())[0] == []
    assert play("generic", steps.ophyd_step(Beam(HEMATITE), points=60))[0] == []
    assert play("generic", steps.ophyd_step(Beam(HEMATITE), points=0))[0] == []


def test_an_edge_without_a_model_is_refused_by_its_name(play):
    documents = steps.ophyd_step(Beam(HEMATITE), element="Pt", edge="L3")
    results, _ = play("generic", documents)
    assert set(refusals(results)) == {"unknown_element"}
    assert "Pt L3" in results[0].report.refusal.message


# ---- TES -----------------------------------------------------------------------------


@pytest.mark.parametrize("falling", [False, True], ids=["rising", "falling"])
@pytest.mark.parametrize("pages", [False, True], ids=["events", "page"])
def test_each_complete_scan_of_tes_has_its_report(play, falling, pages):
    documents = tes.fly(Beam(V2O5), scans=3, falling=falling, pages=pages)
    check_valid(documents)
    results, spectra = play("tes", documents)
    check_equal(spectra, V2O5, tes.pixel_energies(5465.0))
    assert channels(results) == [
        (channel, i) for i in range(3) for channel in ("fluorescence", "pips")
    ]
    assert refusals(results) == [None] * 6
    assert [r.primary for r in results] == [True, False] * 3
    # Half a volt off its foil, V2O5 lies at the edge of the domain.
    assert all(flags(r)[0] == "no_foil" for r in results)


def test_a_tes_scan_is_answered_when_it_is_there_not_when_the_run_ends(play):
    documents = tes.fly(Beam(V2O5), scans=3, stop=None)
    play("tes", documents, seconds=30.0)
    assert {r.report.sweep for r in play.provisional} >= {0}
    assert all(r.report.refusal is None for r in play.provisional)


def test_a_tes_scan_that_was_ended_early_is_short_not_misplaced(play):
    results, spectra = play("tes", tes.fly(Beam(V2O5), scans=2, last=300))
    assert refusals(results) == [None, None, "coverage", "coverage"]
    (short, _) = spectra[results[2].start["uid"], "fluorescence", 1]
    np.testing.assert_allclose(short.energy, tes.pixel_energies(5465.0)[:300])


def test_tes_without_its_energies_is_refused_by_the_streams_name(play):
    documents = [
        (name, doc) for name, doc in tes.fly(Beam(V2O5)) if "E_centers" not in doc.get("data", ())
    ]
    results, _ = play("tes", documents)
    assert refusals(results) == ["missing_fields"]
    assert "energy_bins" in results[0].report.refusal.message


# ---- ophyd-async fly scans -----------------------------------------------------------


@pytest.mark.parametrize("late", [False, True], ids=["in time", "late"])
def test_a_fly_scan_is_read_from_its_growing_file(play, tmp_path, late):
    folder = tmp_path / "data"
    folder.mkdir()
    documents = panda.fly(Beam(HEMATITE), folder, sweeps=3, late=late)
    results, spectra = play(FLY.format(root=folder), documents, seconds=0.5)
    energy = np.linspace(7112 - 160, 7112 + 160, 400)
    meeting = {1: energy[:-1], 2: energy[1:]}
    for key, spectrum in spectra.items():
        check_equal({key: spectrum}, HEMATITE, meeting.get(key[2], energy))
    assert channels(results) == [
        (channel, i) for i in range(3) for channel in ("transmission", "fluorescence")
    ]
    assert refusals(results) == [None] * 6
    assert any(r.report.refusal is None for r in play.provisional), "answered while it grows"


def test_a_fly_scans_documents_are_valid(tmp_path):
    check_valid(panda.fly(Beam(HEMATITE), tmp_path))


def test_what_ophyd_async_really_emits_is_read(tmp_path):
    """Its simulated camera has a value a frame too; here that is energy and signal."""
    import bluesky.plans as bp
    from bluesky.run_engine import RunEngine
    from ophyd_async.core import StaticFilenameProvider, StaticPathProvider, init_devices
    from ophyd_async.sim import SimBlobDetector

    from rankaae_stream.layouts.fly import FlyLayout

    engine, documents = RunEngine(), []
    with init_devices():
        det = SimBlobDetector(StaticPathProvider(StaticFilenameProvider("real"), tmp_path))
    engine(bp.count([det], num=3), lambda *item: documents.append(item))
    field = ("det-sum",)
    layout = FlyLayout("primary", field, field, field, allowed_roots=(str(tmp_path),))
    reader = layout.open(documents[0][1])
    readings = [reader.feed(name, doc) for name, doc in documents[1:]]
    energies = [e for reading in readings if reading is not None for e in reading.energy]
    assert len(energies) == 3
    assert all(e > 0 for e in energies)


def test_a_file_outside_the_allowed_folders_is_not_opened(play, tmp_path):
    for name in ("data", "elsewhere"):
        (tmp_path / name).mkdir()
    profile = FLY.format(root=tmp_path / "data")
    results, _ = play(profile, panda.fly(Beam(HEMATITE), tmp_path / "elsewhere"))
    assert refusals(results) == ["outside_roots"]
    assert "allowed_roots" in results[0].report.refusal.message
    (tmp_path / "data" / "link").symlink_to(tmp_path / "elsewhere")
    results, _ = play(profile, panda.fly(Beam(HEMATITE), tmp_path / "data" / "link", name="two"))
    assert refusals(results) == ["outside_roots"]


def test_a_fly_scans_folder_of_another_machine_is_mapped(play, tmp_path):
    here = tmp_path / "here"
    here.mkdir()
    documents = list(panda.fly(Beam(HEMATITE), here))
    there = [(name, _elsewhere(doc, str(here), "/data/2025")) for name, doc in documents]
    mapped = FLY.format(root=here) + f'[layout.root_map]\n"/data/2025" = "{here}"\n'
    results, _ = play(mapped, there)
    assert set(refusals(results)) == {None}


def _elsewhere(doc, folder, other):
    return {**doc, "uri": doc["uri"].replace(folder, other)} if "uri" in doc else doc


def test_a_file_that_never_comes_is_named(play, tmp_path):
    documents = list(panda.fly(Beam(HEMATITE), tmp_path))
    (tmp_path / "fly.h5").unlink()
    results, _ = play(FLY.format(root=tmp_path), documents)
    assert refusals(results) == ["missing_file"]
    assert results[0].report.refusal.message.startswith("energy: ")
    assert "fly.h5" in results[0].report.refusal.message
    results, _ = play(FLY.format(root=tmp_path), panda.fly(Beam(HEMATITE), tmp_path, name="next"))
    assert set(refusals(results)) == {None}


@pytest.fixture
def opened(analysis, tmp_path):
    """A pipeline of fly scans in ``tmp_path``, and its final results."""
    path = tmp_path / "profile.toml"
    path.write_text(FLY.format(root=tmp_path))
    results = []

    def take(result):
        if result.report.complete:
            results.append(result)

    return build_pipeline(load_profile(path), take, analysis), results


def test_a_fly_scans_file_that_appears_after_the_stop_is_waited_for(opened, tmp_path):
    pipeline, results = opened
    documents = list(panda.fly(Beam(HEMATITE), tmp_path, sweeps=2))
    path = tmp_path / "fly.h5"
    content = path.read_bytes()
    path.unlink()
    for name, doc in documents:
        pipeline.feed(name, doc, 100.0)
    assert (pipeline.waiting_for_files, results) == (1, [])
    for share in (0.5, 0.9, 0.99):
        path.write_bytes(content[: int(share * len(content))])
        pipeline.tick(101.0 + share)
        assert results == [], "its copy has begun"
    path.write_bytes(content)
    pipeline.tick(103.0)
    assert channels(results) == [
        (channel, sweep) for sweep in range(2) for channel in ("transmission", "fluorescence")
    ]
    assert refusals(results) == [None] * 4
    assert {name for r in results for name in flags(r)} == {"energy_shift"}
    assert (pipeline.waiting_for_files, pipeline.open_runs) == (0, 0)


def test_a_fly_scans_file_that_lacks_its_end_is_named_with_the_field(opened, tmp_path):
    import h5py

    pipeline, results = opened
    documents = list(panda.fly(Beam(HEMATITE), tmp_path, sweeps=2))
    with h5py.File(tmp_path / "fly.h5", "a") as file:
        file["it"].resize((790,))
    for name, doc in documents:
        pipeline.feed(name, doc, 100.0)
    assert {sweep for _, sweep in channels(results)} == {0}, "more rows may still come"
    pipeline.tick(120.1)
    assert [flags(r) for r in results[:2]] == [["energy_shift"]] * 2
    for result in results[2:]:
        (said,) = [f.message for f in result.report.flags if f.name == "truncated_file"]
        assert said == f"it: {tmp_path / 'fly.h5'}: 790 rows, 800 were announced"
        assert result.report.refusal is None


def test_a_fly_scan_whose_rows_were_never_announced_names_the_fields(opened, tmp_path):
    pipeline, results = opened
    documents = list(panda.fly(Beam(HEMATITE), tmp_path))
    (resource,) = [d["uid"] for n, d in documents if d.get("data_key") == "it" and "uri" in d]
    for name, doc in documents:
        if doc.get("stream_resource") != resource:
            pipeline.feed(name, doc, 0.0)
    assert refusals(results) == ["missing_fields"]
    assert results[0].report.refusal.message.endswith("rows of it")


@pytest.mark.parametrize("kind", ["external", "virtual"])
def test_a_fly_scans_file_cannot_lead_to_another(opened, tmp_path, kind):
    import h5py

    pipeline, results = opened
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    documents = list(panda.fly(Beam(HEMATITE), elsewhere))
    with h5py.File(tmp_path / "fly.h5", "w") as file:
        for key in ("energy", "i0", "it", "ir", "iff"):
            if kind == "external":
                file[key] = h5py.ExternalLink(str(elsewhere / "fly.h5"), key)
            else:
                layout = h5py.VirtualLayout((800,), float)
                layout[:] = h5py.VirtualSource(str(elsewhere / "fly.h5"), key, (800,))
                file.create_virtual_dataset(key, layout)
    for name, doc in documents:
        uri = {"uri": f"file://localhost{tmp_path}/fly.h5"} if "uri" in doc else {}
        pipeline.feed(name, {**doc, **uri}, 0.0)
    assert refusals(results) == ["outside_roots"]
    assert "another file" in results[0].report.refusal.message


# ---- what the results say ------------------------------------------------------------


def test_a_dashboard_finds_the_primary_result_in_the_start_document(play):
    from rankaae_stream.results.compose import compose

    results, _ = play("bmm", bmm.xafs(Beam(HEMATITE), mode="fluorescence"))
    profile = load_profile("bmm")
    runs = [compose(r, profile.published(), profile.copied_keys()) for r in results]
    assert {run.start["channel"]: run.start["primary"] for run in runs} == {
        "transmission": False,
        "fluorescence": True,
    }
    for run in runs:
        check_valid(run.documents())


@pytest.mark.parametrize("name", ["sim", "iss", "qas", "bmm", "tes", "generic"])
def test_each_profile_says_what_to_change_and_publishes_valid_documents(name):
    text = (resources.folder("profiles") / f"{name}.toml").read_text()
    assert re.search("change", text, re.IGNORECASE)
    assert load_profile(name).name == name


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


# ---- what is copied into a beamline's startup ------------------------------------------


@pytest.mark.parametrize(
    "snippet", sorted(resources.folder("profiles").glob("startup/*.py")), ids=lambda path: path.stem
)
def test_a_startup_snippet_subscribes_once(snippet, monkeypatch, tmp_path):
    class Engine:
        subscribed = 0

        def subscribe(self, callback):
            self.subscribed += 1

    monkeypatch.setenv("RANKAAE_STREAM_TILED_API_KEY", "secret")
    monkeypatch.setenv("RANKAAE_STREAM_SPOOL", str(tmp_path))
    monkeypatch.setenv("RANKAAE_STREAM_TILED__URI", "http://127.0.0.1:9")
    session = {"RE": Engine()}
    times = 2 if snippet.stem == "queueserver" else 1
    for _ in range(times):
        exec(snippet.read_text(), session)
    try:
        assert session["RE"].subscribed == 1
        assert session["rankaae"].status().enabled
    finally:
        session["rankaae"].close(1.0)


def test_the_tiled_client_profile_opens_the_results(server, tmp_path, monkeypatch):
    import tiled.profiles
    from tiled.client import from_profile

    text = (resources.folder("profiles") / "tiled" / "rankaae-stream.yml").read_text()
    server.client("processed")
    (tmp_path / "one.yml").write_text(text.replace("http://127.0.0.1:8000", server.uri))
    monkeypatch.setattr(tiled.profiles, "paths", [tmp_path])
    tiled.profiles.load_profiles.cache_clear()
    try:
        results = from_profile("rankaae-stream", api_key=server.api_key)
        assert results.path_parts == ["processed"]
        results.context.http_client.close()
    finally:
        tiled.profiles.load_profiles.cache_clear()


def test_the_guides_profiles_load_as_they_stand(tmp_path):
    text = (resources.folder("profiles") / "README.md").read_text()
    layout, fly, run, energy, plugged = re.findall(r"```toml\n(.*?)```", text, flags=re.DOTALL)
    assert f'[project.entry-points."{GROUP}"]' in plugged
    path = tmp_path / "mine.toml"
    path.write_text(layout + run + energy)
    profile = load_profile(path)
    assert profile.run.build().unwanted({"plan_name": "list_scan"}) == ""
    assert profile.run.build().unwanted({"plan_name": "list_scan", "spectrometer": "johann"})
    path.write_text('name = "fly"\n' + fly + run)
    assert load_profile(path).build_layout().allowed_roots == ("/data/2025",)
