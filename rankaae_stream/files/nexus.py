"""Read scans from HDF5 files: NeXus as Diamond writes it, NXxas, and the ESRF's bliss.

An entry (``NXentry``, or a group ``1.1`` of bliss) is a scan. Its columns are the data sets of one
axis in it, those of ``measurement`` where the entry has such a group, as long as its energies.
"""

# pyright: basic
# h5py has no types

import contextlib
import os
import pickle
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import h5py
import h5py.h5o
import numpy as np

from rankaae_stream.errors import Refusal, Refused
from rankaae_stream.files.base import NO_ENERGIES, Table
from rankaae_stream.files.channels import energy_column
from rankaae_stream.files.hdf5 import MAX_BYTES, check_size, members, other_files, own
from rankaae_stream.files.roles import is_axis
from rankaae_stream.spectrum import Floats

__all__ = ["child", "read_nexus"]

SECONDS = 60
"""Within which a file has to be read."""
MEMORY = 4 * 1024**3
"""Address space of the process that reads, bytes."""
MOST_ENTRIES = 1000
MOST_SETS = 2000
DEPTH = 6
FEWEST = 10
"""Points of a scan."""
_PLAIN = frozenset(("data", "value", "values", "raw", "energy_data"))
_FACTS = {
    "element": ("element", "sample/element", "xas/element", "scan/element"),
    "edge": ("edge", "sample/edge", "xas/edge", "scan/edge"),
    "e0": ("edge_energy", "xas/edge_energy", "scan/edge_energy"),
    "d_spacing": (
        "instrument/monochromator/d_spacing",
        "instrument/monochromator/crystal/d_spacing",
    ),
    "title": ("title", "sample/name", "scan_command", "mode", "mode/name"),
}


def read_nexus(path: Path) -> list[Table]:
    """Read the scans of an HDF5 file, in a process of its own.

    HDF5's library can crash or loop for ever on a damaged file, which no limit inside the
    process ends.

    Raises
    ------
    Refused
        ``file`` when it cannot be read within `SECONDS`, or no entry holds energies.
    """
    code = f"import sys; sys.path[:] = {sys.path!r}; import {__name__} as n; n.child(sys.argv[1])"
    command = [sys.executable, "-c", code, str(path)]
    one = {"OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"}
    try:
        done = subprocess.run(
            command, capture_output=True, timeout=SECONDS, check=True, env={**os.environ, **one}
        )
        found: list[Table] | Refusal = pickle.loads(done.stdout)
    except subprocess.TimeoutExpired as error:
        reason = f"reading the HDF5 file takes more than {SECONDS} s; it may be damaged"
        raise Refused("file", reason) from error
    except (OSError, subprocess.CalledProcessError, pickle.UnpicklingError, EOFError) as error:
        raise Refused("file", "the HDF5 library fails on this file; it may be damaged") from error
    if isinstance(found, Refusal):
        raise found.error()
    return found


def child(path: str) -> None:
    """Read an HDF5 file and write its tables, or the refusal, to the standard output."""
    with contextlib.suppress(ImportError, ValueError, OSError):
        import resource

        resource.setrlimit(resource.RLIMIT_AS, (MEMORY, MEMORY))
    found: list[Table] | Refusal
    try:
        found = _read(Path(path))
    except Refused as refused:
        found = refused.refusal
    sys.stdout.buffer.write(pickle.dumps(found))


def _read(path: Path) -> list[Table]:
    try:
        with _open(path) as file:
            entries = list(_entries(file))
            budget = _Budget()
            tables = [table for name, entry in entries if (table := _table(name, entry, budget))]
            elsewhere = sorted(other_files(file, MOST_ENTRIES))
    except Exception as error:  # of a damaged file h5py raises all kinds
        if isinstance(error, Refused):
            raise
        raise Refused("file", f"cannot be read as HDF5: {error}") from error
    if not tables and elsewhere:
        raise Refused(
            "file", f"its scans lie in other files ({', '.join(elsewhere[:3])}); name those"
        )
    if not tables:
        raise Refused("file", f"{NO_ENERGIES}: none of its {len(entries)} entries has such data")
    return tables


def _open(path: Path) -> h5py.File:
    """Open a file that a beamline may still be writing: without a lock."""
    try:
        return h5py.File(path, "r", locking=False)
    except OSError:
        return h5py.File(path, "r", libver="latest", swmr=True, locking=False)


class _Budget:
    """Bytes that are read out of one file."""

    def __init__(self) -> None:
        self.left = MAX_BYTES

    def take(self, dataset: h5py.Dataset, path: str) -> Floats:
        check_size(dataset, path, int(dataset.size or 0))
        self.left -= 8 * int(dataset.size or 0)
        if self.left < 0:
            raise Refused("file", f"its scans take more than {MAX_BYTES // 1024**2} MiB")
        return np.asarray(dataset[()], dtype=np.float64).ravel()


def _entries(file: h5py.File) -> Iterator[tuple[str, h5py.Group]]:
    """Yield the groups of the first level, and the file itself where data sets lie there."""
    groups = [
        (name, found)
        for name, found in members(file, MOST_ENTRIES)
        if isinstance(found, h5py.Group)
    ]
    entries = [
        (name, found) for name, found in groups if _text(found.attrs, "NX_class") == "NXentry"
    ]
    yield from entries or groups
    if any(isinstance(found, h5py.Dataset) for _, found in members(file, MOST_ENTRIES)):
        yield "", file


def _table(name: str, entry: h5py.Group, budget: _Budget) -> Table | None:
    """Return the columns of an entry that are as long as its energies; None where it has none."""
    try:
        measurement = own(entry, "measurement")
    except Refused:
        measurement = None
    within = measurement if isinstance(measurement, h5py.Group) else entry
    found = list(_signals(within, "", DEPTH if within is entry else 1))[:MOST_SETS]
    axes = [(column, dataset) for column, dataset in found if is_axis(column.rsplit("/", 1)[-1])]
    for length in dict.fromkeys(int(dataset.size or 0) for _, dataset in axes):
        # In a scan that was aborted a counter may lack the last point.
        columns = [
            (column, dataset)
            for column, dataset in found
            if abs(int(dataset.size or 0) - length) <= max(2, length // 100)
        ]
        shortest = min(int(dataset.size or 0) for _, dataset in columns)
        rows = np.column_stack(
            [budget.take(dataset, column)[:shortest] for column, dataset in columns]
        )
        facts = _facts(entry)
        leaves = [column.rsplit("/", 1)[-1] for column, _ in columns]
        if {"incoming_beam", "monitor"} & set(leaves) and "absorbed_beam" in leaves:
            # NXxas gives this name to either signal; its mode says which was measured.
            through = facts.get("title", "").lower().rfind("transmission") >= 0
            leaves[leaves.index("absorbed_beam")] = "It" if through else "If"
        table = Table(
            names=tuple(
                leaf if leaves.count(leaf) == 1 else column
                for leaf, (column, _) in zip(leaves, columns, strict=True)
            ),
            rows=rows,
            units=tuple(_text(dataset.attrs, "units").lower() for _, dataset in columns),
            facts=facts,
            label=name,
            codes=tuple(column for column, _ in columns),
        )
        if energy_column(table) is not None:
            herfd = "herfd" in f"{facts.get('title', '')} {name}".lower()
            return replace(table, kind="herfd" if herfd else "xas")
    return None


def _signals(group: h5py.Group, path: str, depth: int) -> Iterator[tuple[str, h5py.Dataset]]:
    """Yield data sets of real numbers along one axis, with their paths below the entry."""
    seen: set[int] = set()
    waiting = [(path, group, depth)]
    for where, inside, level in waiting:
        for name, found in members(inside, MOST_SETS):
            address = h5py.h5o.get_info(found.id).addr
            if address in seen or len(seen) > MOST_SETS:
                continue
            seen.add(address)
            column = f"{where}/{name}" if where else name
            if isinstance(found, h5py.Group):
                if level > 1:
                    waiting.append((column, found, level - 1))
            elif found.dtype.kind in "iuf" and FEWEST <= (found.size or 0) == max(found.shape):
                # NXdetector keeps its numbers in a data set called data.
                yield (where if name in _PLAIN and where else column), found


def _facts(entry: h5py.Group) -> dict[str, str]:
    facts: dict[str, str] = {}
    for key, places in _FACTS.items():
        for place in places:
            try:
                found = own(entry, place)
            except Refused:
                continue
            text = _value(found) if isinstance(found, h5py.Dataset) else ""
            if text:
                facts[key] = f"{facts[key]} {text}" if key in facts else text
                if key != "title":
                    break
    return facts


def _value(dataset: h5py.Dataset) -> str:
    """Return a single text or number as text; empty where there are several."""
    if dataset.size != 1 or dataset.dtype.itemsize > 4096:
        return ""
    value = np.asarray(dataset[()]).ravel()[0]
    text = value.decode("utf-8", "replace") if isinstance(value, bytes) else str(value)
    return text[:500].strip()


def _text(attributes: h5py.AttributeManager, name: str) -> str:
    try:
        value = attributes.get(name, "")
    except OSError:
        return ""
    return value.decode("utf-8", "replace") if isinstance(value, bytes) else str(value)[:100]
