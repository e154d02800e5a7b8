"""The three networks of a RankAAE in their fully connected form.

H. Liang et al., Phys. Rev. Materials 7, 053802 (2023).
"""

from typing import Any

import torch
from torch import Tensor, nn

from training.config import Network

__all__ = ["Discriminator", "RankAAE", "decoder", "encoder", "reverse_gradient"]


class RankAAE(nn.Module):
    """Encoder, decoder and discriminator of one trial."""

    def __init__(self, points: int, network: Network) -> None:
        super().__init__()
        self.encoder = encoder(points, network)
        self.decoder = decoder(points, network)
        self.discriminator = Discriminator(network)


def encoder(points: int, network: Network) -> nn.Sequential:
    """Spectra (n, points) to latents (n, latent), each latent of mean 0 and variance 1."""
    return nn.Sequential(
        *_hidden(points, network),
        nn.Linear(network.width, network.latent),
        nn.BatchNorm1d(network.latent, affine=False),
    )


def decoder(points: int, network: Network) -> nn.Sequential:
    """Latents (n, latent) to spectra (n, points), never negative."""
    return nn.Sequential(
        *_hidden(network.latent, network),
        nn.Linear(network.width, points),
        nn.Softplus(beta=2),
    )


def _hidden(inputs: int, network: Network) -> list[nn.Module]:
    layers: list[nn.Module] = []
    for i in range(network.depth):
        layers += [
            nn.Linear(inputs if i == 0 else network.width, network.width),
            nn.PReLU(network.width),
            nn.BatchNorm1d(network.width, affine=False),
            nn.Dropout(network.dropout),
        ]
    return layers


class Discriminator(nn.Module):
    """Latents (n, latent) to one logit each (n, 1): drawn from N(0, I), or encoded?"""

    def __init__(self, network: Network) -> None:
        super().__init__()
        self.noise = network.discriminator_noise
        width, dropout = network.width, network.discriminator_dropout
        self.layers = nn.Sequential(
            nn.Linear(network.latent, width),
            nn.PReLU(width),
            nn.Dropout(dropout),
            nn.Linear(width, width),
            nn.PReLU(width),
            nn.Dropout(dropout),
            nn.Linear(width, 1),
        )

    def forward(self, latent: Tensor) -> Tensor:
        """Judge latents (n, latent), blurred by noise while training."""
        if self.training:
            latent = latent + self.noise * torch.randn_like(latent)
        return self.layers(latent)


class _Reverse(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, strength: float) -> Tensor:
        ctx.strength = strength
        return x.view_as(x)

    @staticmethod
    def backward(ctx: Any, *gradients: Any) -> Any:
        return -ctx.strength * gradients[0], None


def reverse_gradient(x: Tensor, strength: float) -> Tensor:
    """Identity whose gradient is multiplied by ``-strength``."""
    return _Reverse.apply(x, strength)  # pyright: ignore[reportReturnType]
