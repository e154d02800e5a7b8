"""Run a PostgreSQL of our own, and a Tiled whose catalogs are in it."""

import glob
import os
import shutil
import socket
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from waiting import PATIENCE, wait_until

DATABASES = ("tiled_raw", "tiled_processed", "tiled_tables", "tiled_users")


def programs() -> Path | None:
    """The folder of the newest PostgreSQL's programs; None where it is not installed."""
    found = sorted(glob.glob("/usr/lib/postgresql/*/bin/initdb"))
    return Path(found[-1]).parent if found else None


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@contextmanager
def postgresql(folder: Path) -> Iterator[str]:
    """A cluster with the four databases of a facility's Tiled; its address without one of them."""
    at, port = programs(), free_port()
    assert at is not None, "PostgreSQL is not installed"
    user: dict[str, Any] = {}
    if os.geteuid() == 0:  # PostgreSQL refuses root
        user = {"user": "postgres", "group": "postgres", "extra_groups": []}
        for path in (folder, *folder.parents):
            if Path(tempfile.gettempdir()) in path.parents:
                path.chmod(0o755)
        shutil.chown(folder, "postgres", "postgres")
    data = folder / "data"
    subprocess.run(
        [at / "initdb", "-D", data, "-U", "tiled", "--auth=trust", "--no-sync"],
        check=True,
        capture_output=True,
        **user,
    )
    settings = [f"-c{one}" for one in ("fsync=off", f"unix_socket_directories={folder}")]
    with (folder / "log").open("wb") as log:
        running = subprocess.Popen(
            [at / "postgres", "-D", data, "-h", "127.0.0.1", "-p", str(port), *settings],
            stdout=log,
            stderr=log,
            **user,
        )
    try:
        where = ["-h", "127.0.0.1", "-p", str(port)]
        ready = [at / "pg_isready", "-q", *where]
        wait_until(lambda: subprocess.run(ready, check=False).returncode == 0, "it answers")
        for name in DATABASES:
            subprocess.run([at / "createdb", *where, "-U", "tiled", name], check=True)
        yield f"postgresql://tiled:trusted@127.0.0.1:{port}"
    finally:
        running.terminate()
        running.wait(PATIENCE)


def trees(address: str, files: Path) -> list[dict[str, Any]]:
    """The two trees of `profiles/tiled/facility.yml`, for an EmbeddedServer's `extra`."""
    return [
        {
            "path": f"/{tree}",
            "tree": "catalog",
            "args": {
                "uri": f"{address}/tiled_{tree}",
                "writable_storage": [str(files / tree / "files"), f"{address}/tiled_tables"],
                "specs": [{"name": "CatalogOfBlueskyRuns", "version": "3.0"}],
            },
        }
        for tree in ("raw", "processed")
    ]
