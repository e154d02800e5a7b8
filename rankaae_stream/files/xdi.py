"""Read XDI files: columns under a header of ``# Namespace.tag: value`` lines.

The published standard (B. Ravel and M. Newville, J. Phys.: Conf. Ser. 712, 012148 (2016)) is
read, and the older dialects of the public XAS library, whose columns are documented as
``energy eV || PV`` and whose headers end without ``///``.
"""

import re
from collections.abc import Sequence
from dataclasses import replace

from rankaae_stream.files.base import Table
from rankaae_stream.files.header import names
from rankaae_stream.files.tables import make_table
from rankaae_stream.files.text import Block, listed_lines

__all__ = ["is_xdi", "read_xdi"]


def is_xdi(head: Sequence[str]) -> bool:
    """Return whether a header begins as XDI."""
    return bool(head) and re.match(r"#\s*XDI/", head[0]) is not None


def read_xdi(block: Block) -> Table:
    """Return the table of an XDI file; lines of its header without ``#`` are noted."""
    named, codes = names(block.head, block.rows.shape[1])
    table = make_table(
        block, named, codes, standard=any("column." in h.lower() for h in block.head)
    )
    unmarked = [
        number
        for number, line in zip(block.numbers, block.head, strict=True)
        if not line.lstrip().startswith("#")
    ]
    if not unmarked:
        return table
    note = f"{listed_lines(unmarked)} remarks without # and left out"
    return replace(table, notes=(*table.notes, note))
