"""Measured points onto the model's grid."""

import numpy as np

from rankaae_stream.errors import Refused
from rankaae_stream.spectrum import EnergyGrid, Floats

__all__ = ["regrid"]


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
