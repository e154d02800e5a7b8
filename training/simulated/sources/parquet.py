"""Our own files: one row a spectrum with the cluster it was simulated for."""

# pyright: basic
# pyarrow has no types

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from training.simulated.sources.physical import MISLABELLED, Dropped, mislabelled
from training.simulated.sources.site import Site, SourceError

__all__ = ["REQUIRED", "read"]

REQUIRED = ("element", "oxidation_state", "host_formula", "energy", "mu", "symbols", "xyz")


def read(path: Path) -> Iterator[Site | Dropped | SourceError]:
    """Read sites of every element in the order of the rows; an error for a row that is none.

    Rattled rows of a site whose relaxed geometry contradicts its valence are given as dropped:
    only the relaxed one can tell, and they bear its label.

    Raises
    ------
    SourceError
        When the file is no Parquet or lacks a column.
    """
    try:
        table = pq.read_table(path)
    except (pa.ArrowException, OSError) as error:
        raise SourceError(path.name, f"cannot be read ({error})", "a Parquet file") from error
    missing = [name for name in REQUIRED if name not in table.column_names]
    if missing:
        raise SourceError(
            path.name, f"no column {', '.join(missing)}", f"the columns {', '.join(REQUIRED)}"
        )
    rows = table.to_pylist()
    found = [_row(path.name, i, row) for i, row in enumerate(rows, start=1)]
    wrong = {
        calculation
        for row, site in zip(rows, found, strict=True)
        if (calculation := _calculation(row)) and _contradicts(site)
    }
    for row, site in zip(rows, found, strict=True):
        if isinstance(site, Site) and not site.native and _calculation(row) in wrong:
            yield Dropped(site.element, MISLABELLED)
        else:
            yield site


def _calculation(row: dict[str, Any]) -> tuple[Any, ...] | None:
    """Return what the geometries of one site share; None where the file does not state it."""
    named = tuple(row.get(name) for name in ("element", "material", "site"))
    return None if None in named else named


def _contradicts(found: Site | SourceError) -> bool:
    # What lies malformed in a cluster is for `checked` to say, with the row.
    return isinstance(found, Site) and len(found.symbols) == len(found.xyz) and mislabelled(found)


def _row(file: str, number: int, row: dict[str, Any]) -> Site | SourceError:
    try:
        return _site(file, f"row {number} ({row['host_formula']})", row)
    except (TypeError, ValueError) as error:
        return SourceError(file, str(error), "no empty cells, and numbers", f"row {number}")


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
        own_host=not row.get("substituted"),
        symbols=tuple(row["symbols"]),
        xyz=np.asarray(row["xyz"], dtype=float).reshape(-1, 3),
    )
