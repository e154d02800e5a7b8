"""Serve no file from outside the server's folders.

Tiled compares a file's path as it is written, when a run is read. A ``..``, a symbolic link, or
one of HDF5's ways into another file leads out of the folders all the same. Here each file is
looked at whenever it is read, by the rules of the readers of live scans: `files.resolve` for
its path, `files.hdf5` for what lies in it.

Tiled's adapters open a file by its path, some only when a slice is asked for. Who can write into
a readable folder can put a link in its place after the look; the guide says so.
"""

# pyright: basic
# tiled and h5py have no types

import os
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit

import h5py
from starlette.exceptions import HTTPException
from tiled.adapters.hdf5 import HDF5_BROKEN_LINK, HDF5_DATASET, HDF5Adapter
from tiled.storage import FileStorage
from tiled.structures.core import StructureFamily
from tiled.utils import path_from_uri

from rankaae_stream.errors import Refused
from rankaae_stream.files.hdf5 import own
from rankaae_stream.files.resolve import resolve

__all__ = ["keep_inside"]

HDF5 = "application/x-hdf5"
NETCDF = "application/x-netcdf"
OUTSIDE = "a file of this node is not in the server's folders"
"""The message to a reader, without the path."""
DEPTH = 32
"""Groups within groups that are served; deeper ones are as good as a ring of links."""


def keep_inside(tree: Any) -> None:
    """Let a catalog of Tiled read only files inside its readable and writable folders."""
    context = getattr(tree, "context", None)
    if context is not None:
        context.adapters_by_mimetype = _Adapters(
            context.adapters_by_mimetype,
            _folders(context.readable_storage),
            _folders(context.writable_storage),
        )


def _folders(storages: Mapping[str, Any]) -> list[Path]:
    return [storage.path for storage in storages.values() if isinstance(storage, FileStorage)]


class _Adapters(Mapping[str, Any]):
    """Tiled's adapters by mimetype, each made to look at a file before it opens it.

    `own` are the folders that only the server writes: no link is sought in them.
    """

    def __init__(
        self, adapters: Mapping[str, Any], folders: Sequence[Path], own: Sequence[Path]
    ) -> None:
        self._adapters, self._folders, self._own = adapters, folders, own
        self._made: dict[str, Any] = {}

    def __getitem__(self, mimetype: str) -> Any:
        if mimetype not in self._made:
            self._made[mimetype] = self._guarded(mimetype, self._adapters[mimetype])
        return self._made[mimetype]

    def __iter__(self) -> Iterator[str]:
        return iter(self._adapters)

    def __len__(self) -> int:
        return len(self._adapters)

    def _guarded(self, mimetype: str, adapter: Any) -> Any:
        outer = self
        base: Any = _OwnHDF5Adapter if adapter is HDF5Adapter else adapter

        class Guarded(base):
            @classmethod
            def from_catalog(cls, data_source: Any, node: Any, /, **parameters: Any) -> Any:
                uris = [asset.data_uri for asset in data_source.assets or ()]
                # Adapters take addresses among their parameters, too.
                for name in ("data_uri", "data_uris"):
                    named = parameters.get(name) or ()
                    uris += [named] if isinstance(named, str) else filter(None, named)
                try:
                    for path in filter(None, map(outer.inside, uris)):
                        if mimetype == NETCDF and h5py.is_hdf5(path):
                            with h5py.File(path, "r") as file:
                                _tree(file, strict=True)
                        if mimetype == HDF5:
                            _check_dataset(path, parameters)
                except Refused as refused:
                    raise HTTPException(403, OUTSIDE) from refused
                return super().from_catalog(data_source, node, **parameters)

        Guarded.__name__ = Guarded.__qualname__ = base.__name__
        return Guarded

    def inside(self, uri: str) -> Path | None:
        """Return the path of a ``file:`` address, and None for an address of another kind.

        Raises
        ------
        Refused
            ``outside_roots`` when it, or anything in a folder, lies outside.
        """
        if urlsplit(uri).scheme != "file":
            return None
        named = str(path_from_uri(uri))
        for spelling in {named, unquote(named)}:  # whichever of them a reader takes
            path = resolve("/", spelling, {}, self._folders)
        path = resolve("/", named, {}, self._folders)
        if path.is_dir() and not any(path.is_relative_to(folder) for folder in self._own):
            for parent, folders, files in os.walk(path):
                for name in (*folders, *files):
                    if os.path.islink(os.path.join(parent, name)):
                        resolve(parent, name, {}, self._folders)
        return path


def _check_dataset(path: Path, parameters: Mapping[str, Any]) -> None:
    """Refuse a data set or group that does not lie in the file itself.

    Raises
    ------
    Refused
        ``outside_roots``.
    """
    options = {key: parameters[key] for key in ("swmr", "libver", "locking") if key in parameters}
    # A file that is not there, or damaged, is the adapter's to tell.
    with suppress(OSError), h5py.File(path, "r", **{"libver": "latest", **options}) as file:
        if _inside_file(file, parameters.get("dataset")) is None:
            raise Refused("outside_roots", f"{path} has no such data set of its own")


def _inside_file(file: h5py.File, named: str | Sequence[str] | None) -> Any:
    """Return what lies at a path in the file itself, or None; HDF5 passes over ``//`` and ``.``."""
    path = named if isinstance(named, str) else "/".join(named or ())
    parts = [part for part in path.split("/") if part not in ("", ".")]
    return own(file, "/".join(parts)) if parts else file


class _OwnHDF5Adapter(HDF5Adapter):
    """An adapter in which what lies in another file is a broken link."""

    @classmethod
    def from_catalog(cls, data_source: Any, node: Any, /, **parameters: Any) -> Any:
        """Return the array, or the group with what lies in its own file."""
        made: Any = super().from_catalog(data_source, node, **parameters)
        if data_source.structure_family == StructureFamily.array:
            return made
        with h5py.File(path_from_uri(made.uris[0]), "r", **made._kwargs) as file:
            tree = _tree(_inside_file(file, made.dataset))
        return cls(
            tree,
            *made.uris,
            dataset=made.dataset,
            structure=data_source.structure,
            metadata=node.metadata_,
            specs=node.specs,
            **made._kwargs,
        )


def _tree(group: Any, depth: int = DEPTH, *, strict: bool = False) -> Any:
    """Return the names in a group as Tiled has them; what lies in another file is broken.

    Raises
    ------
    Refused
        With `strict`, ``outside_roots`` for what lies in another file.
    """
    tree: dict[str, Any] = {}
    for name in group:
        try:
            found = own(group, name)
        except Refused:
            if strict:
                raise
            found = None
        if isinstance(found, h5py.Dataset):
            tree[name] = HDF5_DATASET
        elif found is None or not depth:
            tree[name] = HDF5_BROKEN_LINK
        else:
            tree[name] = _tree(found, depth - 1, strict=strict)
    return tree
