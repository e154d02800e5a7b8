"""Simulated spectra of one element: read, labelled, continued below, split by compound."""

import hashlib
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from rankaae_stream.errors import ConfigurationError
from rankaae_stream.spectrum import K_EDGES
from training.config import Data, Grid
from training.descriptors import DESCRIPTORS, describe

__all__ = ["DATA", "MARGIN", "STEP", "Simulated", "Split", "lorentzian_tail", "read", "split"]

Floats = NDArray[np.float64]
Indices = NDArray[np.intp]

DATA = Path(__file__).resolve().parent / "data"

MARGIN = 12.0
"""How far the stored axis reaches beyond the model's grid on both sides, eV: room for shifts."""

STEP = 0.25
"""Step of the stored axis, eV."""


@dataclass(frozen=True, eq=False)
class Simulated:
    """All simulated sites of one element on one uniform axis.

    Attributes
    ----------
    energy : (f,) array
        eV from the tabulated edge, uniform.
    mu : (n, f) array
        FEFF's normalised absorption, with the tail below.
    first, last : (n,) arrays
        First and last simulated energy after the compression was undone, eV.
    labels : (n, k) array
        Columns as in `DESCRIPTORS`; NaN where undefined.
    group : (n,) array of str
        Host formula: what the split keeps together.
    sources : tuple of (name, sha256)
        Files it came from.
    """

    energy: Floats
    mu: Floats
    first: Floats
    last: Floats
    labels: Floats
    group: NDArray[np.str_]
    sources: tuple[tuple[str, str], ...]


@dataclass(frozen=True, eq=False)
class Split:
    """Row numbers of the three parts; no compound is in two of them."""

    train: Indices
    validation: Indices
    test: Indices


def read(element: str, data: Data, grid: Grid, folder: Path = DATA) -> Simulated:
    """Read every batch of an element's simulated spectra.

    Parameters
    ----------
    element : str
    data : Data
        `simulated` is a glob below `folder`; the files are read in the order of their names.
    grid : Grid
        The model's grid; the stored axis reaches `MARGIN` beyond it.
    folder : Path

    Raises
    ------
    ConfigurationError
        When no file matches, or none holds the element.
    """
    paths = sorted(folder.glob(data.simulated))
    if not paths:
        raise ConfigurationError(f"no file matches {data.simulated} in {folder}")
    table = pa.concat_tables([pq.read_table(path) for path in paths])
    rows = [row for row in table.to_pylist() if row["element"] == element]
    if not rows:
        raise ConfigurationError(f"no {element} site in {', '.join(p.name for p in paths)}")
    axis = np.arange(grid.start - MARGIN, grid.stop + MARGIN + STEP / 2, STEP)
    valence = np.array([row["oxidation_state"] for row in rows], dtype=float)
    moved = data.compression * (valence - valence.mean())
    mu = np.empty((len(rows), axis.size))
    first, last = np.empty(len(rows)), np.empty(len(rows))
    labels = np.empty((len(rows), len(DESCRIPTORS)))
    for i, row in enumerate(rows):
        energy = np.asarray(row["energy"]) - K_EDGES[element] + moved[i]
        mu[i] = np.interp(axis, energy, row["mu"])
        below = axis < energy[0]
        mu[i, below] = lorentzian_tail(axis[below], energy[0], row["mu"][0], data.core_hole_width)
        first[i], last[i] = energy[0], energy[-1]
        xyz = np.asarray(row["xyz"], dtype=float).reshape(-1, 3)
        labels[i] = describe(row["symbols"], xyz, valence[i])
    sources = tuple((p.name, hashlib.sha256(p.read_bytes()).hexdigest()) for p in paths)
    group = np.array([row["host_formula"] for row in rows])
    return Simulated(axis, mu, first, last, labels, group, sources)


def lorentzian_tail(energy: Floats, joint: float, height: float, width: float) -> Floats:
    """Absorption below the first simulated point: the core hole's Lorentzian tail.

    A step of height 1 convolved with a Lorentzian is an arctangent; it is laid
    so that it passes through the first simulated point.

    Parameters
    ----------
    energy : (n,) array
        eV, below `joint`.
    joint, height : float
        First simulated point; its height is kept within (0.001, 0.4).
    width : float
        Full width of the core hole, eV.

    Returns
    -------
    (n,) array
    """
    height = min(max(height, 1e-3), 0.4)
    centre = joint - width / 2 * np.tan(np.pi * (height - 0.5))
    return 0.5 + np.arctan((energy - centre) / (width / 2)) / np.pi


def split(simulated: Simulated, data: Data) -> Split:
    """Split by compound, seeded, each part with its share of every valence.

    Compounds are shuffled within the valence most of their sites have, and dealt
    to the part that lacks most rows of that valence.
    """
    rng = np.random.default_rng(data.split_seed)
    shares = np.array([1.0 - data.validation - data.test, data.validation, data.test])
    names, member = np.unique(simulated.group, return_inverse=True)
    valence = simulated.labels[:, 0]
    common = np.array([_most_common(valence[member == i]) for i in range(names.size)])
    part = np.empty(names.size, dtype=int)
    for value in np.unique(common):
        filled = np.zeros(3)
        for i in rng.permutation(np.flatnonzero(common == value)):
            lacking = shares - filled / max(filled.sum(), 1.0)
            part[i] = int(np.argmax(lacking))
            filled[part[i]] += np.sum(member == i)
    rows = part[member]
    train, validation, test = (np.flatnonzero(rows == i) for i in range(3))
    return Split(train, validation, test)


def _most_common(values: Floats) -> float:
    found, counts = np.unique(values, return_counts=True)
    return float(found[np.argmax(counts)])
