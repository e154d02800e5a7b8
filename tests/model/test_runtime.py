"""Where ONNX Runtime computes, and the fix for installations where it cannot."""

import os
import subprocess
import sys

import pytest

from rankaae_stream.errors import ModelError
from rankaae_stream.model import runtime
from rankaae_stream.model.folder import load_model, newest_models
from rankaae_stream.model.runtime import CPU, CUDA, Device, choose, duplicate_runtime, open_network


@pytest.fixture
def with_cuda(monkeypatch):
    """An onnxruntime with CUDA, whose libraries load as told."""

    def have(*missing, offered=(CUDA, CPU)):
        monkeypatch.setattr(runtime.onnxruntime, "get_available_providers", lambda: list(offered))
        monkeypatch.setattr(runtime, "_loads", lambda name: not name.startswith(missing))

    return have


def test_cuda_is_asked_for_only_where_its_libraries_load(with_cuda):
    with_cuda("libcudnn", "cudnn", "libcuda", "nvcuda")
    assert choose("auto") == Device(cuda=False, why="its driver, cuDNN do not load")
    with pytest.raises(ModelError, match="its driver, cuDNN do not load"):
        choose("cuda")
    with_cuda("none")
    assert choose("auto") == choose("cuda") == Device(cuda=True)
    assert choose("cpu") == Device(cuda=False)
    with_cuda("none", offered=[CPU])
    assert choose("auto") == Device(cuda=False)
    with pytest.raises(ModelError, match="onnxruntime-gpu, or set device = 'auto'"):
        choose("cuda")


class Network:
    """A session that runs where it is told."""

    def __init__(self, provider):
        self.provider = provider

    def get_providers(self):
        return [self.provider]


def test_a_model_tells_where_it_runs_when_cuda_fails_as_it_is_opened_or_later(
    with_cuda, monkeypatch
):
    with_cuda("none")
    network = Network(CUDA)
    monkeypatch.setattr("rankaae_stream.model.networks.open_network", lambda *_: network)
    path, digest = newest_models()["fe-k"]
    model = load_model(path, digest, "cuda")
    assert str(model.device) == "CUDA"
    network.provider = CPU
    assert str(model.device).startswith("CPU (CUDA: it failed")
    assert not load_model(path, digest, "auto").device.cuda
    with pytest.raises(ModelError, match="CUDA does not run"):
        load_model(path, digest, "cuda")


def test_a_gpu_is_asked_for_whole_numbers_of_single_precision(monkeypatch):
    asked = []
    monkeypatch.setattr(
        runtime.onnxruntime,
        "InferenceSession",
        lambda graph, options, providers: asked.append(providers),
    )
    open_network(b"", Device(cuda=True))
    open_network(b"", Device(cuda=False))
    assert asked == [[(CUDA, {"use_tf32": "0"}), CPU], [CPU]]


def test_two_onnxruntime_distributions_are_reported_with_the_fix(monkeypatch):
    monkeypatch.setattr(runtime.importlib.metadata, "version", lambda name: "1.2.3")
    assert "pip uninstall -y onnxruntime" in duplicate_runtime()


@pytest.mark.parametrize("room", ["rankaae_stream.model.runtime", "training"])
def test_onnx_runtime_tells_nobody_what_is_run(tmp_path, room):
    """From 1.29 on it does on Linux, for which it keeps a number of the machine in the home."""
    program = f"import {room}, onnxruntime, os; print(os.environ['ORT_DISABLE_TELEMETRY'])"
    told = ("CI", "GITHUB_ACTIONS", "ORT_DISABLE_TELEMETRY", "XDG_CACHE_HOME")
    env = {key: value for key, value in os.environ.items() if key not in told}
    done = subprocess.run(
        [sys.executable, "-c", program],
        env={**env, "HOME": str(tmp_path)},
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout == "1\n"
    assert not list(tmp_path.rglob("*onnxruntime*"))
