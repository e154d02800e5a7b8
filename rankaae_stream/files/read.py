"""Read the spectra of a file after recognising its format."""

import contextlib
from collections.abc import Mapping
from pathlib import Path

from rankaae_stream.errors import Refused
from rankaae_stream.files.athena import is_athena, read_athena
from rankaae_stream.files.base import Measured, read_bounded
from rankaae_stream.files.columns import read_columns
from rankaae_stream.files.xdi import is_xdi, parse_xdi

__all__ = ["read_file"]


def read_file(path: Path, columns: Mapping[str, str] | None = None) -> tuple[Measured, ...]:
    """Read the spectra of a file of any supported format.

    The format follows from the content, not from the file's name: XDI in any dialect, an
    Athena project, else columns of numbers.

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
        ``file``, with the reason.
    """
    content = read_bounded(path)
    if is_athena(content):
        return read_athena(content)
    if columns is None and is_xdi(content):
        xdi = parse_xdi(content)
        # Some files begin as XDI but name their columns freely: read those as columns.
        with contextlib.suppress(Refused):
            return (xdi.measured(),)
    return read_columns(content, columns)
