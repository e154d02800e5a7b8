"""Train networks that tell from a part of a spectrum what its complete one will be answered."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from rankaae_stream.spectrum import Floats
from training.network.networks import PReLU
from training.network.train import settle

__all__ = ["DEPTH", "STEPS", "WIDTH", "Drawn", "Student", "empty", "fit_member"]

WIDTH = 192
DEPTH = 3
DROPOUT = 0.05
STEPS = 2500
RATE = 3e-3
WEIGHT_DECAY = 0.02
SETTLING = 40
"""Batches for the final statistics of the batch normalisations."""

SMALLEST, LARGEST = -4.0, 3.0
"""Of the logarithm of the scale, in standard deviations of the complete answers."""


class Student(nn.Module):
    """Several networks as one; prepared parts (n, 2 g) to values and scales (n, 2, k).

    Parameters
    ----------
    members : sequence of Sequential
    centre, spread : (k,) arrays
        Mean and standard deviation of the complete answers, which the members see as 0 and 1.
    """

    centre: Tensor
    spread: Tensor

    def __init__(self, members: Sequence[nn.Sequential], centre: Floats, spread: Floats) -> None:
        super().__init__()
        self.members = nn.ModuleList(members)
        self.register_buffer("centre", torch.tensor(centre, dtype=torch.float32))
        self.register_buffer("spread", torch.tensor(spread, dtype=torch.float32))

    def forward(self, part: Tensor) -> Tensor:
        """Return the members' mean and, in quadrature, their mean scale and their spread."""
        each = torch.stack([member(part) for member in self.members])  # (m, n, 2 k)
        k = self.centre.shape[0]
        values, logs = each[:, :, :k], each[:, :, k:].clamp(SMALLEST, LARGEST)
        middle = values.mean(dim=0)
        apart = ((values - middle) ** 2).mean(dim=0)
        scale = torch.sqrt((torch.exp(logs) ** 2).mean(dim=0) + apart)
        return torch.stack([middle * self.spread + self.centre, scale * self.spread], dim=1)


@dataclass(frozen=True, eq=False)
class Drawn:
    """Parts that were drawn once, and how many of them are in a batch.

    `inputs` (n, 2 g), `wanted` (n, k); see `parts.draw`.
    """

    inputs: NDArray[np.float32]
    wanted: Floats
    count: int


def fit_member(
    drawn: Sequence[Drawn], weights: Floats, centre: Floats, spread: Floats, seed: int
) -> nn.Sequential:
    """Train one network by the Laplace likelihood of the complete answers.

    The same parts, seed and thread count give the same network.

    Parameters
    ----------
    drawn : sequence of Drawn
    weights : (k,) array
        Of the outputs in the loss.
    centre, spread : (k,) arrays
        The network sees the complete answers less `centre`, in units of `spread`.
    seed : int
    """
    torch.manual_seed(seed)
    rng = np.random.default_rng(seed)
    outputs = centre.size
    network = empty(drawn[0].inputs.shape[1], 2 * outputs)
    optimizer = torch.optim.AdamW(network.parameters(), lr=RATE, weight_decay=WEIGHT_DECAY)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, RATE, total_steps=STEPS)
    importance = torch.tensor(weights, dtype=torch.float32)
    targets = [((one.wanted - centre) / spread).astype(np.float32) for one in drawn]

    def batch() -> tuple[Tensor, Tensor]:
        rows = [rng.integers(0, len(one.inputs), one.count) for one in drawn]
        inputs = [one.inputs[chosen] for one, chosen in zip(drawn, rows, strict=True)]
        wanted = [target[chosen] for target, chosen in zip(targets, rows, strict=True)]
        return torch.from_numpy(np.concatenate(inputs)), torch.from_numpy(np.concatenate(wanted))

    network.train()
    for _ in range(STEPS):
        inputs, wanted = batch()
        found = network(inputs)
        value, log = found[:, :outputs], found[:, outputs:].clamp(SMALLEST, LARGEST)
        loss = ((log + (wanted - value).abs() * torch.exp(-log)) * importance).sum(dim=1).mean()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        schedule.step()
    settle(network, network, [batch()[0] for _ in range(SETTLING)])
    return network.eval()


def empty(inputs: int, outputs: int) -> nn.Sequential:
    """Return an untrained network; `outputs` counts values and scales."""
    layers: list[nn.Module] = []
    for depth in range(DEPTH):
        layers += [
            nn.Linear(inputs if depth == 0 else WIDTH, WIDTH),
            PReLU(WIDTH),
            nn.BatchNorm1d(WIDTH, affine=False),
            nn.Dropout(DROPOUT),
        ]
    return nn.Sequential(*layers, nn.Linear(WIDTH, outputs))
