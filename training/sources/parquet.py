"""Our own files: one row a spectrum with the cluster it was simulated for."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from training.sources.site import Site, SourceError

__all__ = ["REQUIRED", "read"]

REQUIRED = ("element", "oxidation_state", "host_formula", "energy", "mu", "symbols", "xyz")


def read(path: Path) -> Iterator[Site | SourceError]:
    """Sites of every element in the order of the rows; an error in place of a row that is none.

    Raises
    ------
    SourceError
        When the file is no Parquet or lacks a column.
    """
    try:
        table = pq.read_table(path)
    except (pa.ArrowException, OSError) as error:
        raise SourceError(path.name, "", f"cannot be read ({error})", "a Parquet file") from error
    missing = [name for name in REQUIRED if name not in table.column_names]
    if missing:
        raise SourceError(
            path.name,
            "",
            f"no column {', '.join(missing)}",
            f"the columns {', '.join(REQUIRED)}",
        )
    for i, row in enumerate(table.to_pylist(), start=1):
        try:
            yield _site(path.name, f"row {i} ({row['host_formula']})", row)
        except (TypeError, ValueError) as error:
            yield SourceError(path.name, f"row {i}", str(error), "no empty cells, and numbers")


def _site(file: str, where: str, row: dict[str, Any]) -> Site:
    state = row["oxidation_state"]
    return Site(
        file=file,
        row=where,
        element=row["element"],
        energy=np.asarray(row["energy"], dtype=float),
        mu=np.asarray(row["mu"], dtype=float),
        oxidation_state=float("nan") if state is None else float(state),
        group=row["host_formula"] or where,
        native=not row.get("substituted") and not row.get("variant"),
        symbols=tuple(row["symbols"]),
        xyz=np.asarray(row["xyz"], dtype=float).reshape(-1, 3),
    )
