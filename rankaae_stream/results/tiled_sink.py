"""Publish results to a container of bluesky runs on a Tiled server."""

import contextlib
import json
import re
import time
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager
from typing import Any
from urllib.parse import urlsplit

from rankaae_stream.addresses import refuse_secret
from rankaae_stream.printable import get_logger
from rankaae_stream.results.compose import ResultRun, holds_more
from rankaae_stream.results.compose_series import PURPOSE as SERIES
from rankaae_stream.results.compose_series import is_newer
from rankaae_stream.results.late import PURPOSE as LATE
from rankaae_stream.results.sinks import Postponed, Rejected, Unavailable
from rankaae_stream.results.tiled_client import (
    begin_run,
    free_folder,
    get_child,
    holds_tables_of,
    open_context,
    translate_tiled_errors,
)

__all__ = ["ABANDONED", "TiledSink"]

logger = get_logger(__name__)

API_KEY = "RANKAAE_STREAM_TILED_API_KEY"
"""Where a key belongs, for messages."""
ABANDONED = 60.0
"""Seconds without a change after which a run without a stop has no writer any more."""

AT_ONCE = 10_000
"""Rows of a result that are written by one request: all that a result has."""


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
    clock : callable
        Monotonic seconds.

    Notes
    -----
    Several writers may bring the same result: two sessions, or a session and a replay. A
    complete run of its uid is everybody's success. One without a stop belongs to the writer
    that began it, and nobody else deletes it before it has stayed the same for `ABANDONED`
    seconds: what is deleted under another writer's hands leaves array folders without an
    entry on the server's disk, which no later attempt can write again.

    Tiled's client repeats a failed request for 45 s (TILED_RETRY_TIMEOUT, which
    holds for every client in the process), and a provisional result that is
    caught in that would hold the finals back, with "Retrying" printed into the
    session. The sender tries again by itself, so each request of this client
    is sent once: `tiled_client.open_context`.
    """

    def __init__(
        self,
        uri: str,
        node: str,
        api_key: str,
        *,
        key_variable: str = "",
        timeout: float = 10.0,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        refuse_secret(uri, key_variable or API_KEY, "the address of Tiled")
        self.uri = uri
        self.node = node
        self.name = re.sub(r"\W+", "-", f"tiled {urlsplit(uri).netloc} {node}").strip("-")
        self._api_key = api_key
        self._key_variable = key_variable
        self._timeout = timeout
        self._client: Any = None
        # By how many rows they write at once.
        self._writers: dict[int, Any] = {}
        self._open: dict[str, tuple[Any, int, float]] = {}
        # Begun by this session, or by a killed one: nobody else is filling them.
        self._ours: set[str] = set()
        self._growing: dict[str, tuple[object, float]] = {}
        self._clock = clock

    def provisional(self, run: ResultRun) -> None:
        """Append an event to the run, which is opened the first time; renew a series, a notice."""
        if run.start.get("purpose") in (SERIES, LATE):
            self._renew(run)
            return
        writer, number = self._opened(run.uid)
        numbered = run.numbered(number + 1)
        with self._errors():
            writer = writer or self._begin(run)
            if writer is None:
                return
            writer("event", numbered.event)
        # Only now: a run whose append failed is rewritten whole at the end.
        self._open[run.uid] = writer, number + 1, self._clock()

    def final(self, run: ResultRun) -> None:
        """Complete the run that is open, or write it whole unless a complete one is there."""
        if run.start.get("purpose") == SERIES:
            self._renew(run)
            return
        writer, number = self._opened(run.uid)
        if writer is not None and not run.earlier:
            try:
                numbered = run.numbered(number + 1)
                with self._errors():
                    writer("event", numbered.event)
                    writer("stop", numbered.stop)
                self._ours.discard(run.uid)
                return
            except Exception as error:  # noqa: BLE001 - it is written whole instead
                logger.info("result %s is written again: %s", run.uid, error)
        try:
            with self._errors():
                self._write_whole(run)
        except Rejected:
            # What was begun would stay without a stop, and break who reads it.
            if run.uid in self._ours:
                with contextlib.suppress(Exception):
                    self.remove(run.uid)
            raise
        self._ours.discard(run.uid)
        self._growing.pop(run.uid, None)

    def abandon(self, uid: str, stop: Mapping[str, Any] | None) -> None:
        """Complete a run that a killed session left growing, or let the final result replace it."""
        if stop is None:
            self._ours.add(uid)
            return
        with self._errors():
            try:
                node = get_child(self._container(), uid)
            except KeyError:
                return
            if "stop" not in node.metadata:
                node.update_metadata({"stop": dict(stop)}, drop_revision=True)

    def _renew(self, run: ResultRun) -> None:
        """Write a series or a notice, or replace the state that is there by a newer one.

        It has no stream: its state is metadata, of which the latest counts.
        """
        with self._errors():
            node = self._node_of(run.start)
            if node is None:
                node = self._begin_new(run).root_node
                self._ours.discard(run.uid)
            elif run.start["purpose"] == SERIES and not is_newer(
                dict(node.metadata).get("stop") or {}, run
            ):
                return
            stop: dict[str, Any] = {**run.stop, "num_events": {}}
            node.update_metadata({"stop": stop}, drop_revision=True)

    def _opened(self, uid: str) -> tuple[Any, int]:
        """Take the writer of an open run with the number of its events; None and 0 if none is.

        After half of `ABANDONED` without an event, as of a slow scan, Tiled is asked whether it is
        another session's by now: its writer would add to the arrays that the other has made anew.
        """
        writer, number, last = self._open.get(uid, (None, 0, 0.0))
        if writer is not None and self._clock() - last > ABANDONED / 2:
            with self._errors():
                still_ours = holds_tables_of(writer)
            if not still_ours:
                self._ours.discard(uid)
                writer, number = None, 0
        self._open.pop(uid, None)
        return writer, number

    def _write_whole(self, run: ResultRun) -> None:
        from httpx import HTTPStatusError

        try:
            writer = self._begin(run)
            if writer is not None:
                for name, doc in run.documents():
                    if name in ("event", "stop"):
                        writer(name, dict(doc))
        except HTTPStatusError as error:
            if error.response.status_code == 404:
                self._ours.discard(run.uid)  # deleted by another session, which writes it now
            raise
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

    def clear(self, start: Mapping[str, Any]) -> bool:
        """Delete the complete result with a start document, so that it is written anew.

        One without a stop stays: a writer may be filling it, and `final` knows when not.

        Returns
        -------
        bool
            Whether there was one.

        Raises
        ------
        Rejected
            When something else is stored under its uid.
        """
        with self._errors():
            node = self._node_of(start)
            if node is None or "stop" not in node.metadata:
                return False
            self.remove(start["uid"])
            return True

    def newest(self) -> dict[str, Any] | None:
        """Return the metadata of the result written last, or None where there is none."""
        with self._errors():
            found = self._container()
            return dict(found.values().last().metadata) if len(found) else None

    def remove(self, uid: str) -> None:
        """Delete a result."""
        with self._errors():
            try:
                self._container().delete_contents([uid], recursive=True, external_only=False)
            except Postponed:
                # Tiled forgets a result first and then deletes its files: where one is gone it
                # fails, and as after each error of its own it closes the connection.
                self.close()
                if self.metadata(uid) is not None:
                    raise

    def close(self) -> None:
        """Close the connection; it is made again when it is needed."""
        client, self._client, self._writers = self._client, None, {}
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
            free_folder(writer, run.descriptor["name"])
        writer("descriptor", dict(run.descriptor))
        return writer

    def _begin_new(self, run: ResultRun) -> Any:
        """Return a writer that has written the run's start document."""
        from bluesky_tiled_plugins import TiledWriter
        from httpx import HTTPStatusError

        # Kept, for each asks for the container when it is made.
        rows = AT_ONCE if run.earlier else 1
        if rows not in self._writers:
            self._writers[rows] = TiledWriter(self._container(), normalizer=None, batch_size=rows)
        try:
            writer = begin_run(self._writers[rows], run.start)
        except HTTPStatusError:
            raise
        except Exception:
            self._ours.add(run.uid)  # the answer was lost, not always the run
            raise
        self._ours.add(run.uid)
        return writer

    def _is_there(self, run: ResultRun) -> bool:
        """Return whether a complete run of that uid is there.

        Delete an answer that holds less than this one, and a run without a stop that no
        writer is filling, so that the run can be written again.

        Raises
        ------
        Postponed
            While another writer may be filling it.
        Rejected
            When something else is stored under the run's uid.
        """
        node = self._node_of(run.start)
        if node is None:
            return False  # deleted by who began it
        found = dict(node.metadata)
        stop = found.get("stop")
        if stop and not holds_more(run, found):
            return True
        if not stop and run.uid not in self._ours:
            self._wait_for_its_writer(run.uid, node)
        self.remove(run.uid)
        return False

    def _node_of(self, start: Mapping[str, Any]) -> Any:
        """Return the node of a result, or None where there is none.

        Raises
        ------
        Rejected
            When something else is stored under its uid.
        """
        uid = start["uid"]
        try:
            node = get_child(self._container(), uid)
        except KeyError:
            return None
        found = dict(node.metadata).get("start", {})
        same = ("original_run_uid", "purpose", "model")
        if any(found.get(key) != start.get(key) for key in same):
            raise Rejected(f"another run is stored under the uid {uid} in {self.node!r}")
        return node

    def _wait_for_its_writer(self, uid: str, node: Any) -> None:
        """Return once a run without a stop has not changed for `ABANDONED` seconds.

        Raises
        ------
        Postponed
            Until then.
        """
        state, now = _state(node), self._clock()
        before, since = self._growing.get(uid, (None, now))
        if state != before:
            since = now
        self._growing[uid] = state, since
        if now - since < ABANDONED:
            raise Postponed(
                f"another session is writing result {uid}, or was ended while it did; it is "
                f"written again when it has not changed for {ABANDONED:.0f} s"
            )

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


def _state(node: Any) -> object:
    """Return what changes while a run is written: its streams, their parts and their lengths."""
    found: list[Any] = [sorted(node.metadata)]
    for stream in node:
        found.append(stream)
        for key, part in _parts(node, stream):
            found.append((stream, key, getattr(part, "shape", None)))
    return found


def _parts(run: Any, stream: str) -> list[tuple[str, Any]]:
    """List a stream's tables and arrays; none of what `free_folder` has left in its place."""
    streams = getattr(get_child(run, stream), "base", None)
    return list(streams.items()) if streams is not None else []
