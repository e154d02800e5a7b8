"""Compute descriptors of an absorber from its structure: pure functions of one cluster.

A cluster is what the simulated files hold: symbols with the absorber first,
and coordinates in Å relative to it. A descriptor that a cluster cannot define
is NaN, and the losses mask it.
"""

from collections.abc import Sequence
from functools import cache

import numpy as np
from numpy.typing import NDArray
from pymatgen.core.molecule_structure_comparator import CovalentRadius

from rankaae_stream.spectrum import Floats

__all__ = [
    "DESCRIPTORS",
    "FIRST_SHELL",
    "ambiguous_shell",
    "angle_spread",
    "bond_length_spread",
    "coordination_number",
    "describe",
    "ligand_coordination",
    "mean_bond_length",
    "min_ligand_distance",
]

FIRST_SHELL = 2.6
"""Radius of the first shell, Å: beyond the longest Jahn-Teller bond, below the second shell."""

DOUBT = 0.2
"""How far the first shell's radius may be drawn otherwise, Å: where the count changes with it,
nobody can say what is right."""

BOND_TOLERANCE = 1.25
"""A cation binds an oxygen within this multiple of the sum of their covalent radii."""

ANIONS = frozenset({"O", "S", "Se", "Te", "N", "F", "Cl", "Br", "I"})

DESCRIPTORS = {
    "oxidation_state": "e",
    "coordination_number": "1",
    "ligand_coordination": "1",
    "bond_length_spread": "Å",
    "min_ligand_distance": "Å",
    "mean_bond_length": "Å",
    "angle_spread": "°",
}
"""Name and unit of every descriptor, in the order of the labels; a configuration chooses.

The first five are the original authors'. Of the two candidates for a sixth, the mean bond
length earned it: on validation compounds of Fe, V, Co and Cr its rank correlation is .96
(the spread of angles .79), and neither costs the other dimensions anything beyond noise.
"""


def describe(symbols: Sequence[str], xyz: Floats, oxidation_state: float) -> Floats:
    """Return all descriptors of one cluster, in the order of `DESCRIPTORS`.

    Parameters
    ----------
    symbols : sequence of n str
        Absorber first.
    xyz : (n, 3) array
        Å, absorber at the origin.
    oxidation_state : float
        Formal valence, which does not follow from a geometry alone.

    Returns
    -------
    (k,) array
    """
    return np.array(
        [
            oxidation_state,
            coordination_number(symbols, xyz),
            ligand_coordination(symbols, xyz),
            bond_length_spread(symbols, xyz),
            min_ligand_distance(symbols, xyz),
            mean_bond_length(symbols, xyz),
            angle_spread(symbols, xyz),
        ]
    )


def coordination_number(
    symbols: Sequence[str], xyz: Floats, first_shell: float = FIRST_SHELL
) -> float:
    """Count the oxygens within `first_shell` (Å) of the absorber."""
    return float(_shell(symbols, xyz, first_shell).size)


def ambiguous_shell(symbols: Sequence[str], xyz: Floats) -> bool:
    """Tell whether the coordination number changes within `DOUBT` of `FIRST_SHELL`."""
    ends = (FIRST_SHELL - DOUBT, FIRST_SHELL + DOUBT)
    shorter, longer = (coordination_number(symbols, xyz, radius) for radius in ends)
    return shorter != longer


def ligand_coordination(
    symbols: Sequence[str], xyz: Floats, first_shell: float = FIRST_SHELL, wider: float = 0.0
) -> float:
    """Return the mean number of cations, of any kind, bound to a first-shell oxygen.

    A cation is bound when it lies within `BOND_TOLERANCE` times the sum of the
    covalent radii of B. Cordero et al., Dalton Trans. 2832 (2008); the absorber
    itself counts once. NaN without first-shell oxygens. `wider` (Å) is added to every
    such reach, to see how much a label depends on its cutoff.
    """
    shell = _shell(symbols, xyz, first_shell)
    if not shell.size:
        return float("nan")
    cations = np.array([i for i, symbol in enumerate(symbols) if i and symbol not in ANIONS])
    if not cations.size:
        return 1.0
    reach = np.array([_reach(symbols[i]) for i in cations])
    distance: Floats = np.linalg.norm(
        xyz[shell][:, None] - xyz[cations][None], axis=2
    )  # (oxygens, cations)
    near: NDArray[np.int64] = np.sum(distance < reach + wider, axis=1)
    return float(1.0 + near.mean())


def bond_length_spread(symbols: Sequence[str], xyz: Floats) -> float:
    """Return the standard deviation (of the population) of the bonds' lengths, Å; NaN below two."""
    shell = _shell(symbols, xyz)
    if shell.size < 2:
        return float("nan")
    return float(np.std(np.linalg.norm(xyz[shell], axis=1)))


def min_ligand_distance(symbols: Sequence[str], xyz: Floats) -> float:
    """Return the shortest distance between two first-shell oxygens, Å; NaN below two."""
    shell = xyz[_shell(symbols, xyz)]
    if len(shell) < 2:
        return float("nan")
    distance = np.linalg.norm(shell[:, None] - shell[None], axis=2)
    return float(distance[np.triu_indices(len(shell), 1)].min())


def mean_bond_length(symbols: Sequence[str], xyz: Floats) -> float:
    """Return the mean absorber-oxygen distance, Å; NaN without a bond."""
    shell = _shell(symbols, xyz)
    if not shell.size:
        return float("nan")
    lengths: Floats = np.linalg.norm(xyz[shell], axis=1)
    return float(lengths.mean())


def angle_spread(symbols: Sequence[str], xyz: Floats) -> float:
    """Return the standard deviation (of the population) of all O-M-O angles, °; NaN below three O.

    A regular tetrahedron has 0. A regular octahedron has 12 angles of 90° and 3 of
    180°, which gives 36°: like bond_length_spread it measures how unlike the
    bonds are, not how far from one ideal.
    """
    shell = xyz[_shell(symbols, xyz)]
    if len(shell) < 3:
        return float("nan")
    unit = shell / np.linalg.norm(shell, axis=1, keepdims=True)
    cosine = (unit @ unit.T)[np.triu_indices(len(unit), 1)]
    return float(np.std(np.degrees(np.arccos(np.clip(cosine, -1.0, 1.0)))))


def _shell(
    symbols: Sequence[str], xyz: Floats, first_shell: float = FIRST_SHELL
) -> NDArray[np.intp]:
    oxygen = np.array([symbol == "O" for symbol in symbols])
    oxygen[0] = False
    return np.flatnonzero(oxygen & (np.linalg.norm(xyz, axis=1) <= first_shell))


@cache
def _reach(symbol: str) -> float:
    return BOND_TOLERANCE * (CovalentRadius.radius[symbol] + CovalentRadius.radius["O"])
