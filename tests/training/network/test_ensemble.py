"""Several networks as one graph compute what each of them computes."""

import numpy as np
import onnxruntime
import pytest
import torch
from torch import nn

from training.config import Network
from training.export.write_model import to_onnx
from training.network.ensemble import Ensemble, Stacked, stack
from training.network.networks import FARTHEST, RankAAE
from training.network.train import Trial

POINTS = 256


def members(network: Network, count: int = 3) -> list[RankAAE]:
    """Networks whose statistics, slopes and affine parameters are not those of the start."""
    torch.manual_seed(0)
    models = [RankAAE(POINTS, network) for _ in range(count)]
    with torch.no_grad():
        for model in models:
            for module in model.modules():
                if isinstance(module, nn.PReLU):
                    module.weight.copy_(0.5 * torch.randn_like(module.weight))
                elif isinstance(module, nn.BatchNorm1d) and module.affine:
                    module.weight.copy_(1.0 + 0.3 * torch.randn_like(module.weight))
                    module.bias.copy_(0.3 * torch.randn_like(module.bias))
            for _ in range(5):
                model.decoder(model.encoder(2.0 * torch.rand(64, POINTS)))
            model.eval()
    return models


NETWORKS = [
    Network(),
    Network(encoder="cnn"),
    Network(encoder="cnn", channels=(5,), free=0),
    Network(encoder="cnn", channels=(4, 6, 8), descriptors=("oxidation_state",), free=0),
    Network(descriptors=("coordination_number",), free=2, depth=1),
]


@pytest.mark.parametrize("network", NETWORKS, ids=str)
def test_a_stack_computes_what_its_members_compute(network):
    models = members(network)
    flat = torch.rand(64, POINTS)
    encoder, decoder = (
        stack([getattr(model, part) for model in models]) for part in ("encoder", "decoder")
    )
    with torch.no_grad():
        latent = encoder(flat)
        assert latent.shape == (3, 64, network.latent)
        output = decoder(latent)
        for m, model in enumerate(models):
            np.testing.assert_allclose(latent[m], model.encoder(flat), atol=1e-5)
            np.testing.assert_allclose(output[m], model.decoder(latent[m]), atol=1e-5)


def test_members_of_other_shapes_stand_in_their_order():
    kinds = Network(), Network(width=48, depth=2), Network(encoder="cnn", decoder_width=64)
    models = [model for kind in kinds for model in members(kind, 2)]
    ensemble = Ensemble([Trial(seed, model) for seed, model in enumerate(models)])
    flat = np.random.default_rng(0).random((20, POINTS), dtype=np.float32)
    latent = ensemble.encode(flat)
    output = ensemble.decode(latent)
    assert ensemble.members == len(latent) == len(output) == 6
    for m, model in enumerate(models):
        with torch.no_grad():
            own = model.encoder(torch.from_numpy(flat))
            np.testing.assert_allclose(latent[m], own, atol=1e-5)
            np.testing.assert_allclose(output[m], model.decoder(own), atol=1e-5)
    content = to_onnx(
        ensemble.decoder, latent.astype(np.float32), "latent", "flat", batch=1
    )  # which proves that ONNX computes the same
    session = onnxruntime.InferenceSession(content, providers=["CPUExecutionProvider"])
    (single,) = session.run(None, {"latent": latent[:, :1].astype(np.float32)})
    np.testing.assert_allclose(single, output[:, :1], atol=1e-5)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("network", "count"), [(NETWORKS[0], 3), (NETWORKS[1], 3), (NETWORKS[2], 1)], ids=str
)
def test_the_graph_computes_what_torch_computes_for_any_number_of_spectra(network, count):
    encoder = stack([model.encoder for model in members(network, count)])
    flat = np.random.default_rng(0).random((1000, POINTS), dtype=np.float32)
    content = to_onnx(encoder, flat, "flat", "latent", batch=0)
    session = onnxruntime.InferenceSession(content, providers=["CPUExecutionProvider"])
    for n in (1, 7, 1000):
        with torch.no_grad():
            wanted = encoder(torch.from_numpy(flat[:n])).numpy()
        (found,) = session.run(None, {"flat": flat[:n]})
        np.testing.assert_allclose(found, wanted, atol=1e-5)


def test_an_ensemble_of_convolutional_encoders_takes_and_gives_numpy():
    models = members(Network(encoder="cnn"), 2)
    ensemble = Ensemble([Trial(seed, model) for seed, model in enumerate(models)])
    flat = np.random.default_rng(0).random((4, POINTS))
    latent = ensemble.encode(flat)
    assert latent.shape == (2, 4, 6)
    assert ensemble.decode(latent).shape == (2, 4, POINTS)
    with torch.no_grad():
        single = models[1].encoder(torch.from_numpy(flat.astype(np.float32)))
    np.testing.assert_allclose(latent[1], single, atol=1e-5)


def test_a_layer_that_cannot_be_folded_is_refused_by_name():
    with pytest.raises(TypeError, match="Tanh"):
        stack([nn.Sequential(nn.Linear(3, 3), nn.Tanh())])
    convolution = nn.Sequential(nn.BatchNorm1d(1), nn.Conv1d(1, 1, 3))
    with pytest.raises(TypeError, match="convolution behind it"):
        stack([convolution])


def test_a_decoder_stays_positive_in_the_stack():
    decoder = stack([model.decoder for model in members(Network())])
    assert isinstance(decoder, Stacked)
    assert float(decoder(3.0 * torch.randn(3, 50, 6)).min()) >= 0.0


def test_a_decoder_draws_nothing_farther_out_than_training_spectra_lie():
    models = members(Network(descriptors=("oxidation_state", "mean_bond_length"), free=0), 2)
    trials = [Trial(seed, model) for seed, model in enumerate(models)]
    seen = np.random.default_rng(0).random((500, POINTS), dtype=np.float32)
    bounded, free = Ensemble(trials, seen), Ensemble(trials)
    latent = bounded.encode(seen)
    z = latent[0]
    inverse = np.linalg.inv(z.T @ z / len(z))
    away = np.sqrt(np.einsum("ni,ij,nj->n", z, inverse, z))
    near = away < FARTHEST
    np.testing.assert_allclose(
        bounded.decode(latent)[0, near], free.decode(latent)[0, near], atol=1e-5
    )
    far = np.repeat(latent[:, :1], 3, axis=1) * np.array([[1.0], [100.0], [1000.0]])
    drawn = bounded.decode(far)
    np.testing.assert_allclose(drawn[:, 1], drawn[:, 2], atol=1e-4)
    # As it draws what lies in the same direction at the bound.
    bound = far[0, 2] * FARTHEST / np.sqrt(far[0, 2] @ inverse @ far[0, 2])
    wanted = free.decode(np.stack([bound[None], bound[None]]))
    np.testing.assert_allclose(drawn[0, 2], wanted[0, 0], atol=1e-4)
    assert np.isfinite(bounded.decode(np.zeros((2, 1, 2)))).all()
