"""Train the seeded trials of one configuration."""

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

__all__ = [
    "RUNS",
    "Trial",
    "fingerprint",
    "fit_all",
    "fit_trial",
    "labels_of",
    "tensor",
]

RUNS = Path(__file__).resolve().parent / "runs"

Progress = Callable[[int, dict[str, float]], None]


@dataclass(frozen=True, eq=False)
class Trial:
    """One trained network, in evaluation mode, and the seed it came from."""

    seed: int
    model: RankAAE


def fit_all(
    config: Config,
    simulated: Simulated,
    split: Split,
    runs: Path = RUNS,
    progress: Callable[[int], Progress] | None = None,
) -> list[Trial]:
    """Train every trial that has not been trained yet.

    Parameters
    ----------
    config : Config
    simulated : Simulated
    split : Split
        Only `split.train` is learned from.
    runs : Path
        Finished trials are kept here and found again under the same
        configuration, data and seed.
    progress : callable, optional
        Called with a seed, returns what is called after each epoch.
    """
    folder = runs / config.element.lower() / fingerprint(config, simulated)
    folder.mkdir(parents=True, exist_ok=True)
    trials: list[Trial] = []
    for seed in range(config.fit.seed, config.fit.seed + config.fit.trials):
        report = progress(seed) if progress else _silent
        path = folder / f"trial-{seed}.pt"
        if path.is_file():
            model = RankAAE(config.grid.points, config.network)
            model.load_state_dict(torch.load(path, weights_only=True))
            report(config.fit.epochs, {})
        else:
            model = fit_trial(config, simulated, split, seed, report)
            unfinished = path.with_suffix(".part")
            torch.save(model.state_dict(), unfinished)
            unfinished.replace(path)
        trials.append(Trial(seed, model.eval()))
    return trials


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
    optimizer = torch.optim.AdamW(model.parameters(), weight_decay=config.fit.weight_decay)
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
            progress(epoch + 1, sums)
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
    here = Path(__file__).parent
    code = ("augment", "dataset", "descriptors", "losses", "model", "train")
    files = [*(here / f"{name}.py" for name in code), *sorted((here / "sources").glob("*.py"))]
    parts = [
        *(path.read_text(encoding="utf-8") for path in files),
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


def tensor(values: NDArray[np.floating]) -> Tensor:
    """Single precision, as the exported graphs compute."""
    return torch.from_numpy(np.ascontiguousarray(values, dtype=np.float32))


def _silent(epoch: int, losses_: dict[str, float]) -> None:
    del epoch, losses_
