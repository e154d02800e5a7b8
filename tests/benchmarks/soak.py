"""Play thousands of scans to a service; watch its memory and its latency, and count results.

    nice -n 15 python tests/benchmarks/soak.py --scans 2000

`rankaae-stream serve` reads bluesky's 0MQ proxy and publishes to an embedded Tiled, each in a
process of its own. Twenty scans are of one sample, so that series come and go. The first and
the last scans are waited for one by one: that is the latency. Right is: each result in Tiled
once and with its stop, nothing refused, unsent or restarted.
"""

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

if __name__ == "__main__":
    sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

import msgpack_numpy
import numpy as np
import psutil
from benchmarks.races import PATIENCE, expected, scan, tiled
from benchmarks.two_days import LONGEST_LINE
from bluesky.callbacks.zmq import Publisher

from rankaae_stream.profile import API_KEY_VARIABLE
from rankaae_stream.results.compose import PURPOSE
from rankaae_stream.server.tiled_server import EmbeddedServer
from rankaae_stream.simulate.documents import stamped

TIMED = 50
"""Scans at the start and at the end that are waited for one by one."""
OF_ONE_SAMPLE = 20
PATTERN = 12
"""Scans after which `scan` begins anew with its samples."""
PROXY = (
    "from bluesky.callbacks.zmq import Proxy; p = Proxy('127.0.0.1', '127.0.0.1'); "
    "print(p.in_port, p.out_port, flush=True); p.start()"
)


class Service:
    """A service in a process of its own, and what it says of itself."""

    def __init__(self, address: str, server: EmbeddedServer, spool: Path) -> None:
        environment = {
            **os.environ,
            API_KEY_VARIABLE: server.api_key,
            "RANKAAE_STREAM_SPOOL": str(spool),
            "RANKAAE_STREAM_TILED__URI": server.uri,
        }
        command = [
            sys.executable,
            "-m",
            "rankaae_stream",
            "serve",
            "generic",
            "--from",
            "zmq",
            "--port",
            "0",
            "--address",
            address,
        ]
        self.process = subprocess.Popen(
            command,
            env=environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
        )
        assert self.process.stdout is not None
        for line in self.process.stdout:
            if "/status" in line:
                self._status = line.split("how it is: ")[1].split(";")[0].strip()
                return
        raise RuntimeError("the service did not start")

    def status(self) -> dict[str, Any]:
        with urllib.request.urlopen(self._status, timeout=PATIENCE) as answer:
            return json.load(answer)

    def megabytes(self) -> tuple[float, float]:
        """Return the resident memory of worker and supervisor."""
        own = psutil.Process(self.process.pid).memory_info().rss
        return self.status()["memory"] / 2**20, own / 2**20

    def close(self) -> None:
        self.process.terminate()
        self.process.wait(PATIENCE)


@contextmanager
def proxy() -> Iterator[list[str]]:
    """bluesky's proxy: where sessions publish, and where the service subscribes."""
    with subprocess.Popen(
        [sys.executable, "-c", PROXY], stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout is not None
        try:
            yield process.stdout.readline().split()
        finally:
            process.kill()


def play(scans: int) -> dict[str, Any]:
    """Play the scans; return the figures."""
    began = time.monotonic()
    sizes: list[tuple[int, float, float]] = []
    seconds: dict[str, list[float]] = {"first": [], "last": []}
    with tempfile.TemporaryDirectory() as made, tiled(Path(made)) as server, proxy() as at:
        service = Service(at[1], server, Path(made) / "spool")
        publish = Publisher(at[0], serializer=msgpack_numpy.dumps)
        container = server.client("processed")
        join(publish, service)
        try:
            for number in range(scans):
                if number == scans - TIMED:
                    wait_until_idle(service)
                uid = send(publish, number)
                at_end = number >= scans - TIMED
                if number < TIMED or at_end:
                    seconds["last" if at_end else "first"].append(wait_for(container, uid))
                else:
                    wait_for_room(service)
                if number % max(scans // 100, 1) == 0 or number == scans - 1:
                    sizes.append((number + 1, *service.megabytes()))
                    sys.stderr.write(f"{sizes[-1]}\n")
            wait_until_idle(service)
            status = service.status()
        finally:
            service.close()
        found = count(container, scans)
    late = np.array([size for size in sizes if size[0] >= scans / 2])
    return {
        "scans": scans,
        **found,
        "unsent": status["unsent"],
        "quarantined": status["quarantined"],
        "restarts": status["restarts"],
        "messages refused": status["messages_refused"],
        **{
            f"{who}, MB at 20, 50, 100 %": [
                round(min(sizes, key=lambda one: abs(one[0] - part * scans))[column])
                for part in (0.2, 0.5, 1.0)
            ]
            for column, who in ((1, "worker"), (2, "supervisor"))
        },
        **{
            f"{who}, MB in 1,000 scans": round(
                1000 * float(np.polyfit(late[:, 0], late[:, column], 1)[0]), 1
            )
            for column, who in ((1, "worker"), (2, "supervisor"))
        },
        **{
            f"stop to result, {which} {TIMED} scans, s: median, longest": [
                round(statistics.median(each), 2),
                round(max(each), 2),
            ]
            for which, each in seconds.items()
        },
        "seconds": round(time.monotonic() - began),
    }


def join(publish: Publisher, service: Service) -> None:
    """Publish until 0MQ has joined: what comes before is dropped."""
    while not service.status()["documents"]:
        publish("stop", {"uid": "probe", "run_start": "nobody's", "time": 0.0})
        time.sleep(0.2)


def send(publish: Publisher, number: int) -> str:
    """Publish a scan as if it were of a minute after the last; return its uid."""
    documents = scan(number)
    shift = 60.0 * number - documents[0][1]["time"] + 1.7e9
    for name, doc in documents:
        later = dict(stamped(doc, doc["time"] + shift)) if "time" in doc else dict(doc)
        if name == "start":
            later["sample_name"] += f" {number // OF_ONE_SAMPLE}"
        publish(name, later)
        time.sleep(0.0005)
    return documents[0][1]["uid"]


def wait_for(container: Any, uid: str) -> float:
    """Return the seconds until a run has a complete result in Tiled."""
    from tiled.queries import Key

    began = time.monotonic()
    found = container.search(Key("start.original_run_uid") == uid)
    while not any(run.metadata.get("stop") for run in found.values()):
        if time.monotonic() - began > PATIENCE:
            raise TimeoutError(f"run {uid} has no result")
        time.sleep(0.02)
    return time.monotonic() - began


def wait_for_room(service: Service) -> None:
    while (status := service.status())["waiting"] > 1000 or status["unsent"] > LONGEST_LINE:
        time.sleep(0.1)


def wait_until_idle(service: Service) -> None:
    """Wait until nothing is open, waits or is unsent."""
    while (status := service.status())["waiting"] or status["unsent"] or status["open_runs"]:
        time.sleep(0.2)


def count(container: Any, scans: int) -> dict[str, Any]:
    """Count the results by their run, channel and sweep."""
    first = min(scans, PATTERN)
    wanted = Counter(
        run.start["original_run_uid"]
        for run in expected(range(first)).values()
        if run.start["purpose"] == PURPOSE
    )
    of = [wanted[scan(number)[0][1]["uid"]] for number in range(first)]
    found: Counter[tuple[str, str, int]] = Counter()
    unfinished = 0
    for run in container.values():
        start = run.metadata["start"]
        if start["purpose"] != PURPOSE:
            continue
        found[start["original_run_uid"], start["channel"], start["sweep"]] += 1
        unfinished += not run.metadata.get("stop")
    right = sum(of[number % PATTERN] for number in range(scans))
    return {
        "results wanted": right,
        "there": len(found),
        "lost": right - len(found),
        "doubled": sum(number > 1 for number in found.values()),
        "without a stop": unfinished,
    }


def main() -> None:
    """Print a line of JSON."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--scans", type=int, default=2000)
    sys.stdout.write(json.dumps(play(parser.parse_args().scans), indent=1) + "\n")


if __name__ == "__main__":
    main()
