"""Publish results to a container of bluesky runs on a Tiled server."""

import contextlib
import json
import logging
import re
from contextlib import AbstractContextManager
from typing import Any
from urllib.parse import urlsplit

from rankaae_stream.results.compose import ResultRun, is_partial
from rankaae_stream.results.sinks import Rejected, Unavailable
from rankaae_stream.results.tiled_client import (
    begin_run,
    get_child,
    open_context,
    translate_tiled_errors,
)

__all__ = ["TiledSink"]

logger = logging.getLogger(__name__)


class TiledSink:
    """Write results to a container of bluesky runs on a Tiled server.

    The server is reached when it is first needed.

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
    session. The sender tries again by itself, so each request of this client
    is sent once: `tiled_client.open_context`.
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
        with self._errors():
            writer = writer or self._begin(run)
            if writer is None:
                return
            writer("event", numbered.event)
        # Only now: a run whose append failed is rewritten whole at the end.
        self._open[run.uid] = writer, number + 1

    def final(self, run: ResultRun) -> None:
        """Complete the run that is open, or write it whole unless a complete one is there."""
        writer, number = self._open.pop(run.uid, (None, 0))
        if writer is not None:
            try:
                numbered = run.numbered(number + 1)
                with self._errors():
                    writer("event", numbered.event)
                    writer("stop", numbered.stop)
                return
            except Exception as error:  # noqa: BLE001 - it is written whole instead
                logger.info("result %s is written again: %s", run.uid, error)
        try:
            with self._errors():
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
        """Return a result's metadata: `start` and, once it is complete, `stop`; else None."""
        with self._errors():
            try:
                return dict(get_child(self._container(), uid).metadata)
            except KeyError:
                return None

    def newest(self) -> dict[str, Any] | None:
        """Return the metadata of the result written last, or None where there is none."""
        with self._errors():
            found = self._container()
            return dict(found.values().last().metadata) if len(found) else None

    def remove(self, uid: str) -> None:
        """Delete a result."""
        with self._errors():
            self._container().delete_contents([uid], recursive=True, external_only=False)

    def close(self) -> None:
        """Close the connection; it is made again when it is needed."""
        client, self._client, self._writer = self._client, None, None
        if client is not None:
            client.context.close()

    def _errors(self) -> AbstractContextManager[None]:
        return translate_tiled_errors(self.uri, self._key_variable)

    def _begin(self, run: ResultRun) -> Any:
        """Return a writer that has opened the run, or None where a complete one is there."""
        from httpx import HTTPStatusError

        try:
            writer = self._begin_new(run)
        except HTTPStatusError as error:
            # Most results are new: the server is asked only about one that it has.
            if error.response.status_code != 409:
                raise
            if self._is_there(run):
                return None
            writer = self._begin_new(run)
        writer("descriptor", dict(run.descriptor))
        return writer

    def _begin_new(self, run: ResultRun) -> Any:
        """Return a writer that has written the run's start document."""
        from bluesky_tiled_plugins import TiledWriter

        if self._writer is None:  # kept, for it asks for the container when it is made
            self._writer = TiledWriter(self._container(), normalizer=None, batch_size=1)
        return begin_run(self._writer, run.start)

    def _is_there(self, run: ResultRun) -> bool:
        """Return whether a complete run of that uid is there.

        Delete one without a stop, so that it can be written again, and a partial answer
        where this one is whole.
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
        """Return the container's client, made when the server first answers."""
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
