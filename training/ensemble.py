"""Several trained networks as one graph, with every BatchNorm folded away."""

from collections.abc import Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn.functional import softplus

from training.train import Trial

__all__ = ["OPSET", "Ensemble", "Stacked", "stack"]

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
    """

    def __init__(
        self,
        weights: Sequence[Tensor],
        biases: Sequence[Tensor],
        slopes: Sequence[Tensor],
        softplus: float = 0.0,
    ) -> None:
        super().__init__()
        self.weights = nn.ParameterList([nn.Parameter(w, requires_grad=False) for w in weights])
        self.biases = nn.ParameterList([nn.Parameter(b, requires_grad=False) for b in biases])
        self.slopes = nn.ParameterList([nn.Parameter(s, requires_grad=False) for s in slopes])
        self.softplus = softplus

    def forward(self, x: Tensor) -> Tensor:
        """Map (n, inputs) or (m, n, inputs) to (m, n, outputs)."""
        for i, (weight, bias) in enumerate(zip(self.weights, self.biases, strict=True)):
            x = torch.matmul(x, weight) + bias
            if i < len(self.slopes):
                x = _prelu(x, self.slopes[i])
        return softplus(x, beta=self.softplus) if self.softplus else x


def _prelu(x: Tensor, slope: Tensor) -> Tensor:
    """PReLU with a slope a member and unit, which torch's own PReLU does not broadcast.

    ONNX has it as one operator; written out it would be three, and a third of
    the time of one spectrum.
    """
    if torch.onnx.is_in_onnx_export():
        return torch.onnx.ops.symbolic(
            "PRelu", (x, slope), dtype=x.dtype, shape=x.shape, version=OPSET
        )
    return torch.where(x > 0, x, slope * x)


def stack(networks: Sequence[nn.Sequential]) -> Stacked:
    """Fold and stack encoders, or decoders, of equal shape.

    A BatchNorm without affine is ``(x - mean) / sd``. Behind an activation it
    goes into the Linear layer that follows, behind a Linear layer into that one.
    Folded in double precision.
    """
    folded = [_fold(network) for network in networks]
    layers = range(len(folded[0][0]))
    weights = [torch.stack([one[0][i][0].T for one in folded]).float() for i in layers]
    biases = [torch.stack([one[0][i][1][None] for one in folded]).float() for i in layers]
    slopes = [
        torch.stack([one[1][i][None] for one in folded]).float() for i in range(len(folded[0][1]))
    ]
    last = networks[0][-1]
    return Stacked(
        weights, biases, slopes, float(last.beta) if isinstance(last, nn.Softplus) else 0
    )


def _fold(network: nn.Sequential) -> tuple[list[tuple[Tensor, Tensor]], list[Tensor]]:
    """(weight, bias) of every Linear and the slopes of every PReLU, without BatchNorm."""
    linears: list[tuple[Tensor, Tensor]] = []
    slopes: list[Tensor] = []
    scale, offset = None, None  # what the last BatchNorm does to the next Linear's input
    after_linear = False
    for layer in network:
        if isinstance(layer, nn.Linear):
            weight, bias = layer.weight.detach().double(), layer.bias.detach().double()
            if scale is not None and offset is not None:
                bias = bias + weight @ offset
                weight = weight * scale
                scale = offset = None
            linears.append((weight, bias))
            after_linear = True
        elif isinstance(layer, nn.PReLU):
            slopes.append(layer.weight.detach().double())
            after_linear = False
        elif isinstance(layer, nn.BatchNorm1d):
            assert layer.running_mean is not None
            assert layer.running_var is not None
            scale = 1.0 / torch.sqrt(layer.running_var.double() + layer.eps)
            offset = -layer.running_mean.double() * scale
            if after_linear:
                weight, bias = linears[-1]
                linears[-1] = (weight * scale[:, None], bias * scale + offset)
                scale = offset = None
        elif not isinstance(layer, nn.Dropout | nn.Softplus):
            raise TypeError(f"do not know how to fold {type(layer).__name__}")
    return linears, slopes


class Ensemble:
    """The members that were kept, with numpy in and out, as the runtime sees them."""

    def __init__(self, trials: Sequence[Trial]) -> None:
        self.seeds = tuple(trial.seed for trial in trials)
        self.encoder = stack([trial.model.encoder for trial in trials]).eval()
        self.decoder = stack([trial.model.decoder for trial in trials]).eval()

    def encode(self, flat: NDArray[np.floating]) -> NDArray[np.float64]:
        """Spectra (n, g) to latents (m, n, l)."""
        with torch.no_grad():
            return self.encoder(torch.from_numpy(flat.astype(np.float32))).double().numpy()

    def decode(self, latent: NDArray[np.floating]) -> NDArray[np.float64]:
        """Latents (m, n, l) to spectra (m, n, g)."""
        with torch.no_grad():
            return self.decoder(torch.from_numpy(latent.astype(np.float32))).double().numpy()
