"""Read data sets of HDF5 files without following them out of the file or out of memory.

HDF5 has ways of its own out of a file: external links, virtual data sets and external storage.
None of them is followed; a link inside the file is. How much a data set takes is asked of its
element type and its chunks, not of its shape alone.
"""

# pyright: basic
# h5py has no types

from collections.abc import Iterator
from typing import Any

import h5py

from rankaae_stream.errors import Refused

__all__ = ["MAX_BYTES", "check_size", "members", "own"]

MAX_BYTES = 128 * 1024 * 1024
"""A data set, or one of its chunks, that is larger is no signal of a scan."""
DEPTH = 8
"""Links that lead to links are followed this far."""


def own(group: h5py.Group, path: str, depth: int = DEPTH) -> h5py.Group | h5py.Dataset | None:
    """Return what lies at a path inside the file, or None where nothing does.

    Raises
    ------
    Refused
        ``outside_roots`` where the path or the data leave the file.
    """
    found: Any = group.file["/"] if path.startswith("/") else group
    for name in path.strip("/").split("/"):
        if not isinstance(found, h5py.Group):
            return None
        link = found.get(name, getlink=True) if name else None
        if link is None:
            return None
        if isinstance(link, h5py.ExternalLink):
            raise Refused("outside_roots", f"{path} lies in another file")
        if isinstance(link, h5py.SoftLink):
            target = own(found, link.path, depth - 1) if depth else None
        else:
            target = found[name]
        if not isinstance(target, (h5py.Group, h5py.Dataset)):
            return None
        found = target
    if isinstance(found, h5py.Dataset) and (found.is_virtual or found.external):
        raise Refused("outside_roots", f"{path} lies in another file")
    return found


def members(group: h5py.Group, most: int) -> Iterator[tuple[str, h5py.Group | h5py.Dataset]]:
    """Yield the first `most` members of a group that lie inside the file."""
    for count, name in enumerate(group.keys()):
        if count >= most:
            return
        try:
            found = own(group, name.replace("/", ""))
        except Refused:
            continue
        if found is not None:
            yield name, found


def check_size(dataset: h5py.Dataset, path: str) -> None:
    """Refuse a data set that takes more memory than a scan's signal does.

    Raises
    ------
    Refused
        ``file``.
    """
    size = dataset.size or 0
    chunk = 1
    for length in dataset.chunks or ():
        chunk *= length
    needed = max(size, chunk) * dataset.dtype.itemsize
    if dataset.size is None or needed > MAX_BYTES:
        raise Refused(
            "file", f"{path} takes {needed / 1024**2:.0f} MiB; a scan's signal is smaller"
        )
