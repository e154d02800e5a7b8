"""Descriptors of minerals against the distances that their refinements published."""

import numpy as np
import pytest
from pymatgen.core import Lattice, Structure

from training import descriptors
from training.simulated.cutoffs import sensitivity
from training.simulated.sources import Site


def cluster(structure: Structure, absorber: int, radius: float = 6.0):
    """Symbols and coordinates (n, 3) about one site, absorber first."""
    site = structure[absorber]
    near = sorted(structure.get_sites_in_sphere(site.coords, radius), key=lambda n: n.nn_distance)
    return [n.specie.symbol for n in near], np.array([n.coords - site.coords for n in near])


def bonds(symbols, xyz):
    """Absorber-oxygen distances of the first shell, ascending."""
    distance = np.linalg.norm(xyz, axis=1)
    oxygen = np.array([symbol == "O" for symbol in symbols])
    return np.sort(distance[oxygen & (distance < descriptors.FIRST_SHELL)])


def rutile():
    """TiO2: Meagher and Lager, Can. Mineral. 17, 77 (1979): 4 x 1.948, 2 x 1.980 Å."""
    lattice = Lattice.tetragonal(4.593, 2.959)
    return Structure.from_spacegroup(
        "P4_2/mnm", lattice, ["Ti", "O"], [[0, 0, 0], [0.3051, 0.3051, 0]]
    )


def hematite():
    """Fe2O3: Blake et al., Am. Mineral. 51, 123 (1966): 3 x 1.946, 3 x 2.116 Å."""
    lattice = Lattice.hexagonal(5.038, 13.772)
    return Structure.from_spacegroup(
        "R-3c", lattice, ["Fe", "O"], [[0, 0, 0.3553], [0.3059, 0, 0.25]]
    )


def magnetite():
    """Fe3O4: Fleet, Acta Cryst. B 37, 917 (1981): tetrahedral 1.888, octahedral 2.060 Å."""
    return Structure.from_spacegroup(
        "Fd-3m",
        Lattice.cubic(8.3941),
        ["Fe", "Fe", "O"],
        [[0] * 3, [0.625] * 3, [0.3799] * 3],  # first origin of the group
    )


def rock_salt():
    """NiO, a = 4.1769 Å: six bonds of 2.088 Å."""
    return Structure.from_spacegroup(
        "Fm-3m", Lattice.cubic(4.1769), ["Ni", "O"], [[0] * 3, [0.5] * 3]
    )


def zircon():
    """Zircon type, here YVO4: Chakoumakos et al., J. Solid State Chem. 113, 180 (1994).

    Vanadium has four bonds of 1.709 Å.
    """
    return Structure.from_spacegroup(
        "I4_1/amd",
        Lattice.tetragonal(7.118, 6.289),
        ["Y", "V", "O"],
        [[0, 0, 0], [0, 0, 0.5], [0, 0.1845, 0.3258]],  # first origin of the group
    )


def tenorite():
    """CuO: Asbrink and Norrby, Acta Cryst. B 26, 8 (1970): 2 x 1.951, 2 x 1.961, 2 x 2.784 Å."""
    lattice = Lattice.monoclinic(4.6837, 3.4226, 5.1288, 99.54)
    return Structure.from_spacegroup(
        "C2/c", lattice, ["Cu", "O"], [[0.25, 0.25, 0], [0, 0.4184, 0.25]]
    )


def absorbers(structure, symbol):
    return [i for i, site in enumerate(structure) if site.specie.symbol == symbol]


def tetrahedral_iron(structure):
    """Number of the magnetite site with four neighbours, then of one with six."""
    by_number = {}
    for i in absorbers(structure, "Fe"):
        by_number.setdefault(descriptors.coordination_number(*cluster(structure, i)), i)
    return by_number[4.0], by_number[6.0]


KNOWN = [
    # structure, absorber, bonds, ligand coordination
    (rutile, "Ti", [1.948] * 4 + [1.980] * 2, 3),
    (hematite, "Fe", [1.946] * 3 + [2.116] * 3, 4),
    (rock_salt, "Ni", [2.088] * 6, 6),
    (zircon, "V", [1.709] * 4, 3),
    (tenorite, "Cu", [1.951] * 2 + [1.961] * 2, 4),
]


@pytest.mark.parametrize(("build", "absorber", "published", "ligands"), KNOWN)
def test_shells_are_those_of_the_refinement(build, absorber, published, ligands):
    structure = build()
    about = cluster(structure, absorbers(structure, absorber)[0])
    np.testing.assert_allclose(bonds(*about), published, atol=0.006)
    assert descriptors.coordination_number(*about) == len(published)
    assert descriptors.ligand_coordination(*about) == ligands
    assert descriptors.mean_bond_length(*about) == pytest.approx(np.mean(published), abs=0.005)
    assert descriptors.bond_length_spread(*about) == pytest.approx(np.std(published), abs=0.004)


def test_both_sites_of_magnetite():
    structure = magnetite()
    four, six = (cluster(structure, i) for i in tetrahedral_iron(structure))
    np.testing.assert_allclose(bonds(*four), [1.888] * 4, atol=0.005)
    np.testing.assert_allclose(bonds(*six), [2.060] * 6, atol=0.005)
    # Each oxygen binds one tetrahedral and three octahedral irons.
    assert descriptors.ligand_coordination(*four) == 4
    assert descriptors.ligand_coordination(*six) == 4
    assert descriptors.angle_spread(*four) == pytest.approx(0.0, abs=1e-4)
    assert descriptors.min_ligand_distance(*four) == pytest.approx(1.888 * np.sqrt(8 / 3), abs=0.01)


def test_the_angles_of_a_regular_octahedron_and_of_a_flat_square():
    structure = rock_salt()
    regular = cluster(structure, absorbers(structure, "Ni")[0])
    assert descriptors.angle_spread(*regular) == pytest.approx(36.0)
    structure = tenorite()
    square = cluster(structure, absorbers(structure, "Cu")[0])
    # Two of 84.3°, two of 95.7°, two of 180°.
    expected = np.std([84.32] * 2 + [95.68] * 2 + [180.0] * 2)
    assert descriptors.angle_spread(*square) == pytest.approx(expected, abs=0.5)


def test_a_distorted_tetrahedron_spreads_its_angles():
    structure = zircon()
    about = cluster(structure, absorbers(structure, "V")[0])
    assert 2.0 < descriptors.angle_spread(*about) < 7.0


def test_candidates_are_nan_where_a_cluster_cannot_define_them():
    metal = ["Fe", "Fe"], np.array([[0.0, 0, 0], [2.5, 0, 0]])
    assert np.isnan(descriptors.mean_bond_length(*metal))
    two = ["Fe", "O", "O"], np.array([[0.0, 0, 0], [2.0, 0, 0], [0, 2.0, 0]])
    assert descriptors.mean_bond_length(*two) == 2.0
    assert np.isnan(descriptors.angle_spread(*two))


def test_descriptors_do_not_depend_on_orientation_or_order():
    symbols, xyz = cluster(hematite(), 0)
    rotation = np.linalg.qr(np.random.default_rng(1).normal(size=(3, 3)))[0]
    order = [0, *(1 + np.random.default_rng(2).permutation(len(symbols) - 1))]
    turned = [symbols[i] for i in order], (xyz @ rotation)[order]
    np.testing.assert_allclose(
        descriptors.describe(*turned, 3.0), descriptors.describe(symbols, xyz, 3.0), atol=1e-6
    )


def test_sites_that_hang_on_a_cutoff_are_counted():
    def site(distance):
        symbols = ("Fe", "O", "O", "Ca")
        xyz = np.array([[0.0, 0, 0], [2.0, 0, 0], [0, distance, 0], [4.3, 0, 0]])
        energy = np.array([0.0, 1.0])
        return Site("f", "r", "Fe", energy, energy, 3.0, "x", symbols=symbols, xyz=xyz)

    counts = sensitivity([site(2.1), site(2.55), site(2.65), site(2.9)])
    assert counts.sites == 4
    assert counts.coordination == (1, 1)
