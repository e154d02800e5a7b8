"""Make tables with names of blocks of numbers under any header.

Formats that write their names where `header.names` finds them need no other reader: DESY's
``.fio``, NSLS's XDAC, and the scans that EPICS and LabVIEW write at the APS.
"""

from collections.abc import Mapping, Sequence

from rankaae_stream.files.base import Table
from rankaae_stream.files.header import facts, names
from rankaae_stream.files.roles import split_unit
from rankaae_stream.files.text import Block

__all__ = ["make_table", "read_plain"]


def read_plain(block: Block) -> Table:
    """Return a text's table with the names that its header gives."""
    return make_table(block, *names(block.head, block.rows.shape[1]))


def make_table(
    block: Block,
    named: Sequence[str],
    codes: Sequence[str] = (),
    *,
    label: str = "",
    standard: bool = False,
    stated: Mapping[str, str] | None = None,
) -> Table:
    """Return the table of a block, with the names and units of its columns.

    Parameters
    ----------
    block : Block
    named : sequence of str
        Of the columns, or empty.
    codes : sequence of str
        Other names of the columns; `named` as written by default.
    label : str
    standard : bool
        Whether the format defines what the names mean.
    stated : mapping, optional
        Keys and values of the header; by default those that `header.facts` finds.

    Returns
    -------
    Table
    """
    split = [split_unit(name) for name in named]
    # A detector called so among others is one column, not what the file is.
    column = next((name for name in (*codes, *named) if "herfd" in name.lower()), None)
    words = [line.lower() for line in block.head if column is None or column not in line]
    return Table(
        names=tuple(name for name, _ in split),
        rows=block.rows,
        units=tuple(unit for _, unit in split),
        facts=facts(block.head) if stated is None else stated,
        label=label,
        notes=tuple(block.notes),
        codes=tuple(codes or named),
        standard=standard,
        kind="herfd" if any("herfd" in line for line in words) else "xas",
    )
