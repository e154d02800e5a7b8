"""Play quick XAS in real time; count what is answered and in Tiled, beside runs of one sweep each.

    python tests/benchmarks/rows.py
    python tests/benchmarks/rows.py --seconds 20 --rate 100 --channels 2
    python tests/benchmarks/rows.py --costs 600

One run of TES fly scans, an event of 900 energies a sweep, goes through a stream into an embedded
Tiled. Then runs of a single sweep follow as fast as Tiled takes them. Right is: no document
dropped, and every sweep once in Tiled. `--costs` says where the time of so many sweeps goes.
"""

import argparse
import cProfile
import itertools
import logging
import os
import pstats
import sys
import tempfile
import threading
import time
import uuid
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

if __name__ == "__main__":
    sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

import psutil
from benchmarks.races import PATIENCE, tiled
from rich.console import Console
from rich.table import Table
from tiled.queries import Key

from rankaae_stream.callback import DescriptorStream
from rankaae_stream.loading import build_pipeline, load_analysis
from rankaae_stream.profile import load_profile
from rankaae_stream.report import Result
from rankaae_stream.results.compose import PURPOSE
from rankaae_stream.simulate import SERIES
from rankaae_stream.simulate.documents import Beam
from rankaae_stream.simulate.tes import fly

DIFFERENT = 50
"""Sweeps with noise of their own; they come again and again."""

SHOWN = 40
"""Functions that `--costs` lists."""

LONGEST_LINE = 10
"""Unsent results beyond which the next single run waits."""


@cache
def played() -> list[tuple[str, dict[str, Any]]]:
    hematite = next(sample for sample in SERIES if sample.name == "Fe2O3")
    return [(name, dict(doc)) for name, doc in fly(Beam(hematite, noise=1e-3), scans=DIFFERENT)]


def documents(
    sweeps: int, rate: float, channels: int, sample: str = "quick"
) -> Iterator[tuple[str, dict[str, Any]]]:
    """A run of so many sweeps whose times are as far apart as `rate` has it; 1 or 2 channels."""
    began, raw, old = time.time(), str(uuid.uuid4()), played()[0][1]["uid"]
    head, events = played()[:4], [doc for _, doc in played()[4:-1]]
    for name, known in head:
        doc = {**known, "time": began, "uid": known["uid"].replace(old, raw)}
        if name == "start":
            doc["scan_title"] = sample
        else:
            parent = "run_start" if name == "descriptor" else "descriptor"
            doc[parent] = doc[parent].replace(old, raw)
        if "data_keys" in doc:
            doc["data_keys"] = _of(doc["data_keys"], channels)
        yield name, doc
    event = {"descriptor": f"{raw}-primary", "filled": {}}
    for number, doc in zip(range(1, sweeps + 1), itertools.cycle(events), strict=False):
        data, at = _of(doc["data"], channels), began + number / rate
        numbered = {"uid": f"{raw}-{number}", "seq_num": number, "time": at, "data": data}
        yield "event", {**event, **numbered, "timestamps": dict.fromkeys(data, at)}
    counts = {"energy_bins": 1, "primary": sweeps}
    ended = {"uid": f"{raw}-stop", "run_start": raw, "time": began + sweeps / rate + 0.1}
    yield "stop", {**ended, "exit_status": "success", "reason": "", "num_events": counts}


def _of(columns: dict[str, Any], channels: int) -> dict[str, Any]:
    """Without the electron yield, where there is to be one channel only."""
    return {key: value for key, value in columns.items() if channels == 2 or key != "fbratio"}


@dataclass
class Figures:
    """What came of quick sweeps, and of single runs after them."""

    sweeps: int
    rate: float
    channels: int
    load: float = 0.0
    played: float = 0.0
    behind: int = 0
    answered: float = 0.0
    stored: float = 0.0
    dropped: int = 0
    rows: int = 0
    missing: int = 0
    megabytes: tuple[float, float] = (0.0, 0.0)
    session: float = 0.0
    server: float = 0.0
    singles: float = 0.0
    unsent: int = 0

    @property
    def right(self) -> bool:
        return not (self.dropped or self.missing or self.unsent)

    def show(self) -> None:
        table = Table("", "", title="quick sweeps as rows", show_header=False)
        for what, figure in {
            "sweeps, channels": f"{self.sweeps}, {self.channels}",
            "asked, a second": f"{self.rate:.0f}",
            "played in (s), documents then behind": f"{self.played:.1f}, {self.behind}",
            "answered, sweeps a second": f"{self.rows / self.channels / self.answered:.0f}",
            "answered, results a second": f"{self.rows / self.answered:.0f}",
            "all in Tiled after (s)": f"{self.stored:.1f}",
            "rows in Tiled a second": f"{self.rows / self.stored:.0f}",
            "documents dropped, rows missing": f"{self.dropped}, {self.missing}",
            "session: memory before, at most (MB)": "{:.0f}, {:.0f}".format(*self.megabytes),
            "session: CPU s for a s until stored": f"{self.session / self.stored:.2f}",
            "server: CPU s for a s until stored": f"{self.server / self.stored:.2f}",
            "single runs in Tiled a second": f"{self.singles:.1f}",
            "unsent": str(self.unsent),
            "load of the machine before": f"{self.load:.1f}",
        }.items():
            table.add_row(what, figure)
        Console(width=100).print(table)


class Watch(threading.Thread):
    """Memory of this process, ten times a second."""

    def __init__(self) -> None:
        super().__init__(daemon=True)
        self.before = self.most = self._now()
        self._over = threading.Event()

    def _now(self) -> float:
        return psutil.Process().memory_info().rss / 2**20

    def run(self) -> None:
        while not self._over.wait(0.1):
            self.most = max(self.most, self._now())

    def end(self) -> tuple[float, float]:
        self._over.set()
        return self.before, self.most


def _cpu(pid: int | None) -> float:
    """Seconds of a process and its children."""
    whole = psutil.Process(pid)
    return sum(sum(one.cpu_times()[:2]) for one in (whole, *whole.children(recursive=True)))


def play(sweeps: int, rate: float, channels: int, singles: float) -> Figures:
    """Play the quick run, then single runs for so many seconds."""
    figures = Figures(sweeps, rate, channels, os.getloadavg()[0])
    with tempfile.TemporaryDirectory() as made, tiled(Path(made)) as server:
        settings = {"tiled": {"uri": server.uri}, "tiled_api_key": server.api_key}
        stream = DescriptorStream("tes", spool=Path(made) / "spool", **settings)
        for item in documents(1, 1.0, channels, "first"):  # with what-if curves and imports
            stream(*item)
        assert stream.wait_idle(PATIENCE)
        known, watch = stream.status().answered, Watch()
        watch.start()
        session, tiled_cpu, own = _cpu(None), _cpu(server.pid), time.thread_time()
        began = time.monotonic()
        for number, item in enumerate(documents(sweeps, rate, channels)):
            time.sleep(max(began + number / rate - time.monotonic(), 0.0))
            stream(*item)
        figures.played, figures.behind = time.monotonic() - began, stream.status().waiting
        playing = time.thread_time() - own
        while not stream._inbox.wait_idle(0.01):
            if stream.status().answered - known == sweeps * channels:
                break
        figures.answered = time.monotonic() - began
        assert stream.wait_idle(PATIENCE, series=False)
        figures.rows = stream.status().answered - known
        figures.stored = time.monotonic() - began
        figures.session = _cpu(None) - session - playing
        figures.server = _cpu(server.pid) - tiled_cpu
        figures.megabytes, figures.dropped = watch.end(), stream.status().dropped
        found = server.client("processed").search(Key("start.purpose") == PURPOSE)
        found = found.search(Key("start.scan_title") == "quick")
        figures.missing = sweeps * channels - sum(map(_rows, found.values()))
        figures.singles = _singles(stream, channels, singles)
        figures.unsent = stream.status().unsent + stream.close()
    return figures


def _rows(run: Any) -> int:
    """Different sweeps in the table of a result run."""
    table = run["primary"].base["internal"].read()
    return len(set(table["sweep"])) if "sweep" in table else 1


def _singles(stream: DescriptorStream, channels: int, seconds: float) -> float:
    """How many results of single runs a second leave the stream."""
    began, number, known = time.monotonic(), 0, stream.status().answered
    while time.monotonic() - began < seconds:
        for item in documents(1, 1.0, channels, f"single {number}"):
            stream(*item)
        number += 1
        while stream.status().unsent + stream.status().waiting > LONGEST_LINE:
            time.sleep(0.005)
    assert stream.wait_idle(PATIENCE, series=False)
    done = stream.status().answered - known
    return done / (time.monotonic() - began) if done else 0.0


def costs(sweeps: int, channels: int) -> None:
    """Show in which functions the pipeline spends its time."""
    results: list[Result] = []
    profile = load_profile("tes")
    pipeline = build_pipeline(profile, results.append, load_analysis(profile))
    for item in documents(2, 1.0, channels):
        pipeline.feed(*item, 0.0)
    items = list(documents(sweeps, 200.0, channels))
    results.clear()
    watched = cProfile.Profile()
    watched.enable()
    for item in items:
        pipeline.feed(*item, 0.0, more=True)
    watched.disable()
    stats, count = pstats.Stats(watched), sum(one.report.complete for one in results)
    Console().print(f"{count} results; seconds and calls of all of them, profiler included")
    for order in ("cumulative", "tottime"):
        stats.sort_stats(order).print_stats("rankaae_stream|onnx|numpy", SHOWN)


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--seconds", type=float, default=60.0)
    parser.add_argument("--rate", type=float, default=200.0, help="sweeps a second")
    parser.add_argument("--channels", type=int, choices=(1, 2), default=1)
    parser.add_argument("--singles", type=float, default=20.0, help="seconds of single runs")
    parser.add_argument("--costs", type=int, metavar="SWEEPS")
    asked = parser.parse_args()
    logging.disable(logging.CRITICAL)
    if asked.costs:
        costs(asked.costs, asked.channels)
        return
    sweeps = round(asked.seconds * asked.rate)
    figures = play(sweeps, asked.rate, asked.channels, asked.singles)
    figures.show()
    sys.exit(not figures.right)


if __name__ == "__main__":
    main()
