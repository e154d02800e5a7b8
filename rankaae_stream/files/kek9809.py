"""Read the 9809 format of the Photon Factory, also used at SPring-8, SAGA-LS and Aichi SR.

Energies are angles of the monochromator, whose d-spacing is in the header. The line ``Mode``
has a number for each counter: 1 before the sample, 2 behind it, 3 fluorescence. The dark counts
in the line ``Offset`` are per second and not yet subtracted.
"""

import re
from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from rankaae_stream.files.base import Table
from rankaae_stream.files.header import facts
from rankaae_stream.files.tables import make_table
from rankaae_stream.files.text import Block
from rankaae_stream.spectrum import Floats

__all__ = ["is_9809", "read_9809"]

_MODES = {1: ("i0",), 2: ("it", "ir"), 3: ("iff",)}


def is_9809(head: Sequence[str]) -> bool:
    """Return whether a header is of the 9809 format."""
    return bool(head) and re.match(r"#?\s*9809\s", head[0]) is not None


def read_9809(block: Block) -> Table:
    """Return the table of a 9809 file, with the offsets subtracted from the counts."""
    width = block.rows.shape[1]
    modes, offsets = _numbers(block.head, "mode", width), _numbers(block.head, "offset", width)
    names = ["Angle(c)", "Angle(o)", "time", *(f"column{i + 1}" for i in range(3, width))][:width]
    seen: list[int] = []
    for i in range(3, width):
        mode = int(modes[i])
        seen.append(mode)
        if mode in _MODES:
            known = _MODES[mode]
            repeat = seen.count(mode)
            names[i] = known[repeat - 1] if repeat <= len(known) else f"{known[-1]}{repeat}"
    rows = block.rows.copy()
    if offsets[3:].any():
        rows[:, 3:] -= offsets[3:] * rows[:, 2:3]
        block.notes.append(
            "the offsets of the header, in counts per second, were subtracted from the counts"
        )
    stated = facts(block.head)
    spacing = next((m[1] for h in block.head if (m := re.search(r"\bD=\s*([\d.]+)", h))), "")
    table = make_table(block, names, stated={**stated, "d_spacing": spacing})
    return replace(table, rows=rows)


def _numbers(head: Sequence[str], word: str, width: int) -> Floats:
    """Return the numbers after a word, (width,), aligned with the last columns; else zeros."""
    found = np.zeros(width)
    for line in head:
        words = line.split()
        if words and words[0].lower() == word:
            values = [float(v) for v in words[1:] if re.fullmatch(r"-?\d{1,12}(\.\d*)?", v)]
            used = values[-width:]
            found[width - len(used) :] = used
    return found
