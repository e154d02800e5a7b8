"""Which edge a scan was measured at: as stated, or where mu rises."""

import numpy as np
import pytest

from rankaae_stream.edges import (
    Stated,
    edge_of,
    element_within,
    find_edge,
    read_stated,
    tabulated_edges,
)
from rankaae_stream.errors import Refused
from rankaae_stream.files.read import read_spectrum
from rankaae_stream.inference import infer
from rankaae_stream.spectrum import K_EDGES

UNSTATED = Stated()
SPECTRA = [
    *(f"Fe/{name}_rt_01.xdi" for name in ("FeO", "Fe2O3", "Fe3O4", "Fe_metal")),
    *(f"Mn/mn_{name}.xdi" for name in ("mno", "mn2o3", "mno2")),
    *(f"V/{name}.xdi" for name in ("V2O3", "VO2", "V2O5", "V_foil")),
    *(f"foils/{element}.xdi" for element in K_EDGES),
]
NEIGHBOURS = {
    "La L3": 5483.0,
    "Ba L2": 5624.0,
    "Pr L3": 5964.0,
    "Ce L2": 6164.0,
    "Nd L3": 6208.0,
    "Ce L1": 6548.0,
    "Sm L3": 6716.0,
    "Eu L3": 6977.0,
    "Gd L3": 7243.0,
    "Tb L3": 7514.0,
    "Dy L3": 7790.0,
    "Ho L3": 8071.0,
    "Er L3": 8358.0,
    "Tm L3": 8648.0,
    "Yb L3": 8944.0,
}


def arctangent(e0, white_line=0.0, width=4.0, noise=0.0, slope=-1e-4):
    """A rise at an edge, with a white line 2 eV beyond it, over an EXAFS scan's range."""
    energy = np.concatenate(
        [np.arange(-200, -20, 5.0), np.arange(-20, 50, 0.4), np.arange(50, 500, 3.0)]
    )
    mu = 0.5 + np.arctan(2 * energy / width) / np.pi + slope * energy
    mu += white_line / (1 + ((energy - 2) * 2 / width) ** 2)
    mu += np.random.default_rng(0).normal(0, noise, mu.size) if noise else 0.0
    return e0 + energy, mu


def refused(energy, mu, **options):
    with pytest.raises(Refused) as caught:
        find_edge(UNSTATED, [(energy, mu)], **options)
    return caught.value


# ---- stated --------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("element", "edge"),
    [
        ("Fe", None),
        ("Fe", ""),
        ("Fe", "k"),
        ("Fe", "K-edge"),
        (" fe ", " K edge "),
        ("FE", "1s"),
        ("Fe K-edge", None),
        ("fe_k", None),
        (None, "Fe K-edge"),
        ("", "FeK"),
        ("Fe", "Fe K"),
    ],
)
def test_an_edge_is_read_in_any_usual_spelling(element, edge):
    assert read_stated(element, edge) == ("Fe", "K")
    assert edge_of(read_stated(element, edge)).e0 == 7112.0


@pytest.mark.parametrize(
    ("element", "edge", "stated"),
    [
        ("Pt", "L3", ("Pt", "L3")),
        (None, "pt LIII-edge", ("Pt", "L3")),
        ("Pt", "2p3/2", ("Pt", "L3")),
        ("K", "K", ("K", "K")),
        ("K", None, ("K", "K")),
        ("Fe", "Ka1", ("Fe", "Ka1")),
        (None, "K", (None, "K")),
        (None, None, (None, "K")),
        ("iron", "K", ("Iron", "K")),
    ],
)
def test_other_edges_and_no_element_are_read_too(element, edge, stated):
    assert read_stated(element, edge) == stated


@pytest.mark.parametrize("element", K_EDGES)
def test_a_stated_element_decides_whatever_was_measured(element):
    edge, flag = find_edge(read_stated(element.lower()), [arctangent(5483.0)])
    assert (edge.element, edge.e0, flag) == (element, K_EDGES[element], None)


@pytest.mark.parametrize(
    ("element", "edge", "says"),
    [
        ("Zn", None, "the run says Zn K; edges known here are K of Ti"),
        ("Fe", "L3", "the run says Fe L3"),
        ("Fe", "Ka1", "the run says Fe Ka1"),
        ("iron", "K", "iron; give its symbol, Fe"),
        ("Chromium K-edge", None, "chromium; give its symbol, Cr"),
        (None, "L3", "an L3 edge is stated, of no element"),
    ],
)
def test_a_stated_edge_that_is_not_known_is_refused(element, edge, says):
    with pytest.raises(Refused, match=says) as caught:
        find_edge(read_stated(element, edge), [arctangent(7112.0)])
    assert caught.value.name == "unknown_element"


def test_the_edges_of_the_models_are_the_tabulated_ones():
    found = {edge.element: edge.e0 for edge in tabulated_edges() if edge.shell == "K"}
    assert {element: found[element] for element in K_EDGES} == dict(K_EDGES)


# ---- deduced -------------------------------------------------------------------------


@pytest.mark.parametrize("file", SPECTRA)
@pytest.mark.parametrize(("low", "high"), [(-300, 1300), (-160, 160), (-60, 150)])
def test_the_rise_tells_the_edge_of_every_shipped_spectrum(root, file, low, high):
    found = read_spectrum(root / "profiles" / "spectra" / file)
    near = (found.energy > K_EDGES[found.element] + low) & (
        found.energy < K_EDGES[found.element] + high
    )
    for turn in (1, -1):
        edge, flag = find_edge(UNSTATED, [(found.energy[near][::turn], found.mu[near][::turn])])
        assert str(edge) == f"{found.element} K"
    assert (flag.name, flag.severity, flag.unit) == ("element_deduced", "info", "eV")
    assert abs(flag.value - edge.e0) < 15.0
    assert f"the {edge} edge ({edge.e0:.0f} eV)" in flag.message


@pytest.mark.parametrize("shift", [-2.0, 2.0])
@pytest.mark.parametrize("file", SPECTRA)
def test_an_axis_that_is_off_by_some_ev_does_not_matter(root, file, shift):
    found = read_spectrum(root / "profiles" / "spectra" / file)
    edge, _ = find_edge(UNSTATED, [(found.energy + shift, found.mu)])
    assert edge.element == found.element


@pytest.mark.parametrize("at", NEIGHBOURS.values(), ids=NEIGHBOURS)
@pytest.mark.parametrize("file", ["Fe/Fe2O3_rt_01.xdi", "Mn/mn_mno2.xdi"])
def test_a_rise_at_an_l_edge_of_another_element_is_refused(root, file, at):
    found = read_spectrum(root / "profiles" / "spectra" / file)
    reason = refused(found.energy + at - K_EDGES[found.element], found.mu)
    assert reason.name == "unknown_element"
    assert "--element" in reason.message
    assert "[run] element" in reason.message


@pytest.mark.parametrize("white_line", [0.0, 1.0, 3.0])
@pytest.mark.parametrize("width", [3.0, 5.0])
@pytest.mark.parametrize("name", [name for name in NEIGHBOURS if name != "Ce L1"])
def test_a_white_line_at_an_l_edge_does_not_make_it_a_k_edge(name, width, white_line):
    reason = refused(*arctangent(NEIGHBOURS[name], white_line, width))
    assert name in reason.message, "the edge that it is, is named"


def test_a_weak_l1_edge_at_the_k_edge_is_named_beside_it(measured):
    edge, flag = find_edge(UNSTATED, [measured("Mn/mn_mno.xdi")])
    assert edge.element == "Mn"
    assert "Ce L1 (6548 eV), much weaker" in flag.message


def test_a_k_edge_without_a_model_is_found_as_well():
    edge, _ = find_edge(UNSTATED, [arctangent(9662.0)])
    assert str(edge) == "Zn K"


def test_a_rise_where_no_edge_is_tabulated_is_refused_with_what_is_near():
    assert (
        "where no tabulated K or L edge begins within 10 eV" in refused(*arctangent(6300)).message
    )


def test_two_k_edges_in_one_scan_are_asked_for_unless_the_header_says_which():
    energy = np.arange(6950.0, 7950.0)
    mu = np.arctan(energy - 7120.0) + 0.7 * np.arctan(energy - 7717.0)
    reason = refused(energy, mu)
    assert "Fe K (7112 eV) or Co K (7709 eV)" in reason.message
    for e0, element in ((7112.0, "Fe"), (7715.0, "Co")):
        edge, flag = find_edge(UNSTATED, [(energy, mu)], e0)
        assert edge.element == element
        assert f"the header's E0 of {e0:g} eV" in flag.message
    refused(energy, mu, e0=7400.0)


def fall(energy):
    return -np.arctan(energy - 7112)


@pytest.mark.parametrize(
    "mu",
    [
        np.zeros_like,
        lambda e: 1.0 - 1e-3 * (e - 7000),
        lambda e: np.random.default_rng(1).normal(0, 1, e.size),
        fall,
        lambda e: np.full_like(e, np.nan),
    ],
    ids=["nothing", "a slope", "noise", "a fall", "NaN"],
)
def test_without_a_rise_there_is_no_edge(mu):
    energy = np.arange(6950.0, 7350.0)
    refusal = refused(energy, mu(energy))
    assert refusal.name == "no_edge"
    assert ("mu falls" in refusal.message) == (mu is fall)


@pytest.mark.parametrize("energy", [np.empty(0), np.array([7112.0]), np.full(9, 7112.0)])
def test_too_few_energies_hold_no_edge(energy):
    assert refused(energy, np.ones_like(energy)).name == "no_edge"


def test_noise_a_glitch_and_a_slope_are_no_edge():
    energy, mu = arctangent(7118.0, noise=0.05, slope=-1e-3)
    mu[10], mu[300] = 50.0, -50.0
    edge, _ = find_edge(UNSTATED, [(energy, mu)])
    assert edge.element == "Fe"


def test_the_channel_with_the_clearest_rise_counts_for_all():
    energy, mu = arctangent(7118.0, noise=0.01)
    idle = np.random.default_rng(2).normal(0, 1, energy.size)
    for curves in ([(energy, idle), (energy, mu)], [(energy, mu), (energy, idle)]):
        assert find_edge(UNSTATED, curves)[0].element == "Fe"


def test_the_arrays_of_a_scan_are_left_as_they_are():
    energy, mu = arctangent(7118.0)
    before = energy.copy(), mu.copy()
    find_edge(UNSTATED, [(energy, mu)])
    np.testing.assert_array_equal(before, (energy, mu))


def test_energies_alone_tell_whether_a_run_can_be_xas_at_all():
    for element, e0 in K_EDGES.items():
        energy = e0 + np.arange(-30.0, 61.0)
        assert element_within(energy) == element_within(energy[::-1]) == element
    for energy in (np.arange(-10, 10.0), np.full(5, np.nan), np.empty(0), np.arange(7120, 7300.0)):
        assert element_within(energy) is None


# ---- through the whole analysis ------------------------------------------------------


def test_an_answer_without_a_stated_element_says_so_and_is_the_same(measured):
    energy, mu = measured("Fe/Fe2O3_rt_01.xdi")
    stated, deduced = infer(energy, mu, "Fe"), infer(energy, mu)
    assert deduced.estimates == stated.estimates
    assert [flag.name for flag in deduced.flags] == ["element_deduced", "no_foil"]


def test_a_scan_at_zn_is_refused_for_want_of_a_model():
    report = infer(*arctangent(9662.0))
    assert (report.element, report.refusal.name) == ("Zn", "no_model")
