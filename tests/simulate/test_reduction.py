"""A reduction is one sample, scanned again and again, whose mixture is known at each scan."""

from itertools import pairwise

import numpy as np
import pytest

from rankaae_stream.errors import ConfigurationError
from rankaae_stream.simulate import curves, mixture, scan_energies, series
from rankaae_stream.simulate.reduction import reduction
from rankaae_stream.simulate.sessions import Case

FEO, FE3O4, FE2O3 = series("Fe")[:3]


class Played:
    """A case with its start document, energies, and mu of sample and foil."""

    def __init__(self, engine, case: Case) -> None:
        documents = []
        engine(case.plan, lambda name, doc: documents.append((name, doc)))
        self.case = case
        self.start = documents[0][1]
        rows = [doc["data"] for name, doc in documents if name == "event"]
        i0, it, ir = (np.array([row[key] for row in rows]) for key in ("ic-i0", "ic-it", "ic-ir"))
        self.energy = np.array([row["mono-energy"] for row in rows])
        self.mu, self.foil = -np.log(it / i0), -np.log(ir / it)

    def of(self, shift: float = 0.0) -> np.ndarray:
        """Return the known mixture at the energies of the scan, moved by a shift, eV."""
        parts = [(curves(one), self.case.fractions[one.name]) for one in (FE2O3, FEO)]
        at = self.energy - shift
        return sum(share * np.interp(at, one.energy, one.mu) for one, share in parts)

    def shift(self) -> float:
        """Return how far the foil lies from its own file's axis, eV."""
        tried, foil = np.linspace(-0.3, 0.3, 121), curves(FE2O3)
        squares = [
            np.square(self.foil - np.interp(self.energy - by, foil.foil_energy, foil.foil_mu)).sum()
            for by in tried
        ]
        return float(tried[int(np.argmin(squares))])


@pytest.fixture(scope="module")
def played():
    from bluesky import RunEngine

    engine = RunEngine({})
    return [Played(engine, case) for case in reduction(quick=True, dwell=0.0)]


def test_repeats_of_the_oxide_come_first_then_a_ramp_then_a_plateau():
    shares = [case.fractions["FeO"] for case in reduction(quick=False, dwell=0.0)]
    start, end = shares.count(0.0), shares.count(1.0)
    assert start >= 5
    assert end >= 3
    assert shares == sorted(shares)
    assert np.ptp(np.diff(shares[start:-end])) == pytest.approx(0.0)
    assert 12 <= len(shares) <= 16


def test_the_known_valence_is_the_mean_over_the_iron_atoms():
    for case in reduction(quick=True, dwell=0.0):
        assert case.truth == pytest.approx(3.0 - case.fractions["FeO"])
        assert sum(case.fractions.values()) == pytest.approx(1.0)


@pytest.mark.slow
def test_all_scans_have_one_sample_and_one_group_and_a_temperature_that_rises(played):
    starts = [one.start for one in played]
    assert {start["sample_name"] for start in starts} == {"Fe2O3 under H2"}
    assert len({start["scan_group_uid"] for start in starts}) == 1
    degrees = [start["sample_temperature"] for start in starts]
    assert degrees == sorted(degrees)
    for (one, later), (cold, hot) in zip(pairwise(played), pairwise(degrees), strict=True):
        assert (hot > cold) == (later.case.fractions["FeO"] > one.case.fractions["FeO"])


@pytest.mark.slow
def test_a_sound_scan_is_the_mixture_with_noise_of_a_few_thousandths(played):
    for one in played:
        if one.case.fault:
            continue
        noise = np.std(one.mu - one.of(one.shift()))
        assert 0.001 < noise < 0.005, one.case.what


@pytest.mark.slow
def test_the_foil_shows_how_far_the_axis_of_each_scan_is_off(played):
    shifts = [one.shift() for one in played]
    assert 0.02 < np.std(shifts) < 0.1
    energy = played[0].energy
    edge = np.abs(energy - FE2O3.edge.e0) < 30
    for one, shift in zip(played, shifts, strict=True):
        if one.case.fault:
            continue
        left = [np.std((one.mu - one.of(by))[edge]) for by in (shift, shift - 0.2, shift + 0.2)]
        assert min(left) == left[0], one.case.what


@pytest.mark.slow
def test_one_repeat_is_damaged_in_the_middle_and_one_scan_of_the_ramp_has_a_glitch(played):
    (damaged, spiked) = [one for one in played if one.case.fault]
    assert damaged.case.fractions["FeO"] == 0.0
    assert 0 < played.index(damaged) < 4
    repeats = [one for one in played[:5] if one is not damaged]
    usual = np.mean([one.mu for one in repeats], axis=0)

    def differs(one: Played) -> float:
        height, offset = np.polyfit(usual, one.mu, 1)
        return float(np.std(one.mu - height * usual - offset))

    assert differs(damaged) > 5 * max(differs(one) for one in repeats)
    off = spiked.mu - spiked.of(spiked.shift())
    assert 0.0 < spiked.case.fractions["FeO"] < 1.0
    assert np.flatnonzero(np.abs(off) > 0.05).size == 1
    assert off.max() == pytest.approx(0.22, abs=0.02)


@pytest.mark.slow
def test_the_noise_is_the_same_each_time(played, engine):
    again = Played(engine, reduction(quick=True, dwell=0.0)[2])
    assert np.array_equal(again.mu, played[2].mu)
    assert not np.array_equal(played[0].mu, played[1].mu)


def test_wide_steps_are_half_as_many():
    quick, usual = (reduction(quick=quick, dwell=0.0)[0].points for quick in (True, False))
    assert quick < usual < scan_energies(FE2O3).size


def test_a_mixture_is_of_the_parts_that_share_a_foil():
    half = mixture("half", {FE2O3: 0.5, FEO: 0.5})
    assert (half.oxidation_state, half.element, half.foil) == (2.5, "Fe", FEO.foil)
    one, other = (curves(sample) for sample in (FE2O3, FEO))
    at = np.linspace(7100.0, 7150.0, 20)
    mixed = [curves(half).at(energy)[0] for energy in at]
    mean = [(one.at(energy)[0] + other.at(energy)[0]) / 2 for energy in at]
    np.testing.assert_allclose(mixed, mean, atol=2e-3)
    with pytest.raises(ConfigurationError, match="several foils"):
        mixture("no axis", {FE2O3: 0.5, FE3O4: 0.5})
    with pytest.raises(ConfigurationError, match="add to 1"):
        mixture("more", {FE2O3: 0.5, FEO: 0.6})
