"""Each loss against its definition."""

import numpy as np
import pytest
import torch
from torch import Tensor

from training.config import Network
from training.network import losses, train
from training.network.networks import Discriminator, RankAAE, reverse_gradient

NETWORK = Network(descriptors=("oxidation_state", "coordination_number"), width=8, depth=1)


def pairwise_rank_loss(latent: Tensor, labels: Tensor, balanced: bool) -> Tensor:
    """The definition, one ordered pair after the other."""
    total = 0.0 * latent.sum()
    n, tied = labels.shape
    for k in range(tied):
        terms, agreements = [], []
        for i in range(n):
            for j in range(n):
                if i == j or torch.isnan(labels[i, k]) or torch.isnan(labels[j, k]):
                    continue
                sign = torch.sign(labels[i, k] - labels[j, k])
                difference = latent[i, k] - latent[j, k]
                terms.append(sign * difference)
                agreements.append(float(sign * torch.sign(difference.detach())))
        same = sum(a > 0 for a in agreements)
        opposite = sum(a < 0 for a in agreements)
        ratio = opposite / max(same, opposite, 1) if balanced else 1.0
        weights = [ratio if a > 0 else 1.0 for a in agreements]
        if terms:
            total = total + sum(w * t for w, t in zip(weights, terms, strict=True)) / len(terms)
    return -total / tied


@pytest.mark.parametrize("balanced", [True, False])
@pytest.mark.parametrize("seed", range(3))
def test_rank_loss_is_its_pairwise_definition_in_value_and_gradient(balanced, seed):
    generator = torch.Generator().manual_seed(seed)
    latent = torch.randn(17, 3, generator=generator, dtype=torch.float64, requires_grad=True)
    labels = torch.randint(2, 5, (17, 3), generator=generator).double()
    labels[torch.rand(17, 3, generator=generator) < 0.2] = torch.nan
    ours = losses.rank_loss(latent, labels, balanced)
    (our_gradient,) = torch.autograd.grad(ours, latent)
    theirs = pairwise_rank_loss(latent, labels, balanced)
    (their_gradient,) = torch.autograd.grad(theirs, latent)
    assert float(ours.detach()) == pytest.approx(float(theirs.detach()), abs=1e-6)
    np.testing.assert_allclose(our_gradient, their_gradient, atol=1e-6)


@pytest.mark.parametrize("balanced", [True, False])
@pytest.mark.parametrize("levels", [1, 2, 40])
@pytest.mark.parametrize("n", [1, 2, 3, 16, 26])
def test_rank_loss_holds_for_tied_labels_tied_latents_and_any_size(n, levels, balanced):
    generator = torch.Generator().manual_seed(n)
    latent = torch.randint(-2, 3, (n, 2), generator=generator).double().requires_grad_()
    labels = torch.randint(0, levels, (n, 2), generator=generator).double()
    labels[n // 2 :: 5, 0] = torch.nan
    ours = losses.rank_loss(latent, labels, balanced)
    (our_gradient,) = torch.autograd.grad(ours, latent)
    theirs = pairwise_rank_loss(latent, labels, balanced)
    (their_gradient,) = torch.autograd.grad(theirs, latent)
    assert float(ours.detach()) == pytest.approx(float(theirs.detach()), abs=1e-6)
    np.testing.assert_allclose(our_gradient, their_gradient, atol=1e-6)


def test_a_masked_label_changes_nothing_for_the_other_rows():
    latent = torch.tensor([[0.3], [1.0], [-2.0], [5.0]])
    labels = torch.tensor([[2.0], [3.0], [4.0], [float("nan")]])
    assert losses.rank_loss(latent, labels) == losses.rank_loss(latent[:3], labels[:3])


def test_a_descriptor_without_any_label_gives_no_loss_and_no_gradient():
    latent = torch.randn(5, 1, requires_grad=True)
    loss = losses.rank_loss(latent, torch.full((5, 1), float("nan")))
    loss.backward()
    assert float(loss.detach()) == 0.0
    assert latent.grad is not None
    assert float(latent.grad.abs().max()) == 0.0


def test_the_balanced_pull_fades_once_the_order_is_right():
    latent = torch.arange(6.0)[:, None].requires_grad_()
    losses.rank_loss(latent, torch.arange(6.0)[:, None]).backward()
    assert latent.grad is not None
    assert float(latent.grad.abs().max()) == 0.0


def test_reconstruction_is_its_definition_spectrum_by_spectrum():
    output, target = torch.rand(5, 40), torch.rand(5, 40)
    weight = (torch.rand(5, 40) < 0.7).float()
    weight[4] = 0.0
    total = 0.0
    for i in range(5):
        terms = [float((output[i, j] - target[i, j]) ** 2) for j in range(40) if weight[i, j]]
        total += sum(terms) / max(len(terms), 1) / 5
    assert float(losses.reconstruction_loss(output, target, weight)) == pytest.approx(total)


def test_the_tail_is_what_reconstruction_leaves_out():
    torch.manual_seed(0)
    model = RankAAE(40, NETWORK).eval()
    flat, target = torch.rand(6, 40), torch.rand(6, 40)
    weight = torch.ones(6, 40)
    weight[:, :9] = 0.0
    with torch.no_grad():
        terms = train._losses(model, flat, target, weight, torch.ones(6, 2), 0.5)
        squared = (model.decoder(model.encoder(flat)) - target) ** 2
    assert float(terms["tail"]) == pytest.approx(float(squared[:, :9].mean()))
    assert float(terms["reconstruction"]) == pytest.approx(float(squared[:, 9:].mean()))


def test_reconstruction_is_the_mean_square_over_spectra_of_unequal_reach():
    target = torch.zeros(2, 10)
    weight = torch.ones_like(target)
    weight[1, :8] = 0.0
    output = torch.stack([torch.full((10,), 0.1), torch.full((10,), 0.3)])
    assert float(losses.reconstruction_loss(output, target, weight)) == pytest.approx(0.05)


def test_reconstruction_counts_only_where_simulation_exists():
    target = torch.rand(4, 30)
    weight = torch.ones_like(target)
    weight[:, :10] = 0.0
    wrong_below = target.clone()
    wrong_below[:, :10] += 7.0
    assert float(losses.reconstruction_loss(wrong_below, target, weight)) == 0.0


def test_a_blind_discriminator_loses_one_bit_on_each_side():
    class Blind(torch.nn.Module):
        def forward(self, latent: Tensor) -> Tensor:
            return 0.0 * latent[:, :1]

    loss = losses.adversarial_loss(Blind(), torch.randn(9, 4), torch.randn(9, 4))
    assert float(loss) == pytest.approx(2 * np.log(2), abs=1e-6)


def test_adversarial_loss_is_the_cross_entropy_of_both_sides():
    torch.manual_seed(0)
    discriminator = Discriminator(Network()).eval()
    normal, latent = torch.randn(7, 6), 2.0 * torch.randn(7, 6)
    with torch.no_grad():
        loss = losses.adversarial_loss(discriminator, latent, normal)
        total = 0.0
        for row in normal:
            total -= np.log(1.0 / (1.0 + np.exp(-float(discriminator(row[None]))))) / 7
        for row in latent:
            total -= np.log(1.0 - 1.0 / (1.0 + np.exp(-float(discriminator(row[None]))))) / 7
    assert float(loss) == pytest.approx(total, rel=1e-5)


def test_the_reversed_gradient_points_the_other_way():
    latent = torch.randn(8, 6, requires_grad=True)
    discriminator = Discriminator(Network()).eval()
    normal = torch.randn(8, 6)
    (plain,) = torch.autograd.grad(
        losses.adversarial_loss(discriminator, latent, normal), latent, retain_graph=True
    )
    (reversed_,) = torch.autograd.grad(
        losses.adversarial_loss(discriminator, reverse_gradient(latent, 0.5), normal), latent
    )
    np.testing.assert_allclose(reversed_, -0.5 * plain, atol=1e-7)


def test_adversarial_strength_rises_from_nothing():
    strengths = [losses.adversarial_strength(t) for t in (0.0, 0.1, 0.5, 1.0)]
    assert strengths[0] == 0.0
    assert strengths == sorted(strengths)
    assert strengths[-1] == pytest.approx(0.7172, abs=1e-4)


def test_mutual_information_is_zero_for_an_exact_inverse():
    identity = torch.nn.Identity()
    assert float(losses.mutual_information_loss(identity, identity, torch.randn(5, 3))) == 0.0


def test_mutual_information_is_the_mean_square_of_what_comes_back():
    encoder, decoder = torch.nn.Linear(8, 3), torch.nn.Linear(3, 8)
    normal = torch.randn(5, 3)
    with torch.no_grad():
        loss = losses.mutual_information_loss(encoder, decoder, normal)
        back = encoder(decoder(normal))
    total = sum(float((back[i, j] - normal[i, j]) ** 2) for i in range(5) for j in range(3))
    assert float(loss) == pytest.approx(total / 15)


def test_smoothness_is_the_difference_from_a_gaussian_mean_at_every_inner_point():
    output = torch.rand(3, 30, dtype=torch.float64)
    weights = [np.exp(-0.5 * (t / 2.0) ** 2) for t in range(-3, 4)]
    total = 0.0
    for row in output:
        for j in range(3, 27):
            mean = sum(w * float(row[j + t - 3]) for t, w in enumerate(weights)) / sum(weights)
            total += (float(row[j]) - mean) ** 2 / (3 * 24)
    found = losses.smoothness_loss(output, sigma=2.0, taps=7)
    assert float(found) == pytest.approx(total, rel=1e-9)


def test_a_straight_line_is_smooth_and_a_zigzag_is_not():
    line = torch.linspace(0.0, 1.0, 64)[None]
    zigzag = line + 0.1 * (-1.0) ** torch.arange(64)
    assert float(losses.smoothness_loss(line)) == pytest.approx(0.0, abs=1e-10)
    assert float(losses.smoothness_loss(zigzag)) == pytest.approx(0.01, rel=0.05)


def semi_supervised(unlabelled: Tensor) -> tuple[dict[str, Tensor], Tensor]:
    """All losses of ten labelled spectra and the given others, and the latents of all."""
    torch.manual_seed(0)
    model = RankAAE(40, NETWORK).eval()  # no noise: what changes comes from the spectra
    labelled = torch.rand(10, 40)
    flat = torch.cat([labelled, unlabelled])
    labels = torch.full((len(flat), 2), torch.nan)
    labels[:10] = torch.randint(2, 5, (10, 2)).float()
    weight = torch.ones_like(flat)
    weight[:, :9] = 0.0
    latents: list[Tensor] = []
    with model.encoder.register_forward_hook(lambda *call: latents.append(call[2])):
        terms = train._losses(model, flat, flat, weight, labels, 0.5, (0, 1))
    return terms, latents[0]


ORDER = ("rank", "linear")
"""Losses of the labels."""


def test_an_unlabelled_spectrum_takes_part_in_every_loss_but_the_rank_loss():
    terms, latent = semi_supervised(torch.rand(4, 40))
    for name, value in terms.items():
        (gradient,) = torch.autograd.grad(value, latent, retain_graph=True, allow_unused=True)
        if name == "mutual_information":
            # Of draws, as many as there are spectra of either kind; it sees no spectrum.
            assert gradient is None
            continue
        assert gradient is not None
        assert bool((gradient[:10] != 0.0).any()), name
        assert bool((gradient[10:] != 0.0).any(1).all()) == (name not in ORDER), name
        if name in ORDER:
            assert float(gradient[10:].abs().max()) == 0.0


def test_another_unlabelled_spectrum_changes_every_loss_but_the_rank_loss():
    few, _ = semi_supervised(torch.rand(3, 40))
    more, _ = semi_supervised(torch.rand(4, 40))
    for name, value in few.items():
        same = float(value.detach()) == pytest.approx(float(more[name].detach()), abs=1e-9)
        assert same == (name in ORDER), name
