"""Read simulated spectra of one element, label them, extend them to lower energy, and split."""

import itertools
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from rankaae_stream.errors import ConfigurationError
from rankaae_stream.model.domain import below_edge
from rankaae_stream.spectrum import K_EDGES, Floats
from training.config import Data, Grid
from training.descriptors import DESCRIPTORS, ambiguous_shell, describe
from training.folders import DATA
from training.simulated.sources import elements, read_sites

__all__ = [
    "MARGIN",
    "STEP",
    "Simulated",
    "Split",
    "lorentzian_tail",
    "material",
    "on_axis",
    "read",
    "split",
    "theory_shifts",
    "valence_per_ev",
    "with_related",
]
Indices = NDArray[np.intp]


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
        First and last simulated energy as moved by `data.shifts`, eV.
    labels : (n, k) array
        Columns as in `DESCRIPTORS`; NaN where undefined.
    group : (n,) array of str
        Host formula: what the split keeps together.
    sources : tuple of (name, sha256)
        Files it came from.
    native : (n,) array of bool
        Relaxed geometries in hosts of their own metal.
    own_host : (n,) array of bool
        All geometries in hosts of their own metal.
    ambiguous : (n,) array of bool
        Whose coordination number depends on where the first shell is drawn.
    dropped : dict
        How many sites were unphysical, by reason.
    bad : tuple of str
        What could not be read and was skipped.
    related : Simulated, optional
        Sites of other elements, see `with_related`.
    """

    energy: Floats
    mu: Floats
    first: Floats
    last: Floats
    labels: Floats
    group: NDArray[np.str_]
    sources: tuple[tuple[str, str], ...]
    native: NDArray[np.bool_] = field(default_factory=lambda: np.empty(0, dtype=bool))
    own_host: NDArray[np.bool_] = field(default_factory=lambda: np.empty(0, dtype=bool))
    ambiguous: NDArray[np.bool_] = field(default_factory=lambda: np.empty(0, dtype=bool))
    dropped: Mapping[str, int] = field(default_factory=dict[str, int])
    bad: tuple[str, ...] = ()
    related: "Simulated | None" = None


@dataclass(frozen=True, eq=False)
class Split:
    """Row numbers of the three parts; no compound is in two of them."""

    train: Indices
    validation: Indices
    test: Indices


def read(
    element: str, data: Data, grid: Grid, folder: Path = DATA, *, skip_bad: bool = False
) -> Simulated:
    """Read every batch of an element's simulated spectra.

    Parameters
    ----------
    element : str
    data : Data
        `simulated` is a glob below `folder`; the files are read in the order of their names.
    grid : Grid
        The model's grid; the stored axis reaches `MARGIN` beyond it.
    folder : Path
    skip_bad : bool
        Go on after what cannot be read, and list it.

    Raises
    ------
    ConfigurationError
        When no file matches, something cannot be read, or nothing of the element is left.
    """
    found = read_sites(element, data, folder, skip_bad=skip_bad)
    sites = found.sites
    axis = np.arange(grid.start - MARGIN, grid.stop + MARGIN + STEP / 2, STEP)
    valence = np.array([site.oxidation_state for site in sites])
    moved = -theory_shifts(data, valence)
    mu = np.empty((len(sites), axis.size))
    first, last = np.empty(len(sites)), np.empty(len(sites))
    labels = np.empty((len(sites), len(DESCRIPTORS)))
    for i, site in enumerate(sites):
        energy = site.energy - K_EDGES[element] + moved[i]
        mu[i] = on_axis(axis, energy, site.mu, data.core_hole_width)
        first[i], last[i] = energy[0], energy[-1]
        labels[i] = describe(site.symbols, site.xyz, valence[i]) if site.symbols else site.labels
        labels[i, 0] = valence[i]
    return Simulated(
        energy=axis,
        mu=mu,
        first=first,
        last=last,
        labels=labels,
        group=np.array([site.group for site in sites]),
        sources=found.sources,
        native=np.array([site.native for site in sites]),
        own_host=np.array([site.own_host for site in sites]),
        ambiguous=np.array(
            [bool(site.symbols) and ambiguous_shell(site.symbols, site.xyz) for site in sites]
        ),
        dropped=found.dropped,
        bad=found.bad,
    )


def theory_shifts(data: Data, valence: Floats) -> Floats:
    """Return what `data.shifts` says of each valence (n,), eV: linear between two, else constant.

    An unknown valence has their mean; without any all are 0.
    """
    if not data.shifts:
        return np.zeros_like(valence)
    levels = sorted(data.shifts)
    known = np.interp(valence, levels, [data.shifts[level] for level in levels])
    return np.where(np.isfinite(valence), known, np.mean(list(data.shifts.values())))


def material(
    element: str, data: Data, grid: Grid, folder: Path = DATA, *, skip_bad: bool = False
) -> tuple[Simulated, Split]:
    """Read sites with their related ones, and split them: what trials are made of.

    Parameters and errors are those of `read`, whose result alone is enough to judge.
    """
    simulated = read(element, data, grid, folder, skip_bad=skip_bad)
    return with_related(simulated, element, data, grid), split(simulated, data)


def with_related(simulated: Simulated, element: str, data: Data, grid: Grid) -> Simulated:
    """Add the sites of other elements that `data.related` names, if any.

    The same neighbours scatter alike around another metal, and its edge moves with the
    valence as this one's does: its spectra teach both. Each element's are moved so that
    edges of equal valence lie together.

    Raises
    ------
    ConfigurationError
        As `read` does.
    """
    if data.related is None:
        return simulated
    shipped = Data(simulated=data.related, core_hole_width=data.core_hole_width)
    found: list[Simulated] = []
    for path in sorted(DATA.glob(data.related)):
        one = shipped.model_copy(update={"simulated": path.name})
        for other in elements(one, DATA):
            if other != element:
                found.append(_aligned(read(other, one, grid), simulated))
    if not found:
        raise ConfigurationError(
            f"data.related = {data.related!r} matches no file with another element in "
            f"training/data; leave it out, or name one such as mn-feff10-*.parquet"
        )
    each = ("mu", "first", "last", "labels", "group", "native", "own_host")
    rows: dict[str, Any] = {
        name: np.concatenate([getattr(one, name) for one in found]) for name in each
    }
    related = Simulated(
        energy=simulated.energy,
        **rows,
        sources=tuple(source for one in found for source in one.sources),
    )
    return replace(simulated, related=related)


def _aligned(simulated: Simulated, own: Simulated) -> Simulated:
    """Move another element's sites, each valence by itself, so that edges lie together.

    Labels of a valence that the element itself has not become NaN: its edge is unknown,
    and its sites move as the median valence does.
    """
    edges, wanted = _edges(simulated), _edges(own)
    both = {one: wanted[one] - edges[one] for one in edges.keys() & wanted.keys()}
    usual = float(np.median(list(both.values()))) if both else 0.0
    axis, labels = simulated.energy, simulated.labels.copy()
    move = np.array([both.get(float(one), usual) for one in labels[:, 0]])
    labels[~np.isin(labels[:, 0], list(both)), 0] = np.nan
    moved: list[Floats] = [
        np.interp(axis - by, axis, mu) for by, mu in zip(move, simulated.mu, strict=True)
    ]
    return replace(
        simulated,
        mu=np.stack(moved),
        first=simulated.first + move,
        last=simulated.last + move,
        labels=labels,
    )


def _edges(simulated: Simulated) -> dict[float, float]:
    """Return, by valence, the median energy at which spectra first reach half a step, eV."""
    half = simulated.energy[np.argmax(simulated.mu > 0.5, axis=1)]
    valence = simulated.labels[:, 0]
    return {
        float(one): float(np.median(half[valence == one]))
        for one in np.unique(valence[np.isfinite(valence)])
    }


def valence_per_ev(simulated: Simulated) -> float:
    """Return by how much a mixture's valence seems to change where its axis is 1 eV off.

    The edge of a mixture moves from one valence's to the next one's: the median over
    neighbouring valences of their difference over that of their edges. 0 with one valence.
    """
    half, valence = simulated.energy[below_edge(simulated.mu)], simulated.labels[:, 0]
    levels = np.unique(valence[np.isfinite(valence)])
    edges = [(float(one), float(np.median(half[valence == one]))) for one in levels]
    each = [
        (upper - lower) / (high - low)
        for (lower, low), (upper, high) in itertools.pairwise(edges)
        if high > low + STEP
    ]
    return float(np.median(each)) if each else 0.0


def on_axis(axis: Floats, energy: Floats, mu: Floats, width: float) -> Floats:
    """Interpolate a simulated spectrum onto an axis, with the core hole's tail below it.

    Parameters
    ----------
    axis : (f,) array
    energy, mu : (n,) arrays
    width : float
        Full width of the core hole, eV.
    """
    flat = np.interp(axis, energy, mu)
    below = axis < energy[0]
    flat[below] = lorentzian_tail(axis[below], energy[0], float(mu[0]), width)
    return flat


def lorentzian_tail(energy: Floats, joint: float, height: float, width: float) -> Floats:
    """Return absorption below the first simulated point: the core hole's Lorentzian tail.

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
    to the part that lacks most rows of that valence. Compounds of unknown valence
    are dealt among themselves.
    """
    rng = np.random.default_rng(data.split_seed)
    shares = np.array([1.0 - data.validation - data.test, data.validation, data.test])
    names, member = np.unique(simulated.group, return_inverse=True)
    valence = np.nan_to_num(simulated.labels[:, 0], nan=np.inf)  # NaN equals nothing
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
