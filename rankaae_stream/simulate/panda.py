"""An ophyd-async fly scan: a PandA writes HDF5 while stream datums announce its rows."""

import uuid
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import event_model
import numpy as np

from rankaae_stream.simulate.documents import Beam, RunWriter
from rankaae_stream.spectrum import Floats

__all__ = ["fly", "fly_columns"]


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
    """Alternating sweeps in one stream; what a document announces is in the file by then.

    Parameters
    ----------
    beam : Beam
    folder : Path
        Where ``<name>.h5`` is written, one data set a field.
    name : str
    sweeps, points : int
        How many sweeps, and rows of each.
    every : int
        Rows between two announcements.
    late : bool
        The file is one announcement behind, until the last.
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
    yield from fly_columns(run, columns, path, every=every, late=late, stop=stop)


def fly_columns(
    run: RunWriter,
    columns: Mapping[str, Floats],
    path: Path,
    *,
    stream: str = "primary",
    every: int = 100,
    late: bool = False,
    stop: str | None = "success",
) -> Iterator[tuple[str, Mapping[str, Any]]]:
    """A run whose fields (n,) are written to one file, `every` rows between two announcements."""
    uri = f"file://localhost{path}"
    rows = next(iter(columns.values())).size
    run.stream(stream, {key: _external(uri) for key in columns})
    yield from run.documents
    compose = event_model.ComposeStreamResource(run.documents[0][1])  # type: ignore[arg-type]
    bundles = [
        compose(
            mimetype="application/x-hdf5",
            uri=uri,
            data_key=key,
            parameters={"dataset": f"/{key}", "chunk_shape": (1024,)},
            uid=str(uuid.uuid5(run.uid, f"resource {key}")),
        )
        for key in columns
    ]
    written = 0
    for begin in range(0, rows, every):
        end = min(begin + every, rows)
        upto = begin if late and end < rows else end
        if upto > written:
            _append(path, {key: column[written:upto] for key, column in columns.items()})
            written = upto
        if begin == 0:
            for bundle in bundles:
                yield "stream_resource", bundle.stream_resource_doc
        for bundle in bundles:
            datum = bundle.compose_stream_datum(
                {"start": begin, "stop": end},
                seq_nums={"start": begin + 1, "stop": end + 1},
                descriptor=run.descriptor_of(stream),
            )
            yield "stream_datum", datum
    if stop is not None:
        run.time += 10.0
        run.stop(stop)
        yield run.documents[-1]


def _external(uri: str) -> dict[str, Any]:
    described = {"dtype": "number", "dtype_numpy": "<f8", "shape": [1], "external": "STREAM:"}
    return {"source": uri, "object_name": "panda", **described}


def _append(path: Path, columns: dict[str, Floats]) -> None:
    import h5py

    with h5py.File(path, "a", libver="latest", locking=False) as file:
        for key, values in columns.items():
            if key not in file:
                file.create_dataset(key, (0,), float, maxshape=(None,), chunks=(1024,))
            dataset: Any = file[key]
            dataset.resize((dataset.shape[0] + values.size,))
            dataset[-values.size :] = values
