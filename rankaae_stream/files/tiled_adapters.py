"""Pizza-box files for Tiled: an adapter for the server, and a mimetype for the writer.

The server's configuration names the adapter, and the folder that it may read::

    args:
      adapters_by_mimetype:
        application/x-pizzabox-apb: rankaae_stream.files.tiled_adapters:PizzaboxAdapter
        application/x-pizzabox-trigger: rankaae_stream.files.tiled_adapters:PizzaboxAdapter
        text/x-pizzabox-encoder: rankaae_stream.files.tiled_adapters:PizzaboxAdapter
      readable_storage: [/nsls2/data]

and the writer of the raw runs says which specs they are::

    TiledWriter(client, **raw_writer_options())
"""

import contextlib
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
from bluesky_tiled_plugins.writing.consolidators import CONSOLIDATOR_REGISTRY, ConsolidatorBase
from tiled.adapters.array import ArrayAdapter
from tiled.structures.array import ArrayStructure
from tiled.utils import path_from_uri

from rankaae_stream.errors import Refused
from rankaae_stream.files.frames import DATASETS
from rankaae_stream.files.handlers import ApbHandler, EncoderHandler, TriggerHandler
from rankaae_stream.files.pizzabox import KINDS, MIMETYPES
from rankaae_stream.spectrum import Floats

__all__ = ["SPEC_TO_MIMETYPE", "PizzaboxAdapter", "raw_writer_options"]

SPEC_TO_MIMETYPE: Mapping[str, str] = {spec: MIMETYPES[kind] for spec, kind in KINDS.items()}
"""What Tiled is told of each spec."""

_TABLES: Mapping[str, tuple[Callable[..., Any], int]] = {
    MIMETYPES["apb"]: (ApbHandler, 9),
    MIMETYPES["encoder"]: (EncoderHandler, 2),
    MIMETYPES["pulses"]: (TriggerHandler, 2),
}


class PizzaboxAdapter(ArrayAdapter):
    """Serves a file as a table of shape (1, rows, columns): one event, and its rows."""

    @classmethod
    def from_catalog(cls, data_source: Any, node: Any, /, **_parameters: Any) -> "PizzaboxAdapter":
        """Read the file of a node, in the shape that was written when it was registered."""
        rows = data_source.structure.shape[1]
        path = path_from_uri(data_source.assets[0].data_uri)
        table = np.full(data_source.structure.shape, np.nan)
        content = _table(path, data_source.mimetype)[:rows]
        table[0, : len(content)] = content
        return cls(table, data_source.structure, metadata=node.metadata_, specs=node.specs)

    @classmethod
    def from_uris(cls, data_uri: str, *, mimetype: str = MIMETYPES["apb"]) -> "PizzaboxAdapter":
        """Read a file that no run names."""
        table = _table(path_from_uri(data_uri), mimetype)[None]
        return cls(table, ArrayStructure.from_array(table))


class PizzaboxConsolidator(ConsolidatorBase):
    """Tells Tiled the shape of a file, which the descriptor (-1, -1) leaves open."""

    supported_mimetypes: ClassVar[set[str]] = set(_TABLES)

    def __init__(self, stream_resource: Any, descriptor: Any) -> None:
        super().__init__(stream_resource, descriptor)
        _, columns = _TABLES[self.mimetype]
        self.datum_shape = (_rows(path_from_uri(self.uri), self.mimetype), columns)


def raw_writer_options() -> dict[str, Any]:
    """Arguments of `TiledWriter` with which raw fly scans are readable in Tiled.

    A file that is not there yet when its run is written is registered without rows.
    """
    for mimetype in _TABLES:
        CONSOLIDATOR_REGISTRY[mimetype] = PizzaboxConsolidator
    return {
        "spec_to_mimetype": {**SPEC_TO_MIMETYPE, **dict.fromkeys(DATASETS, "application/x-hdf5")},
        "patches": {"resource": _without_root, "datum": _with_dataset},
    }


def _without_root(resource: dict[str, Any]) -> dict[str, Any]:
    """The writer joins root and path whatever they are; an absolute path repeats the root."""
    if str(resource.get("resource_path", "")).startswith("/"):
        resource["root"] = ""
    return resource


def _with_dataset(datum: dict[str, Any]) -> dict[str, Any]:
    """Say where a detector's sums are: the writer knows of the images only."""
    options = datum.get("datum_kwargs") or {}
    pattern = DATASETS.get(options.get("_resource_spec", ""))
    if pattern is not None and options.get("data_type") == "roi":
        # One that does not say which region stays as the writer makes it.
        with contextlib.suppress(KeyError):
            datum["datum_kwargs"] = {**options, "dataset": pattern.format_map(options)}
    return datum


def _table(path: Path, mimetype: str) -> Floats:
    handler, _ = _TABLES[mimetype]
    return handler(path)()


def _rows(path: Path, mimetype: str) -> int:
    """How many rows a file has; none where it cannot be read, which must not stop the writer."""
    try:
        return len(_table(path, mimetype))
    except Refused:
        return 0
