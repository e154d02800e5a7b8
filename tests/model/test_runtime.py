"""Where ONNX Runtime computes, and the fix for installations where it cannot."""

import pytest

from rankaae_stream.errors import ModelError
from rankaae_stream.model import runtime
from rankaae_stream.model.runtime import duplicate_runtime, providers


def test_cuda_is_asked_for_only_where_its_libraries_load(monkeypatch):
    both = ["CUDAExecutionProvider", "CPUExecutionProvider"]
    monkeypatch.setattr(runtime.onnxruntime, "get_available_providers", lambda: both)
    monkeypatch.setattr(runtime, "_cuda_loads", lambda: False)
    assert providers("auto") == ["CPUExecutionProvider"]
    with pytest.raises(ModelError, match="device = 'auto'"):
        providers("cuda")
    monkeypatch.setattr(runtime, "_cuda_loads", lambda: True)
    assert providers("auto") == both
    assert providers("cpu") == ["CPUExecutionProvider"]
    monkeypatch.setattr(runtime.onnxruntime, "get_available_providers", lambda: both[1:])
    assert providers("auto") == ["CPUExecutionProvider"]
    with pytest.raises(ModelError, match="onnxruntime-gpu, or set device = 'auto'"):
        providers("cuda")


def test_two_onnxruntime_distributions_are_reported_with_the_fix(monkeypatch):
    monkeypatch.setattr(runtime.importlib.metadata, "version", lambda name: "1.2.3")
    assert "pip uninstall -y onnxruntime" in duplicate_runtime()
