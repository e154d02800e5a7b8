"""Read data sets of HDF5 files without following them out of the file or out of memory.

HDF5 can lead out of a file: by external links, virtual data sets and external storage.
None of them is followed; a link inside the file is. How much a data set takes is asked of its
element type and its chunks, not of its shape alone.
"""

# pyright: basic
# h5py has no types

import itertools
import math
from collections.abc import Iterator
from typing import Any

import h5py

from rankaae_stream.errors import Refused

__all__ = ["MAX_BYTES", "check_size", "members", "other_files", "own"]

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
    for name in itertools.islice(group.keys(), most):
        try:
            found = own(group, name.replace("/", ""))
        except Refused:
            continue
        if found is not None:
            yield name, found


def other_files(group: h5py.Group, most: int) -> set[str]:
    """Return the files that the first `most` members of a group lie in, where not in this one."""
    links = (group.get(name, getlink=True) for name in itertools.islice(group.keys(), most))
    return {link.filename for link in links if isinstance(link, h5py.ExternalLink)}


def check_size(dataset: h5py.Dataset, path: str, values: int) -> None:
    """Refuse a data set of something else than real numbers, or too large to be a scan's signal.

    Parameters
    ----------
    dataset : h5py.Dataset
    path : str
    values : int
        How many of its values are to be read; of each chunk all are.

    Raises
    ------
    Refused
        ``file``.
    """
    if dataset.dtype.kind not in "iufb" or dataset.dtype.itemsize > 16:
        raise Refused("file", f"{path} holds values of type {dataset.dtype}, not numbers")
    needed = max(values, math.prod(dataset.chunks or (1,))) * dataset.dtype.itemsize / 1024**2
    if needed > MAX_BYTES / 1024**2:
        raise Refused(
            "file", f"reading {path} takes {needed:.0f} MiB; limit: {MAX_BYTES // 1024**2} MiB"
        )
