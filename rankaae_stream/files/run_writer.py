"""Write one run's documents, valid by event-model's schemas, and the HDF5 rows that they name.

For whoever plays a run: the simulated beamlines, and a layout that rehearses.
"""

import uuid as uuids
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import event_model
import h5py

from rankaae_stream.spectrum import Floats

__all__ = ["Documents", "RunWriter", "array", "number", "write_rows"]

Documents = list[tuple[str, Mapping[str, Any]]]


class RunWriter:
    """Append documents to one run.

    Parameters
    ----------
    name : str
        The run's uid follows from it, so that the same name gives the same documents.
    start : mapping
        Further keys of the start document.
    time : float
        Of the start, seconds since the epoch.
    uid : str, optional
        The run's, where the name is not to decide it.

    Attributes
    ----------
    documents : list of (name, document)
        Those that were written, the start first.
    time : float
        Of the document written last.
    """

    def __init__(
        self, name: str, start: Mapping[str, Any], time: float = 1.75e9, uid: str | None = None
    ) -> None:
        derived = uuids.uuid5(uuids.NAMESPACE_URL, f"rankaae-stream/simulate/{name}")
        self.uid = uid or str(derived)
        self.time = time
        self._run = event_model.compose_run(uid=self.uid, time=time, metadata=dict(start))
        self.documents: Documents = [("start", self._run.start_doc)]
        self._streams: dict[str, event_model.ComposeDescriptorBundle] = {}

    def stream(
        self,
        name: str,
        data_keys: Mapping[str, Mapping[str, Any]],
        configuration: Mapping[str, Any] | None = None,
    ) -> None:
        """Declare a stream; a data key may name its device under ``object_name``."""
        objects: dict[str, list[str]] = {}
        for key, value in data_keys.items():
            objects.setdefault(str(value.get("object_name", key)), []).append(key)
        bundle = self._run.compose_descriptor(
            name,
            data_keys={key: dict(value) for key, value in data_keys.items()},  # type: ignore[arg-type]
            object_keys=objects,
            configuration=dict(configuration or {}),
            uid=f"{self.uid}-{name}",
            time=self.time,
        )
        self._streams[name] = bundle
        self.documents.append(("descriptor", bundle.descriptor_doc))

    def event(
        self, stream: str, data: Mapping[str, Any], seconds: float = 1.0, *, validate: bool = True
    ) -> None:
        """Append an event, `seconds` after the document before."""
        self.time += seconds
        event = self._streams[stream].compose_event(
            data=dict(data),
            timestamps=dict.fromkeys(data, self.time),
            uid=f"{self.uid}-event-{len(self.documents)}",
            time=self.time,
            validate=validate,
        )
        self.documents.append(("event", event))

    def events(self, stream: str, columns: Mapping[str, Floats], points: int | None = None) -> None:
        """Append an event for each of the first `points` values of columns (n,), or for all."""
        rows = zip(*(column[:points].tolist() for column in columns.values()), strict=True)
        for number, row in enumerate(rows):
            # All have one form; to hold each against the schema takes five times as long.
            self.event(stream, dict(zip(columns, row, strict=True)), validate=number == 0)

    def page(
        self,
        stream: str,
        columns: Mapping[str, Any],
        seconds: float = 1.0,
        filled: Mapping[str, list[bool | str]] | None = None,
    ) -> None:
        """Append events of a stream as one event page; columns (n, ...)."""
        n = len(next(iter(columns.values())))
        times = [self.time + seconds * (i + 1) for i in range(n)]
        page = self._streams[stream].compose_event_page(
            data={key: list(values) for key, values in columns.items()},
            timestamps=dict.fromkeys(columns, times),
            seq_num=list(range(1, n + 1)),
            filled=dict(filled or {}),
            uid=[f"{self.uid}-{stream}-{i}" for i in range(n)],
            time=times,
        )
        self.time = times[-1]
        self.documents.append(("event_page", page))

    def asset(
        self, stream: str, spec: str, root: str, path: str, keys: Mapping[str, Mapping[str, Any]]
    ) -> None:
        """Append a file and the one event of a stream that names it.

        Parameters
        ----------
        stream, spec, root, path : str
        keys : mapping of mappings
            What the datum of each data key chooses from the file.
        """
        resource = self._run.compose_resource(
            spec=spec,
            root=root,
            resource_path=path,
            resource_kwargs={},
            path_semantics="posix",
            uid=f"{self.uid}-{stream}-file",
        )
        self.documents.append(("resource", resource.resource_doc))
        datums = {key: resource.compose_datum(dict(options)) for key, options in keys.items()}
        self.documents += [("datum", datum) for datum in datums.values()]
        columns = {key: [datum["datum_id"]] for key, datum in datums.items()}
        self.page(stream, columns, 0.0, {key: [False] for key in columns})

    def stream_resource(
        self, key: str, mimetype: str, uri: str, parameters: Mapping[str, Any]
    ) -> event_model.ComposeStreamDatum:
        """Append a data key's file, and return what announces rows of it; see `announce`."""
        compose = event_model.ComposeStreamResource(self._run.start_doc)
        bundle = compose(
            mimetype=mimetype,
            uri=uri,
            data_key=key,
            parameters=dict(parameters),
            uid=f"{self.uid}-{key}-resource",
        )
        self.documents.append(("stream_resource", bundle.stream_resource_doc))
        return bundle.compose_stream_datum

    def announce(
        self, stream: str, resource: event_model.ComposeStreamDatum, begin: int, end: int
    ) -> None:
        """Append a stream datum: rows `begin` to `end` of a file, the latter not included."""
        datum = resource(
            {"start": begin, "stop": end},
            seq_nums={"start": begin + 1, "stop": end + 1},
            descriptor=self._streams[stream].descriptor_doc,
        )
        self.documents.append(("stream_datum", datum))

    def stop(self, exit_status: str | None = "success", reason: str = "") -> None:
        """End the run, or leave it without an end where there is no status."""
        if exit_status is None:
            return
        self.time += 0.1
        stop = self._run.compose_stop(
            exit_status=exit_status,  # type: ignore[arg-type]
            reason=reason,
            uid=f"{self.uid}-stop",
            time=self.time,
        )
        self.documents.append(("stop", stop))


def number(units: str = "", source: str = "PV:simulated", precision: int = 5) -> dict[str, Any]:
    """Return a scalar data key as ophyd describes it."""
    key: dict[str, Any] = {"source": source, "dtype": "number", "shape": [], "precision": precision}
    return {**key, "units": units} if units else key


def array(*shape: int) -> dict[str, Any]:
    """Return an array's data key."""
    return {"source": "PV:simulated", "dtype": "array", "shape": list(shape)}


def write_rows(
    run: RunWriter,
    columns: Mapping[str, Floats],
    path: Path,
    *,
    stream: str = "primary",
    every: int = 100,
    late: bool = False,
    stop: str | None = "success",
) -> Iterator[tuple[str, Mapping[str, Any]]]:
    """Write a fly scan's fields to one HDF5 file, and yield the run's documents meanwhile.

    Parameters
    ----------
    run : RunWriter
        Holds the start document only.
    columns : mapping of (n,) arrays
        By field, which is the data set's name too.
    path : Path
        Of the file; it must not exist yet.
    stream : str
    every : int
        Rows between two announcements.
    late : bool
        Whether the file is one announcement behind, until the last.
    stop : str or None
        Exit status; None where the stop document never came.
    """
    uri = f"file://localhost{path}"
    rows = next(iter(columns.values())).size
    described = {"dtype": "number", "dtype_numpy": "<f8", "shape": [1], "external": "STREAM:"}
    key = {"source": uri, "object_name": "panda", **described}
    run.stream(stream, dict.fromkeys(columns, key))
    yield from run.documents
    given, written = len(run.documents), 0
    resources: list[event_model.ComposeStreamDatum] = []
    for begin in range(0, rows, every):
        end = min(begin + every, rows)
        upto = begin if late and end < rows else end
        if upto > written:
            _append(path, {key: column[written:upto] for key, column in columns.items()})
            written = upto
        if begin == 0:
            parameters = {key: {"dataset": f"/{key}", "chunk_shape": (1024,)} for key in columns}
            resources = [
                run.stream_resource(key, "application/x-hdf5", uri, options)
                for key, options in parameters.items()
            ]
        for resource in resources:
            run.announce(stream, resource, begin, end)
        yield from run.documents[given:]
        given = len(run.documents)
    if stop is not None:
        run.time += 10.0
        run.stop(stop)
        yield run.documents[-1]


def _append(path: Path, columns: Mapping[str, Floats]) -> None:
    with h5py.File(path, "a", libver="latest", locking=False) as file:
        for key, values in columns.items():
            if key not in file:
                file.create_dataset(key, (0,), float, maxshape=(None,), chunks=(1024,))
            dataset: Any = file[key]
            dataset.resize((dataset.shape[0] + values.size,))
            dataset[-values.size :] = values
