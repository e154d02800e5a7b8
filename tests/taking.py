"""Play a recorded session to a bus, and take what comes out of it."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
from waiting import PATIENCE

from rankaae_stream.errors import ConfigurationError
from rankaae_stream.profile import load_profile
from rankaae_stream.simulate import SERIES
from rankaae_stream.simulate.documents import Beam
from rankaae_stream.simulate.steps import iss_step

Documents = list[tuple[str, dict[str, Any]]]


def session(*names: str) -> Documents:
    """Step scans at ISS, whose waveforms are arrays."""
    played = []
    for sample in SERIES:
        if sample.name in names:
            played += iss_step(Beam(sample), name=f"bus {sample.name}")
    for name, doc in played:
        if name == "event":
            doc["data"]["apb_ave_ch1_wf"] = np.array(doc["data"]["apb_ave_ch1_wf"])
    return played


class Kept:
    """A taker; what is flushed is in `kept`, what a kill would lose in `taken`."""

    def __init__(self) -> None:
        self.taken: Documents = []
        self.kept: Documents = []
        self.flushes = 0
        self.is_full = False
        self.broken: Exception | None = None

    def take(self, name: str, doc: Any) -> None:
        self.taken.append((name, doc))

    def flush(self) -> None:
        if self.broken is not None:
            raise self.broken
        self.flushes += 1
        self.kept += self.taken
        self.taken = []

    def full(self) -> bool:
        return self.is_full

    def count(self, name: str) -> int:
        return sum(kind == name for kind, _ in self.kept)

    def ended(self) -> int:
        return self.count("stop")


@contextmanager
def running(bus: Any, taker: Any) -> Iterator[list[Exception]]:
    """A bus in a thread of its own; what it raises is in the list that is returned."""
    stopping, raised = threading.Event(), list[Exception]()

    def run() -> None:
        try:
            bus.run(taker, stopping)
        except ConfigurationError as error:
            raised.append(error)

    thread = threading.Thread(target=run)
    thread.start()
    try:
        yield raised
    finally:
        stopping.set()
        thread.join(PATIENCE)
        assert not thread.is_alive()


def same(one: Any, other: Any) -> None:
    """Equal in every bit, but that a message has a list for a tuple."""
    if isinstance(one, (list, tuple)):
        assert isinstance(other, list | tuple)
        assert len(one) == len(other)
        for a, b in zip(one, other, strict=True):
            same(a, b)
    elif isinstance(one, dict):
        assert list(one) == list(other)
        for key in one:
            same(one[key], other[key])
    elif isinstance(one, (np.ndarray, np.generic)) and not isinstance(one, float):
        assert (one.dtype, one.shape) == (other.dtype, other.shape)
        assert one.tobytes() == other.tobytes()
    else:
        assert one == other


def answers(open_pipeline: Any, documents: Documents, *, complete: bool = False) -> list[Any]:
    """What the pipeline says to documents, without when and by which objects.

    With `complete` without what it says to a part: that depends on how rows come together.
    """
    pipeline = open_pipeline(load_profile("iss"))
    for name, doc in documents:
        pipeline.feed(name, doc, 0.0)
    found = [
        (r.uid, r.report.estimates, r.report.flags)
        for r in pipeline.results
        if r.report.complete or not complete
    ]
    assert any(estimates for _, estimates, _ in found)
    return found
