"""Which trials to keep: one seed is not a result."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.stats import spearmanr

from training.augment import broaden, onto_grid
from training.config import Config
from training.dataset import STEP, Simulated
from training.train import Trial, labels_of, tensor

__all__ = ["TrialScore", "clean_spectra", "rank_correlation", "score_trials", "select"]

Floats = NDArray[np.float64]

RESOLUTION = 0.8
"""Gaussian sigma that stands for an ordinary monochromator in scores, eV."""


@dataclass(frozen=True)
class TrialScore:
    """Validation figures of one trial.

    `correlations` are |Spearman| of each tied latent with its descriptor (up is
    better), `entanglement` the largest |Spearman| of two latents of which one
    is free, and `reconstruction_loss` the rms where simulation exists (both down).
    """

    seed: int
    correlations: tuple[float, ...]
    entanglement: float
    reconstruction_loss: float


def clean_spectra(config: Config, simulated: Simulated, rows: NDArray[np.intp]) -> Floats:
    """Simulated spectra (n, g) at ordinary resolution, otherwise as they are."""
    smooth = broaden(simulated.mu[rows], np.full(rows.size, RESOLUTION), STEP)
    grid = config.grid.energy_grid().relative()
    return onto_grid(simulated.energy, smooth, grid, np.zeros(rows.size))


def rank_correlation(a: Floats, b: Floats) -> float:
    """Spearman's rho over pairs that are both known; 0 where one side is constant."""
    known = np.isfinite(a) & np.isfinite(b)
    if known.sum() < 3 or np.ptp(a[known]) == 0 or np.ptp(b[known]) == 0:
        return 0.0
    return float(np.asarray(spearmanr(a[known], b[known]))[0])


def score_trials(
    config: Config, simulated: Simulated, rows: NDArray[np.intp], trials: Sequence[Trial]
) -> list[TrialScore]:
    """Score every trial on the given (validation) rows."""
    flat = clean_spectra(config, simulated, rows)
    labels = labels_of(config, simulated)[rows]
    judged = config.grid.energy_grid().relative() >= simulated.first[rows][:, None]
    tied = labels.shape[1]
    scores: list[TrialScore] = []
    for trial in trials:
        with torch.no_grad():
            encoded = trial.model.encoder(tensor(flat))
            output = trial.model.decoder(encoded).double().numpy()
        latent = encoded.double().numpy()
        squared = ((output - flat) ** 2 * judged).sum(1) / judged.sum(1)
        scores.append(
            TrialScore(
                seed=trial.seed,
                correlations=tuple(
                    rank_correlation(latent[:, k], labels[:, k]) for k in range(tied)
                ),
                entanglement=max(
                    (
                        abs(rank_correlation(latent[:, k], latent[:, j]))
                        for j in range(tied, latent.shape[1])
                        for k in range(latent.shape[1])
                        if k != j
                    ),
                    default=0.0,
                ),
                reconstruction_loss=float(np.sqrt(squared.mean())),
            )
        )
    return scores


def select(scores: Sequence[TrialScore], keep: int) -> list[int]:
    """Positions of the best `keep` trials, best first.

    The z-scores across trials of each rank correlation are added, those of the
    entanglement and of the reconstruction loss subtracted: on the curves hang
    the theory shift and the verdict on the domain.
    """
    table = np.array(
        [[*score.correlations, -score.entanglement, -score.reconstruction_loss] for score in scores]
    )
    spread = table.std(axis=0)
    z = (table - table.mean(axis=0)) / np.where(spread > 0, spread, 1.0)
    return [int(i) for i in np.argsort(-z.sum(axis=1), kind="stable")[:keep]]
