"""Read numbers from HDF5 files: one for each frame of a detector, or the rows of a fly scan.

Xspress3 and Pilatus write the sums of their regions of interest beside the images, as
attributes of the area detector's HDF5 plugin; the images themselves are never read. The
file of a fly scan is read while it grows.
"""

# pyright: basic
# h5py has no types

from collections.abc import Mapping
from pathlib import Path

import h5py
import numpy as np

from rankaae_stream.errors import Refused
from rankaae_stream.files.hdf5 import check_size, own
from rankaae_stream.spectrum import Floats

__all__ = ["DATASETS", "is_hdf5", "read_frames", "read_rows"]

DATASETS: Mapping[str, str] = {
    "XSP3": "entry/instrument/detector/NDAttributes/CHAN{channel}ROI{roi_num}",
    "PIL100K_HDF5": "entry/instrument/NDAttributes/_ROI{roi_num}Total",
}
"""Path of the sums by the asset's spec, in capitals as Tiled's writer makes it; the fields
are named as in its datums."""
MAX_FRAMES = 10_000_000
"""Largest number of frames that is read, more than any scan has; 80 MB."""


def is_hdf5(path: Path) -> bool:
    """Return whether a file is a complete HDF5 file; one that is cut short does not open."""
    try:
        with h5py.File(path, "r"):
            return True
    except OSError:
        return False


def read_frames(path: Path, dataset: str) -> Floats:
    """Read one number for each frame.

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
        ``file`` when this is not an HDF5 file, has no such dataset, or the dataset does not
        hold one number for each frame; ``outside_roots`` when it is a link to another file.
    """
    try:
        with h5py.File(path, "r") as file:
            found = _own_dataset(file, dataset)
            check_size(found, dataset, int(found.size or 0))
            if found.size is None or found.size > MAX_FRAMES or found.size != max(found.shape):
                raise Refused(
                    "file", f"{dataset} has shape {found.shape}, not one number for each frame"
                )
            return np.asarray(found[()], dtype=np.float64).ravel()
    except (OSError, KeyError, TypeError, ValueError, RuntimeError) as error:
        raise Refused("file", f"cannot be read as HDF5: {error}") from error


def read_rows(path: Path, dataset: str, begin: int, end: int) -> Floats:
    """Read some rows of a dataset with one value each, from a file that may still grow.

    Parameters
    ----------
    path : Path
    dataset : str
        Path inside the file.
    begin, end : int
        First row, and the row after the last.

    Returns
    -------
    (n,) array
        Fewer rows where the file does not hold all of them yet.

    Raises
    ------
    Refused
        ``missing_file``; ``file`` when this is not an HDF5 file or has no such dataset;
        ``outside_roots`` when the dataset is a link to another file.
    """
    try:
        # Another process may be writing the file: read without a lock what it has flushed.
        with h5py.File(path, "r", libver="latest", swmr=True, locking=False) as file:
            found = _own_dataset(file, dataset)
            if found.ndim < 1 or any(size != 1 for size in found.shape[1:]):
                raise Refused("file", f"{dataset} has {found.ndim} axes, not one")
            upto = _written(found, begin, min(end, found.shape[0]), path.stat().st_size)
            check_size(found, dataset, upto - begin)
            return np.asarray(found[begin:upto], dtype=np.float64).ravel()
    except FileNotFoundError as error:
        raise Refused("missing_file", "is not there") from error
    except (OSError, KeyError, TypeError, ValueError, RuntimeError) as error:
        raise Refused("file", f"cannot be read as HDF5: {error}") from error


def _written(dataset: h5py.Dataset, begin: int, end: int, size: int) -> int:
    """Return the row up to which a file of this size holds the data.

    From a file that is still being copied, HDF5 reads zeros where the end is missing.
    """
    if not dataset.chunks:
        offset = dataset.id.get_offset()
        whole = offset is not None and offset + dataset.id.get_storage_size() <= size
        return end if whole else begin
    rows = dataset.chunks[0]
    for first in range(begin - begin % rows, end, rows):
        chunk = dataset.id.get_chunk_info_by_coord((first, *[0] * (dataset.ndim - 1)))
        if chunk.byte_offset is None or chunk.byte_offset + chunk.size > size:
            return max(begin, first)
    return end


def _own_dataset(file: h5py.File, dataset: str) -> h5py.Dataset:
    found = own(file, dataset)
    if not isinstance(found, h5py.Dataset):
        raise Refused("file", f"holds no dataset {dataset}")
    return found
