"""Tell oxides from what is none, and say how well the model draws a spectrum."""

from itertools import pairwise
from typing import Any, cast

import numpy as np
from numpy.typing import NDArray

from rankaae_stream.model.card import DomainRule
from rankaae_stream.report import Domain
from rankaae_stream.spectrum import Floats

__all__ = [
    "HALF",
    "STEP",
    "at_positions",
    "below_edge",
    "edge_aligned",
    "fit_nuisances",
    "judge_domain",
    "poor_fit",
]

HALF = 0.5
"""Height that a spectrum is aligned at, edge steps."""

STEP = 1.0
"""Step of the aligned energies, eV."""

REGIONS = (5.0, 12.0, 20.0, 35.0)
"""Where `poor_fit` divides the energies above the pre-edge, eV from the tabulated edge."""


def edge_aligned(energy: Floats, flat: Floats, aligned: tuple[float, float]) -> Floats:
    """Return spectra on energies counted from their own half height.

    Neither the energy axis nor the theory shift matters then.

    Parameters
    ----------
    energy : (g,) array
        Uniform, eV.
    flat : (n, g) array
    aligned : (start, stop)
        eV from the half height.

    Returns
    -------
    (n, a) array
        In steps of `STEP`; beyond the data the end values are repeated.

    Examples
    --------
    >>> energy = np.linspace(-20.0, 60.0, 161)
    >>> step = 1.0 / (1.0 + np.exp(-(energy - 7.25)))
    >>> found = edge_aligned(energy, step[None], (-2.0, 2.0))
    >>> bool(np.abs(found[0] - 1.0 / (1.0 + np.exp([2.0, 1.0, 0.0, -1.0, -2.0]))).max() < 0.01)
    True
    """
    points = flat.shape[1]
    first = np.minimum(below_edge(flat), points - 2)
    rows = np.arange(len(flat))
    low, high = flat[rows, first], flat[rows, first + 1]
    share = (HALF - low) / np.where(high > low, high - low, 1.0)
    share = np.minimum(np.maximum(share, 0.0), 1.0)
    relative = np.arange(aligned[0], aligned[1] + STEP / 2, STEP)
    return at_positions(flat, (first + share)[:, None] + relative / (energy[1] - energy[0]))


def at_positions(flat: Floats, at: Floats) -> Floats:
    """Interpolate spectra (n, g) linearly at positions (n, a) between their points.

    Beyond the data the end values are repeated.

    Examples
    --------
    >>> at_positions(np.array([[0.0, 1.0, 4.0]]), np.array([[-1.0, 0.5, 1.5, 9.0]]))
    array([[0. , 0.5, 2.5, 4. ]])
    """
    at = np.minimum(np.maximum(at, 0.0), flat.shape[1] - 1.0)
    left = np.minimum(at.astype(np.intp), flat.shape[1] - 2)
    part = at - left
    rows = np.arange(len(flat))[:, None]
    return flat[rows, left] * (1.0 - part) + flat[rows, left + 1] * part


def below_edge(flat: Floats) -> NDArray[np.intp]:
    """Return the last position at which spectra (n, g) lie below `HALF`, (n,).

    The last, because a strong pre-edge peak may reach it, too.
    """
    return flat.shape[1] - 1 - np.argmax((flat < HALF)[:, ::-1], axis=1)


def judge_domain(logits: Floats, rule: DomainRule) -> list[Domain]:
    """Return the probabilities that spectra are of no oxide, and what they look like most.

    Parameters
    ----------
    logits : (n, k) array
        Logarithms of the probabilities of `rule.kinds`, up to a constant.
    rule : DomainRule
    """
    share = np.exp(logits - logits.max(axis=1, keepdims=True))
    share /= share.sum(axis=1, keepdims=True)
    distance = 1.0 - share[:, 0]
    likeliest = cast("list[int]", np.argmax(share[:, 1:], axis=1).tolist())
    return [
        Domain(far, rule.threshold, rule.kinds[1 + kind])
        for far, kind in zip(distance.tolist(), likeliest, strict=True)
    ]


def poor_fit(flat: Floats, fitted: Floats, energy: Floats, start: float) -> tuple[Floats, Floats]:
    """Return what reconstructions leave of spectra, and the regions that they miss most.

    Parameters
    ----------
    flat, fitted : (..., g) arrays
        The spectra, and the model's curves with their nuisances fitted.
    energy : (g,) array
        eV from the tabulated edge, increasing.
    start : float
        Energies below are not compared, eV.

    Returns
    -------
    misfit : (...) array
        Root mean square above `start`, edge steps.
    region : (..., 2) array
        Its ends, eV from the tabulated edge.
    """
    squared = (flat - fitted) ** 2
    ends = [start, *(end for end in REGIONS if end > start), float(energy[-1])]
    first = energy.searchsorted(ends[:-1]).tolist()
    stop = energy.searchsorted(ends[1:], "right").tolist()
    missed = [squared[..., a:b].sum(axis=-1) for a, b in zip(first, stop, strict=True)]
    misfit = np.sqrt(squared[..., first[0] :].mean(axis=-1))
    return misfit, np.array(list(pairwise(ends)))[np.argmax(missed, axis=0)]


def fit_nuisances(
    flat: Floats,
    reconstruction: Floats,
    energy: Floats,
    start: float,
    max_shift: float = 0.5,
) -> Floats:
    """Fit height, slope and a small energy shift of the reconstruction to the measurement.

    The three are nuisances of a measurement (normalisation, background, energy axis) and
    say nothing about the sample. The shift is found from the derivative, limited to
    `max_shift`, and applied by interpolation; height and slope are then fitted again.

    Parameters
    ----------
    flat, reconstruction : (..., g) arrays
        Measured spectra, and the decoder's curves for them.
    energy : (g,) array
        The model's grid, uniform, eV from the tabulated edge.
    start : float
        Only energies above this are fitted, eV.
    max_shift : float
        Largest shift, eV; 0 fits height and slope only.

    Returns
    -------
    fitted : (..., g) array
        The reconstruction with all three applied, on the whole grid.

    Examples
    --------
    >>> energy = np.linspace(-10.0, 60.0, 141)
    >>> curve = 1.0 / (1.0 + np.exp(-energy)) + 0.3 * np.exp(-0.1 * (energy - 9.0) ** 2)
    >>> fitted = fit_nuisances(1.05 * curve, curve, energy, start=5.0)
    >>> bool(np.abs(fitted - 1.05 * curve).max() < 1e-6)
    True
    """
    used = slice(int(np.searchsorted(energy, start)), None)
    moved = reconstruction
    if max_shift > 0.0:
        # R(E - s) = R - s R' + ..., so s is the derivative's coefficient over the height's.
        rows = np.empty((*reconstruction.shape[:-1], 3, energy.size))
        rows[..., 0, :], rows[..., 1, :] = _height_and_slope(reconstruction, energy)
        rows[..., 2, :] = _derivative(reconstruction, float(energy[1] - energy[0]))
        found = _least_squares(rows, flat, used)
        height = np.where(np.abs(found[..., 0]) > 0.1, found[..., 0], 1.0)
        moved = _shift(
            energy, reconstruction, np.clip(-found[..., 2] / height, -max_shift, max_shift)
        )
    height, slope = _height_and_slope(moved, energy)
    rows = np.empty((*flat.shape[:-1], 2, energy.size))
    rows[..., 0, :], rows[..., 1, :] = height, slope
    found = _least_squares(rows, flat, used)
    return height * found[..., :1] + slope * found[..., 1:]


def _derivative(curves: Floats, step: float) -> Floats:
    """Return the central differences of curves (..., g), one-sided ones at their ends."""
    found = np.empty(curves.shape)
    found[..., 1:-1] = (curves[..., 2:] - curves[..., :-2]) / (2.0 * step)
    found[..., 0] = (curves[..., 1] - curves[..., 0]) / step
    found[..., -1] = (curves[..., -1] - curves[..., -2]) / step
    return found


def _height_and_slope(curve: Floats, energy: Floats) -> tuple[Floats, Floats]:
    return curve, curve * np.maximum(energy, 0.0) / 50.0


def _least_squares(rows: Floats, wanted: Floats, used: slice) -> Floats:
    """Solve for the coefficients (..., c) of rows (..., c, g) at the used points."""
    design = rows[..., used]
    normal = design @ design.swapaxes(-1, -2)
    # A constant curve has no derivative: the small diagonal keeps its matrix regular.
    tiny = 1e-10 * normal.trace(axis1=-2, axis2=-1)[..., None, None]
    right = design @ wanted[..., used, None]
    regular: Floats = normal + tiny * np.eye(design.shape[-2])
    solution = cast("Any", np.linalg).solve(regular, right)
    return solution[..., 0]


def _shift(energy: Floats, curves: Floats, shift: Floats) -> Floats:
    """Move each curve by its own shift; beyond the ends the last value is repeated."""
    rows = curves.reshape(-1, energy.size)
    moved = [
        np.interp(energy - by, energy, row) for by, row in zip(np.ravel(shift), rows, strict=True)
    ]
    return np.array(moved).reshape(curves.shape)
