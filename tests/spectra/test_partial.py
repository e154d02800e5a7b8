"""The seen part of a raw spectrum on the partial network's grid."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from rankaae_stream.errors import Refused
from rankaae_stream.spectra.noise import point_noise
from rankaae_stream.spectra.partial import on_seen_grid, prepared
from rankaae_stream.spectrum import EnergyGrid

E0 = 7112.0
GRID = EnergyGrid(-50.0, 60.0, 221)


def edge(energy, height=1.0, offset=0.0, slope=0.0):
    x = energy - E0
    return offset + slope * x + height * (0.5 + np.arctan((x - 5.0) / 1.5) / np.pi)


def seen_of(energy, mu, noise=0.0):
    part = on_seen_grid(energy, mu, GRID, E0, noise)
    return prepared(part.values[None], part.seen[None], GRID.relative())[0]


@pytest.mark.parametrize("reach", [10.0, 20.0, 58.0])
def test_height_offset_and_a_linear_background_do_not_matter(reach):
    energy = E0 + np.arange(-80.0, reach, 0.5)
    plain = seen_of(energy, edge(energy))
    other = seen_of(energy, edge(energy, height=3e4, offset=-2e5, slope=-70.0))
    np.testing.assert_allclose(plain, other, atol=1e-6)


def test_nothing_is_said_of_energies_that_were_not_measured():
    energy = E0 + np.arange(-30.0, 20.25, 0.5)
    values, seen = np.split(seen_of(energy, edge(energy)), 2)
    beyond = (GRID.relative() < -30.3) | (GRID.relative() > 20.3)
    assert not seen[beyond].any()
    assert not values[beyond].any()
    assert seen[~beyond].all()


@pytest.mark.parametrize(
    ("low", "high", "name", "words"),
    [
        (-60.0, 5.0, "coverage", r"an answer needs -2 to \+8 eV at least"),
        (3.0, 60.0, "coverage", r"an answer needs -2 to \+8 eV at least"),
        (-60.0, -20.0, "coverage", r"an answer needs -2 to \+8 eV at least"),
    ],
)
def test_a_part_without_the_edge_is_refused(low, high, name, words):
    energy = E0 + np.arange(low, high, 0.5)
    with pytest.raises(Refused, match=words) as refused:
        on_seen_grid(energy, edge(energy), GRID, E0)
    assert refused.value.refusal.name == name


def test_a_hole_in_the_edge_is_refused():
    energy = E0 + np.concatenate([np.arange(-60.0, 2.0, 0.5), np.arange(10.0, 30.0, 0.5)])
    with pytest.raises(Refused, match=r"eV apart"):
        on_seen_grid(energy, edge(energy), GRID, E0)


@pytest.mark.parametrize("mu", [0.0, 3.0, 1e300])
def test_a_constant_has_no_edge(mu):
    energy = E0 + np.arange(-60.0, 30.0, 0.5)
    with pytest.raises(Refused) as refused:
        on_seen_grid(energy, np.full(energy.size, mu), GRID, E0)
    assert refused.value.refusal.name == "no_edge"


def test_noise_alone_has_no_edge():
    energy = E0 + np.arange(-60.0, 30.0, 0.5)
    mu = np.random.default_rng(1).normal(size=energy.size)
    with pytest.raises(Refused) as refused:
        on_seen_grid(energy, mu, GRID, E0, point_noise(energy, mu, E0))
    assert refused.value.refusal.name == "no_edge"


@settings(max_examples=60, deadline=None)
@given(
    arrays(float, 90, elements=st.floats(-1e12, 1e12)),
    st.floats(-70.0, 0.0),
    st.floats(0.1, 2.0),
)
def test_whatever_was_measured_gives_finite_inputs_or_a_refusal(mu, first, step):
    energy = E0 + first + step * np.arange(mu.size)
    try:
        found = seen_of(energy, mu, point_noise(energy, mu, E0))
    except Refused as refused:
        name = refused.refusal.name
    else:
        name = ""
        assert np.isfinite(found).all()
        assert np.abs(found).max() <= 3.0
    assert name in ("", "coverage", "no_edge")


@pytest.mark.parametrize("sigma", [1e-3, 2e-2])
def test_the_noise_of_a_point_is_found_beside_an_edge_and_a_glitch(sigma):
    energy = E0 + np.concatenate([np.arange(-150.0, -20.0, 5.0), np.arange(-20.0, 200.0, 0.7)])
    rng = np.random.default_rng(0)
    mu = edge(energy, slope=-0.001) + sigma * rng.normal(size=energy.size)
    mu[-20] += 0.5
    assert point_noise(energy, mu, E0) == pytest.approx(sigma, rel=0.25)
