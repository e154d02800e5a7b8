"""Measure how far a spectrum lies from what the model was trained on."""

from collections.abc import Sequence
from typing import Any, cast

import numpy as np

from rankaae_stream.model.card import DomainRule
from rankaae_stream.spectrum import Floats

__all__ = ["domain_distance", "fit_nuisances", "latent_length", "region_misfits"]

FLATTEST = 0.01
"""Smallest structure that misfits are divided by, in edge steps."""


def domain_distance(
    flat: Floats, reconstruction: Floats, latents: Floats, energy: Floats, rule: DomainRule
) -> tuple[Floats, Floats]:
    """Return how far spectra lie from the training data; good measured oxides lie at 1.

    Parameters
    ----------
    flat, reconstruction : (..., g) arrays
        Measured spectra, and the mean of the members' decoded curves.
    latents : (members, ..., latent) array
    energy : (g,) array
        The model's grid, eV from the tabulated edge.
    rule : DomainRule

    Returns
    -------
    fitted : (..., g) array
        The reconstruction with its nuisances fitted, on the whole grid.
    distance : (...) array
        Root mean square of the misfit in each energy region and of the latents' length,
        each divided by its usual value for good measured oxides.
    """
    fitted = fit_nuisances(flat, reconstruction, energy, rule.start)
    misfits = region_misfits(
        flat, fitted, energy, rule.start, [(r.start, r.stop) for r in rule.regions]
    )
    scaled = misfits / np.array([region.misfit for region in rule.regions])
    length = latent_length(latents) / rule.latent_length
    return fitted, np.sqrt(np.mean(np.concatenate([scaled, length[..., None]], -1) ** 2, axis=-1))


def region_misfits(
    flat: Floats,
    fitted: Floats,
    energy: Floats,
    start: float,
    regions: Sequence[tuple[float, float]],
) -> Floats:
    """Return the root mean square of ``flat - fitted`` in each region, relative to the structure.

    The structure of a spectrum is the standard deviation of `flat` above `start`. A metal
    has little structure, so a misfit that is small for an oxide is large for a metal.

    Parameters
    ----------
    flat, fitted : (..., g) arrays
    energy : (g,) array
    start : float
        eV.
    regions : sequence of (start, stop)
        eV.

    Returns
    -------
    (..., r) array
    """
    residual = flat - fitted
    structure = np.maximum(np.std(flat[..., energy >= start], axis=-1), FLATTEST)
    columns = [
        np.sqrt(np.mean(residual[..., (energy >= low) & (energy < high)] ** 2, axis=-1)) / structure
        for low, high in regions
    ]
    return np.stack(columns, axis=-1)


def latent_length(latents: Floats) -> Floats:
    """Return the length of the latents, (...): root mean square over the members (first axis)."""
    return np.sqrt(np.mean(np.sum(latents**2, axis=-1), axis=0))


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
        The model's grid, eV from the tabulated edge.
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
    used = energy >= start
    moved = reconstruction
    if max_shift > 0.0:
        # R(E - s) = R - s R' + ..., so s is the derivative's coefficient over the height's.
        derivative = np.gradient(reconstruction, energy, axis=-1)
        columns = np.stack([*_height_and_slope(reconstruction, energy), derivative], axis=-1)
        found = _least_squares(columns, flat, used)
        height = np.where(np.abs(found[..., 0]) > 0.1, found[..., 0], 1.0)
        moved = _shift(
            energy, reconstruction, np.clip(-found[..., 2] / height, -max_shift, max_shift)
        )
    columns = np.stack(_height_and_slope(moved, energy), axis=-1)
    return np.einsum("...gc,...c->...g", columns, _least_squares(columns, flat, used))


def _height_and_slope(curve: Floats, energy: Floats) -> list[Floats]:
    return [curve, curve * np.maximum(energy, 0.0) / 50.0]


def _least_squares(columns: Floats, wanted: Floats, used: np.ndarray[Any, Any]) -> Floats:
    """Solve for coefficients (..., c) of columns (..., g, c) at the used points (g,)."""
    design = columns[..., used, :]
    normal = np.einsum("...gi,...gj->...ij", design, design)
    # A constant curve has no derivative: the small diagonal keeps its matrix regular.
    tiny = 1e-10 * np.trace(normal, axis1=-2, axis2=-1)[..., None, None]
    right = np.einsum("...gi,...g->...i", design, wanted[..., used])
    regular: Floats = normal + tiny * np.eye(design.shape[-1])
    solution = cast("Any", np.linalg).solve(regular, right[..., None])
    return solution[..., 0]


def _shift(energy: Floats, curves: Floats, shift: Floats) -> Floats:
    """Move each curve by its own shift; beyond the ends the last value is repeated."""
    rows = curves.reshape(-1, energy.size)
    moved = [
        np.interp(energy - by, energy, row) for by, row in zip(np.ravel(shift), rows, strict=True)
    ]
    return np.array(moved).reshape(curves.shape)
