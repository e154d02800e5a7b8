"""What the decoder's curve leaves unexplained, and whether that is strange."""

from collections.abc import Sequence
from typing import Any

import numpy as np

from rankaae_stream.model.card import DomainRule
from rankaae_stream.spectrum import Floats

__all__ = ["domain_distance", "fit_nuisances", "latent_length", "region_misfits"]

FLATTEST = 0.01
"""Structure, in edge steps, below which a spectrum is nothing but its step."""


def domain_distance(
    flat: Floats, reconstruction: Floats, latents: Floats, energy: Floats, rule: DomainRule
) -> tuple[Floats, Floats]:
    """How far spectra lie from what the model knows.

    Parameters
    ----------
    flat, reconstruction : (..., g) arrays
        Measured, and the members' mean curve.
    latents : (members, ..., latent) array
    energy : (g,) array
        The model's grid, eV from the tabulated edge.
    rule : DomainRule

    Returns
    -------
    fitted : (..., g) array
        The reconstruction with its nuisances applied, on the whole grid.
    distance : (...) array
        Root mean square, over the energy regions and the latents' length, of what is
        found over what good measured oxides show.
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
    """Root mean square of ``flat - fitted`` in each region, as shares of a spectrum's structure.

    The structure is the standard deviation of `flat` from `start` on: a metal has
    little of it, so what is small on an oxide's scale is much of it.

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
    """Root mean square over the members (first axis) of the latents' length, (...)."""
    return np.sqrt(np.mean(np.sum(latents**2, axis=-1), axis=0))


def fit_nuisances(
    flat: Floats,
    reconstruction: Floats,
    energy: Floats,
    start: float,
    max_shift: float = 0.5,
) -> Floats:
    """Fit height, slope and a small shift of the reconstruction to what was measured.

    The three are nuisances of a measurement (normalisation, background, axis),
    so a spectrum is not strange for having them. The shift is found from the
    derivative, cut at `max_shift`, and then applied by interpolation; height and
    slope are fitted again with it.

    Parameters
    ----------
    flat, reconstruction : (..., g) arrays
        Measured, and what the decoder made of its latents.
    energy : (g,) array
        The model's grid, eV from the tabulated edge.
    start : float
        Only energies from here on are fitted, eV.
    max_shift : float
        Largest shift, eV; 0 fits height and slope alone.

    Returns
    -------
    fitted : (..., g) array
        The reconstruction with the three applied, on the whole grid.

    Examples
    --------
    >>> energy = np.linspace(-10.0, 60.0, 141)
    >>> curve = 1.0 / (1.0 + np.exp(-energy)) + 0.3 * np.exp(-0.1 * (energy - 9.0) ** 2)
    >>> fitted = fit_nuisances(1.05 * curve, curve, energy, start=5.0)
    >>> bool(np.abs(fitted - 1.05 * curve).max() < 1e-6)
    True
    """
    judged = energy >= start
    moved = reconstruction
    if max_shift > 0.0:
        # R(E - s) = R - s R' + ..., so s is the derivative's coefficient over the height's.
        derivative = np.gradient(reconstruction, energy, axis=-1)
        columns = np.stack([*_height_and_slope(reconstruction, energy), derivative], axis=-1)
        found = _least_squares(columns, flat, judged)
        height = np.where(np.abs(found[..., 0]) > 0.1, found[..., 0], 1.0)
        moved = _shift(
            energy, reconstruction, np.clip(-found[..., 2] / height, -max_shift, max_shift)
        )
    columns = np.stack(_height_and_slope(moved, energy), axis=-1)
    return np.einsum("...gc,...c->...g", columns, _least_squares(columns, flat, judged))


def _height_and_slope(curve: Floats, energy: Floats) -> list[Floats]:
    return [curve, curve * np.maximum(energy, 0.0) / 50.0]


def _least_squares(columns: Floats, wanted: Floats, judged: np.ndarray[Any, Any]) -> Floats:
    """Coefficients (..., c) of columns (..., g, c) over the judged points, by normal equations."""
    design = columns[..., judged, :]
    normal = np.einsum("...gi,...gj->...ij", design, design)
    # The trace's rounding keeps a constant curve, whose derivative vanishes, solvable.
    tiny = 1e-10 * np.trace(normal, axis1=-2, axis2=-1)[..., None, None]
    right = np.einsum("...gi,...g->...i", design, wanted[..., judged])
    return np.linalg.solve(normal + tiny * np.eye(design.shape[-1]), right[..., None])[..., 0]


def _shift(energy: Floats, curves: Floats, shift: Floats) -> Floats:
    """Move each curve by its own shift; the last value holds beyond the ends."""
    flat_curves = curves.reshape(-1, energy.size)
    moved = [
        np.interp(energy - one, energy, curve)
        for one, curve in zip(np.ravel(shift), flat_curves, strict=True)
    ]
    return np.array(moved).reshape(curves.shape)
