"""Where results go: Tiled, or any callable on (name, document).

Bringing a result twice changes nothing: a sink that holds a complete run of its
uid is done, and one without a stop is deleted and written again.
"""

import contextlib
import json
import logging
import re
from collections.abc import Callable, Iterator
from typing import Any, Protocol
from urllib.parse import urlsplit

from rankaae_stream.compose import ResultRun, is_partial

__all__ = [
    "CallableSink",
    "Rejected",
    "Sink",
    "TiledSink",
    "Unavailable",
    "Unreachable",
    "open_context",
]

logger = logging.getLogger(__name__)


class Rejected(Exception):  # noqa: N818 - a verdict of the sink
    """The sink understood the documents and will never take them."""


class Unavailable(Exception):  # noqa: N818 - a state of the sink, not an error of the program
    """The sink takes nothing now; the message says why and what to do."""


class Unreachable(Unavailable):
    """Nothing answers there."""


class Sink(Protocol):
    """Where results go. Both methods may raise; the publisher then tries again.

    `Rejected` alone puts the result aside, so that the next one has its turn.
    """

    name: str

    def provisional(self, run: ResultRun) -> None:
        """Show an event of a result that is still changing."""
        ...

    def final(self, run: ResultRun) -> None:
        """Bring a complete result; doing it twice must change nothing."""
        ...

    def close(self) -> None:
        """Let go of connections."""
        ...


class CallableSink:
    """Any callable on (name, document)."""

    def __init__(self, function: Callable[[str, dict[str, Any]], Any], name: str = "") -> None:
        self.name = name or getattr(function, "__name__", type(function).__name__)
        self._function = function
        self._events: dict[str, int] = {}

    def provisional(self, run: ResultRun) -> None:
        """Start, descriptor and event the first time, then the event."""
        number = self._events.get(run.uid, 0) + 1
        for name, doc in run.numbered(number).documents():
            if name == "event" or (number == 1 and name != "stop"):
                self._function(name, doc)
        self._events[run.uid] = number

    def final(self, run: ResultRun) -> None:
        """What is still missing of the run."""
        opened = self._events.pop(run.uid, 0)
        for name, doc in run.numbered(opened + 1).documents():
            if not opened or name in ("event", "stop"):
                self._function(name, doc)

    def close(self) -> None:
        """Nothing to let go of."""


class TiledSink:
    """A container of bluesky runs on a Tiled server, reached when first needed.

    Parameters
    ----------
    uri, node : str
        Server and container.
    api_key : str
    key_variable : str
        The environment variable that `api_key` came from, for messages.
    timeout : float
        Seconds that the server may take for one answer.

    Notes
    -----
    Tiled's client repeats a failed request for 45 s (TILED_RETRY_TIMEOUT, which
    holds for every client in the process), and a provisional result that is
    caught in that would hold the finals back, with "Retrying" printed into the
    session. The publisher tries again by itself, so each request of this client
    is sent once: `_only_once`.
    """

    def __init__(
        self, uri: str, node: str, api_key: str, *, key_variable: str = "", timeout: float = 10.0
    ) -> None:
        self.uri = uri
        self.node = node
        self.name = re.sub(r"\W+", "-", f"tiled {urlsplit(uri).netloc} {node}").strip("-")
        self._api_key = api_key
        self._key_variable = key_variable
        self._timeout = timeout
        self._client: Any = None
        self._writer: Any = None
        self._open: dict[str, tuple[Any, int]] = {}

    def provisional(self, run: ResultRun) -> None:
        """Append an event to the run, which is opened the first time."""
        writer, number = self._open.pop(run.uid, (None, 0))
        numbered = run.numbered(number + 1)
        with self._told_plainly():
            writer = writer or self._begin(run)
            if writer is None:
                return
            writer("event", numbered.event)
        # Only now: a run whose append failed is rewritten whole at the end.
        self._open[run.uid] = writer, number + 1

    def final(self, run: ResultRun) -> None:
        """Complete the open run, or write it whole where there is no complete one."""
        writer, number = self._open.pop(run.uid, (None, 0))
        if writer is not None:
            try:
                numbered = run.numbered(number + 1)
                with self._told_plainly():
                    writer("event", numbered.event)
                    writer("stop", numbered.stop)
                return
            except Exception as error:  # noqa: BLE001 - it is written whole from the spool instead
                logger.info("result %s is written again: %s", run.uid, error)
        try:
            with self._told_plainly():
                self._write_whole(run)
        except Rejected:
            # What was begun would stay without a stop, and break who reads it.
            with contextlib.suppress(Exception):
                self.remove(run.uid)
            raise

    def _write_whole(self, run: ResultRun) -> None:
        try:
            writer = self._begin(run)
            if writer is not None:
                writer("event", dict(run.event))
                writer("stop", dict(run.stop))
        except json.JSONDecodeError:
            raise  # of an answer, say a proxy's page
        except (ValueError, TypeError) as error:
            raise Rejected(f"{type(error).__name__}: {error}") from error

    def metadata(self, uid: str) -> dict[str, Any] | None:
        """What the server says of a result, with `start` and, once it is whole, `stop`."""
        from tiled.client.container import Container

        with self._told_plainly():
            try:
                # A catalog of runs would look for beginnings of uids too, with two requests more.
                return dict(Container.__getitem__(self._container(), uid).metadata)
            except KeyError:
                return None

    def newest(self) -> dict[str, Any] | None:
        """The same of what was written last, or None where there is nothing."""
        with self._told_plainly():
            found = self._container()
            return dict(found.values().last().metadata) if len(found) else None

    def remove(self, uid: str) -> None:
        """Take a result away."""
        with self._told_plainly():
            self._container().delete_contents([uid], recursive=True, external_only=False)

    def close(self) -> None:
        """Close the connection; it is made again when it is needed."""
        client, self._client, self._writer = self._client, None, None
        if client is not None:
            client.context.close()

    @contextlib.contextmanager
    def _told_plainly(self) -> Iterator[None]:
        """What Tiled raises as a verdict on the result or a state of the server."""
        from httpx import HTTPStatusError, TransportError

        try:
            yield
        except HTTPStatusError as error:
            code = error.response.status_code
            if code in (400, 413, 422):
                raise Rejected(str(error)) from error
            if code in (401, 403):
                # Tiled says 401 to a key without the scope, too.
                known = code == 403 or "permissions" in str(error)
                may = "does not let the key write" if known else "does not know the key"
                fix = f"; set {self._key_variable} and start again" if self._key_variable else ""
                raise Unavailable(f"Tiled at {self.uri} {may} (HTTP {code}){fix}") from error
            raise
        except TransportError as error:
            raise _silent(self.uri, error) from error

    def _begin(self, run: ResultRun) -> Any:
        """A writer that has opened the run, or None where a complete one is there."""
        from httpx import HTTPStatusError

        try:
            writer = self._opened(run)
        except HTTPStatusError as error:
            # Most results are new: only where the server says that one is not, it is looked at.
            if error.response.status_code != 409:
                raise
            if self._is_there(run):
                return None
            writer = self._opened(run)
        writer("descriptor", dict(run.descriptor))
        return writer

    def _opened(self, run: ResultRun) -> Any:
        """A writer that has written the run's start document."""
        from bluesky_tiled_plugins import TiledWriter

        if self._writer is None:  # kept, for it asks for the container when it is made
            self._writer = TiledWriter(self._container(), normalizer=None, batch_size=1)
        # Past its router, which turns whatever goes wrong with a start document, a key
        # that may not write for one, into a warning in the session, and goes on.
        (writer,), _ = self._writer._factory("start", run.start)
        writer("start", dict(run.start))
        return writer

    def _is_there(self, run: ResultRun) -> bool:
        """Whether a complete run of that uid is there.

        One without a stop is deleted, to be written again, and so is a partial
        answer where this one is whole.
        """
        found = self.metadata(run.uid)
        if found is None:
            return False
        stop = found.get("stop")
        if stop and not (is_partial(stop) and not is_partial(run.stop)):
            return True
        self.remove(run.uid)
        return False

    def _container(self) -> Any:
        """The container's client, made when the server first answers."""
        if self._client is None:
            from tiled.client.constructors import from_context

            context, path = open_context(self.uri, self._api_key, self._timeout)
            try:
                self._client = self._find(from_context(context, node_path_parts=path))
            except BaseException:
                context.close()
                raise
        return self._client

    def _find(self, root: Any) -> Any:
        try:
            return root[self.node]
        except KeyError as error:
            known = ", ".join(root) or "none"
            raise Unavailable(
                f"Tiled at {self.uri} has no container {self.node!r} that the key may see; make "
                f"it, or set node in [tiled] of the profile; containers there: {known}"
            ) from error


def open_context(uri: str, api_key: str | None, timeout: float) -> tuple[Any, list[str]]:
    """Connect to a Tiled server; each request is sent once, see `TiledSink`.

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
    Unreachable, Unavailable
    """
    import httpx
    from tiled.client.context import Context

    # A proxy in the environment is not for a server on this machine.
    local = urlsplit(uri).hostname in ("127.0.0.1", "localhost", "::1")
    limits = httpx.Timeout(timeout, connect=min(timeout, 3.0))
    # Asked before the client is made, which already repeats its requests.
    _only_once(httpx.get, uri)(uri, timeout=limits, trust_env=not local)
    context, path = Context.from_any_uri(uri, api_key=api_key, timeout=limits, trust_env=not local)
    context.http_client.send = _only_once(context.http_client.send, uri)
    return context, path


def _only_once(send: Callable[..., Any], uri: str) -> Callable[..., Any]:
    """An httpx call whose failure Tiled does not repeat: it repeats httpx's errors only."""
    from httpx import TransportError

    def sent(*args: Any, **settings: Any) -> Any:
        try:
            response = send(*args, **settings)
        except TransportError as error:
            raise _silent(uri, error) from error
        if response.status_code == 429 or response.status_code >= 500:
            asked = f"{response.request.method} {response.request.url.path}"
            raise Unavailable(f"Tiled at {uri} answers {asked} with HTTP {response.status_code}")
        return response

    return sent


def _silent(uri: str, error: Exception) -> Unreachable:
    return Unreachable(f"Tiled at {uri} does not answer: {str(error) or type(error).__name__}")
