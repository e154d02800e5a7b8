"""Encoder and decoder in ONNX Runtime, loaded only when every hash agrees."""

import ctypes
import importlib.metadata

import numpy as np
import onnxruntime
from numpy.typing import ArrayLike, NDArray

from rankaae_stream.errors import ModelError
from rankaae_stream.model.card import ModelCard
from rankaae_stream.model.maps import invert_map
from rankaae_stream.spectrum import Floats

__all__ = ["Model", "duplicate_runtime", "providers"]


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

    def what_if(
        self, name: str, values: ArrayLike, at: NDArray[np.floating] | None = None
    ) -> Floats:
        """Spectra as one descriptor changes and the other latents stay.

        Parameters
        ----------
        name : str
            One of the card's outputs, such as ``oxidation_state``.
        values : (v,) array
            What the descriptor is to be, in its unit.
        at : (members, latent) or (members, 1, latent) array, optional
            Where the other latents stay, such as `encode` gives them for one
            measured spectrum. By default 0, the middle of the training data.

        Returns
        -------
        (v, grid) array
            Mean of the members' curves: flat, on the model's grid.

        Raises
        ------
        ValueError
            When the model has no such descriptor, `at` is not one spectrum's, or a
            value lies beyond what every member has learned by more than its error.

        Notes
        -----
        Each member's tied latent goes where its own map gives the value, the
        nearest such place to `at` (`invert_map`): a spectrum whose members all say
        the value already comes back as the decoder's reconstruction. A member whose
        map ends short of a value that another reaches stands at its end.

        Examples
        --------
        >>> from rankaae_stream.loading import default_analysis
        >>> model = default_analysis().models["Fe K"]
        >>> ferrous, ferric = model.what_if("oxidation_state", [2.0, 3.0])
        >>> energy = model.card.grid.relative()
        >>> bool(energy[ferric > 0.5][0] - energy[ferrous > 0.5][0] > 1.0)
        True
        """
        output = next((one for one in self.card.outputs if one.name == name), None)
        if output is None:
            known = ", ".join(one.name for one in self.card.outputs)
            raise ValueError(f"{self.card.name} has no descriptor {name!r}; it has {known}")
        members, latents = self.card.members, self.card.latent
        start = np.zeros((members, latents)) if at is None else np.asarray(at, dtype=float)
        if start.shape not in {(members, latents), (members, 1, latents)}:
            raise ValueError(
                f"at has shape {start.shape}, needs ({members}, {latents}): the latents of one "
                "spectrum, encode(flat[None])"
            )
        wanted = np.asarray(values, dtype=float)
        low = min(one.value[0] for one in output.maps)
        high = max(one.value[-1] for one in output.maps)
        slack = output.error_constant
        beyond = wanted[~((wanted >= low - slack) & (wanted <= high + slack))]
        if beyond.size:
            raise ValueError(
                f"{name} = {beyond[0]:g} lies beyond what {self.card.name} has learned, "
                f"{low:.4g} to {high:.4g} {output.unit}"
            )
        latent = np.repeat(start.reshape(members, 1, latents), wanted.size, axis=1)
        for m, one in enumerate(output.maps):
            latent[m, :, output.latent] = invert_map(one, wanted, latent[m, :, output.latent])
        return self.decode(latent).mean(axis=0, dtype=float)


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
