"""Calibrate the energy axis of a scan against its reference foil.

Convention: the first inflection of the metal foil lies at the tabulated edge.
The smooth library foil is shifted to fit the scan's noisy reference; interpolating
the noisy scan instead would bias the shift by 0.1-0.2 eV.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import lru_cache

import numpy as np

from rankaae_stream.errors import Refused
from rankaae_stream.report import FoilShift
from rankaae_stream.spectrum import AXIS_UNCERTAINTY, Edge, Floats

__all__ = ["AxisRules", "FoilLibrary", "KnownCompound", "calibrate", "calibrate_by_compound"]

REACH = 12.0
"""Largest shift that is searched for, eV; real axes are off by up to 2."""
WINDOW = 12.0
"""Half-width of the region around the foil's edge that the shift is fitted in, eV."""
MISFIT = 0.022
"""Largest misfit of a reference that is this metal, in edge steps: measured foils reach
0.018, the most similar compounds (VO, Fe3C, FeN) begin at 0.028."""
NOISE = 0.05
"""Noise of a point, in edge steps, above which compound and metal cannot be distinguished."""
DISAGREEMENT = 0.75
"""Largest difference between the shifts found within `WINDOW` and twice `WINDOW`, eV: up to
0.5 for measured foils that are thick or broadened, 1 and more for VO and FeN."""
DAMPINGS = tuple(0.05 * step for step in range(1, 10))
"""Shares of a foil's squared absorption that are tried as its damping: a foil that is thick, or
measured with harmonics, lets through light that it should absorb, most where it absorbs most."""
DAMPABLE = 0.05
"""Largest misfit without damping for which damping is tried, in edge steps: damped foils reach
0.045 (Mn, APS 10-ID), most oxides begin at 0.05."""
DAMPED_MISFIT = 0.014
"""As `MISFIT`, with damping: damped foils reach 0.013 (Mn, APS 10-ID), the most similar
compounds begin at 0.016 (FeN) and 0.020 (Cu2O)."""
DAMPED_UNCERTAINTY = 0.25
"""Uncertainty that damping adds, as a share of how far it moves the shift: its form is an
approximation."""
LIBRARY_UNCERTAINTY = 0.1
"""Standard deviation of a library foil's first inflection, eV."""

COMPOUND_MISFIT = 0.04
"""Largest misfit of a spectrum that is a named compound, in edge steps: between laboratories 0.001
to 0.025 (14 spectra of Fe3O4, Cr2O3, K2CrO4, Mn2O3, MnO2, MnCO3), metals and most other compounds
0.03 to 0.24."""
OTHER_COMPOUND = 0.5
"""Where another known compound leaves less than this share of the misfit, and the named one leaves
more than `ALIKE`, it is that one."""
ALIKE = 0.01

STEP = 0.1
"""Step between the shifts that are tried, eV."""
COARSE = 5
"""Of so many neighbouring shifts one is tried first."""
MARGIN = 0.5
"""How far shifts are tried beyond `REACH`, eV: the best shift needs neighbours."""
FITTED = 4
"""Parameters of the fit: shift, height, and the background's height and slope."""


@dataclass(frozen=True, slots=True)
class AxisRules:
    """How one beamline uses the shifts of its foils.

    Attributes
    ----------
    apply : bool
        False to report the shift only and leave the axis as measured.
    sigma : float
        Standard deviation of an axis that is not calibrated by a foil, eV.
    max_age : float
        Hours after which the foil of an earlier run is no longer used.
    limit : float
        Larger shifts are flagged, eV.
    """

    apply: bool = True
    sigma: float = AXIS_UNCERTAINTY
    max_age: float = 12.0
    limit: float = 0.1

    def uncertainty(self, foil: FoilShift | None, age: float = 0.0) -> float:
        """Return the standard deviation of the axis, eV, for a foil measured `age` hours ago.

        Notes
        -----
        How fast an axis drifts is not known for the beamlines here. Known are the limits: a
        foil measured now has its own uncertainty, and a foil of `max_age` tells no more than
        none. In between the drift grows linearly with time.
        """
        if foil is None or not self.apply:
            return self.sigma
        drift = self.sigma * age / self.max_age if age else 0.0
        return float(np.hypot(foil.uncertainty, drift))


@dataclass(frozen=True, slots=True, eq=False)
class FoilLibrary:
    """A metal foil on an axis where its first inflection is the tabulated edge.

    `energy` (n,) eV, strictly increasing; `mu` (n,), any height. `moved` was added to the
    energies of `file` to get there, eV.
    """

    edge: Edge
    energy: Floats
    mu: Floats
    file: str = ""
    moved: float = 0.0

    @classmethod
    def from_measured(cls, edge: Edge, energy: Floats, mu: Floats, file: str = "") -> "FoilLibrary":
        """Return a measured foil, shifted so that its first inflection is the tabulated edge."""
        moved = edge.e0 - first_inflection(energy, mu, edge.e0)
        return cls(edge, energy + moved, mu, file, moved)

    def damped(self, damping: float) -> "FoilLibrary":
        """Return the foil with its peaks pressed down, as thickness and harmonics do.

        With its absorption f from 0 before the edge to 1 at its highest within twice
        `WINDOW`, the damped absorption is ``f - damping f^2``.
        """
        return _damped(self, damping)


@dataclass(frozen=True, slots=True, eq=False)
class KnownCompound:
    """A measured compound on an axis that is known.

    `edge` holds the compound's own half height, eV, in place of the tabulated edge; `energy`,
    `mu` as for `FoilLibrary`. `moved` was added to the energies of `file` for its foil, and
    `uncertainty` is the standard deviation of its axis, eV.
    """

    name: str
    spectrum: FoilLibrary
    uncertainty: float


def calibrate(energy: Floats, mu: Floats, library: FoilLibrary) -> FoilShift:
    """Find the shift that brings a scan's reference channel onto the library foil.

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
        does not cover the edge, or needs a larger shift than any real axis.

    Notes
    -----
    Within 12 eV of the edge alone, flat parts of another spectrum fit those of the foil at
    some shift. So the fit is made twice: first within 24 eV, which separates the metal from
    its compounds, then within 12 eV, which gives the shift. For a reference that differs
    from the library foil in energy only, both shifts agree; their difference is therefore
    part of the uncertainty.
    """
    e0 = library.edge.e0
    good = np.isfinite(mu)
    energy, mu = energy[good], mu[good]
    x, y = _around(energy, mu, e0, 2 * WINDOW)
    if x.size < 2 * FITTED or x[0] > e0 - WINDOW or x[-1] < e0 + WINDOW:
        raise _too_few(x - e0, 2 * WINDOW)
    # Shifts that would put the edge outside the measured energies cannot be judged.
    lowest = max(-REACH - MARGIN, e0 + WINDOW - float(energy[-1]))
    highest = min(REACH + MARGIN, e0 - WINDOW - float(energy[0]))
    trials = STEP * np.arange(math.ceil(lowest / STEP - 1e-6), highest / STEP + 1e-6, dtype=float)
    found, damping, moved = _identify(x, y, library, trials)
    wide, compared = found.shift, library.damped(damping) if damping else library
    # Keep the window on the tabulated edge, and move it only for shifts beyond 6 eV: so all
    # smaller shifts are fitted to the same points, as they were for the models' standards.
    follow = np.sign(wide) * max(abs(wide) - WINDOW / 2, 0.0)
    x, y = _around(energy, mu, e0 - follow, WINDOW)
    trials = STEP * np.arange(-15.0, 16.0)
    if x.size < 2 * FITTED:
        raise _too_few(x - e0, WINDOW)
    apart, statistical = _vertex(x, y, compared, wide, trials)
    nearest = STEP * round(apart / STEP)
    if abs(nearest) > DISAGREEMENT:
        raise Refused(
            "no_foil",
            f"the reference channel is not {library.edge.element} metal: within {WINDOW:.0f} eV of "
            f"the edge it fits at a shift of {wide + nearest:+.1f} eV and within "
            f"{2 * WINDOW:.0f} eV at {wide:+.1f} eV; they may differ by {DISAGREEMENT} eV",
        )
    uncertainty = math.hypot(statistical, LIBRARY_UNCERTAINTY, apart, DAMPED_UNCERTAINTY * moved)
    value = float(wide + apart)
    return FoilShift(value, uncertainty, found.misfit, library.file, library.moved, damping)


def calibrate_by_compound(
    energy: Floats, mu: Floats, known: KnownCompound, others: Sequence[KnownCompound] = ()
) -> FoilShift:
    """Find the shift that brings a spectrum of a known compound onto the library's of it.

    Parameters
    ----------
    energy, mu : (n,) arrays
        As for `calibrate`.
    known : KnownCompound
    others : sequence of KnownCompound
        Of the same element; one that fits much better contradicts the name.

    Returns
    -------
    FoilShift

    Raises
    ------
    Refused
        ``no_foil`` where the spectrum is of another compound or does not cover the edge.
    """
    library = known.spectrum
    good = np.isfinite(mu)
    energy, mu = energy[good], mu[good]
    found = _compound_match(energy, mu, known)
    if found is None or found.structure > COMPOUND_MISFIT or found.at_the_end:
        by = f"by {found.structure:.1%} of the edge step" if found else "in that it shows no edge"
        raise Refused(
            "no_foil",
            f"the spectrum is not {known.name}, or was measured badly: it differs from the "
            f"library's {by}, at most {COMPOUND_MISFIT:.0%} allowed",
        )
    for other in others:
        match = _compound_match(energy, mu, other)
        better = match is not None and match.structure < OTHER_COMPOUND * found.structure
        if better and found.structure > ALIKE and other.name != known.name:
            raise Refused(
                "no_foil",
                f"the spectrum looks like {other.name} rather than {known.name}: state which it is",
            )
    x, y = _around(energy, mu, library.edge.e0 - found.shift, WINDOW)
    if x.size < 2 * FITTED:
        raise _too_few(x - library.edge.e0, WINDOW, f"the spectrum of {known.name}")
    apart, statistical = _vertex(x, y, library, found.shift, STEP * np.arange(-15.0, 16.0))
    uncertainty = math.hypot(statistical, known.uncertainty, apart)
    return FoilShift(
        found.shift + apart,
        uncertainty,
        found.misfit,
        library.file,
        library.moved,
        compound=known.name,
    )


def _compound_match(energy: Floats, mu: Floats, known: KnownCompound) -> "_Match | None":
    e0 = known.spectrum.edge.e0
    x, y = _around(energy, mu, e0, 2 * WINDOW)
    if x.size < 2 * FITTED or x[0] > e0 - WINDOW or x[-1] < e0 + WINDOW:
        raise _too_few(x - e0, 2 * WINDOW, f"the spectrum of {known.name}")
    return _Match.best(x, y, known.spectrum, STEP * np.arange(-60.0, 61.0))


def _vertex(
    x: Floats, y: Floats, compared: FoilLibrary, wide: float, trials: Floats
) -> tuple[float, float]:
    """Return how far from `wide` the least squares lie, and their standard deviation, eV."""
    squares = _Fit.at(x, y, compared, wide + trials).sum_of_squares
    best = int(np.clip(np.argmin(squares), 1, trials.size - 2))
    before, least, after = squares[best - 1 : best + 2]
    curvature = before - 2 * least + after
    # At the end of the trials there is no vertex: so far apart is refused.
    vertex = 0.5 * STEP * (before - after) / curvature if curvature > 0 else 0.0
    # Second derivative of the sum of squares: variance = 2 s^2 / (d2 S / d shift^2).
    variance = least / (x.size - FITTED)
    statistical = math.sqrt(2 * variance * STEP**2 / curvature) if curvature > 0 else WINDOW
    return float(trials[best]) + vertex, statistical


def _identify(
    x: Floats, y: Floats, library: FoilLibrary, trials: Floats
) -> "tuple[_Match, float, float]":
    """Return the best match, the damping it needs, and how far that moves the shift, eV.

    Raises
    ------
    Refused
        Where the reference is not the metal, is too noisy, or is too far off.
    """
    element = library.edge.element
    plain = _Match.best(x, y, library, trials)
    if plain is None:
        raise Refused("no_foil", f"the reference channel shows no edge of {element} metal")
    found, damping = plain, 0.0
    if MISFIT < plain.structure <= DAMPABLE:
        tried = [(_Match.best(x, y, library.damped(each), trials), each) for each in DAMPINGS]
        rising = [(match, each) for match, each in tried if match is not None]
        found, damping = min(rising, key=lambda pair: pair[0].structure)
    if found.structure > (DAMPED_MISFIT if damping else MISFIT):
        raise Refused(
            "no_foil",
            f"the reference channel is not {element} metal: it differs from the library foil by "
            f"{plain.structure:.1%} of its edge step, at most {MISFIT:.1%} allowed, and not as a "
            "thick foil differs",
        )
    if found.noise > NOISE:
        raise Refused(
            "no_foil",
            f"the reference channel is too noisy: {found.noise:.1%} of its edge step a point, at "
            f"most {NOISE:.0%} allowed; count longer or let more light through the sample",
        )
    if found.at_the_end:
        raise Refused(
            "no_foil",
            f"the reference foil needs a shift of {found.shift:+.1f} eV or more; at most "
            f"{REACH:.0f} eV can be found, less where the scan ends close to the edge",
        )
    return found, damping, abs(found.shift - plain.shift)


@dataclass(frozen=True, slots=True)
class _Match:
    """How a reference compares with one foil at the best of the tried shifts.

    `shift` eV; `misfit` (root mean square), its part `structure` that neighbouring points
    share, and the `noise` of a point, in edge steps.
    """

    shift: float
    misfit: float
    structure: float
    noise: float
    at_the_end: bool

    @classmethod
    def best(cls, x: Floats, y: Floats, library: FoilLibrary, trials: Floats) -> "_Match | None":
        """Return the match at the best shift, or None where nothing rises as the foil does.

        Every `COARSE`-th shift is tried, then all beside the best: a misfit does not change
        within less than an edge is wide.
        """
        about = int(np.argmin(_Fit.at(x, y, library, trials[::COARSE]).misfits()))
        near = slice(max(COARSE * (about - 1), 0), COARSE * (about + 1) + 1)
        fit = _Fit.at(x, y, library, trials[near])
        relative = fit.misfits()
        best = int(np.argmin(relative))
        if not fit.height[best] > 0:
            return None
        rest = fit.residuals(best) / fit.height[best]
        # White noise is not correlated between neighbours; structure is.
        common = max(float(rest[1:] @ rest[:-1]) / (rest.size - 1), 0.0)
        noise = math.sqrt(max(float(relative[best]) ** 2 - common, 0.0))
        end = near.start + best in (0, trials.size - 1)
        shift = float(trials[near.start + best])
        return cls(shift, float(relative[best]), math.sqrt(common), noise, end)


def _too_few(relative: Floats, width: float, what: str = "the reference channel") -> Refused:
    span = f", from {relative[0]:+.1f} to {relative[-1]:+.1f} eV" if relative.size else ""
    return Refused(
        "no_foil",
        f"{what} holds {relative.size} points within {width:.0f} eV of the "
        f"edge{span}; it needs {2 * FITTED} and {WINDOW:.0f} eV to either side",
    )


def first_inflection(energy: Floats, mu: Floats, e0: float) -> float:
    """Return the energy of the first inflection within 6 eV of `e0`, eV.

    It is the first local maximum of the slope with at least half of the largest slope
    there: for a metal that is the foot of the edge, not the white line.
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
        raise Refused("no_foil", f"mu does not rise within 6 eV of {e0:.1f} eV")
    i = peaks[0]
    left, middle, right = slope[i - 1 : i + 2]
    return float(fine[i] + 0.025 * (left - right) / (left - 2 * middle + right))


@dataclass(frozen=True, slots=True)
class _Fit:
    """Fits of the library foil on a linear background to n points, at each of s shifts.

    `sum_of_squares` (s,) of the residuals and `height` (s,) of the foil in units of y;
    `y` (n,) and `foils` (s, n) without their background.
    """

    sum_of_squares: Floats
    height: Floats
    y: Floats
    foils: Floats

    @classmethod
    def at(cls, x: Floats, y: Floats, library: FoilLibrary, shifts: Floats) -> "_Fit":
        background, foils, norm = _moved(x.tobytes(), library, shifts.tobytes())
        y = y - background @ (background.T @ y)
        overlap = foils @ y
        return cls(np.maximum(y @ y - overlap**2 / norm, 0.0), overlap / norm, y, foils)

    def misfits(self) -> Floats:
        """Return the root mean square (s,) of the residuals in heights of the foil.

        Infinite where the foil would be upside down.
        """
        with np.errstate(divide="ignore", invalid="ignore"):
            relative = np.sqrt(self.sum_of_squares / self.y.size) / self.height
        return np.where(self.height > 0, relative, np.inf)

    def residuals(self, index: int) -> Floats:
        """Return the residuals of the fit at one shift, (n,)."""
        return self.y - self.height[index] * self.foils[index]


@lru_cache(maxsize=32)
def _moved(energies: bytes, library: FoilLibrary, shifts: bytes) -> tuple[Floats, Floats, Floats]:
    """Return a background (n, 2), foils (s, n) without it, and their squared norms (s,).

    Kept, because the scans of a session have the same energies as a rule.
    """
    x, by = np.frombuffer(energies), np.frombuffer(shifts)
    foils = np.interp((x + by[:, None]).ravel(), library.energy, library.mu)
    foils = foils.reshape(by.size, x.size)
    foils /= np.ptp(foils, axis=1)[:, None]
    # The background is the same at every shift: it is projected out once, so that only
    # the height remains to be solved for. A constant and a centred line are orthogonal.
    centred = x - x.mean()
    background = np.empty((x.size, 2))
    background[:, 0] = 1.0 / math.sqrt(x.size)
    background[:, 1] = centred / math.sqrt(centred @ centred)
    foils -= (foils @ background) @ background.T
    return background, foils, np.einsum("sn,sn->s", foils, foils)


@lru_cache(maxsize=64)
def _damped(foil: FoilLibrary, damping: float) -> FoilLibrary:
    near = np.abs(foil.energy - foil.edge.e0) <= 2 * WINDOW
    low, high = float(foil.mu[near].min()), float(foil.mu[near].max())
    rise = (foil.mu - low) / (high - low)
    return replace(foil, mu=rise - damping * rise**2)


def _around(energy: Floats, mu: Floats, e0: float, width: float) -> tuple[Floats, Floats]:
    near = np.abs(energy - e0) <= width
    return energy[near], mu[near]
