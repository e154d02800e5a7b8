"""Read files of the Canadian Light Source: names in quotes behind ``#(event)``."""

import re
from collections.abc import Sequence

from rankaae_stream.files.base import Table
from rankaae_stream.files.roles import role_of
from rankaae_stream.files.tables import make_table, read_plain
from rankaae_stream.files.text import Block

__all__ = ["is_cls", "read_cls"]


def is_cls(head: Sequence[str]) -> bool:
    """Return whether a header is of the Canadian Light Source's data acquisition."""
    return bool(head) and "CLS Data Acquisition" in head[0]


def read_cls(block: Block) -> Table:
    """Return the file's table; of two lines with names, the one with more known roles is used."""
    width = block.rows.shape[1]
    found: list[list[str]] = []
    for line in block.head:
        names = re.findall(r'"([^"]*)"', line) if line.startswith("#(") else []
        if len(names) == width:
            found.append([re.sub(r"\$\((.*)\)", r"\1", name) for name in names])
    if not found:
        return read_plain(block)
    best = max(found, key=lambda names: sum(role_of(name) is not None for name in names))
    return make_table(block, best)
