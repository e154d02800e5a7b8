"""One spectrum through the encoder: ONNX against the same network in eager torch."""

import time
from collections.abc import Callable

import numpy as np
import pytest

from rankaae_stream.model.card import ModelCard
from rankaae_stream.resources import folder

torch = pytest.importorskip("torch")

AT_LEAST = 8.0


def median_time(call: Callable[[], object], rounds: int = 1000) -> float:
    """Median wall time of a call, s."""
    for _ in range(50):
        call()
    times = np.empty(rounds)
    for i in range(rounds):
        start = time.perf_counter()
        call()
        times[i] = time.perf_counter() - start
    return float(np.median(times))


def test_one_spectrum_is_encoded_at_least_eight_times_faster_than_in_torch(benchmark):
    import onnxruntime

    from training.config import Network
    from training.network.networks import RankAAE

    (path, *_) = sorted(folder("models").glob("fe-k/*/"))
    card = ModelCard.from_bytes((path / "card.json").read_bytes())
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    session = onnxruntime.InferenceSession(
        path / "encoder.onnx", options, providers=["CPUExecutionProvider"]
    )
    network = Network.model_validate(card.raw["training"]["config"]["network"])
    members = [RankAAE(card.grid.points, network).eval().encoder for _ in range(card.members)]

    flat = np.random.default_rng(0).random((1, card.grid.points), dtype=np.float32)
    given = torch.from_numpy(flat)

    def in_torch() -> list[object]:
        with torch.no_grad():
            return [member(given) for member in members]

    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        # Alternated, so that a busy machine slows both.
        ratios = []
        for _ in range(3):
            eager = median_time(in_torch)
            ours = median_time(lambda: session.run(None, {"flat": flat}))
            ratios.append(eager / ours)
    finally:
        torch.set_num_threads(threads)
    benchmark.extra_info["eager torch, µs"] = eager * 1e6
    benchmark.extra_info["ONNX, µs"] = ours * 1e6
    benchmark.extra_info["times faster"] = float(np.median(ratios))
    benchmark(lambda: session.run(None, {"flat": flat}))
    assert np.median(ratios) >= AT_LEAST
