"""Read the table of a beamline's own standards: which file holds which known valence."""

import csv
import math
import tomllib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

import numpy as np
from numpy.typing import NDArray

from rankaae_stream.errors import ConfigurationError

__all__ = ["FEWEST", "OWN", "Groups", "Row", "left_out_groups", "read_table"]

Groups = NDArray[np.intp]
"""Which standards are left out together, (n,)."""

FEWEST = 2
"""Standards below which nothing can be left out and predicted."""
OWN = 9
"""Independent standards from which on their own residuals give the interval: fewer cannot
support a level of 90 %, which needs n / (n + 1)."""
MOST = 2000
"""Largest number of standards; a day of quick scans is less."""
COLUMNS = ("file", "valence", "compound")
OTHER_NAMES = {"oxidation_state": "valence"}
EXAMPLE = "a CSV with the header file,valence,compound, or a TOML with [[standard]] tables of these"


@dataclass(frozen=True, slots=True)
class Row:
    """One standard of the table.

    `file` may name one group, ``project.prj::group``. Rows of one `compound` are left out
    together; where the table names none, each row is one.
    """

    file: str
    valence: float
    compound: str


def read_table(path: Path) -> tuple[Row, ...]:
    """Read a CSV or TOML table of standards.

    Parameters
    ----------
    path : Path
        Files are searched beside it.

    Returns
    -------
    tuple of Row
        In the table's order.

    Raises
    ------
    ConfigurationError
        When the table cannot be read, lacks a column, or cannot be used: no or one
        standard, a valence that is no number, one valence only.
    """
    try:
        text = path.read_text(encoding="utf-8-sig")
        plain = _toml(text) if path.suffix.lower() == ".toml" else _csv(text)
    except OSError as error:
        raise ConfigurationError(
            f"--standards {path}: cannot read it ({error.strerror}); it is {EXAMPLE}"
        ) from error
    except (UnicodeDecodeError, tomllib.TOMLDecodeError, csv.Error) as error:
        raise ConfigurationError(f"--standards {path}: {error}; write {EXAMPLE}") from error
    if len(plain) > MOST:
        raise ConfigurationError(
            f"--standards {path}: {len(plain)} standards, at most {MOST}; take every tenth"
        )
    rows = tuple(_row(entry, number, path) for number, entry in enumerate(plain, 1))
    if not rows:
        raise ConfigurationError(f"--standards {path} holds no standard; write {EXAMPLE}")
    if len({row.compound for row in rows}) < FEWEST:
        raise ConfigurationError(
            f"--standards {path} holds one compound; to fit a model two or more are needed, of "
            "different valence. For the energy axis alone give it to infer as --axis-from"
        )
    if len({row.valence for row in rows}) < FEWEST:
        raise ConfigurationError(
            f"--standards {path}: all {len(rows)} standards have valence {rows[0].valence:g}; a "
            "fit needs two valences or more. For the energy axis alone give one of them to infer "
            "as --axis-from"
        )
    return rows


def left_out_groups(compounds: Sequence[str], blocks: int | None) -> Groups:
    """Return which standards are left out together, (n,): a compound's, or blocks of a series.

    Raises
    ------
    ConfigurationError
        For fewer than two blocks, or more than there are standards.

    Examples
    --------
    >>> left_out_groups(["FeO", "Fe2O3", "FeO"], None).tolist()
    [0, 1, 0]
    >>> left_out_groups(["a", "b", "c", "d", "e"], 2).tolist()
    [0, 0, 0, 1, 1]
    """
    if blocks is None:
        names = list(dict.fromkeys(compounds))
        return np.array([names.index(one) for one in compounds])
    if not 2 <= blocks <= len(compounds):
        raise ConfigurationError(
            f"--blocks {blocks}: choose 2 to {len(compounds)}, the number of standards; 10 is usual"
        )
    parts = np.array_split(np.arange(len(compounds)), blocks)
    return np.concatenate([np.full(part.size, number) for number, part in enumerate(parts)])


def _csv(text: str) -> list[dict[str, Any]]:
    lines = [line for line in text.splitlines() if line.strip() and not line.startswith("#")]
    if not lines:
        return []
    delimiter = ";" if ";" in lines[0] else "\t" if "\t" in lines[0] else ","
    reader = csv.DictReader(lines, delimiter=delimiter, skipinitialspace=True)
    return [
        {str(key).strip().lower(): value for key, value in row.items() if key is not None}
        for row in reader
    ]


def _toml(text: str) -> list[dict[str, Any]]:
    tables = tomllib.loads(text).get("standard", [])
    if not isinstance(tables, list) or not all(isinstance(one, dict) for one in tables):  # pyright: ignore[reportUnknownVariableType]
        raise tomllib.TOMLDecodeError("standard is no list of tables")
    return cast("list[dict[str, Any]]", tables)


def _row(entry: dict[str, Any], number: int, table: Path) -> Row:
    where = f"--standards {table}, standard {number}"
    entry = {OTHER_NAMES.get(key, key): value for key, value in entry.items()}
    missing = [key for key in COLUMNS[:2] if entry.get(key) in (None, "")]
    if missing:
        raise ConfigurationError(f"{where}: no {' and no '.join(missing)}; write {EXAMPLE}")
    unknown = set(entry) - set(COLUMNS)
    if unknown:
        raise ConfigurationError(
            f"{where}: {', '.join(sorted(unknown))} is unknown; known are {', '.join(COLUMNS)}"
        )
    try:
        valence = float(entry["valence"])
    except (TypeError, ValueError):
        valence = math.nan
    if not math.isfinite(valence):
        said = entry["valence"]
        raise ConfigurationError(f"{where}: valence {said!r} is no number, such as 2.67")
    name = str(entry["file"]).strip()
    file, mark, group = name.partition("::")
    found = table.parent / Path(file).expanduser()
    if not _is_file(found):
        raise ConfigurationError(f"{where}: no file {found}; paths are counted from the table")
    compound = str(entry.get("compound") or "").strip() or name
    return Row(f"{found}{mark}{group}", valence, compound)


def _is_file(path: Path) -> bool:
    try:
        return path.is_file()
    except (OSError, ValueError):
        return False
