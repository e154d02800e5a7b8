"""ISS and QAS fly scans: what is recovered from their files and documents."""

import copy
import dataclasses
from functools import partial

import event_model
import numpy as np
import pytest
from played import feed, only, readings, reports

from rankaae_stream.simulate.pizzabox import ISS, QAS, Detector
from rankaae_stream.spectrum import K_EDGES

E0 = K_EDGES["Fe"]


def test_documents_are_those_of_the_event_model(play, iron):
    for scan in (
        play(iron, detector=Detector()),
        play(iron, detector=Detector("pil100k"), streaming=True),
    ):
        for name, doc in scan.documents:
            event_model.schema_validators[event_model.DocumentNames[name]].validate(doc)


@pytest.mark.parametrize("turns", [(600.0, -200.0), (-200.0, 600.0)], ids=["falling", "rising"])
@pytest.mark.parametrize("beamline", [ISS, QAS], ids=["iss", "qas"])
def test_mu_is_the_played_spectrum_averaged_over_the_bins(station, play, iron, beamline, turns):
    (reading,) = readings(station(beamline.name), play(iron, beamline=beamline, turns=turns))
    falling = turns[0] > turns[1]
    assert bool(reading.energy[0] > reading.energy[-1]) == falling, "in time order"
    for channel, energy, mu in (
        ("transmission", iron.energy, iron.mu),
        ("fluorescence", iron.energy, 0.5 * iron.mu),
        ("reference", iron.foil_energy, iron.foil_mu),
    ):
        # The gains of the ISS amplifiers add a constant to -ln(it/i0).
        shifted = dataclasses.replace(reading, mu={channel: align(reading, channel, energy, mu)})
        worst, shift = compare(shifted, channel, energy, mu)
        assert worst < 1e-3 * (0.5 if channel == "fluorescence" else 1.0)
        # QAS' encoder is coarser: half a count is 0.008 eV.
        assert abs(shift) < (0.02 if beamline is QAS else 0.005)


def averaged(channel, played_energy, played_mu, at, width):
    """The played curve, its currents averaged over a box of each point's own width."""
    offsets = np.linspace(-0.5, 0.5, 201)
    mu = np.interp(at[:, None] + offsets * width[:, None], played_energy, played_mu)
    return mu.mean(axis=1) if channel == "fluorescence" else -np.log(np.exp(-mu).mean(axis=1))


def compare(reading, channel, energy, mu):
    """Largest difference to the played curve, and the shift in eV that fits best."""
    order = np.argsort(reading.energy)
    at, found = reading.energy[order], reading.mu[channel][order]
    # Edges of bins lie halfway; the first and last bin hold the rows of rest.
    width = np.convolve(np.diff(at), [0.5, 0.5])[1:-1]
    # Where bins become wider, half the way to the neighbour is not half a bin.
    steady = np.abs(np.diff(np.diff(at))) < 0.2 * width
    inner = slice(1, -1)
    expected = averaged(channel, energy, mu, at[inner], width)
    difference = (found[inner] - expected)[steady]
    slope = np.gradient(np.interp(at, energy, mu), at)[inner][steady]
    return np.abs(difference).max(), float(difference @ slope / (slope @ slope))


def align(reading, channel, energy, mu):
    """Take out the factor of the gains: a constant of a logarithm, a factor of a ratio."""
    found, expected = reading.mu[channel], np.interp(reading.energy, energy, mu)
    if channel == "fluorescence":
        return found * np.median(expected / found)
    return found + np.median(expected - found)


def test_a_sharp_pre_edge_peak_is_recovered_too(station, play, chromate):
    (reading,) = readings(station(), play(chromate, element="Cr"))
    mu = {"transmission": align(reading, "transmission", chromate.energy, chromate.mu)}
    worst, shift = compare(
        dataclasses.replace(reading, mu=mu), "transmission", chromate.energy, chromate.mu
    )
    assert worst < 1e-3
    assert abs(shift) < 0.005


@pytest.mark.parametrize("beamline", [ISS, QAS], ids=["iss", "qas"])
def test_noise_leaves_no_bias(station, play, iron, beamline):
    scan = play(iron, beamline=beamline, noise=0.02, seed=3)
    (reading,) = readings(station(beamline.name), scan)
    (clean,) = readings(station(beamline.name), play(iron, beamline=beamline))
    difference = reading.mu["transmission"] - clean.mu["transmission"]
    assert np.std(difference) > 1e-3, "there is noise"
    assert abs(difference.mean()) < 3 * np.std(difference) / np.sqrt(difference.size)


def test_the_constants_are_the_beamlines_own(station, play, iron):
    (reading,) = readings(station(), play(iron))
    (other,) = readings(station(d_spacing=3.1354951), play(iron))
    at = np.argmin(np.abs(reading.energy - E0))
    row = np.interp(reading.energy[at], reading.energy[::-1], reading.mu["transmission"][::-1])
    near = np.abs(other.energy - E0) < 3
    moved = np.interp(row, other.mu["transmission"][near][::-1], other.energy[near][::-1])
    assert moved - reading.energy[at] == pytest.approx(0.24, abs=0.03)


@pytest.mark.parametrize("streaming", [False, True], ids=["resource", "stream_resource"])
def test_a_fly_scan_gets_the_answer_of_the_spectrum_it_plays(station, play, iron, streaming):
    pipeline = station()
    feed(pipeline, play(iron, streaming=streaming))
    for report in reports(pipeline):
        assert report.refusal is None
        assert [flag.name for flag in report.flags] == ["energy_shift"]
        assert report.estimate("oxidation_state").value == pytest.approx(3.0, abs=0.3)
        assert report.shifts.calibration == pytest.approx(0.38, abs=0.05)
    assert [report.channel for report in reports(pipeline)] == ["transmission", "fluorescence"]
    assert pipeline.open_runs == 0


def test_encoder_words_of_the_other_kind_change_nothing(station, play, iron):
    pipeline = station()
    feed(pipeline, play(iron, uid="negative"))
    feed(pipeline, play(iron, uid="positive", positive_words=True))
    negative, positive = reports(pipeline, "transmission")
    assert negative.latent == positive.latent


def test_amplifiers_wired_the_other_way_round_change_nothing(station, play, iron):
    pipeline = station()
    scan = play(iron, uid="negative", detector=Detector())
    path = scan.files["apb_stream"]
    table = np.frombuffer(path.read_bytes(), dtype="<i4").reshape(-1, 10).copy()
    offsets = [int(1e3 * scan.documents[0][1][f"ch{n}_offset"]) for n in range(1, 9)]
    table[:, :8] = 2 * np.array(offsets) - table[:, :8]
    path.write_bytes(table.tobytes())
    feed(pipeline, scan)
    feed(pipeline, play(iron, uid="positive", detector=Detector()))
    for channel in ("transmission", "fluorescence"):
        negative, positive = reports(pipeline, channel)
        # A value may differ in its last digit; the message has it as people read it.
        without_value = partial(dataclasses.replace, value=None)
        assert [*map(without_value, negative.flags)] == [*map(without_value, positive.flags)]
        values = [[flag.value for flag in each.flags] for each in (negative, positive)]
        assert values[0] == pytest.approx(values[1], abs=1e-9)
        assert negative.latent == pytest.approx(positive.latent, abs=1e-6)


@pytest.mark.parametrize("streaming", [False, True], ids=["resource", "stream_resource"])
def test_documents_stay_as_they_are(station, play, iron, streaming):
    scan = play(iron, detector=Detector(), streaming=streaming)
    before = copy.deepcopy(scan.documents)
    feed(station(), scan)
    assert scan.documents == before


def test_ten_sweeps_in_one_run_are_ten_reports(station, play, iron):
    pipeline = station()
    feed(pipeline, play(iron, turns=(200.0, -200.0) * 5 + (200.0,), seconds=3.0))
    found = reports(pipeline, "transmission")
    assert [report.sweep for report in found] == list(range(10))
    for report in found:
        assert report.refusal is None
        low, high = report.energy_range
        assert low == pytest.approx(E0 - 200, abs=6)
        assert high == pytest.approx(E0 + 200, abs=6)
    values = [report.estimate("oxidation_state").value for report in found]
    assert np.ptp(values) < 0.02
    assert len({result.uid for result in pipeline.results}) == 20


@pytest.mark.parametrize("kind", ["xs", "pil100k"])
@pytest.mark.parametrize("streaming", [False, True], ids=["resource", "stream_resource"])
def test_frames_are_paired_with_their_pulses(station, play, iron, kind, streaming):
    pipeline = station()
    scan = play(iron, detector=Detector(kind), streaming=streaming)
    feed(pipeline, scan)
    transmission, fluorescence = reports(pipeline)
    assert (transmission.channel, fluorescence.channel) == ("transmission", "fluorescence")
    assert fluorescence.points < transmission.points, "a frame is slower than a row"
    assert [flag.name for flag in fluorescence.flags] == ["energy_shift"]
    assert fluorescence.shifts.calibration == pytest.approx(0.38, abs=0.05)
    value = transmission.estimate("oxidation_state").value
    assert fluorescence.estimate("oxidation_state").value == pytest.approx(value, abs=0.05)


def test_a_frame_stands_at_the_energy_of_its_exposure(station, play, iron):
    *_, frames = readings(station(), play(iron, detector=Detector(rate=200.0)))
    near = np.abs(frames.energy - E0) < 25
    at, found = frames.energy[near], align(frames, "fluorescence", iron.energy, iron.mu)[near]
    expected = np.interp(at, iron.energy, iron.mu)
    slope = np.gradient(expected, at)
    assert abs((found - expected) @ slope / (slope @ slope)) < 0.02


def test_more_pulses_than_frames_are_cut_and_flagged(station, play, iron):
    pipeline = station()
    feed(pipeline, play(iron, detector=Detector(surplus=7)))
    flag, _ = only(pipeline, "fluorescence").flags
    assert (flag.name, flag.value) == ("frames_unpaired", 7.0)
    assert "apb_trigger_xs" in flag.message
    assert only(pipeline, "fluorescence").refusal is None


def test_an_input_with_a_pips_diode_is_a_channel_of_its_own(station, play, iron):
    pipeline = station(pips="iff", fluorescence="")
    feed(pipeline, play(iron))
    assert only(pipeline, "pips").refusal is None
    assert reports(pipeline, "fluorescence") == []
