"""Normalise mu(E) to an edge step of 1, with given fit ranges.

Point selection and arithmetic follow larch's ``pre_edge`` (M. Newville, J. Phys.: Conf.
Ser. 430, 012007 (2013)), so that both give the same numbers at the same ranges (tested
to 1e-10). Unlike there, no range is guessed from how far the scan went.
"""

from dataclasses import replace

import numpy as np

from rankaae_stream.errors import Refused
from rankaae_stream.spectrum import Floats, NormalizationRanges, NormalizedSpectrum

__all__ = ["normalize"]


def normalize(
    energy: Floats, mu: Floats, e0: float, ranges: NormalizationRanges
) -> NormalizedSpectrum:
    """Subtract the pre-edge, divide by the step, flatten the post-edge.

    Parameters
    ----------
    energy : (n,) array
        Strictly increasing, eV, already calibrated.
    mu : (n,) array
        Absorption.
    e0 : float
        Tabulated edge energy, eV, where the step is taken.
    ranges : NormalizationRanges
        Fit ranges relative to `e0`. A range that reaches beyond the data is cut there;
        `quality.coverage` judges whether the rest is enough.

    Returns
    -------
    NormalizedSpectrum
        With `norm` and `flat`, each (n,), and the ranges that were used.

    Raises
    ------
    Refused
        ``normalization`` when a range holds too few points to fit;
        ``no_edge`` when mu does not rise at the edge.
    """
    pre = _window(energy, e0 + ranges.pre1, e0 + ranges.pre2)
    post = _window(energy, e0 + ranges.norm1, e0 + ranges.norm2)
    _require(energy, pre, ranges.npre, "pre-edge", e0, ranges.pre1, ranges.pre2)
    _require(energy, post, ranges.nnorm, "post-edge", e0, ranges.norm1, ranges.norm2)

    # Fit over energy - e0 scaled to about 1: polynomials in thousands of eV would lose
    # digits that the comparison with larch needs.
    x = (energy - e0) / 100.0
    pre_edge = _fit(x, mu, pre, ranges.npre)
    above = mu - pre_edge
    height = _fit(x, above, post, ranges.nnorm)

    at_e0 = _nearest(energy, e0)
    edge_step = float(height[at_e0])
    noise = float(np.std(np.diff(mu[pre]))) if pre.stop - pre.start > 2 else 0.0
    if edge_step < -10.0 * noise < 0.0:
        raise Refused(
            "no_edge",
            f"mu falls by {-edge_step:.3g} at {e0:.1f} eV where it should rise: its sign may be "
            "turned, as that of ln(It/I0) is; check the element, too",
        )
    if not edge_step > max(1e-9 * float(np.abs(mu).max()), noise):
        raise Refused(
            "no_edge",
            f"the edge step at {e0:.1f} eV is {edge_step:.3g}, not above the noise of the "
            f"pre-edge ({noise:.3g}); check the element, and that the sample was in the beam",
        )
    norm = above / edge_step
    flat = norm.copy()
    flat[at_e0:] += 1.0 - height[at_e0:] / edge_step
    used = replace(
        ranges,
        pre1=max(ranges.pre1, float(energy[0]) - e0),
        norm2=min(ranges.norm2, float(energy[-1]) - e0),
    )
    return NormalizedSpectrum(energy, norm, flat, e0, edge_step, used)


def _window(energy: Floats, low: float, high: float) -> slice:
    """Return the points from the last at or below `low` to the one before the nearest to `high`."""
    first = max(int(np.searchsorted(energy, low, side="right")) - 1, 0)
    return slice(first, max(_nearest(energy, high), first))


def _nearest(energy: Floats, value: float) -> int:
    right = min(int(np.searchsorted(energy, value)), energy.size - 1)
    left = max(right - 1, 0)
    return left if value - energy[left] <= energy[right] - value else right


def _fit(x: Floats, y: Floats, window: slice, degree: int) -> Floats:
    """Fit a polynomial over `window` by least squares and evaluate it on all of `x`."""
    mean = y[window].mean()
    if degree == 0:
        return np.full(x.shape, mean)
    if degree == 1:
        # By far the most frequent case: the closed form takes half the time of a solver.
        middle = x[window].mean()
        off = x[window] - middle
        return mean + (off @ (y[window] - mean)) / (off @ off) * (x - middle)
    design = np.vander(x[window], degree + 1)
    return np.vander(x, degree + 1) @ np.linalg.lstsq(design, y[window], rcond=None)[0]


def _require(
    energy: Floats, window: slice, degree: int, name: str, e0: float, low: float, high: float
) -> None:
    points, needed = window.stop - window.start, degree + 1
    if points < needed:
        raise Refused(
            "normalization",
            f"{name} range [{e0 + low:.1f}, {e0 + high:.1f}] eV holds {points} points, "
            f"needs {needed}; the scan spans {energy[0]:.1f}-{energy[-1]:.1f} eV",
        )
