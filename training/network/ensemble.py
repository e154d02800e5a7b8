"""Several trained networks as one graph, with every BatchNorm folded away."""

from collections.abc import Sequence
from itertools import groupby
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn.functional import conv1d, softplus

from training.network.networks import FARTHEST, STRIDE
from training.network.train import Trial, tensor

__all__ = ["OPSET", "Ensemble", "Joined", "Stacked", "StackedCNN", "stack"]

OPSET = 20
"""ONNX operator set of the exported graphs."""


class Stacked(nn.Module):
    """Dense layers of m members, each layer one batched matrix product.

    Parameters
    ----------
    weights : sequence of (m, inputs, outputs) tensors
    biases : sequence of (m, 1, outputs) tensors
    slopes : sequence of (m, 1, outputs) tensors
        PReLU slopes of every layer but the last.
    softplus : float
        Sharpness of a final softplus; 0 for none.
    reach : (m, inputs, inputs) tensor, optional
        What turns inputs into as long ones as their Mahalanobis distance; those beyond
        `FARTHEST` are drawn nearer to 0.
    """

    def __init__(
        self,
        weights: Sequence[Tensor],
        biases: Sequence[Tensor],
        slopes: Sequence[Tensor],
        softplus: float = 0.0,
        reach: Tensor | None = None,
    ) -> None:
        super().__init__()
        self.weights = nn.ParameterList([nn.Parameter(w, requires_grad=False) for w in weights])
        self.biases = nn.ParameterList([nn.Parameter(b, requires_grad=False) for b in biases])
        self.slopes = nn.ParameterList([nn.Parameter(s, requires_grad=False) for s in slopes])
        self.softplus = softplus
        self.reach = None if reach is None else nn.Parameter(reach, requires_grad=False)

    def forward(self, x: Tensor) -> Tensor:
        """Map (n, inputs) or (m, n, inputs) to (m, n, outputs)."""
        if self.reach is not None:
            # A product with ones, not a sum: ONNX Runtime adds the items of a row in an order
            # that depends on where the row stands, and a spectrum's bits must not.
            ones = torch.ones_like(self.reach)
            square = torch.matmul(torch.matmul(x, self.reach).square(), ones)
            x = x * (FARTHEST / square.clamp(min=FARTHEST**2).sqrt())
        for i, (weight, bias) in enumerate(zip(self.weights, self.biases, strict=True)):
            x = torch.matmul(x, weight) + bias
            if i < len(self.slopes):
                x = _prelu(x, self.slopes[i])
        return softplus(x, beta=self.softplus) if self.softplus else x


class StackedCNN(Stacked):
    """Convolutions of m members as groups of one, then the dense layers.

    Parameters
    ----------
    kernels : sequence of (m c, inputs, taps) tensors
        Member by member; all read the one channel of the first layer's input, later
        layers the channels of their own member.
    offsets : sequence of (m c,) tensors
    bends : sequence of (m c, 1) tensors
        PReLU slopes.
    weights, biases, slopes
        See `Stacked`.
    """

    def __init__(
        self,
        kernels: Sequence[Tensor],
        offsets: Sequence[Tensor],
        bends: Sequence[Tensor],
        weights: Sequence[Tensor],
        biases: Sequence[Tensor],
        slopes: Sequence[Tensor],
    ) -> None:
        super().__init__(weights, biases, slopes)
        self.members = len(weights[0])
        self.kernels = nn.ParameterList([nn.Parameter(k, requires_grad=False) for k in kernels])
        self.offsets = nn.ParameterList([nn.Parameter(o, requires_grad=False) for o in offsets])
        self.bends = nn.ParameterList([nn.Parameter(b, requires_grad=False) for b in bends])

    def forward(self, x: Tensor) -> Tensor:
        """Map (n, points) to (m, n, outputs)."""
        x = x[:, None]  # (n, 1, points)
        for i, (kernel, offset) in enumerate(zip(self.kernels, self.offsets, strict=True)):
            x = conv1d(x, kernel, offset, stride=STRIDE, groups=self.members if i else 1)
            x = _prelu(x, self.bends[i])
        x = x.reshape(-1, self.members, self.weights[0].shape[1])  # (n, m, c length)
        return super().forward(x.transpose(0, 1))


class Joined(nn.Module):
    """Members of several shapes: each group of equal ones is stacked.

    Parameters
    ----------
    groups : sequence of Stacked
    counts : sequence of int
        Members of each group.
    """

    def __init__(self, groups: Sequence[Stacked], counts: Sequence[int]) -> None:
        super().__init__()
        self.groups = nn.ModuleList(groups)
        self.counts = list(counts)

    def forward(self, x: Tensor) -> Tensor:
        """Map (n, inputs), or (m, n, inputs) of which each member has its own, as `Stacked`."""
        own: Sequence[Tensor] = (
            torch.split(x, self.counts) if x.ndim == 3 else [x] * len(self.counts)
        )
        return torch.cat([group(one) for group, one in zip(self.groups, own, strict=True)])


def _prelu(x: Tensor, slope: Tensor) -> Tensor:
    """Apply PReLU with a slope a member and unit, which torch's own does not broadcast.

    ONNX has it as one operator; written out it would be three, and a third of
    the time of one spectrum.
    """
    if torch.onnx.is_in_onnx_export():
        return torch.onnx.ops.symbolic(
            "PRelu", (x, slope), dtype=x.dtype, shape=x.shape, version=OPSET
        )
    return torch.where(x > 0, x, slope * x)


def stack(networks: Sequence[nn.Sequential], reach: Tensor | None = None) -> Stacked | Joined:
    """Fold and stack encoders, or decoders; those of equal shape should follow each other.

    `reach` is a decoder's, see `Stacked`: one matrix a member.
    """
    groups = [list(equal) for _, equal in groupby(networks, _shape)]
    parts: Sequence[Tensor | None] = [None] * len(groups)
    if reach is not None:
        parts = torch.split(reach, [len(one) for one in groups])
    stacked = [_stack(equal, part) for equal, part in zip(groups, parts, strict=True)]
    return stacked[0] if len(stacked) == 1 else Joined(stacked, [len(equal) for equal in groups])


def _shape(network: nn.Sequential) -> list[torch.Size]:
    return [parameter.shape for parameter in network.parameters()]


def _stack(networks: Sequence[nn.Sequential], reach: Tensor | None) -> Stacked:
    """Fold and stack networks of equal shape.

    A BatchNorm is ``(x - mean) / sd``, times and plus something where it is affine.
    After an activation it is folded into the next Linear layer, after a
    Linear or a convolution into that one. Folded in double precision.
    """
    folded = [_fold(network) for network in networks]
    layers = list(zip(*(one[0] for one in folded), strict=True))  # by layer, then by member
    bent = list(zip(*(one[1] for one in folded), strict=True))
    first = sum(weight.ndim == 3 for weight, _ in folded[0][0])  # of the dense layers
    weights = [torch.stack([weight.T for weight, _ in one]).float() for one in layers[first:]]
    biases = [torch.stack([bias[None] for _, bias in one]).float() for one in layers[first:]]
    slopes = [torch.stack([slope[None] for slope in one]).float() for one in bent[first:]]
    if first:
        kernels = [torch.cat([kernel for kernel, _ in one]).float() for one in layers[:first]]
        offsets = [torch.cat([offset for _, offset in one]).float() for one in layers[:first]]
        bends = [torch.cat(one)[:, None].float() for one in bent[:first]]
        return StackedCNN(kernels, offsets, bends, weights, biases, slopes)
    last = networks[0][-1]
    if isinstance(last, nn.Softplus):  # a decoder
        return Stacked(weights, biases, slopes, float(last.beta), reach)
    return Stacked(weights, biases, slopes)


def _fold(network: nn.Sequential) -> tuple[list[tuple[Tensor, Tensor]], list[Tensor]]:
    """Return (weight, bias) of every layer and the slopes of every PReLU, without BatchNorm."""
    layers: list[tuple[Tensor, Tensor]] = []
    slopes: list[Tensor] = []
    scale, offset = None, None  # what the last BatchNorm does to the next Linear's input
    after_weights = False
    for layer in network:
        if isinstance(layer, nn.Linear | nn.Conv1d):
            weight = layer.weight.detach().double()
            bias = weight.new_zeros(len(weight)) if layer.bias is None else layer.bias.detach()
            bias = bias.double()
            if scale is not None and offset is not None:
                if isinstance(layer, nn.Conv1d):
                    raise TypeError("cannot fold a BatchNorm into the convolution behind it")
                bias = bias + weight @ offset
                weight = weight * scale
                scale = offset = None
            layers.append((weight, bias))
            after_weights = True
        elif isinstance(layer, nn.PReLU):
            slopes.append(layer.weight.detach().double())
            after_weights = False
        elif isinstance(layer, nn.BatchNorm1d):
            scale, offset = _scale_and_offset(layer)
            if after_weights:
                weight, bias = layers[-1]
                across = scale.reshape(-1, *[1] * (weight.ndim - 1))
                layers[-1] = (weight * across, bias * scale + offset)
                scale = offset = None
        elif not isinstance(layer, nn.Dropout | nn.Softplus | nn.Flatten | nn.Unflatten):
            raise TypeError(f"do not know how to fold {type(layer).__name__}")
    return layers, slopes


def _scale_and_offset(layer: nn.BatchNorm1d) -> tuple[Tensor, Tensor]:
    assert layer.running_mean is not None
    assert layer.running_var is not None
    scale = 1.0 / torch.sqrt(layer.running_var.double() + layer.eps)
    if not layer.affine:
        return scale, -layer.running_mean.double() * scale
    scale = scale * layer.weight.detach().double()
    return scale, layer.bias.detach().double() - layer.running_mean.double() * scale


class Ensemble:
    """The members that were kept, with numpy arrays in and out.

    Parameters
    ----------
    trials : sequence of Trial
    seen : (n, g) array, optional
        Training spectra: no decoder draws what lies farther out than they do. Without them
        it draws whatever it is given.
    """

    def __init__(self, trials: Sequence[Trial], seen: NDArray[np.floating] | None = None) -> None:
        self.members = len(trials)
        self.encoder = stack([trial.model.encoder for trial in trials]).eval()
        reach = None if seen is None else _reach(self.encode(seen))
        self.decoder = stack([trial.model.decoder for trial in trials], reach).eval()

    def encode(self, flat: NDArray[np.floating]) -> NDArray[np.float64]:
        """Encode spectra (n, g) to latents (m, n, l)."""
        with torch.no_grad():
            return self.encoder(torch.from_numpy(flat.astype(np.float32))).double().numpy()

    def decode(self, latent: NDArray[np.floating]) -> NDArray[np.float64]:
        """Decode latents (m, n, l) to spectra (m, n, g)."""
        with torch.no_grad():
            return self.decoder(torch.from_numpy(latent.astype(np.float32))).double().numpy()


def _reach(latent: NDArray[np.float64]) -> Tensor:
    """Return what turns latents into as long ones as their Mahalanobis distance, (m, l, l).

    Parameters
    ----------
    latent : (m, n, l) array
        Their middle is taken as 0, where training puts it.
    """
    together = latent.transpose(0, 2, 1) @ latent / latent.shape[1]
    linalg: Any = np.linalg
    return tensor(linalg.cholesky(linalg.inv(together)))
