"""Take the runs that a Tiled server stores, with what they hold while they grow.

The server is asked every few seconds which runs are new, or, where its websockets say that
something is, at once and otherwise once a minute: they are a bell, and what there is is always read
by asking. A run is known by its uid: what was given stands in a file, and a search looks back over
minutes, once an hour over a week, so that a run which was written late, or while the service was
off, is found.
"""

import hashlib
import json
import os
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal, TypeGuard, cast

from rankaae_stream.addresses import read_server
from rankaae_stream.errors import ConfigurationError, describe
from rankaae_stream.files.run_writer import Documents
from rankaae_stream.layouts.base import Document
from rankaae_stream.past.archive import (
    KEY_VARIABLE,
    Archive,
    Stream,
    documents_of,
    open_archive,
    sentence_of,
)
from rankaae_stream.past.selection import Selection
from rankaae_stream.printable import get_logger
from rankaae_stream.private import open_private, private_folder
from rankaae_stream.results.sinks import Postponed, Unavailable
from rankaae_stream.service.decode import NotADocument, checked
from rankaae_stream.service.doorbell import Doorbell, Node
from rankaae_stream.service.source import Taker, keep, refuse

__all__ = ["TiledBus"]

logger = get_logger(__name__)

OVERLAP = 600.0
"""Seconds that a search looks back from the start of the newest run."""
DEEP = 7 * 86400.0
"""Seconds that it looks back at the start and every hour, for runs that were written late."""
DEEP_PERIOD = 3600.0
ABANDONED = 86400.0
"""Seconds after which a run without an end is given as it stands."""
ATTEMPTS = 5
"""How often a run is tried, at least, that cannot be read while others can."""
LONGEST = 60.0
"""Seconds between two trials, at most."""
SHARE = 10.0
"""A run that grows and does not ring is read again after so many times what reading it took."""
GAP, TIMES = 0.5, 3.0
"""Seconds between two looks, at least, however often it rings; and how many times what the requests
of a look took for runs and for what grows: a server works for a quarter of the time on these."""
WRITTEN, SETTLED = 0.2, 2.0
"""Seconds after which what rang is there, mostly and surely: of a table's rows Tiled tells before
it writes them, and answers HTTP 500 to who reads them meanwhile."""
BEAT = 60.0
"""Seconds after which a run is said to go on that has brought nothing new: rows may be written
many at a time, and a run without documents counts as one that has lost its end."""
_ROWS = frozenset({"start", "descriptor", "event"})
"""Documents of a run whose rows are in Tiled. Of files the server tells at the end how much is in
them, under one uid for a part and for the whole."""


@dataclass(slots=True)
class _Found:
    """A stored run: its uid, when it began, and Tiled's own of it."""

    uid: str
    began: float
    run: Any
    ended: bool = True


@dataclass(slots=True)
class _Growing:
    """A run that has not ended: what of it was given, and when it is looked at again.

    `given` are the documents by name and uid, as hashes of what they held; `before` those that
    were there at the last look. It is looked at when it is `due`, or one of its `nodes` rings.
    """

    found: _Found
    nodes: tuple[Node, ...] = ()
    given: dict[tuple[str, str], str] = field(default_factory=dict[tuple[str, str], str])
    before: dict[tuple[str, str], str] = field(default_factory=dict[tuple[str, str], str])
    due: float = 0.0
    rang: float = 0.0
    said: float = 0.0

    def unsure(self) -> bool:
        """Return whether the last look found what only the next one gives."""
        return any(self.given.get(key) != held for key, held in self.before.items())

    def writes(self, now: float) -> bool:
        """Return whether what rang for it may still be written."""
        return now < self.rang + SETTLED

    def next_look(self, began: float, new: Documents) -> float:
        """Return when it is looked at again, ring or not, after a look that `began` then."""
        if self.unsure() or (self.writes(began) and not new):
            return began  # as soon as the server has had its rest
        return self.rang + SETTLED if self.writes(began) else float("inf")

    def rest(self, documents: Documents, *, ended: bool) -> Documents:
        """Return what was not given yet; of rows with arrays before the end only what the last
        look found as well.

        An array is a node of its own, and has its new length before its new values; numbers and
        texts of a row come in one request. A row has a uid made of its own and of what it holds:
        one that has changed since it was given, also by a service before this one, comes as a
        point that was measured again.
        """
        found: Documents = []
        seen: dict[tuple[str, str], str] = {}
        for name, doc in documents:
            key = name, str(doc.get("uid") or doc.get("datum_id") or len(seen))
            held = seen[key] = hashlib.sha256(str(doc).encode()).hexdigest()[:12]
            sure = ended or self.before.get(key) == held or not _has_arrays(name, doc)
            if self.given.get(key) == held or not sure:
                continue
            if name == "event":
                found.append((name, {**doc, "uid": f"{key[1]}-{held}"}))
            elif key not in self.given:
                found.append((name, doc))
            self.given[key] = held
        self.before = seen
        return found


@dataclass(slots=True)
class _Trouble:
    """A run that could not be read: since when, why, how often, and when it is tried again."""

    since: float
    why: str = ""
    attempts: int = 0
    again: float = 0.0


class TiledBus:
    """The runs of a Tiled catalog, as documents, in the order of their starts.

    Parameters
    ----------
    address : str
        ``http(s)://server#container``, as `open_archive` has it.
    own : (uri, key)
        The server of the results and its key, which is sent to no other server. Another's comes
        from the environment, ``TILED_API_KEY``.
    folder : Path
        Where the uids are kept that were given.
    first : {"latest", "earliest"}
        What is taken by a service that has never taken anything: runs that begin from now on, or
        all that are stored.
    period : float
        Seconds between two looks where the server does not ring.
    bell : Doorbell, optional
        Of the server's websockets.
    clock : callable
        Seconds since the epoch.

    Attributes
    ----------
    name : str
    refused : Counter of str
        Documents that were none, by reason, and ``unreadable``: runs that could not be read.

    Raises
    ------
    ConfigurationError
        When the address is none or holds a secret, or the folder cannot be used.

    Notes
    -----
    Of a run that grows, each row is given once, as soon as it is found; a run whose data are in
    files is given when it has its stop document. A service that starts again gives a run that
    has not ended from its start: who takes it knows by their uids what came before. A server that
    hangs is waited for up to a minute, also when the service is to end.
    """

    def __init__(
        self,
        address: str,
        own: tuple[str, str | None],
        folder: Path,
        *,
        first: Literal["latest", "earliest"] = "latest",
        period: float = 5.0,
        bell: Doorbell | None = None,
        clock: Callable[[], float] = time.time,
    ) -> None:
        read_server(address, KEY_VARIABLE)
        self.name = f"tiled {address}"
        self.refused: Counter[str] = Counter()
        self._address, self._own, self._clock = address, own, clock
        self._period = self._rest = period
        self._bell = bell or Doorbell()
        self._archive: Archive | None = None  # the server, while it answers
        self._took = 0.0  # the requests of the last look, in seconds, but for runs that have ended
        self._wide = True  # this look is for all runs, not only for those that grow and are due
        self._unasked = True  # and for no ring
        self._missed = False  # and it has found something
        self._given = _Given(folder, address, 0.0 if first == "earliest" else clock())
        self._open: dict[str, float] = {}  # start of each run that is still to be given
        self._growing: dict[str, _Growing] = {}
        self._troubles: dict[str, _Trouble] = {}
        self._read_at = 0.0  # when a run was last read
        self._deep_due = 0.0
        self._worked = False
        self._waiting: int | None = None
        self._failing = f"{address} has not answered yet"

    def failing(self) -> str:
        """Return why nothing comes now, or an empty text."""
        return self._failing

    def lag(self) -> int | None:
        """Return how many runs have ended and are not given; None before the first look."""
        return self._waiting

    def note(self) -> str:
        """Return whether the server says what is new, or is asked, and how often."""
        deaf = self._bell.deaf()
        if deaf:
            return f"asked every {self._rest:g} s: its websocket does not tell what is new ({deaf})"
        return f"it tells what is new; asked every {self._rest:g} s all the same"

    def run(self, taker: Taker, stopping: threading.Event) -> None:
        """Take runs until `stopping` is set; see `Source`."""
        pause = self._period
        with self._bell, closing(self):
            while not stopping.is_set():
                try:
                    self._failing = self._look(taker, stopping)
                    pause = self._period
                    self._wait(stopping)
                except Exception as error:
                    self.close()
                    self._wide = self._unasked = True
                    final = isinstance(error, ConfigurationError)
                    if final and not self._worked and _is_final(error):
                        raise
                    text = str(error) if final else f"{self._address}: {sentence_of(error)}"
                    self._failing = text.partition("\n")[0]
                    logger.warning("%s", self._failing)
                    pause = min(2 * pause, LONGEST)
                    stopping.wait(pause)

    def close(self) -> None:
        """Close the connection; it is made again when it is needed."""
        archive, self._archive = self._archive, None
        if archive is not None:
            archive.close()

    # ---- when to look --------------------------------------------------------------------

    def _wait(self, stopping: threading.Event) -> None:
        """Wait until it rings, a run is due, or it is time to look all the same.

        A bell is relied on the more, the longer looks without it find nothing.
        """
        if not self._bell.hears() or self._missed:
            self._rest = self._period
        elif self._unasked:
            self._rest = min(2 * self._rest, LONGEST)
        stopping.wait(min(max(min(GAP, self._period), TIMES * self._took), LONGEST))
        end, rang = time.monotonic() + self._rest, set[Node]()
        left = 1.0
        while left > 0.0 and () not in rang and not stopping.is_set():
            due = min(self._due(), self._tried_again()) - self._clock()
            left = min(end - time.monotonic(), due)
            rang = self._bell.wait(max(left, 0.0), stopping)  # also where another run is due
            for growing in self._growing.values():
                if not rang.isdisjoint(growing.nodes):
                    growing.rang = self._clock()
                    growing.due = min(growing.due, growing.rang + WRITTEN)
        self._unasked = time.monotonic() >= end
        self._wide = self._unasked or () in rang or self._tried_again() <= self._clock()

    def _due(self) -> float:
        """Return when the next run that grows is to be read, ring or not."""
        return min((each.due for each in self._readable()), default=float("inf"))

    def _tried_again(self) -> float:
        """Return when a run that could not be read is to be tried again."""
        return min((trouble.again for trouble in self._troubles.values()), default=float("inf"))

    def _readable(self) -> list[_Growing]:
        return [each for uid, each in self._growing.items() if uid not in self._troubles]

    def _listen(self, stream: Stream | None) -> None:
        """Listen for new runs, and for new rows of those that grow, the latest first."""
        nodes = [node for each in reversed(self._growing.values()) for node in each.nodes]
        self._bell.listen(stream, [(), *(nodes if self._bell.hears() else ())])

    # ---- one look ------------------------------------------------------------------------

    def _look(self, taker: Taker, stopping: threading.Event) -> str:
        """Give what is new; return why some of it cannot be read, or an empty text."""
        now, began, self._missed = self._clock(), time.monotonic(), False
        if self._wide:
            found = self._search(now)
            self._waiting = sum(each.ended for each in found)
        else:
            found = [each.found for each in self._readable() if each.due <= now]
        self._took = time.monotonic() - began
        self._worked = True
        for each in sorted(found, key=lambda each: each.began):
            while taker.full() and not stopping.wait(0.2):
                pass
            if stopping.is_set():
                return ""
            if not each.ended:
                self._give_rows(each, taker, stopping)
                continue
            self._missed |= self._unasked and each.uid not in self._troubles
            self._give(each, taker, stopping)
            self._waiting = (self._waiting or 1) - 1
        self._listen(self._archive.stream if self._archive else None)
        return next((trouble.why for trouble in self._troubles.values()), "")

    def _search(self, now: float) -> list[_Found]:
        """Ask for the runs that have something to give; each hour by a new connection."""
        deep = now >= self._deep_due
        selection = Selection(since=self._since(now, deep))
        if deep:
            self.close()
        if self._archive is None:
            self._archive = open_archive(self._address, selection, self._own)
        found = self._new(self._archive.find(selection), now)
        if deep:
            self._deep_due = now + DEEP_PERIOD
        return found

    def _since(self, now: float, deep: bool) -> float | None:
        # A run whose clock was ahead must not hide those that come.
        newest = min(self._given.newest, now)
        since = min(newest - (DEEP if deep else OVERLAP), *self._open.values(), newest)
        since = max(since, self._given.began)
        return since if since > 0.0 else None

    def _new(self, runs: Iterable[Any], now: float) -> list[_Found]:
        """Return the runs that have something to give, and note those that still go on."""
        found, still_open = list[_Found](), dict[str, float]()
        for run in runs:
            metadata: dict[str, Any] = run.metadata
            start: Any = metadata.get("start")
            if not isinstance(start, Mapping):
                continue
            uid, began = (cast("Mapping[str, Any]", start).get(key) for key in ("uid", "time"))
            if not isinstance(uid, str) or not _is_time(began):
                continue  # no run of bluesky
            if uid in self._given.uids or "original_run_uid" in start:
                continue
            still_open[uid] = began
            self._missed |= self._unasked and uid not in self._open
            trouble = self._troubles.get(uid)
            ended = bool(metadata.get("stop")) or now - began > ABANDONED
            again = trouble.again if ended and trouble is not None else 0.0
            each = _Found(uid, float(began), run, ended)
            if now >= (again if ended else self._next_read(each)):
                found.append(each)
        self._open = still_open  # the search held all that were
        self._growing = {u: kept for u, kept in self._growing.items() if u in still_open}
        self._troubles = {u: kept for u, kept in self._troubles.items() if u in still_open}
        return found

    def _next_read(self, found: _Found) -> float:
        growing = self._growing.setdefault(found.uid, _Growing(found, ((found.uid,),)))
        growing.found = found  # of this connection
        relied_on = growing.due == float("inf") and growing.nodes
        return 0.0 if self._unasked and relied_on else growing.due

    def _give(self, found: _Found, taker: Taker, stopping: threading.Event) -> None:
        try:
            documents = documents_of(found.run)
        except Unavailable:
            raise  # the server, not the run
        except Exception as error:  # noqa: BLE001 - whatever a damaged run raises
            self._put_off(found, sentence_of(error))
            return
        self._give_whole(documents, found, taker, stopping)

    def _give_whole(
        self, documents: Documents, found: _Found, taker: Taker, stopping: threading.Event
    ) -> None:
        self._read_at = self._clock()
        growing = self._growing.get(found.uid, _Growing(found))
        if self._take(growing.rest(documents, ended=True), found, taker, stopping):
            self._done(found)

    def _give_rows(self, found: _Found, taker: Taker, stopping: threading.Event) -> None:
        """Give what is new of a run that grows, once it has rows."""
        growing, began, now = self._growing[found.uid], time.monotonic(), self._clock()
        try:
            documents = documents_of(found.run)
            whole = _whole_rows(documents)
        except Unavailable:
            raise
        except Exception:  # Tiled may fail at a run to which something is written just then
            logger.debug("run %s cannot be read while it grows", found.uid, exc_info=True)
            growing.due = now if growing.writes(now) else now + 2 * self._period
            return
        finally:
            took = time.monotonic() - began
            self._took += took
        names = {name for name, _ in whole}
        if "stop" in names:
            self._give_whole(documents, found, taker, stopping)
            return
        if not names <= _ROWS:
            growing.due, growing.nodes = float("inf"), ()
            return
        new = growing.rest(whole, ended=False) if "event" in names else []
        in_part = len(whole) < len(documents)
        heard = all(map(self._bell.hears, growing.nodes)) and (not in_part or growing.writes(now))
        self._missed |= self._unasked and heard and bool(new or growing.unsure())
        growing.nodes = _nodes(found.uid, whole)
        growing.due = now + took + max(self._period, SHARE * took)
        if heard:
            growing.due = growing.next_look(now, [] if in_part else new)
        if not new and growing.given and now - growing.said > BEAT:
            new = whole[:1]  # its start again says that it goes on
        if new:
            growing.said = now
            self._take(new, found, taker, stopping)

    def _take(
        self, documents: Documents, found: _Found, taker: Taker, stopping: threading.Event
    ) -> bool:
        """Let documents be taken, and return whether they are on the disk."""
        for name, doc in documents:
            try:
                taker.take(*checked(name, doc))
            except NotADocument as error:
                refuse(self.refused, error, f"a document of {found.uid}")
        return keep(taker, stopping, self._say)

    def _put_off(self, found: _Found, why: str) -> None:
        """Let a run wait that cannot be read; give it up where others can be read meanwhile."""
        now = self._clock()
        trouble = self._troubles.setdefault(found.uid, _Trouble(now))
        trouble.why = f"the run {found.uid} cannot be read: {why}"
        trouble.attempts += 1
        trouble.again = now + min(self._period * 2**trouble.attempts, 10 * LONGEST)
        if trouble.attempts >= ATTEMPTS and self._read_at > trouble.since:
            self.refused["unreadable"] += 1
            logger.warning("the run %s is given up: %s", found.uid, why)
            self._done(found)

    def _done(self, found: _Found) -> None:
        self._troubles.pop(found.uid, None)
        self._open.pop(found.uid, None)
        self._growing.pop(found.uid, None)
        self._given.add(found.uid, found.began, self._clock())

    def _say(self, problem: str) -> None:
        self._failing = problem


def _has_arrays(name: str, doc: Document) -> bool:
    return name == "event" and any(isinstance(value, list) for value in doc["data"].values())


def _nodes(uid: str, documents: Documents) -> tuple[Node, ...]:
    """Return the nodes that ring when a run gets a stream, or a stream a row."""
    streams = {
        doc["uid"]: str(doc.get("name", "")) for name, doc in documents if name == "descriptor"
    }
    filled = {doc["descriptor"] for name, doc in documents if name == "event"}
    tables = [(uid, name, "internal")[: 2 + (stream in filled)] for stream, name in streams.items()]
    return ((uid,), *tables)


def _whole_rows(documents: Documents) -> Documents:
    """Leave out rows, and those after them, that lack a column.

    Tiled gets the table of a stream and each array by requests of their own, and an array has
    its new length before its new values: of a run to which something is written just then the
    newest rows may be there in part, or hold zeros.
    """
    found: Documents = []
    keys: dict[str, frozenset[str]] = {}
    streams: dict[str, str] = {}
    lacking: set[str] = set()
    for name, doc in documents:
        if name == "descriptor":
            keys[doc["uid"]] = frozenset(doc.get("data_keys", ()))
            streams[doc["uid"]] = str(doc.get("name", ""))
        elif name == "event":
            stream = streams.get(doc["descriptor"], "")
            if stream in lacking or not keys.get(doc["descriptor"], frozenset()) <= set(
                doc["data"]
            ):
                lacking.add(stream)
                continue
        found.append((name, doc))
    return found


def _is_time(value: Any) -> TypeGuard[float]:
    return isinstance(value, (int, float)) and abs(value) < 1e12


def _is_final(error: ConfigurationError) -> bool:
    """Return whether no trial can help: a key, a name.

    A server may be away, fail, or have another one before it that says so in a page.
    """
    from httpx import HTTPError, HTTPStatusError

    cause = error.__cause__
    if isinstance(cause, HTTPStatusError):
        return cause.response.status_code in (401, 403)
    passing = (Unavailable, Postponed, HTTPError, ValueError, RecursionError)
    return not isinstance(cause, passing)


@dataclass(slots=True)
class _Given:
    """The runs that were given, in a file; only runs that begin after `began` are.

    Attributes
    ----------
    uids : dict of float
        When each began; those that no search finds again are left out.
    newest : float
        The latest of them.
    """

    folder: Path
    address: str
    began: float
    uids: dict[str, float] = field(default_factory=dict[str, float])
    newest: float = 0.0

    def __post_init__(self) -> None:
        self.newest = self.began
        try:
            private_folder(self.folder)
            held: Any = json.loads(self._path.read_text(encoding="utf-8"))
        except FileNotFoundError:
            self._write()
            return
        except OSError as error:
            raise ConfigurationError(f"{self.folder} cannot be used: {error.strerror}") from error
        except ValueError:
            held = None
        try:
            self.began, self.newest = float(held["began"]), float(held["newest"])
            self.uids = {str(uid): float(began) for uid, began in held["uids"].items()}
        except (KeyError, TypeError, ValueError, AttributeError):
            logger.warning("%s is damaged; runs from now on are taken", self._path)

    def add(self, uid: str, began: float, now: float) -> None:
        """Write down a run that was given."""
        self.uids[uid] = began
        self.newest = max(self.newest, began)
        oldest = min(self.newest, now) - DEEP - 86400.0
        self.uids = {uid: began for uid, began in self.uids.items() if began > oldest}
        self._write()

    @property
    def _path(self) -> Path:
        name = hashlib.sha256(self.address.encode()).hexdigest()[:12]
        return self.folder / f"tiled-{name}.json"

    def _write(self) -> None:
        held = {
            "address": self.address,
            "began": self.began,
            "newest": self.newest,
            "uids": self.uids,
        }
        new = self._path.with_suffix(".new")
        try:
            with open(new, "w", encoding="utf-8", opener=open_private) as file:
                json.dump(held, file)
            os.replace(new, self._path)
        except OSError as error:  # what was given comes again after a restart
            logger.warning("which runs were taken is not kept: %s", describe(error))
