"""Find the edge that a scan was measured at: the stated one, or else the one where mu rises.

Live runs, files and replays follow this one rule. Without a stated element the foot of the
largest rise of mu is compared with all tabulated K and L edges of all elements. L1 edges count
only where the K edge hardly fits: they are far weaker than the others, and one lies at each of
the K edges of Cr, Mn and Fe. The flag names them.

References
----------
Elam, Ravel and Sieber, Radiat. Phys. Chem. 63, 121 (2002), as in xraydb.
"""

import functools
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np

from rankaae_stream.errors import Refused
from rankaae_stream.report import Flag
from rankaae_stream.spectrum import K_EDGES, Edge, Floats

__all__ = [
    "Stated",
    "contradicting_edge",
    "edge_of",
    "element_within",
    "find_edge",
    "kev_of",
    "read_stated",
    "tabulated_edges",
]

LEAD = (15.0, 400.0)
"""How far below its edge a scan begins, eV: less shows no pre-edge, and further up
lies the edge of another element, which a long scan only passes."""
TAIL = 15.0
"""How far beyond its edge a scan goes at least, eV."""
FOOT = 0.1
"""Share of the edge step at which the rise begins. For 117 measured spectra of metals and
compounds this energy lies -3 to +10.5 eV from the tabulated K edge, the half of the step
-1 to +22 eV."""
WHITE_LINE = 1.5
"""Height of a white line, edge steps, beyond which the foot is sought higher up, in proportion."""
TYPICAL = {"K": 3.0, "L1": -0.5, "L2": -0.5, "L3": -0.5}
"""Where the foot lies from the tabulated edge, eV. Of L edges it lies lower: white lines begin
with the broad tail of a short-lived core hole."""
REACH = 10.0
"""How far from `TYPICAL` the foot may lie, eV: 7 for the compounds, 3 for the axis."""
MARGIN = 5.0
"""How much further the next edge has to be from the foot, eV, for the nearest to be taken."""
HARDLY = 8.0
"""Further than this from `TYPICAL`, eV, an L1 edge in `WEAK` is as likely as the K edge."""
WEAK = 10.0
"""How far from `TYPICAL` the foot of an L1 edge may lie to be named, eV."""
ELSEWHERE = 40.0
"""A foot further than this from the stated edge, eV, is of another one."""
SECOND = 0.3
"""A second K edge with this share of the largest step leaves open which one is meant."""
FALL = 0.3
"""A rise that is less than this share of the largest fall is no edge: mu is turned over."""
HEADER = 25.0
"""How far an E0 that a file states may lie from the tabulated edge it means, eV."""
KEV = (3.0, 30.0)
"""Energies of scans, keV; in eV no edge lies there."""
NEAR = 1500.0
"""How far from the stated edge a scan may begin for its energies to be taken for keV, eV."""
ASK = "state the element: infer --element, or the start key that [run] element of the profile names"

LONGEST = 100
"""Characters of a stated element or edge that are read."""

_EDGE = re.compile(
    r"(?:([a-z]+)[\s_-]+|([a-z]{1,2}))?(k|l[123]|li{1,3}|1s|2s|2p[13]/2)(?:[\s_-]*edge)?", re.I
)
_SHELLS = {
    "1S": "K",
    "2S": "L1",
    "2P1/2": "L2",
    "2P3/2": "L3",
    "LI": "L1",
    "LII": "L2",
    "LIII": "L3",
}


class Stated(NamedTuple):
    """Element, None where none is stated, and shell, as a run, a file or a person states them."""

    element: str | None = None
    shell: str = "K"

    @property
    def symbol(self) -> str:
        """Return the element's symbol; empty where none is stated, or a name."""
        return self.element if self.element and len(self.element) <= 2 else ""


def read_stated(element: object, edge: object = None) -> Stated:
    """Read a stated element and edge in any usual spelling; either may name both.

    A value that is no text is read as it is written: an element stated by its number is refused
    later, as an element that is not known.

    Examples
    --------
    >>> read_stated("fe", "K-edge")
    Stated(element='Fe', shell='K')
    >>> read_stated(None, "Fe K edge") == read_stated("Fe", "1s") == read_stated("fe k")
    True
    """
    symbol, stated = _stated(element), _stated(edge)
    both = _EDGE.fullmatch(symbol) if len(symbol) > 2 else None
    named = _EDGE.fullmatch(stated)
    shell = stated or "K"
    if named is not None:
        shell = named[3]
        symbol = symbol or named[1] or named[2] or ""
    if both is not None and (both[1] or both[2]):
        symbol = both[1] or both[2]
        shell = shell if stated else both[3]
    shell = _SHELLS.get(shell.upper(), shell.upper() if len(shell) <= 2 else shell)
    return Stated(symbol.capitalize() or None, shell)


def _stated(value: object) -> str:
    return "" if value is None else str(value)[:LONGEST].strip()


def edge_of(stated: Stated) -> Edge:
    """Return the tabulated edge that is stated.

    Raises
    ------
    Refused
        ``unknown_element`` where no element is stated, or none that is known here.

    Examples
    --------
    >>> edge_of(Stated("Fe"))
    Edge(element='Fe', shell='K', e0=7112.0)
    """
    symbol, shell = stated
    if symbol is None:
        raise Refused("unknown_element", f"no element is stated; {ASK}")
    if shell == "K" and symbol in K_EDGES:
        return Edge(symbol, "K", K_EDGES[symbol])
    meant = _tables()[1].get(symbol.lower())
    if meant is not None:
        message = f"the element is given as {symbol.lower()}; give its symbol, {meant}"
        raise Refused("unknown_element", message)
    known = ", ".join(K_EDGES)
    raise Refused(
        "unknown_element", f"the run says {symbol} {shell}; edges known here are K of {known}"
    )


def find_edge(
    stated: Stated, curves: Sequence[tuple[Floats, Floats]], e0: float | None = None
) -> tuple[Edge, Flag | None]:
    """Return the stated edge, or the one where mu rises, with a flag that says so.

    Parameters
    ----------
    stated : Stated
    curves : sequence of pairs of (n,) arrays
        Energy, eV, and mu of each channel of a finished scan, in any order; the channel whose
        rise is clearest counts for all.
    e0 : float, optional
        Energy of the edge by a file's header, eV; it decides where several are possible.

    Raises
    ------
    Refused
        ``unknown_element`` where the stated element is not known here, or several edges are
        possible; ``no_edge`` where mu does not rise.
    """
    if stated.element is not None:
        return edge_of(stated), None
    if stated.shell in ("L1", "L2", "L3"):
        message = f"an {stated.shell} edge is stated, of no element; edges known here are K edges"
        raise Refused("unknown_element", message)
    rises = [rise for energy, mu in curves if (rise := _find_rise(energy, mu)) is not None]
    if not rises:
        message = "no element is stated, and mu rises nowhere by more than its scatter"
        if any(_find_rise(energy, -mu) is not None for energy, mu in curves):
            message = (
                "mu falls where it should rise at an edge: its sign may be turned, the two "
                "currents exchanged, or it is the transmitted part I/I0; no element is stated"
            )
        raise Refused("no_edge", f"{message}; {ASK}")
    return _deduce(max(rises, key=lambda found: found.clarity), e0)


def contradicting_edge(energy: Floats, mu: Floats, stated: Edge) -> Edge | None:
    """Return the K edge at which mu (n,) rises, where that is clearly not the stated one."""
    rise = _find_rise(energy, mu)
    if rise is None or abs(rise.foot - stated.e0) < ELSEWHERE:
        return None
    try:
        found, _ = _deduce(rise, None)
    except Refused:
        return None
    return found if found.element != stated.element else None


def _deduce(rise: "_Rise", e0: float | None) -> tuple[Edge, Flag]:
    """Return the edge that a rise belongs to."""
    by_distance = sorted(tabulated_edges(), key=rise.distance)
    nearest, *others = (edge for edge in by_distance if edge.shell != "L1")
    limit = rise.distance(nearest) + MARGIN
    rivals = [edge for edge in others if rise.distance(edge) < limit] + rise.further
    weak = [edge for edge in by_distance if edge.shell == "L1" and rise.distance(edge) <= WEAK]
    if rise.distance(nearest) > HARDLY:
        rivals += weak
    start = f"no element is stated, and mu rises from {rise.foot:.0f} eV on"
    if rise.distance(nearest) > REACH:
        raise Refused(
            "unknown_element",
            f"{start}, where no tabulated K or L edge begins within {REACH:g} eV; around it are "
            f"{_listed(by_distance[:3])}; {ASK}",
        )
    edge, reason = nearest, "the nearest of all tabulated edges"
    if e0 is not None and rivals:
        edge = min((nearest, *rivals), key=lambda edge: abs(edge.e0 - e0))
        reason = f"the one that the header's E0 of {e0:g} eV is nearest to"
    if edge.shell != "K" or (rivals and (e0 is None or abs(edge.e0 - e0) > HEADER)):
        ours = [edge for edge in tabulated_edges() if edge.shell == "K" and edge.element in K_EDGES]
        beside = (nearest, *rivals, min(ours, key=rise.distance))
        raise Refused("unknown_element", f"{start}: {_listed(beside, ' or ')}; {ASK}")
    also = f"; {_listed(weak)}, much weaker, lies there too" if weak else ""
    message = (
        f"{start}, {rise.foot - edge.e0:+.0f} eV from the {edge} edge ({edge.e0:.0f} eV), "
        f"{reason}{also}; state the element if it is another"
    )
    return edge, Flag("element_deduced", "info", rise.foot, "eV", message)


def element_within(energy: Floats) -> str | None:
    """Return the element whose K edge a finished scan leads up to and passes.

    Parameters
    ----------
    energy : (n,) array
        eV, in any order.

    Returns
    -------
    str or None
        Of the lowest such edge.

    Examples
    --------
    >>> element_within(np.array([6960.0, 7800.0]))
    'Fe'
    >>> element_within(np.array([-10.0, 10.0])) is None
    True
    """
    energy = energy[np.isfinite(energy)]
    if not energy.size:
        return None
    low, high = float(energy.min()), float(energy.max())
    for edge in tabulated_edges():
        if edge.shell == "K" and LEAD[0] <= edge.e0 - low <= LEAD[1] and high - edge.e0 >= TAIL:
            return edge.element
    return None


def kev_of(low: float, high: float, stated: Stated) -> bool:
    """Return whether energies measured from `low` to `high` must be keV, though nothing says so.

    They are where they lie at the stated edge if they are keV, and in no way if they are eV; or,
    with none stated, where they then lead up to a K edge that is answered here, and pass it.

    Examples
    --------
    >>> kev_of(6.96, 7.4, Stated("Fe")), kev_of(6.96, 7.4, Stated()), kev_of(12.0, 14.0, Stated())
    (True, True, False)
    """
    if not KEV[0] <= low <= high <= KEV[1]:
        return False
    if stated.element is None:
        return element_within(1000.0 * np.array([low, high])) in K_EDGES
    e0 = K_EDGES.get(stated.element)
    return e0 is not None and 1000.0 * low - NEAR <= e0 <= 1000.0 * high + NEAR


def tabulated_edges() -> tuple[Edge, ...]:
    """Return all tabulated K and L edges of Li to U, by rising energy.

    Reading them takes half a second, so a session does it at start-up.
    """
    return _tables()[0]


@functools.cache
def _tables() -> tuple[tuple[Edge, ...], Mapping[str, str]]:
    """Return the edges by energy, and the elements' symbols by their names."""
    import xraydb

    table: Any = xraydb  # which has no types
    symbols: dict[str, str] = {
        table.atomic_name(z).lower(): table.atomic_symbol(z) for z in range(1, 93)
    }
    edges = [
        Edge(symbol, shell, float(found.energy))
        for symbol in symbols.values()
        for shell, found in table.xray_edges(symbol).items()
        if shell in TYPICAL
    ]
    return tuple(sorted(edges, key=lambda edge: edge.e0)), symbols


def _listed(edges: Sequence[Edge], between: str = ", ") -> str:
    return between.join(dict.fromkeys(f"{edge} ({edge.e0:.0f} eV)" for edge in edges))


# ---- where mu rises ------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class _Rise:
    """The largest rise of one mu(E).

    `foot` is where it begins, eV; `clarity` its height by the scatter of the pre-edge;
    `further` are other K edges at which mu rises as well.
    """

    foot: float
    clarity: float
    further: list[Edge]

    def distance(self, edge: Edge) -> float:
        """Return how far the foot lies from where that of this edge lies typically, eV."""
        return abs(self.foot - edge.e0 - TYPICAL[edge.shell])


class _Means:
    """Means of mu over any intervals of the energy: glitches of one point left out."""

    def __init__(self, energy: Floats, mu: Floats) -> None:
        good = np.isfinite(energy) & np.isfinite(mu)
        order = np.argsort(energy[good], kind="stable")
        self.energy, mu = energy[good][order], mu[good][order]
        if mu.size > 2:
            mu[1:-1] = np.sort(np.stack([mu[:-2], mu[1:-1], mu[2:]]), axis=0)[1]
        areas = np.diff(self.energy) * (mu[1:] + mu[:-1]) / 2
        self._integral = np.concatenate([[0.0], np.cumsum(areas)])

    def between(self, low: Floats, high: Floats) -> Floats:
        """Return the mean of mu between each two energies, (m,), of what was measured there."""
        low, high = np.maximum(low, self.energy[0]), np.minimum(high, self.energy[-1])
        below = np.interp(low, self.energy, self._integral)
        return (np.interp(high, self.energy, self._integral) - below) / (high - low)


def _find_rise(energy: Floats, mu: Floats) -> _Rise | None:
    """Find the largest rise of mu (n,) that stays; None where there is none."""
    means = _Means(energy, mu)
    if means.energy.size < 3 or np.ptp(means.energy) < LEAD[0] + TAIL:
        return None
    first, last = float(means.energy[0]), float(means.energy[-1])
    at = np.arange(first + LEAD[0], last - TAIL + 1e-6, 1.0)
    rise = means.between(at, at + TAIL) - means.between(at - LEAD[0], at)
    rise -= np.median(rise)
    middle = float(at[np.argmax(rise)])
    step = _step_at(means, middle, 10.0, 50.0)
    if step is None or not step.height > 4 * step.scatter or rise.max() < -FALL * rise.min():
        return None
    fine = np.arange(max(first + 1.0, middle - 45.0), min(middle + 25.0, last - 1.0), 0.25)
    half = 1.0 if step.scatter < 0.03 * step.height else 3.0
    norm = (means.between(fine - half, fine + half) - step.line(fine)) / step.height
    # The tail of a high white line begins far below the edge.
    begun = FOOT * max(1.0, float(norm.max()) / WHITE_LINE)
    high = np.flatnonzero((norm >= 0.5) & (fine > middle - 25.0))
    low = np.flatnonzero(norm[: high[0] if high.size else norm.size] < begun)
    foot = float(fine[low[-1]]) if low.size else first
    further = [
        edge
        for edge in tabulated_edges()
        if edge.shell == "K"
        and first + LEAD[0] <= edge.e0 <= last - TAIL
        and abs(edge.e0 - middle) > 100.0
        and (other := _step_at(means, edge.e0 + 5.0, 15.0, 50.0)) is not None
        and other.height > max(SECOND * step.height, 4 * other.scatter)
    ]
    return _Rise(foot, step.height / max(step.scatter, 1e-9), further)


@dataclass(frozen=True, slots=True)
class _Step:
    """Height of a step over the line through its pre-edge, whose scatter is that of 1 eV bins."""

    height: float
    scatter: float
    line: np.polynomial.Polynomial


def _step_at(means: _Means, middle: float, after: float, until: float) -> _Step | None:
    """Measure the step at `middle` by the mean of mu from `after` to `until` eV beyond it."""
    first, last = float(means.energy[0]), float(means.energy[-1])
    bins = np.arange(max(first, middle - 100.0) + 0.5, min(last, middle + until) - 0.49, 1.0)
    mu = means.between(bins - 0.5, bins + 0.5)
    # A sharp pre-edge peak lies up to 20 eV below the main rise.
    pre = bins < middle - 30.0
    if np.count_nonzero(pre) < 10:
        pre = bins < middle - LEAD[0]
    if np.count_nonzero(pre) < 3 or not (bins > middle + after).any():
        return None
    line = np.polynomial.Polynomial.fit(bins[pre], mu[pre], int(np.ptp(bins[pre]) > 30.0))
    height = float(np.mean((mu - line(bins))[bins > middle + after]))
    return _Step(height, float(np.std(mu[pre] - line(bins[pre]))), line)
