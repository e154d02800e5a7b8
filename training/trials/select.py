"""Score trials and select which to keep: one seed is not a result."""

# pyright: basic
# scipy has no types

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import combinations

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.stats import spearmanr

from rankaae_stream.errors import ConfigurationError
from training.config import Config
from training.network.networks import FARTHEST
from training.network.train import Trial, labels_of, tensor
from training.simulated.augment import AnyFloats, Batch, augment, broaden, onto_grid
from training.simulated.dataset import STEP, Simulated

__all__ = [
    "TrialScore",
    "augmented",
    "clean_spectra",
    "free_correlation",
    "rank_correlation",
    "score_trial",
    "score_trials",
    "select",
    "tied_excess",
]

RESOLUTION = 0.8
"""Gaussian sigma of an ordinary monochromator, eV, to which spectra are broadened for scores."""

WORSE = 2.0
"""Times the median reconstruction loss of the trials: beyond it one has lost its curves."""


@dataclass(frozen=True)
class TrialScore:
    """Validation figures of one trial: a `_score` is better up, a `_loss` down.

    Attributes
    ----------
    seed : int
    spearman_scores : tuple of float
        Rho of each tied latent with its descriptor; one that orders backwards is negative.
    free_correlation_loss : float
        Largest |rho| of two latents of which at least one is free: what a free
        dimension holds no descriptor should explain.
    tied_excess_loss : float
        Largest `|rho(z_i, z_j)| - |rho(d_i, d_j)|` of two tied latents, or 0. Descriptors
        hang together in real compounds, so their latents must; only what
        exceeds that is entanglement.
    reconstruction_loss : float
        Rms where simulation exists.
    """

    seed: int
    spearman_scores: tuple[float, ...]
    free_correlation_loss: float
    tied_excess_loss: float
    reconstruction_loss: float


def clean_spectra(
    config: Config, simulated: Simulated, rows: NDArray[np.intp]
) -> NDArray[np.float64]:
    """Return simulated spectra (n, g) at ordinary resolution, otherwise as they are."""
    smooth = broaden(simulated.mu[rows], np.full(rows.size, RESOLUTION), STEP)
    grid = config.grid.energy_grid().relative()
    flat = onto_grid(simulated.energy, smooth, grid, np.zeros(rows.size))
    return flat.astype(np.float64, copy=False)


def rank_correlation(a: AnyFloats, b: AnyFloats) -> float:
    """Return Spearman's rho over pairs that are both known; 0 where one side is constant."""
    known = np.isfinite(a) & np.isfinite(b)
    if known.sum() < 3 or np.ptp(a[known]) == 0 or np.ptp(b[known]) == 0:
        return 0.0
    return float(np.asarray(spearmanr(a[known], b[known]))[0])


def score_trials(
    config: Config, simulated: Simulated, rows: NDArray[np.intp], trials: Sequence[Trial]
) -> list[TrialScore]:
    """Score every trial on the given (validation) rows, at ordinary resolution."""
    flat = clean_spectra(config, simulated, rows)
    judged = config.grid.energy_grid().relative() >= simulated.first[rows][:, None]
    labels = labels_of(config, simulated, rows)
    return [score_trial(trial, flat, flat, judged, labels) for trial in trials]


def score_trial(
    trial: Trial,
    flat: AnyFloats,
    target: AnyFloats,
    judged: NDArray[np.bool_],
    labels: AnyFloats,
) -> TrialScore:
    """Score one trial.

    Parameters
    ----------
    trial : Trial
    flat : (n, g) array
        What the encoder sees.
    target : (n, g) array
        What the decoder should give back.
    judged : (n, g) array of bool
        Where it is compared.
    labels : (n, k) array
        Of the tied descriptors; NaN where unknown.
    """
    with torch.no_grad():
        encoded = trial.model.encoder(tensor(flat))
        output = trial.model.decoder(encoded.clamp(-FARTHEST, FARTHEST)).double().numpy()
    latent = encoded.double().numpy()
    squared = ((output - target) ** 2 * judged).sum(1) / judged.sum(1)
    return TrialScore(
        seed=trial.seed,
        spearman_scores=tuple(
            rank_correlation(latent[:, k], labels[:, k]) for k in range(labels.shape[1])
        ),
        free_correlation_loss=free_correlation(latent, labels.shape[1]),
        tied_excess_loss=tied_excess(latent, labels),
        reconstruction_loss=float(np.sqrt(squared.mean())),
    )


def free_correlation(latent: AnyFloats, tied: int) -> float:
    """Return the largest |rho| of two latents (n, l) of which one comes after the first `tied`."""
    return max(
        (
            abs(rank_correlation(latent[:, k], latent[:, j]))
            for j in range(tied, latent.shape[1])
            for k in range(j)
        ),
        default=0.0,
    )


def tied_excess(latent: AnyFloats, labels: AnyFloats) -> float:
    """Return the largest excess of a tied pair's |rho| over its descriptors', at least 0.

    Both are taken over the spectra that have both labels; a pair that fewer than
    three have is not judged.

    Parameters
    ----------
    latent : (n, l) array
        The tied ones first.
    labels : (n, k) array
        NaN where unknown.
    """
    worst = 0.0
    for i, j in combinations(range(labels.shape[1]), 2):
        both = np.isfinite(labels[:, i]) & np.isfinite(labels[:, j])
        own = abs(rank_correlation(labels[both, i], labels[both, j]))
        worst = max(worst, abs(rank_correlation(latent[both, i], latent[both, j])) - own)
    return worst


def select(scores: Sequence[TrialScore], keep: int) -> list[int]:
    """Return the positions of the best `keep` trials, best first.

    The z-scores across trials of each rank correlation are added; those of the
    free correlation, of the tied excess and of the reconstruction loss are
    subtracted. The two entanglements count apart because the free one is mostly
    the larger, and one maximum over both would never see the other. Theory shift
    and domain depend on the curves. A trial that
    diverged is left out, and one that draws `WORSE` times worse than the median comes
    after all others: its z-scores would hide what the rest differ by.

    Raises
    ------
    ConfigurationError
        When fewer than `keep` trials converged.
    """
    table = np.array(
        [
            [
                *score.spearman_scores,
                -score.free_correlation_loss,
                -score.tied_excess_loss,
                -score.reconstruction_loss,
            ]
            for score in scores
        ]
    )
    sound = np.flatnonzero(np.isfinite(table).all(axis=1))
    if sound.size < keep:
        raise ConfigurationError(
            f"{sound.size} of {len(scores)} trials converged, fit.keep = {keep}; lower fit.rate"
        )
    losses = -table[sound, -1]
    blown = losses > WORSE * np.median(losses)
    fair = table[sound[~blown]]
    spread = fair.std(axis=0)
    z = (fair - fair.mean(axis=0)) / np.where(spread > 0, spread, 1.0)
    best = sound[~blown][np.argsort(-z.sum(axis=1), kind="stable")]
    last = sound[blown][np.argsort(losses[blown], kind="stable")]
    return [int(i) for i in np.concatenate([best, last])[:keep]]


def augmented(
    config: Config,
    simulated: Simulated,
    rows: Sequence[int] | NDArray[np.intp],
    *,
    mixtures: bool,
    shift: bool = False,
) -> Batch:
    """Return several augmented copies of rows, by one seed; mixtures and energy shifts if asked."""
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
