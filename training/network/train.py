"""Train the network of one seed."""

import hashlib
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, fields

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from training.config import Config
from training.descriptors import DESCRIPTORS
from training.network import losses
from training.network.networks import RankAAE, reverse_gradient
from training.simulated.augment import Batch, augment
from training.simulated.dataset import Simulated, Split

__all__ = [
    "Progress",
    "Trial",
    "fingerprint",
    "fit_trial",
    "labels_of",
    "related_rows",
    "settle",
    "shown_rows",
    "tensor",
]

RECIPE = 2
"""Raise by hand when the same settings, data and seed would train to other weights.

Finished trials are found again under this number, so that a moved file or a mended docstring
loses none. A test trains `tiny.toml` and compares with kept weights: it fails where a change
of the weights was not meant, or the number was forgotten.
"""

SETTLING = 4
"""Passes over the training rows for the final statistics of the batch normalisations."""

LEAVING = (0.4, 0.8)
"""Share of the epochs at which related sites begin to leave, and at which none is left."""

Progress = Callable[[int, dict[str, float], float], None]
"""Called after each epoch with how many are done, the mean losses and the learning rate."""


@dataclass(frozen=True, eq=False)
class Trial:
    """One trained network, in evaluation mode, and the seed it came from."""

    seed: int
    model: RankAAE


def fit_trial(
    config: Config,
    simulated: Simulated,
    split: Split,
    seed: int,
    progress: Progress | None = None,
) -> RankAAE:
    """Train one network.

    The same configuration, data, seed and thread count give the same network.
    One AdamW with a one-cycle rate minimises the weighted sum of the losses. Related
    sites come along, one with each of the element's own, and leave before the end: it
    is the element's own spectra that the network is to fit.
    """
    torch.manual_seed(seed)
    rng = np.random.default_rng(seed)
    model = RankAAE(config.grid.points, config.network)
    rows, others = shown_rows(simulated, split.train, config), related_rows(simulated, split)
    batch = min(config.fit.batch, rows.size)
    steps = max(rows.size // batch, 1)
    optimizer = torch.optim.AdamW(
        model.parameters(), weight_decay=config.fit.weight_decay, fused=True
    )
    schedule = torch.optim.lr_scheduler.OneCycleLR(
        optimizer, config.fit.rate, total_steps=steps * config.fit.epochs
    )
    weights = config.losses.model_dump()  # by the names of `_losses`
    model.train()

    def batches(company: float) -> Iterator[Batch]:
        order = rng.permutation(rows)
        along = round(company * batch) if others.size else 0
        for i in range(steps):
            seen = _copies(config, simulated, order[i * batch : (i + 1) * batch], rng)
            if along and simulated.related is not None:
                chosen = rng.choice(others, along)
                seen = _together(seen, _copies(config, simulated.related, chosen, rng))
            yield seen

    for epoch in range(config.fit.epochs):
        passed = epoch / config.fit.epochs
        strength = losses.adversarial_strength(passed)
        sums: dict[str, float] = {}
        for seen in batches(float(np.interp(passed, LEAVING, (1.0, 0.0)))):
            terms = _losses(
                model,
                tensor(seen.flat),
                tensor(seen.target),
                tensor(seen.weight),
                tensor(seen.labels),
                strength,
                config.network.averaged,
            )
            total = torch.stack([weights[name] * value for name, value in terms.items()]).sum()
            optimizer.zero_grad()
            total.backward()
            optimizer.step()
            schedule.step()
            for name, value in terms.items():
                sums[name] = sums.get(name, 0.0) + float(value.detach()) / steps
        if progress:
            progress(epoch + 1, sums, float(schedule.get_last_lr()[0]))
    settle(
        model,
        lambda flat: model.decoder(model.encoder(flat)),
        (tensor(seen.flat) for _ in range(SETTLING) for seen in batches(0.0)),
    )
    return model.eval()


def shown_rows(simulated: Simulated, rows: NDArray[np.intp], config: Config) -> NDArray[np.intp]:
    """Repeat sites in a host of their own metal: a substituted one's bonds are a guess."""
    own = rows[simulated.own_host[rows]]
    again = config.data.own_host_weight - 1
    return rows if own.size == rows.size else np.concatenate([rows, *[own] * again])


def related_rows(simulated: Simulated, split: Split) -> NDArray[np.intp]:
    """Return rows of the related sites whose compound is in neither validation nor test."""
    if simulated.related is None:
        return np.empty(0, dtype=np.intp)
    unseen = simulated.group[np.concatenate([split.validation, split.test])]
    return np.flatnonzero(~np.isin(simulated.related.group, unseen))


def _copies(
    config: Config, simulated: Simulated, rows: NDArray[np.intp], rng: np.random.Generator
) -> Batch:
    """Return one augmented copy of each row."""
    return augment(
        simulated.energy,
        simulated.mu[rows],
        simulated.first[rows],
        labels_of(config, simulated, rows),
        config.grid.energy_grid().relative(),
        config.augment,
        rng,
        config.network.averaged,
    )


def _together(one: Batch, other: Batch) -> Batch:
    """Join two batches; they were augmented apart, so that no mixture crosses elements."""
    pairs = [(getattr(one, each.name), getattr(other, each.name)) for each in fields(Batch)]
    return Batch(*(np.concatenate(pair) for pair in pairs))


def _losses(
    model: RankAAE,
    flat: Tensor,
    target: Tensor,
    weight: Tensor,
    labels: Tensor,
    strength: float,
    averaged: Sequence[int] = (),
) -> dict[str, Tensor]:
    latent = model.encoder(flat)  # (n, latent)
    output = model.decoder(latent)  # (n, g)
    normal = torch.randn_like(latent)
    return {
        "rank": losses.rank_loss(latent[:, : labels.shape[1]], labels),
        "linear": losses.linear_loss(latent[:, list(averaged)], labels[:, list(averaged)]),
        "reconstruction": losses.reconstruction_loss(output, target, weight),
        # No part of any score: without it the decoder's curves were arbitrary below
        # the simulation, and the mutual information was taken on such curves.
        "tail": losses.reconstruction_loss(output, target, 1.0 - weight),
        "adversarial": losses.adversarial_loss(
            model.discriminator, reverse_gradient(latent, strength), normal
        ),
        "mutual_information": losses.mutual_information_loss(model.encoder, model.decoder, normal),
        "smoothness": losses.smoothness_loss(output),
    }


def settle(
    model: torch.nn.Module, run: Callable[[Tensor], object], batches: Iterable[Tensor]
) -> None:
    """Take the batch normalisations' statistics anew, from batches (n, g) and without dropout.

    `run` passes a batch through the model.

    Those that training leaves were taken with dropout on, and half of them on normal
    draws, which pass through decoder and encoder for the mutual information: the
    trained network would see every unit shifted against what it was trained on.
    """
    for module in model.modules():
        if isinstance(module, torch.nn.BatchNorm1d):
            module.reset_running_stats()
            module.momentum = None  # the plain mean over all batches
        module.train(not isinstance(module, torch.nn.Dropout))
    with torch.no_grad():
        for one in batches:
            run(one)


def labels_of(
    config: Config, simulated: Simulated, rows: NDArray[np.intp] | None = None
) -> NDArray[np.float64]:
    """Return labels (n, k) of the configured descriptors, in the order of their latents.

    Of all sites, or of the given rows.
    """
    names = list(DESCRIPTORS)
    columns = [names.index(name) for name in config.network.descriptors]
    labels = simulated.labels if rows is None else simulated.labels[rows]
    return labels[:, columns]


def fingerprint(config: Config, simulated: Simulated) -> str:
    """Return what a trial depends on besides its seed: recipe, settings, data; 16 hex digits."""
    parts = [
        f"recipe {RECIPE}",
        config.element,
        config.data.model_dump_json(),
        config.grid.model_dump_json(),
        config.network.model_dump_json(),
        config.augment.model_dump_json(),
        config.losses.model_dump_json(),
        config.fit.model_dump_json(exclude={"trials", "keep", "seed"}),
        repr(simulated.sources),
        repr(simulated.related.sources if simulated.related else None),
    ]
    return hashlib.sha256("\n".join(parts).encode()).hexdigest()[:16]


def tensor(values: NDArray[np.floating]) -> Tensor:
    """Return a tensor in single precision, as the exported graphs compute."""
    return torch.from_numpy(np.ascontiguousarray(values, dtype=np.float32))
