"""Fit energy shift, offset, slope and a monotone map to standards, on top of a shipped model."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np

from rankaae_stream.model.card import MonotoneMap, Output
from rankaae_stream.model.estimates import describe_output
from rankaae_stream.model.intervals import calibrated_half
from rankaae_stream.spectrum import Floats
from rankaae_stream.standards.encode import SHIFTS, Encoded

__all__ = ["KINDS", "Correction", "Kind", "allowed", "correct", "corrected", "predict"]

Kind = Literal["none", "shift", "line", "map"]
KINDS: dict[Kind, int] = {"none": 2, "shift": 2, "line": 4, "map": 10}
"""What is fitted, and the standards it needs: nothing; a shift and an offset; a slope, too; a map.
"""

ZERO = int(np.argmin(np.abs(SHIFTS)))
"""Where `SHIFTS` is 0."""
OFFSET, SLOPE = 0.3, 0.3
"""Standard deviations of offset and slope before anything is measured: shipped models err by
0.02 to 0.43 on measured compounds, LiNiO2's valence by a slope of 1.3."""
THEORY = 0.4
"""Standard deviation of a shipped theory shift, eV."""
BIN = 5
"""Standards that one knot of the map rests on; fewer only where there are less than 15."""
KNOTS = (3, 12)
"""Fewest and most knots of a map."""
BEYOND = 0.25
"""How far a map goes on with its last slope beyond the standards, as a share of their span."""
LEAST_SLOPE = 0.2
"""A slope below says that the model does not follow the standards."""
NORMAL90 = 1.645
"""Half-width of a 90 % interval in standard deviations."""


@dataclass(frozen=True, slots=True, eq=False)
class Correction:
    """What is put on top of a model.

    `shift` (index into `SHIFTS`) is added to the theory shift; `offset` and `slope` act about
    the valence `centre`: ``centre + offset + slope (value - centre)``. `maps`, one for each
    member from latent to valence, take the place of the shipped ones where `kind` is ``map``.
    """

    kind: Kind
    shift: int
    offset: float = 0.0
    slope: float = 1.0
    centre: float = 0.0
    maps: tuple[MonotoneMap, ...] = ()

    @property
    def ev(self) -> float:
        """Energy shift, eV."""
        return float(SHIFTS[self.shift])


def allowed(standards: int) -> list[Kind]:
    """Return what may be fitted to so many standards, the simplest first."""
    return [kind for kind, needed in KINDS.items() if standards >= needed]


def correct(kind: Kind, output: Output, standards: Sequence[Encoded], groups: int) -> Correction:
    """Fit a correction of one kind.

    Parameters
    ----------
    kind : Kind
    output : Output
        The model's oxidation state.
    standards : sequence of Encoded
    groups : int
        How many independent compounds or blocks they are: replicates do not count.

    Notes
    -----
    Shift, offset and slope have normal priors about the shipped model (the axis's and
    theory's standard deviation, `OFFSET`, `SLOPE`), and a standard counts by its interval. So
    two standards move the model only as far as they are surer than it is.
    """
    known = np.array([one.row.valence for one in standards])
    if kind == "none":
        return Correction("none", ZERO)
    if kind == "map":
        return Correction("map", ZERO, maps=_maps(output, standards))
    values = np.stack([one.values for one in standards], axis=1)
    halves = np.array([one.before.high - one.before.low for one in standards]) / 2
    weight = groups / len(standards) * (NORMAL90 / np.maximum(halves, 0.05)) ** 2
    axis = float(np.hypot(np.mean([one.axis for one in standards]), THEORY))
    best, least = Correction(kind, 0), np.inf
    for number, shift in enumerate(SHIFTS):
        if not np.isfinite(values[number]).all():
            continue
        loss, found = _line(kind, number, values[number], known, weight)
        loss += float(shift / axis) ** 2
        if loss < least:
            best, least = found, loss
    return best


def _line(
    kind: Kind, number: int, value: Floats, known: Floats, weight: Floats
) -> tuple[float, Correction]:
    """Return offset (and slope) at one shift by ridge regression, and their loss."""
    centre = float(value.mean())
    columns = np.stack([np.ones_like(value), value - centre], axis=1)
    prior = np.array([1 / OFFSET**2, 1 / SLOPE**2 if kind == "line" else 1e12])
    normal = columns.T @ (columns * weight[:, None]) + np.diag(prior)
    found = np.linalg.solve(normal, columns.T @ (weight * (known - value)))
    left = known - value - columns @ found
    loss = float(weight @ left**2 + prior @ found**2)
    slope = max(1.0 + float(found[1]), LEAST_SLOPE)
    return loss, Correction(kind, number, float(found[0]), slope, centre)


def corrected(output: Output, correction: Correction) -> Output:
    """Return the output with the correction in its maps; intervals as wide as before, or wider."""
    if correction.kind == "map":
        return replace(output, maps=correction.maps)
    centre, slope = correction.centre, correction.slope
    maps = tuple(
        MonotoneMap(m.latent, centre + correction.offset + slope * (m.value - centre))
        for m in output.maps
    )
    steeper = max(slope, 1.0)
    return replace(
        output,
        maps=maps,
        error_constant=output.error_constant * steeper,
        error_per_spread=output.error_per_spread * steeper / slope,
        per_ev=output.per_ev * steeper,
    )


def predict(
    output: Output, correction: Correction, standards: Sequence[Encoded], theory: float
) -> tuple[Floats, Floats, Floats]:
    """Return the standards' valences by a corrected output, and their half-widths.

    Parameters
    ----------
    output : Output
        See `corrected`.
    correction : Correction
    standards : sequence of n Encoded
    theory : float
        Standard deviation of the theory shift, eV.

    Returns
    -------
    value, whole, half : (n,) arrays
        `whole` is the half-width before the output's calibration, `half` after it.
    """
    found: list[tuple[float, float]] = []
    for one in standards:
        sigma = float(np.hypot(one.axis, theory))
        found.append(describe_output(output, one.latents[correction.shift], sigma))
    value, whole = np.array(found).T
    return value, whole, calibrated_half(output, value, whole)


def _maps(output: Output, standards: Sequence[Encoded]) -> tuple[MonotoneMap, ...]:
    """Return one monotone map for each member, from its latents of the standards as they are."""
    latents = np.stack([one.latents[ZERO, :, 0, output.latent] for one in standards])
    known = np.array([one.row.valence for one in standards])
    return tuple(monotone_map(column, known, output.range) for column in latents.T)


def monotone_map(latent: Floats, known: Floats, limits: tuple[float, float]) -> MonotoneMap:
    """Fit a monotone map through the means of standards that are neighbours in their latent.

    Parameters
    ----------
    latent, known : (n,) arrays
    limits : (low, high)
        Of the values.

    Notes
    -----
    Beyond the standards it goes on with its last slope for `BEYOND` of their span, then flat.
    """
    order = np.argsort(latent, kind="stable")
    knots = int(np.clip(latent.size // BIN, *KNOTS))
    bins = np.array_split(order, knots)
    at = np.array([latent[part].mean() for part in bins])
    value = _rising(np.array([known[part].mean() for part in bins]))
    keep = np.concatenate([[True], np.diff(at) > 1e-9 * max(1.0, float(np.ptp(latent)))])
    at, value = at[keep], value[keep]
    if at.size < 2:  # the member sees no difference between them
        return MonotoneMap(at[0] + np.array([-1.0, 1.0]), np.full(2, known.mean()))
    reach = BEYOND * float(np.ptp(latent)) + 1e-6
    low, high = float(latent.min()) - reach, float(latent.max()) + reach
    first = value[0] - (at[0] - low) * (value[1] - value[0]) / (at[1] - at[0])
    last = value[-1] + (high - at[-1]) * (value[-1] - value[-2]) / (at[-1] - at[-2])
    at = np.concatenate([[low], at, [high]])
    return MonotoneMap(at, np.clip(np.concatenate([[first], value, [last]]), *limits))


def _rising(value: Floats) -> Floats:
    """Return the nearest values (k,) that never decrease: neighbours that do are averaged."""
    blocks: list[tuple[float, int]] = []
    for one in value:
        mean, size = float(one), 1
        while blocks and blocks[-1][0] > mean:
            before, count = blocks.pop()
            mean, size = (before * count + mean * size) / (count + size), count + size
        blocks.append((mean, size))
    return np.concatenate([np.full(size, mean) for mean, size in blocks])
