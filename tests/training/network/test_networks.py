"""The networks have the shape that the configuration says, and train."""

import pytest
import torch

from rankaae_stream.errors import ConfigurationError
from training.config import Network
from training.descriptors import DESCRIPTORS
from training.network import train
from training.network.networks import Dropout, PReLU, RankAAE

NAMES = tuple(DESCRIPTORS)


@pytest.mark.parametrize("encoder", ["fc", "cnn"])
@pytest.mark.parametrize("free", [0, 1, 2])
@pytest.mark.parametrize("descriptors", [NAMES[2:3], NAMES[:2], NAMES[:6]])
def test_any_descriptors_and_any_free_dimensions_train(descriptors, free, encoder):
    torch.manual_seed(0)
    network = Network(descriptors=descriptors, free=free, encoder=encoder, width=16, depth=2)
    model = RankAAE(128, network).train()
    assert network.latent == len(descriptors) + free
    flat, labels = torch.rand(32, 128), torch.rand(32, len(descriptors))
    assert model.encoder(flat).shape == (32, network.latent)
    assert model.decoder(torch.randn(32, network.latent)).shape == (32, 128)
    terms = train._losses(model, flat, flat, torch.ones_like(flat), labels, 0.5)
    torch.stack(list(terms.values())).sum().backward()
    for name, weight in model.named_parameters():
        assert weight.grad is not None, name
        assert bool(torch.isfinite(weight.grad).all()), name
        assert bool((weight.grad != 0.0).any()), name


@pytest.mark.parametrize("encoder", ["fc", "cnn"])
def test_latents_have_mean_0_and_variance_1_in_training(encoder):
    torch.manual_seed(0)
    latent = RankAAE(256, Network(encoder=encoder)).train().encoder(torch.rand(64, 256))
    assert float(latent.mean(0).abs().max().detach()) < 1e-5
    assert float((latent.var(0, unbiased=False) - 1.0).abs().max().detach()) < 1e-2


@pytest.mark.parametrize("encoder", ["fc", "cnn"])
def test_settled_latents_of_spectra_have_mean_0_and_variance_1_whatever_training_left(encoder):
    torch.manual_seed(0)
    model = RankAAE(96, Network(encoder=encoder, width=32, depth=2, dropout=0.2)).train()
    for _ in range(20):  # what the mutual information does: spectra nobody measured
        model.encoder(5.0 * torch.rand(64, 96))
    flat = torch.rand(8, 64, 96)
    train.settle(model, lambda flat: model.decoder(model.encoder(flat)), iter(flat))
    with torch.no_grad():
        latent = model.eval().encoder(flat.flatten(0, 1))
    assert float(latent.mean(0).abs().max()) < 0.1
    assert float((latent.var(0) - 1.0).abs().max()) < 0.2
    assert not any(module.training for module in model.modules())


@pytest.mark.slow
@pytest.mark.parametrize("encoder", ["fc", "cnn"])
def test_an_encoder_learns_the_order_of_an_edge_position(encoder):
    torch.manual_seed(0)
    network = Network(descriptors=NAMES[:1], free=1, encoder=encoder, width=32, depth=2)
    model = RankAAE(96, network).train()
    optimizer = torch.optim.AdamW(model.parameters(), 1e-2)
    position = torch.linspace(20.0, 60.0, 128)[torch.randperm(128)][:, None]
    flat = torch.sigmoid(torch.arange(96.0) - position)
    for _ in range(40):
        terms = train._losses(model, flat, flat, torch.ones_like(flat), position, 0.1)
        optimizer.zero_grad()
        torch.stack(list(terms.values())).sum().backward()
        optimizer.step()
    with torch.no_grad():
        latent = model.eval().encoder(flat)[:, :1]
    both = torch.cat([latent, position], dim=1).argsort(dim=0).argsort(dim=0).T.double()
    assert float(torch.corrcoef(both)[0, 1]) > 0.95


def test_more_convolutions_than_the_grid_has_points_for_is_an_error_that_names_the_fix():
    with pytest.raises(ConfigurationError, match="6 layers, too many for 64 grid points"):
        RankAAE(64, Network(encoder="cnn", channels=(8,) * 6))


@pytest.mark.parametrize("shape", [(50, 7), (50, 7, 9)])
def test_prelu_is_torchs_in_value_and_gradient(shape):
    torch.manual_seed(0)
    ours, theirs = PReLU(7), torch.nn.PReLU(7)
    with torch.no_grad():
        theirs.weight.copy_(torch.randn(7))
    ours.load_state_dict(theirs.state_dict())
    x, upstream = torch.randn(shape, requires_grad=True), torch.randn(shape)
    found = torch.autograd.grad(ours(x), (x, ours.weight), upstream)
    wanted = torch.autograd.grad(theirs(x), (x, theirs.weight), upstream)
    torch.testing.assert_close(ours(x), theirs(x))
    torch.testing.assert_close(found, wanted, rtol=1e-4, atol=1e-5)


def test_dropout_zeroes_the_stated_share_and_keeps_the_mean():
    torch.manual_seed(0)
    dropout = Dropout(0.04)
    x = torch.ones(999, 1001, requires_grad=True)
    found = dropout(x)
    (gradient,) = torch.autograd.grad(found.sum(), x)
    torch.testing.assert_close(gradient, found)
    assert float((found == 0.0).double().mean()) == pytest.approx(0.04, abs=0.001)
    assert float(found.detach().double().mean()) == pytest.approx(1.0, abs=0.001)
    assert len(found.unique()) == 2
    # No row, column or neighbour knows of another.
    zeros = (found == 0.0).double() - 0.04
    assert float((zeros[:, 1:] * zeros[:, :-1]).mean()) == pytest.approx(0.0, abs=2e-4)
    assert float(zeros.mean(0).std()) == pytest.approx((0.04 * 0.96 / 999) ** 0.5, rel=0.1)


def test_dropout_follows_the_seed_and_rests_in_evaluation():
    dropout, x = Dropout(0.5), torch.ones(30, 30)
    torch.manual_seed(1)
    one = dropout(x)
    torch.manual_seed(1)
    assert torch.equal(one, dropout(x))
    assert not torch.equal(one, dropout(x))
    assert torch.equal(dropout.eval()(x), x)
