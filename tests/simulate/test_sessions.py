"""The simulated beamline plays what was measured, as an ordinary beamline would."""

from dataclasses import replace

import bluesky.plan_stubs as bps
import bluesky.plans as bp
import numpy as np
import pytest
from bluesky import RunEngine
from bluesky.utils import FailedStatus
from event_model import DocumentNames, schema_validators
from ophyd_async.core import init_devices

from rankaae_stream.errors import ConfigurationError
from rankaae_stream.files.read import read_spectrum
from rankaae_stream.resources import folder
from rankaae_stream.simulate import (
    SERIES,
    Beamline,
    Faults,
    Sample,
    curves,
    scan,
    scan_energies,
    series,
    step_energies,
)

FEO, FE3O4, FE2O3 = series("Fe")[:3]


def played(engine: RunEngine, plan) -> dict[str, list[dict]]:
    documents: dict[str, list[dict]] = {}
    engine(plan, lambda name, document: documents.setdefault(name, []).append(document))
    return documents


def column(documents: dict[str, list[dict]], key: str) -> np.ndarray:
    return np.array([event["data"][key] for event in documents["event"]])


def absorption(documents: dict[str, list[dict]]) -> tuple[np.ndarray, np.ndarray]:
    i0, it, ir = (column(documents, key) for key in ("ic-i0", "ic-it", "ic-ir"))
    return -np.log(it / i0), -np.log(ir / it)


def residual(mu: np.ndarray, of: str, energy: np.ndarray) -> np.ndarray:
    """What is left of mu after the file's mu in any height and offset, per edge step."""
    xdi = read_spectrum(folder("profiles/spectra") / of)
    file = np.interp(energy, xdi.energy, xdi.mu)
    slope, offset = np.polyfit(file, mu, 1)
    assert slope > 0
    return mu - (slope * file + offset)


def test_a_scan_reproduces_the_measured_spectrum_within_its_noise(engine):
    documents = played(engine, scan(Beamline(dwell=0.0), FEO))
    energy = column(documents, "mono-energy")
    mu, foil = absorption(documents)
    assert np.all(np.diff(energy) > 0)
    assert energy[0] - FEO.edge.e0 == pytest.approx(-160, abs=0.1)
    assert energy[-1] - FEO.edge.e0 == pytest.approx(160, abs=0.1)
    assert 1e-4 < residual(mu, FEO.spectrum, energy).std() < 2e-3
    assert 1e-4 < residual(foil, FEO.foil, energy).std() < 5e-3


def test_the_foil_stays_on_its_own_files_axis(engine):
    documents = played(engine, scan(Beamline(dwell=0.0), FE3O4, step=0.25))
    energy = column(documents, "mono-energy")
    own, other = "Fe/Fe_metal_rt_01.xdi", "Fe/Fe_metal_rt_02.xdi"
    assert FE3O4.foil == own
    _, foil = absorption(documents)
    assert residual(foil, own, energy).std() < 5e-3
    assert residual(foil, other, energy).std() > 1e-2


def test_a_foil_file_shorter_than_the_scan_holds_its_end_values():
    vanadium = curves(series("V")[0])
    assert vanadium.foil_energy[0] > vanadium.energy[0]
    assert vanadium.at(vanadium.energy[0])[1] == vanadium.foil_mu[0]


def test_a_falling_scan_ends_with_the_pre_edge(engine):
    documents = played(engine, scan(Beamline(dwell=0.0), FEO, direction="falling", quick=True))
    assert np.all(np.diff(column(documents, "mono-energy")) < 0)
    assert documents["stop"][0]["num_events"] == {"primary": 116}


def test_the_documents_are_valid_and_say_what_a_beamline_says(engine):
    plan = scan(Beamline(dwell=0.0), FE2O3, quick=True, md={"cycle": "2026-2", "operator": "x"})
    documents = played(engine, plan)
    for name, found in documents.items():
        for document in found:
            schema_validators[DocumentNames[name]].validate(document)
    start = documents["start"][0]
    assert (start["element"], start["edge"], start["sample_name"]) == ("Fe", "K", "Fe2O3")
    assert (start["plan_name"], start["motors"]) == ("list_scan", ["mono-energy"])
    assert (start["cycle"], start["operator"]) == ("2026-2", "x")
    for key in ("scan_kind", "proposal", "data_session", "scan_group_uid"):
        assert isinstance(start[key], str)
    assert not {"oxidation_state", "coordination_number"} & set(start)
    keys = documents["descriptor"][0]["data_keys"]
    assert set(keys) == {"mono-energy", "ic-i0", "ic-it", "ic-ir"}
    assert keys["mono-energy"]["units"] == "eV"
    assert {key["dtype"] for key in keys.values()} == {"number"}
    assert documents["descriptor"][0]["configuration"]["ic"]["data"]["ic-dwell"] == 0.0


def test_the_devices_work_with_plain_plans_and_init_devices(engine):
    beamline = Beamline(dwell=0.0, jitter=0.0)
    with init_devices():
        ic, mono, wheel = beamline.ic, beamline.mono, beamline.wheel
    assert (ic.name, mono.energy.name) == ("ic", "mono-energy")
    wheel.mount(FEO)

    def plan():
        yield from bps.mv(wheel, "FeO", mono.energy, 7000)
        yield from bp.list_scan([ic], mono.energy, [7100, 7120.5])

    documents = played(engine, plan())
    assert list(column(documents, "mono-energy")) == [7100.0, 7120.5]


def test_the_same_seed_counts_the_same_and_another_does_not(engine):
    def counts(seed: int) -> np.ndarray:
        plan = scan(Beamline(dwell=0.0, seed=seed), FEO, quick=True)
        return column(played(engine, plan), "ic-it")

    first = counts(1)
    assert np.array_equal(first, counts(1))
    assert not np.array_equal(first, counts(2))


def test_longer_counting_means_less_noise(engine):
    def noise(counting_time: float) -> float:
        beamline = Beamline(dwell=0.0, counting_time=counting_time)
        documents = played(engine, scan(beamline, FEO, quick=True))
        energy = column(documents, "mono-energy")
        return float(residual(absorption(documents)[0], FEO.spectrum, energy).std())

    assert 4 < noise(0.01) / noise(1.0) < 25


def test_i0_drifts_and_the_absorption_does_not_follow(engine):
    documents = played(engine, scan(Beamline(dwell=0.0), FEO))
    i0 = column(documents, "ic-i0")
    assert np.ptp(i0) / i0.mean() > 0.01
    mu = residual(absorption(documents)[0], FEO.spectrum, column(documents, "mono-energy"))
    assert abs(np.corrcoef(i0, mu)[0, 1]) < 0.3


def test_the_dwell_is_really_waited(engine):
    energies = scan_energies(FEO, quick=True)[:20]
    documents = played(engine, scan(Beamline(dwell=0.01), FEO, energies=energies))
    times = [event["time"] for event in documents["event"]]
    assert times[-1] - times[0] > 19 * 0.01


def test_a_lost_beam_reads_zero_and_a_bad_amplifier_nan(engine):
    faults = Faults(no_beam=(7140.0, 8000.0), nan=(7100.0, 7105.0))
    documents = played(engine, scan(Beamline(dwell=0.0, faults=faults), FEO, quick=True))
    energy = column(documents, "mono-energy")
    lost = energy >= 7140
    for key in ("ic-i0", "ic-it", "ic-ir"):
        assert np.all(column(documents, key)[lost] == 0)
    assert np.all(column(documents, "ic-i0")[~lost] > 0)
    bad = (energy >= 7100) & (energy <= 7105)
    assert bad.any()
    assert np.array_equal(np.isnan(column(documents, "ic-it")), bad)


def test_step_energies_are_fine_over_the_edge_only():
    relative = step_energies(step=0.25)
    near = (relative >= -30) & (relative < 50)
    assert np.all(np.diff(relative[near]) == 0.25)
    assert np.all(np.diff(relative[relative <= -30]) == 5)
    assert np.all(np.diff(relative[relative >= 50]) == 2.5)
    assert np.all(np.diff(step_energies(step=0.3, quick=True)) > 0)


@pytest.mark.parametrize("sample", SERIES, ids=lambda sample: sample.name)
def test_every_sample_of_the_series_can_be_scanned_and_lets_the_beam_through(sample: Sample):
    energies = scan_energies(sample)
    low, high = curves(sample).span
    assert low <= energies.min() < sample.edge.e0 - 60
    assert sample.edge.e0 + 150 < energies.max() <= high
    absorbed = np.array([sum(curves(sample).at(energy)) for energy in energies])
    assert 0 < absorbed.min() < absorbed.max() < 7


def test_the_series_rises_in_oxidation_state_within_an_element():
    for element, states in {"Fe": [2, 8 / 3, 3], "V": [3, 4, 5], "Mn": [2, 3, 4]}.items():
        standards = [sample for sample in series(element) if sample.role == "standard"]
        assert [sample.oxidation_state for sample in standards] == states
    assert [sample.name for sample in SERIES if sample.role == "foil"] == ["Fe foil"]


def test_mistakes_are_told_with_what_would_do(engine):
    with pytest.raises(ConfigurationError, match="Fe, V, Mn"):
        series("Zr")
    with pytest.raises(ConfigurationError, match="dwell must be 0 or more"):
        Beamline(dwell=-1.0)
    with pytest.raises(ConfigurationError, match="counting_time"):
        Beamline(counting_time=0.0)
    with pytest.raises(ConfigurationError, match="step over the edge"):
        step_energies(step=0.0)
    with pytest.raises(ConfigurationError, match="holds 0 points"):
        scan_energies(FEO, start=-900.0, stop=-800.0)
    beamline = Beamline(dwell=0.0)
    with pytest.raises(FailedStatus, match="no sample 'MnO' is mounted"):
        engine(bps.mv(beamline.wheel, "MnO"))
    misplaced = replace(FEO, name="far away")
    with pytest.raises(FailedStatus, match="outside the monochromator"):
        engine(scan(beamline, misplaced, energies=[100.0, 200.0]))
