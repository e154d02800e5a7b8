"""From latents to numbers: monotone maps and intervals, learned from simulated compounds."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from crepes import ConformalRegressor
from numpy.typing import NDArray
from scipy.optimize import nnls

from rankaae_stream.calibration import apply_map, fit_monotone
from rankaae_stream.card import MonotoneMap
from training.augment import Batch, augment
from training.config import Config
from training.dataset import Simulated, Split
from training.ensemble import Ensemble
from training.train import labels_of

__all__ = [
    "ErrorModel",
    "Maps",
    "Widening",
    "augmented",
    "conformal_error",
    "domain_start",
    "estimate",
    "fit_maps",
    "member_estimates",
    "simulated_errors",
    "valence_weights",
]

Floats = NDArray[np.float64]
Maps = tuple[tuple[MonotoneMap, ...], ...]
"""One tuple a descriptor, in it one map a member."""

UNSEEN = 0.5
"""Weight of a row whose valence no native site of the element has."""


@dataclass(frozen=True, slots=True)
class ErrorModel:
    """Half-width of an interval: a constant, and a share of the members' spread."""

    constant: float
    per_spread: float

    def half(self, spread: Floats) -> Floats:
        """Half-width at each spread, of the same shape."""
        return self.constant + self.per_spread * spread

    def widened(self, by: "Widening") -> "ErrorModel":
        """With every half-width widened alike."""
        return ErrorModel(by.half(self.constant), by.factor * self.per_spread)

    def at_least(self, other: "ErrorModel") -> "ErrorModel":
        """Nowhere narrower than the other."""
        return ErrorModel(
            max(self.constant, other.constant), max(self.per_spread, other.per_spread)
        )


@dataclass(frozen=True, slots=True)
class Widening:
    """From a simulated half-width to one that holds on measured compounds."""

    factor: float
    allowance: float

    def half(self, simulated: float) -> float:
        """The half-width that is published."""
        return self.factor * (simulated + self.allowance)


def fit_maps(config: Config, simulated: Simulated, split: Split, ensemble: Ensemble) -> Maps:
    """Monotone maps from the training part, augmented as in training, mixtures included.

    The energy shift is left out: its effect on an estimate is added where a
    spectrum's own shift is known. The valence's map weighs rows by `valence_weights`,
    the others all alike.
    """
    seen = augmented(config, simulated, split.train, mixtures=True)
    labels = np.asarray(seen.labels, dtype=float)
    weights: list[Floats | None] = [None] * labels.shape[1]
    if "oxidation_state" in config.network.descriptors:
        k = config.network.descriptors.index("oxidation_state")
        weights[k] = valence_weights(simulated, split.train, labels[:, k])
    latent = ensemble.encode(seen.flat)
    return tuple(
        tuple(fit_monotone(member[:, k], labels[:, k], weights[k]) for member in latent)
        for k in range(labels.shape[1])
    )


def valence_weights(simulated: Simulated, rows: NDArray[np.intp], valence: Floats) -> Floats:
    """Weights that give a valence the say it has among real compounds.

    Sites were substituted until every valence had about as many rows: where two
    valences share a latent, Mn(VII), of which no native site exists, would pull
    Mn(IV) up. Rows of such a valence weigh `UNSEEN`, all others 1; between two
    valences, where mixtures lie, the weight goes from one to the other in a line.

    Parameters
    ----------
    simulated : Simulated
    rows : (n,) array
        Whose native sites count.
    valence : (m,) array
        Where the weights are wanted; NaN gives NaN.

    Returns
    -------
    (m,) array
    """
    known = simulated.labels[rows, 0]
    levels = np.unique(known[np.isfinite(known)])
    native = np.unique(known[simulated.native[rows]])
    if not native.size:
        return np.where(np.isfinite(valence), 1.0, np.nan)
    return np.interp(valence, levels, np.where(np.isin(levels, native), 1.0, UNSEEN))


def member_estimates(maps: Maps, latent: Floats) -> Floats:
    """Latents (m, n, l) to what each member says, (k, m, n)."""
    return np.stack(
        [
            np.stack([apply_map(one, latent[m, :, k]) for m, one in enumerate(members)])
            for k, members in enumerate(maps)
        ]
    )


def estimate(maps: Maps, latent: Floats) -> Floats:
    """Latents (m, n, l) to estimates (n, k), averaged over the members."""
    return member_estimates(maps, latent).mean(axis=1).T


def simulated_errors(
    config: Config, simulated: Simulated, rows: NDArray[np.intp], ensemble: Ensemble, maps: Maps
) -> tuple[ErrorModel, ...]:
    """Conformal half-widths on compounds that no map has seen, one a descriptor.

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
    """Half-width that holds new residuals with probability `level`, wider where members differ.

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
    """Energy from which on most rows were simulated, on the next half eV.

    The foot of the edge tells a metal from an oxide; waiting for the last
    spectrum to begin would leave it out.
    """
    return float(np.ceil(2.0 * np.median(simulated.first[rows])) / 2.0) + 0.0  # no minus zero


def augmented(
    config: Config,
    simulated: Simulated,
    rows: Sequence[int] | NDArray[np.intp],
    *,
    mixtures: bool,
    shift: bool = False,
) -> Batch:
    """Several augmented copies of rows, by one seed; mixtures and energy shifts as asked."""
    repeated = np.repeat(rows, config.calibration.copies)
    settings = config.augment.model_copy(
        update={
            "mixture_share": config.augment.mixture_share if mixtures else 0.0,
            "shift": config.augment.shift if shift else 0.0,
        }
    )
    return augment(
        simulated.energy,
        simulated.mu[repeated],
        simulated.first[repeated],
        labels_of(config, simulated)[repeated],
        config.grid.energy_grid().relative(),
        settings,
        np.random.default_rng(config.data.split_seed + 1),
        config.network.averaged,
    )
