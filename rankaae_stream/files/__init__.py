"""Spectra from files: one pure function a format, and one that tells them apart."""

from collections.abc import Mapping
from pathlib import Path

from rankaae_stream.errors import Refused
from rankaae_stream.files.athena import is_athena, read_athena
from rankaae_stream.files.base import Measured, read_bounded
from rankaae_stream.files.columns import read_columns
from rankaae_stream.files.xdi import is_xdi, parse_xdi

__all__ = ["Measured", "read_file"]


def read_file(path: Path, columns: Mapping[str, str] | None = None) -> tuple[Measured, ...]:
    """Read the spectra of a file, whatever its format.

    The content decides, not the name's ending: XDI in any dialect, an Athena
    project, else columns of numbers.

    Parameters
    ----------
    path : Path
    columns : mapping, optional
        Role to column name or number; the file is then read as plain columns.

    Returns
    -------
    tuple of Measured

    Raises
    ------
    Refused
        ``file``, with what is wrong.
    """
    content = read_bounded(path)
    if is_athena(content):
        return read_athena(content)
    if columns is None and is_xdi(content):
        xdi = parse_xdi(content)
        # A file may call itself XDI and name its columns as it likes.
        try:
            return (xdi.measured(),)
        except Refused:
            pass
    return read_columns(content, columns)
