"""Choose where ONNX Runtime computes, and notice installations that break it."""

import ctypes
import importlib.metadata
from dataclasses import dataclass
from typing import Any, cast

import onnxruntime

from rankaae_stream.errors import ModelError

__all__ = ["Device", "choose", "duplicate_runtime", "open_network", "used_by"]

CUDA, CPU = "CUDAExecutionProvider", "CPUExecutionProvider"

_CUDA_LIBRARIES = (
    ("driver", ("libcuda.so.1", "nvcuda.dll")),
    (
        "cuBLAS",
        ("libcublasLt.so.13", "libcublasLt.so.12", "cublasLt64_13.dll", "cublasLt64_12.dll"),
    ),
    ("cuDNN", ("libcudnn.so.9", "cudnn64_9.dll")),
)
"""What CUDA needs: one file of each has to load."""


@dataclass(frozen=True, slots=True)
class Device:
    """Where networks run.

    Attributes
    ----------
    cuda : bool
        On a GPU: there the last digits of a number differ from a CPU's, and with its batch.
    why : str
        Why not, where this onnxruntime could; else empty.

    Examples
    --------
    >>> print(Device(cuda=False, why="its driver does not load"))
    CPU (CUDA: its driver does not load)
    """

    cuda: bool
    why: str = ""

    def __str__(self) -> str:
        return "CUDA" if self.cuda else f"CPU (CUDA: {self.why})" if self.why else "CPU"


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


def choose(device: str = "auto") -> Device:
    """Return where networks are to run.

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
        return Device(cuda=False)
    if CUDA not in onnxruntime.get_available_providers():
        if device == "cuda":
            raise ModelError(
                "device = 'cuda' is configured but this onnxruntime has no CUDA; fix: pip "
                "uninstall -y onnxruntime && pip install --force-reinstall onnxruntime-gpu, or set "
                "device = 'auto'"
            )
        return Device(cuda=False)
    missing = [name for name, files in _CUDA_LIBRARIES if not any(map(_loads, files))]
    why = f"its {', '.join(missing)} {'do' if missing[1:] else 'does'} not load"
    if missing and device == "cuda":
        raise ModelError(
            f"device = 'cuda' is configured but {why}; install what is missing or set device = "
            "'auto'"
        )
    return Device(cuda=False, why=why) if missing else Device(cuda=True)


def open_network(graph: bytes, device: Device) -> onnxruntime.InferenceSession:
    """Open a network; where CUDA fails now or later, ONNX Runtime goes on with the CPU."""
    options = cast("Any", onnxruntime).SessionOptions()
    # One spectrum is a few thousand multiplications: a second thread only adds
    # overhead, and one that spins while it waits takes a core from the beamline.
    options.intra_op_num_threads = 1
    options.inter_op_num_threads = 1
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    options.log_severity_level = 3
    # By default a GPU rounds factors to 10 bits (TF32), which is a thousandth of a number.
    cuda = [(CUDA, {"use_tf32": "0"})] if device.cuda else []
    return onnxruntime.InferenceSession(graph, options, providers=[*cuda, CPU])


def used_by(session: onnxruntime.InferenceSession, asked: Device) -> Device:
    """Return where a network really runs, which was asked to run on a device."""
    if asked.cuda and session.get_providers()[0] != CUDA:
        return Device(cuda=False, why="it failed; ONNX Runtime's messages say of what")
    return asked


def _loads(name: str) -> bool:
    try:
        ctypes.CDLL(name)
    except OSError:
        return False
    return True
