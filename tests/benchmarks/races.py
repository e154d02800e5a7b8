"""Let writers of the same results meet, and kill Tiled while it makes a node; count the results.

    python tests/benchmarks/races.py --repeats 50
    python tests/benchmarks/races.py --repeats 50 --database postgresql --only kills

Two sessions, a session and a replay, and two replays answer the same runs, started at the
same moment against an empty Tiled: threads of one process, or two processes; with a spool of
their own, as on two machines, and with one for both, in turn. Right is: both idle, nothing
left in a spool, each result there once, with its stop and its arrays whole.

With `kills`, Tiled gets SIGKILL as soon as something new is on its disk, and starts again.
"""

import argparse
import importlib
import json
import logging
import os
import random
import shutil
import signal
import statistics
import subprocess
import sys
import tempfile
import threading
import time
import uuid
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any

if __name__ == "__main__":
    sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from answers import answer
from counted import count
from postgres import postgresql, trees
from rich.console import Console
from rich.table import Table

from rankaae_stream.callback import DescriptorStream
from rankaae_stream.loading import load_analysis
from rankaae_stream.profile import load_profile
from rankaae_stream.replay import replay
from rankaae_stream.results.compose import ResultRun
from rankaae_stream.results.publisher import _what_if
from rankaae_stream.results.sender import Sender
from rankaae_stream.results.spool import Spool
from rankaae_stream.results.tiled_sink import TiledSink
from rankaae_stream.server.tiled_server import EmbeddedServer
from rankaae_stream.simulate import SERIES, Sample
from rankaae_stream.simulate.documents import Beam
from rankaae_stream.simulate.steps import ophyd_async_step

PATIENCE = 600.0
"""Seconds after which a writer that is not idle is stuck: twenty of the sender's longest pauses."""

MEETINGS = {
    "two sessions": ("session", "session"),
    "session, replay": ("session", "replay"),
    "two replays": ("replay", "replay"),
}

FASTER = 10.0
"""How much faster than the stream's clock a scan is played, so that it is seen growing."""


# ---- one writer, in a thread or in a process of its own ------------------------------------


READY = "ready\n"
"""What the other process says before it takes an errand."""

NO_SERIES = {"publish": False}
"""Single results are counted; a series is renewed in its place by who knows more of it."""


@dataclass(frozen=True)
class Errand:
    """What one writer does: `kind` is "session" or "replay", `at` the moment to begin."""

    kind: str
    uri: str
    key: str
    spool: str
    first: int
    scans: int
    at: float = 0.0


@cache
def played(sample: Sample) -> list[tuple[str, dict[str, Any]]]:
    beam = Beam(sample)
    return ophyd_async_step(beam, element=sample.element, edge="K", sample_name=sample.name)


def scan(number: int) -> list[tuple[str, dict[str, Any]]]:
    """The documents of a scan of iron or vanadium, the same each time for a number."""
    iron, vanadium = (
        [one for one in SERIES if one.element == element and one.role != "foil"]
        for element in ("Fe", "V")
    )
    # Iron twice, vanadium twice: the first of an element brings what-if curves, whose many
    # arrays take the server ten times as long as a result.
    documents = played((vanadium if number // 2 % 2 else iron)[number // 2 % 3])
    old, new = documents[0][1]["uid"], str(uuid.uuid5(uuid.NAMESPACE_OID, f"scan {number}"))
    uids = ("uid", "run_start", "descriptor")
    return [
        (
            name,
            {key: value.replace(old, new) if key in uids else value for key, value in doc.items()},
        )
        for name, doc in documents
    ]


def write(errand: Errand) -> dict[str, Any]:
    """Answer the scans in one way; returns whether it became idle, and what it left."""
    runs = [scan(number) for number in range(errand.first, errand.first + errand.scans)]
    profile = load_profile(
        "generic",
        spool=errand.spool,
        tiled={"uri": errand.uri, "node": "processed"},
        tiled_api_key=errand.key,
        series=NO_SERIES,
    )

    def waits() -> Iterator[Any]:
        time.sleep(max(errand.at - time.monotonic(), 0.0))
        yield from runs

    if errand.kind == "replay":
        done = replay(waits(), profile, patience=PATIENCE)
        return {"idle": not done.unsent, "left": done.unsent, "rejected": done.rejected}
    with DescriptorStream(profile, clock=lambda: FASTER * time.monotonic()) as stream:
        for run in waits():
            for place, item in enumerate(run):
                stream(*item)
                if place % 4 == 0:
                    time.sleep(0.002)
        idle = stream.wait_idle(PATIENCE)
        rejected = stream._session.publisher.rejected
        return {"idle": idle, "left": stream.close(), "rejected": rejected}


class Other:
    """A process that writes, kept for many errands because its start takes seconds."""

    def __init__(self) -> None:
        self._process = subprocess.Popen(
            [sys.executable, __file__, "--errands"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
        )

    def ready(self) -> None:
        """Wait until it has imported what writing takes."""
        assert self._process.stdout is not None
        assert self._process.stdout.readline() == READY

    def __call__(self, errand: Errand) -> dict[str, Any]:
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(json.dumps(vars(errand)) + "\n")
        self._process.stdin.flush()
        return json.loads(self._process.stdout.readline())

    def kill(self) -> None:
        """End it without a last word."""
        with self._process:
            self._process.kill()

    def close(self) -> None:
        """Let it end by itself."""
        with self._process:
            assert self._process.stdin is not None
            self._process.stdin.close()


def run_errands() -> None:
    """Be the other process: an errand a line, its outcome a line."""
    load_analysis(load_profile("generic", tiled_api_key="k" * 20, series=NO_SERIES))
    importlib.import_module("tiled.client.constructors")
    sys.stdout.write(READY)
    sys.stdout.flush()
    for line in sys.stdin:
        sys.stdout.write(json.dumps(write(Errand(**json.loads(line)))) + "\n")
        sys.stdout.flush()


# ---- the server ---------------------------------------------------------------------------


@contextmanager
def tiled(folder: Path, database: str = "sqlite") -> Iterator[EmbeddedServer]:
    """A Tiled of our own, with its catalogs in SQLite or in PostgreSQL."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "postgres").mkdir()
    with postgresql(folder / "postgres") if database == "postgresql" else nullcontext("") as at:
        extra = {"trees": trees(at, folder / "tiled")} if at else {}
        with EmbeddedServer(folder / "tiled", extra=extra, timeout=PATIENCE) as server:
            yield server


def files(server: EmbeddedServer) -> Path:
    return server.directory / "processed" / "files"


def orphans(server: EmbeddedServer, container: Any) -> int:
    """How many array folders no result knows."""
    there = set(container)
    return sum(folder.parts[-3] not in there for folder in files(server).glob("*/*/*"))


def empty(server: EmbeddedServer, container: Any) -> None:
    """Delete every result, and what is left of those on the server's disk."""
    there = list(container)
    if there:
        container.delete_contents(there, recursive=True, external_only=False)
    for folder in files(server).glob("*"):
        shutil.rmtree(folder)


# ---- what is counted ------------------------------------------------------------------------


@dataclass
class Row:
    """The sum of all repeats of one kind."""

    name: str
    repeats: int = 0
    idle: int = 0
    left: int = 0
    rejected: int = 0
    results: int = 0
    orphans: int = 0
    found: Counter[str] = field(default_factory=Counter[str])
    seconds: list[float] = field(default_factory=list[float])

    @property
    def right(self) -> bool:
        """Whether all were idle, and every result is there once and whole."""
        whole = self.found == Counter(whole=self.results)
        return whole and self.idle == self.repeats and not (self.left or self.rejected)

    def cells(self) -> list[str]:
        wrong = ", ".join(f"{n} {what}" for what, n in self.found.items() if what != "whole")
        numbers = (self.repeats, self.idle, self.results, self.found["whole"])
        return [
            self.name,
            *map(str, numbers),
            wrong or "none",
            str(self.left),
            str(self.rejected),
            str(self.orphans),
            f"{statistics.median(self.seconds):.1f}, {max(self.seconds):.1f}",
        ]


COLUMNS = ["", "repeats", "idle", "results", "once and whole", "wrong", "left", "put aside"]
COLUMNS += ["folders without an entry", "seconds: median, longest"]


def show(rows: Sequence[Row], title: str) -> None:
    table = Table(*COLUMNS, title=title)
    for row in rows:
        table.add_row(*row.cells())
    Console(width=160).print(table)


# ---- races ----------------------------------------------------------------------------------


def expected(numbers: Iterable[int]) -> dict[str, ResultRun]:
    """The results of scans by their uid, with the models' what-if curves."""
    made: list[dict[str, Any]] = []

    def keep(name: str, doc: dict[str, Any]) -> None:
        if name == "start":
            made.append({})
        made[-1][name] = doc

    profile = load_profile(
        "generic", tiled_api_key="k" * 20, spool=tempfile.mkdtemp(), series=NO_SERIES
    )
    replay(map(scan, numbers), profile, sinks=[keep], to_tiled=False)
    shutil.rmtree(profile.spool)
    runs = [ResultRun(**documents) for documents in made]
    used = {(run.start.get("model") or {}).get("id") for run in runs}
    models = load_analysis(profile).models.values()
    runs += [_what_if(model) for model in models if model.card.id in used]
    return {run.uid: run for run in runs}


def race(
    repeats: int,
    *,
    database: str = "sqlite",
    number: int = 2,
    processes: Sequence[bool] = (False, True),
    told: Callable[[Row], object] = lambda _: None,
) -> list[Row]:
    """Let every pair of writers meet `repeats` times, in threads and in processes."""
    right = expected(range(number))
    rows: list[Row] = []
    with tempfile.TemporaryDirectory() as made, ThreadPoolExecutor(2) as both:
        folder = Path(made)
        folder.chmod(0o755)
        with tiled(folder, database) as server:
            container = server.client("processed")
            for separate in processes:
                others = [Other(), Other()] if separate else []
                for other in others:
                    other.ready()
                writers: Sequence[Callable[[Errand], dict[str, Any]]] = others or [write, write]
                for name, kinds in MEETINGS.items():
                    row = Row(f"{name}, {'processes' if separate else 'threads'}")
                    for turn in range(repeats):
                        empty(server, container)
                        spools = [folder / f"{row.name} {turn} {n * (turn % 2)}" for n in (0, 1)]
                        at = time.monotonic() + 0.5
                        errands = [
                            Errand(kind, server.uri, server.api_key, str(spool), 0, number, at)
                            for kind, spool in zip(kinds, spools, strict=True)
                        ]
                        done = list(both.map(lambda write, errand: write(errand), writers, errands))
                        row.seconds.append(time.monotonic() - at)
                        row.repeats += 1
                        row.idle += all(one["idle"] for one in done)
                        row.left += sum(one["left"] for one in done)
                        row.left += sum(1 for one in set(spools) for _ in one.glob("*/*.jsonl"))
                        row.rejected += sum(one["rejected"] for one in done)
                        row.results += len(right)
                        row.found += count(container, right)
                        row.orphans += orphans(server, container)
                        told(row)
                    rows.append(row)
                for other in others:
                    other.close()
    return rows


# ---- kills ----------------------------------------------------------------------------------


def kill(
    repeats: int,
    *,
    database: str = "sqlite",
    told: Callable[[Row], object] = lambda _: None,
) -> list[Row]:
    """Kill Tiled `repeats` times while it makes a node, each time starting it again."""
    row, rng, right = Row("SIGKILL while a node is made"), random.Random(3), {}
    with tempfile.TemporaryDirectory() as made:
        folder = Path(made)
        folder.chmod(0o755)
        with tiled(folder, database) as server:
            sink = TiledSink(server.uri, "processed", server.api_key, timeout=20.0)
            sender = Sender(sink, Spool(folder / "spool"), (0.05, 0.5))
            for turn in range(repeats):
                began = time.monotonic()
                name = f"scan {turn}"
                watch = Watch(folder, server, turn, rng)
                sender.provisional(answer(name, 1.0, complete=False))
                for part in range(3):
                    run = answer(f"{name} {part}" if part else name)
                    right[run.uid] = run
                    sender.final(run)
                watch.join()
                server.start()
                row.repeats += 1
                row.idle += sender.wait_idle(PATIENCE / 4)
                row.seconds.append(time.monotonic() - began)
                row.results = len(right)
                told(row)
            row.left, row.rejected = sender.waiting, sender.rejected
            row.left += sender.close(1.0)
            container = server.client("processed")
            row.found = count(container, right)
            row.orphans = orphans(server, container)
    return [row]


class Watch(threading.Thread):
    """Kill the server once something new is on its disk: a folder of an array, or a row."""

    def __init__(self, folder: Path, server: EmbeddedServer, turn: int, rng: random.Random) -> None:
        super().__init__()
        self._server, self._skip = server, rng.randrange(4) if turn % 3 else 0
        self._later = rng.choice([0.0, 0.0, rng.uniform(0.0, 0.01)])
        self._before = set(self._arrays())
        self.start()

    def _arrays(self) -> Iterable[str]:
        return [str(path) for path in files(self._server).glob("*/*/*")]

    def run(self) -> None:
        end = time.monotonic() + 3.0
        while len(set(self._arrays()) - self._before) <= self._skip and time.monotonic() < end:
            time.sleep(0.0002)
        time.sleep(self._later)
        assert self._server.pid is not None
        os.kill(self._server.pid, signal.SIGKILL)
        assert self._server._process is not None
        self._server._process.wait()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0] if __doc__ else "")
    parser.add_argument("--repeats", type=int, default=50)
    parser.add_argument("--scans", type=int, default=2, help="that both writers of a race bring")
    parser.add_argument("--database", choices=["sqlite", "postgresql"], default="sqlite")
    parser.add_argument("--only", choices=["races", "processes", "kills"])
    parser.add_argument("--errands", action="store_true", help=argparse.SUPPRESS)
    chosen = parser.parse_args()
    logging.disable(logging.CRITICAL)
    if chosen.errands:
        run_errands()
        return

    console = Console(stderr=True)

    def told(row: Row) -> None:
        seen = f"{row.repeats} of {chosen.repeats}, {row.idle} idle, {dict(row.found)}"
        console.print(f"{row.name}: {seen}", highlight=False)

    rows: list[Row] = []
    if chosen.only != "kills":
        both = (True,) if chosen.only == "processes" else (False, True)
        told_of = {"database": chosen.database, "number": chosen.scans, "told": told}
        rows += race(chosen.repeats, processes=both, **told_of)
    if chosen.only not in ("races", "processes"):
        rows += kill(chosen.repeats, database=chosen.database, told=told)
    show(rows, f"Tiled on {chosen.database}")
    sys.exit(not all(row.right for row in rows))


if __name__ == "__main__":
    main()
