"""Read SPEC files: a scan begins with ``#S number command``, ``#L`` names its columns.

Two blanks separate the columns. Spectra of a multichannel analyser (``@A``) are skipped.
"""

import re
from collections.abc import Sequence

from rankaae_stream.files.base import Table
from rankaae_stream.files.header import split_names
from rankaae_stream.files.tables import make_table, read_plain
from rankaae_stream.files.text import Block

__all__ = ["is_spec", "read_spec"]


def is_spec(head: Sequence[str]) -> bool:
    """Return whether a header is of a SPEC file."""
    return any(re.match(r"#S\s+\d", line) for line in head)


def read_spec(block: Block) -> Table:
    """Return the table of the last scan that a header announces."""
    begin = max((i for i, line in enumerate(block.head) if line.startswith("#S")), default=0)
    number = re.match(r"#S\s+([\d.]+)", block.head[begin]) if block.head else None
    names = [line[2:] for line in block.head[begin:] if line.startswith("#L")]
    found = split_names(names[-1], block.rows.shape[1]) if names else []
    if not found:
        return read_plain(block)
    return make_table(block, found, label=number[1] if number else "")
