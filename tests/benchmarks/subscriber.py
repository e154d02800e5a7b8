"""A dashboard's end of the way: prints what it hears of results, and when.

One line a message on standard output: what, the result's uid, and the monotonic
clock, which all processes of a machine share. The first line says that it listens.
"""

import sys
import time

from tiled.client import from_uri


def say(what: str, uid: str) -> None:
    """One line, at once."""
    sys.stdout.write(f"{what} {uid} {time.monotonic()}\n")
    sys.stdout.flush()


def updated(update) -> None:
    """A run's metadata changed; with a stop document it is over."""
    if update.metadata.get("stop"):
        say("stop", update.key)


if __name__ == "__main__":
    results = from_uri(sys.argv[1])["processed"].subscribe()
    results.child_metadata_updated.add_callback(updated)
    results.start_in_thread()
    say("listens", "-")
    sys.stdin.read()
    results.disconnect()
