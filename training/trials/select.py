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
from training.network.losses import linear_loss
from training.network.networks import FARTHEST, RankAAE
from training.network.train import Trial, labels_of, tensor
from training.simulated.augment import AnyFloats, Batch, augment, broaden, onto_grid
from training.simulated.dataset import STEP, Simulated

__all__ = [
    "TrialScore",
    "augmented",
    "clean_spectra",
    "free_correlation",
    "mixture_loss",
    "rank_correlation",
    "score_trial",
    "score_trials",
    "select",
    "tied_excess",
    "validation_score",
]

RESOLUTION = 0.8
"""Gaussian sigma of an ordinary monochromator, eV, to which spectra are broadened for scores."""

FREE_WEIGHT = 0.1
"""What the free correlation costs: from .6 to .3 as much as .03 in the mean rho."""

TIED_WEIGHT = 0.1
"""What the excess among tied latents costs."""

RECONSTRUCTION_WEIGHT = 1.0
"""What the rms of the curves costs: good trials differ by .01, spoilt ones by .1."""

MIXTURE_WEIGHT = 0.5
"""What costs the share of the averaged labels' variance that a line from their latents leaves
unexplained, mixtures among the spectra: from .08 to .04 as much as .02 in the mean rho."""


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
    mixture_loss : float
        See `mixture_loss`.
    network : str
        Its kind in words, for people.
    kept : bool
        In the model.
    """

    seed: int
    spearman_scores: tuple[float, ...]
    free_correlation_loss: float
    tied_excess_loss: float
    reconstruction_loss: float
    mixture_loss: float
    network: str = ""
    kept: bool = False


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
    mixed = augmented(config, simulated, rows, mixtures=True, shift=True)
    averaged = config.network.averaged
    return [
        score_trial(trial, flat, flat, judged, labels, mixture_loss(trial.model, mixed, averaged))
        for trial in trials
    ]


def score_trial(
    trial: Trial,
    flat: AnyFloats,
    target: AnyFloats,
    judged: NDArray[np.bool_],
    labels: AnyFloats,
    mixtures: float,
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
    mixtures : float
        Its `mixture_loss`.
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
        mixture_loss=mixtures,
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


def mixture_loss(model: RankAAE, seen: Batch, averaged: Sequence[int]) -> float:
    """Return `losses.linear_loss` of the averaged descriptors, on spectra with mixtures."""
    columns = list(averaged)
    with torch.no_grad():
        latent = model.encoder(tensor(seen.flat))[:, columns]
    return float(linear_loss(latent, tensor(seen.labels[:, columns])))


def validation_score(figures: TrialScore) -> float:
    """Return one figure of a trial, the higher the better, at most 1.

    The mean rho of the tied latents, less `FREE_WEIGHT` times the free
    correlation, `TIED_WEIGHT` times the tied excess, `RECONSTRUCTION_WEIGHT`
    times the rms of the curves and `MIXTURE_WEIGHT` times the mixtures' loss. The two
    entanglements count apart because the free one is mostly the larger, and one
    maximum over both would never see the other.
    """
    return float(
        np.mean(figures.spearman_scores)
        - FREE_WEIGHT * figures.free_correlation_loss
        - TIED_WEIGHT * figures.tied_excess_loss
        - RECONSTRUCTION_WEIGHT * figures.reconstruction_loss
        - MIXTURE_WEIGHT * figures.mixture_loss
    )


def select(scores: Sequence[TrialScore], keep: int) -> list[int]:
    """Return the positions of the best `keep` trials by `validation_score`, best first.

    Theory shift and domain depend on the curves. A trial that diverged is left out.

    Raises
    ------
    ConfigurationError
        When fewer than `keep` trials converged.
    """
    worth = np.array([validation_score(score) for score in scores])
    sound = np.flatnonzero(np.isfinite(worth))
    if sound.size < keep:
        raise ConfigurationError(
            f"{sound.size} of {len(scores)} trials converged, keep = {keep}; lower fit.rate"
        )
    best = sound[np.argsort(-worth[sound], kind="stable")]
    return [int(i) for i in best[:keep]]


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
