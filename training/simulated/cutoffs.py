"""Count the sites whose labels change when the cutoff of their definition moves."""

from collections.abc import Iterable
from dataclasses import dataclass

from training.descriptors import FIRST_SHELL, coordination_number, ligand_coordination
from training.simulated.sources import Site

__all__ = ["STEP", "Sensitivity", "sensitivity"]

STEP = 0.1
"""How far a cutoff is moved, Å."""


@dataclass(frozen=True)
class Sensitivity:
    """Numbers of sites whose label changes when one cutoff is `STEP` shorter or longer.

    `coordination` and `ligand_by_shell` move the radius of the first shell,
    `ligand_by_bond` the reach within which a cation binds an oxygen; each (shorter, longer).
    """

    sites: int
    coordination: tuple[int, int]
    ligand_by_shell: tuple[int, int]
    ligand_by_bond: tuple[int, int]


def sensitivity(sites: Iterable[Site]) -> Sensitivity:
    """Count changed labels over the sites that have a structure."""
    n = 0
    shell, ligand, bond = [0, 0], [0, 0], [0, 0]
    for site in sites:
        if not site.symbols:
            continue
        n += 1
        cluster = site.symbols, site.xyz
        number, mean = coordination_number(*cluster), ligand_coordination(*cluster)
        for i, moved in enumerate((-STEP, STEP)):
            radius = FIRST_SHELL + moved
            shell[i] += _differ(number, coordination_number(*cluster, radius))
            ligand[i] += _differ(mean, ligand_coordination(*cluster, radius))
            bond[i] += _differ(mean, ligand_coordination(*cluster, wider=moved))
    return Sensitivity(n, (shell[0], shell[1]), (ligand[0], ligand[1]), (bond[0], bond[1]))


def _differ(one: float, two: float) -> bool:
    """Tell whether two labels differ; one that became undefined does."""
    both_undefined = one != one and two != two  # noqa: PLR0124 (NaN)
    return not both_undefined and one != two
