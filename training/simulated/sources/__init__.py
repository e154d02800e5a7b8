"""Where simulated sites come from: one reader, three sources.

`read_sites` gives the same noun (`Site`) from our Parquet, from the original
authors' CSV and from folders of FEFF runs.
"""

import csv as csv_module
import hashlib
import math
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path

from rankaae_stream.errors import ConfigurationError
from rankaae_stream.spectrum import K_EDGES
from training.config import Data
from training.simulated.sources import csv, feff, parquet
from training.simulated.sources.physical import RULE, Dropped, unphysical
from training.simulated.sources.site import Site, SourceError, checked, unlabelled

__all__ = [
    "RULE",
    "Site",
    "Sites",
    "SourceError",
    "checked",
    "elements",
    "read_sites",
    "unlabelled",
]

Given = Mapping[str, Mapping[str, str]]


@dataclass(frozen=True)
class Sites:
    """What was read.

    Attributes
    ----------
    sites : tuple of Site
        In the order of the files' names and of the rows.
    dropped : dict
        How many were unphysical, by reason.
    bad : tuple of str
        What could not be read and was skipped.
    sources : tuple of (name, sha256)
        Files it came from; of FEFF runs, the glob and one digest over all.
    """

    sites: tuple[Site, ...]
    dropped: Mapping[str, int]
    bad: tuple[str, ...]
    sources: tuple[tuple[str, str], ...]


def read_sites(element: str, data: Data, folder: Path, *, skip_bad: bool = False) -> Sites:
    """Read, check and sift all sites of an element.

    Parameters
    ----------
    element : str
    data : Data
        `source`, `simulated` and `table` are used.
    folder : Path
        Where `simulated` and `table` lie.
    skip_bad : bool
        Go on after what cannot be read, and list it.

    Raises
    ------
    SourceError
        At the first file, row or run that cannot be read, unless `skip_bad`.
    ConfigurationError
        When nothing matches, or nothing of the element is left.
    """
    paths = _paths(data, folder)
    given: Given = _table(folder / data.table) if data.table else {}
    sites: list[Site] = []
    dropped: Counter[str] = Counter()
    bad: list[str] = []
    for found in _read(paths, data.source, element, given):
        try:
            if isinstance(found, SourceError):
                raise found
            if found.element != element:
                continue
            if isinstance(found, Dropped):
                dropped[found.reason] += 1
                continue
            site = checked(found)
        except SourceError as error:
            if not skip_bad:
                raise
            bad.append(str(error))
            continue
        reason = unphysical(site)
        if reason:
            dropped[reason] += 1
        else:
            sites.append(site)
    if not sites:
        names = ", ".join(path.name for path in paths[:5])
        more = f" and {len(paths) - 5} more" if len(paths) > 5 else ""
        lost = f" ({sum(dropped.values())} unphysical, {len(bad)} bad)" if dropped or bad else ""
        raise ConfigurationError(f"no {element} site in {names}{more}{lost}")
    return Sites(tuple(sites), dict(dropped), tuple(bad), _digests(paths, data, folder))


def elements(data: Data, folder: Path) -> tuple[str, ...]:
    """List absorbers with a known edge that the files hold, in alphabetic order.

    Raises
    ------
    ConfigurationError
        When nothing matches, or the source holds no structures.
    """
    if data.source == "csv":
        raise ConfigurationError("a CSV holds no structures; expected the source parquet or feff")
    found = _read(_paths(data, folder), data.source, "", {})
    named = {site.element for site in found if isinstance(site, Site)}
    return tuple(sorted(named & K_EDGES.keys()))


def _paths(data: Data, folder: Path) -> list[Path]:
    try:
        paths = sorted(folder.glob(data.simulated))
    except (ValueError, NotImplementedError) as error:
        raise ConfigurationError(
            f"data.simulated = {data.simulated!r}: {error}; expected a glob below {folder}"
        ) from error
    wanted = [path for path in paths if path.is_dir() == (data.source == "feff")]
    if not wanted:
        kind = "folder" if data.source == "feff" else "file"
        raise ConfigurationError(f"no {kind} matches {data.simulated} in {folder}")
    return wanted


def _read(
    paths: Iterable[Path], source: str, element: str, given: Given
) -> Iterator[Site | Dropped | SourceError]:
    """Read all sites of the files; a file that cannot be read is one error."""
    for path in paths:
        try:
            if source == "parquet":
                yield from parquet.read(path)
            elif source == "csv":
                yield from (_completed(found, given) for found in csv.read(path, element))
            else:
                yield feff.read(path, given)
        except SourceError as error:
            yield error


def _completed(found: Site | SourceError, given: Given) -> Site | SourceError:
    """Complete a CSV site by what the table says of its material."""
    if isinstance(found, SourceError) or found.group not in given:
        return found
    row = given[found.group]
    state = float(row.get("oxidation_state") or "nan")
    return replace(
        found,
        group=row.get("host_formula") or found.group,
        oxidation_state=found.oxidation_state if math.isnan(state) else state,
    )


def _table(path: Path) -> Given:
    """Read the table's rows by id.

    Raises
    ------
    SourceError
        When the file is no such table.
    """
    expected = "columns id and oxidation_state (a number or empty), host_formula or both"
    try:
        with path.open(encoding="utf-8-sig", newline="") as handle:
            rows = list(csv_module.DictReader(handle, strict=True, restval=""))
    except (OSError, UnicodeDecodeError, csv_module.Error) as error:
        raise SourceError(path.name, f"cannot be read ({error})", expected) from error
    given: dict[str, Mapping[str, str]] = {}
    for number, row in enumerate(rows, start=1):
        if "id" not in row or not {"oxidation_state", "host_formula"} & row.keys():
            raise SourceError(path.name, f"columns {', '.join(map(str, row))}", expected, "heading")
        state = row.get("oxidation_state") or "nan"
        try:
            float(state)
        except ValueError as error:
            raise SourceError(
                path.name, f"oxidation_state {state!r}", expected, f"row {number}"
            ) from error
        if row["id"] in given:
            raise SourceError(path.name, f"{row['id']} is there twice", expected, f"row {number}")
        given[row["id"]] = row
    return given


def _digests(paths: list[Path], data: Data, folder: Path) -> tuple[tuple[str, str], ...]:
    if data.source == "feff":
        whole = hashlib.sha256()
        for run in paths:
            for path in feff.files(run):
                whole.update(f"{run.name}/{path.name} {_sha256(path)}\n".encode())
        found = [(data.simulated, whole.hexdigest())]
    else:
        found = [(path.name, _sha256(path)) for path in paths]
    if data.table:
        found.append((data.table, _sha256(folder / data.table)))
    return tuple(found)


def _sha256(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()
