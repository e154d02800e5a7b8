"""The energy axis of one scan, calibrated against its reference foil.

Convention: the first inflection of the metal foil lies at the tabulated edge.
The library foil is smooth, so it is the one that is moved over the scan's noisy
reference; interpolating the noisy scan instead biases the shift by 0.1-0.2 eV.
"""

from dataclasses import dataclass

import numpy as np

from rankaae_stream.errors import Refused
from rankaae_stream.spectrum import AXIS_UNCERTAINTY, Edge, Floats

__all__ = ["NO_FOIL", "FoilLibrary", "FoilShift", "calibrate"]

WINDOW = 12.0
"""Half-width of the compared region around the edge, eV."""
REACH = 6.0
"""Largest shift looked for, eV; real axes are off by up to 2."""
MISFIT = 0.04
"""Residual, in edge steps, beyond which a reference is not this metal's foil."""
LIBRARY_UNCERTAINTY = 0.1
"""How well a library foil's first inflection is known, eV."""


@dataclass(frozen=True, slots=True)
class FoilShift:
    """What to add to the measured energy, eV, and its standard deviation."""

    value: float
    uncertainty: float


NO_FOIL = FoilShift(0.0, AXIS_UNCERTAINTY)
"""Without a foil the axis stays as it is."""


@dataclass(frozen=True, slots=True, eq=False)
class FoilLibrary:
    """A metal foil on an axis where its first inflection is the tabulated edge.

    `energy` (n,) eV, strictly increasing; `mu` (n,), any height.
    """

    edge: Edge
    energy: Floats
    mu: Floats

    @classmethod
    def from_measured(cls, edge: Edge, energy: Floats, mu: Floats) -> "FoilLibrary":
        """Move a measured foil by its own first inflection."""
        return cls(edge, energy + edge.e0 - first_inflection(energy, mu, edge.e0), mu)


def calibrate(energy: Floats, mu: Floats, library: FoilLibrary) -> FoilShift:
    """Shift that brings a scan's reference channel onto the library foil.

    Parameters
    ----------
    energy : (n,) array
        Measured energies, strictly increasing, eV.
    mu : (n,) array
        Absorption of the reference channel, any height and background.
    library : FoilLibrary
        The same metal.

    Returns
    -------
    FoilShift

    Raises
    ------
    Refused
        ``no_foil`` where the reference is not this metal, does not cover the
        edge, or lies further off than an axis ever is.
    """
    e0 = library.edge.e0
    near = (np.abs(energy - e0) <= WINDOW) & np.isfinite(mu)
    x, y = energy[near], mu[near]
    if x.size < 8 or x[0] > e0 - WINDOW / 2 or x[-1] < e0 + WINDOW / 2:
        raise Refused(
            "no_foil", f"the reference channel holds {x.size} points within {WINDOW} eV of the edge"
        )
    trials = np.arange(-REACH, REACH + 0.05, 0.1)
    misfits, _ = _misfit(x, y, library, trials)
    best = int(np.argmin(misfits))
    if best in (0, trials.size - 1):
        raise Refused("no_foil", f"the reference foil is off by more than {REACH} eV")
    left, middle, right = misfits[best - 1 : best + 2]
    curvature = left - 2 * middle + right
    value = float(trials[best] + 0.05 * (left - right) / curvature)
    (sum_of_squares,), (step,) = _misfit(x, y, library, np.array([value]))
    residual = float(np.sqrt(sum_of_squares / x.size))
    if step <= 0 or residual > MISFIT * step:
        raise Refused(
            "no_foil",
            f"the reference channel is not {library.edge.element} metal: residual "
            f"{residual / step if step > 0 else float('inf'):.1%} of its step, "
            f"at most {MISFIT:.0%} allowed",
        )
    # Second derivative of the sum of squares: variance = 2 s^2 / (d2 S / d shift^2).
    statistical = np.sqrt(2 * residual**2 * 0.1**2 / curvature)
    return FoilShift(value, float(np.hypot(statistical, LIBRARY_UNCERTAINTY)))


def first_inflection(energy: Floats, mu: Floats, e0: float) -> float:
    """Energy of the first steep rise within 6 eV of `e0`, eV.

    The first local maximum of the slope that reaches half of the steepest one
    nearby: for a metal that is the foot of the edge, not the white line.
    """
    fine = np.arange(e0 - 12.0, e0 + 12.0, 0.05)
    kernel = np.exp(-0.5 * (np.arange(-40, 41) * 0.05 / 0.4) ** 2)
    smooth = np.convolve(np.interp(fine, energy, mu), kernel / kernel.sum(), mode="same")
    slope = np.gradient(smooth, fine)
    inside = np.flatnonzero(np.abs(fine - e0) <= 6.0)
    peaks = [
        i
        for i in inside
        if slope[i] >= slope[i - 1]
        and slope[i] > slope[i + 1]
        and slope[i] > 0.5 * slope[inside].max()
    ]
    if not peaks:
        raise Refused("no_foil", f"no rise within 6 eV of {e0:.1f} eV")
    i = peaks[0]
    left, middle, right = slope[i - 1 : i + 2]
    return float(fine[i] + 0.025 * (left - right) / (left - 2 * middle + right))


def _misfit(x: Floats, y: Floats, library: FoilLibrary, shifts: Floats) -> tuple[Floats, Floats]:
    """Fit the moved foil and a sloping background at each shift.

    Returns
    -------
    sum_of_squares, height : (s,) arrays
        What is left, and the foil's height in units of y.
    """
    foils = np.empty((shifts.size, x.size))
    for i in range(shifts.size):
        foils[i] = np.interp(x + shifts[i], library.energy, library.mu)
    heights = np.ptp(foils, axis=1)
    # The background is the same at every shift, so it is projected out once and
    # a single coefficient remains to be solved for each.
    background, _ = np.linalg.qr(np.column_stack([np.ones_like(x), x - x.mean()]))
    y = y - background @ (background.T @ y)
    foils = foils - (foils @ background) @ background.T
    overlap, norm = foils @ y, np.einsum("sn,sn->s", foils, foils)
    return np.maximum(y @ y - overlap**2 / norm, 0.0), overlap / norm * heights
