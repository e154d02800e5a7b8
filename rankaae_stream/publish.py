"""Reports to bluesky runs, through the spool, to the sinks.

One mechanism for nothing lost and nothing twice: every final result is written
complete to the spool before any sink sees it, its uid says what was asked of
which model, and a sink that already holds a complete run of that uid is done.
Provisional results are a courtesy: latest wins, never spooled.
"""

import contextlib
import json
import logging
import os
import re
import threading
import time
import uuid
from collections import deque
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Protocol
from urllib.parse import urlsplit

import numpy as np

from rankaae_stream.report import Result, flatten, summarize

try:
    import fcntl
except ImportError:  # Windows: leftovers are then taken up without a lock
    fcntl = None

__all__ = ["CallableSink", "Publisher", "ResultRun", "Sink", "Spool", "TiledSink", "compose"]

logger = logging.getLogger(__name__)

STREAM = "primary"
CURVES = ("flat", "reconstruction", "residual")
"""Rows of the event's array `curves`, each on the model's grid."""


@dataclass(frozen=True, slots=True)
class ResultRun:
    """The documents of one result: start, descriptor, one event, stop."""

    start: dict[str, Any]
    descriptor: dict[str, Any]
    event: dict[str, Any]
    stop: dict[str, Any]

    @property
    def uid(self) -> str:
        """Of the run."""
        return self.start["uid"]

    def documents(self) -> Iterator[tuple[str, dict[str, Any]]]:
        """(name, document) in order."""
        yield "start", self.start
        yield "descriptor", self.descriptor
        yield "event", self.event
        yield "stop", self.stop

    def numbered(self, number: int) -> "ResultRun":
        """The same run with its event as the `number`-th of the stream."""
        uid = str(uuid.uuid5(uuid.UUID(self.uid), f"event {number}"))
        return replace(
            self,
            event={**self.event, "uid": uid, "seq_num": number},
            stop={**self.stop, "num_events": {STREAM: number}},
        )


def compose(result: Result, profile: Mapping[str, Any], copied_keys: tuple[str, ...]) -> ResultRun:
    """A report as a run of its own, valid by event-model's schemas.

    Parameters
    ----------
    result : Result
    profile : mapping
        The resolved profile as plain data.
    copied_keys : tuple of str
        Start keys to repeat from the raw run where it has them.

    Returns
    -------
    ResultRun
        All uids and times follow from the raw run, so that a replay composes
        the same documents.
    """
    report, uid = result.report, uuid.UUID(result.uid)
    started = float(result.start.get("time", result.time))
    copied = {key: _plain(result.start[key]) for key in copied_keys if key in result.start}
    summary = summarize(report)
    start = {
        **copied,
        "uid": result.uid,
        "time": started,
        "original_run_uid": result.start["uid"],
        "purpose": "descriptors from XANES by rankaae-stream",
        "element": report.element,
        "edge": summary["edge"],
        "channel": report.channel,
        "sweep": report.sweep,
        "model": summary["model"],
        "profile": _plain(profile),
        "code_version": report.code_version,
    }
    data = {**flatten(report, [name for name, _ in result.outputs]), **_curves(result)}
    descriptor = _descriptor(result, uid, started, data)
    event = {
        "uid": str(uuid.uuid5(uid, "event 1")),
        "descriptor": descriptor["uid"],
        "time": result.time,
        "seq_num": 1,
        "data": data,
        "timestamps": dict.fromkeys(data, result.time),
        "filled": {},
    }
    stop = {
        "uid": str(uuid.uuid5(uid, "stop")),
        "run_start": result.uid,
        "time": result.time,
        "exit_status": "success",
        "reason": report.refusal.message if report.refusal else "",
        "num_events": {STREAM: 1},
        "summary": _plain(summary),
    }
    return ResultRun(start, descriptor, event, stop)


def _curves(result: Result) -> dict[str, list[list[float]]]:
    """One array, because each array of an event costs the server as much as a whole table row."""
    if result.grid is None:
        return {}
    curves = result.report.curves
    if curves is None:
        return {"curves": [[float("nan")] * result.grid.size] * len(CURVES)}
    rows = curves.flat, curves.reconstruction, curves.flat - curves.reconstruction
    return {"curves": [row.tolist() for row in rows]}


_UNITS = {
    "points": "1",
    "energy_first": "eV",
    "energy_last": "eV",
    "edge_step": "1",
    "domain_distance": "1",
    "domain_threshold": "1",
    "shift_calibration": "eV",
    "shift_theory": "eV",
    "curves": "1",
}


def _descriptor(
    result: Result, uid: uuid.UUID, started: float, data: Mapping[str, Any]
) -> dict[str, Any]:
    units = dict(_UNITS)
    for name, unit in result.outputs:
        units.update({f"{name}{suffix}": unit for suffix in ("", "_low", "_high")})
    keys = {key: _data_key(value, units.get(key, "")) for key, value in data.items()}
    settings = {
        "curve_rows": list(CURVES),
        "energy_grid": [] if result.grid is None else result.grid.tolist(),
    }
    return {
        "uid": str(uuid.uuid5(uid, "descriptor")),
        "run_start": result.uid,
        "time": started,
        "name": STREAM,
        "data_keys": keys,
        "object_keys": {"rankaae_stream": list(keys)},
        "hints": {"rankaae_stream": {"fields": [name for name, _ in result.outputs]}},
        "configuration": {
            "rankaae_stream": {
                "data": settings,
                "timestamps": dict.fromkeys(settings, started),
                "data_keys": {
                    "curve_rows": {**_data_key(settings["curve_rows"], ""), "dtype_numpy": "<U14"},
                    "energy_grid": _data_key(settings["energy_grid"], "eV"),
                },
            }
        },
    }


def _data_key(value: Any, unit: str) -> dict[str, Any]:
    key: dict[str, Any] = {"source": "rankaae-stream", "shape": [], "units": unit}
    if isinstance(value, list):
        shape = list(np.shape(value))
        return {**key, "dtype": "array", "shape": shape, "dtype_numpy": "<f8"}
    if isinstance(value, bool):
        return {**key, "dtype": "boolean", "dtype_numpy": "|b1"}
    if isinstance(value, str):
        return {**key, "dtype": "string"}
    return {**key, "dtype": "number", "dtype_numpy": "<f8"}


def _plain(value: Any) -> Any:
    """JSON-native copy: numpy to lists, numbers that are not finite to None."""
    if isinstance(value, Mapping):
        return {str(key): _plain(item) for key, item in value.items()}
    if isinstance(value, (list, tuple, set, frozenset)):
        return [_plain(item) for item in value]
    if isinstance(value, (np.ndarray, np.generic)):
        return _plain(value.tolist())
    if isinstance(value, float):
        return value if np.isfinite(value) else None
    return value if value is None or isinstance(value, (bool, int, str)) else str(value)


class Spool:
    """A folder of final results: waiting, sent, and those a sink will not take.

    Parameters
    ----------
    folder : Path
        Made when it does not exist, readable by its owner only.
    keep : int
        How many sent results stay for a look.

    Raises
    ------
    OSError
        When the folder cannot be made or written.
    """

    def __init__(self, folder: Path, keep: int = 1000) -> None:
        self.folder = folder
        self._keep = keep
        for path in (folder, folder / "sent", folder / "rejected"):
            path.mkdir(parents=True, exist_ok=True, mode=0o700)
        self._lock_file = (folder / "lock").open("a")
        self.owner = self._lock()

    def add(self, run: ResultRun) -> None:
        """Write a result complete, and on the disk, before anyone is told."""
        path = self.folder / f"{run.uid}.jsonl"
        temporary = path.with_suffix(".part")
        with temporary.open("w", encoding="utf-8") as file:
            for item in run.documents():
                file.write(json.dumps(item) + "\n")
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(path)
        self._sync_folder()

    def waiting(self) -> list[str]:
        """Uids of results not yet sent, oldest first."""
        found = [(path.stat().st_mtime_ns, path.stem) for path in self.folder.glob("*.jsonl")]
        return [uid for _, uid in sorted(found)]

    def read(self, uid: str) -> ResultRun:
        """A result as it was written."""
        text = (self.folder / f"{uid}.jsonl").read_text(encoding="utf-8")
        return ResultRun(**dict(json.loads(line) for line in text.splitlines()))

    def sent(self, uid: str) -> None:
        """Mark a result as sent."""
        self._move(uid, "sent")
        kept = sorted((self.folder / "sent").glob("*.jsonl"), key=lambda p: p.stat().st_mtime_ns)
        for path in kept[: -self._keep]:
            path.unlink(missing_ok=True)

    def rejected(self, uid: str) -> None:
        """Put aside a result that the sink will not take, for a person to look at."""
        self._move(uid, "rejected")

    def close(self) -> None:
        """Give up the folder."""
        self._lock_file.close()

    def _move(self, uid: str, to: str) -> None:
        path = self.folder / f"{uid}.jsonl"
        with contextlib.suppress(FileNotFoundError):
            path.replace(self.folder / to / path.name)

    def _sync_folder(self) -> None:
        """Bring the new name to the disk too; Windows has no such call."""
        if fcntl is not None:
            descriptor = os.open(self.folder, os.O_RDONLY)
            try:
                os.fsync(descriptor)
            finally:
                os.close(descriptor)

    def _lock(self) -> bool:
        """Whether this process may send what others left here."""
        if fcntl is None:
            return True
        try:
            fcntl.flock(self._lock_file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            return False
        return True


class Rejected(Exception):  # noqa: N818 - a verdict of the sink
    """The sink understood the documents and will never take them."""


class Unavailable(Exception):  # noqa: N818 - a state of the sink, not an error of the program
    """The sink takes nothing now; the message says why and what to do."""


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
        self._open: dict[str, tuple[Any, int]] = {}

    def provisional(self, run: ResultRun) -> None:
        """Append an event to the run, which is opened the first time."""
        writer, number = self._open.pop(run.uid, (None, 0))
        numbered = run.numbered(number + 1)
        with self._told_plainly():
            if writer is None:
                if self._discard_incomplete(run.uid):
                    return
                writer = self._writer()
                writer("start", dict(run.start))
                writer("descriptor", dict(run.descriptor))
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
        with self._told_plainly():
            if self._discard_incomplete(run.uid):
                return
            writer = self._writer()
            try:
                for name, doc in run.documents():
                    writer(name, dict(doc))
            except json.JSONDecodeError:
                raise  # of an answer, say a proxy's page
            except (ValueError, TypeError) as error:
                raise Rejected(f"{type(error).__name__}: {error}") from error

    def close(self) -> None:
        """Close the connection; it is made again when it is needed."""
        client, self._client = self._client, None
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
                may = "does not know the key" if code == 401 else "does not let the key write"
                fix = f"; set {self._key_variable} and start again" if self._key_variable else ""
                raise Unavailable(f"Tiled at {self.uri} {may} (HTTP {code}){fix}") from error
            raise
        except TransportError as error:
            raise _silent(self.uri, error) from error

    def _writer(self) -> Any:
        from bluesky_tiled_plugins import TiledWriter

        return TiledWriter(self._container(), normalizer=None, batch_size=1)

    def _discard_incomplete(self, uid: str) -> bool:
        """Whether a complete run of that uid is there; an incomplete one is deleted."""
        container = self._container()
        try:
            found = container[uid]
        except KeyError:
            return False
        if found.metadata.get("stop"):
            return True
        container.delete_contents([uid], recursive=True, external_only=False)
        return False

    def _container(self) -> Any:
        """The container's client, made when the server first answers."""
        if self._client is None:
            import httpx
            from tiled.client.constructors import from_context
            from tiled.client.context import Context

            # A proxy in the environment is not for a server on this machine.
            local = urlsplit(self.uri).hostname in ("127.0.0.1", "localhost", "::1")
            timeout = httpx.Timeout(self._timeout, connect=min(self._timeout, 3.0))
            # Asked before the client is made, which already repeats its requests.
            _only_once(httpx.get, self.uri)(self.uri, timeout=timeout, trust_env=not local)
            context, path = Context.from_any_uri(
                self.uri, api_key=self._api_key, timeout=timeout, trust_env=not local
            )
            context.http_client.send = _only_once(context.http_client.send, self.uri)
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


def _silent(uri: str, error: Exception) -> Unavailable:
    return Unavailable(f"Tiled at {uri} does not answer: {str(error) or type(error).__name__}")


class Publisher:
    """One sink's thread: finals in order from the spool, provisionals when idle.

    Parameters
    ----------
    sink : Sink
    spool : Spool
        Its own; what earlier sessions left there is sent too.
    retry : (first, longest)
        Seconds to wait after a failure, doubled each time.
    """

    def __init__(self, sink: Sink, spool: Spool, retry: tuple[float, float] = (0.5, 30.0)) -> None:
        self.sink = sink
        self.spool = spool
        self._retry = retry
        self._changed = threading.Condition()
        self._finals: deque[ResultRun | str] = deque(spool.waiting() if spool.owner else ())
        self._provisional: dict[str, ResultRun] = {}
        self._busy = False
        self._closing = False
        self.sent = 0
        self.failing = ""
        self._thread = threading.Thread(target=self._work, name=f"publish {sink.name}", daemon=True)
        self._thread.start()

    @property
    def waiting(self) -> int:
        """Final results not yet sent."""
        return len(self._finals)

    def provisional(self, run: ResultRun) -> None:
        """Show this when there is time; a later one replaces it."""
        with self._changed:
            self._provisional[run.uid] = run
            self._changed.notify_all()

    def final(self, run: ResultRun) -> None:
        """Take over a final result; it is on the disk when this returns."""
        item: ResultRun | str = run.uid
        try:
            self.spool.add(run)
        except OSError as error:
            logger.error(
                "cannot write to the spool %s (%s); kept in memory", self.spool.folder, error
            )
            item = run
        with self._changed:
            self._provisional.pop(run.uid, None)
            # One that waits already, say from an earlier session, was replaced on the disk.
            if item not in self._finals:
                self._finals.append(item)
            self._changed.notify_all()

    def wait_idle(self, timeout: float) -> bool:
        """Wait until everything is sent; False on time-out."""
        with self._changed:
            return self._changed.wait_for(
                lambda: not (self._finals or self._provisional or self._busy), timeout
            )

    def close(self, timeout: float) -> int:
        """Send what can be sent in time; returns how many results stay in the spool."""
        deadline = time.monotonic() + timeout
        with self._changed:
            self._closing = True
            self._changed.notify_all()
        self._thread.join(max(deadline - time.monotonic(), 0.0))
        if not self._thread.is_alive():
            self.sink.close()
        self.spool.close()
        lost = sum(not isinstance(item, str) for item in tuple(self._finals))
        if lost:
            logger.error("%d results were in memory only and are lost", lost)
        return self.waiting

    def _work(self) -> None:
        delay = self._retry[0]
        while True:
            with self._changed:
                self._changed.wait_for(lambda: self._finals or self._provisional or self._closing)
                if not self._finals and (self._closing or not self._provisional):
                    return
                if self._finals:
                    kind, item = "final", self._finals[0]
                else:
                    kind, item = "provisional", self._provisional.pop(next(iter(self._provisional)))
                self._busy = True
            ok = self._deliver(kind, item)
            with self._changed:
                self._busy = False
                self._changed.notify_all()
                if ok:
                    delay = self._retry[0]
                    continue
                if self._closing:
                    return
                # A final result that comes meanwhile is tried at once.
                tried = kind == "final"
                self._changed.wait_for(
                    lambda tried=tried: self._closing or (self._finals and not tried), delay
                )
                delay = min(2 * delay, self._retry[1])

    def _deliver(self, kind: str, item: ResultRun | str) -> bool:
        """Bring one item to the sink; False when it has to be tried again."""
        try:
            if kind == "provisional":
                assert isinstance(item, ResultRun)
                self.sink.provisional(item)
            else:
                self._deliver_final(item)
        except BaseException as error:  # noqa: BLE001 - nothing may end this thread
            self._say_failing(error)
            return False
        if self.failing:
            logger.warning("%s takes results again", self.sink.name)
            self.failing = ""
        return True

    def _deliver_final(self, item: ResultRun | str) -> None:
        uid = item if isinstance(item, str) else item.uid
        try:
            self.sink.final(self._read(item) if isinstance(item, str) else item)
            self.spool.sent(uid)
            self.sent += 1
        except _Disappeared:
            logger.error("result %s disappeared from the spool", uid)
        except Rejected as error:
            logger.error(
                "%s does not take result %s (%s); it is in %s",
                self.sink.name,
                uid,
                error,
                self.spool.folder / "rejected",
            )
            self.spool.rejected(uid)
        with self._changed:
            self._finals.popleft()

    def _read(self, uid: str) -> ResultRun:
        try:
            return self.spool.read(uid)
        except FileNotFoundError as error:
            raise _Disappeared from error
        except (ValueError, TypeError) as error:
            raise Rejected(f"the file is damaged: {error}") from error

    def _say_failing(self, error: BaseException) -> None:
        known = isinstance(error, Unavailable)
        message = str(error) if known else f"{type(error).__name__}: {error}"
        if not self.failing:
            logger.warning(
                "%s takes no results (%s); the scan is not affected, results are kept in %s and "
                "sent when it returns",
                self.sink.name,
                message,
                self.spool.folder,
            )
        self.failing = message


class _Disappeared(Exception):  # noqa: N818 - somebody took the file away
    """A result is no longer in the spool."""
