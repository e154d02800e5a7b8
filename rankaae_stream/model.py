"""Encoder and decoder in ONNX Runtime, loaded only when every hash agrees."""

import ctypes
import hashlib
import importlib.metadata
import json
from pathlib import Path

import numpy as np
import onnxruntime
from numpy.typing import ArrayLike, NDArray

from rankaae_stream import resources
from rankaae_stream.card import ModelCard, MonotoneMap
from rankaae_stream.errors import ModelError
from rankaae_stream.spectrum import Floats

__all__ = [
    "Model",
    "checked_files",
    "duplicate_runtime",
    "invert_map",
    "load_model",
    "providers",
    "shipped_models",
]


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
        >>> key = max(key for key in shipped_models() if key.startswith("fe-k/"))
        >>> model = load_model(resources.folder("models") / key, shipped_models()[key], "cpu")
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


def invert_map(fitted: MonotoneMap, value: Floats, near: Floats) -> Floats:
    """Latent at which a monotone map gives a value.

    Where the map is flat, or beyond its ends, many latents give one value: of
    those it is the nearest to `near`. A value that the map does not reach gives
    the end that comes closest.

    Parameters
    ----------
    fitted : MonotoneMap
    value, near : (n,) arrays

    Examples
    --------
    >>> steps = MonotoneMap(np.array([-1.0, 0.0, 1.0, 2.0]), np.array([2.0, 3.0, 3.0, 4.0]))
    >>> invert_map(steps, np.array([2.5, 3.0, 3.0, 3.0]), np.array([0.0, -1.0, 0.7, 2.0]))
    array([-0.5,  0. ,  0.7,  1. ])
    >>> invert_map(steps, np.array([2.0, 4.0, 9.0]), np.array([-3.0, 0.0, 0.0]))
    array([-3.,  2.,  2.])
    """
    knot, level = fitted.latent, fitted.value
    value = np.clip(value, level[0], level[-1])
    above = np.searchsorted(level, value, side="left")  # the first knot at the value or higher
    below = np.searchsorted(level, value, side="right") - 1  # the last one at it or lower
    rise = level[above] - level[below]
    share = np.divide(value - level[below], rise, out=np.zeros_like(rise), where=rise > 0)
    between = knot[below] + share * (knot[above] - knot[below])
    # Knots that carry the value itself span it; the map goes on flat beyond its ends.
    first = np.where(above == 0, -np.inf, knot[above])
    last = np.where(below == knot.size - 1, np.inf, knot[below])
    on_knot = above <= below
    return np.clip(near, np.where(on_knot, first, between), np.where(on_knot, last, between))


def shipped_models() -> dict[str, str]:
    """Models this version knows: ``<edge>/<version>`` to the sha256 of its card."""
    index = resources.folder("models") / "index.json"
    try:
        return dict(json.loads(_read(index)))
    except (TypeError, ValueError) as error:
        raise ModelError(
            f"{index} is not an index of models ({error}); reinstall rankaae-stream"
        ) from error


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
    card, contents = checked_files(path, expected_id)
    return Model(card, contents["encoder.onnx"], contents["decoder.onnx"], device)


def checked_files(path: Path, expected_id: str | None) -> tuple[ModelCard, dict[str, bytes]]:
    """The card of a model folder and the files it names, every hash compared.

    Parameters
    ----------
    path : Path
    expected_id : str or None
        None takes the card as it is: a model that no index knows.

    Raises
    ------
    ModelError
        When a file is missing or its hash differs.
    """
    card = ModelCard.from_bytes(_read(path / "card.json"), str(path / "card.json"))
    if expected_id is not None and card.id != expected_id:
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
    return card, contents


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


def _read(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise ModelError(
            f"cannot read {path} ({error.strerror}); reinstall rankaae-stream or give the profile "
            "a model folder that exists"
        ) from error
