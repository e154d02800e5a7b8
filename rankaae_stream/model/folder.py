"""Find, check and load model folders; a folder with a wrong hash is not loaded."""

import hashlib
import json
from pathlib import Path

from rankaae_stream import resources
from rankaae_stream.errors import ModelError
from rankaae_stream.model.card import ModelCard
from rankaae_stream.model.networks import GRAPHS, PARTIAL, Model

__all__ = ["checked_files", "load_model", "newest_models", "shipped_models"]


def shipped_models() -> dict[str, str]:
    """Return the shipped models: ``<edge>/<version>`` to the sha256 of the card."""
    index = resources.folder("models") / "index.json"
    try:
        return dict(json.loads(_read(index)))
    except (TypeError, ValueError, RecursionError) as error:
        raise ModelError(
            f"{index} is not an index of models ({error}); reinstall rankaae-stream"
        ) from error


def newest_models() -> dict[str, tuple[Path, str]]:
    """Return folder and id of the newest shipped model of each edge (keys like ``fe-k``)."""
    root = resources.folder("models")
    # Versions are dates, so the last of an edge in alphabetical order is the newest.
    return {
        key.split("/")[0]: (root / key, digest) for key, digest in sorted(shipped_models().items())
    }


def load_model(path: Path, expected_id: str, device: str = "auto") -> Model:
    """Load a model folder.

    Parameters
    ----------
    path : Path
        Folder with card.json and the files it names.
    expected_id : str
        sha256 of card.json, from the shipped index or the profile.
    device : {"auto", "cpu", "cuda"}
        See `runtime.choose`.

    Returns
    -------
    Model

    Raises
    ------
    ModelError
        When a file is missing or its hash differs.
    """
    card, contents = checked_files(path, expected_id)
    return Model(card, contents, device)


def checked_files(path: Path, expected_id: str | None) -> tuple[ModelCard, dict[str, bytes]]:
    """Read a model folder's card and files, and compare every hash.

    Parameters
    ----------
    path : Path
    expected_id : str or None
        sha256 of card.json; None for a model that is in no index.

    Returns
    -------
    ModelCard
    dict of bytes
        The files by name.

    Raises
    ------
    ModelError
        When a file is missing or its hash differs.
    """
    content = _read(path / "card.json")
    digest = hashlib.sha256(content).hexdigest()
    if expected_id is not None and digest != expected_id:  # before anything of it is believed
        raise ModelError(
            f"{path / 'card.json'} has sha256 {digest}, expected {expected_id}: the card was "
            "altered, or this version does not know it; reinstall rankaae-stream, or give this id "
            "in the profile's [models] table if the model is your own"
        )
    card = ModelCard.from_bytes(content, str(path / "card.json"))
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
    needed = GRAPHS if card.partial is None else (*GRAPHS, PARTIAL)
    missing = [name for name in needed if name not in contents]
    if missing:
        raise ModelError(f"{path / 'card.json'} names no {' and no '.join(missing)}")
    return card, contents


def _read(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise ModelError(
            f"cannot read {path} ({error.strerror}); reinstall rankaae-stream or give the profile "
            "a model folder that exists"
        ) from error
