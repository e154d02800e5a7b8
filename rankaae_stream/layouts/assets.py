"""Collect, from a run's documents, the files that hold its data.

Two generations of documents name files: resource and datum, where the event holds the
datum's name in place of a number, and stream_resource and stream_datum, without events.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, cast

from rankaae_stream.errors import Refused
from rankaae_stream.files.pizzabox import KINDS, MIMETYPES
from rankaae_stream.files.resolve import path_of_uri
from rankaae_stream.layouts.base import Document

__all__ = ["Asset", "Assets", "streamed_asset"]


@dataclass(frozen=True, slots=True)
class Asset:
    """A file, and which part of it a data key means.

    Attributes
    ----------
    spec : str
        The format's name; empty where only a mimetype is known.
    kind : str
        The format's name in `files.pizzabox`, or empty.
    root, path : str
    options : mapping
        Of the datum: they choose a channel and a region of interest.
    """

    spec: str
    kind: str
    root: str
    path: str
    options: Mapping[str, Any] = field(default_factory=dict[str, Any])


class Assets:
    """Collects the assets of one run, by data key."""

    def __init__(self) -> None:
        self.streams: dict[str, tuple[str, ...]] = {}
        self._files: dict[str, Asset] = {}
        self._datums: dict[str, tuple[str, Mapping[str, Any]]] = {}
        self._named: dict[str, dict[tuple[str, Any], str]] = {}
        self._streamed: dict[str, list[Asset]] = {}
        self._keys: dict[str, tuple[str, ...]] = {}

    def feed(self, name: str, doc: Document) -> None:
        """Take note of a document."""
        if name == "descriptor":
            self._keys[doc["uid"]] = self.streams[str(doc.get("name", ""))] = tuple(
                doc["data_keys"]
            )
        elif name == "resource":
            spec = str(doc.get("spec", ""))
            root, path = str(doc.get("root", "")), str(doc.get("resource_path", ""))
            self._files[doc["uid"]] = Asset(
                spec, KINDS.get(spec, ""), root, path, doc.get("resource_kwargs") or {}
            )
        elif name in ("datum", "datum_page"):
            for identifier, options in _datums(name, doc):
                self._datums[identifier] = (doc["resource"], options)
        elif name in ("event", "event_page"):
            numbers = doc.get("seq_num")
            for key, value in doc["data"].items():
                paged = isinstance(value, (list, tuple))
                values = cast("Sequence[Any]", value if paged else [value])
                seq = cast(
                    "Sequence[Any]", numbers if isinstance(numbers, (list, tuple)) else [numbers]
                )
                named = self._named.setdefault(key, {})
                for place, item in enumerate(values):
                    if isinstance(item, str):
                        # An event of a known number is the same point, measured again.
                        number = seq[place] if len(seq) == len(values) else None
                        where = number if number is not None else ("no number", len(named))
                        named[str(doc.get("descriptor")), where] = item
        elif name == "stream_resource":
            asset = streamed_asset(doc)
            self._files[doc["uid"]] = asset
            if doc.get("data_key"):
                self._streamed.setdefault(doc["data_key"], []).append(asset)

    def of(self, key: str) -> Asset | None:
        """Return the file of a data key, or None if the run has none.

        Raises
        ------
        Refused
            ``missing_fields`` when a key names a datum without a file, or more
            than one file.
        """
        found = list(self._streamed.get(key, []))
        for identifier in self._named.get(key, {}).values():
            resource, options = self._datums.get(identifier, ("", {}))
            if resource not in self._files:
                raise Refused(
                    "missing_fields",
                    f"{key} refers to {identifier}, for which the run has no resource and datum",
                )
            file = self._files[resource]
            found.append(
                Asset(file.spec, file.kind, file.root, file.path, {**file.options, **options})
            )
        if len({(asset.root, asset.path) for asset in found}) > 1:
            raise Refused(
                "missing_fields", f"{key} has {len(found)} files; the layout reads one a run"
            )
        return found[0] if found else None


def _datums(name: str, doc: Document) -> Iterator[tuple[str, Mapping[str, Any]]]:
    if name == "datum":
        yield doc["datum_id"], doc.get("datum_kwargs") or {}
        return
    columns: Mapping[str, Sequence[Any]] = doc.get("datum_kwargs") or {}
    for row, identifier in enumerate(doc["datum_id"]):
        yield identifier, {key: values[row] for key, values in columns.items()}


def streamed_asset(doc: Document) -> Asset:
    """Return the file of a ``stream_resource``, of either schema that there has been."""
    options: Mapping[str, Any] = doc.get("parameters") or doc.get("resource_kwargs") or {}
    spec = str(doc.get("spec") or options.get("spec") or "")
    kind = KINDS.get(spec, "") or next(
        (kind for kind, mimetype in MIMETYPES.items() if mimetype == doc.get("mimetype")), ""
    )
    if "uri" in doc:
        return Asset(spec, kind, "", path_of_uri(doc["uri"]), options)
    root, path = str(doc.get("root", "")), str(doc.get("resource_path", ""))
    return Asset(spec, kind, root, path, options)
