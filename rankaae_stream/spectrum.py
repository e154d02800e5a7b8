"""Define the values that travel from documents to numbers.

Energies are in eV, arrays are float64 and read-only once inside a noun.
"""

from dataclasses import dataclass
from functools import lru_cache
from types import MappingProxyType
from typing import Literal

import numpy as np
from numpy.typing import NDArray

__all__ = [
    "AXIS_UNCERTAINTY",
    "K_EDGES",
    "Channel",
    "Edge",
    "EnergyGrid",
    "Floats",
    "Limits",
    "NormalizationRanges",
    "NormalizedSpectrum",
    "Origin",
    "Spectrum",
    "absorption",
]

Floats = NDArray[np.float64]
Channel = Literal["transmission", "fluorescence", "pips", "reference"]

K_EDGES = MappingProxyType(
    {
        "Ti": 4966.0,
        "V": 5465.0,
        "Cr": 5989.0,
        "Mn": 6539.0,
        "Fe": 7112.0,
        "Co": 7709.0,
        "Ni": 8333.0,
        "Cu": 8979.0,
    }
)
"""Tabulated K edges, eV: the first inflection of the metal foil (Bearden and
Burr, Rev. Mod. Phys. 39, 125 (1967), as used in X-ray data booklets)."""


AXIS_UNCERTAINTY = 0.7
"""Standard deviation of an energy axis that no foil has calibrated, eV: how far
the axes of laboratories lie apart."""


@dataclass(frozen=True, slots=True)
class Edge:
    """One absorption edge; `e0` is the tabulated one, never measured on a scan."""

    element: str
    shell: str
    e0: float

    def __str__(self) -> str:
        return f"{self.element} {self.shell}"


@dataclass(frozen=True, slots=True)
class Origin:
    """Where a spectrum comes from; with its model, what a result's uid is made of.

    Attributes
    ----------
    source : str
        The raw run's uid, or a file's path.
    channel : Channel
    sweep : int
        Which sweep of the run, counted from 0.
    complete : bool
        False while the scan is still growing.
    """

    source: str = ""
    channel: Channel = "transmission"
    sweep: int = 0
    complete: bool = True


@dataclass(frozen=True, slots=True)
class Limits:
    """Between which a detector's reading can be trusted: `low` to `high`, in `unit`.

    `name` is the field or input that it belongs to.
    """

    low: float = 0.0
    high: float = float("inf")
    unit: str = ""
    name: str = ""


@dataclass(frozen=True, slots=True, eq=False)
class Spectrum:
    """One sweep's absorption, as measured.

    Attributes
    ----------
    energy : (n,) array
        Strictly increasing, eV.
    mu : (n,) array
        Absorption, arbitrary height and background.
    edge : Edge
    origin : Origin
    """

    energy: Floats
    mu: Floats
    edge: Edge
    origin: Origin = Origin()

    def __post_init__(self) -> None:
        if self.energy.ndim != 1 or self.energy.shape != self.mu.shape:
            raise ValueError(
                f"energy {self.energy.shape} and mu {self.mu.shape} must be one-dimensional "
                "and of equal length"
            )
        if (self.energy[1:] <= self.energy[:-1]).any():
            raise ValueError("energy must increase strictly; sort it and average duplicates first")

    @property
    def span(self) -> tuple[float, float]:
        """First and last energy, eV."""
        return float(self.energy[0]), float(self.energy[-1])


@dataclass(frozen=True, slots=True)
class NormalizationRanges:
    """Where the pre-edge and post-edge curves are fitted, eV from `edge.e0`.

    `npre` is 1 for a straight line and 0 for a constant; `nnorm` is the degree
    of the post-edge polynomial. Ranges are never guessed from a scan: a number
    that changed with the scan's length would not be a property of the sample.
    """

    pre1: float = -150.0
    pre2: float = -30.0
    norm1: float = 50.0
    norm2: float = 150.0
    npre: int = 1
    nnorm: int = 1


@dataclass(frozen=True, slots=True, eq=False)
class NormalizedSpectrum:
    """A spectrum with edge step 1.

    Attributes
    ----------
    energy, norm, flat : (n,) arrays
        eV; pre-edge subtracted and divided by the step; the same with the slope
        and curvature of the post-edge taken out. The model sees `flat`.
    e0 : float
        Where the step was evaluated, eV.
    edge_step : float
        Height of the step in units of mu.
    ranges : NormalizationRanges
        The ranges that were really used.
    """

    energy: Floats
    norm: Floats
    flat: Floats
    e0: float
    edge_step: float
    ranges: NormalizationRanges


@dataclass(frozen=True, slots=True)
class EnergyGrid:
    """The model's energy axis: `points` equidistant energies, eV from `edge.e0`."""

    start: float
    stop: float
    points: int

    def relative(self) -> Floats:
        """Return the energies from the tabulated edge, eV, shape (points,)."""
        return _equidistant(self.start, self.stop, self.points)


@lru_cache(maxsize=64)
def _equidistant(start: float, stop: float, points: int) -> Floats:
    found = np.linspace(start, stop, points)
    found.setflags(write=False)
    return found


def absorption(
    i0: Floats | None = None,
    *,
    it: Floats | None = None,
    ir: Floats | None = None,
    fluorescence: Floats | None = None,
    pips: Floats | None = None,
) -> dict[Channel, Floats]:
    """Return mu (n,) of every channel that was measured.

    Parameters
    ----------
    i0, it, ir : (n,) arrays
        Before the sample, after it, and after the reference foil, in one unit.
    fluorescence, pips : (n,) arrays
        In any unit, as long as it grows with the exposure as `i0` does.

    Notes
    -----
    Zero or negative signals give infinities and NaN on purpose: they are
    counted and judged where the whole sweep is known.

    Examples
    --------
    >>> absorption(np.array([4.0]), fluorescence=np.array([1.0]))
    {'fluorescence': array([0.25])}
    """
    mu: dict[Channel, Floats] = {}
    with np.errstate(divide="ignore", invalid="ignore", over="ignore"):
        if i0 is not None and it is not None:
            mu["transmission"] = -np.log(it / i0)
        if it is not None and ir is not None:
            mu["reference"] = -np.log(ir / it)
        if i0 is not None and fluorescence is not None:
            mu["fluorescence"] = fluorescence / i0
        if i0 is not None and pips is not None:
            mu["pips"] = pips / i0
    return mu
