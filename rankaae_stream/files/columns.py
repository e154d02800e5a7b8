"""Read the spectra of a text of any format: the dialect by its header, else plain columns."""

from collections.abc import Mapping, Sequence
from dataclasses import replace

import numpy as np

from rankaae_stream.errors import Refused
from rankaae_stream.files.base import Measured, Table, from_scans
from rankaae_stream.files.channels import energy_column, measure
from rankaae_stream.files.cls import is_cls, read_cls
from rankaae_stream.files.kek9809 import is_9809, read_9809
from rankaae_stream.files.spec import is_spec, read_spec
from rankaae_stream.files.ssrl import is_ssrl, read_ssrl
from rankaae_stream.files.tables import read_plain
from rankaae_stream.files.text import decode, find_blocks
from rankaae_stream.files.xdi import is_xdi, read_xdi

__all__ = ["MOST", "measure_tables", "read_columns", "text_tables"]

MOST = 1000
"""Spectra that one file may hold."""
GAP = 50.0
"""A table that begins at most this far after the last one, eV, continues the same scan."""

_DIALECTS = (
    (is_xdi, read_xdi),
    (is_9809, read_9809),
    (is_ssrl, read_ssrl),
    (is_cls, read_cls),
    (is_spec, read_spec),
)


def read_columns(content: bytes, choice: Mapping[str, str] | None = None) -> tuple[Measured, ...]:
    """Read the spectra of a text.

    Parameters
    ----------
    content : bytes
        Of the file.
    choice : mapping, optional
        Role to columns, see `channels.measure`.

    Returns
    -------
    tuple of Measured
        One for each scan and each channel of the scan.

    Raises
    ------
    Refused
        ``file``, with the reason.
    """
    return measure_tables(text_tables(content), choice)


def text_tables(content: bytes) -> list[Table]:
    """Read the tables of a text of any format, one for each scan in it.

    Raises
    ------
    Refused
        ``file`` when there is none.
    """
    blocks = find_blocks(decode(content))
    first = blocks[0].head
    read = next((read for recognise, read in _DIALECTS if recognise(first)), read_plain)
    tables = [read(block) for block in blocks]
    # The first header's element and edge are valid for the later scans, too.
    common = {key: tables[0].facts[key] for key in ("element", "edge") if key in tables[0].facts}
    return _joined([replace(table, facts={**common, **table.facts}) for table in tables])


def measure_tables(
    tables: Sequence[Table], choice: Mapping[str, str] | None
) -> tuple[Measured, ...]:
    """Return the spectra of all tables; skip a table without one, unless there is no other."""
    if len(tables) > MOST:
        raise Refused("file", f"{len(tables)} scans in one file; up to {MOST} are read")
    labels: dict[str, int] = {}
    labelled: list[Table] = []
    for number, table in enumerate(tables, 1):
        label = table.label or (str(number) if len(tables) > 1 else "")
        labels[label] = labels.get(label, 0) + 1
        label += f"-{labels[label]}" if labels[label] > 1 else ""
        labelled.append(replace(table, label=label))
    found, notes = from_scans(labelled, lambda table: measure(table, choice), "hold no spectrum")
    return (replace(found[0], notes=(*found[0].notes, *notes)), *found[1:])


def _joined(tables: Sequence[Table]) -> list[Table]:
    """Join the regions of one scan: the same columns, and energies that continue."""
    joined = [tables[0]]
    for table in tables[1:]:
        before = joined[-1]
        if not table.label and table.names == before.names and _goes_on(before, table):
            rows = np.concatenate([before.rows, table.rows])
            joined[-1] = replace(before, rows=rows, notes=(*before.notes, *table.notes))
        else:
            joined.append(table)
    return joined


def _goes_on(before: Table, table: Table) -> bool:
    axis = energy_column(before)
    if axis is None or table.rows.shape[1] != before.rows.shape[1]:
        return False
    first, last, begin = before.rows[0, axis], before.rows[-1, axis], table.rows[0, axis]
    gap = GAP if abs(last) > 200.0 else GAP / 1000.0  # keV, or degrees
    return bool(0.0 <= (begin - last) * np.sign(last - first) <= gap)
