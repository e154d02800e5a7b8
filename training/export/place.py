"""Put a model folder in place whole, and make it its edge's only version in the index."""

import hashlib
import json
import logging
import os
import shutil
from collections.abc import Generator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

try:
    import fcntl
except ImportError:  # pragma: no cover - Windows
    fcntl = None

from rankaae_stream.errors import ConfigurationError
from rankaae_stream.model.verify import verify_model

__all__ = ["as_json", "place"]

logger = logging.getLogger(__name__)

ASIDE = ".index.json.new"
"""Where the next index is written before it replaces the last one."""


def place(models: Path, key: str, contents: Mapping[str, bytes]) -> None:
    """Write a model folder beside the others, verify it, rename it, and replace the index.

    Then the version that it replaces is removed. Any error before leaves the former model
    and index as they were. After a kill the next export into the edge restores what the
    index names, and names a folder that the index does not.

    Parameters
    ----------
    models : Path
        Folder of index.json.
    key : str
        ``<edge>/<version>``.
    contents : mapping
        Bytes by file name, among them card.json.

    Raises
    ------
    ConfigurationError
        When something cannot be written, or the index is damaged.
    ModelError
        When the runtime does not accept the model.
    """
    edge, _, version = key.partition("/")
    folder, digest = models / edge, hashlib.sha256(contents["card.json"]).hexdigest()
    fresh, whole, former = folder / f".{version}.new", folder / version, folder / f".{version}.old"
    models.mkdir(parents=True, exist_ok=True)
    with _alone(models):
        before = _read_index(models)
        _restore(folder, before)
        unnamed = False  # whether `whole` is in place and the index does not name it
        try:
            fresh.mkdir(parents=True)
            for name, content in contents.items():
                (fresh / name).write_bytes(content)
            verify_model(fresh, digest)
            if whole.exists():
                whole.rename(former)
            fresh.rename(whole)
            unnamed = True
            kept = {one: card for one, card in before.items() if not one.startswith(f"{edge}/")}
            (models / ASIDE).write_bytes(as_json(dict(sorted({**kept, key: digest}.items()))))
            (models / ASIDE).replace(models / "index.json")
            unnamed = False
        except OSError as error:
            raise ConfigurationError(
                f"cannot write {whole} ({error.strerror or error}); what was there before is "
                "unchanged. Make room or choose another --models, then repeat the command: "
                "finished trials are kept"
            ) from error
        finally:
            if unnamed and not former.exists():
                _remove(whole)
            _restore(folder, _read_index(models))
        for other in sorted(folder.iterdir()):
            if f"{edge}/{other.name}" in before and other != whole:
                _remove(other)
                logger.warning("removed %s, which the index does not name any more", other)
            elif other.is_dir() and other != whole:
                logger.warning("%s is not in the index; remove it unless it is your own", other)


def _restore(folder: Path, index: Mapping[str, str]) -> None:
    """Remove what an export had begun in an edge's folder, and restore what the index names."""
    (folder.parent / ASIDE).unlink(missing_ok=True)
    for fresh in folder.glob(".?*.new"):
        _remove(fresh)
    for former in folder.glob(".?*.old"):
        whole = folder / former.name[1 : -len(".old")]
        if index.get(f"{folder.name}/{whole.name}") == _card_id(whole):
            _remove(former)
        else:
            _remove(whole)
            former.rename(whole)
    if folder.is_dir() and not any(folder.iterdir()):
        folder.rmdir()


def _card_id(whole: Path) -> str | None:
    card = whole / "card.json"
    return hashlib.sha256(card.read_bytes()).hexdigest() if card.is_file() else None


def _remove(path: Path) -> None:
    if path.is_symlink():
        path.unlink()
    elif path.exists():
        shutil.rmtree(path)


def _read_index(models: Path) -> dict[str, str]:
    index = models / "index.json"
    try:
        return dict(json.loads(index.read_bytes())) if index.is_file() else {}
    except (TypeError, ValueError) as error:
        raise ConfigurationError(
            f"{index} is not an index of models ({error}); restore it (git checkout), or remove it "
            "and export every model again"
        ) from error


@contextmanager
def _alone(models: Path) -> Generator[None]:
    """Let one export write at a time: elements that train side by side share an index."""
    if fcntl is None:  # pragma: no cover - Windows
        yield
        return
    descriptor = os.open(models, os.O_RDONLY)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)


def as_json(value: Any) -> bytes:
    """Return plain data as the bytes of a file; NaN is an error."""
    return (json.dumps(value, indent=1, ensure_ascii=False, allow_nan=False) + "\n").encode("utf-8")
