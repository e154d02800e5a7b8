"""Interpolate a spectrum onto the model's grid, with copies that show its uncertainty."""

import numpy as np

from rankaae_stream.errors import Refused
from rankaae_stream.spectra.noise import drawn_on
from rankaae_stream.spectra.rows import between
from rankaae_stream.spectrum import EnergyGrid, Floats

__all__ = ["perturbed", "perturbed_rows", "regrid"]


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
    _check_reach(energy, grid, e0)
    return np.interp(e0 + grid.relative(), energy, values)


def perturbed(
    energy: Floats,
    values: Floats,
    grid: EnergyGrid,
    e0: float,
    sigma: float,
    step_error: float,
) -> Floats:
    """Return a spectrum on the grid, and copies that show what its axis and edge step change.

    Parameters
    ----------
    energy, values, grid, e0
        As for `regrid`. In a moved copy the end values are repeated beyond the data.
    sigma : float
        Standard deviation of the energy axis, eV.
    step_error : float
        Relative standard deviation of the edge step.

    Returns
    -------
    (5, grid.points) array
        See `perturbed_rows`.

    Raises
    ------
    Refused
        As `regrid` does.
    """
    _check_reach(energy, grid, e0)
    rows = (energy - e0)[None], values[None], grid.relative()
    nothing, none = np.empty((1, 0, energy.size)), np.zeros(1)
    return perturbed_rows(*rows, np.array([sigma]), np.array([step_error]), nothing, none, 0)[0]


def perturbed_rows(
    axes: Floats,
    values: Floats,
    at: Floats,
    sigma: Floats,
    step_error: Floats,
    others: Floats,
    noise: Floats,
    copies: int,
) -> Floats:
    """Return spectra on the grid, each with copies that show what its uncertainties change.

    Parameters
    ----------
    axes : (k, n) or (1, n) array
        Energies of each row, or of all, eV from the tabulated edge; they hold all of `at`.
    values : (k, n) array
    at : (g,) array
        The grid on those axes, eV.
    sigma, step_error : (k,) arrays
        Standard deviation of the energy axis, eV, and the relative one of the edge step.
    others : (k, m, n) array
        The spectra normalised otherwise: `estimates.ALTERNATES` of each, or none.
    noise : (k,) array
        Standard deviation of what is added to `values` in each of `copies` noisy copies.

    Returns
    -------
    (k, 5 + m + copies, g) array
        The spectrum itself, moved to higher and to lower energy, with a smaller and with a
        larger edge step, normalised otherwise, with noise: the order that `estimates.describe`
        expects.
    """
    by = sigma[:1] if (sigma == sigma[0]).all() else sigma  # one search for all on one axis
    moved = at + by[:, None, None] * np.array([[0.0], [-1.0], [1.0]])
    everywhere = between(axes, moved.reshape(len(by), -1))
    itself = everywhere.first(at.size)
    found = np.empty((len(values), 5 + others.shape[1] + copies, at.size))
    found[:, :3] = everywhere.of(values[:, None]).reshape(len(values), 3, at.size)
    flat = found[:, :1]
    scale = step_error[:, None, None] * np.array([[-1.0], [1.0]])
    found[:, 3:5] = flat * (1.0 + scale)
    found[:, 5 : 5 + others.shape[1]] = itself.of(others)
    if copies:
        added = itself.of(drawn_on(axes, copies))
        found[:, -copies:] = flat + noise[:, None, None] * added
    return found


def _check_reach(energy: Floats, grid: EnergyGrid, e0: float) -> None:
    """Refuse a spectrum beyond whose energies the grid reaches, ``coverage``."""
    low, high = e0 + grid.start, e0 + grid.stop
    # A thousandth of an eV absorbs the rounding of energies written as text.
    if energy[0] > low + 1e-3 or energy[-1] < high - 1e-3:
        raise Refused(
            "coverage",
            f"the model needs {low:.1f}-{high:.1f} eV, "
            f"the shifted scan spans {energy[0]:.1f}-{energy[-1]:.1f} eV",
        )
