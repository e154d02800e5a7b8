"""Maps, intervals and scores of an ensemble on simulated compounds."""

import numpy as np
from numpy.typing import NDArray

from rankaae_stream.calibration import absolute_quantile, apply_map, fit_monotone
from rankaae_stream.card import MonotoneMap
from rankaae_stream.latent import reconstruction_residual
from training.augment import Batch, augment
from training.config import Config
from training.dataset import Simulated, Split
from training.ensemble import Ensemble
from training.select import clean_spectra, rank_correlation
from training.train import labels_of

__all__ = [
    "Figures",
    "Maps",
    "distances",
    "domain_distances",
    "domain_start",
    "estimate",
    "evaluate_simulated",
    "fit_maps",
    "simulated_errors",
]

Floats = NDArray[np.float64]
Maps = tuple[tuple[MonotoneMap, ...], ...]
"""One tuple a descriptor, in it one map a member."""
Figures = dict[str, float]


def fit_maps(config: Config, simulated: Simulated, split: Split, ensemble: Ensemble) -> Maps:
    """Monotone maps from the training part, augmented as in training, mixtures included.

    The energy shift is left out: its effect on an estimate is added where a
    spectrum's own shift is known.
    """
    seen = _augmented(config, simulated, split.train, mixtures=True)
    latent = ensemble.encode(seen.flat)
    return tuple(
        tuple(fit_monotone(member[:, k], seen.labels[:, k]) for member in latent)
        for k in range(seen.labels.shape[1])
    )


def estimate(maps: Maps, latent: Floats) -> Floats:
    """Latents (m, n, l) to estimates (n, k), averaged over the members."""
    columns = [
        np.mean([apply_map(one, latent[m, :, k]) for m, one in enumerate(members)], axis=0)
        for k, members in enumerate(maps)
    ]
    return np.stack(columns, axis=1)


def simulated_errors(
    config: Config,
    simulated: Simulated,
    rows: NDArray[np.intp],
    ensemble: Ensemble,
    maps: Maps,
) -> Figures:
    """Quantile of the absolute error on compounds that no map has seen, by descriptor."""
    seen = _augmented(config, simulated, rows, mixtures=False)
    residual = estimate(maps, ensemble.encode(seen.flat)) - seen.labels
    return {
        name: absolute_quantile(residual[:, k], config.calibration.level)
        for k, name in enumerate(config.network.descriptors)
    }


def evaluate_simulated(
    config: Config,
    simulated: Simulated,
    rows: NDArray[np.intp],
    ensemble: Ensemble,
    maps: Maps,
) -> dict[str, Figures | float]:
    """Scores on simulated compounds at ordinary resolution: rho, MAE and coverage by descriptor."""
    flat = clean_spectra(config, simulated, rows)
    labels = labels_of(config, simulated)[rows]
    latent = ensemble.encode(flat)
    values = estimate(maps, latent)
    judged = config.grid.energy_grid().relative() >= simulated.first[rows][:, None]
    output = ensemble.decode(latent).mean(axis=0)
    misfit = np.sqrt(((output - flat) ** 2 * judged).sum(1) / judged.sum(1))
    scores: dict[str, Figures | float] = {"reconstruction_rms_loss": float(misfit.mean())}
    for k, name in enumerate(config.network.descriptors):
        scores[name] = {
            "spearman_score": rank_correlation(values[:, k], labels[:, k]),
            "mean_absolute_error_loss": float(np.nanmean(np.abs(values[:, k] - labels[:, k]))),
        }
    return scores


def domain_start(simulated: Simulated, rows: NDArray[np.intp]) -> float:
    """Energy from which on most rows were simulated, on the next half eV.

    The foot of the edge tells a metal from an oxide; waiting for the last
    spectrum to begin would leave it out.
    """
    return float(np.ceil(2.0 * np.median(simulated.first[rows])) / 2.0) + 0.0  # no minus zero


def domain_distances(
    config: Config,
    simulated: Simulated,
    rows: NDArray[np.intp],
    ensemble: Ensemble,
    start: float,
) -> Floats:
    """Distances of unseen simulated spectra, augmented as in training."""
    seen = _augmented(config, simulated, rows, mixtures=True, shift=True)
    return distances(config, ensemble, seen.flat, start)


def distances(config: Config, ensemble: Ensemble, flat: Floats, start: float) -> Floats:
    """Out-of-domain distances (n,) of spectra (n, g), by the ensemble's mean curve."""
    grid = config.grid.energy_grid().relative()
    output = ensemble.decode(ensemble.encode(flat)).mean(axis=0)
    return reconstruction_residual(flat, output, grid, start)[1]


def _augmented(
    config: Config,
    simulated: Simulated,
    rows: NDArray[np.intp],
    *,
    mixtures: bool,
    shift: bool = False,
) -> Batch:
    rows = np.repeat(rows, config.calibration.copies)
    settings = config.augment.model_copy(
        update={
            "mixture_share": config.augment.mixture_share if mixtures else 0.0,
            "shift": config.augment.shift if shift else 0.0,
        }
    )
    return augment(
        simulated.energy,
        simulated.mu[rows],
        simulated.first[rows],
        labels_of(config, simulated)[rows],
        config.grid.energy_grid().relative(),
        settings,
        np.random.default_rng(config.data.split_seed + 1),
    )
