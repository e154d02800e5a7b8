"""Compute the losses of a RankAAE, each a pure function of tensors; lower is better.

Definitions: H. Liang et al., Phys. Rev. Materials 7, 053802 (2023).
"""

import math

import torch
from torch import Tensor, nn
from torch.nn.functional import binary_cross_entropy_with_logits, mse_loss

__all__ = [
    "adversarial_loss",
    "adversarial_strength",
    "linear_loss",
    "mutual_information_loss",
    "rank_loss",
    "reconstruction_loss",
    "smoothness_loss",
]


def rank_loss(latent: Tensor, labels: Tensor, balanced: bool = True) -> Tensor:
    """Return how badly the tied latents order a batch as their descriptors do.

    ``-1 / (K P_k) sum_ij w_ijk sgn(d_ik - d_jk) (z_ik - z_jk)`` over the P_k
    ordered pairs whose labels are both known. Balanced: concordant pairs weigh
    ``opposite / max(same, opposite)``, so that the pull fades once the order is
    right.

    No pair is ever formed. The summand is antisymmetric, so a latent is multiplied
    by twice its row's sum of weighted signs, and both that sum and the number of
    concordant pairs follow from ranks: n log n, not n squared.

    Parameters
    ----------
    latent : (n, k) tensor
    labels : (n, k) tensor
        NaN where unknown.
    balanced : bool

    Returns
    -------
    () tensor

    Examples
    --------
    In the right order the loss is lower than in the wrong one; unbalanced it is minus the
    mean of ``|z_i - z_j|`` over the three pairs, 4 / 3:

    >>> labels = torch.tensor([[2.0], [3.0], [4.0]])
    >>> latent = torch.tensor([[-1.0], [0.0], [1.0]])
    >>> round(float(rank_loss(latent, labels, balanced=False)), 4)
    -1.3333
    >>> round(float(rank_loss(-latent, labels)), 4)
    1.3333
    """
    with torch.no_grad():
        pull, pairs = _pull(latent.T, labels.T, balanced)
        factor = (2.0 * pull / pairs.clamp_min(1.0)).T.to(latent.dtype)  # (n, k)
    return -(factor * latent).sum() / labels.shape[1]


def linear_loss(latent: Tensor, labels: Tensor) -> Tensor:
    """Return what the best line from each latent to its descriptor leaves unexplained, in [0, 1].

    The rank loss fixes an order and leaves the scale free: two valences may lie anywhere, and
    a mixture of both anywhere between them. What is linear in a mixture is the mean, so a
    latent that a line turns into the mean valence has mixtures where they belong.

    Parameters
    ----------
    latent, labels : (n, k) tensors
        Labels are NaN where unknown.

    Returns
    -------
    () tensor
        Mean over the descriptors of ``1 - r``, r Pearson's correlation.

    Examples
    --------
    >>> latent = torch.tensor([[-1.0], [0.0], [1.0]])
    >>> round(float(linear_loss(latent, 2.0 + 3.0 * latent)), 4)
    0.0
    """
    if not labels.shape[1]:
        return latent.new_zeros(())
    known = (~torch.isnan(labels)).to(latent.dtype)
    count = known.sum(0).clamp_min(1.0)
    label = torch.nan_to_num(labels).to(latent.dtype)
    z = (latent - (latent * known).sum(0) / count) * known
    d = (label - (label * known).sum(0) / count) * known
    size = ((z * z).sum(0) * (d * d).sum(0)).sqrt()
    return (1.0 - (z * d).sum(0) / size.clamp_min(1e-6)).mean()


def reconstruction_loss(output: Tensor, target: Tensor, weight: Tensor) -> Tensor:
    """Return the squared error where `weight` is 1, each spectrum counting the same.

    The original leaves the height free between 0.7 and 1.3, at a small price.
    There the network gains by shrinking what it cannot explain: its curves were
    15 % too low. Here height is augmented in the input and the target keeps its
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
    """Return the cross entropy of normal draws (label 1) against latents (label 0), both (n, l).

    The encoder is trained against it through a reversed gradient of `latent`.
    """
    judged = discriminator(torch.cat([normal, latent]))
    truth = torch.zeros_like(judged)
    truth[: len(normal)] = 1.0
    # Both halves are as long, so their means add up to twice the mean of all.
    return 2.0 * binary_cross_entropy_with_logits(judged, truth)


def adversarial_strength(progress: float) -> float:
    """Return the strength of the reversed gradient after a fraction `progress` of the epochs."""
    return 0.7172 * (2.0 / (1.0 + math.exp(-1e4 / 739.0 * progress)) - 1.0)


def mutual_information_loss(encoder: nn.Module, decoder: nn.Module, normal: Tensor) -> Tensor:
    """Return the squared error of normal draws (n, l) after decoder and encoder."""
    return mse_loss(encoder(decoder(normal)), normal)


def smoothness_loss(output: Tensor, sigma: float = 3.0, taps: int = 17) -> Tensor:
    """Return the squared difference between spectra (n, g) and the same after a Gaussian filter.

    `sigma` and `taps` are in grid points; the ends are left out. Filter and
    difference are one band matrix: a product with it takes a fraction of
    the time of a convolution of one channel.
    """
    offsets = torch.arange(taps, dtype=output.dtype, device=output.device) - taps // 2
    kernel = torch.exp(-0.5 * (offsets / sigma) ** 2)
    difference = torch.where(offsets == 0, 1.0, 0.0) - kernel / kernel.sum()
    inner = output.shape[1] - taps + 1
    first = torch.arange(inner, device=output.device)[:, None]
    columns = first + torch.arange(taps, device=output.device)
    band = output.new_zeros(inner, output.shape[1])
    band.scatter_(1, columns, difference.expand(inner, taps))
    return (output @ band.T).square().mean()


def _pull(latent: Tensor, labels: Tensor, balanced: bool) -> tuple[Tensor, Tensor]:
    """Return the sum of weighted signs over each row's pairs, and the number of ordered pairs.

    Among pairs without ties a concordant one has ``sgn(d) = sgn(z)``, and a row's
    sum of its signs is ``p + q - (m - 1)``, with p and q the row's ranks in label
    and latent and m the number of rows. Ties are ordered so that every tied pair is
    discordant, and never enters that sum.

    Parameters
    ----------
    latent, labels : (k, n) tensors
        NaN where a label is unknown.
    balanced : bool

    Returns
    -------
    pull : (k, n) tensor
        0 where the label is unknown.
    pairs : (k, 1) tensor
        i and j in either order.
    """
    known = ~torch.isnan(labels)
    # Unknown rows come last in both orders, where no known row's rank feels them.
    label = torch.where(known, labels, torch.inf)
    latent = torch.where(known, latent, torch.inf)
    count = known.sum(1, keepdim=True)  # (k, 1)
    pairs = (count * (count - 1)).double()

    # Label up; ties by latent down.
    order = latent.argsort(dim=1, stable=True).flip(1)
    label, found = label.gather(1, order).sort(dim=1, stable=True)
    order = order.gather(1, found)  # (k, n) the row at each label rank
    below, upto = torch.searchsorted(label, label), torch.searchsorted(label, label, right=True)
    signs = below + upto - count  # rows below minus rows above
    if balanced:
        # Latent up; ties by label down.
        latent, found = latent.gather(1, order).flip(1).sort(dim=1, stable=True)
        label_rank = label.shape[1] - 1 - found  # (k, n) at each latent rank
        latent_rank = _inverse(label_rank)  # at each label rank
        agreeing = latent_rank + torch.arange(label.shape[1], device=label.device) - (count - 1)

        unknown = _pairs(label.shape[1] - count)  # all tied, so all counted as inversions
        same = pairs / 2.0 - (_inversions(label_rank) - unknown)
        tied_label = _tied(label) - unknown
        tied_latent_only = _tied(latent) - _tied(latent, label.gather(1, label_rank))
        opposite = pairs / 2.0 - same - tied_label - tied_latent_only
        ratio = opposite / torch.maximum(same, opposite).clamp_min(1.0)
        signs = signs - (1.0 - ratio) * agreeing
    pull = torch.zeros_like(signs).scatter_(1, order, signs)
    return torch.where(known, pull, torch.zeros_like(pull)), pairs


def _inversions(ranks: Tensor) -> Tensor:
    """Count pairs i < j with ``ranks[i] > ranks[j]`` in each of k permutations (k, n).

    Positions and ranks are cut into blocks of about sqrt(n). Pairs within one block
    are compared one by one; of two blocks in both, only the counts matter.

    Returns
    -------
    (k, 1) tensor
    """
    k, n = ranks.shape
    width = math.isqrt(n - 1) + 1 if n else 1
    blocks = -(-n // width)
    # What fills the last block is in order, and adds nothing.
    rest = torch.arange(n, blocks * width, device=ranks.device).expand(k, -1)
    ranks = torch.cat([ranks, rest], dim=1)
    position = _inverse(ranks)
    upper = torch.ones(width, width, device=ranks.device).triu(1)

    def within(values: Tensor) -> Tensor:
        values = values.view(k, blocks, width).float()
        falling = values[..., :, None] > values[..., None, :]
        return (falling * upper).sum((1, 2, 3)).double()

    cells = torch.arange(blocks * width, device=ranks.device) // width * blocks + ranks // width
    table = _count(cells, blocks * blocks).view(k, blocks, blocks)
    later = torch.ones_like(table[0]).triu(1)
    apart = (table * (later @ table @ later)).sum((1, 2))
    # Within a block of ranks, but not again within one of positions.
    return (within(ranks) + within(position // width) + apart)[:, None]


def _tied(*sorted_: Tensor) -> Tensor:
    """Count pairs (k, 1) of equal neighbours, in all of several (k, n) at once."""
    new = torch.stack([values[:, 1:] != values[:, :-1] for values in sorted_]).any(0)
    run = torch.nn.functional.pad(new, (1, 0)).cumsum(1)
    return _pairs(_count(run, run.shape[1])).sum(1, keepdim=True)


def _pairs(count: Tensor) -> Tensor:
    return (count * (count - 1)).double() / 2.0


def _count(values: Tensor, size: int) -> Tensor:
    """Count how often each of 0 ... size - 1 occurs in each row of integers (k, n)."""
    counts = torch.zeros(len(values), size, dtype=torch.float64, device=values.device)
    return counts.scatter_add_(1, values, torch.ones_like(values, dtype=torch.float64))


def _inverse(permutation: Tensor) -> Tensor:
    index = torch.arange(permutation.shape[1], device=permutation.device)
    return torch.empty_like(permutation).scatter_(1, permutation, index.expand_as(permutation))
