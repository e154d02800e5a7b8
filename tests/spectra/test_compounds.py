"""An axis put right by a known compound where no foil exists."""

import numpy as np
import pytest

from rankaae_stream import resources
from rankaae_stream.errors import ConfigurationError, Refused
from rankaae_stream.files.read import read_spectrum
from rankaae_stream.inference import infer
from rankaae_stream.loading import analysis_with, default_analysis, load_analysis
from rankaae_stream.profile.reading import load_profile
from rankaae_stream.report import to_dict
from rankaae_stream.spectra.axis import calibrate, calibrate_by_compound
from rankaae_stream.spectra.library import known_compounds, library_foil
from rankaae_stream.spectrum import K_EDGES

SPECTRA = resources.folder("profiles/spectra")
KNOWN = {name: known for element in K_EDGES for name, known in known_compounds(element).items()}


def others(known):
    return tuple(known_compounds(known.spectrum.edge.element).values())


@pytest.mark.parametrize("name", KNOWN)
@pytest.mark.parametrize("shift", [-4.3, -1.1, 0.0, 1.6, 4.9])
def test_a_moved_noisy_compound_is_moved_back(name, shift):
    known = KNOWN[name]
    energy, mu = known.spectrum.energy, known.spectrum.mu
    fine = np.arange(energy[0], min(energy[-1], energy[0] + 400.0), 0.5)
    noisy = np.interp(fine, energy, mu) + np.random.default_rng(3).normal(0, 0.003, fine.size)
    found = calibrate_by_compound(fine - shift, 2.0 * noisy + 0.1, known, others(known))
    assert found.value == pytest.approx(shift, abs=0.1)
    assert found.compound == name
    assert found.uncertainty >= known.uncertainty


@pytest.mark.parametrize(
    ("file", "name"),
    [
        ("Cr/cr2o3_100K_001.xdi", "Cr2O3"),
        ("Cr/cr2o3_15K_001.xdi", "Cr2O3"),
        ("Cr/k2cro4_rt_003.xdi", "K2CrO4"),
        ("Cr/k2cro4_15K_001.xdi", "K2CrO4"),
        ("Ni/NiOH2_rt_03.xdi", "Ni(OH)2"),
    ],
)
def test_other_sessions_agree_with_their_own_foil(root, file, name):
    scan = read_spectrum(root / "training/data/standards" / file)
    known = KNOWN[name]
    element = known.spectrum.edge.element
    by_foil = calibrate(scan.energy, scan.reference, library_foil(element))
    by_compound = calibrate_by_compound(scan.energy, scan.mu, known, others(known))
    assert by_compound.value == pytest.approx(by_foil.value, abs=0.5)
    assert abs(by_compound.value - by_foil.value) < 2 * by_compound.uncertainty


@pytest.mark.parametrize(
    ("file", "named"),
    [
        ("Fe/Fe3O4_rt_01.xdi", "Fe2O3"),
        ("Fe/FeO_rt_01.xdi", "Fe3O4"),
        ("V/VO2.xdi", "V2O5"),
        ("Cr/k2cro4_rt_001.xdi", "Cr2O3"),
        ("foils/Cu.xdi", "Cu2O"),
        ("foils/Fe.xdi", "FeO"),
    ],
)
def test_a_spectrum_that_contradicts_its_name_is_refused(file, named):
    scan, known = read_spectrum(SPECTRA / file), KNOWN[named]
    with pytest.raises(Refused, match=r"is not|looks like"):
        calibrate_by_compound(scan.energy, scan.mu, known, others(known))


@pytest.fixture(scope="module")
def session(tmp_path_factory):
    """Iron measured on an axis that is 1.4 eV off, without a foil."""
    folder = tmp_path_factory.mktemp("session")
    for name in ("FeO_rt_01", "Fe2O3_rt_01"):
        scan = read_spectrum(SPECTRA / "Fe" / f"{name}.xdi")
        columns = np.c_[scan.energy - 1.4, scan.mu]
        np.savetxt(folder / f"{name}.dat", columns, header="energy mu")
    return folder


def test_scans_without_a_foil_use_it_and_say_so(session):
    by_compound = analysis_with(axis_from=[f"Fe2O3={session / 'Fe2O3_rt_01.dat'}"])
    scan = read_spectrum(session / "FeO_rt_01.dat")
    before = infer(scan.energy, scan.mu, "Fe", analysis=default_analysis())
    after = infer(scan.energy, scan.mu, "Fe", analysis=by_compound)
    assert after.shifts.calibration == pytest.approx(1.4 + 0.38, abs=0.1)
    assert after.shifts.uncertainty < before.shifts.uncertainty == 0.7
    flag = next(flag for flag in after.flags if flag.name == "no_foil")
    assert "the shift by Fe2O3_rt_01.dat (Fe2O3) stands instead" in flag.message
    assert to_dict(after)["energy_shift"]["foil"]["compound"] == "Fe2O3"


def test_a_scan_with_a_foil_keeps_it(session):
    by_compound = analysis_with(axis_from=[f"Fe2O3={session / 'Fe2O3_rt_01.dat'}"])
    scan, foil = read_spectrum(SPECTRA / "Fe/FeO_rt_01.xdi"), library_foil("Fe")
    mu = np.interp(scan.energy + 0.5, foil.energy, foil.mu)
    report = infer(scan.energy, scan.mu, "Fe", reference=mu, analysis=by_compound)
    assert report.shifts.calibration == pytest.approx(0.5, abs=0.05)
    assert report.shifts.foil.compound == ""


def test_a_profile_names_it_and_it_is_part_of_the_uid(session, tmp_path):
    shipped = (resources.folder("profiles") / "sim.toml").read_text(encoding="utf-8")
    own = tmp_path / "own.toml"
    named = f'axis_from = {{ Fe2O3 = "{session / "Fe2O3_rt_01.dat"}" }}'
    assert "[energy]" in shipped
    own.write_text(shipped.replace("[energy]", f"[energy]\n{named}"), encoding="utf-8")
    profile = load_profile(str(own))
    assert profile.analysis_hash() != load_profile("sim").analysis_hash()
    scan = read_spectrum(session / "FeO_rt_01.dat")
    report = infer(scan.energy, scan.mu, "Fe", analysis=load_analysis(profile))
    assert report.shifts.foil.compound == "Fe2O3"


@pytest.mark.parametrize(
    ("given", "said"),
    [
        (["Fe2O3"], "write COMPOUND=FILE"),
        (["=x.dat"], "write COMPOUND=FILE"),
        (["Co3O4=x.dat"], "no spectrum of 'Co3O4' is known; known are V V2O3"),
        (["Fe2O3=missing.dat"], "Fe2O3: "),
        (["Fe2O3={Fe}/FeO_rt_01.xdi"], "looks like FeO|is not Fe2O3"),
        (["fe2o3={Fe}/Fe2O3_rt_01.xdi", "FeO={Fe}/FeO_rt_01.xdi"], "two compounds of Fe"),
        (["Fe2O3={Mn}/mn_mno.xdi"], "is not Fe2O3"),
    ],
)
def test_what_cannot_be_used_is_an_error_before_anything_is_answered(given, said):
    given = [text.format(Fe=SPECTRA / "Fe", Mn=SPECTRA / "Mn") for text in given]
    with pytest.raises(ConfigurationError, match=said):
        analysis_with(axis_from=given)
