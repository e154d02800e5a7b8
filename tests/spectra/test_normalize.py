"""Normalisation: larch's numbers, and what must not change them."""

import json
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from rankaae_stream import resources
from rankaae_stream.errors import Refused
from rankaae_stream.files.read import read_spectrum
from rankaae_stream.spectra.normalize import normalize
from rankaae_stream.spectrum import K_EDGES, NormalizationRanges

GOLDENS = json.loads((Path(__file__).parents[1] / "goldens" / "larch_normalize.json").read_text())
E0 = K_EDGES["Fe"]


def hematite():
    spectrum = read_spectrum(resources.folder("profiles/spectra") / "Fe" / "Fe2O3_rt_01.xdi")
    return spectrum.energy, spectrum.mu


@pytest.mark.parametrize("case", GOLDENS["cases"], ids=lambda case: case["file"])
def test_norm_and_flat_equal_larch_at_the_same_ranges(case):
    spectrum = read_spectrum(resources.folder("profiles/spectra") / case["file"])
    result = normalize(
        spectrum.energy,
        spectrum.mu,
        K_EDGES[case["element"]],
        NormalizationRanges(**case["ranges"]),
    )
    assert result.edge_step == pytest.approx(case["edge_step"], rel=1e-10)
    np.testing.assert_allclose(result.norm, case["norm"], atol=1e-10)
    np.testing.assert_allclose(result.flat, case["flat"], atol=1e-10)


def test_a_longer_scan_gives_the_same_answer():
    energy, mu = hematite()
    short = energy <= E0 + 160
    long, cut = (
        normalize(e, m, E0, NormalizationRanges())
        for e, m in ((energy, mu), (energy[short], mu[short]))
    )
    np.testing.assert_allclose(cut.flat, long.flat[short], atol=1e-12)


@given(height=st.floats(0.01, 100), offset=st.floats(-10, 10))
def test_norm_does_not_change_under_height_and_offset_of_mu(height, offset):
    energy, mu = hematite()
    plain = normalize(energy, mu, E0, NormalizationRanges())
    moved = normalize(energy, height * mu + offset, E0, NormalizationRanges())
    np.testing.assert_allclose(moved.flat, plain.flat, atol=1e-8)


def test_inputs_are_left_as_they_are():
    energy, mu = hematite()
    before = energy.copy(), mu.copy()
    normalize(energy, mu, E0, NormalizationRanges())
    np.testing.assert_array_equal(energy, before[0])
    np.testing.assert_array_equal(mu, before[1])


def test_a_range_without_points_is_refused_with_the_numbers():
    energy, mu = hematite()
    keep = energy < E0 + 40
    with pytest.raises(Refused, match=r"post-edge range \[7162.0, 7262.0\] eV holds 0 points") as e:
        normalize(energy[keep], mu[keep], E0, NormalizationRanges())
    assert e.value.name == "normalization"


@pytest.mark.parametrize(
    "mu", [np.full(400, 0.3), np.linspace(1.0, 0.5, 400)], ids=["flat", "line"]
)
def test_a_spectrum_without_an_edge_is_refused(mu):
    energy = np.linspace(E0 - 160, E0 + 160, 400)
    with pytest.raises(Refused) as e:
        normalize(energy, mu, E0, NormalizationRanges())
    assert e.value.name == "no_edge"
