"""Open the workers that a person asks for."""

from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Any

from rankaae_stream.errors import ConfigurationError
from rankaae_stream.workers.processes import Processes, Setup
from rankaae_stream.workers.side_by_side import REQUESTS

__all__ = ["Workers", "open_crew"]


@dataclass(frozen=True, slots=True)
class Workers:
    """Where stored runs are answered, beside the process that publishes.

    Attributes
    ----------
    count : int
        Processes on this machine.
    dask : str or None
        Address of a Dask scheduler whose workers answer instead.
    requests : int
        Runs that are read from a server at once, at most.
    """

    count: int = 1
    dask: str | None = None
    requests: int = REQUESTS

    def __post_init__(self) -> None:
        if self.count < 1:
            raise ConfigurationError(f"{self.count} workers answer nothing; take 1 or more")
        if self.requests < 1:
            raise ConfigurationError(f"{self.requests} requests read nothing; take 1 or more")


def open_crew(workers: Workers, setup: Setup) -> AbstractContextManager[Any]:
    """Start processes, or connect to the cluster; they end, or are left, with the context.

    Raises
    ------
    ConfigurationError
        When they cannot begin.
    """
    if workers.dask is None:
        return Processes(workers.count, setup)
    from rankaae_stream.workers.cluster import Cluster

    return Cluster(workers.dask, setup)
