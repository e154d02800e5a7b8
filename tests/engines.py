"""A RunEngine that ends with its test."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from bluesky import RunEngine
from waiting import PATIENCE


@contextmanager
def run_engine(md: dict[str, Any] | None = None) -> Iterator[RunEngine]:
    """A RunEngine whose loop and thread, which it leaves running, are ended afterwards."""
    engine = RunEngine(md or {}, call_returns_result=True)
    try:
        yield engine
    finally:
        engine.loop.call_soon_threadsafe(engine.loop.stop)
        engine._th.join(PATIENCE)
        assert not engine._th.is_alive()
        engine.loop.close()
