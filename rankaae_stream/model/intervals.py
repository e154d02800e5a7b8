"""Make half-widths from their causes, and say which cause counts most."""

import math
from dataclasses import dataclass, replace
from functools import cache
from statistics import NormalDist

import numpy as np

from rankaae_stream.model.card import FEWEST_COMPOUNDS, Level, MonotoneMap, Output
from rankaae_stream.report import Shares
from rankaae_stream.spectrum import Floats

__all__ = [
    "Causes",
    "advise",
    "calibrated",
    "calibrated_half",
    "interval",
    "little_shown",
    "normal_quantile",
]

FOIL = 0.1
"""Standard deviation of an axis that a foil calibrates, eV: that of the library's foils."""

FAR = 1e6
"""In proportion to the last knot up to so many times as far."""

WORTH_IT = 0.9
"""Advice is given that narrows an interval to this part of it or less."""


@dataclass(frozen=True, slots=True)
class Causes:
    """Half-widths that single causes would give an interval, in the output's unit.

    Attributes
    ----------
    ensemble : float
        What the networks miss on simulated compounds, with the spread of the members.
    axis, step : float
        The energy axis, and an edge step that a short scan leaves uncertain.
    background : float
        Other ranges of the pre-edge and post-edge fits.
    noise : float
        What the noise of the points moves the value by.
    blurred : float
        By how much the members differ more for that noise.
    extent : float
        What a part of a spectrum does not show.
    """

    ensemble: float
    axis: float = 0.0
    step: float = 0.0
    background: float = 0.0
    noise: float = 0.0
    blurred: float = 0.0
    extent: float = 0.0

    @property
    def whole(self) -> float:
        """The half-width that measured compounds calibrate: all but what standards hardly have."""
        return math.hypot(self.ensemble, self.blurred, self.axis, self.step)


def calibrated(calibration: MonotoneMap, whole: Floats) -> Floats:
    """Return half-widths that hold measured compounds, of the shape of the whole ones.

    Linear between the knots, in proportion beyond them.

    Examples
    --------
    >>> knots = MonotoneMap(np.array([1.0, 2.0]), np.array([0.3, 1.8]))
    >>> calibrated(knots, np.array([0.5, 1.5, 4.0]))
    array([0.15, 1.05, 3.6 ])
    """
    knot, half = calibration.latent, calibration.value
    ends = np.array([0.0, *knot, FAR * knot[-1]]), np.array([0.0, *half, FAR * half[-1]])
    return np.interp(whole, *ends)


def calibrated_half(output: Output, value: float, whole: float) -> float:
    """Return the half-width that holds measured compounds, by `Causes.whole`.

    The output's `mixed_half` is added in quadrature. Near a valence that few of them have it is
    no smaller than `unsupported_half`.
    """
    half = math.hypot(float(calibrated(output.calibration, np.asarray(whole))), output.mixed_half)
    return max(half, output.unsupported_half) if little_shown(output, value) else half


def interval(output: Output, value: float, causes: Causes) -> tuple[float, Shares]:
    """Return the half-width that is published, and each cause's part of its square.

    What measured compounds and mixtures ask for beyond the known causes is theory. Where
    compounds ask for less, the known causes are scaled down alike.
    """
    base, known = calibrated_half(output, value, causes.whole) ** 2, causes.whole**2
    shown = float(calibrated(output.calibration, np.asarray(causes.whole))) ** 2
    scale = min(shown / known, 1.0)
    squares = {
        "noise": scale * causes.blurred**2 + causes.noise**2,
        "normalization": scale * causes.step**2 + causes.background**2,
        "axis": scale * causes.axis**2,
        "ensemble": scale * causes.ensemble**2,
        "theory": base - scale * known,
        "extent": causes.extent**2,
    }
    total = sum(squares.values())
    return math.sqrt(total), Shares(**{name: square / total for name, square in squares.items()})


def advise(output: Output, value: float, causes: Causes, sigma: float) -> str:
    """Return one sentence on what would narrow an interval most; empty where nothing helps much.

    Parameters
    ----------
    output : Output
    value : float
    causes : Causes
    sigma : float
        Standard deviation of the energy axis, eV.
    """
    now, shares = interval(output, value, causes)
    by_foil = min(FOIL / sigma, 1.0) if sigma > 0.0 else 1.0
    remedies = {
        "a scan that goes on to +150 eV": replace(causes, extent=0.0, step=0.0),
        "a reference foil in the beam": replace(causes, axis=causes.axis * by_foil),
        "four times the counting time": replace(
            causes, noise=causes.noise / 2.0, blurred=causes.blurred / 2.0
        ),
        "a longer pre-edge and post-edge": replace(causes, background=0.0, step=0.0),
    }
    halves = {what: interval(output, value, less)[0] for what, less in remedies.items()}
    best = min(halves, key=lambda what: halves[what])
    if halves[best] <= WORTH_IT * now:
        return f"{best} would narrow it from ±{now:.2f} to ±{halves[best]:.2f}"
    if output.mixed_half > 0.7 * now:
        return (
            "a mixture may read like this: a series of spectra tells more (rankaae-stream series)"
        )
    if shares.theory + shares.ensemble > 0.5:
        return (
            "most of it is what simulation and networks miss: only known compounds measured here "
            "would narrow it (rankaae-stream calibrate)"
        )
    return ""


@cache
def normal_quantile(level: float) -> float:
    """Return the normal quantile that holds a level between its two sides."""
    return NormalDist().inv_cdf(0.5 + level / 2)


def little_shown(output: Output, value: float) -> Level | None:
    """Return the level nearest to a value where fewer than `FEWEST_COMPOUNDS` show it."""
    nearest = min(output.levels, key=lambda level: abs(level.value - value), default=None)
    few = nearest is not None and nearest.compounds < FEWEST_COMPOUNDS
    return nearest if few else None
