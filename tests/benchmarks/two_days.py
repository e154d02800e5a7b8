"""Play two days of a session fast; count the results, and watch the session's memory.

    nice -n 19 python tests/benchmarks/two_days.py --scans 5000

One session answers every scan; each fifth was paused and rewound, which repeats events. Tiled
is killed and stopped in turn and is away for some scans. A second session and a replay bring
scans that the first one has, and another session with runs of its own is killed while Tiled
is away: the first one has to send what it left in their spool. Right is: as many results in
Tiled as were answered, each once and whole, nothing left in the spool, and a session that
does not grow.
"""

import argparse
import logging
import os
import signal
import sys
import tempfile
import threading
import time
import uuid
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

if __name__ == "__main__":
    sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

import numpy as np
import psutil
from benchmarks.races import NO_SERIES, PATIENCE, Errand, Other, expected, scan, tiled
from counted import count
from rich.console import Console
from rich.table import Table

from rankaae_stream.callback import DescriptorStream
from rankaae_stream.results.compose import PURPOSE

OUTAGES = 20
"""How often Tiled goes away, killed and stopped in turn."""

AWAY = 5
"""Scans for which it stays away."""

MEETINGS = 10
"""How often a second session and a replay bring scans that the first one has, in turn."""

LONGEST_LINE = 50
"""Unsent results beyond which the next scan waits: a beamline is not this fast."""

WHOLE = 200
"""Results, evenly spaced, whose rows and arrays are read; of the others the stop document."""

OTHERS = 1_000_000
"""Number of the first scan of the session that is killed."""


@dataclass
class Figures:
    """What came of two days."""

    scans: int
    answered: int = 0
    found: Counter[str] = field(default_factory=Counter[str])
    whole: Counter[str] = field(default_factory=Counter[str])
    unsent: int = 0
    put_aside: int = 0
    outages: int = 0
    meetings: int = 0
    left_by_the_killed: int = 0
    megabytes: list[tuple[int, float]] = field(default_factory=list[tuple[int, float]])
    seconds: float = 0.0

    @property
    def right(self) -> bool:
        """Whether nothing was lost, stuck or doubled."""
        once = self.found == Counter(once=self.answered + self.left_by_the_killed)
        whole = set(self.whole) == {"whole"}
        return once and whole and not (self.unsent or self.put_aside)

    @property
    def slope(self) -> float:
        """MB for 1,000 scans, by a straight line through the last half: caches are full then."""
        late = [(at, size) for at, size in self.megabytes if at >= self.scans / 2]
        return float(np.polyfit(*zip(*late, strict=True), 1)[0]) * 1000 if len(late) > 1 else 0.0

    def memory(self, part: float) -> float:
        """MB when that part of the scans had been played."""
        return min(self.megabytes, key=lambda one: abs(one[0] - part * self.scans))[1]

    def show(self) -> None:
        table = Table("", "", title=f"{self.scans} scans", show_header=False)
        memory = ", ".join(f"{self.memory(part):.0f}" for part in (0.2, 0.5, 1.0))
        for what, figure in {
            "results answered": self.answered,
            "of the killed session": self.left_by_the_killed,
            "in Tiled": dict(self.found),
            "of these read whole": dict(self.whole),
            "unsent, put aside": f"{self.unsent}, {self.put_aside}",
            "times Tiled was away": self.outages,
            "times two brought the same": self.meetings,
            "memory at 20, 50, 100 % (MB)": memory,
            "slope (MB in 1,000 scans)": f"{self.slope:.2f}",
            "seconds": f"{self.seconds:.0f}",
        }.items():
            table.add_row(what, str(figure))
        Console(width=110).print(table)


def rewound(documents: list[tuple[str, dict[str, Any]]]) -> list[tuple[str, dict[str, Any]]]:
    """The scan, paused half-way and rewound by ten points: the same numbers under new uids."""
    middle = len(documents) // 2
    again = [
        (name, {**doc, "uid": str(uuid.uuid5(uuid.NAMESPACE_OID, doc["uid"]))})
        for name, doc in documents[middle - 10 : middle]
    ]
    return [*documents[:middle], *again, *documents[middle:]]


def play(scans: int, told: Callable[[Figures], object] = lambda _: None) -> Figures:
    """Play that many scans; `told` hears of it at every hundredth part."""
    figures, began = Figures(scans), time.monotonic()
    uids: list[str] = []

    def keep(name: str, doc: dict[str, Any]) -> None:
        if name == "start":
            uids.append(doc["uid"])

    with tempfile.TemporaryDirectory() as made, tiled(Path(made)) as server:
        spool, waits = Path(made) / "spool", threading.Event()
        settings = {"tiled": {"uri": server.uri}, "tiled_api_key": server.api_key}
        settings["series"] = NO_SERIES
        stream = DescriptorStream("generic", sinks=[keep], spool=spool, **settings)
        other, busy, killed = Other(), None, None
        other.ready()

        def errand(kind: str, own: bool, first: int, number: int) -> Errand:
            folder = spool.with_name("another") if own else spool
            return Errand(kind, server.uri, server.api_key, str(folder), first, number)

        for number in range(scans):
            for item in (rewound if number % 5 == 0 else list)(scan(number)):
                stream(*item)
            outage, place = divmod(number, max(scans // OUTAGES, 2 * AWAY))
            if place == AWAY and server.running:
                figures.outages += 1
                os.kill(server.pid or 0, signal.SIGKILL) if outage % 2 else server.stop()
                if killed is None and number > scans / 3:
                    killed = Other()
                    killed.ready()
                    leave = errand("session", False, OTHERS, 3)
                    threading.Thread(target=_send_off, args=(killed, leave), daemon=True).start()
                    _wait(lambda: len(_waiting(spool, OTHERS)) == 3, "it leaves three results")
                    killed.kill()
            elif place == 2 * AWAY - 1 and not server.running:
                server.start()
            meets = number % max(scans // MEETINGS, 1) == scans // MEETINGS - 1
            if meets and not (busy and busy.is_alive()):
                turn, first = figures.meetings, max(number - 10, 0)
                kind = "replay" if turn % 2 else "session"
                sent = errand(kind, turn % 4 < 2, first, number + 1 - first)
                busy = threading.Thread(target=other, args=(sent,))
                busy.start()
                figures.meetings += 1
            while stream.status().waiting > 1000 or (
                server.running and stream.status().unsent > LONGEST_LINE
            ):
                waits.wait(0.05)
            if number % max(scans // 100, 1) == 0 or number == scans - 1:
                assert stream._inbox.wait_idle(PATIENCE)
                size = psutil.Process().memory_info().rss / 2**20
                figures.megabytes.append((number + 1, size))
                told(figures)
        server.start()
        if busy is not None:
            busy.join(PATIENCE)
        other.close()
        stream.wait_idle(PATIENCE)
        _wait(lambda: not list(spool.glob("tiled*/*.jsonl")), "the first sends what it left")
        status = stream.status()
        figures.answered, figures.unsent = status.answered + status.refused, status.unsent
        figures.put_aside = stream._session.publisher.rejected
        figures.unsent += stream.close()
        figures.left_by_the_killed = 3 if killed else 0
        own = expected(range(OTHERS, OTHERS + 3)) if killed else {}
        wanted = {*uids, *(uid for uid, run in own.items() if run.start["purpose"] == PURPOSE)}
        container = server.client("processed")
        figures.found = _count_stops(container, wanted)
        some = expected(range(0, scans, max(scans // WHOLE, 1))) | own
        figures.whole = count(container, some)
        del figures.whole["strangers"]
        figures.seconds = time.monotonic() - began
    return figures


def _send_off(other: Other, errand: Errand) -> None:
    try:
        other(errand)
    except ValueError:
        return  # it was killed, and answers nothing


def _waiting(spool: Path, first: int) -> list[Path]:
    """The files of results of a killed session's scans."""
    runs = [scan(first + number)[0][1]["uid"] for number in range(3)]
    files = spool.glob("tiled*/*.jsonl")
    return [path for path in files if any(run in path.read_text() for run in runs)]


def _wait(condition: Callable[[], bool], what: str) -> None:
    deadline = time.monotonic() + PATIENCE
    while not condition():
        assert time.monotonic() < deadline, what
        time.sleep(0.2)


def _count_stops(container: Any, wanted: set[str]) -> Counter[str]:
    """Count the results by their metadata: once, without a stop, twice, unknown, missing."""
    found: Counter[str] = Counter()
    questions: set[tuple[Any, ...]] = set()
    there: set[str] = set()
    for run in container.values():
        metadata = dict(run.metadata)
        start = metadata["start"]
        if start["purpose"] != PURPOSE:
            continue
        there.add(start["uid"])
        question = tuple(start[key] for key in ("original_run_uid", "channel", "sweep"))
        if start["uid"] not in wanted:
            found["unknown"] += 1
        elif not metadata.get("stop"):
            found["without a stop"] += 1
        else:
            found["twice" if question in questions else "once"] += 1
        questions.add(question)
    found["missing"] = len(wanted - there)
    return +found


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--scans", type=int, default=5000)
    scans = parser.parse_args().scans
    logging.disable(logging.CRITICAL)
    console = Console(stderr=True)

    def told(figures: Figures) -> None:
        played, size = figures.megabytes[-1]
        console.print(f"{played} of {scans} scans, {size:.0f} MB", highlight=False)

    figures = play(scans, told)
    figures.show()
    sys.exit(not figures.right)


if __name__ == "__main__":
    main()
