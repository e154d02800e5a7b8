"""Measure each bus beside a session's own stream: documents a second, and stop to result.

``python tests/benchmarks/buses.py [--runs 20] [--scans 8] [--rows 30] [--rest 120] [--only tiled]``

Documents a second are those that a bus brings to the disk of a service (its journal). Stop to
result is from the moment a scan's stop document is published to its result in Tiled, row to disk
from the moment that Tiled has a row of a scan to its being taken, and row to answer from the same
moment to the provisional answer in Tiled that knows it. Requests a minute are those to Tiled while
nothing happens. Tiled is also read without its websockets, as where a server has none.
"""

import argparse
import random
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from functools import partial
from pathlib import Path
from typing import Any

if __name__ == "__main__":
    sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from kafka_broker import broker
from rich.console import Console
from rich.table import Table
from taking import Documents

from rankaae_stream.callback import DescriptorStream
from rankaae_stream.profile import Profile, load_profile
from rankaae_stream.results.compose import PURPOSE
from rankaae_stream.server.tiled_server import EmbeddedServer
from rankaae_stream.service.decode import encode
from rankaae_stream.service.doorbell import Doorbell
from rankaae_stream.service.journal import Journal
from rankaae_stream.service.kafka import KafkaBus
from rankaae_stream.service.serve import serve
from rankaae_stream.service.source import Source
from rankaae_stream.service.tiled_bus import TiledBus
from rankaae_stream.service.zmq import ZmqBus
from rankaae_stream.simulate import SERIES
from rankaae_stream.simulate.documents import Beam, stamped
from rankaae_stream.simulate.steps import ophyd_step

SAMPLE = next(sample for sample in SERIES if sample.name == "Fe2O3")
PATIENCE = 180.0
FIRST = 4
"""Rows of a scan before it is known to a bus, and heard."""
PORTS = 45577, 45578
TOPIC = "documents"
PROXY = (
    "import sys; from bluesky.callbacks.zmq import Proxy; Proxy(*map(int, sys.argv[1:])).start()"
)

Publish = Callable[[str, Any], None]
Measure = Callable[[EmbeddedServer, Publish, int], list[float]]


class OnDisk:
    """A taker that keeps documents as a service does, and counts them."""

    def __init__(self, folder: Path) -> None:
        self._journal = Journal(folder)
        self.count = self.ended = self.rows = 0
        self.first = self.last = 0.0

    def take(self, name: str, doc: Any) -> None:
        self.first = self.first or time.perf_counter()
        self._journal.add(name, doc)
        self.count += 1
        self.ended += name == "stop"
        self.rows += name == "event"

    def flush(self) -> None:
        self._journal.flush()
        self.last = time.perf_counter()

    def full(self) -> bool:
        return False


@contextmanager
def zmq_bus(server: EmbeddedServer, folder: Path) -> Iterator[tuple[Source, Publish]]:
    del server, folder
    import msgpack
    from bluesky.callbacks.zmq import Publisher

    proxy = subprocess.Popen([sys.executable, "-c", PROXY, *map(str, PORTS)])
    try:
        time.sleep(2.0)
        publisher = Publisher(f"127.0.0.1:{PORTS[0]}", serializer=msgpack.packb)
        yield ZmqBus(f"127.0.0.1:{PORTS[1]}"), publisher
    finally:
        proxy.kill()


@contextmanager
def kafka_bus(server: EmbeddedServer, folder: Path) -> Iterator[tuple[Source, Publish]]:
    del server, folder
    import confluent_kafka

    with broker() as cluster:
        cluster.make(TOPIC)
        producer = confluent_kafka.Producer({"bootstrap.servers": cluster.address})

        def publish(name: str, doc: Any) -> None:
            producer.produce(TOPIC, encode(name, doc), key=b"session")
            producer.poll(0)
            if name == "stop":
                producer.flush(PATIENCE)

        yield KafkaBus(cluster.address, [TOPIC], "xas-benchmark", first="earliest"), publish


class Silent(Doorbell):
    """A bell that never rings."""

    def listen(self, stream: Any, nodes: Any) -> None:
        del stream, nodes
        super().listen(None, ())


@contextmanager
def tiled_bus(
    server: EmbeddedServer, folder: Path, *, bell: bool = True, batch: int = 1000
) -> Iterator[tuple[Source, Publish]]:
    from bluesky_tiled_plugins import TiledWriter

    publish = TiledWriter(server.client("raw"), batch_size=batch, max_array_size=0)
    own = server.uri, server.api_key
    rings = None if bell else Silent()
    bus = TiledBus(f"{server.uri}#raw", own, folder, first="earliest", bell=rings)
    yield bus, lambda name, doc: publish(name, dict(doc))


BUSES = {
    "zmq": zmq_bus,
    "kafka": kafka_bus,
    "tiled": tiled_bus,
    "tiled, asked every 5 s": partial(tiled_bus, bell=False),
}


def run(name: str) -> Documents:
    """A step scan of now: a catalog is asked for what is new."""
    played = ophyd_step(Beam(SAMPLE), name=name, element="Fe", points=150)
    return [(kind, dict(stamped(doc, time.time()))) for kind, doc in played]


def rate(make: Any, runs: int) -> float:
    """Return documents a second that a bus brings to the disk."""
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        server = stack.enter_context(EmbeddedServer(folder / "tiled"))
        bus, publish = stack.enter_context(make(server, folder / "bus"))
        taker, stopping = OnDisk(folder / "journal"), threading.Event()
        thread = threading.Thread(target=bus.run, args=(taker, stopping), daemon=True)
        thread.start()
        time.sleep(2.0)
        for number in range(runs):
            for item in run(f"rate-{number}"):
                publish(*item)
        deadline = time.monotonic() + PATIENCE
        while taker.ended < runs and time.monotonic() < deadline:
            time.sleep(0.05)
        stopping.set()
        thread.join(PATIENCE)
        return taker.count / max(taker.last - taker.first, 1e-9)


def to_disk(make: Any, rows: int) -> list[float]:
    """Return the seconds from some rows of a growing scan to a taker that has them."""
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        server = stack.enter_context(EmbeddedServer(folder / "tiled"))
        bus, publish = stack.enter_context(make(server, folder / "bus", batch=1))
        taker, stopping = OnDisk(folder / "journal"), threading.Event()
        thread = threading.Thread(target=bus.run, args=(taker, stopping), daemon=True)
        thread.start()
        took, given = list[float](), 0
        for item in run("to-disk"):
            publish(*item)
            if item[0] != "event":
                continue
            given, began = given + 1, time.perf_counter()
            _until(lambda: taker.rows >= given)  # noqa: B023
            took.append(time.perf_counter() - began)
            if given == rows + FIRST:
                break
            time.sleep(random.uniform(0.0, 2.0))
        stopping.set()
        thread.join(PATIENCE)
        return took[FIRST:]


def latency(make: Any, scans: int, measure: Measure | None = None) -> list[float]:
    """Return the seconds from each stop document to the result in Tiled, or what `measure` does."""
    measure = measure or _one
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        server = stack.enter_context(EmbeddedServer(folder / "tiled"))
        profile = load_profile(
            "generic",
            spool=folder / "spool",
            tiled={"uri": server.uri},
            tiled_api_key=server.api_key,
            series={"publish": False},
        )
        if make is None:
            stream = stack.enter_context(DescriptorStream(profile))
            return [value for number in range(scans) for value in measure(server, stream, number)]
        bus, publish = stack.enter_context(make(server, folder / "bus"))
        stopping, up = threading.Event(), threading.Event()
        thread = threading.Thread(target=_serve, args=(profile, bus, stopping, up), daemon=True)
        thread.start()
        up.wait(PATIENCE)
        time.sleep(2.0)
        found = [value for number in range(scans) for value in measure(server, publish, number)]
        stopping.set()
        thread.join(PATIENCE)
        return found


def _serve(profile: Profile, bus: Source, stopping: threading.Event, up: threading.Event) -> None:
    serve(profile, bus, stopping=stopping, told=lambda *_: up.set())


def _one(server: EmbeddedServer, publish: Publish, number: int) -> list[float]:
    documents = run(f"latency-{number}-{time.time()}")
    for item in documents:
        publish(*item)
        time.sleep(0.002)
    began, found = time.perf_counter(), _results(server, documents)
    _until(lambda: any("stop" in one.metadata for one in found.values()))
    return [time.perf_counter() - began]


def _rows(server: EmbeddedServer, publish: Publish, number: int) -> list[float]:
    """Return the seconds from some rows of a scan to the answers that know them."""
    documents, took = run(f"rows-{number}-{time.time()}"), list[float]()
    found, rows = _results(server, documents), 0
    for item in documents:
        publish(*item)
        rows += item[0] == "event"
        if item[0] == "event" and rows in range(115, 150, 5):
            began = time.perf_counter()
            _until(lambda: any(_points(one) >= rows for one in found.values()))  # noqa: B023
            took.append(time.perf_counter() - began)
            time.sleep(random.uniform(0.0, 2.0))
    return took


def _points(result: Any) -> float:
    """Return how many rows of a scan the newest answer of a result knows."""
    from tiled.client.utils import ClientError

    try:
        return float(result["primary"].base["internal"].read(["points"])["points"].max())
    except (KeyError, ClientError):  # it is being made
        return 0.0


def _results(server: EmbeddedServer, documents: Documents) -> Any:
    from tiled.queries import Key

    found = server.client("processed").search(
        Key("start.original_run_uid") == documents[0][1]["uid"]
    )
    return found.search(Key("start.purpose") == PURPOSE)


def _until(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + PATIENCE
    while not condition() and time.monotonic() < deadline:
        time.sleep(0.01)


def at_rest(make: Any, seconds: float) -> float:
    """Return the requests a minute of a bus of Tiled while nothing happens."""
    import httpx

    sent, send = list[float](), httpx.Client.send

    def count(self: Any, *args: Any, **settings: Any) -> Any:
        sent.append(time.monotonic())
        return send(self, *args, **settings)

    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        server = stack.enter_context(EmbeddedServer(folder / "tiled"))
        bus, publish = stack.enter_context(make(server, folder / "bus"))
        for item in run("rest"):
            publish(*item)
        taker, stopping = OnDisk(folder / "journal"), threading.Event()
        thread = threading.Thread(target=bus.run, args=(taker, stopping), daemon=True)
        thread.start()
        time.sleep(90.0)  # in which a bell comes to be relied on
        httpx.Client.send = count
        try:
            time.sleep(seconds)
        finally:
            httpx.Client.send = send
            stopping.set()
            thread.join(PATIENCE)
    return 60.0 * len(sent) / seconds


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--runs", type=int, default=20)
    parser.add_argument("--scans", type=int, default=8)
    parser.add_argument("--rows", type=int, default=30)
    parser.add_argument("--rest", type=float, default=120.0, help="seconds")
    parser.add_argument("--only", nargs="+", help="these buses, by the beginnings of their names")
    asked = parser.parse_args()
    table = Table("bus", "documents/s to the disk", *_HEADS)
    # The first scan of a session waits for the what-if curves of its model.
    table.add_row("none: a stream", "", *_told(latency(None, asked.scans + 1)[1:]))
    for name, make in BUSES.items():
        if asked.only and not name.startswith(tuple(asked.only)):
            continue
        cells = [f"{rate(make, asked.runs):.0f}", *_told(latency(make, asked.scans + 1)[1:])]
        if name.startswith("tiled"):
            cells += _told(to_disk(make, asked.rows))
            cells += _told(latency(partial(make, batch=1), 3, _rows))
            cells += [f"{at_rest(make, asked.rest):.0f}"] if asked.rest else []
        table.add_row(name, *cells)
    Console(width=140).print(table)


_HEADS = (
    *("stop to result, s: median", "longest", "row to disk, s: median", "longest"),
    *("row to answer, s: median", "longest"),
    "requests/min at rest",
)


def _told(seconds: list[float]) -> list[str]:
    return [f"{statistics.median(seconds):.2f}", f"{max(seconds):.2f}"]


if __name__ == "__main__":
    main()
