"""Numbers in HDF5 files: a triggered detector's frames, and the rows of a fly scan.

Xspress3 and Pilatus write the sums of their regions of interest beside the
images, as attributes of the area detector's HDF5 plugin; the images themselves
are never read. A fly scan's file is read while it grows.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import h5py
import numpy as np

from rankaae_stream.errors import Refused
from rankaae_stream.spectrum import Floats

__all__ = ["DATASETS", "is_hdf5", "read_frames", "read_rows"]

DATASETS: Mapping[str, str] = {
    "XSP3": "entry/instrument/detector/NDAttributes/CHAN{channel}ROI{roi_num}",
    "PIL100K_HDF5": "entry/instrument/NDAttributes/_ROI{roi_num}Total",
}
"""Where the sums are, by the asset's spec in capitals (Tiled's writer makes them so),
with the names that its datums use."""
MAX_FRAMES = 10_000_000
"""More frames than a detector takes in a scan; 80 MB."""


def is_hdf5(path: Path) -> bool:
    """Whether a file is a whole HDF5 file; one that is cut short does not open."""
    try:
        with h5py.File(path, "r"):
            return True
    except OSError:
        return False


def read_frames(path: Path, dataset: str) -> Floats:
    """Read one number a frame.

    Parameters
    ----------
    path : Path
    dataset : str
        Path inside the file.

    Returns
    -------
    (n,) array

    Raises
    ------
    Refused
        ``file`` when it is no HDF5 file, has no such dataset, or that is not
        one number a frame; ``outside_roots`` when it only points to another file.
    """
    try:
        with h5py.File(path, "r") as file:
            found = _own_dataset(file, dataset)
            if found.size is None or found.size > MAX_FRAMES or found.size != max(found.shape):
                raise Refused("file", f"{dataset} has shape {found.shape}, not one number a frame")
            return np.asarray(found[()], dtype=np.float64).ravel()
    except (OSError, KeyError, TypeError, ValueError, RuntimeError) as error:
        raise Refused("file", f"cannot be read as HDF5: {error}") from error


def read_rows(path: Path, dataset: str, begin: int, end: int) -> Floats:
    """Read some rows of a data set of one axis, from a file that may be growing.

    Parameters
    ----------
    path : Path
    dataset : str
        Path inside the file.
    begin, end : int

    Returns
    -------
    (n,) array
        Fewer than asked for where the file has not got them yet.

    Raises
    ------
    Refused
        ``missing_file``; ``file`` when it is no HDF5 file or has no such dataset;
        ``outside_roots`` when that only points to another file.
    """
    try:
        # Written at this moment by another process: no lock, and what is flushed is read.
        with h5py.File(path, "r", libver="latest", swmr=True, locking=False) as file:
            found = _own_dataset(file, dataset)
            if found.ndim != 1:
                raise Refused("file", f"{dataset} has {found.ndim} axes, not one")
            upto = _written(found, begin, min(end, found.shape[0]), path.stat().st_size)
            return np.asarray(found[begin:upto], dtype=np.float64)
    except FileNotFoundError as error:
        raise Refused("missing_file", "is not there") from error
    except (OSError, KeyError, TypeError, ValueError, RuntimeError) as error:
        raise Refused("file", f"cannot be read as HDF5: {error}") from error


def _written(dataset: h5py.Dataset, begin: int, end: int, size: int) -> int:
    """Up to which row a file of this size has the data, and not only a place for them.

    Of a file whose copy has begun HDF5 reads zeros where its end is missing.
    """
    if not dataset.chunks:
        offset = dataset.id.get_offset()
        whole = offset is not None and offset + dataset.id.get_storage_size() <= size
        return end if whole else begin
    rows = dataset.chunks[0]
    for first in range(begin - begin % rows, end, rows):
        chunk = dataset.id.get_chunk_info_by_coord((first,))
        if chunk.byte_offset is None or chunk.byte_offset + chunk.size > size:
            return max(begin, first)
    return end


def _own_dataset(file: h5py.File, dataset: str) -> Any:
    found: Any = file.get(dataset)
    if not isinstance(found, h5py.Dataset):
        raise Refused("file", f"holds no dataset {dataset}")
    # HDF5 has links of its own, which no look at the path shows.
    if found.file.filename != file.filename or found.is_virtual or found.external:
        raise Refused("outside_roots", f"{dataset} lies in another file")
    return found
