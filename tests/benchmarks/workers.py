"""Answer stored runs by one and two workers in turns: runs a second, and the CPU of each process.

    python tests/benchmarks/workers.py
    python tests/benchmarks/workers.py --runs 400 --pairs 6 --how processes

Runs of 116 points in files are answered only (`replay --dry-run`). The clock begins with the first
answer: processes start with each replay, Dask's workers are programs of their own that stay up.
The two counts follow each other in turns (ABBA), so that what else this machine does slows both;
its load is printed.
"""

import argparse
import contextlib
import os
import statistics
import subprocess
import sys
import tempfile
import time
import uuid
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

if __name__ == "__main__":
    sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

import numpy as np
import psutil
import suitcase.jsonl
from rich.console import Console
from rich.table import Table

from rankaae_stream.files.read import read_spectrum
from rankaae_stream.past.archive import open_archive
from rankaae_stream.past.selection import Selection
from rankaae_stream.profile import load_profile
from rankaae_stream.replay import Workers, replay
from rankaae_stream.resources import folder

POINTS = 116


@dataclass(frozen=True)
class Crew:
    """Workers that stay up between the turns; without an address, each turn starts its own."""

    workers: Workers
    pids: dict[str, list[int]]


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--runs", type=int, default=400)
    parser.add_argument("--pairs", type=int, default=6)
    parser.add_argument("--how", choices=("dask", "processes"), default="dask")
    asked, console = parser.parse_args(), Console(markup=False, highlight=False)
    with tempfile.TemporaryDirectory() as made, contextlib.ExitStack() as stack:
        write_runs(Path(made) / "runs", asked.runs)
        crews = {
            count: stack.enter_context(cluster(Path(made) / str(count), count))
            if asked.how == "dask"
            else Crew(Workers(count), {})
            for count in (1, 2)
        }
        rates, costs, begins = in_turns(crews, Path(made), asked.runs, asked.pairs)
    ratios = [two / one for one, two in zip(rates[1], rates[2], strict=True)]
    table = Table("", "one worker", "two workers", title=f"{asked.runs} runs, {asked.how}")
    table.add_row("runs a second, median", *(f"{statistics.median(rates[n]):.0f}" for n in (1, 2)))
    table.add_row("best", *(f"{max(rates[n]):.0f}" for n in (1, 2)))
    table.add_row("first answer, s", *(f"{statistics.median(begins[n]):.1f}" for n in (1, 2)))
    for name in costs[2][0]:
        each = (statistics.median(one.get(name, 0.0) for one in costs[n]) for n in (1, 2))
        table.add_row(f"ms a run, {name}", *(f"{1e3 * one / asked.runs:.1f}" for one in each))
    console.print(table)
    ordered = ", ".join(f"{ratio:.2f}" for ratio in sorted(ratios))
    console.print(f"times as fast: {statistics.median(ratios):.2f} (median of {ordered})")
    console.print(f"load of the machine: {', '.join(f'{load:.1f}' for load in os.getloadavg())}")


def write_runs(path: Path, count: int) -> None:
    """Write step scans of hematite with its foil, each with noise of its own."""
    path.mkdir()
    rng = np.random.default_rng(0)
    scan, foil = (
        read_spectrum(folder("profiles/spectra") / f"Fe/{name}_rt_01.xdi")
        for name in ("Fe2O3", "Fe_metal")
    )
    energy = np.linspace(7112.0 - 160.0, 7112.0 + 180.0, POINTS)
    energy = np.sort(np.concatenate([energy[::2], np.linspace(7092.0, 7182.0, POINTS // 2)]))
    mu, metal = (np.interp(energy, one.energy, one.mu) for one in (scan, foil))
    for number in range(count):
        i0 = np.full(energy.size, 1e5)
        it = i0 * np.exp(-mu - rng.normal(0.0, 1e-3, mu.size))
        columns = {"mono-energy": energy, "ic-i0": i0, "ic-it": it, "ic-ir": it * np.exp(-metal)}
        suitcase.jsonl.export(documents(str(uuid.uuid4()), 1e9 + 600.0 * number, columns), path)


def documents(
    uid: str, began: float, columns: dict[str, np.ndarray]
) -> Iterator[tuple[str, dict[str, object]]]:
    """A step scan's documents."""
    key = {"source": "test", "dtype": "number", "shape": []}
    yield "start", {"uid": uid, "time": began, "element": "Fe"}
    described = {"run_start": uid, "name": "primary", "data_keys": dict.fromkeys(columns, key)}
    yield "descriptor", {"uid": f"{uid}-d", "time": began, **described}
    for i, row in enumerate(zip(*(column.tolist() for column in columns.values()), strict=True)):
        data, at = dict(zip(columns, row, strict=True)), began + 1.0 + i
        event = {"uid": f"{uid}-{i}", "descriptor": f"{uid}-d", "seq_num": i + 1, "time": at}
        yield "event", {**event, "data": data, "timestamps": dict.fromkeys(data, at)}
    stop = {"uid": f"{uid}-s", "run_start": uid, "time": began + 500.0}
    yield "stop", {**stop, "exit_status": "success", "reason": "", "num_events": {"primary": i + 1}}


@contextlib.contextmanager
def cluster(path: Path, count: int) -> Iterator[Crew]:
    """A Dask scheduler with workers of one thread, each a program of its own."""
    path.mkdir()
    told = path / "scheduler.json"
    quiet = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL, "cwd": path}
    dask = [sys.executable, "-m", "dask"]
    options = ["--host", "127.0.0.1", "--port", "0", "--no-dashboard", "--scheduler-file", told]
    scheduler = subprocess.Popen([*dask, "scheduler", *options], **quiet)
    while not told.exists():
        time.sleep(0.1)
    one = [*dask, "worker", "--scheduler-file", told, "--nthreads", "1", "--no-dashboard"]
    workers = [subprocess.Popen([*one, "--no-nanny"], **quiet) for _ in range(count)]
    address = f"tcp{told.read_text().split('tcp', 1)[1].split(chr(34), 1)[0]}"
    programs = [scheduler, *workers]
    try:
        pids = {"scheduler": [scheduler.pid], "workers": [one.pid for one in workers]}
        yield Crew(Workers(dask=address), pids)
    finally:
        for program in reversed(programs):  # a worker whose scheduler ends waits for another
            program.kill()
            program.wait()


def in_turns(
    crews: dict[int, Crew], made: Path, runs: int, pairs: int
) -> tuple[dict[int, list[float]], dict[int, list[dict[str, float]]], dict[int, list[float]]]:
    """Return runs a second of each crew, CPU seconds of its processes, seconds to an answer."""
    profile = load_profile("sim", spool=made / "spool")
    rates: dict[int, list[float]] = {count: [] for count in crews}
    costs: dict[int, list[dict[str, float]]] = {count: [] for count in crews}
    begins: dict[int, list[float]] = {count: [] for count in crews}
    for pair in range(pairs + 1):  # the first does not count
        for count in sorted(crews, reverse=bool(pair % 2)):
            crew, told, before = crews[count], list[float](), _cpu(crews[count])
            began = time.monotonic()
            with open_archive(str(made / "runs"), Selection(), profile.own_server) as archive:
                done = replay(
                    archive.references,
                    profile,
                    dry_run=True,
                    workers=crew.workers,
                    told=lambda _, told=told: told.append(time.monotonic()),
                )
            assert len(done.outcomes) == runs, done
            after = _cpu(crew)
            if pair:
                rates[count].append((runs - 1) / (told[-1] - told[0]))
                costs[count].append({what: after[what] - before[what] for what in after})
                begins[count].append(told[0] - began)
    return rates, costs, begins


def _cpu(crew: Crew) -> dict[str, float]:
    """Seconds of CPU so far, of this process and of those that stay up."""
    own = {"CPU of this process": time.process_time()}
    return own | {
        f"CPU of {name}": sum(sum(psutil.Process(pid).cpu_times()[:2]) for pid in pids)
        for name, pids in crew.pids.items()
    }


if __name__ == "__main__":
    main()
