"""Write an ophyd-async fly scan: a PandA's HDF5 file grows while its rows are announced."""

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from rankaae_stream.files.run_writer import RunWriter, write_rows
from rankaae_stream.simulate.documents import Beam

__all__ = ["fly"]


def fly(
    beam: Beam,
    folder: Path,
    *,
    name: str = "fly",
    sweeps: int = 2,
    points: int = 400,
    every: int = 100,
    late: bool = False,
    stop: str | None = "success",
) -> Iterator[tuple[str, Mapping[str, Any]]]:
    """Write alternating sweeps in one stream; announced rows are in the file already.

    Parameters
    ----------
    beam : Beam
    folder : Path
        For the file ``<name>.h5``, with one data set a field.
    name : str
    sweeps, points : int
        Number of sweeps, and of rows in each.
    every : int
        Rows between two announcements.
    late : bool
        Whether the file is one announcement behind, until the last.
    stop : str or None
        Exit status; None where the stop document never came.

    Yields
    ------
    (str, mapping)
        Name and document, while the file grows.
    """
    e0 = beam.sample.edge.e0
    once = np.linspace(e0 - 160, e0 + 160, points)
    energy = np.concatenate([once[::-1] if i % 2 else once for i in range(sweeps)])
    columns = {"energy": energy, **beam.signals(energy)}
    run = RunWriter(f"panda/{name}", {"plan_name": "fly", "element": beam.sample.element})
    path = folder / f"{name}.h5"
    yield from write_rows(run, columns, path, every=every, late=late, stop=stop)
