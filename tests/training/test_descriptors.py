"""Descriptors of structures that textbooks describe."""

import numpy as np
import pytest
from pymatgen.core import Lattice, Structure

from training import descriptors


def cluster(structure: Structure, absorber: int, radius: float = 6.0):
    """Symbols and coordinates (n, 3) about one site, absorber first."""
    site = structure[absorber]
    near = sorted(structure.get_sites_in_sphere(site.coords, radius), key=lambda n: n.nn_distance)
    symbols = [n.specie.symbol for n in near]
    return symbols, np.array([n.coords - site.coords for n in near])


@pytest.fixture(scope="module")
def manganosite():
    lattice = Lattice.cubic(4.446)
    return cluster(
        Structure.from_spacegroup("Fm-3m", lattice, ["Mn", "O"], [[0] * 3, [0.5] * 3]), 0
    )


@pytest.fixture(scope="module")
def pyrolusite():
    lattice = Lattice.tetragonal(4.398, 2.873)
    structure = Structure.from_spacegroup(
        "P4_2/mnm", lattice, ["Mn", "O"], [[0, 0, 0], [0.3046, 0.3046, 0]]
    )
    return cluster(structure, 0)


@pytest.fixture(scope="module")
def hematite():
    lattice = Lattice.hexagonal(5.038, 13.772)
    structure = Structure.from_spacegroup(
        "R-3c", lattice, ["Fe", "O"], [[0, 0, 0.3553], [0.3059, 0, 0.25]]
    )
    return cluster(structure, 0)


def test_rock_salt_is_a_regular_octahedron_of_sixfold_oxygens(manganosite):
    assert descriptors.coordination_number(*manganosite) == 6
    assert descriptors.ligand_coordination(*manganosite) == 6
    assert descriptors.bond_length_spread(*manganosite) == pytest.approx(0.0, abs=1e-9)
    distance = 4.446 / 2 * np.sqrt(2)
    assert descriptors.min_ligand_distance(*manganosite) == pytest.approx(distance)


def test_rutile_has_threefold_oxygens_and_a_short_shared_edge(pyrolusite):
    assert descriptors.coordination_number(*pyrolusite) == 6
    assert descriptors.ligand_coordination(*pyrolusite) == 3
    assert descriptors.bond_length_spread(*pyrolusite) < 0.02
    shared = 4.398 * np.sqrt(2) * (1 - 2 * 0.3046)
    assert descriptors.min_ligand_distance(*pyrolusite) == pytest.approx(shared, abs=0.01)


def test_hematite_has_fourfold_oxygens_and_two_bond_lengths(hematite):
    assert descriptors.coordination_number(*hematite) == 6
    assert descriptors.ligand_coordination(*hematite) == 4
    # Three bonds of 1.945 Å and three of 2.116 Å.
    assert descriptors.bond_length_spread(*hematite) == pytest.approx(0.0855, abs=0.005)


def test_describe_gives_all_of_them_in_order(hematite):
    found = descriptors.describe(*hematite, 3.0)
    assert found[0] == 3.0
    assert found[1] == descriptors.coordination_number(*hematite)
    assert found[4] == descriptors.min_ligand_distance(*hematite)
    assert len(found) == len(descriptors.DESCRIPTORS)


def test_what_a_cluster_cannot_define_is_nan():
    alone = ["Fe", "O", "Fe"], np.array([[0.0, 0, 0], [2.0, 0, 0], [4.0, 0, 0]])
    assert descriptors.coordination_number(*alone) == 1
    assert descriptors.ligand_coordination(*alone) == 2
    assert np.isnan(descriptors.bond_length_spread(*alone))
    assert np.isnan(descriptors.min_ligand_distance(*alone))
    metal = ["Fe", "Fe"], np.array([[0.0, 0, 0], [2.5, 0, 0]])
    assert np.isnan(descriptors.ligand_coordination(*metal))


def test_a_bound_hydrogen_counts_as_a_cation_of_its_oxygen():
    hydroxide = ["Fe", "O", "H"], np.array([[0.0, 0, 0], [2.0, 0, 0], [2.97, 0, 0]])
    assert descriptors.ligand_coordination(*hydroxide) == 2
