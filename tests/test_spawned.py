"""Spawned processes: what they share, and how one that ends is told from the others."""

from serving import serve

from rankaae_stream.spawned import Ended, Spawned


def test_one_that_dies_is_named_with_its_exit_code_and_the_others_go_on():
    spawned = Spawned(serve, bytes(1 << 20))  # more than a pipe holds
    try:
        first, second = spawned.start(), spawned.start()
        first.begin(0, "size")
        second.begin(1, 3)
        told = {}
        while len(told) < 2:
            told |= {child.task: message for child, message in spawned.wait()}
        assert told == {0: 1 << 20, 1: Ended("exit code 3")}
        assert spawned.children == [first]
        assert spawned.end(first) == "exit code -9"
    finally:
        spawned.close()
    assert spawned.children == []
