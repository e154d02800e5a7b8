"""Fit the theory shift, which moves measured energies onto the simulation's axis."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from rankaae_stream.spectrum import Floats
from training.measured.maps import apply_line, fit_line

__all__ = ["ShiftFit", "ShiftScan", "fit_theory_shift", "leave_one_compound_out"]

RESAMPLES = 200
"""Bootstrap samples behind the theory shift's uncertainty."""


AGREEMENT = 0.5
"""Two optima of the theory shift closer than this agree, eV."""


FEWEST_RESAMPLED = 5
"""Compounds below which their own scatter cannot be estimated by resampling them."""


SCATTER = 1.1
"""Standard deviation of single compounds' own theory shifts about their element's, eV:
how far FEFF misplaces a compound, pooled over the standards of Cr, Fe, Mn and V."""


@dataclass(frozen=True, slots=True, eq=False)
class ShiftScan:
    """Residuals and estimates of measured standards at every trial shift, a column a compound.

    Replicates of a compound are averaged before they come here.

    Attributes
    ----------
    shift : (s,) array
        eV, increasing, added to calibrated energies.
    residual : (s, c) array
        Root mean square of the reconstruction residual where simulation exists,
        positive; best with the compound's known valence held, because an encoder
        answers a wrong shift with another valence.
    estimate : (s, c) array
        Estimated valence.
    truth : (c,) array
        Formal valence.
    """

    shift: Floats
    residual: Floats
    estimate: Floats
    truth: Floats

    def of(self, keep: NDArray[np.intp]) -> "ShiftScan":
        """Return the scan of the compounds at these positions."""
        return ShiftScan(
            self.shift, self.residual[:, keep], self.estimate[:, keep], self.truth[keep]
        )

    def estimates_at(self, shift: float) -> Floats:
        """Interpolate the estimated valence of every compound, (c,), between trial shifts."""
        columns = range(self.truth.size)
        return np.array([float(np.interp(shift, self.shift, self.estimate[:, i])) for i in columns])


@dataclass(frozen=True, slots=True)
class ShiftFit:
    """Theory shift, its standard deviation, and the two optima behind it, eV.

    `by_valence` is None where the standards hold one valence: its error has no optimum.
    """

    value: float
    uncertainty: float
    by_residual: float
    by_valence: float | None


def fit_theory_shift(
    scan: ShiftScan, residual_weight: float = 0.5, axis_uncertainty: float = 0.0
) -> ShiftFit:
    """Fit one shift that moves measured energies onto the simulation's axis.

    `by_residual` minimises the residual (its geometric mean over compounds, so
    that none outweighs the others by being badly simulated), `by_valence` the
    root mean square of the valence error. Neither is right alone: the simulation
    misplaces single compounds by 1-2 eV, and the valence error also absorbs the
    training set's prior. The value is their mean, weighted by `residual_weight`;
    the residual's alone where all standards have one valence.

    The uncertainty adds in quadrature: the spread of the value over resampled
    compounds (seeded bootstrap, those of one valence left out), or `SCATTER` over
    the root of their number where there are fewer than `FEWEST_RESAMPLED`; the
    `axis_uncertainty`; and half the optima's difference where it exceeds `AGREEMENT`.

    Parameters
    ----------
    scan : ShiftScan
    residual_weight : float
        Weight of the residual's optimum, in [0, 1].
    axis_uncertainty : float
        Standard deviation of the standards' axes taken together, eV: those without a
        foil err together within a session.
    """
    by_residual, by_valence = _optima(scan)
    value = _weighted(by_residual, by_valence, residual_weight)
    compounds = scan.truth.size
    variance = axis_uncertainty**2
    if compounds < FEWEST_RESAMPLED or by_valence is None:
        variance += SCATTER**2 / compounds
    else:
        rng = np.random.default_rng(0)
        resampled = [scan.of(rng.integers(0, compounds, compounds)) for _ in range(RESAMPLES)]
        optima = [_optima(one) for one in resampled if np.unique(one.truth).size > 1]
        variance += float(np.var([_weighted(*pair, residual_weight) for pair in optima]))
    if by_valence is not None and abs(by_residual - by_valence) > AGREEMENT:
        variance += ((by_residual - by_valence) / 2.0) ** 2
    return ShiftFit(value, float(np.sqrt(variance)), by_residual, by_valence)


def leave_one_compound_out(scan: ShiftScan, residual_weight: float = 0.5) -> tuple[Floats, Floats]:
    """Estimate the valence of each compound by the shift and the line that the others give.

    Returns
    -------
    error : (c,) array
        Estimate minus truth; NaN where nothing else is there to learn from.
    shift : (c,) array
        The others' shift, eV.
    """
    compounds = scan.truth.size
    error, shift = np.full(compounds, np.nan), np.full(compounds, np.nan)
    for i in range(compounds if compounds > 1 else 0):
        others = scan.of(np.delete(np.arange(compounds), i))
        shift[i] = _weighted(*_optima(others), residual_weight)
        line = fit_line(others.estimates_at(shift[i]), others.truth)
        error[i] = apply_line(line, scan.estimates_at(shift[i]))[i] - scan.truth[i]
    return error, shift


def _optima(scan: ShiftScan) -> tuple[float, float | None]:
    by_residual = _lowest(scan.shift, np.mean(np.log(scan.residual), axis=1))
    if np.unique(scan.truth).size < 2:
        return by_residual, None
    valence = np.sqrt(np.mean((scan.estimate - scan.truth) ** 2, axis=1))
    return by_residual, _lowest(scan.shift, valence)


def _weighted(by_residual: float, by_valence: float | None, residual_weight: float) -> float:
    if by_valence is None:
        return by_residual
    return residual_weight * by_residual + (1.0 - residual_weight) * by_valence


def _lowest(shift: Floats, score: Floats) -> float:
    """Return the position of the minimum, by a parabola through the lowest point and neighbours."""
    i = int(np.argmin(score))
    if i in (0, shift.size - 1):
        return float(shift[i])
    left, middle, right = (float(score[j]) for j in (i - 1, i, i + 1))
    curvature = left - 2.0 * middle + right
    offset = 0.5 * (left - right) / curvature if curvature > 0.0 else 0.0
    return float(shift[i] + offset * (shift[i + 1] - shift[i]))
