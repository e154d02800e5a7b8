"""Measured points onto the model's grid."""

import numpy as np

from rankaae_stream.errors import Refused
from rankaae_stream.spectrum import EnergyGrid, Floats

__all__ = ["perturbed", "regrid"]


def regrid(energy: Floats, values: Floats, grid: EnergyGrid, e0: float) -> Floats:
    """Linear interpolation onto the grid, never beyond the data.

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
    energy: Floats, values: Floats, grid: EnergyGrid, e0: float, sigma: float, step_error: float
) -> Floats:
    """A spectrum on the grid, and its copies moved by one standard deviation of each nuisance.

    Parameters
    ----------
    energy, values, grid, e0
        As for `regrid`. A moved copy holds the end values beyond the data.
    sigma : float
        Standard deviation of the energy axis, eV.
    step_error : float
        Relative standard deviation of the edge step.

    Returns
    -------
    (5, grid.points) array
        As it is, moved along the axis both ways, its step smaller and larger: the order
        that `describe.describe` expects of latents.

    Raises
    ------
    Refused
        As `regrid` does.
    """
    flat = regrid(energy, values, grid, e0)
    wanted = e0 + grid.relative()
    moved = [np.interp(wanted + way * sigma, energy, values) for way in (-1.0, 1.0)]
    scaled = [flat * (1.0 + way * step_error) for way in (-1.0, 1.0)]
    return np.stack([flat, *moved, *scaled])
