"""Kill the worker, the service, Tiled, or a Kafka broker at random moments; count the results.

``python tests/benchmarks/kills.py [--moments 30] [--minutes 60] [--of worker service tiled ...]``

A parent stands for a bus that forgets a message only when the service has it on the disk, as
Kafka does: what was not acknowledged is sent again. With ``broker``, ``broker-hang`` and
``service-at-broker`` the bus is a Kafka broker of its own process (see `nafka_broker`), and
bluesky's side a producer of librdkafka. Runs go on while something is killed; in the end every
run must have its result in Tiled once. Each moment is told as it passes; after the minutes, at
Ctrl-C and at SIGTERM those that were are counted.
"""

import argparse
import contextlib
import json
import os
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections import Counter, deque
from pathlib import Path

if __name__ == "__main__":
    sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from confluent_kafka import Producer
from nafka_broker import NafkaBroker

from rankaae_stream.profile import API_KEY_VARIABLE, load_profile
from rankaae_stream.results.compose import PURPOSE
from rankaae_stream.server.tiled_server import EmbeddedServer
from rankaae_stream.service.decode import decode, encode
from rankaae_stream.service.kafka import KafkaBus
from rankaae_stream.service.process import read_message, write_message
from rankaae_stream.service.serve import serve
from rankaae_stream.simulate import SERIES
from rankaae_stream.simulate.documents import Beam
from rankaae_stream.simulate.steps import ophyd_step

SAMPLE = next(sample for sample in SERIES if sample.name == "Fe2O3")
SETTLE = 180.0
"""Seconds in which everything must have arrived in the end."""
TOPIC = "documents"
HANGS = 20.0
"""Seconds for which a broker stands still, at most: twice what it gives a service to be heard."""


class FromParent:
    """A bus at the standard input: a message is acknowledged when it is on the disk."""

    name = "the parent"

    def __init__(self, source, told):
        self._source, self._told = source, told
        self.refused = Counter()

    def run(self, taker, stopping):
        while not stopping.is_set() and (message := read_message(self._source)) is not None:
            taker.take(*decode(message))
            taker.flush()
            write_message(self._told, b".")

    def failing(self):
        return ""

    def note(self):
        return ""

    def lag(self):
        return None


def service(spool: str, uri: str, broker: str = "") -> None:
    """Be the service, until it is killed or the parent ends."""
    source, told = os.fdopen(os.dup(0), "rb"), os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)
    profile = load_profile("generic", spool=spool, tiled={"uri": uri}, series={"publish": False})
    bus = FromParent(source, told)
    if broker:
        folder = Path(spool) / "bus"
        bus = KafkaBus(broker, [TOPIC], "xas-kills", first="earliest", folder=folder)
    serve(profile, bus, drain=60.0)


class Bus:
    """Messages for a service that may be killed: those it has not acknowledged come again."""

    def __init__(self, spool: Path, server: EmbeddedServer, *more: str) -> None:
        self._command = [sys.executable, __file__, "--serve", str(spool), server.uri, *more]
        self._environment = {**os.environ, API_KEY_VARIABLE: server.api_key}
        self._unkept: deque[bytes] = deque()
        self._lock = threading.Lock()
        self._start()

    def _start(self) -> None:
        self.process = subprocess.Popen(
            self._command,
            env=self._environment,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
        )
        threading.Thread(target=self._hear, args=(self.process,), daemon=True).start()

    def _hear(self, process) -> None:
        while read_message(process.stdout) is not None:
            with self._lock:
                if process is self.process:
                    self._unkept.popleft()

    def send(self, name: str, doc) -> None:
        message = encode(name, doc)
        with self._lock:
            self._unkept.append(message)
        self._write(message)

    def again(self) -> None:
        """Start another service, and send what the last one has not acknowledged."""
        with self._lock:
            self._start()
            waiting = list(self._unkept)
        for message in waiting:
            self._write(message)

    def _write(self, message: bytes) -> None:
        # Where it is dead the message comes again.
        with contextlib.suppress(OSError, ValueError):
            write_message(self.process.stdin, message)

    def worker(self) -> int | None:
        """Return the process id of the service's worker."""
        children = Path(f"/proc/{self.process.pid}/task/{self.process.pid}/children")
        found = children.read_text().split() if children.exists() else []
        return int(found[0]) if found else None

    def close(self) -> None:
        """End the service in order."""
        self.process.terminate()
        self.process.stdin.close()
        with contextlib.suppress(subprocess.TimeoutExpired):
            self.process.wait(SETTLE)


class Topic(Bus):
    """The same by a Kafka broker, which may be killed as well."""

    def __init__(self, spool: Path, server: EmbeddedServer) -> None:
        self.broker = NafkaBroker(spool.parent)
        self._producer = Producer({"bootstrap.servers": self.broker.address, "log_level": 0})
        super().__init__(spool, server, self.broker.address)

    def send(self, name: str, doc) -> None:
        self._producer.produce(TOPIC, encode(name, doc))
        self._producer.poll(0)
        if name == "stop":
            assert self._producer.flush(SETTLE) == 0, "the broker takes everything"

    def close(self) -> None:
        super().close()
        self.broker.kill()


def play(of: str, moments: int, seed: int, minutes: float) -> dict[str, object]:
    """Kill `of` at so many random moments while runs go on; count their results."""
    rng = random.Random(seed)
    end = time.monotonic() + 60.0 * minutes
    folder = Path(tempfile.mkdtemp(prefix="kills-"))
    server = EmbeddedServer(folder / "tiled").start()
    bus = (Topic if "broker" in of else Bus)(folder / "spool", server)
    runs: list[str] = []
    recovered: list[float] = []
    failed = ""
    try:
        moment = 0
        while moment < moments and time.monotonic() < end:
            documents = list(
                ophyd_step(Beam(SAMPLE), name=f"{of}-{moment}-{seed}", element="Fe", points=120)
            )
            runs.append(documents[0][1]["uid"])
            at = rng.randrange(1, len(documents))
            for place, (name, doc) in enumerate(documents):
                bus.send(name, doc)
                time.sleep(0.005)
                if place == at:
                    time.sleep(rng.uniform(0.0, 2.0))
                    server = kill(of, bus, server, rng)
            began = time.monotonic()
            while not results(server, runs[-1]) and time.monotonic() - began < SETTLE:
                time.sleep(0.2)
            recovered.append(time.monotonic() - began)
            moment += 1
            sys.stderr.write(f"{of} {moment}: {recovered[-1]:.1f} s\n")
    except (AssertionError, KeyboardInterrupt) as error:
        failed = str(error) or type(error).__name__
        del runs[len(recovered) :]
    try:
        bus.close()
        found = Counter(len(results(server, uid)) for uid in runs)
    finally:
        server.close()
        if bus.process.poll() is None:
            bus.process.kill()
        shutil.rmtree(folder, ignore_errors=True)
    if not recovered:
        return {"of": of, "moments": 0, "ended by": failed}
    recovered.sort()
    middle = recovered[len(recovered) // 2]
    return {
        "of": of,
        "moments": len(recovered),
        "lost": found[0],
        "doubled": sum(count for number, count in found.items() if number > 1),
        "median seconds from the last document to the result": round(middle, 1),
        "longest": round(recovered[-1], 1),
        **({"ended by": failed} if failed else {}),
    }


def kill(of: str, bus: Bus, server: EmbeddedServer, rng: random.Random) -> EmbeddedServer:
    """Kill one of them, and start again what nothing else starts again."""
    if of == "worker":
        pid = bus.worker()
        if pid is not None:
            os.kill(pid, signal.SIGKILL)
    elif of == "broker":
        bus.broker.kill()
        time.sleep(rng.uniform(0.0, 3.0))
        bus.broker.start()
    elif of == "broker-hang":
        bus.broker.hang(rng.uniform(0.0, HANGS))
    elif of.startswith("service"):
        bus.process.kill()
        bus.process.wait()
        bus.again()
    else:
        port = server.port
        server._process.kill()
        server._process.wait()
        time.sleep(1.0)
        server = EmbeddedServer(server.directory, port=port, api_key=server.api_key).start()
    return server


def results(server: EmbeddedServer, uid: str) -> list[object]:
    """Return the complete primary results of a run."""
    from tiled.queries import Key

    found = server.client("processed").search(Key("start.original_run_uid") == uid)
    return [
        run
        for run in found.values()
        if run.metadata["start"]["purpose"] == PURPOSE
        and run.metadata["start"]["primary"]
        and "stop" in run.metadata
    ]


def main() -> None:
    """Print a line of JSON for each."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--moments", type=int, default=30)
    parser.add_argument("--of", nargs="+", default=["worker", "service", "tiled"])
    parser.add_argument("--minutes", type=float, default=60.0, help="for each, at most")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--serve", nargs="+", help=argparse.SUPPRESS)
    asked = parser.parse_args()
    if asked.serve:
        service(*asked.serve)
        return
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    for of in asked.of:
        counted = play(of, asked.moments, asked.seed, asked.minutes)
        sys.stdout.write(json.dumps(counted) + "\n")
        sys.stdout.flush()


if __name__ == "__main__":
    main()
