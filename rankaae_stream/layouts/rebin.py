"""Average a fly scan's rows of currents into bins in energy.

The rows come far denser than a spectrum needs. Currents are averaged, and mu is
formed from the averages: a single row that is zero or negative has no logarithm,
its bin's mean has one, so a bad row costs one bin at most.

The kernel is the bin: every row between two edges of the grid has weight one,
every other zero, and the bin's energy is the mean of its rows.
"""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from rankaae_stream.spectrum import Floats

__all__ = ["Bins", "averages_between", "bin_rows", "grid_edges", "turning_points"]

PRE_STEP = 5.0
"""Bin width before the XANES, eV."""
XANES = (-30.0, 50.0)
"""Where bins are finest, eV from the edge."""
K_STEP = 0.04
"""Bin width beyond the XANES, 1/Å."""
TURN = 2.0
"""Motion back by more than this, eV, is a new sweep; encoder jitter is far below it."""
FRAGMENT = 10
"""A sweep of fewer points is a fragment, such as the motor settling."""
_FIRST_REACH = 1024
"""Rows to look at first for a turn, so that many turns do not cost all rows each."""
_K2 = 0.2624684
"""Photoelectron wave number squared by energy, 1/(Å² eV): 2 m / hbar²."""


@dataclass(frozen=True, slots=True, eq=False)
class Bins:
    """Rows averaged into bins, none of them empty, in increasing energy.

    `energy` (b,) eV, the mean of each bin's rows; `signals` (b,) each, their
    means; `rows` (b,) how many.
    """

    energy: Floats
    signals: Mapping[str, Floats]
    rows: Floats


def grid_edges(e0: float, low: float, high: float) -> Floats:
    """Return the edges of the bins that cover a scan.

    Parameters
    ----------
    e0 : float
        Tabulated edge, eV.
    low, high : float
        Energies that the scan covers, eV.

    Returns
    -------
    (b + 1,) array
        eV: steps of 5 eV before -30 eV of the edge, 0.2 eV up to +50 eV (0.3 for
        edges above 14 keV, 0.4 above 21 keV), then 0.04 1/Å.
    """
    step = 0.2 if e0 < 14000 else 0.3 if e0 < 21000 else 0.4
    start, end = e0 + XANES[0], e0 + XANES[1]
    pre = start - PRE_STEP * np.arange(max(np.ceil((start - low) / PRE_STEP), 0.0), 0.0, -1.0)
    fine = np.linspace(start, end, round((end - start) / step) + 1)
    first_k = np.sqrt(_K2 * XANES[1])
    last_k = np.sqrt(_K2 * max(high - e0, XANES[1]))
    steps = 1.0 + np.arange(int(np.ceil((last_k - first_k) / K_STEP)) + 1, dtype=np.float64)
    return np.concatenate([pre, fine, e0 + (first_k + K_STEP * steps) ** 2 / _K2])


def turning_points(energy: Floats) -> list[slice]:
    """Split a motion where it turns.

    Parameters
    ----------
    energy : (n,) array
        In time order, finite, eV.

    Returns
    -------
    list of slice
        For each sweep, in time order; together they hold every row.
    """
    sweeps: list[slice] = []
    begin, reach = 0, _FIRST_REACH
    while begin < energy.size:
        part = energy[begin : begin + reach]
        back_from_top = np.maximum.accumulate(part) - part > TURN
        back_from_bottom = part - np.minimum.accumulate(part) > TURN
        # The first motion of more than TURN gives the direction of this sweep; the
        # first motion in the other direction ends it.
        down = int(np.argmax(back_from_top)) if back_from_top.any() else part.size
        up = int(np.argmax(back_from_bottom)) if back_from_bottom.any() else part.size
        turned = max(down, up)
        if turned < part.size:
            # Where the motion rests at its turning point, it has not begun the next sweep.
            passed = part[:turned][::-1]
            cut = begin + turned - int(np.argmin(passed) if down < up else np.argmax(passed))
            sweeps.append(slice(begin, cut))
            begin, reach = cut, _FIRST_REACH
        elif begin + reach < energy.size:
            reach *= 4
        else:
            sweeps.append(slice(begin, energy.size))
            break
    return sweeps


def bin_rows(energy: Floats, signals: Mapping[str, Floats], edges: Floats) -> Bins:
    """Average rows into bins.

    Parameters
    ----------
    energy : (n,) array
        In any order, eV; rows outside the edges or without a finite energy are
        left out.
    signals : mapping of (n,) arrays
        Currents or counts.
    edges : (b + 1,) array
        Increasing, eV.

    Returns
    -------
    Bins
    """
    inside = np.isfinite(energy) & (energy >= edges[0]) & (energy < edges[-1])
    if not inside.all():
        energy = energy[inside]
        signals = {name: values[inside] for name, values in signals.items()}
    where = np.searchsorted(edges, energy, side="right") - 1
    rows = np.bincount(where, minlength=edges.size - 1)
    kept = rows > 0
    count = rows[kept].astype(np.float64)

    def mean(values: Floats) -> Floats:
        return np.bincount(where, weights=values, minlength=edges.size - 1)[kept] / count

    # Sums of energies around the first edge: 10 keV times 10,000 rows leave
    # fewer digits than an encoder has.
    middle = edges[0] + mean(energy - edges[0]) if energy.size else np.empty(0)
    return Bins(middle, {name: mean(values) for name, values in signals.items()}, count)


def averages_between(
    time: Floats, signals: Mapping[str, Floats], begin: Floats, end: Floats
) -> dict[str, Floats]:
    """Return the mean of each signal over each of several exposures.

    Parameters
    ----------
    time : (n,) array
        Increasing, s.
    signals : mapping of (n,) arrays
    begin, end : (m,) arrays
        Of the exposures, s; an exposure without a row takes the next row.

    Returns
    -------
    dict of (m,) arrays
    """
    first = np.minimum(np.searchsorted(time, begin), time.size - 1)
    last = np.maximum(np.searchsorted(time, end), first + 1)
    means: dict[str, Floats] = {}
    for name, values in signals.items():
        # Around the first value, for the digits' sake; see bin_rows.
        sums = np.concatenate([[0.0], np.cumsum(values - values[0])])
        means[name] = values[0] + (sums[last] - sums[first]) / (last - first)
    return means
