"""Serve pizza-box files from Tiled: an adapter for the server, and options for the writer.

The server's configuration names the adapter and the folder that it may read::

    args:
      adapters_by_mimetype:
        application/x-pizzabox-apb: rankaae_stream.files.tiled_adapters:PizzaboxAdapter
        application/x-pizzabox-trigger: rankaae_stream.files.tiled_adapters:PizzaboxAdapter
        text/x-pizzabox-encoder: rankaae_stream.files.tiled_adapters:PizzaboxAdapter
      readable_storage: [/nsls2/data]

and the writer of the raw runs has to know their specs::

    TiledWriter(client, **raw_writer_options())
"""

# pyright: basic
# tiled has no types

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
"""Mimetype by the asset's spec, for Tiled's writer."""

_TABLES: Mapping[str, tuple[Callable[..., Any], int]] = {
    MIMETYPES["apb"]: (ApbHandler, 9),
    MIMETYPES["encoder"]: (EncoderHandler, 2),
    MIMETYPES["pulses"]: (TriggerHandler, 2),
}


class PizzaboxAdapter(ArrayAdapter):
    """An adapter that serves a file as one event: a table of shape (1, rows, columns)."""

    @classmethod
    def from_catalog(cls, data_source: Any, node: Any, /, **_parameters: Any) -> "PizzaboxAdapter":
        """Read the file of a node, in the shape it was registered with; missing rows are NaN."""
        rows = data_source.structure.shape[1]
        path = path_from_uri(data_source.assets[0].data_uri)
        table = np.full(data_source.structure.shape, np.nan)
        content = _table(path, data_source.mimetype)[:rows]
        table[0, : len(content)] = content
        return cls(table, data_source.structure, metadata=node.metadata_, specs=node.specs)

    @classmethod
    def from_uris(cls, data_uri: str, *, mimetype: str = MIMETYPES["apb"]) -> "PizzaboxAdapter":
        """Read a file that belongs to no run."""
        table = _table(path_from_uri(data_uri), mimetype)[None]
        return cls(table, ArrayStructure.from_array(table))


class PizzaboxConsolidator(ConsolidatorBase):
    """A consolidator that finds the shape of a file, which is (-1, -1) in the descriptor."""

    supported_mimetypes: ClassVar[set[str]] = set(_TABLES)

    def __init__(self, stream_resource: Any, descriptor: Any) -> None:
        super().__init__(stream_resource, descriptor)
        _, columns = _TABLES[self.mimetype]
        self.datum_shape = (_rows(path_from_uri(self.uri), self.mimetype), columns)


def raw_writer_options() -> dict[str, Any]:
    """Return the arguments of `TiledWriter` that make raw fly scans readable in Tiled.

    A file that does not exist yet when its run is written is registered without rows.
    """
    for mimetype in _TABLES:
        CONSOLIDATOR_REGISTRY[mimetype] = PizzaboxConsolidator
    return {
        "spec_to_mimetype": {**SPEC_TO_MIMETYPE, **dict.fromkeys(DATASETS, "application/x-hdf5")},
        "patches": {"resource": _without_root, "datum": _with_dataset},
    }


def _without_root(resource: dict[str, Any]) -> dict[str, Any]:
    """Remove the root where the path is absolute: the writer would put it before the path."""
    if str(resource.get("resource_path", "")).startswith("/"):
        resource["root"] = ""
    return resource


def _with_dataset(datum: dict[str, Any]) -> dict[str, Any]:
    """Add the dataset of a detector's sums: the writer knows that of the images only."""
    options = datum.get("datum_kwargs") or {}
    pattern = DATASETS.get(options.get("_resource_spec", ""))
    if pattern is not None and options.get("data_type") == "roi":
        # A datum without a region is left to the writer.
        with contextlib.suppress(KeyError):
            datum["datum_kwargs"] = {**options, "dataset": pattern.format_map(options)}
    return datum


def _table(path: Path, mimetype: str) -> Floats:
    handler, _ = _TABLES[mimetype]
    return handler(path)()


def _rows(path: Path, mimetype: str) -> int:
    """Return the number of rows; 0 for a file that cannot be read, so that the writer goes on."""
    try:
        return len(_table(path, mimetype))
    except Refused:
        return 0
