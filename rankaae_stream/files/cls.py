"""Files of the Canadian Light Source's data acquisition: names in quotes behind ``#(event)``."""

import re
from collections.abc import Sequence

from rankaae_stream.files.base import Table
from rankaae_stream.files.columns import make_table, read_columns
from rankaae_stream.files.roles import role_of
from rankaae_stream.files.text import Block

__all__ = ["is_cls", "read_cls"]


def is_cls(head: Sequence[str]) -> bool:
    """Whether a header is of that data acquisition."""
    return bool(head) and "CLS Data Acquisition" in head[0]


def read_cls(block: Block) -> Table:
    """Return the table of its event; of two lines with names the one that tells more."""
    width = block.rows.shape[1]
    found: list[list[str]] = []
    for line in block.head:
        names = re.findall(r'"([^"]*)"', line) if line.startswith("#(") else []
        if len(names) == width:
            found.append([re.sub(r"\$\((.*)\)", r"\1", name) for name in names])
    if not found:
        return read_columns(block)
    best = max(found, key=lambda names: sum(role_of(name) is not None for name in names))
    return make_table(block, best)
