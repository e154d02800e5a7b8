"""The foil shift: convention, noise, and references that are no foil."""

import numpy as np
import pytest

from rankaae_stream.energy import FoilLibrary, calibrate, first_inflection
from rankaae_stream.errors import Refused
from rankaae_stream.spectrum import K_EDGES, Edge


@pytest.fixture(params=K_EDGES)
def library(request, measured):
    edge = Edge(request.param, "K", K_EDGES[request.param])
    return FoilLibrary.from_measured(edge, *measured(f"foils/{request.param}.xdi"))


def test_a_library_foil_has_its_first_inflection_at_the_tabulated_edge(library):
    e0 = library.edge.e0
    assert first_inflection(library.energy, library.mu, e0) == pytest.approx(e0, abs=0.02)


@pytest.mark.parametrize("shift", [-2.0, -0.37, 0.0, 1.5])
def test_a_moved_and_noisy_foil_is_moved_back(library, shift):
    e0 = library.edge.e0
    energy = np.arange(e0 - 30, e0 + 50, 0.5)
    mu = np.interp(energy + shift, library.energy, library.mu)
    step = np.ptp(mu)
    noise = np.random.default_rng(1).normal(0, 0.005 * step, energy.size)
    found = calibrate(energy, 3.0 * (mu + noise) + 0.2 + 1e-4 * (energy - e0), library)
    assert found.value == pytest.approx(shift, abs=0.05)
    assert 0.1 <= found.uncertainty < 0.2


@pytest.mark.parametrize(
    ("file", "published"),
    [("Fe/Fe_metal_rt_01.xdi", 0.9), ("Fe/Fe_metal_rt_02.xdi", 0.4), ("V/V_foil.xdi", -0.5)],
)
def test_measured_foils_lie_where_their_first_inflections_do(measured, file, published):
    """First inflections of the XAS library's foils: -0.7 to -1.3 eV (Fe) and +0.5 (V),
    or a little less where the first inflection is found on a coarser grid."""
    element = file.split("/")[0]
    edge = Edge(element, "K", K_EDGES[element])
    library = FoilLibrary.from_measured(edge, *measured(f"foils/{element}.xdi"))
    assert calibrate(*measured(file), library).value == pytest.approx(published, abs=0.2)


@pytest.mark.parametrize("file", ["Fe/Fe2O3_rt_01.xdi", "Fe/FeO_rt_01.xdi"])
def test_an_oxide_is_not_taken_for_the_foil(measured, file):
    edge = Edge("Fe", "K", K_EDGES["Fe"])
    library = FoilLibrary.from_measured(edge, *measured("foils/Fe.xdi"))
    with pytest.raises(Refused) as caught:
        calibrate(*measured(file), library)
    assert caught.value.name == "no_foil"


def test_a_reference_that_stops_before_the_edge_is_no_foil(measured):
    edge = Edge("Fe", "K", K_EDGES["Fe"])
    energy, mu = measured("foils/Fe.xdi")
    library = FoilLibrary.from_measured(edge, energy, mu)
    with pytest.raises(Refused, match="points within 12"):
        calibrate(energy[energy < 7113], mu[energy < 7113], library)
