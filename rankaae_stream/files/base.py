"""Define what every reader returns, and read a file's bytes."""

import os
import stat
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TypeVar

from rankaae_stream.errors import Refused
from rankaae_stream.spectrum import Channel, Floats

__all__ = ["HDF5", "MAX_BYTES", "NO_ENERGIES", "Measured", "Table", "from_scans", "read_bounded"]

Scan = TypeVar("Scan")
Made = TypeVar("Made")

HDF5 = b"\x89HDF\r\n\x1a\n"
"""First bytes of an HDF5 file. Its size is not limited, only what is read from it."""

NO_ENERGIES = "the HDF5 file holds no scan over energies"
"""How the refusal of an HDF5 file of something else begins."""
MAX_BYTES = 64 * 1024 * 1024
"""Largest file that is read: a million rows of five columns."""


@dataclass(frozen=True, slots=True, eq=False)
class Table:
    """One scan of a file, as columns with names.

    Attributes
    ----------
    names : tuple of str
        Of the columns, as the file writes them, or empty where it names none.
    rows : (n, c) array
        In the file's order.
    facts : mapping of str
        Keys and values of the header, see `header.facts`.
    units : tuple of str
        Of the columns, in lower case, empty where none is stated.
    label : str
        Name of this scan in a file that holds several.
    notes : tuple of str
        One sentence for each thing that was left out or changed.
    codes : tuple of str
        The columns' names with their units, or their codes, such as ``D1``.
    standard : bool
        Whether the format defines what the names mean.
    kind : str
        Kind of spectra that the file states: ``xas`` or ``herfd``.
    """

    names: tuple[str, ...]
    rows: Floats
    units: tuple[str, ...] = ()
    facts: Mapping[str, str] = field(default_factory=dict[str, str])
    label: str = ""
    notes: tuple[str, ...] = ()
    codes: tuple[str, ...] = ()
    standard: bool = False
    kind: str = "xas"


@dataclass(frozen=True, slots=True, eq=False)
class Measured:
    """One spectrum of a file.

    Attributes
    ----------
    energy, mu : (n,) arrays
        Energy in eV and absorption, in the file's order, not yet sorted or checked.
    reference : (n,) or (m,) array or None
        Absorption of the reference foil.
    reference_energy : (m,) array or None
        Energies of the foil, eV, where it has its own.
    element, shell : str or None
        As the file states them.
    label : str
        Name of the group or scan where a file holds several, else empty.
    channel : {"transmission", "fluorescence"}
    notes : tuple of str
        One sentence for each thing that was guessed or converted.
    e0 : float or None
        Energy of the edge as the file states it, eV.
    columns : tuple of str
        Names of the columns that mu was formed from.
    kind : str
        Kind of spectrum that the file states: ``xas``, ``herfd``, ``chi`` or ``difference``.
    """

    energy: Floats
    mu: Floats
    reference: Floats | None = None
    element: str | None = None
    shell: str | None = None
    label: str = ""
    channel: Channel = "transmission"
    notes: tuple[str, ...] = ()
    e0: float | None = None
    columns: tuple[str, ...] = ()
    kind: str = "xas"
    reference_energy: Floats | None = None


def from_scans(
    scans: Sequence[Scan], make: Callable[[Scan], Iterable[Made]], what: str
) -> tuple[list[Made], tuple[str, ...]]:
    """Return what is made of each scan of a file, and a note where some were refused.

    Parameters
    ----------
    scans : sequence
    make : callable
    what : str
        What the note says of those that were refused: ``hold no spectrum``.

    Raises
    ------
    Refused
        That of the first scan, where all were refused.
    """
    made: list[Made] = []
    refused: list[Refused] = []
    for scan in scans:
        try:
            made += make(scan)
        except Refused as reason:
            refused.append(reason)
    if not made:
        raise refused[0]
    if not refused:
        return made, ()
    return made, (f"{len(refused)} of {len(scans)} scans {what} ({refused[0].message})",)


def read_bounded(path: Path, most: int = 0) -> bytes:
    """Read the bytes of a file; of an HDF5 file only `HDF5`, with `most` only the first ones.

    Raises
    ------
    Refused
        ``file`` when it cannot be read, is not a regular file, is empty, or is too large to be
        a spectrum.
    """
    try:
        # Without O_NONBLOCK, opening a pipe waits for a program that writes to it.
        handle = os.open(path, os.O_RDONLY | getattr(os, "O_NONBLOCK", 0))
        with open(handle, "rb") as file:
            if not stat.S_ISREG(os.fstat(handle).st_mode):
                raise Refused("file", "is a folder, pipe or device, not a file")
            content = file.read(len(HDF5))
            if content != HDF5:
                content += file.read(most or MAX_BYTES + 1)
    except OSError as error:
        raise Refused("file", f"the file cannot be read: {error.strerror}") from error
    except ValueError as error:
        raise Refused("file", f"the file cannot be read: {error}") from error
    if not content.strip():
        raise Refused("file", "the file is empty")
    if len(content) > MAX_BYTES:
        raise Refused(
            "file", f"the file is larger than {MAX_BYTES // 1024**2} MiB, which no spectrum is"
        )
    return content
