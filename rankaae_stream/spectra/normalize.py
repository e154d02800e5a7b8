"""Normalise mu(E) to an edge step of 1, with given fit ranges.

Point selection and arithmetic follow larch's ``pre_edge`` (M. Newville, J. Phys.: Conf.
Ser. 430, 012007 (2013)), so that both give the same numbers at the same ranges (tested
to 1e-10). Unlike there, no range is guessed from how far the scan went.
"""

from dataclasses import replace
from typing import Any, NamedTuple, cast

import numpy as np
from numpy.typing import NDArray

from rankaae_stream.errors import Refusal, Refused
from rankaae_stream.spectra.rows import Window, below, points_of
from rankaae_stream.spectrum import Floats, NormalizationRanges, NormalizedSpectrum

__all__ = ["NormalizedRows", "normalize", "normalize_rows", "used_ranges"]


class NormalizedRows(NamedTuple):
    """Spectra (k, n) with edge step 1, and the steps (k,) in units of mu.

    `refusals` says of each row why it has no step, or None; the numbers of such a row mean nothing.
    """

    norm: Floats
    flat: Floats
    edge_step: Floats
    refusals: list[Refusal | None]


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
    relative = energy - e0
    rows = normalize_rows(relative[None], mu[None], e0, ranges)
    (refusal,) = rows.refusals
    if refusal is not None:
        raise Refused(refusal.name, refusal.message)
    used = used_ranges(ranges, float(relative[0]), float(relative[-1]))
    return NormalizedSpectrum(
        energy, rows.norm[0], rows.flat[0], e0, float(rows.edge_step[0]), used
    )


def normalize_rows(
    relative: Floats,
    mu: Floats,
    e0: float,
    ranges: NormalizationRanges,
    moved: Floats | float = 0.0,
) -> NormalizedRows:
    """Normalise spectra of one edge at once; see `normalize`.

    Parameters
    ----------
    relative : (k, n) or (1, n) array
        Calibrated energies of each row, or of all, from the tabulated edge, eV; see `rows`.
    mu : (k, n) array
    e0 : float
    ranges : NormalizationRanges
    moved : (k, 4) or (1, 4) array, or 0
        What is added to the ends pre1, pre2, norm1 and norm2 of the ranges, eV.
    """
    why: list[Refusal | None] = [None] * len(mu)
    ends = np.array([[ranges.pre1, ranges.pre2, ranges.norm1, ranges.norm2]]) + moved
    pre = _window(relative, ends[:, :2], ranges.npre, "pre-edge", e0, why)
    post = _window(relative, ends[:, 2:], ranges.nnorm, "post-edge", e0, why)

    # Fit over energy - e0 scaled to about 1: polynomials in thousands of eV would lose
    # digits that the comparison with larch needs.
    x = relative / 100.0
    above = mu - _fit(x, mu, pre, ranges.npre)
    height = _fit(x, above, post, ranges.nnorm)

    at_e0 = _nearest(relative, np.zeros(1))
    step = height[np.arange(len(mu)), at_e0]
    noise, highest = _scatter(mu, pre), np.abs(mu).max(axis=1)
    for i in np.flatnonzero(~(step > np.maximum(1e-9 * highest, noise))):
        why[i] = why[i] or _no_edge(float(step[i]), float(noise[i]), e0)
    divisor = np.where([one is None for one in why], step, 1.0)[:, None]
    norm = above / divisor
    beyond = cast("NDArray[np.bool_]", np.arange(relative[0].size) >= at_e0[:, None])
    return NormalizedRows(norm, norm + np.where(beyond, 1.0 - height / divisor, 0.0), step, why)


def used_ranges(ranges: NormalizationRanges, first: float, last: float) -> NormalizationRanges:
    """Return ranges cut where a scan begins and ends, eV from the tabulated edge."""
    return replace(ranges, pre1=max(ranges.pre1, first), norm2=min(ranges.norm2, last))


def _window(
    relative: Floats, ends: Floats, degree: int, name: str, e0: float, why: list[Refusal | None]
) -> Window:
    """Return the points from the last at or below an end to the one before the nearest to another.

    Rows with too few of them for the fit are refused, and take all points.
    """
    first = np.maximum(below(relative, ends[:, 0], "right") - 1, 0)
    stop = np.maximum(_nearest(relative, ends[:, 1]), first)
    points, needed = stop - first, degree + 1
    few = points < needed
    if not few.any():
        return Window.between(first, stop)
    for i in np.flatnonzero(np.broadcast_to(few, len(why))):
        row, x = i % len(few), relative[i % len(relative)]
        (low, high), last = e0 + ends[i % len(ends)], x[points_of(relative)[i % len(relative)] - 1]
        why[i] = why[i] or Refusal(
            "normalization",
            f"{name} range [{low:.1f}, {high:.1f}] eV holds {points[row]} points, "
            f"needs {needed}; the scan spans {e0 + x[0]:.1f}-{e0 + last:.1f} eV",
        )
    return Window.between(np.where(few, 0, first), np.where(few, points_of(relative) - 1, stop))


def _nearest(relative: Floats, wanted: Floats) -> NDArray[np.intp]:
    """Return the points (p,) of axes that are nearest to energies (q,), eV; p or q may be 1."""
    right: NDArray[np.intp] = np.minimum(below(relative, wanted), relative.shape[1] - 1)
    left = np.maximum(right - 1, 0)
    rows = np.arange(len(relative))
    nearer = wanted - relative[rows, left] <= relative[rows, right] - wanted
    return np.where(nearer, left, right)


def _fit(x: Floats, y: Floats, window: Window, degree: int) -> Floats:
    """Fit a polynomial over each row's `window` by least squares and evaluate it on all of `x`."""
    if degree > 1:
        return _fit_steeply_curved(x, y, window, degree)
    part, count = window.part, (window.stop - window.first)[:, None]
    mean = window.sums(y[:, part]) / count
    if degree == 0:
        return np.broadcast_to(mean, y.shape)
    # By far the most frequent case: the closed form takes half the time of a solver.
    middle = window.sums(x[:, part]) / count
    off = x[:, part] - middle
    slope = window.sums(off * (y[:, part] - mean)) / window.sums(off * off)
    return mean + slope * (x - middle)


def _fit_steeply_curved(x: Floats, y: Floats, window: Window, degree: int) -> Floats:
    fitted = np.empty(y.shape)
    for i, row in enumerate(y):
        axis, at = x[i % len(x)], i % len(window.first)
        part = slice(window.first[at], window.stop[at])
        design = np.vander(axis, degree + 1)
        found = cast("Any", np.linalg).lstsq(design[part], row[part], rcond=None)[0]
        fitted[i] = design @ found
    return fitted


def _scatter(mu: Floats, window: Window) -> Floats:
    """Return the standard deviation (k,) of neighbours' differences; 0 for two points."""
    steps = Window.between(window.first, np.maximum(window.stop - 1, window.first))
    count = (window.stop - window.first - 1)[:, None]
    step = mu[:, window.part][:, 1:] - mu[:, window.part][:, :-1]
    off = step - steps.sums(step) / np.maximum(count, 1)
    return np.sqrt(steps.sums(off * off) / np.maximum(count, 1) * (count > 1))[:, 0]


def _no_edge(step: float, noise: float, e0: float) -> Refusal:
    if step < -10.0 * noise < 0.0:
        return Refusal(
            "no_edge",
            f"mu falls by {-step:.3g} at {e0:.1f} eV where it should rise: its sign may be "
            "turned, as that of ln(It/I0) is; check the element, too",
        )
    return Refusal(
        "no_edge",
        f"the edge step at {e0:.1f} eV is {step:.3g}, not above the noise of the "
        f"pre-edge ({noise:.3g}); check the element, and that the sample was in the beam",
    )
