"""Connect to a Dask cluster, for stored runs and for training."""

from typing import Any

from rankaae_stream.errors import ConfigurationError

__all__ = ["connect"]

PATIENCE = 30.0
"""Seconds that a Dask scheduler may take to answer, and its first worker to appear."""


def connect(address: str, *, package: str, where: str) -> Any:
    """Return a client of a scheduler that has a worker.

    Parameters
    ----------
    address : str
        Such as ``tcp://host:8786``.
    package : str
        What ``pip install`` takes for Dask.
    where : str
        Where the workers are to be started, for the message that says so.

    Raises
    ------
    ConfigurationError
        When there is no such scheduler, it has no worker, or the package for it is missing.
    """
    try:
        from distributed import Client
    except ModuleNotFoundError as error:
        raise ConfigurationError(
            f"--dask needs the package distributed: pip install '{package}'"
        ) from error
    try:
        client: Any = Client(address, timeout=PATIENCE, set_as_default=False)
    except (OSError, ValueError) as error:
        raise ConfigurationError(
            f"no Dask scheduler answers at {address}: {error}; start one with `dask scheduler`"
        ) from error
    try:
        client.wait_for_workers(1, timeout=PATIENCE)
    except TimeoutError as error:
        client.close()
        raise ConfigurationError(
            f"the Dask scheduler at {address} has no worker; start some with "
            f"`dask worker {address} --nthreads 1` {where}"
        ) from error
    return client
