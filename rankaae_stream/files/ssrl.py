"""Read ASCII files of SSRL's EXAFS Data Collector: under ``Data:`` each line names a column.

The offsets of the header are already subtracted from the counts.
"""

import re
from collections.abc import Sequence

from rankaae_stream.files.base import Table
from rankaae_stream.files.tables import make_table
from rankaae_stream.files.text import Block

__all__ = ["is_ssrl", "read_ssrl"]


def is_ssrl(head: Sequence[str]) -> bool:
    """Return whether a header is of SSRL's Data Collector."""
    return bool(head) and re.match(r"\s*SSRL\b.*Data Collector", head[0]) is not None


def read_ssrl(block: Block) -> Table:
    """Return the table of an SSRL file."""
    lines = [line.strip() for line in block.head]
    begin = max((i for i, line in enumerate(lines) if line.lower() == "data:"), default=len(lines))
    names = lines[begin + 1 :]
    return make_table(block, names if len(names) == block.rows.shape[1] else ())
