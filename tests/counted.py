"""Count results in Tiled: each is there once, with its stop and its arrays whole."""

from collections import Counter
from collections.abc import Mapping
from typing import Any

import numpy as np

from rankaae_stream.results.compose import ResultRun
from rankaae_stream.results.tiled_client import get_child


def count(container: Any, expected: Mapping[str, ResultRun]) -> Counter[str]:
    """Count what is right and what is wrong with each result that should be there.

    Keys: `whole`, `missing`, `without a stop`, `not whole`, `doubled` (rows), `strangers`
    (what nobody has written).
    """
    there = set(container)
    found: Counter[str] = Counter(strangers=len(there - set(expected)))
    for uid, run in expected.items():
        found[_state(get_child(container, uid), run) if uid in there else "missing"] += 1
    return +found


def _state(node: Any, run: ResultRun) -> str:
    stop = dict(node.metadata).get("stop")
    if not stop:
        return "without a stop"
    rows = stop["num_events"]["primary"]
    try:
        parts = get_child(node, "primary").base
        table = parts["internal"].read()
        numbers = table["seq_num"].tolist()
        data = run.event["data"]
        whole = set(data) <= {*parts, *table}
        whole &= all(_last(parts[key], rows, data[key]) for key in parts if key in data)
    except Exception as error:  # noqa: BLE001 - whatever cannot be read is not whole
        return f"not whole ({type(error).__name__})"
    if len(numbers) > rows or len(set(numbers)) < len(numbers):
        return "doubled"
    right = whole and numbers == list(range(1, rows + 1))
    return "whole" if right and stop["uid"] == run.stop["uid"] else "not whole"


def _last(part: Any, rows: int, value: Any) -> bool:
    """Whether an array has as many rows as the stop says and the final result's as its last."""
    read = part.read()
    return len(read) == rows and np.array_equal(read[-1], np.asarray(value, float), equal_nan=True)
