"""What is wrong with a measurement is flagged by name, and good spectra are left alone."""

import numpy as np
import pytest

from rankaae_stream import resources
from rankaae_stream.files.read import read_spectrum
from rankaae_stream.inference import infer
from rankaae_stream.loading import default_analysis
from rankaae_stream.model.over_absorption import damped
from rankaae_stream.spectra.glitches import without_glitches
from rankaae_stream.spectra.normalize import normalize
from rankaae_stream.spectrum import K_EDGES, Edge, NormalizationRanges, Origin, Spectrum

SPECTRA = resources.folder("profiles/spectra")
OXIDES = [
    path
    for path in sorted(SPECTRA.rglob("*.xdi"))
    if not {"foils"} & set(path.parts) and "metal" not in path.name and "foil" not in path.name
]
FLAGS = {"glitch", "noisy", "small_edge_step", "coarse_steps", "wrong_element", "over_absorption"}


def measured(name, step=0.5):
    """A shipped spectrum on even steps, with edge step 1."""
    found = read_spectrum(SPECTRA / name)
    e0 = K_EDGES[found.element]
    flat = normalize(found.energy, found.mu, e0, NormalizationRanges()).norm
    energy = np.arange(max(e0 - 150.0, found.energy[0]), e0 + 200.0, step)
    return energy, np.interp(energy, found.energy, flat)


def flags(energy, mu, element="Fe", **options):
    found = infer(energy, mu, element, **options)
    return {flag.name: flag for flag in found.flags}, found


@pytest.mark.parametrize("path", OXIDES, ids=lambda path: path.stem)
def test_good_spectra_have_none_of_these_flags(path):
    scan = read_spectrum(path)
    assert not FLAGS & set(flags(scan.energy, scan.mu, scan.element)[0])


def test_one_good_spectrum_in_twenty_seems_damped_by_the_models_curve_alone():
    seem: list[str] = []
    for path in OXIDES:
        scan = read_spectrum(path)
        found, _ = flags(scan.energy, scan.mu, scan.element, channel="fluorescence")
        seem += [path.stem] if "over_absorption" in found else []
    assert seem == ["VO2"]


@pytest.mark.parametrize("width", [1, 2, 3])
@pytest.mark.parametrize("at", [-60.0, 25.0, 90.0])
@pytest.mark.parametrize("height", [-0.3, 0.4])
def test_a_glitch_is_named_and_left_out(width, at, height):
    energy, mu = measured("Fe/Fe2O3_rt_01.xdi")
    start = int(np.searchsorted(energy, 7112.0 + at))
    bad = mu.copy()
    bad[start : start + width] += height
    found, report = flags(energy, bad)
    assert f"{energy[start]:.1f}" in found["glitch"].message
    assert found["glitch"].value == width
    clean = infer(energy, mu, "Fe").estimate("oxidation_state")
    assert report.estimate("oxidation_state").value == pytest.approx(clean.value, abs=0.01)


def test_a_sharp_pre_edge_peak_is_no_glitch(root):
    scan = read_spectrum(SPECTRA / "Cr/k2cro4_rt_001.xdi")
    edge = Edge("Cr", "K", K_EDGES["Cr"])
    ((cleaned, flag),) = without_glitches([Spectrum(scan.energy, scan.mu, edge, Origin())])
    assert flag is None
    assert cleaned.energy.size == scan.energy.size


@pytest.mark.parametrize("seed", [121, 143, 300, 385])
def test_the_peak_of_v2o5_on_coarse_steps_is_no_glitch(seed):
    e0 = K_EDGES["V"]
    energy = e0 + np.r_[np.arange(-150.0, -20.0, 5.0), np.arange(-20.0, 180.0, 0.6)]
    read = [read_spectrum(SPECTRA / f"V/{name}.xdi") for name in ("V2O3", "V2O5")]
    ranges = NormalizationRanges()
    other, pure = (
        np.interp(energy, one.energy, normalize(one.energy, one.mu, e0, ranges).norm)
        for one in read
    )
    noise = 0.003 * np.random.default_rng(seed).normal(size=energy.size)
    spectrum = Spectrum(energy, 0.35 * other + 0.65 * pure + noise, Edge("V", "K", e0), Origin())
    assert without_glitches([spectrum])[0][1] is None


def test_many_outlying_points_are_noise_and_stay():
    energy, mu = measured("Fe/FeO_rt_01.xdi")
    mu[::20] += 0.3
    spectrum = Spectrum(energy, mu, Edge("Fe", "K", K_EDGES["Fe"]), Origin())
    ((cleaned, flag),) = without_glitches([spectrum])
    assert (cleaned, flag) == (spectrum, None)


def test_the_numbers_of_a_spectrum_without_glitches_are_the_same_object():
    energy, mu = measured("Fe/FeO_rt_01.xdi")
    spectrum = Spectrum(energy, mu, Edge("Fe", "K", K_EDGES["Fe"]), Origin())
    assert without_glitches([spectrum])[0][0] is spectrum


@pytest.mark.parametrize(("noise", "flagged"), [(0.004, False), (0.02, True)])
def test_noise_is_flagged_with_what_to_do(noise, flagged):
    energy, mu = measured("Fe/Fe2O3_rt_01.xdi")
    noisy = mu + np.random.default_rng(0).normal(0.0, noise, mu.size)
    found, _ = flags(energy, noisy)
    assert ("noisy" in found) == flagged
    if flagged:
        assert found["noisy"].value == pytest.approx(noise, rel=0.3)
        assert "count 4" in found["noisy"].message or "count 3" in found["noisy"].message


def test_a_thin_sample_is_flagged_in_transmission_only():
    energy, mu = measured("Fe/Fe2O3_rt_01.xdi")
    assert "small_edge_step" in flags(energy, 0.02 * mu)[0]
    assert "small_edge_step" not in flags(energy, 0.02 * mu, channel="fluorescence")[0]


def test_a_flat_pre_edge_in_steps_of_ten_ev_is_answered():
    energy, mu = measured("Fe/Fe2O3_rt_01.xdi")
    keep = (energy >= 7110.0) | np.isin(energy, np.arange(energy[0], 7110.0, 10.0))
    found, report = flags(energy[keep], mu[keep])
    assert found["coarse_steps"].value == pytest.approx(10.0, abs=1.0)
    assert "begin the fine steps" in found["coarse_steps"].message
    whole = infer(energy, mu, "Fe").estimate("oxidation_state")
    assert report.estimate("oxidation_state").value == pytest.approx(whole.value, abs=0.05)


def test_a_gap_within_the_edge_is_refused_as_before():
    energy, mu = measured("Fe/Fe2O3_rt_01.xdi")
    keep = (energy < 7115.0) | (energy > 7124.0)
    _, report = flags(energy[keep], mu[keep])
    assert report.refusal.name == "coverage"
    assert "6 eV apart, 12 eV before the edge" in report.refusal.message


def test_wide_steps_at_the_edge_are_flagged():
    energy, mu = measured("Fe/Fe2O3_rt_01.xdi", step=4.0)
    flag = flags(energy, mu)[0]["coarse_steps"]
    assert (flag.severity, flag.value) == ("warning", 4.0)


@pytest.mark.parametrize("stated", ["Mn", "Co", "Cr"])
def test_a_wrong_element_is_named_where_the_scan_is_refused(stated):
    energy, mu = measured("Fe/Fe2O3_rt_01.xdi")
    found, report = flags(energy, mu, stated)
    assert report.refusal is not None
    assert "but mu rises at the Fe K edge" in found["wrong_element"].message


@pytest.mark.parametrize("rest", [0.6, 1.0, 2.5])
def test_fluorescence_is_judged_by_the_transmission_of_its_scan(rest):
    energy, mu = measured("Fe/Fe2O3_rt_01.xdi")
    edge, origin = Edge("Fe", "K", K_EDGES["Fe"]), Origin("scan", "fluorescence")
    columns = default_analysis().process_columns
    bad = columns(energy, damped(mu, rest), edge, origin, beside=(energy, 0.8 * mu + 0.3))
    flag = next(flag for flag in bad.flags if flag.name == "over_absorption")
    assert flag.severity == "warning"
    assert flag.value == pytest.approx(rest, rel=0.5)
    assert "use the transmission" in flag.message
    good = columns(energy, mu, edge, origin, beside=(energy, 0.8 * mu + 0.3))
    assert "over_absorption" not in {flag.name for flag in good.flags}


def test_an_idle_transmission_judges_nothing():
    energy, mu = measured("Fe/Fe2O3_rt_01.xdi")
    edge, origin = Edge("Fe", "K", K_EDGES["Fe"]), Origin("scan", "fluorescence")
    idle = 0.5 + np.random.default_rng(0).normal(0.0, 1e-3, energy.size)
    found = default_analysis().process_columns(energy, mu, edge, origin, beside=(energy, idle))
    assert "over_absorption" not in {flag.name for flag in found.flags}


@pytest.mark.parametrize(
    "name", ["Cr/k2cro4_rt_001.xdi", "Fe/FeO_rt_01.xdi", "V/VO2.xdi", "extra/cu_cu2o_cuprite.xdi"]
)
def test_strong_damping_is_seen_by_the_models_curve(name):
    energy, mu = measured(name)
    element = read_spectrum(SPECTRA / name).element
    found, _ = flags(energy, damped(mu, 1.0), element, channel="fluorescence")
    assert "measure in transmission" in found["over_absorption"].message
