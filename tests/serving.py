"""What spawned processes of tests do; importable, as such processes need it."""

import os
from pathlib import Path

from waiting import wait_until


def serve(pipe, shared):
    """Say how long the shared bytes are for each "size", and exit with any number that comes."""
    while (task := pipe.recv()) == "size":
        pipe.send(len(shared))
    os._exit(task)


def give_or_await(shared, job, report):
    """Return this process's number; a job that is a path waits first until the file is there."""
    if isinstance(job, Path):
        wait_until(job.exists, f"{job} to be there")
    return os.getpid()
