"""Read XDI files: ASCII columns under a header of ``# Namespace.tag: value`` lines.

The published standard (B. Ravel and M. Newville, J. Phys.: Conf. Ser. 712, 012148 (2016))
is read, and the older dialects of the public XAS library, whose columns are documented as
``energy eV || PV`` and whose headers end without ``///``.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from rankaae_stream.errors import Refused
from rankaae_stream.files.base import Measured, read_bounded
from rankaae_stream.spectrum import Channel, Floats, absorption

__all__ = ["Xdi", "is_xdi", "parse_xdi", "read_xdi"]

WRITTEN = ("mutrans", "xmu", "mu", "norm")
"""Columns that hold the sample's absorption in transmission."""


@dataclass(frozen=True, slots=True, eq=False)
class Xdi:
    """The columns of a file by lower-case name, each (n,), and the fields of its header."""

    columns: Mapping[str, Floats]
    fields: Mapping[str, str]

    def energy(self) -> Floats:
        """Return the energies, eV, (n,).

        Raises
        ------
        Refused
            ``file`` when there is no such column.
        """
        if "energy" not in self.columns:
            raise Refused("file", f"no column named energy among {', '.join(self.columns)}")
        return self.columns["energy"]

    def mu(self) -> Floats:
        """Return the sample's absorption, (n,): as written, else ln(i0/itrans), else ifluor/i0.

        Raises
        ------
        Refused
            ``file`` when there are no such columns.
        """
        formed = self._formed()
        written = [self.columns.get(name) for name in WRITTEN]
        for mu in (
            *written,
            formed.get("transmission"),
            self.columns.get("mufluor"),
            formed.get("fluorescence"),
        ):
            if mu is not None:
                return mu
        raise Refused("file", f"no absorption among the columns {', '.join(self.columns)}")

    def reference(self) -> Floats | None:
        """Return the absorption of the reference foil, (n,), or None where there is none."""
        written = self.columns.get("murefer")
        return written if written is not None else self._formed().get("reference")

    def measured(self) -> Measured:
        """Return the file's spectrum.

        Raises
        ------
        Refused
            ``file`` when it has no energy or no absorption.
        """
        fluorescence = not {*WRITTEN, "itrans"} & self.columns.keys()
        return Measured(
            self.energy(),
            self.mu(),
            self.reference(),
            element=self.fields.get("element.symbol") or None,
            shell=self.fields.get("element.edge", "K").upper() or None,
            channel="fluorescence" if fluorescence else "transmission",
        )

    def _formed(self) -> dict[Channel, Floats]:
        """Return what the file's currents and counts give."""
        names = {"i0": "i0", "it": "itrans", "ir": "irefer", "fluorescence": "ifluor"}
        return absorption(**{k: self.columns[v] for k, v in names.items() if v in self.columns})


def read_xdi(path: Path) -> Xdi:
    """Read an XDI file.

    Raises
    ------
    Refused
        ``file`` when it is too large, is not text, or holds no table of numbers.
    """
    return parse_xdi(read_bounded(path))


def is_xdi(content: bytes) -> bool:
    """Return whether a file's content begins as XDI."""
    return bool(re.match(rb"#\s*XDI/", content))


def parse_xdi(content: bytes) -> Xdi:
    """Read the bytes of an XDI file; see `read_xdi`."""
    text = content.decode("utf-8", errors="replace")
    header = [line[1:].strip() for line in text.splitlines() if line.startswith("#")]
    rows = [line.split() for line in text.splitlines() if line.strip() and line[0] not in "#\0"]
    fields = {
        match[1].lower(): match[2].split("||")[0].strip()
        for match in (re.match(r"([\w.]+):\s*(.*)", line) for line in header)
        if match
    }
    try:
        table = np.array(rows, dtype=float)
    except ValueError as error:
        raise Refused("file", f"not a table of numbers ({error})") from error
    if table.ndim != 2 or table.shape[0] == 0:
        raise Refused("file", "no table of numbers")
    names = _names(fields, header, table.shape[1])
    return Xdi({name: table[:, i] for i, name in enumerate(names)}, fields)


def _names(fields: Mapping[str, str], header: list[str], width: int) -> list[str]:
    """Return the columns' names from ``Column.N`` fields, else from the last header line."""
    last = header[-1].split() if header else []
    fallback = last if len(last) == width else [f"column{i + 1}" for i in range(width)]
    named = [fields.get(f"column.{i + 1}", "").split() for i in range(width)]
    return [(name[0] if name else fallback[i]).lower() for i, name in enumerate(named)]
