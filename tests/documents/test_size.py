"""How much memory a document holds."""

import sys
from types import MappingProxyType

import numpy as np
import pytest

from rankaae_stream.documents.size import size_of


@pytest.mark.parametrize(
    ("value", "least"),
    [
        (np.ones(1000), 8000),
        (np.ones((2, 1000))[0], 15_900),
        (list(np.ones(1000)), 32000),
        ([float(i) for i in range(1000)], 32000),
        ([[1.5] * 10 for _ in range(100)], 37_000),
        ("x" * 1000, 1000),
        (np.array(["x" * 1000], dtype=object), 1000),
        (1 << 8000, 1000),
        ({"deep": {"down": ["x" * 1000, None]}}, 1000),
    ],
)
def test_a_value_counts_with_all_that_it_holds(value, least):
    empty, doc = {"data": {"x": None}}, {"data": {"x": value}}
    assert least <= size_of(doc) - size_of(empty) < 1.2 * least + 2000


def test_brackets_beyond_the_recursion_limit_are_counted():
    deep = []
    for _ in range(2 * sys.getrecursionlimit()):
        deep = [deep]
    assert size_of({"x": deep}) > 64 * sys.getrecursionlimit()


def test_an_event_of_numbers_counts_as_one_of_anything():
    event = {
        "uid": "e",
        "time": 1.5,
        "data": {"energy": 7112.0, "i0": 0.5, "shutter": True, "note": None},
        "timestamps": {"energy": 1.0, "i0": 2.0, "shutter": 3.0, "note": 4.0},
        "filled": {},
        "seq_num": 1,
    }
    in_a_view = MappingProxyType(event)  # which is no dict, and so is looked into step by step
    assert size_of(event) == size_of(in_a_view) - sys.getsizeof(in_a_view) + sys.getsizeof(event)
