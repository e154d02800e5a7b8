"""Wait for what other threads and processes do."""

import time
from collections.abc import Callable
from typing import Any

PATIENCE = 180.0
"""Seconds until a wait has failed: many times what it takes on two cores under load 8.

A wait ends as soon as its condition holds, so that a long bound costs nothing.
"""


def wait_until(condition: Callable[[], Any], what: str) -> None:
    """Return once the condition holds; fail with `what` was waited for."""
    deadline = time.monotonic() + PATIENCE
    while not condition():
        assert time.monotonic() < deadline, f"not within {PATIENCE:.0f} s: {what}"
        time.sleep(0.01)
