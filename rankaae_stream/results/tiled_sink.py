"""Publish results to a container of bluesky runs on a Tiled server."""

import contextlib
import json
import logging
import re
from collections.abc import Generator
from typing import Any, cast
from urllib.parse import urlsplit

from rankaae_stream.results.compose import ResultRun, is_partial
from rankaae_stream.results.sinks import Rejected, Unavailable
from rankaae_stream.results.tiled_client import open_context, silent

__all__ = ["TiledSink"]


logger = logging.getLogger(__name__)


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
                found = cast("Any", Container).__getitem__(self._container(), uid)
                return dict(found.metadata)
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
    def _told_plainly(self) -> Generator[None]:
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
            raise silent(self.uri, error) from error

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
            from tiled.client import constructors

            context, path = open_context(self.uri, self._api_key, self._timeout)
            try:
                self._client = self._find(constructors.from_context(context, node_path_parts=path))
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
