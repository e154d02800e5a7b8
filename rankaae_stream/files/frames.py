"""Frames of a triggered detector: one number a frame from an HDF5 file.

Xspress3 and Pilatus write the sums of their regions of interest beside the
images, as attributes of the area detector's HDF5 plugin; the images themselves
are never read.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import h5py
import numpy as np

from rankaae_stream.errors import Refused
from rankaae_stream.spectrum import Floats

__all__ = ["DATASETS", "is_hdf5", "read_frames"]

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
            found: Any = file.get(dataset)
            if not isinstance(found, h5py.Dataset):
                raise Refused("file", f"holds no dataset {dataset}")
            # HDF5 has links of its own, which no look at the path shows.
            if found.file.filename != file.filename or found.is_virtual or found.external:
                raise Refused("outside_roots", f"{dataset} lies in another file")
            if found.size is None or found.size > MAX_FRAMES or found.size != max(found.shape):
                raise Refused("file", f"{dataset} has shape {found.shape}, not one number a frame")
            return np.asarray(found[()], dtype=np.float64).ravel()
    except (OSError, KeyError, TypeError, ValueError, RuntimeError) as error:
        raise Refused("file", f"cannot be read as HDF5: {error}") from error
