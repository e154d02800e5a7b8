"""Define what every reader of spectra returns, and read a file's bytes."""

from dataclasses import dataclass
from pathlib import Path

from rankaae_stream.errors import Refused
from rankaae_stream.spectrum import Channel, Floats

__all__ = ["MAX_BYTES", "Measured", "read_bounded"]

MAX_BYTES = 128 * 1024 * 1024
"""Largest file that is read: a million rows of ten columns."""


@dataclass(frozen=True, slots=True, eq=False)
class Measured:
    """One spectrum of a file.

    Attributes
    ----------
    energy, mu : (n,) arrays
        Energy in eV and absorption, in the file's order, not yet sorted or checked.
    reference : (n,) array or None
        Absorption of the reference foil.
    element, shell : str or None
        As the file states them.
    label : str
        Name of the group where a file holds several, else empty.
    channel : {"transmission", "fluorescence"}
    notes : tuple of str
        One sentence for each thing that was guessed or converted.
    """

    energy: Floats
    mu: Floats
    reference: Floats | None = None
    element: str | None = None
    shell: str | None = None
    label: str = ""
    channel: Channel = "transmission"
    notes: tuple[str, ...] = ()


def read_bounded(path: Path) -> bytes:
    """Read the bytes of a file.

    Raises
    ------
    Refused
        ``file`` when it cannot be read, is empty, or is too large to be a spectrum.
    """
    try:
        with path.open("rb") as file:
            content = file.read(MAX_BYTES + 1)
    except OSError as error:
        raise Refused("file", f"the file cannot be read: {error.strerror}") from error
    if not content.strip():
        raise Refused("file", "the file is empty")
    if len(content) > MAX_BYTES:
        raise Refused(
            "file", f"the file is larger than {MAX_BYTES // 1024**2} MiB, which no spectrum is"
        )
    return content
