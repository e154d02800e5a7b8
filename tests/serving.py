"""What a spawned process of a test does; importable, as such a process needs it."""

import os


def serve(pipe, shared):
    """Say how long the shared bytes are for each "size", and exit with any number that comes."""
    while (task := pipe.recv()) == "size":
        pipe.send(len(shared))
    os._exit(task)
