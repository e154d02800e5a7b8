"""Train the classifier on edge-aligned spectra, several seeds as one graph."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn.functional import cross_entropy, log_softmax

from rankaae_stream.model.domain import STEP, at_positions, edge_aligned
from rankaae_stream.spectrum import Floats
from training.config import Augment
from training.domain.spectra import AXIS, KINDS, OXIDES, Spectra
from training.simulated.augment import augment

__all__ = ["ALIGNED", "NAMES", "Classifier", "fit", "no_oxide"]

ALIGNED = (-8.0, 46.0)
"""Energies that are looked at, eV from a spectrum's own half height."""

NAMES = (OXIDES, *KINDS)
"""The kinds of compounds, in the order of the outputs."""

HIDDEN = 32
EPOCHS = 40
BATCH = 256
RATE = 3e-3
WEIGHT_DECAY = 0.3
DROPOUT = 0.1

FLOOR = 1e-4
"""Smallest probability that differs from 0: below it single precision decides."""

COPIES = {"others": 4, "measured": 8}
"""Augmented copies of each spectrum in an epoch; of simulated oxides there is one."""

MEASURED_WEIGHT = 5.0
"""Weight of a measured copy: theory errs where it matters."""

MISALIGNED = 0.4
"""Standard deviation of the half height's energy, eV: noise, and pre-edge peaks near it."""

RENEWED = 6
"""Epochs after which the copies are drawn anew."""

SETTINGS = Augment(shift=0.0, over_absorption=0.4, mixture_share=0.3, gap_share=0.0)
"""Copies of simulated spectra: resolution, noise, over-absorption, mixtures."""

TOUCHED = SETTINGS.model_copy(
    update={"broadening": (0.01, 1.0), "core_hole": (0.0, 0.0), "mixture_share": 0.0}
)
"""Copies of measured spectra, which have a resolution of their own."""


class Classifier(nn.Module):
    """Several networks; edge-aligned spectra (n, a) to the logarithm of their mean probability.

    Parameters
    ----------
    members : sequence of Sequential
    """

    def __init__(self, members: Sequence[nn.Sequential]) -> None:
        super().__init__()
        self.members = nn.ModuleList(members)

    def forward(self, aligned: Tensor) -> Tensor:
        """Return (n, kinds)."""
        each = torch.stack([torch.softmax(member(aligned), dim=1) for member in self.members])
        return torch.log(each.mean(dim=0) + FLOOR)


@dataclass(frozen=True, eq=False)
class _Part:
    """Spectra that are copied alike."""

    spectra: Spectra
    settings: Augment
    copies: int
    weight: float


def fit(oxides: Spectra, others: Spectra, measured: Spectra, seeds: Sequence[int]) -> Classifier:
    """Train one network a seed.

    Oxides and what is none weigh the same as a whole; the same spectra and seeds give the
    same networks.
    """
    parts = [
        _Part(oxides, SETTINGS, 1, 1.0),
        _Part(others, SETTINGS.model_copy(update={"mixture_share": 0.0}), COPIES["others"], 1.0),
        _Part(measured, TOUCHED, COPIES["measured"], MEASURED_WEIGHT),
    ]
    return Classifier([_fit_one(parts, seed) for seed in seeds]).eval()


def no_oxide(classifier: Classifier, flat: Floats) -> Floats:
    """Return the probability (n,) that spectra (n, f) on `AXIS` are of no oxide."""
    aligned = edge_aligned(AXIS, flat, ALIGNED).astype(np.float32)
    with torch.no_grad():
        share = log_softmax(classifier(torch.from_numpy(aligned)), dim=1)
    return 1.0 - np.exp(share[:, 0].double().numpy())


def _fit_one(parts: Sequence[_Part], seed: int) -> nn.Sequential:
    torch.manual_seed(seed)
    rng = np.random.default_rng(seed)
    seen, label, weight = _copies(parts, rng)
    points = round((ALIGNED[1] - ALIGNED[0]) / STEP) + 1
    scale = nn.Linear(points, points)
    with torch.no_grad():
        spread = torch.from_numpy(seen.std(axis=0) + 0.02)
        scale.weight.copy_(torch.diag(1.0 / spread))
        scale.bias.copy_(-torch.from_numpy(seen.mean(axis=0)) / spread)
    scale.requires_grad_(requires_grad=False)
    network = nn.Sequential(
        scale,
        nn.Linear(points, HIDDEN),
        nn.ReLU(),
        nn.Dropout(DROPOUT),
        nn.Linear(HIDDEN, HIDDEN),
        nn.ReLU(),
        nn.Linear(HIDDEN, len(NAMES)),
    )
    trained = [one for one in network.parameters() if one.requires_grad]
    optimizer = torch.optim.AdamW(trained, lr=RATE, weight_decay=WEIGHT_DECAY)
    steps = len(seen) // BATCH
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, RATE, total_steps=steps * EPOCHS + 1)
    network.train()
    for epoch in range(EPOCHS):
        if epoch and epoch % RENEWED == 0:
            seen, label, weight = _copies(parts, rng)
        inputs, truth = torch.from_numpy(seen), torch.from_numpy(label)
        counts = torch.from_numpy(weight)
        order = torch.from_numpy(rng.permutation(len(seen)))
        for i in range(steps):
            rows = order[i * BATCH : (i + 1) * BATCH]
            loss = cross_entropy(network(inputs[rows]), truth[rows], reduction="none")
            optimizer.zero_grad()
            (loss * counts[rows]).mean().backward()
            optimizer.step()
            schedule.step()
    return network.eval()


def _copies(
    parts: Sequence[_Part], rng: np.random.Generator
) -> tuple[NDArray[np.float32], NDArray[np.int64], NDArray[np.float32]]:
    """Return aligned copies (n, a), their kinds (n,) and weights (n,)."""
    flat, label, weight = list[Floats](), list[NDArray[np.int64]](), list[Floats]()
    for part in parts:
        kinds = np.array([NAMES.index(one) for one in part.spectra.kind])
        for _ in range(part.copies if kinds.size else 0):
            seen = augment(
                AXIS,
                part.spectra.flat,
                np.full(kinds.size, AXIS[0]),
                np.zeros((kinds.size, 2)),
                AXIS,
                part.settings,
                rng,
            ).flat
            flat.append(np.asarray(seen, dtype=float))
            label.append(kinds)
            weight.append(np.full(kinds.size, part.weight))
    together, kind, mass = np.concatenate(flat), np.concatenate(label), np.concatenate(weight)
    oxide = kind == 0
    mass = np.where(oxide, mass, mass * mass[oxide].sum() / mass[~oxide].sum())
    aligned = _misaligned(together, rng.normal(0.0, MISALIGNED, len(together)))
    return aligned.astype(np.float32), kind, (mass / mass.mean()).astype(np.float32)


def _misaligned(flat: Floats, by: Floats) -> Floats:
    """Return edge-aligned spectra (n, a), each aligned `by` (n,) eV wrongly."""
    wide = edge_aligned(AXIS, flat, (ALIGNED[0] - 2.0, ALIGNED[1] + 2.0))
    right = 2.0 / STEP + np.arange(round((ALIGNED[1] - ALIGNED[0]) / STEP) + 1)
    return at_positions(wide, right + by[:, None] / STEP)
