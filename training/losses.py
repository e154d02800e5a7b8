"""Losses of a RankAAE, each a pure function of tensors; all go down as things get better.

Definitions: H. Liang et al., Phys. Rev. Materials 7, 053802 (2023).
"""

import math

import torch
from torch import Tensor, nn
from torch.nn.functional import binary_cross_entropy_with_logits, conv1d, mse_loss

__all__ = [
    "adversarial_loss",
    "adversarial_strength",
    "mutual_information_loss",
    "rank_loss",
    "reconstruction_loss",
    "smoothness_loss",
]


def rank_loss(latent: Tensor, labels: Tensor, balanced: bool = True) -> Tensor:
    """How badly each tied latent orders a batch as its descriptor does.

    ``-1 / (K P_k) sum_ij w_ijk sgn(d_ik - d_jk) (z_ik - z_jk)`` over the P_k
    ordered pairs whose labels are both known. Balanced: concordant pairs weigh
    ``opposite / max(same, opposite)``, so that the pull fades once the order is
    right. Because the summand is antisymmetric the inner sum over j is a sum of
    signs, and no pair of latents is ever multiplied.

    Parameters
    ----------
    latent : (n, k) tensor
    labels : (n, k) tensor
        NaN where unknown.
    balanced : bool

    Returns
    -------
    () tensor
    """
    known = ~torch.isnan(labels)  # (n, k)
    filled = torch.where(known, labels, torch.zeros_like(labels))
    pairs = (known[:, None] & known[None]).to(latent.dtype)  # (n, n, k)
    signs = torch.sign(filled[:, None] - filled[None]) * pairs
    count = (pairs.sum((0, 1)) - known.sum(0)).clamp_min(1.0)  # (k,) pairs i != j
    if balanced:
        with torch.no_grad():
            agreement = signs * torch.sign(latent[:, None] - latent[None])
            same, opposite = (agreement > 0).sum((0, 1)), (agreement < 0).sum((0, 1))
            ratio = opposite / torch.maximum(same, opposite).clamp_min(1)
            signs = torch.where(agreement > 0, signs * ratio, signs)
    pull = 2.0 * signs.sum(1)  # (n, k): pair (i, j) and pair (j, i) say the same
    return -((pull * latent).sum(0) / count).mean()


def reconstruction_loss(output: Tensor, target: Tensor, weight: Tensor) -> Tensor:
    """Squared error where `weight` is 1, each spectrum counting the same.

    The original leaves the height free between 0.7 and 1.3, at a small price.
    There the network gains by shrinking what it cannot explain: its curves came
    out 15 % low. Here height is augmented in the input and the target keeps its
    own, so nothing has to be forgiven.

    Parameters
    ----------
    output, target, weight : (n, g) tensors
        `weight` is 1 where the target was simulated and 0 elsewhere; its
        complement gives the loss of the tail.
    """
    squared = ((output - target) ** 2 * weight).sum(1)
    return (squared / weight.sum(1).clamp_min(1.0)).mean()


def adversarial_loss(discriminator: nn.Module, latent: Tensor, normal: Tensor) -> Tensor:
    """Cross entropy of telling normal draws (label 1) from latents (label 0), both (n, l).

    The encoder is trained against it through a reversed gradient of `latent`.
    """
    real, encoded = discriminator(normal), discriminator(latent)
    return binary_cross_entropy_with_logits(
        real, torch.ones_like(real)
    ) + binary_cross_entropy_with_logits(encoded, torch.zeros_like(encoded))


def adversarial_strength(progress: float) -> float:
    """Strength of the reversed gradient after a fraction `progress` of the epochs."""
    return 0.7172 * (2.0 / (1.0 + math.exp(-1e4 / 739.0 * progress)) - 1.0)


def mutual_information_loss(encoder: nn.Module, decoder: nn.Module, normal: Tensor) -> Tensor:
    """Squared error of normal draws (n, l) that went through decoder and encoder."""
    return mse_loss(encoder(decoder(normal)), normal)


def smoothness_loss(output: Tensor, sigma: float = 3.0, taps: int = 17) -> Tensor:
    """Squared difference between spectra (n, g) and the same after a Gaussian filter.

    `sigma` and `taps` are in grid points; the ends are left out.
    """
    offsets = torch.arange(taps, dtype=output.dtype) - taps // 2
    kernel = torch.exp(-0.5 * (offsets / sigma) ** 2)
    kernel = (kernel / kernel.sum())[None, None]
    half = taps // 2
    return mse_loss(output[:, half:-half], conv1d(output[:, None], kernel)[:, 0])
