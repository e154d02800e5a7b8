"""What goes wrong in a series, through real reports: nothing raises, and everything is said."""

import numpy as np
import pytest

from rankaae_stream import resources
from rankaae_stream.files.read import read_spectrum
from rankaae_stream.inference import infer
from rankaae_stream.loading import default_analysis
from rankaae_stream.series.resolve import Resolved, resolve
from rankaae_stream.spectra.normalize import normalize
from rankaae_stream.spectrum import K_EDGES, NormalizationRanges

SPECTRA = resources.folder("profiles/spectra")
RELATIVE = np.concatenate([np.arange(-150.0, -20.0, 5.0), np.arange(-20.0, 180.0, 0.6)])
IRON = K_EDGES["Fe"] + RELATIVE
SHORT = slice(0, int(np.searchsorted(RELATIVE, 20.0)))
HEMATITE, WUSTITE, METAL = "Fe/Fe2O3_rt_01", "Fe/FeO_rt_01", "Fe/Fe_metal_rt_01"


def curve(name, moved=0.0, element="Fe"):
    """A measured compound in edge steps, `moved` to higher energies, eV."""
    read = read_spectrum(SPECTRA / f"{name}.xdi")
    good = normalize(read.energy, read.mu, K_EDGES[element], NormalizationRanges())
    return np.interp(K_EDGES[element] + RELATIVE - moved, read.energy, good.norm)


def scan(number, mu=None, moved=0.0, foil=False, part=slice(None), noise=0.003):
    rng = np.random.default_rng(number)
    mu = curve(HEMATITE, moved) if mu is None else mu
    mu = mu + noise * rng.normal(size=IRON.size)
    reference = curve(METAL, moved) + 0.002 * rng.normal(size=IRON.size) if foil else None
    return infer(
        IRON[part],
        mu[part],
        "Fe",
        source=f"s{number}",
        reference=None if reference is None else reference[part],
    )


def resolved(scans, **options):
    found = resolve(scans, default_analysis(), **options)
    assert isinstance(found, Resolved)
    return found


def names(found):
    return [flag.name for flag in found.flags]


def state(found):
    return found.merged.estimate("oxidation_state")


def test_none_one_and_refused_spectra_are_no_series_and_say_why():
    assert resolve([], default_analysis()) == []
    assert resolve([scan(0)], default_analysis()) == []
    rng = np.random.default_rng(0)
    noise = [infer(IRON, rng.normal(size=IRON.size), "Fe", source=f"n{i}") for i in range(6)]
    why = resolve(noise, default_analysis())
    assert [one.source for one in why] == [f"n{i}" for i in range(6)]
    assert all("edge step" in one.reason for one in why)


def test_two_identical_spectra_are_one_spectrum():
    found = resolved([scan(0), scan(0)])
    assert found.components == 1
    assert state(found).value == pytest.approx(3.0, abs=0.1)
    assert found.drift is None


def test_a_series_of_one_component_is_merged_and_has_no_fractions():
    found = resolved([scan(i) for i in range(8)])
    assert (found.components, found.mixtures, names(found)) == (1, None, [])


def test_short_scans_and_another_element_are_named_and_left_out():
    manganese = K_EDGES["Mn"] + RELATIVE
    mn = infer(manganese, curve("Mn/mn_mno", element="Mn"), "Mn", source="mn")
    scans = [scan(i, part=SHORT if i % 3 == 1 else slice(None)) for i in range(9)]
    found = resolved([*scans[:5], mn, *scans[5:]], at=np.arange(10.0))
    reasons = {one.source: one.reason for one in found.left_out}
    assert sorted(reasons) == ["mn", "s1", "s4", "s7"]
    assert reasons["mn"] == "it is of Mn K, the series of Fe K"
    assert reasons["s1"] == "it is too short to be normalised"
    assert found.series.places == (0, 2, 3, 6, 7, 9)
    assert found.drift.rate_at is not None


def test_a_gap_in_some_scans_does_no_harm():
    whole = (RELATIVE < 70.0) | (RELATIVE > 90.0)
    scans = [scan(i, part=whole if i % 2 else slice(None)) for i in range(8)]
    found = resolved(scans)
    assert found.components == 1
    assert len(found.series.sources) + len(found.left_out) == 8
    assert state(found).value == pytest.approx(3.0, abs=0.1)


@pytest.mark.parametrize("number", [8, 20])
def test_a_jump_of_the_axis_is_not_called_chemistry(number):
    jump = [1.0 if i >= number // 2 else 0.0 for i in range(number)]
    found = resolved([scan(i, moved=jump[i]) for i in range(number)])
    (flag,) = found.flags
    assert flag.name == "axis_jump"
    assert flag.value == pytest.approx(1.0, abs=0.05)
    assert flag.message.startswith(f"from s{number // 2} on")
    with_foil = resolved([scan(i, moved=jump[i], foil=True) for i in range(number)])
    assert (with_foil.components, with_foil.flags) == (1, ())


def test_a_jump_of_the_axis_is_found_beside_chemistry_and_chemistry_is_none():
    share = np.linspace(0.0, 1.0, 20)

    def mixed(i, moved):
        mu = (1.0 - share[i]) * curve(HEMATITE, moved) + share[i] * curve(WUSTITE, moved)
        return scan(i, mu)

    assert names(resolved([mixed(i, -0.7 * (i >= 9)) for i in range(20)])) == ["axis_jump"]
    assert names(resolved([mixed(i, 0.05 * (-1) ** i) for i in range(20)])) == []
    at_once = [scan(i, curve(HEMATITE if i < 5 else WUSTITE)) for i in range(10)]
    assert names(resolved(at_once)) == []


@pytest.mark.parametrize("moved", [0.0, 0.6])
def test_a_foil_that_vanishes_is_borrowed_from_its_neighbours(moved):
    scans = [scan(i, moved=moved, foil=i % 4 != 1) for i in range(12)]
    found = resolved(scans)
    assert names(found) == ["foil_missing"]
    assert found.flags[0].message.startswith("3 of 12 scans have no foil")
    assert found.left_out == ()
    assert len(found.repeats.taken) == 12
    every = resolved([scan(i, moved=moved, foil=True) for i in range(12)])
    assert found.merged.shifts.uncertainty > every.merged.shifts.uncertainty
    assert state(found).value == pytest.approx(state(every).value, abs=0.03)
    alone = resolved([scan(i, moved=moved, foil=i == 0) for i in range(12)])
    assert alone.merged.shifts.uncertainty > 0.6


def test_more_references_than_spectra_are_fitted():
    share = [0.0, 1.0]
    scans = [scan(i, (1.0 - f) * curve(HEMATITE) + f * curve(WUSTITE)) for i, f in enumerate(share)]
    ends = [scan(9, curve(name)) for name in (WUSTITE, "Fe/Fe3O4_rt_01", HEMATITE)]
    found = resolved(scans, ends=ends)
    np.testing.assert_allclose(found.mixtures.fractions, [[0, 0, 1], [1, 0, 0]], atol=0.05)
    with pytest.raises(ValueError, match="3 values of `at` for 2 scans"):
        resolve(scans, default_analysis(), at=[0.0, 1.0, 2.0])


def test_a_glitch_in_one_repeat_is_neither_a_component_nor_in_the_mean():
    mu = curve(HEMATITE)
    mu[150] += 0.5
    scans = [scan(i, mu if i == 4 else None) for i in range(8)]
    found = resolved(scans)
    assert [flag.name for flag in scans[4].flags] == ["no_foil", "glitch"]
    assert found.components == 1
    clean = resolved([scan(i) for i in range(8)])
    assert state(found).value == pytest.approx(state(clean).value, abs=0.02)


# ---- metal in oxide --------------------------------------------------------------------


@pytest.mark.parametrize(("most", "last"), [(0.3, 2.1), (1.0, 0.0)])
def test_metal_in_oxide_is_found_and_counts_as_valence_0(most, last):
    share = np.linspace(0.0, most, 11)
    scans = [
        scan(i, (1.0 - share[i]) * curve(HEMATITE) + share[i] * curve(METAL)) for i in range(11)
    ]
    found = resolved(scans)
    assert (found.components, names(found)) == (2, ["metal"])
    assert found.flags[0].value == pytest.approx(most, abs=0.03)
    assert "Fe metal" in found.flags[0].message
    truth = 3.0 * (1.0 - share)
    assert found.mixtures.valence[-1] == pytest.approx(last, abs=0.05)
    assert (np.abs(found.mixtures.valence - truth) <= found.mixtures.half).all()
    assert found.mixtures.half[-1] < 0.25
    ends = [scan(90, curve(HEMATITE)), scan(91, curve(METAL))]
    given = resolved(scans, ends=ends)
    assert names(given) == ["metal"]
    assert given.mixtures.valence[-1] == pytest.approx(last, abs=0.05)


def test_a_reduction_without_metal_has_none_and_one_through_oxides_to_metal_has_it():
    def along(*compounds):
        steps = np.linspace(0.0, len(compounds) - 1.0, 24)
        curves = np.stack([curve(name) for name in compounds])
        shares = np.maximum(1.0 - np.abs(steps[:, None] - np.arange(len(compounds))), 0.0)
        return resolved([scan(i, mu) for i, mu in enumerate(shares @ curves)])

    assert names(along(HEMATITE, "Fe/Fe3O4_rt_01", WUSTITE)) == []
    whole = along(HEMATITE, WUSTITE, METAL)
    assert (whole.components, names(whole)) == (3, ["metal"])
    assert whole.mixtures.valence[0] == pytest.approx(3.0, abs=0.1)
    assert whole.mixtures.valence[-1] == pytest.approx(0.0, abs=0.1)
