"""Train the network of one seed."""

import hashlib
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from training import losses
from training.augment import augment
from training.config import Config
from training.dataset import Simulated, Split
from training.descriptors import DESCRIPTORS
from training.model import RankAAE, reverse_gradient

__all__ = ["Progress", "Trial", "fingerprint", "fit_trial", "labels_of", "tensor"]

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
    One AdamW with a one-cycle rate minimises the weighted sum of the losses.
    """
    torch.manual_seed(seed)
    rng = np.random.default_rng(seed)
    model = RankAAE(config.grid.points, config.network)
    rows = split.train
    batch = min(config.fit.batch, rows.size)
    steps = max(rows.size // batch, 1)
    optimizer = torch.optim.AdamW(
        model.parameters(), weight_decay=config.fit.weight_decay, fused=True
    )
    schedule = torch.optim.lr_scheduler.OneCycleLR(
        optimizer, config.fit.rate, total_steps=steps * config.fit.epochs
    )
    grid = config.grid.energy_grid().relative()
    tied = labels_of(config, simulated)
    model.train()
    for epoch in range(config.fit.epochs):
        order = rng.permutation(rows)
        strength = losses.adversarial_strength(epoch / config.fit.epochs)
        sums: dict[str, float] = {}
        for i in range(steps):
            chosen = order[i * batch : (i + 1) * batch]
            seen = augment(
                simulated.energy,
                simulated.mu[chosen],
                simulated.first[chosen],
                tied[chosen],
                grid,
                config.augment,
                rng,
                config.network.averaged,
            )
            terms = _losses(
                model,
                tensor(seen.flat),
                tensor(seen.target),
                tensor(seen.weight),
                tensor(seen.labels),
                strength,
            )
            total = torch.stack(
                [getattr(config.losses, name) * value for name, value in terms.items()]
            ).sum()
            optimizer.zero_grad()
            total.backward()
            optimizer.step()
            schedule.step()
            for name, value in terms.items():
                sums[name] = sums.get(name, 0.0) + float(value.detach()) / steps
        if progress:
            progress(epoch + 1, sums, float(schedule.get_last_lr()[0]))
    return model.eval()


def _losses(
    model: RankAAE,
    flat: Tensor,
    target: Tensor,
    weight: Tensor,
    labels: Tensor,
    strength: float,
) -> dict[str, Tensor]:
    latent = model.encoder(flat)  # (n, latent)
    output = model.decoder(latent)  # (n, g)
    normal = torch.randn_like(latent)
    return {
        "rank": losses.rank_loss(latent[:, : labels.shape[1]], labels),
        "reconstruction": losses.reconstruction_loss(output, target, weight),
        # No part of any score: without it the decoder drew anything below the
        # simulation, and the mutual information was taken on such curves.
        "tail": losses.reconstruction_loss(output, target, 1.0 - weight),
        "adversarial": losses.adversarial_loss(
            model.discriminator, reverse_gradient(latent, strength), normal
        ),
        "mutual_information": losses.mutual_information_loss(model.encoder, model.decoder, normal),
        "smoothness": losses.smoothness_loss(output),
    }


def labels_of(config: Config, simulated: Simulated) -> NDArray[np.float64]:
    """Labels (n, k) of the configured descriptors, in the order of their latents."""
    names = list(DESCRIPTORS)
    return simulated.labels[:, [names.index(name) for name in config.network.descriptors]]


def fingerprint(config: Config, simulated: Simulated) -> str:
    """What a trial depends on besides its seed: settings, data and code, 16 hexadecimal digits."""
    parts = [
        CODE,
        config.element,
        config.data.model_dump_json(),
        config.grid.model_dump_json(),
        config.network.model_dump_json(),
        config.augment.model_dump_json(),
        config.losses.model_dump_json(),
        config.fit.model_dump_json(exclude={"trials", "keep", "seed"}),
        repr(simulated.sources),
    ]
    return hashlib.sha256("\n".join(parts).encode()).hexdigest()[:16]


def _code() -> str:
    here = Path(__file__).parent
    names = ("augment", "dataset", "descriptors", "losses", "model", "train")
    files = [*(here / f"{name}.py" for name in names), *sorted((here / "sources").glob("*.py"))]
    return "\n".join(path.read_text(encoding="utf-8") for path in files)


CODE = _code()
"""Every module that decides what a trial becomes, as it was when this process began.

What trains is what was imported, whatever is written to the files meanwhile.
"""


def tensor(values: NDArray[np.floating]) -> Tensor:
    """Single precision, as the exported graphs compute."""
    return torch.from_numpy(np.ascontiguousarray(values, dtype=np.float32))
