"""Define the three networks of a RankAAE; the encoder is fully connected or convolutional.

H. Liang et al., Phys. Rev. Materials 7, 053802 (2023).
"""

from typing import Any, cast

import torch
from torch import Tensor, nn
from torch.nn.utils.parametrize import register_parametrization

from rankaae_stream.errors import ConfigurationError
from training.config import Network

__all__ = ["FARTHEST", "Discriminator", "RankAAE", "decoder", "encoder", "reverse_gradient"]

KERNEL = 5
"""Points that one convolution looks at."""

STRIDE = 2
"""Steps between its outputs."""

FARTHEST = 3.5
"""Latents beyond are drawn as if they lay here: nothing has taught a decoder what lies further
out, and its curves are ragged there. As a Mahalanobis distance to the latents of the training
spectra, of which it is the outermost twentieth: where two latents go together, one alone gets
far with little."""

BLUR = 2.0
"""Standard deviation of the decoder's blur, grid points: about half an eV."""


class RankAAE(nn.Module):
    """Encoder, decoder and discriminator of one trial."""

    def __init__(self, points: int, network: Network) -> None:
        super().__init__()
        self.encoder = encoder(points, network)
        self.decoder = decoder(points, network)
        self.discriminator = Discriminator(network)


def encoder(points: int, network: Network) -> nn.Sequential:
    """Build the encoder: spectra (n, points) to latents (n, latent) of mean 0 and variance 1."""
    if network.encoder == "cnn":
        hidden, inputs = _convolutions(points, network)
    else:
        hidden = _hidden(points, network.width, network.depth, network.dropout)
        inputs = network.width
    return nn.Sequential(
        *hidden,
        nn.Linear(inputs, network.latent),
        nn.BatchNorm1d(network.latent, affine=False),
    )


def decoder(points: int, network: Network) -> nn.Sequential:
    """Build the decoder: latents (n, latent) to spectra (n, points), never negative."""
    width = network.decoder_width
    last = nn.Linear(width, points)
    # The weight and the bias that are trained lie behind the blur; whoever reads `weight` and
    # `bias`, the export too, gets them blurred.
    blur = _Blur(points)
    register_parametrization(last, "weight", blur)
    register_parametrization(last, "bias", blur)
    hidden = _hidden(network.latent, width, network.decoder_depth, network.dropout)
    return nn.Sequential(*hidden, last, nn.Softplus(beta=2))


class _Blur(nn.Module):
    """Blur along energy, so that no curve can be sharper than the spectra it is to draw.

    Every training spectrum is broadened by 0.3 eV or more. Without the blur a decoder of free
    points was visibly jagged.
    """

    kernel: Tensor

    def __init__(self, points: int, sigma: float = BLUR) -> None:
        super().__init__()
        apart = torch.arange(points, dtype=torch.get_default_dtype())
        kernel = torch.exp(-0.5 * ((apart[:, None] - apart) / sigma) ** 2)
        self.register_buffer("kernel", kernel / kernel.sum(1, keepdim=True), persistent=False)

    def forward(self, weight: Tensor) -> Tensor:
        """Blur the first axis of (points, ...)."""
        return self.kernel @ weight


def _hidden(inputs: int, width: int, depth: int, dropout: float) -> list[nn.Module]:
    layers: list[nn.Module] = []
    for i in range(depth):
        layers += [
            nn.Linear(inputs if i == 0 else width, width),
            PReLU(width),
            nn.BatchNorm1d(width, affine=False),
            Dropout(dropout),
        ]
    return layers


def _convolutions(points: int, network: Network) -> tuple[list[nn.Module], int]:
    """Build strided convolutions; return them and the number of features they end in.

    Nothing is padded: zeros beyond the grid would make an edge that no spectrum has.
    """
    layers: list[nn.Module] = [nn.Unflatten(1, (1, points))]
    length, inputs = points, 1
    for outputs in network.channels:
        length = (length - KERNEL) // STRIDE + 1
        if length < 1:
            raise ConfigurationError(
                f"network.channels has {len(network.channels)} layers, too many for {points} grid "
                "points; leave some out, or raise grid.points"
            )
        layers += [
            nn.Conv1d(inputs, outputs, KERNEL, STRIDE, bias=False),
            nn.BatchNorm1d(outputs),
            PReLU(outputs),
            Dropout(network.dropout),
        ]
        inputs = outputs
    return [*layers, nn.Flatten()], inputs * length


class Discriminator(nn.Module):
    """Latents (n, latent) to one logit each (n, 1): drawn from N(0, I), or encoded?"""

    def __init__(self, network: Network) -> None:
        super().__init__()
        self.noise = network.discriminator_noise
        width, dropout = network.width, network.discriminator_dropout
        self.layers = nn.Sequential(
            nn.Linear(network.latent, width),
            PReLU(width),
            Dropout(dropout),
            nn.Linear(width, width),
            PReLU(width),
            Dropout(dropout),
            nn.Linear(width, 1),
        )

    def forward(self, latent: Tensor) -> Tensor:
        """Judge latents (n, latent), blurred by noise while training."""
        if self.training:
            latent = latent + self.noise * torch.randn_like(latent)
        return self.layers(latent)


class PReLU(nn.PReLU):
    """torch's, with a gradient that is cheaper on a CPU; axis 1 holds the units.

    With torch's own an epoch takes 5 to 11 % longer and is 14.1 to 14.9 times as fast as the
    original, where the benchmark promises 15 (with this 15.1 to 16.4).
    """

    def forward(self, x: Tensor) -> Tensor:  # pyright: ignore[reportIncompatibleMethodOverride]
        """Multiply what is negative by its unit's slope."""
        if x.is_cuda or not self.training:
            return super().forward(x)
        above = x.relu()
        return above + self.weight.view(-1, *[1] * (x.ndim - 2)) * (x - above)


class Dropout(nn.Dropout):
    """torch's, with cheaper random numbers on a CPU: four a draw, and no comparison.

    The share of zeros is `p` to within 1 / 65536.
    """

    def forward(self, x: Tensor) -> Tensor:  # pyright: ignore[reportIncompatibleMethodOverride]
        """Zero a random share of `x` while training, and scale up the rest."""
        if x.is_cuda or not self.training or not 0.0 < self.p < 1.0:
            return super().forward(x)
        with torch.no_grad():
            draws = torch.empty((x.numel() + 3) // 4, dtype=torch.int64)
            sixteen = draws.random_(-(2**63), None).view(torch.int16)[: x.numel()].view(x.shape)
            # From -32768 + 65536 p on, a number keeps its unit.
            keep = sixteen.to(x.dtype).add_(32769 - round(65536 * self.p)).clamp_(0.0, 1.0)
            keep.mul_(1.0 / (1.0 - self.p))
        return x * keep


class _Reverse(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, strength: float) -> Tensor:
        ctx.strength = strength
        return x.view_as(x)

    @staticmethod
    def backward(ctx: Any, *gradients: Any) -> Any:
        return -ctx.strength * gradients[0], None


def reverse_gradient(x: Tensor, strength: float) -> Tensor:
    """Return `x`; its gradient is multiplied by ``-strength``."""
    return cast("Any", _Reverse).apply(x, strength)
