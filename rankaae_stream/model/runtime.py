"""Choose where ONNX Runtime computes, and notice installations that break it."""

import ctypes
import importlib.metadata

import onnxruntime

from rankaae_stream.errors import ModelError

__all__ = ["duplicate_runtime", "providers"]

_CUDA_LIBRARIES = (
    ("libcuda.so.1", "nvcuda.dll"),
    ("libcublasLt.so.13", "libcublasLt.so.12", "cublasLt64_13.dll", "cublasLt64_12.dll"),
    ("libcudnn.so.9", "cudnn64_9.dll"),
)
"""The driver, cuBLAS and cuDNN: one file of each has to load."""


def duplicate_runtime() -> str | None:
    """Return what to do where both onnxruntime distributions are installed, else None.

    They unpack into the same folder, so the last one installed silently wins.
    """
    found: dict[str, str] = {}
    for name in ("onnxruntime", "onnxruntime-gpu"):
        try:
            found[name] = importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            continue
    if len(found) < 2:
        return None
    both = " and ".join(f"{name} {version}" for name, version in found.items())
    return (
        f"{both} are installed and overwrite each other; fix: pip uninstall -y onnxruntime "
        "onnxruntime-gpu && pip install --force-reinstall onnxruntime-gpu"
    )


def providers(device: str = "auto") -> list[str]:
    """Return the execution providers to ask ONNX Runtime for.

    CUDA is asked for only where its libraries load: otherwise ONNX Runtime
    prints an error on every machine without a GPU.

    Parameters
    ----------
    device : {"auto", "cpu", "cuda"}

    Raises
    ------
    ModelError
        For ``cuda`` where it cannot run.
    """
    if device == "cpu":
        return ["CPUExecutionProvider"]
    if "CUDAExecutionProvider" not in onnxruntime.get_available_providers():
        if device == "cuda":
            raise ModelError(
                "device = 'cuda' is configured but this onnxruntime has no CUDA; fix: pip "
                "uninstall -y onnxruntime && pip install --force-reinstall onnxruntime-gpu, or set "
                "device = 'auto'"
            )
        return ["CPUExecutionProvider"]
    if _cuda_loads():
        return ["CUDAExecutionProvider", "CPUExecutionProvider"]
    if device == "cuda":
        raise ModelError(
            "device = 'cuda' is configured but the CUDA driver, cuBLAS or cuDNN does not load; "
            "install them or set device = 'auto'"
        )
    return ["CPUExecutionProvider"]


def _cuda_loads() -> bool:
    return all(any(map(_loads, names)) for names in _CUDA_LIBRARIES)


def _loads(name: str) -> bool:
    try:
        ctypes.CDLL(name)
    except OSError:
        return False
    return True
