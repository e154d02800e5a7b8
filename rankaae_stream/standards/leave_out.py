"""Judge a fit by standards that it has not seen, and make its intervals hold them."""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import numpy as np

from rankaae_stream.model.card import Level, MonotoneMap, Output
from rankaae_stream.spectrum import Floats
from rankaae_stream.standards.encode import Encoded
from rankaae_stream.standards.fit import Correction, Kind, allowed, correct, corrected, predict
from rankaae_stream.standards.table import OWN, Groups

__all__ = ["Judged", "attainable", "judge"]

GAIN = 0.9
"""A more flexible fit is taken where it leaves less than this share of the simpler one's error."""
NEAR = 0.5
"""Standards this close to a valence support it."""
OUTSIDE = 0.3
"""How far beyond the standards a valence counts as shown by none."""
INNER = 10
"""Groups of groups that the kind of fit is chosen on: more would only take longer."""
TINY = 1e-6


@dataclass(frozen=True, slots=True, eq=False)
class Judged:
    """A fit to all standards, and what it answers of those that were left out of it.

    Attributes
    ----------
    correction : Correction
    output : Output
        Of the calibrated model, with intervals that hold the standards.
    known, value, half : (n,) arrays
        What is known; what fits without the standard's group answered, and its half-width.
    level : float
        What the standards alone can support, n / (n + 1) of n independent ones.
    replaces_theory : bool
        Whether the intervals come from the standards alone.
    widened : float
        What fewer standards widen the shipped model's intervals by; 1 for not at all.
    """

    correction: Correction
    output: Output
    known: Floats
    value: Floats
    half: Floats
    level: float
    replaces_theory: bool
    widened: float

    @property
    def error(self) -> float:
        """Mean absolute error of the standards that were left out."""
        return float(np.abs(self.value - self.known).mean())

    @property
    def holds(self) -> float:
        """Share of the left out standards that lie within their intervals."""
        return float(np.mean(np.abs(self.value - self.known) <= self.half))


def attainable(independent: int) -> float:
    """Return the highest level that so many independent standards can support.

    Examples
    --------
    >>> attainable(3), attainable(9)
    (0.75, 0.9)
    """
    return independent / (independent + 1)


def judge(
    output: Output,
    standards: Sequence[Encoded],
    groups: Groups,
    theory: float,
    tell: Callable[[], object] = lambda: None,
) -> Judged:
    """Fit all standards, and each group by a fit to the others.

    Parameters
    ----------
    output : Output
        The model's oxidation state.
    standards : sequence of n Encoded
    groups : (n,) array
        See `table.left_out_groups`.
    theory : float
        Standard deviation of the theory shift that intervals contain, eV.
    tell : callable, optional
        Called after each group.
    """
    names = np.unique(groups)
    known = np.array([one.row.valence for one in standards])
    value, whole, half = (np.empty(len(standards)) for _ in range(3))
    for name in names:
        rest, out = _without(standards, groups, int(name))
        fitted = _fit(output, rest, groups[groups != name], theory)
        found = predict(corrected(output, fitted), fitted, out, theory)
        for column, new in zip((value, whole, half), found, strict=True):
            column[groups == name] = new
        tell()
    correction = _fit(output, standards, groups, theory)
    fitted_output = corrected(output, correction)
    errors = np.abs(value - known)
    own = names.size >= OWN
    if own:
        half = _cross_conformal(errors, whole, groups, output.level)
        final, widened = _by_standards(fitted_output, known, errors, whole), 1.0
    else:
        widened = max(1.0, float((errors / half).max()))
        half = half * widened
        final = _wider(fitted_output, widened)
    return Judged(correction, final, known, value, half, attainable(names.size), own, widened)


def _fit(output: Output, standards: Sequence[Encoded], groups: Groups, theory: float) -> Correction:
    """Return the simplest fit that no more flexible one clearly beats on groups left out."""
    names = np.unique(groups)
    kinds = allowed(np.unique([one.row.compound for one in standards]).size)
    if names.size < 2:
        return correct("shift", output, standards, names.size)
    chosen: Kind = kinds[0]
    least = _left_out_error(chosen, output, standards, groups, theory)
    for kind in kinds[1:]:
        error = _left_out_error(kind, output, standards, groups, theory)
        if error < GAIN * least:
            chosen, least = kind, error
    return correct(chosen, output, standards, names.size)


def _left_out_error(
    kind: Kind, output: Output, standards: Sequence[Encoded], groups: Groups, theory: float
) -> float:
    names, groups = np.unique(groups, return_inverse=True)
    groups = groups % INNER if names.size > INNER else groups
    errors: list[float] = []
    for name in np.unique(groups):
        rest, out = _without(standards, groups, int(name))
        fitted = correct(kind, output, rest, names.size - 1)
        value, _, _ = predict(corrected(output, fitted), fitted, out, theory)
        errors += [abs(v - one.row.valence) for v, one in zip(value, out, strict=True)]
    return float(np.mean(errors))


def _without(
    standards: Sequence[Encoded], groups: Groups, name: int
) -> tuple[list[Encoded], list[Encoded]]:
    """Return the standards of the other groups, and those of one."""
    pairs = list(zip(standards, groups, strict=True))
    return [one for one, at in pairs if at != name], [one for one, at in pairs if at == name]


def _cross_conformal(errors: Floats, whole: Floats, groups: Groups, level: float) -> Floats:
    """Return half-widths of each group from the errors of the other groups."""
    half = np.empty_like(errors)
    for name in np.unique(groups):
        rest, out = groups != name, groups == name
        floor = float(whole[rest].min())
        factor = quantile(errors[rest] / np.maximum(whole[rest], floor), level)
        half[out] = factor * np.maximum(whole[out], floor)
    return half


def quantile(scores: Floats, level: float) -> float:
    """Return the score that a new one stays below with probability `level`.

    References
    ----------
    V. Vovk, A. Gammerman, G. Shafer, Algorithmic Learning in a Random World, Springer 2005:
    the k-th smallest of n scores, k = ceil((n + 1) level); the largest where k is n + 1.
    """
    rank = min(math.ceil((scores.size + 1) * level - TINY), scores.size)
    return float(np.sort(scores)[rank - 1])


def _by_standards(output: Output, known: Floats, errors: Floats, whole: Floats) -> Output:
    """Return the output with intervals from the standards' own errors.

    No narrower than at the surest standard: below that nothing was tested.
    """
    floor = float(whole.min())
    factor = quantile(errors / whole, output.level)
    shown = sorted({round(float(value), 1) for value in known})
    levels = [Level(v, int(np.sum(np.abs(known - v) <= NEAR))) for v in shown]
    ends = shown[0] - OUTSIDE, shown[-1] + OUTSIDE
    beyond = [one for one in output.levels if not ends[0] < one.value < ends[1]]
    few = [Level(end, 0) for end in ends if end not in {one.value for one in beyond}]
    return replace(
        output,
        calibration=MonotoneMap(np.array([TINY, floor]), np.full(2, factor * floor)),
        levels=tuple(sorted((*levels, *few, *beyond), key=lambda one: one.value)),
        unsupported_half=max(output.unsupported_half, factor * float(whole.max())),
    )


def _wider(output: Output, by: float) -> Output:
    """Return the output with intervals wider by a factor."""
    knots = output.calibration
    return replace(
        output,
        calibration=MonotoneMap(knots.latent, knots.value * by),
        unsupported_half=output.unsupported_half * by,
    )
