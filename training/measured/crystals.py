"""Descriptors of the measured standards from their published crystal structures.

`data/standards/crystals.toml` holds one structure a compound. Its clusters are cut and
described as those of the simulated sites are, and averaged over the absorber's sites,
as a spectrum is.
"""

# pyright: basic
# pymatgen has no types

import tomllib
import warnings
from dataclasses import dataclass
from functools import cache
from typing import Any

import numpy as np
from pymatgen.core import IStructure, Lattice

from rankaae_stream.errors import ConfigurationError
from rankaae_stream.spectrum import Floats
from training.descriptors import DESCRIPTORS, describe
from training.folders import STANDARDS
from training.simulated.sources.feff import RADIUS

__all__ = ["TABLE", "Cluster", "clusters", "compounds", "descriptors_of", "structure"]

TABLE = STANDARDS / "crystals.toml"

UNLOCATED = {"OH": 1, "OH2": 2}
"""Oxygens whose hydrogens a refinement did not locate, and how many they bind."""

OH_BOND = 0.97
"""Length of an O-H bond, Å."""


@dataclass(frozen=True, eq=False)
class Cluster:
    """What surrounds one kind of absorber site.

    Attributes
    ----------
    symbols : tuple of n str, xyz : (n, 3) array
        Within `RADIUS`, absorber first and at the origin, Å.
    sites : int
        How many sites of the cell are of this kind.
    """

    symbols: tuple[str, ...]
    xyz: Floats
    sites: int


def descriptors_of(compound: str) -> Floats:
    """Return descriptors of a compound, each the mean over the absorber's sites in the crystal.

    Parameters
    ----------
    compound : str
        As in labels.csv.

    Returns
    -------
    (k,) array
        In the order of `DESCRIPTORS`; the valence is the formal one. All others are NaN
        where the compound has no structure, single ones where the structure hides them
        or a site does not define them.

    Raises
    ------
    ConfigurationError
        When the table does not know the compound.
    """
    return _averaged(compound).copy()


@cache
def clusters(compound: str) -> tuple[Cluster, ...]:
    """Return one cluster for every kind of absorber site, in the order of the table.

    Hydrogens that were not located stand behind their oxygen as the absorber sees it:
    there they are bound to it alone, which is all that a descriptor asks.

    Raises
    ------
    ConfigurationError
        When the table does not know the compound, or knows it to have no structure.
    """
    crystal = structure(compound)
    kinds = np.array(crystal.site_properties["kind"])
    absorber = _entry(compound)["absorber"]
    found: list[Cluster] = []
    for kind in dict.fromkeys(kinds):
        members = np.flatnonzero(kinds == kind)
        if crystal[members[0]].specie.symbol == absorber:
            symbols, xyz = _cut(crystal, crystal[members[0]].coords)
            found.append(Cluster(symbols, xyz, members.size))
    return tuple(found)


@cache
def structure(compound: str) -> IStructure:
    """Return the unit cell without hydrogens whose positions are unknown.

    The site properties are `kind`, the row of the table a site comes from, and `hydrogens`,
    how many unlocated ones it binds.

    Raises
    ------
    ConfigurationError
        When the table does not know the compound, or knows it to have no structure.
    """
    entry = _entry(compound)
    if not entry["space_group"]:
        raise ConfigurationError(f"{compound} has no structure: {entry['note']}")
    species = [site[0] for site in entry["sites"]]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # a setting that is not the standard one
        return IStructure.from_spacegroup(
            entry["space_group"],
            Lattice.from_parameters(*entry["cell"]),
            ["O" if one in UNLOCATED else one for one in species],
            [site[1:] for site in entry["sites"]],
            site_properties={
                "kind": list(range(len(species))),
                "hydrogens": [UNLOCATED.get(one, 0) for one in species],
            },
        )


def compounds() -> tuple[str, ...]:
    """List every compound of the table, those without a structure included."""
    return tuple(_table())


@cache
def _averaged(compound: str) -> Floats:
    entry = _entry(compound)
    if not entry["space_group"]:
        values = np.full(len(DESCRIPTORS), np.nan)
        values[0] = entry["oxidation_state"]
        return values
    kinds = clusters(compound)
    described = [describe(one.symbols, one.xyz, entry["oxidation_state"]) for one in kinds]
    values = np.average(described, axis=0, weights=[one.sites for one in kinds])
    hidden = [name in entry.get("hidden", ()) for name in DESCRIPTORS]
    return np.where(hidden, np.nan, values)


def _cut(crystal: IStructure, centre: Floats) -> tuple[tuple[str, ...], Floats]:
    near = sorted(crystal.get_sites_in_sphere(centre, RADIUS), key=lambda one: one.nn_distance)
    symbols = [one.specie.symbol for one in near]
    xyz = [one.coords - centre for one in near]
    for one, vector in zip(near, tuple(xyz), strict=True):
        if count := one.properties["hydrogens"]:
            symbols += ["H"] * count
            xyz += [vector * (1.0 + OH_BOND / np.linalg.norm(vector))] * count
    return tuple(symbols), np.array(xyz)


def _entry(compound: str) -> dict[str, Any]:
    try:
        return _table()[compound]
    except KeyError:
        raise ConfigurationError(
            f"{TABLE.name} has no entry {compound!r}; add its structure there, "
            'or space_group = "" with a note that says why there is none'
        ) from None


@cache
def _table() -> dict[str, dict[str, Any]]:
    return tomllib.loads(TABLE.read_text(encoding="utf-8"))
