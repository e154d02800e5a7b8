"""Open stored runs: a Tiled catalog, or files of documents.

An archive is opened by its name, a Tiled address or a path. Its runs have `start` and
`documents()`.
"""

import itertools
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Self, cast
from urllib.parse import quote, urlsplit

from rankaae_stream.addresses import read_server, refuse_secret
from rankaae_stream.errors import ConfigurationError
from rankaae_stream.layouts.base import Document
from rankaae_stream.past.in_files import ENDINGS, Damaged, read_runs
from rankaae_stream.past.references import FileRuns, TiledRun, open_to_read
from rankaae_stream.past.selection import Selection, meanings
from rankaae_stream.results.sinks import Postponed, Unavailable

__all__ = [
    "Archive",
    "Stream",
    "browse_address",
    "catalogs_of",
    "documents_of",
    "open_archive",
    "sentence_of",
]

KEY_VARIABLE = "TILED_API_KEY"
LARGEST_FILE = 16 * 2**20
"""Bytes of a file that one process reads for another; the runs of a larger one are handed out."""


@dataclass(frozen=True, slots=True)
class Stream:
    """Where a Tiled server says what is new in a container.

    Attributes
    ----------
    address : str
        Of the websocket; that of a node below it has the node's key after a slash.
    headers : mapping of str
        With the key.
    """

    address: str
    headers: Mapping[str, str] = field(repr=False)


class Archive:
    """Stored runs under one name; a context manager.

    Attributes
    ----------
    name : str
    runs : iterable
        Each with `start` and `documents()`.
    total : int
        About how many there are; files count as one run each.
    references : iterable
        The same runs for other processes, of which each reads some; a run of a large file is
        read here. Of `runs` and `references` one can be iterated, once.
    on_server : bool
        Whether reading a run asks a server.
    browse : str
        Address of Tiled's own page of the container, below which each run is; empty for files.
    stream : Stream or None
        Where Tiled says what is new in the container; None for files.
    """

    def __init__(
        self,
        name: str,
        runs: Iterable[Any],
        total: int,
        context: Any = None,
        references: Iterable[Any] = (),
        browse: str = "",
        stream: Stream | None = None,
        find: Callable[[Selection], Iterable[Any]] | None = None,
    ) -> None:
        self.name = name
        self.runs = runs
        self.total = total
        self.references = references
        self.on_server = context is not None
        self.browse = browse
        self.stream = stream
        self._context = context
        self._find = find

    def find(self, selection: Selection) -> Iterable[Any]:
        """Ask the server again, by the same connection: the runs of a selection as they are now.

        Raises
        ------
        ConfigurationError
            Of files, which are read once.
        """
        if self._find is None:
            raise ConfigurationError(f"{self.name} is no Tiled server")
        return self._find(selection)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc_info: object) -> None:
        self.close()

    def close(self) -> None:
        """Close the connection to a server."""
        if self._context is not None:
            self._context.close()


def open_archive(source: str, selection: Selection, own: tuple[str, str | None]) -> Archive:
    """Open an archive by its name.

    Parameters
    ----------
    source : str
        ``http(s)://server#container`` or the node's address as Tiled's interface
        or its web page show it; or a file or folder of documents
        (``*.jsonl``, ``*.msgpack``).
    selection : Selection
        A Tiled server is asked for these only; files are all read.
    own : (uri, key)
        The server of the results and its key, which is sent to no other server.

    Raises
    ------
    ConfigurationError
        When there is no such archive, or the key may not read it.
    """
    try:
        path = Path(source).expanduser()
        is_path = path.exists()
    except (OSError, RuntimeError, ValueError):  # too long a name, no such user, a NUL
        path, is_path = Path(), False
    if not is_path:
        refuse_secret(source, KEY_VARIABLE)
    if source.lower().startswith(("http://", "https://")):
        return _open_tiled(source, selection, own)
    if is_path and path.is_dir():
        paths = sorted(item for ending in ENDINGS for item in path.rglob(f"*{ending}"))
        if not paths:
            raise ConfigurationError(f"{path} holds no {' or '.join(ENDINGS)} files")
    elif is_path and path.suffix in ENDINGS and path.is_file():
        paths = [path]
    elif is_path and path.is_file():
        raise ConfigurationError(
            f"{path} is no archive; its name must end in {' or '.join(ENDINGS)}"
        )
    else:
        raise ConfigurationError(
            f"no archive {source!r}: neither a file or folder nor a Tiled address, "
            "such as http://127.0.0.1:8000#raw"
        )
    runs = (run for item in paths for run in read_runs(item))
    return Archive(str(path), runs, len(paths), references=_file_references(paths))


def catalogs_of(uri: str, own: tuple[str, str | None]) -> list[str]:
    """List the catalogs of bluesky runs on a Tiled server, by addresses for `open_archive`.

    It looks two levels deep, and into the first hundred of many containers.

    Raises
    ------
    ConfigurationError
        When the server does not answer or the key may not read it.
    """
    from httpx import HTTPError
    from tiled.client import constructors

    context = None
    try:
        same = urlsplit(uri).netloc == urlsplit(own[0]).netloc
        context, _ = open_to_read(uri, own[1] if same else None)
        found = list(_catalogs_below(constructors.from_context(context), [], 2))
    except (Unavailable, Postponed, HTTPError) as error:
        keys = f"the key comes from RANKAAE_STREAM_TILED_API_KEY, else from {KEY_VARIABLE}"
        raise ConfigurationError(f"cannot look for runs at {uri}: {error}; {keys}") from error
    finally:
        if context is not None:
            context.close()
    return [f"{uri.rstrip('/')}#{'/'.join(path)}" for path in found]


def documents_of(run: Any) -> list[tuple[str, Document]]:
    """Read all (name, document) of a run, before any of them is used: one may be damaged."""
    return [
        (name, doc)
        for name, doc in (run.documents() if hasattr(run, "documents") else run)
        # Tiled makes an empty stop document for a run that has none.
        if name != "stop" or (doc and doc.get("run_start"))
    ]


def sentence_of(error: Exception) -> str:
    """Return in one sentence why a run could not be read."""
    if isinstance(error, (Damaged, Unavailable, Postponed)):
        return str(error)
    text = " ".join(str(error).split())[:300]
    if "406" in text:
        return (
            "Tiled does not hand out documents; its configuration needs, under media_types, "
            "BlueskyRun: {application/json-seq: bluesky_tiled_plugins.exporters:json_seq_exporter}"
        )
    return f"{type(error).__name__}: {text}" if text else type(error).__name__


def _file_references(paths: list[Path]) -> Iterator[Any]:
    for path in paths:
        if len(paths) > 1 and path.stat().st_size <= LARGEST_FILE:
            yield FileRuns(str(path))
        else:
            yield from read_runs(path)


# ---- Tiled ---------------------------------------------------------------------------


def _open_tiled(source: str, selection: Selection, own: tuple[str, str | None]) -> Archive:
    from tiled.client import constructors

    parts = read_server(source, KEY_VARIABLE)
    if parts.query:
        raise ConfigurationError(
            "a Tiled address has no part after a question mark; name the container after a #"
        )
    path = parts.path.replace("/ui/browse", "/api/v1/metadata", 1)
    address = parts._replace(path=path, fragment="").geturl()
    same = parts.netloc == urlsplit(own[0]).netloc
    context = None
    try:
        context, node = open_to_read(address, own[1] if same else None)
        if not context.authenticated and context.server_info.authentication.required:
            raise ConfigurationError(
                f"Tiled at {address} wants a key; set it in the environment: "
                f"export {KEY_VARIABLE}=..."
            )
        node += [part for part in parts.fragment.split("/") if part]
        root = cast("Any", constructors.from_context(context))
        catalog = _catalog(root, node, address)
        shown = browse_address(address, node)
        if hasattr(catalog, "documents"):
            one, above = TiledRun(address, catalog.item), shown.rpartition("/")[0]

            def again(selection: Selection) -> list[Any]:
                del selection
                return [_catalog(root, node, address)]

            return Archive(source, [catalog], 1, context, [one], above, find=again)
        searches = _searches(catalog, selection)
        references = (TiledRun(address, run.item) for run in _runs_of(searches))
        total = sum(len(search) for search in searches)
        return Archive(
            source,
            _runs_of(searches),
            total,
            context,
            references,
            shown,
            _stream(context, node),
            lambda selection: _runs_of(_searches(catalog, selection)),
        )
    except BaseException as error:
        if context is not None:
            context.close()
        if isinstance(error, ConfigurationError) or not isinstance(error, Exception):
            raise
        raise ConfigurationError(f"cannot open {source}: {sentence_of(error)}") from error


def browse_address(uri: str, node: Sequence[str]) -> str:
    """Return the address of Tiled's own page of a node.

    Examples
    --------
    >>> browse_address("http://127.0.0.1:8000/api/v1/metadata/raw", ["raw"])
    'http://127.0.0.1:8000/ui/browse/raw'
    """
    server = uri.partition("/api/v1")[0].rstrip("/")
    return "/".join((f"{server}/ui/browse", *map(_quoted, node)))


def _stream(context: Any, node: Sequence[str]) -> Stream:
    key = context.api_key
    path = "/".join(map(_quoted, node))
    address = f"{str(context.api_uri).rstrip('/')}/stream/single/{path}"
    headers = {"Authorization": f"Apikey {key}"} if key else {}
    return Stream(f"ws{address.removeprefix('http')}", headers)


def _quoted(part: str) -> str:
    return quote(part, safe="")


def _catalog(root: Any, node: list[str], address: str) -> Any:
    """Return the container of runs, or the one run, at a path."""
    client = root
    for part in node:
        try:
            client = client[part]
        except (KeyError, ValueError) as error:
            raise ConfigurationError(
                f"Tiled at {address} has no {part!r} under /{'/'.join(node)} that the key may see"
            ) from error
    names = {spec.name for spec in getattr(client, "specs", ())}
    if not names & {"CatalogOfBlueskyRuns", "BlueskyRun"}:
        inside = sorted(str(key) for key in client)[:10] if hasattr(client, "keys") else []
        raise ConfigurationError(
            f"/{'/'.join(node)} at {address} is no catalog of bluesky runs; it holds "
            f"{', '.join(inside) or 'nothing'}; name the catalog after a #, such as "
            f"{address.rstrip('/')}#{'/'.join([*node, 'raw'])}"
        )
    return client


def _catalogs_below(node: Any, path: list[str], depth: int) -> Iterator[list[str]]:
    names = {spec.name for spec in getattr(node, "specs", ())}
    if "CatalogOfBlueskyRuns" in names:
        yield path
    elif depth and hasattr(node, "items"):
        for key, child in itertools.islice(node.items(), 100):
            yield from _catalogs_below(child, [*path, str(key)], depth - 1)


def _searches(catalog: Any, selection: Selection) -> list[Any]:
    """Return searches that together hold every run of the selection."""
    from tiled.queries import Comparison, In, Like, Regex

    if selection.since is not None:
        catalog = catalog.search(Comparison("ge", "start.time", selection.since))
    if selection.until is not None:
        catalog = catalog.search(Comparison("lt", "start.time", selection.until))
    for key, text in selection.where:
        catalog = catalog.search(In(f"start.{key}", meanings(text)))
    if not selection.uids:
        return [catalog]
    if _is_mongo(catalog):  # databroker's MongoDB catalogs know no patterns
        return [catalog.search(Regex("start.uid", f"^{uid}")) for uid in selection.uids]
    return [catalog.search(Like("start.uid", f"{uid}%")) for uid in selection.uids]


def _runs_of(searches: list[Any]) -> Iterator[Any]:
    return (run for search in searches for run in search.values())


def _is_mongo(catalog: Any) -> bool:
    """Return whether a catalog has the layout that databroker gives to MongoDB's runs."""
    return any(
        spec.name == "CatalogOfBlueskyRuns" and str(spec.version).partition(".")[0] in ("1", "2")
        for spec in getattr(catalog, "specs", ())
    )
