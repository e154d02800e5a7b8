"""Score one network by itself, calibrated as those of a shipped model are."""

import json
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from rankaae_stream.spectrum import Floats
from training.config import Config
from training.evaluation.on_simulated import (
    classes,
    confusion,
    reconstruction_error,
    weighted_f1,
)
from training.measured.maps import estimate, fit_maps
from training.network.ensemble import Ensemble
from training.network.train import Trial, labels_of
from training.simulated.dataset import Simulated, Split
from training.trials.select import clean_spectra, free_correlation, rank_correlation

__all__ = ["score_network", "write_figures"]


def score_network(
    config: Config, simulated: Simulated, split: Split, rows: NDArray[np.intp], trial: Trial
) -> dict[str, Any]:
    """Score one network on rows that it did not learn from; its maps are fitted as `fit` does.

    Parameters
    ----------
    config : Config
    simulated : Simulated
    split : Split
        Its training part is what the network learned from.
    rows : (n,) array
    trial : Trial

    Returns
    -------
    dict
        By descriptor `spearman_score` and `mean_absolute_error_loss`, then `f1_score` of the
        coordination, `reconstruction_mean_absolute_error_loss` and `free_correlation_loss`.
        A figure that these rows do not give is left out.
    """
    network = Ensemble([trial], clean_spectra(config, simulated, split.train))
    names, labels = config.network.descriptors, labels_of(config, simulated, rows)
    flat = clean_spectra(config, simulated, rows)
    latent = network.encode(flat)
    values = estimate(fit_maps(config, simulated, split, network), latent)
    figures: dict[str, Any] = {"seed": trial.seed}
    for k, name in enumerate(names):
        known = np.isfinite(labels[:, k])
        if not known.any():
            continue
        error: Floats = np.abs(values[known, k] - labels[known, k])
        figures[name] = {
            "spearman_score": rank_correlation(values[:, k], labels[:, k]),
            "mean_absolute_error_loss": float(np.mean(error)),
        }
        if name == "coordination_number":
            figures["f1_score"] = weighted_f1(
                confusion(classes(labels[known, k]), classes(values[known, k]))
            )
    judged = config.grid.energy_grid().relative() >= simulated.first[rows][:, None]
    errors = reconstruction_error(network.decode(latent)[0], flat, judged)
    figures["reconstruction_mean_absolute_error_loss"] = float(errors.mean())
    figures["free_correlation_loss"] = free_correlation(latent[0], len(names))
    return figures


def write_figures(found: dict[str, Any], path: Path) -> None:
    """Write what was found as a JSON file, complete or not at all."""
    path.parent.mkdir(parents=True, exist_ok=True)
    aside = path.with_suffix(".part")
    aside.write_text(json.dumps(found, indent=1, allow_nan=False) + "\n", encoding="utf-8")
    aside.replace(path)
