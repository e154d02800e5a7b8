"""Read the spectra of a file after recognising its format by the content."""

from collections.abc import Mapping
from pathlib import Path

from rankaae_stream.errors import Refused
from rankaae_stream.files.athena import is_athena, read_athena
from rankaae_stream.files.base import HDF5, Measured, read_bounded
from rankaae_stream.files.columns import measure_tables, read_columns
from rankaae_stream.files.text import FEWEST, decode, find_blocks

__all__ = ["looks_like_data", "read_file", "read_spectrum"]


def read_file(path: Path, columns: Mapping[str, str] | None = None) -> tuple[Measured, ...]:
    """Read the spectra of a file of any supported format.

    The format follows from the content, not from the file's name: an Athena project, HDF5 as
    Diamond and the ESRF write it, XDI, 9809, SSRL, CLS, SPEC, else columns of numbers.

    Parameters
    ----------
    path : Path
    columns : mapping, optional
        Role to column name or number, see `channels.measure`; not for Athena projects.

    Returns
    -------
    tuple of Measured
        One for each scan of the file and each channel of the scan.

    Raises
    ------
    Refused
        ``file``, with the reason.
    """
    content = read_bounded(path)
    if content == HDF5:
        from rankaae_stream.files.nexus import read_nexus

        return measure_tables(read_nexus(path), columns)
    if is_athena(content):
        return read_athena(content)
    return read_columns(content, columns)


def read_spectrum(path: Path) -> Measured:
    """Read the first spectrum of a file; see `read_file`."""
    return read_file(path)[0]


def looks_like_data(path: Path) -> bool:
    """Return whether a file may hold a spectrum: it begins with numbers, or in a known format."""
    try:
        content = read_bounded(path, most=65536)
        if content == HDF5 or is_athena(content):
            return True
        return find_blocks(decode(content))[0].rows.shape[0] >= FEWEST
    except Refused:
        return False
