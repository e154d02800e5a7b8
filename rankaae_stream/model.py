"""Encoder and decoder in ONNX Runtime, loaded only when every hash agrees."""

import ctypes
import hashlib
import importlib.metadata
import json
from pathlib import Path

import numpy as np
import onnxruntime
from numpy.typing import NDArray

from rankaae_stream import resources
from rankaae_stream.card import ModelCard
from rankaae_stream.errors import ModelError

__all__ = ["Model", "duplicate_runtime", "load_model", "providers", "shipped_models"]


class Model:
    """A trained RankAAE of one edge.

    Parameters
    ----------
    card : ModelCard
    encoder, decoder : bytes
        The graphs, already checked against the card.
    device : {"auto", "cpu", "cuda"}
        See `providers`.
    """

    def __init__(self, card: ModelCard, encoder: bytes, decoder: bytes, device: str = "auto"):
        self.card = card
        self._encoder = _session(encoder, device)
        self._decoder = _session(decoder, device)

    def encode(self, flat: NDArray[np.floating]) -> NDArray[np.float32]:
        """Spectra (n, grid) to latents (members, n, latent)."""
        feed = {"flat": np.ascontiguousarray(flat, dtype=np.float32)}
        return self._encoder.run(None, feed)[0]  # type: ignore[return-value]

    def decode(self, latent: NDArray[np.floating]) -> NDArray[np.float32]:
        """Latents (members, n, latent) to spectra (members, n, grid)."""
        feed = {"latent": np.ascontiguousarray(latent, dtype=np.float32)}
        return self._decoder.run(None, feed)[0]  # type: ignore[return-value]


def shipped_models() -> dict[str, str]:
    """Models this version knows: ``<edge>/<version>`` to the sha256 of its card."""
    index = resources.folder("models") / "index.json"
    return dict(json.loads(index.read_text(encoding="utf-8")))


def load_model(path: Path, expected_id: str, device: str = "auto") -> Model:
    """Load a model folder, or say what is wrong with it.

    Parameters
    ----------
    path : Path
        Folder with card.json and the files it names.
    expected_id : str
        sha256 of card.json, from the shipped index or pinned in the profile.
    device : {"auto", "cpu", "cuda"}

    Raises
    ------
    ModelError
        When a file is missing or its hash differs.
    """
    card = ModelCard.from_bytes(_read(path / "card.json"), str(path / "card.json"))
    if card.id != expected_id:
        raise ModelError(
            f"{path / 'card.json'} has sha256 {card.id}, expected {expected_id}: the card was "
            "altered or is unknown to this version; reinstall rankaae-stream, or pin this id in "
            "the profile's [models] table if the model is your own"
        )
    contents: dict[str, bytes] = {}
    for name, expected in card.files.items():
        if Path(name).name != name:
            raise ModelError(f"{path / 'card.json'} names {name!r}; files must lie beside the card")
        contents[name] = _read(path / name)
        found = hashlib.sha256(contents[name]).hexdigest()
        if found != expected:
            raise ModelError(
                f"{path / name} has sha256 {found}, its card says {expected}: the file was "
                "altered or damaged; reinstall rankaae-stream or export the model again"
            )
    missing = {"encoder.onnx", "decoder.onnx"} - contents.keys()
    if missing:
        raise ModelError(f"{path / 'card.json'} names no {' and no '.join(sorted(missing))}")
    return Model(card, contents["encoder.onnx"], contents["decoder.onnx"], device)


def duplicate_runtime() -> str | None:
    """What to do where both onnxruntime distributions are installed, else None.

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
    """Execution providers to ask for.

    CUDA is asked for only where its libraries load: asking in vain makes
    ONNX Runtime print an error on every machine without a GPU.
    """
    if device == "cpu" or "CUDAExecutionProvider" not in onnxruntime.get_available_providers():
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
    def loads(*names: str) -> bool:
        for name in names:
            try:
                ctypes.CDLL(name)
            except OSError:
                continue
            return True
        return False

    return (
        loads("libcuda.so.1", "nvcuda.dll")
        and loads(
            "libcublasLt.so.13", "libcublasLt.so.12", "cublasLt64_13.dll", "cublasLt64_12.dll"
        )
        and loads("libcudnn.so.9", "cudnn64_9.dll")
    )


def _session(graph: bytes, device: str) -> onnxruntime.InferenceSession:
    options = onnxruntime.SessionOptions()
    # One spectrum is a few thousand multiplications: a second thread only adds
    # hand-over, and a spinning one takes a core from the beamline.
    options.intra_op_num_threads = 1
    options.inter_op_num_threads = 1
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    options.log_severity_level = 3
    return onnxruntime.InferenceSession(graph, options, providers=providers(device))


def _read(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise ModelError(
            f"cannot read {path} ({error.strerror}); reinstall rankaae-stream or give the profile "
            "a model folder that exists"
        ) from error
