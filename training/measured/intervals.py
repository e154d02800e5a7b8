"""Fit the half-widths of intervals to the errors on simulated compounds."""

# pyright: basic
# scipy and crepes have no types

from dataclasses import dataclass

import numpy as np
from crepes import ConformalRegressor
from numpy.typing import NDArray
from scipy.optimize import nnls

from rankaae_stream.spectrum import Floats
from training.config import Config
from training.measured.maps import Maps, member_estimates
from training.network.ensemble import Ensemble
from training.simulated.dataset import Simulated
from training.trials.select import augmented

__all__ = ["ErrorModel", "conformal_error", "domain_start", "simulated_errors"]


@dataclass(frozen=True, slots=True)
class ErrorModel:
    """Half-width of an interval: a constant, and a share of the members' spread."""

    constant: float
    per_spread: float

    def half(self, spread: Floats) -> Floats:
        """Return the half-width at each spread, of the same shape."""
        return self.constant + self.per_spread * spread


def simulated_errors(
    config: Config, simulated: Simulated, rows: NDArray[np.intp], ensemble: Ensemble, maps: Maps
) -> tuple[ErrorModel, ...]:
    """Fit conformal half-widths on compounds that no map has seen, one a descriptor.

    Augmented as in training but for the energy shift, mixtures included: a sample
    that changes is a mixture.
    """
    seen = augmented(config, simulated, rows, mixtures=True)
    each = member_estimates(maps, ensemble.encode(seen.flat))
    return tuple(
        conformal_error(
            one.mean(axis=0) - seen.labels[:, k], one.std(axis=0), config.calibration.level
        )
        for k, one in enumerate(each)
    )


def conformal_error(residual: Floats, spread: Floats, level: float) -> ErrorModel:
    """Fit half-widths that hold new residuals with probability `level`, wider where members differ.

    The difficulty of a spectrum is ``a + b spread`` with a, b >= 0 fitted to the
    absolute residuals; normalised conformal regression (H. Papadopoulos et al., J.
    Artif. Intell. Res. 40, 815 (2011)), as crepes does it, gives the factor.

    Parameters
    ----------
    residual : (n,) array
        NaN where the truth is unknown.
    spread : (n,) array
        Standard deviation of the members.
    level : float
    """
    known = np.isfinite(residual)
    size, design = np.abs(residual[known]), np.stack([np.ones(known.sum()), spread[known]], axis=1)
    constant, per_spread = nnls(design, size)[0]
    # A difficulty of nothing would make the factor infinite.
    constant = max(constant, 0.1 * float(size.mean()), 1e-6)
    regressor = ConformalRegressor()
    regressor.fit(residual[known], sigmas=constant + per_spread * spread[known])
    factor = float(regressor.predict_int(np.zeros(1), sigmas=np.ones(1), confidence=level)[0, 1])
    return ErrorModel(factor * constant, factor * per_spread)


def domain_start(simulated: Simulated, rows: NDArray[np.intp]) -> float:
    """Return the energy from which on most rows were simulated, on the next half eV.

    The foot of the edge distinguishes a metal from an oxide; starting where the last
    spectrum begins would leave it out.
    """
    return float(np.ceil(2.0 * np.median(simulated.first[rows])) / 2.0) + 0.0  # no minus zero
