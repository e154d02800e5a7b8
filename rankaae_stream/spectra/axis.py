"""The energy axis of one scan, calibrated against its reference foil.

Convention: the first inflection of the metal foil lies at the tabulated edge.
The library foil is smooth, so it is the one that is moved over the scan's noisy
reference; interpolating the noisy scan instead biases the shift by 0.1-0.2 eV.
"""

import math
from dataclasses import dataclass

import numpy as np

from rankaae_stream.errors import Refused
from rankaae_stream.report import FoilShift
from rankaae_stream.spectrum import AXIS_UNCERTAINTY, Edge, Floats

__all__ = ["AxisRules", "FoilLibrary", "calibrate"]

REACH = 12.0
"""Largest shift that is found, eV; real axes are off by up to 2."""
WINDOW = 12.0
"""Half-width of the region around the foil's edge that the shift is taken from, eV."""
MISFIT = 0.022
"""Structure left of a reference, in edge steps, beyond which it is not this metal:
measured foils leave 0.018 at most, and the likest compounds (VO, Fe3C, FeN) 0.028."""
NOISE = 0.05
"""Noise of a point, in edge steps, in which a compound can no longer be told from the metal."""
DISAGREEMENT = 0.75
"""How far the shift by the edge may lie from that by twice its surroundings, eV: 0.5 with
the worst of measured foils, which are thick or broadened, 1 and more with VO and FeN."""
LIBRARY_UNCERTAINTY = 0.1
"""How well a library foil's first inflection is known, eV."""

STEP = 0.1
"""Between the shifts that are tried, eV."""
MARGIN = 0.5
"""Tried beyond `REACH`, eV: the best shift must have neighbours."""
FITTED = 4
"""Numbers that the fit finds: shift, height, and the background's height and slope."""


@dataclass(frozen=True, slots=True)
class AxisRules:
    """What becomes of foil shifts at one beamline.

    Attributes
    ----------
    apply : bool
        False where the shift is reported only, and the axis stays as measured.
    sigma : float
        Standard deviation of an axis that no foil has calibrated, eV.
    max_age : float
        Hours for which an earlier run's foil serves a scan without one of its own.
    limit : float
        Shifts beyond it are flagged, eV.
    """

    apply: bool = True
    sigma: float = AXIS_UNCERTAINTY
    max_age: float = 12.0
    limit: float = 0.1

    def uncertainty(self, foil: FoilShift | None, age: float = 0.0) -> float:
        """Standard deviation of the axis, eV, by a foil measured `age` hours ago, or none.

        Notes
        -----
        How far an axis drifts within a shift is known of no beamline here. What is
        known are the ends: a foil of now gives its own uncertainty, and one too old to
        be used says no more than none. In between it grows evenly.
        """
        if foil is None or not self.apply:
            return self.sigma
        drift = self.sigma * age / self.max_age if age else 0.0
        return float(np.hypot(foil.uncertainty, drift))


@dataclass(frozen=True, slots=True, eq=False)
class FoilLibrary:
    """A metal foil on an axis where its first inflection is the tabulated edge.

    `energy` (n,) eV, strictly increasing; `mu` (n,), any height. `moved` is what was
    added to the energies of `file` to bring it there, eV.
    """

    edge: Edge
    energy: Floats
    mu: Floats
    file: str = ""
    moved: float = 0.0

    @classmethod
    def from_measured(cls, edge: Edge, energy: Floats, mu: Floats, file: str = "") -> "FoilLibrary":
        """Move a measured foil by its own first inflection."""
        moved = edge.e0 - first_inflection(energy, mu, edge.e0)
        return cls(edge, energy + moved, mu, file, moved)


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
        ``no_foil`` where the reference is not this metal, is too noisy to tell,
        does not cover the edge, or lies further off than an axis ever is.

    Notes
    -----
    Within 12 eV alone the flat stretches of another spectrum fit the foil's own at some
    shift. So the same points, twice as far to either side, are compared at every shift
    first: there the metal is told from its compounds. The shift itself is that of the
    edge, and how far both differ is part of its uncertainty, for with a foil that is
    the library's but for its energy they do not.
    """
    e0 = library.edge.e0
    good = np.isfinite(mu)
    energy, mu = energy[good], mu[good]
    x, y = _around(energy, mu, e0, 2 * WINDOW)
    if x.size < 2 * FITTED or x[0] > e0 - WINDOW or x[-1] < e0 + WINDOW:
        raise _too_few(x - e0, 2 * WINDOW)
    # Where the edge may lie outside of what was measured, nothing can tell.
    lowest = max(-REACH - MARGIN, e0 + WINDOW - float(energy[-1]))
    highest = min(REACH + MARGIN, e0 - WINDOW - float(energy[0]))
    trials = STEP * np.arange(math.ceil(lowest / STEP - 1e-6), highest / STEP + 1e-6, dtype=float)
    wide, left = _identify(x, y, library, trials)
    # The window stays on the edge, and follows it only where it would get out of sight:
    # so every shift up to then is one to the same points, as the models' standards were.
    follow = np.sign(wide) * max(abs(wide) - WINDOW / 2, 0.0)
    x, y = _around(energy, mu, e0 - follow, WINDOW)
    trials = STEP * np.arange(-15.0, 16.0)
    if x.size < 2 * FITTED:
        raise _too_few(x - e0, WINDOW)
    squares = _Fit.at(x, y, library, wide + trials).sum_of_squares
    best = int(np.argmin(squares))
    if abs(trials[best]) > DISAGREEMENT:
        raise Refused(
            "no_foil",
            f"the reference channel is not {library.edge.element} metal: its edge fits at "
            f"{wide + trials[best]:+.1f} eV and its surroundings at {wide:+.1f} eV, at most "
            f"{DISAGREEMENT} eV apart are allowed",
        )
    before, least, after = squares[best - 1 : best + 2]
    curvature = before - 2 * least + after
    vertex = 0.5 * STEP * (before - after) / curvature
    # Second derivative of the sum of squares: variance = 2 s^2 / (d2 S / d shift^2).
    variance = least / (x.size - FITTED)
    statistical = np.sqrt(2 * variance * STEP**2 / curvature)
    apart = float(trials[best]) + vertex
    uncertainty = math.hypot(statistical, LIBRARY_UNCERTAINTY, apart)
    return FoilShift(float(wide + apart), uncertainty, left, library.file, library.moved)


def _identify(x: Floats, y: Floats, library: FoilLibrary, trials: Floats) -> tuple[float, float]:
    """The shift at which the foil and its surroundings fit best, and what is left, in steps.

    Raises
    ------
    Refused
        Where the reference is not the metal, too noisy, or too far off.
    """
    element = library.edge.element
    fit = _Fit.at(x, y, library, trials)
    with np.errstate(divide="ignore", invalid="ignore"):
        relative = np.sqrt(fit.sum_of_squares / x.size) / fit.height
    relative[~(fit.height > 0)] = np.inf
    best = int(np.argmin(relative))
    if not fit.height[best] > 0:
        raise Refused("no_foil", f"the reference channel shows no rise like {element} metal's")
    left = fit.left(best) / fit.height[best]
    # White noise has no memory: what neighbours have in common is structure.
    common = max(float(left[1:] @ left[:-1]) / (left.size - 1), 0.0)
    noise = math.sqrt(max(float(relative[best]) ** 2 - common, 0.0))
    if math.sqrt(common) > MISFIT:
        raise Refused(
            "no_foil",
            f"the reference channel is not {element} metal: {math.sqrt(common):.1%} of its step is "
            f"left of it, at most {MISFIT:.1%} allowed",
        )
    if noise > NOISE:
        raise Refused(
            "no_foil",
            f"the reference channel is too noisy: {noise:.1%} of its step a point, at most "
            f"{NOISE:.0%} allowed; count longer or let more light through the sample",
        )
    if best in (0, trials.size - 1):
        raise Refused(
            "no_foil",
            f"the reference foil is off by {trials[best]:+.1f} eV or more; at most {REACH:.0f} eV "
            "can be told, and less where the scan ends that near to the edge",
        )
    return float(trials[best]), float(relative[best])


def _too_few(relative: Floats, width: float) -> Refused:
    span = f", from {relative[0]:+.1f} to {relative[-1]:+.1f} eV" if relative.size else ""
    return Refused(
        "no_foil",
        f"the reference channel holds {relative.size} points within {width:.0f} eV of the "
        f"edge{span}; it needs {2 * FITTED} and {WINDOW:.0f} eV to either side",
    )


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


@dataclass(frozen=True, slots=True)
class _Fit:
    """The moved foil on a sloping background, fitted at each of s shifts to n points.

    `sum_of_squares` and `height` (s,), the foil's height in units of y; `y` (n,) and
    `foils` (s, n) without their background.
    """

    sum_of_squares: Floats
    height: Floats
    y: Floats
    foils: Floats

    @classmethod
    def at(cls, x: Floats, y: Floats, library: FoilLibrary, shifts: Floats) -> "_Fit":
        moved = (x + shifts[:, None]).ravel()
        foils = np.interp(moved, library.energy, library.mu).reshape(shifts.size, x.size)
        foils /= np.ptp(foils, axis=1)[:, None]
        # The background is the same at every shift, so it is projected out once and
        # a single coefficient remains to be solved for each.
        background, _ = np.linalg.qr(np.column_stack([np.ones_like(x), x - x.mean()]))
        y = y - background @ (background.T @ y)
        foils -= (foils @ background) @ background.T
        overlap, norm = foils @ y, np.einsum("sn,sn->s", foils, foils)
        return cls(np.maximum(y @ y - overlap**2 / norm, 0.0), overlap / norm, y, foils)

    def left(self, index: int) -> Floats:
        """What the fit at one shift leaves of y, (n,)."""
        return self.y - self.height[index] * self.foils[index]


def _around(energy: Floats, mu: Floats, e0: float, width: float) -> tuple[Floats, Floats]:
    near = np.abs(energy - e0) <= width
    return energy[near], mu[near]
