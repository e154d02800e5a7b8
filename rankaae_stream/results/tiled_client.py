"""Connect to a Tiled server: each request is sent once, and failures are plain verdicts.

An answer is untrusted, and what is compressed may be a thousand times as large as it looks: it is
counted as it is unpacked.
"""

# pyright: basic
# tiled's client has few types

import contextlib
import logging
import threading
from collections.abc import Callable, Generator, Iterator, Mapping
from functools import partial
from typing import Any
from urllib.parse import urlsplit

import numpy as np

from rankaae_stream.printable import printable
from rankaae_stream.results.sinks import Postponed, Rejected, Unavailable, Unreachable

__all__ = [
    "begin_run",
    "free_folder",
    "get_child",
    "holds_tables_of",
    "open_context",
    "query_parameters",
    "translate_tiled_errors",
]

LARGEST = 256 * 1024 * 1024
"""Bytes that an answer may have, unpacked: a run of a million rows, or a block of an array."""
LARGEST_TREE = 64 * 1024 * 1024
"""The same for metadata, which become objects of many times their bytes."""
TREES = ("application/json", "application/x-msgpack")

ENCODING = "gzip"
"""The one compression that is asked for. Others unpack all at once, whatever comes out."""


def open_context(uri: str, api_key: str | None, timeout: float) -> tuple[Any, list[str]]:
    """Connect to a Tiled server; each request is sent once, see `TiledSink`.

    An answer of more than `LARGEST`, or in another compression than `ENCODING`, raises
    `Postponed`, when it is read: it may be this one alone.

    Parameters
    ----------
    uri : str
        Server, or a node by its address in the interface, ``.../api/v1/metadata/a/b``.
    api_key : str or None
        None for what TILED_API_KEY holds, if anything.
    timeout : float
        Seconds that the server may take for one answer.

    Returns
    -------
    context : tiled.client.context.Context
    path : list of str
        The node's.

    Raises
    ------
    Unreachable, Unavailable, Postponed
    """
    import httpx
    from tiled.client.context import Context

    # A proxy in the environment is not for a server on this machine.
    local = urlsplit(uri).hostname in ("127.0.0.1", "localhost", "::1")
    limits = httpx.Timeout(timeout, connect=min(timeout, 3.0))
    headers = {"accept-encoding": ENCODING}

    opened = contextlib.ExitStack()

    class Bounded(Context):
        """Sends its first request, which it makes before it is there, in the same way."""

        @property
        def http_client(self) -> Any:
            return self._client

        @http_client.setter
        def http_client(self, client: Any) -> None:
            client.send = _only_once(client.send, uri)
            client.event_hooks["response"].append(partial(_count, uri))  # of redirects, too
            opened.callback(client.close)
            self._client = client

    with httpx.Client(headers=headers, timeout=limits, trust_env=not local) as client:
        send = _only_once(client.send, uri)
        url = _secured(send(client.build_request("GET", uri), stream=True))
    above, _, node = url.path.partition("/metadata")
    root = above.partition("/api")[0].rstrip("/")
    with opened:  # closed where the first request fails
        context = Bounded(
            url.copy_with(path=f"{root}/api/v1"),
            headers=headers,
            api_key=api_key,
            timeout=limits,
            trust_env=not local,
        )
        opened.pop_all()
    return context, [part for part in node.split("/") if part]


def _secured(answer: Any) -> Any:
    """Return the address of an answer, or its HTTPS one on the same host, to which it leads."""
    answer.close()
    asked = answer.request.url
    other = answer.next_request.url if answer.next_request else asked
    return other if (other.scheme, other.host) == ("https", asked.host) else asked


@contextlib.contextmanager
def translate_tiled_errors(uri: str, key_variable: str = "") -> Generator[None]:
    """Raise what Tiled's client raises as a verdict on a result or a state of the server.

    Parameters
    ----------
    uri : str
        The server, for the message.
    key_variable : str
        The environment variable that the key came from, for the message.

    Raises
    ------
    Rejected
        When the server understood the documents and does not take them.
    Unavailable
        When it does not take the key.
    Unreachable
        When it does not answer.
    """
    from httpx import HTTPStatusError, TransportError

    try:
        with _without_plugin_tracebacks():
            yield
    except HTTPStatusError as error:
        code = error.response.status_code
        if code in (400, 413, 422):
            raise Rejected(str(error)) from error
        if code in (401, 403):
            # Tiled says 401 to a key without the scope, too.
            known = code == 403 or "permissions" in str(error)
            problem = "does not let the key write" if known else "does not know the key"
            fix = f"; set {key_variable} and start again" if key_variable else ""
            raise Unavailable(f"Tiled at {uri} {problem} (HTTP {code}){fix}") from error
        raise
    except TransportError as error:
        raise _unreachable(uri, error) from error


def _only_once(send: Callable[..., Any], uri: str) -> Callable[..., Any]:
    """Wrap an httpx call so that Tiled does not repeat it: it repeats httpx's errors only."""
    from httpx import TransportError

    def sent(*args: Any, **settings: Any) -> Any:
        try:
            response = send(*args, **settings)
        except TransportError as error:
            raise _unreachable(uri, error) from error
        code = response.status_code
        if code == 429 or code >= 500:
            response.close()
            # Of its own accord a server is busy for everybody; an error may be this result's.
            kind = Unavailable if code in (429, 502, 503, 504) else Postponed
            raise kind(f"Tiled at {uri} answers {_asked(response)} with HTTP {code}")
        return response

    return sent


def _count(uri: str, response: Any) -> None:
    """Let a response raise while it is read, as soon as it is too large."""
    encoding = response.headers.get("content-encoding", "identity").lower()
    if encoding not in (ENCODING, "identity"):
        raise Postponed(
            f"Tiled at {uri} answers {_asked(response)} in a compression that was not asked for, "
            f"{printable(encoding)}; let it or what stands before it send {ENCODING} or none"
        )
    kind = response.headers.get("content-type", "").partition(";")[0].strip().lower()
    most, unpacked = LARGEST_TREE if kind in TREES else LARGEST, response.iter_bytes

    def bounded(chunk_size: int | None = None) -> Iterator[bytes]:
        size = 0
        for chunk in unpacked(chunk_size):
            size += len(chunk)
            if size > most:
                raise Postponed(
                    f"Tiled at {uri} answers {_asked(response)} with more than {most // 1024**2} MB"
                )
            yield chunk

    response.iter_bytes = bounded


def _asked(response: Any) -> str:
    return f"{response.request.method} {response.request.url.path}"


def _unreachable(uri: str, error: Exception) -> Unreachable:
    return Unreachable(f"Tiled at {uri} does not answer: {str(error) or type(error).__name__}")


@contextlib.contextmanager
def _without_plugin_tracebacks() -> Generator[None]:
    """Keep what the writer of the plugins logs before it raises it out of the session's log.

    Closing a run's streams when Tiled has died, it logs a traceback for each. The error comes
    out here all the same, and becomes one sentence. Other threads, say those of the session's
    own writers of raw runs, log as ever.
    """
    logger = logging.getLogger("bluesky_tiled_plugins.writing.tiled_writer")
    if _quiet not in logger.filters:
        logger.addFilter(_quiet)
    before, _quiet.here.active = getattr(_quiet.here, "active", False), True
    try:
        yield
    finally:
        _quiet.here.active = before


class _Quiet(logging.Filter):
    def __init__(self) -> None:
        super().__init__()
        self.here = threading.local()

    def filter(self, record: logging.LogRecord) -> bool:
        return record.exc_info is None or not getattr(self.here, "active", False)


_quiet = _Quiet()


# ---- private to Tiled and its plugins; tests/results/test_tiled_client.py pins each ----


def begin_run(writer: Any, start: Mapping[str, Any]) -> Any:
    """Return a writer of one run that has written the run's start document.

    Bypass the router of `writer`, a TiledWriter: it hides the errors of a start document,
    say of a key that may not write, as warnings in the session.
    """
    (run_writer,), _ = writer._factory("start", start)
    run_writer("start", dict(start))
    return run_writer


def free_folder(writer: Any, stream: str) -> None:
    """Delete the folder of a stream of a run that was begun anew, with whatever lies in it.

    A Tiled that was killed while it made an array, or that deleted it under another writer's
    hands, leaves a folder without an entry, and each later attempt to write that array ends in
    HTTP 500. An array in the stream's place has that folder as its own: it takes it along.

    Parameters
    ----------
    writer
        As `begin_run` returns it, with nothing but its start document written.
    stream : str
    """
    run = writer.root_node
    with contextlib.suppress(Postponed):  # then all is as it was
        run.write_array(np.zeros(1), key=stream)
        run.delete_contents([stream], recursive=True, external_only=False)


def get_child(container: Any, key: str) -> Any:
    """Return a container's child by one request; raise KeyError where there is none.

    A catalog of runs would look for beginnings of uids too, with two requests more.
    """
    from tiled.client.container import Container

    return Container.__getitem__(container, key)


def holds_tables_of(writer: Any) -> bool:
    """Return whether Tiled still holds the tables that a writer of one run has made.

    In its database each table has a number that never comes again: one that was made anew, at the
    same place, has another.

    Parameters
    ----------
    writer
        As `begin_run` returns it.
    """
    for table in writer._internal_tables.values():
        wanted = {"include_data_sources": True}
        answer = table.context.http_client.get(table.uri, params=wanted)
        if answer.status_code == 404:
            return False
        answer.raise_for_status()
        if _table_number(answer.json()["data"]) != _table_number(table.item):
            return False
    return bool(writer._internal_tables)


def _table_number(item: Mapping[str, Any]) -> int:
    return item["attributes"]["data_sources"][0]["parameters"]["dataset_id"]


def query_parameters(container: Any) -> dict[str, Any]:
    """Return the request parameters of what a container was searched for.

    Tiled's client has no method that picks keys out of metadata.
    """
    return dict(container._queries_as_params)
