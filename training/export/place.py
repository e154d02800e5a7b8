"""Put a model folder in place whole, or not at all."""

import hashlib
import json
import logging
import os
import shutil
from collections.abc import Generator, Mapping
from contextlib import contextmanager, suppress
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
"""Where the next index is written before it takes the place of the last one."""


def place(models: Path, key: str, contents: Mapping[str, bytes]) -> None:
    """Put a model folder in place and make it its edge's only version in the index.

    The folder is written aside, verified as the runtime would, and renamed; then the
    index is replaced in one step, and what it no longer names is removed. Any error
    leaves the former model and index as they were. A kill leaves names that begin
    with a dot, with which the next export into the same edge restores what the index
    names.

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
        When something cannot be written, the index is damaged, or the runtime does
        not accept the model.
    """
    edge, _, version = key.partition("/")
    folder, digest = models / edge, hashlib.sha256(contents["card.json"]).hexdigest()
    fresh, whole = folder / f".{version}.new", folder / version
    models.mkdir(parents=True, exist_ok=True)
    with _alone(models):
        known = _read_index(models)
        _settle(folder, known)
        try:
            fresh.mkdir(parents=True)
            for name, content in contents.items():
                _write(fresh / name, content)
            _sync(fresh)
            verify_model(fresh, digest)
            for other in _versions(known, edge) - {version}:
                _doubt(folder / other)
            if whole.exists():
                whole.rename(folder / f".{version}.old")
            else:
                _doubt(whole)
            fresh.rename(whole)
            _sync(folder)
            kept = {one: card for one, card in known.items() if not one.startswith(f"{edge}/")}
            _write(models / ASIDE, as_json(dict(sorted({**kept, key: digest}.items()))))
            (models / ASIDE).replace(models / "index.json")
        except OSError as error:
            raise ConfigurationError(
                f"cannot write {whole} ({error.strerror or error}); what stood there before is "
                "unchanged. Make room or choose another --models, then repeat the command: "
                "finished trials are kept"
            ) from error
        finally:
            with suppress(OSError):
                _sync(models)  # before the former model goes
            _settle(folder, _read_index(models))


def _settle(folder: Path, index: Mapping[str, str]) -> None:
    """Leave of an edge's folder what the index names, whatever an export had begun.

    ``.<version>.new`` was not finished. ``.<version>.old`` was replaced, and comes back
    unless the index names its successor's card. ``.<version>.doubt`` marks a version
    that goes unless the index names it.
    """
    (folder.parent / ASIDE).unlink(missing_ok=True)
    for fresh in folder.glob(".?*.new"):
        shutil.rmtree(fresh)
    for old in folder.glob(".?*.old"):
        whole = folder / old.name[1 : -len(".old")]
        named = index.get(f"{folder.name}/{whole.name}")
        if named is None or named != _card_id(whole):
            _remove(whole)
            old.rename(whole)
        else:
            _remove(old)
    for mark in folder.glob(".?*.doubt"):
        whole = folder / mark.name[1 : -len(".doubt")]
        if f"{folder.name}/{whole.name}" not in index and whole.exists():
            _remove(whole)
            logger.warning("removed %s, which the index does not name", whole)
        mark.unlink()
    with suppress(OSError):
        folder.rmdir()  # an edge whose first export failed; any other is not empty


def _doubt(whole: Path) -> None:
    whole.with_name(f".{whole.name}.doubt").touch()


def _versions(index: Mapping[str, str], edge: str) -> set[str]:
    """Versions of an edge that are plain names: nothing outside its folder is ever removed."""
    found = {key.removeprefix(f"{edge}/") for key in index if key.startswith(f"{edge}/")}
    return {one for one in found if one and not one.startswith(".") and Path(one).name == one}


def _card_id(whole: Path) -> str | None:
    try:
        return hashlib.sha256((whole / "card.json").read_bytes()).hexdigest()
    except OSError:
        return None


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


def _write(path: Path, content: bytes) -> None:
    with path.open("wb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())


def _sync(folder: Path) -> None:
    """Bring new names to the disk too; Windows has no such call."""
    if fcntl is not None:
        descriptor = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)


@contextmanager
def _alone(models: Path) -> Generator[None]:
    """One export at a time: elements that train side by side share an index."""
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
    """Plain data as the bytes of a file; NaN is an error."""
    return (json.dumps(value, indent=1, ensure_ascii=False, allow_nan=False) + "\n").encode("utf-8")
