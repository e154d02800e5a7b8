"""Make half-widths from their causes, and say which cause counts most."""

from collections.abc import Sequence
from dataclasses import dataclass, fields
from functools import cache, lru_cache
from statistics import NormalDist
from typing import cast

import numpy as np
from numpy.typing import NDArray

from rankaae_stream.model.card import FEWEST_COMPOUNDS, Level, MonotoneMap, Output
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


REMEDIES = (
    "a scan that goes on to +150 eV",
    "a reference foil in the beam",
    "four times the counting time",
    "a longer pre-edge and post-edge",
)
_ONE_EACH = np.eye(1 + len(REMEDIES))[:, :, None]


@dataclass(frozen=True, slots=True)
class Causes:
    """Half-widths that single causes would give intervals, in the output's unit.

    Each is an array of several outputs or spectra, or one number for all.

    Attributes
    ----------
    ensemble
        What the networks miss on simulated compounds, with the spread of the members.
    axis, step
        The energy axis, and an edge step that a short scan leaves uncertain.
    background
        Other ranges of the pre-edge and post-edge fits.
    noise
        What the noise of the points moves the value by.
    blurred
        By how much the members differ more for that noise.
    extent
        What a part of a spectrum does not show.
    """

    ensemble: Floats | float
    axis: Floats | float = 0.0
    step: Floats | float = 0.0
    background: Floats | float = 0.0
    noise: Floats | float = 0.0
    blurred: Floats | float = 0.0
    extent: Floats | float = 0.0

    @property
    def whole(self) -> Floats:
        """The half-width that measured compounds calibrate: all but what standards hardly have."""
        return np.hypot(np.hypot(self.ensemble, self.blurred), np.hypot(self.axis, self.step))

    def of(self, row: int) -> "Causes":
        """Return those of one output, of arrays (o, k)."""
        each = (getattr(self, field.name) for field in fields(self))
        return Causes(*(one[row] if isinstance(one, np.ndarray) else one for one in each))


def calibrated(calibration: MonotoneMap, whole: Floats) -> Floats:
    """Return half-widths that hold measured compounds, of the shape of the whole ones.

    Linear between the knots, in proportion beyond them.

    Examples
    --------
    >>> knots = MonotoneMap(np.array([1.0, 2.0]), np.array([0.3, 1.8]))
    >>> calibrated(knots, np.array([0.5, 1.5, 4.0]))
    array([0.15, 1.05, 3.6 ])
    """
    return np.interp(whole, *_continued(calibration))


@lru_cache(maxsize=256)
def _continued(calibration: MonotoneMap) -> tuple[Floats, Floats]:
    """Return the knots and half-widths with those at 0 and far away."""
    knot, half = calibration.latent, calibration.value
    return np.array([0.0, *knot, FAR * knot[-1]]), np.array([0.0, *half, FAR * half[-1]])


def calibrated_half(output: Output, value: Floats, whole: Floats) -> Floats:
    """Return the half-widths that hold measured compounds, by `Causes.whole`, all (k,).

    Near a valence that few of them have they are no smaller than `unsupported_half`.
    """
    return _supported(output, value, calibrated(output.calibration, whole))


def _supported(output: Output, value: Floats, shown: Floats) -> Floats:
    if not output.levels:
        return shown
    _, few = _levels(output)
    return np.where(few[_nearest(output, value)], np.maximum(shown, output.unsupported_half), shown)


def interval(
    outputs: Sequence[Output], value: Floats, causes: Causes
) -> tuple[Floats, dict[str, Floats]]:
    """Return the half-widths that are published, and each cause's part of their squares.

    What measured compounds ask for beyond the known causes is theory. Where
    compounds ask for less, the known causes are scaled down alike.

    Parameters
    ----------
    outputs : sequence of Output
    value : (o, k) array
        Of each output for k spectra.
    causes : Causes
        Of arrays (o, k).

    Returns
    -------
    half : (o, k) array
    shares : dict of (o, k) arrays
        By the names of `report.Shares`.
    """
    whole = causes.whole
    known, shown, base = whole**2, np.empty(whole.shape), np.empty(whole.shape)
    for i, output in enumerate(outputs):
        shown[i] = calibrated(output.calibration, whole[i])
        base[i] = _supported(output, value[i], shown[i]) ** 2
    scale = np.minimum(shown**2 / known, 1.0)
    squares = {
        "noise": scale * causes.blurred**2 + causes.noise**2,
        "normalization": scale * causes.step**2 + causes.background**2,
        "axis": scale * causes.axis**2,
        "ensemble": scale * causes.ensemble**2,
        "theory": np.maximum(base - scale * known, 0.0),  # rounding may leave less than nothing
        "extent": np.zeros(whole.shape) + causes.extent**2,
    }
    total = sum(squares.values(), np.zeros(whole.shape))
    return np.sqrt(total), {name: square / total for name, square in squares.items()}


def advise(output: Output, value: Floats, causes: Causes, sigma: Floats) -> list[str]:
    """Return one sentence for each spectrum on what would narrow its interval most.

    Empty where nothing helps much.

    Parameters
    ----------
    output : Output
    value : (k,) array
    causes : Causes
        Of arrays (k,).
    sigma : (k,) array
        Standard deviation of the energy axis, eV.
    """
    # A row for the interval as it is, and one for what each of `REMEDIES` would leave of it.
    now, extent, foil, time, longer = _ONE_EACH
    halves = (
        causes.ensemble,
        causes.axis * (1.0 - foil * (1.0 - FOIL / np.maximum(sigma, FOIL))),
        causes.step * (1.0 - extent - longer),
        causes.background * (1.0 - longer),
        causes.noise * (1.0 - time / 2.0),
        causes.blurred * (1.0 - time / 2.0),
        causes.extent * (1.0 - extent),
    )
    less = np.empty((len(halves), len(now), value.size))
    for rows, half in zip(less, halves, strict=True):
        rows[...] = half
    shape, values = (len(now), value.size), np.concatenate([value] * len(now))[None]
    flat = Causes(*less.reshape(len(halves), 1, -1))
    half, shares = interval((output,), values, flat)
    half, missed = half.reshape(shape), (shares["theory"] + shares["ensemble"])[0, : value.size]
    best = cast("list[int]", np.argmin(half[1:], axis=0).tolist())
    columns = (each.tolist() for each in (half[1:].min(axis=0), half[0], missed))
    return [
        _advice(REMEDIES[i], *row) for i, row in zip(best, zip(*columns, strict=True), strict=True)
    ]


def _advice(what: str, half: float, now: float, missed: float) -> str:
    if half <= WORTH_IT * now:
        return f"{what} would narrow it from ±{now:.2f} to ±{half:.2f}"
    if missed > 0.5:
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
    if not output.levels:
        return None
    nearest = output.levels[int(_nearest(output, np.asarray(value)))]
    return nearest if nearest.compounds < FEWEST_COMPOUNDS else None


def _nearest(output: Output, value: Floats) -> NDArray[np.intp]:
    """Return which of the output's levels is nearest to each value (k,)."""
    levels, _ = _levels(output)
    return np.abs(value[..., None] - levels).argmin(axis=-1)


@lru_cache(maxsize=256)
def _levels(output: Output) -> tuple[Floats, NDArray[np.bool_]]:
    """Return the values of an output's levels, and which of them few compounds have shown."""
    few = [level.compounds < FEWEST_COMPOUNDS for level in output.levels]
    return np.array([level.value for level in output.levels]), np.array(few)
