"""Answers of growing and of short scans, by the shipped models on shipped spectra."""

from dataclasses import asdict, replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rankaae_stream.files.read import read_spectrum
from rankaae_stream.loading import default_analysis
from rankaae_stream.resources import folder
from rankaae_stream.simulate import SERIES
from rankaae_stream.spectrum import K_EDGES, Edge, Origin, Spectrum

SAMPLES = [one for one in SERIES if one.role == "standard"]


@pytest.fixture(scope="module")
def known():
    return default_analysis()


def measured(sample):
    read = read_spectrum(folder("profiles/spectra") / sample.spectrum)
    edge = Edge(sample.element, "K", K_EDGES[sample.element])
    return Spectrum(read.energy, read.mu, edge, Origin(sample.name))


def cut(scan, low=-np.inf, high=np.inf, *, complete=True):
    relative = scan.energy - scan.edge.e0
    used = (relative >= low) & (relative <= high)
    return Spectrum(
        scan.energy[used], scan.mu[used], scan.edge, replace(scan.origin, complete=complete)
    )


def culprit(shares):
    return max(shares, key=lambda cause: shares[cause])


def half(report):
    state = report.estimate("oxidation_state")
    return (state.high - state.low) / 2.0


def test_intervals_narrow_as_scans_grow(known):
    ends = (10.0, 20.0, 30.0, 58.0)
    each = [[half(known.process(cut(measured(one), high=end))) for end in ends] for one in SAMPLES]
    mean = np.mean(each, axis=0)
    assert (np.diff(mean) < 0.0).all()
    assert mean[-1] < 0.6 * mean[0]


@pytest.mark.parametrize("sample", SAMPLES, ids=lambda one: one.name)
def test_the_complete_answer_lies_within_the_interval_of_the_last_part(known, sample):
    scan = measured(sample)
    whole = known.process(scan)
    last = known.process(cut(scan, high=58.0, complete=False))
    assert last.extent is not None
    state, late = (one.estimate("oxidation_state") for one in (whole, last))
    assert late.low <= state.value <= late.high
    assert not {"disagreement", "partial"} & {flag.name for flag in whole.flags}
    assert whole.extent is None
    assert whole.part_answer is not None


@pytest.mark.parametrize("complete", [False, True])
def test_a_part_says_what_it_rests_on_and_that_the_extent_is_to_blame(known, complete):
    scan = measured(next(one for one in SAMPLES if one.name == "FeO"))
    report = known.process(cut(scan, high=20.0, complete=complete))
    low, high = report.extent
    assert low == pytest.approx(scan.energy[0] - scan.edge.e0, abs=1.0)
    assert high == pytest.approx(20.0, abs=1.0)
    (flag,) = [one for one in report.flags if one.name == "partial"]
    assert flag.severity == ("warning" if complete else "info")
    assert culprit(asdict(report.estimate("oxidation_state").shares)) == "extent"
    assert report.advice.startswith("a scan that goes on to +150 eV would narrow it from ±")
    assert np.isfinite(report.curves.flat).any()


@pytest.mark.parametrize(
    ("low", "high"), [(-30.0, 40.0), (-3.0, 40.0), (-25.0, 15.0)], ids=["usual", "late", "early"]
)
@pytest.mark.parametrize("sample", SAMPLES, ids=lambda one: one.name)
def test_a_short_scan_over_the_edge_is_answered(known, sample, low, high):
    report = known.process(cut(measured(sample), low, high))
    state = report.estimate("oxidation_state")
    assert state.low <= sample.oxidation_state <= state.high


def test_a_falling_scan_is_answered_once_it_has_passed_the_edge(known):
    scan = measured(next(one for one in SAMPLES if one.name == "Fe2O3"))
    before = known.process(cut(scan, low=5.0, complete=False))
    assert before.refusal.name == "coverage"
    after = known.process(cut(scan, low=-4.0, complete=False))
    state = after.estimate("oxidation_state")
    assert state.low <= 3.0 <= state.high


def test_height_and_background_of_the_raw_spectrum_do_not_matter(known):
    part = cut(measured(SAMPLES[0]), high=25.0, complete=False)
    slope = 0.004 * (part.energy - part.edge.e0)
    other = replace(part, mu=7.0 * part.mu + 3.0 + slope)
    first, second = (known.process(one).estimate("oxidation_state") for one in (part, other))
    assert second.value == pytest.approx(first.value, abs=0.02)


@pytest.mark.parametrize(
    ("name", "change", "cause"),
    [
        ("FeO", lambda scan: noisy(scan, 0.04), "noise"),
        ("FeO", lambda scan: cut(scan, high=22.0), "extent"),
        ("Fe2O3", lambda scan: cut(scan, high=75.0), "normalization"),
    ],
    ids=["noise", "truncated", "short"],
)
def test_a_disturbed_spectrum_names_the_culprit(known, name, change, cause):
    scan = measured(next(one for one in SAMPLES if one.name == name))
    before, after = (
        asdict(known.process(one).estimate("oxidation_state").shares)
        for one in (scan, change(scan))
    )
    assert culprit({key: after[key] - before[key] for key in after}) == cause


def test_without_a_foil_the_axis_is_to_blame(known):
    scan = measured(next(one for one in SAMPLES if one.name == "FeO"))
    foil = measured(next(one for one in SERIES if one.role == "foil" and one.element == "Fe"))
    without, beside = known.process(scan), known.process(scan, foil)
    shares = [asdict(one.estimate("oxidation_state").shares) for one in (without, beside)]
    assert culprit({key: shares[0][key] - shares[1][key] for key in shares[0]}) == "axis"
    assert half(without) > half(beside)


def noisy(scan, sigma):
    step = np.ptp(scan.mu)
    return replace(
        scan, mu=scan.mu + sigma * step * np.random.default_rng(0).normal(size=scan.mu.size)
    )


def test_a_foil_s_part_is_flagged_as_no_oxide(known):
    foil = next(one for one in SERIES if one.role == "foil" and one.element == "Fe")
    report = known.process(cut(measured(foil), high=50.0, complete=False))
    assert "out_of_domain" in {flag.name for flag in report.flags}


@settings(max_examples=40, deadline=None)
@given(data=st.data())
def test_whatever_comes_ends_in_an_interval_or_a_refusal(known, data):
    scan = measured(SAMPLES[0])
    start, stop = sorted(data.draw(st.tuples(*[st.integers(0, scan.energy.size)] * 2)))
    energy = scan.energy[start:stop].copy()
    mu = scan.mu[start:stop].copy()
    scale = data.draw(st.sampled_from([1.0, -1.0, 0.0, 1e-12, 1e12]))
    mu = scale * mu + data.draw(st.sampled_from([0.0, 1e9, -3.0]))
    for _ in range(data.draw(st.integers(0, 3))):
        if energy.size:
            at = data.draw(st.integers(0, energy.size - 1))
            mu[at : at + data.draw(st.integers(1, 30))] = data.draw(
                st.sampled_from([np.nan, np.inf, 0.0, 5.0])
            )
    order = data.draw(st.permutations(range(energy.size))) if energy.size < 40 else slice(None)
    twice = np.concatenate([energy[order], energy[:3]]), np.concatenate([mu[order], mu[:3]])
    report = known.process_columns(
        *twice, scan.edge, Origin("any", complete=data.draw(st.booleans()))
    )
    assert (report.refusal is None) == bool(report.estimates)
    for one in report.estimates:
        assert np.isfinite([one.low, one.value, one.high]).all()
        assert one.low <= one.value <= one.high
        assert sum(asdict(one.shares).values()) == pytest.approx(1.0)
