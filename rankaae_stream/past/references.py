"""Name stored runs so that another process can read them by itself.

A reference is small and plain; it holds no key. Its documents are read where it is opened.
"""

import threading
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar, Protocol, cast
from urllib.parse import urlsplit

from rankaae_stream.layouts.base import Document
from rankaae_stream.past.in_files import read_runs
from rankaae_stream.results.sinks import Unreachable
from rankaae_stream.results.tiled_client import open_context

__all__ = ["Access", "FileRuns", "Held", "Reference", "TiledRun", "open_to_read"]

READ_TIMEOUT = 60.0
"""Seconds that a server may take to collect one run's documents."""


def open_to_read(address: str, key: str | None) -> tuple[Any, list[str]]:
    """Connect to a server as `open_context` does; a request that gets no answer is repeated once.

    After an error of its own a server closes the connection, which a next request may have taken
    by then: for one run the whole archive would seem to be away.
    """
    context, path = open_context(address, key, READ_TIMEOUT)
    send = context.http_client.send

    def sent(*args: Any, **settings: Any) -> Any:
        try:
            return send(*args, **settings)
        except Unreachable:
            return send(*args, **settings)

    context.http_client.send = sent
    return context, path


class Reference(Protocol):
    """Stored runs, not read yet; `on_server` says whether reading asks a server."""

    on_server: ClassVar[bool]

    @property
    def name(self) -> str:
        """Return what a person calls them."""
        ...

    @property
    def start(self) -> Document:
        """Return the start document where it is known, else an empty one."""
        ...

    def open(self, access: "Access") -> Sequence[Any]:
        """Return the runs, each with `start` and `documents()`."""
        ...


class Access:
    """Connections to servers, one each, with the key that may be sent to one of them.

    Parameters
    ----------
    own : (uri, key)
        The server of the results and its key, which is sent to no other server; without it
        the key of the environment, TILED_API_KEY, is sent.
    """

    def __init__(self, own: tuple[str, str | None]) -> None:
        self._own = own
        self._lock = threading.Lock()
        self._contexts: dict[str, Any] = {}

    def context(self, address: str) -> Any:
        """Return the connection to a server; made once."""
        with self._lock:
            if address not in self._contexts:
                same = urlsplit(address).netloc == urlsplit(self._own[0]).netloc
                key = self._own[1] if same else None
                self._contexts[address], _ = open_to_read(address, key)
            return self._contexts[address]

    def close(self) -> None:
        """Close all connections."""
        for context in self._contexts.values():
            context.close()
        self._contexts.clear()


@dataclass(frozen=True, slots=True)
class FileRuns:
    """The runs of one file."""

    path: str
    on_server: ClassVar[bool] = False

    @property
    def name(self) -> str:
        """Return the file."""
        return self.path

    @property
    def start(self) -> Document:
        """Return an empty document: the file was not read."""
        return {}

    def open(self, access: Access) -> Sequence[Any]:
        """Read the file."""
        del access
        return read_runs(Path(self.path))


@dataclass(frozen=True, slots=True, eq=False)
class TiledRun:
    """One run of a Tiled server: its address, and what the server says of the node."""

    address: str
    item: dict[str, Any]
    on_server: ClassVar[bool] = True

    @property
    def name(self) -> str:
        """Return the node's name, which is the run's uid."""
        return str(self.item.get("id", "a run without a name"))

    @property
    def start(self) -> Document:
        """Return the start document."""
        metadata: Any = self.item["attributes"]["metadata"]
        start: Any = cast("Any", metadata).get("start") if isinstance(metadata, dict) else None
        return cast("Document", start) if isinstance(start, dict) else {}

    def open(self, access: Access) -> Sequence[Any]:
        """Return the run; its documents are requested when they are read."""
        from tiled.client import container, utils

        container.Container.discover_clients_from_entrypoints()
        clients = cast("Any", container).DEFAULT_STRUCTURE_CLIENT_DISPATCH["numpy"]
        return [
            cast("Any", utils).client_for_item(access.context(self.address), clients, self.item)
        ]


@dataclass(frozen=True, slots=True, eq=False)
class Held:
    """A run whose documents were read already."""

    uid: str
    start: Document
    held: list[tuple[str, Document]]
    on_server: ClassVar[bool] = False

    @property
    def name(self) -> str:
        """Return the run's uid."""
        return self.uid

    def open(self, access: Access) -> Sequence[Any]:
        """Return itself, as the one run."""
        del access
        return [self]

    def documents(self) -> list[tuple[str, Document]]:
        """Return the documents."""
        return self.held
