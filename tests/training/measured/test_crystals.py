"""The standards' crystal structures: shells, densities and valences that betray a typo."""

import csv

import numpy as np
import pytest

from rankaae_stream.errors import ConfigurationError
from training.descriptors import DESCRIPTORS, FIRST_SHELL, coordination_number
from training.folders import STANDARDS
from training.measured import crystals

NAMES = list(DESCRIPTORS)

SHELLS = {
    # compound: density in g/cm3, and for each kind of absorber its bonds in Å, by the refinement
    "Fe2O3 hematite": (5.26, [3 * [1.946] + 3 * [2.116]]),
    "Fe3O4": (5.20, [4 * [1.887], 6 * [2.059]]),
    "FeO": (5.89, [6 * [2.163]]),
    "alpha-FeOOH goethite": (4.27, [[1.933, 1.955, 1.955, 2.100, 2.107, 2.107]]),
    "FeCO3 siderite": (3.94, [6 * [2.144]]),
    "Fe3(PO4)2.8H2O vivianite": (
        2.70,
        [2 * [2.028] + 4 * [2.215], 2 * [2.095] + 2 * [2.145] + 2 * [2.158]],
    ),
    "green rust Cl": (None, [6 * [2.093]]),
    "MnO": (5.37, [6 * [2.222]]),
    "MnCO3 rhodochrosite": (3.71, [6 * [2.190]]),
    "Mn2O3": (5.03, [6 * [2.003], 2 * [1.899] + 2 * [1.985] + 2 * [2.244]]),
    "Mn3O4": (4.83, [4 * [2.042], 4 * [1.931] + 2 * [2.283]]),
    "MnO2": (5.19, [4 * [1.882] + 2 * [1.894]]),
    "V2O3": (5.02, [3 * [1.969] + 3 * [2.050]]),
    "VO2": (4.66, [[1.763, 1.864, 1.892, 2.014, 2.026, 2.064]]),
    "V2O5": (3.37, [[1.577, 1.779, 1.878, 1.878, 2.017]]),
    "VO": (6.63, [6 * [2.031]]),
    "Cr2O3": (5.24, [3 * [1.965] + 3 * [2.013]]),
    "CrO2": (4.89, [2 * [1.882] + 4 * [1.917]]),
    "K2CrO4": (2.74, [[1.636, 1.643, 1.643, 1.651]]),
    "Na2CrO4": (2.74, [2 * [1.58] + 2 * [1.62]]),
    "K2Cr2O7": (2.72, [[1.605, 1.620, 1.624, 1.782]]),
    "CuO": (6.52, [2 * [1.951] + 2 * [1.961]]),
    "Cu2O cuprite": (6.11, [2 * [1.848]]),
    "Cu3(CO3)2(OH)2 azurite": (
        3.77,
        [2 * [1.939] + 2 * [1.945], [1.939, 1.940, 1.967, 1.995, 2.361]],
    ),
    "NiO": (6.81, [6 * [2.088]]),
    "LiNiO2": (4.78, [6 * [1.976]]),
    "Ni(OH)2": (3.96, [6 * [2.080]]),
    "PbTiO3": (7.94, [[1.766] + 4 * [1.979] + [2.390]]),
    "TiO2 rutile": (4.25, [4 * [1.949] + 2 * [1.980]]),
    "CoO": (6.41, [6 * [2.133]]),
}

WITHOUT = {"green rust SO4", "ferrihydrite 2-line", "Ni2O3 (commercial black oxide)"}

ONE_ELECTRON = {
    # length of a bond of valence 1, Å: Brown and Altermatt, Acta Cryst. B 41, 244 (1985)
    "Ti": {4: 1.815},
    "V": {2: 1.70, 3: 1.743, 4: 1.784, 5: 1.803},
    "Cr": {3: 1.724, 6: 1.794},
    "Mn": {2: 1.790, 3: 1.760, 4: 1.753},
    "Fe": {2: 1.734, 3: 1.759},
    "Co": {2: 1.692},
    "Ni": {2: 1.654, 3: 1.686},
    "Cu": {1: 1.610, 2: 1.679},
}

ODD_SUMS = {
    "VO": "rock salt without its vacancies",
    "CrO2": "no parameter for Cr4+",
    "Na2CrO4": "bonds of 1936, 0.05 Å short",
}


def rows():
    with (STANDARDS / "labels.csv").open(encoding="utf-8", newline="") as handle:
        return [row for row in csv.DictReader(handle) if row["role"] in {"standard", "suspect"}]


def value(compound, name):
    return crystals.descriptors_of(compound)[NAMES.index(name)]


def bonds(cluster, within=FIRST_SHELL):
    """Absorber-oxygen distances, ascending."""
    distance = np.linalg.norm(cluster.xyz, axis=1)
    oxygen = np.array([symbol == "O" for symbol in cluster.symbols])
    return np.sort(distance[oxygen & (distance <= within)])


def test_every_standard_has_a_structure_or_says_why_not():
    assert {row["compound"] for row in rows()} <= set(crystals.compounds())
    assert set(crystals.compounds()) == SHELLS.keys() | WITHOUT


@pytest.mark.parametrize("compound", SHELLS)
def test_first_shells_are_those_of_the_refinements(compound):
    found = [bonds(cluster) for cluster in crystals.clusters(compound)]
    published = SHELLS[compound][1]
    assert len(found) == len(published)
    for shell, expected in zip(found, published, strict=True):
        np.testing.assert_allclose(shell, expected, atol=0.004)


@pytest.mark.parametrize("compound", [name for name in SHELLS if SHELLS[name][0]])
def test_densities_are_the_published_ones(compound):
    cell = crystals.structure(compound)
    hydrogens = 1.008 * sum(cell.site_properties["hydrogens"])
    mass = float(cell.composition.weight) + hydrogens
    assert mass / cell.volume / 0.602214 == pytest.approx(SHELLS[compound][0], rel=0.003)


@pytest.mark.parametrize("compound", sorted(SHELLS.keys() - ODD_SUMS.keys()))
def test_bond_valences_add_up_to_the_formal_valence(compound):
    formal = value(compound, "oxidation_state")
    low = int(formal)
    kinds = crystals.clusters(compound)
    lengths = ONE_ELECTRON[kinds[0].symbols[0]]
    ends = [
        np.average(
            [np.exp((lengths[valence] - bonds(kind, 3.0)) / 0.37).sum() for kind in kinds],
            weights=[kind.sites for kind in kinds],
        )
        for valence in ([low, low + 1] if formal > low else [low, low])
    ]
    assert np.interp(formal, [low, low + 1], ends) == pytest.approx(
        formal,
        abs=0.27,  # LiNiO2, whose mean bond hides two lengths, lacks 0.26
    )


@pytest.mark.parametrize("compound", SHELLS)
def test_no_two_atoms_of_a_structure_are_too_close(compound):
    cell = crystals.structure(compound)
    heavy = [i for i, site in enumerate(cell) if site.specie.symbol != "H"]
    apart = cell.distance_matrix[np.ix_(heavy, heavy)] + 9.0 * np.eye(len(heavy))
    assert apart.min() > 1.25  # carbonate, the shortest bond of all


def test_formal_labels_are_those_of_the_structure():
    for row in rows():
        found = crystals.descriptors_of(row["compound"])
        assert found[0] == float(row["oxidation_state"]), row["compound"]
        if row["compound"] not in WITHOUT:
            assert found[1] == pytest.approx(float(row["coordination_number"]), abs=0.005), row[
                "compound"
            ]


def test_sites_are_averaged_by_their_number():
    four, six = crystals.clusters("Fe3O4")
    assert (four.sites, six.sites) == (8, 16)
    assert coordination_number(four.symbols, four.xyz) == 4
    assert coordination_number(six.symbols, six.xyz) == 6
    assert value("Fe3O4", "coordination_number") == pytest.approx(16 / 3)
    assert value("Fe3O4", "mean_bond_length") == pytest.approx((1.889 + 2 * 2.058) / 3, abs=0.001)


def test_descriptors_of_textbook_structures():
    assert value("Fe2O3 hematite", "ligand_coordination") == 4
    assert value("Fe2O3 hematite", "bond_length_spread") == pytest.approx(0.085, abs=0.001)
    assert value("Fe2O3 hematite", "min_ligand_distance") == pytest.approx(2.669, abs=0.002)
    assert value("NiO", "ligand_coordination") == 6
    assert value("TiO2 rutile", "ligand_coordination") == 3
    assert value("TiO2 rutile", "min_ligand_distance") == pytest.approx(2.536, abs=0.002)
    assert value("Cu2O cuprite", "ligand_coordination") == 4
    # One vanadyl oxygen, one between two vanadiums, three between three.
    assert value("V2O5", "ligand_coordination") == pytest.approx((1 + 2 + 3 * 3) / 5)
    assert np.isnan(value("Cu2O cuprite", "angle_spread"))


def test_hydrogens_count_for_their_oxygen_whether_located_or_not():
    # Goethite: half of the oxygens are bare, half bind one hydrogen beside three irons.
    assert value("alpha-FeOOH goethite", "ligand_coordination") == 3.5
    assert value("Ni(OH)2", "ligand_coordination") == 4
    # The iron between four waters and two phosphate oxygens.
    alone = crystals.clusters("Fe3(PO4)2.8H2O vivianite")[0]
    assert sum(symbol == "H" for symbol in alone.symbols) > 8
    assert value("Fe3(PO4)2.8H2O vivianite", "ligand_coordination") == pytest.approx(8 / 3)


def test_a_compound_without_structure_has_its_valence_alone():
    found = crystals.descriptors_of("ferrihydrite 2-line")
    assert found[0] == 3.0
    assert np.isnan(found[1:]).all()
    with pytest.raises(ConfigurationError, match="ferrihydrite 2-line has no structure"):
        crystals.clusters("ferrihydrite 2-line")


def test_what_a_mean_structure_hides_is_nan():
    for compound in ("LiNiO2", "green rust Cl"):
        hidden = np.isnan(crystals.descriptors_of(compound))
        assert {name for name, gone in zip(NAMES, hidden, strict=True) if gone} == {
            "bond_length_spread",
            "angle_spread",
        }


def test_an_unknown_compound_is_an_error_that_names_the_table():
    with pytest.raises(ConfigurationError, match=r"crystals\.toml has no entry 'Fe4O5'"):
        crystals.descriptors_of("Fe4O5")


def test_what_is_handed_out_is_not_what_is_kept():
    crystals.descriptors_of("NiO")[:] = 0.0
    assert value("NiO", "coordination_number") == 6


def test_hidden_descriptors_are_descriptors():
    table = crystals.TABLE.read_text(encoding="utf-8")
    named = {
        word.strip(' "')
        for line in table.splitlines()
        if line.startswith("hidden")
        for word in line.split("[")[1].rstrip("]").split(",")
    }
    assert named
    assert named <= set(NAMES)
