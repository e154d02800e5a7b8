"""Interpolate a spectrum onto the model's grid, with copies that show its uncertainty."""

from collections.abc import Sequence

import numpy as np

from rankaae_stream.errors import Refused
from rankaae_stream.spectrum import EnergyGrid, Floats

__all__ = ["perturbed", "regrid"]


def regrid(energy: Floats, values: Floats, grid: EnergyGrid, e0: float) -> Floats:
    """Interpolate linearly onto the grid, never beyond the data.

    Parameters
    ----------
    energy, values : (n,) arrays
        Strictly increasing energies in eV on the model's axis, and what to interpolate.
    grid : EnergyGrid
        The model's grid, relative to `e0`.
    e0 : float
        Tabulated edge, eV.

    Returns
    -------
    (grid.points,) array

    Raises
    ------
    Refused
        ``coverage`` when the grid reaches beyond the data.
    """
    wanted = e0 + grid.relative()
    # A thousandth of an eV absorbs the rounding of energies written as text.
    if energy[0] > wanted[0] + 1e-3 or energy[-1] < wanted[-1] - 1e-3:
        raise Refused(
            "coverage",
            f"the model needs {wanted[0]:.1f}-{wanted[-1]:.1f} eV, "
            f"the shifted scan spans {energy[0]:.1f}-{energy[-1]:.1f} eV",
        )
    return np.interp(wanted, energy, values)


def perturbed(
    energy: Floats,
    values: Floats,
    grid: EnergyGrid,
    e0: float,
    sigma: float,
    step_error: float,
    others: Sequence[Floats] = (),
    noise: Floats | None = None,
) -> Floats:
    """Return a spectrum on the grid, and copies that show what its uncertainties change.

    Parameters
    ----------
    energy, values, grid, e0
        As for `regrid`. In a moved copy the end values are repeated beyond the data.
    sigma : float
        Standard deviation of the energy axis, eV.
    step_error : float
        Relative standard deviation of the edge step.
    others : sequence of (n,) arrays
        The spectrum normalised otherwise: `estimates.ALTERNATES`, or none.
    noise : (c, n) array, optional
        What is added to `values` in noisy copies.

    Returns
    -------
    (5 + len(others) + c, grid.points) array
        The spectrum itself, moved to higher and to lower energy, with a smaller and with a
        larger edge step, normalised otherwise, with noise: the order that `estimates.describe`
        expects.

    Raises
    ------
    Refused
        As `regrid` does.
    """
    flat = regrid(energy, values, grid, e0)
    wanted = e0 + grid.relative()
    moved = [np.interp(wanted + by, energy, values) for by in (-sigma, sigma)]
    scaled = [flat * (1.0 + by) for by in (-step_error, step_error)]
    noisy = np.empty((0, energy.size)) if noise is None else noise
    added: list[Floats] = [flat + np.interp(wanted, energy, row) for row in noisy]
    again = [np.interp(wanted, energy, other) for other in others]
    return np.stack([flat, *moved, *scaled, *again, *added])
