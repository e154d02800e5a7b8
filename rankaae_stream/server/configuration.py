"""Write the embedded Tiled server's configuration."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from rankaae_stream.files.pizzabox import MIMETYPES

__all__ = ["TREES", "configuration"]

TREES = ("raw", "processed")
"""The scans as measured, and the results."""

ADAPTER = "rankaae_stream.files.tiled_adapters:PizzaboxAdapter"


def configuration(
    directory: Path,
    *,
    host: str,
    port: int,
    allow_anonymous_access: bool,
    readable: Sequence[Path | str] = (),
) -> dict[str, Any]:
    """Return Tiled's configuration for two trees in one directory; it holds no key.

    The files that raw runs name are served from the folders `readable` only, see `inside`.
    """
    files: dict[str, Any] = {}
    if readable:
        files["readable_storage"] = [str(folder) for folder in readable]
        files["adapters_by_mimetype"] = dict.fromkeys(MIMETYPES.values(), ADAPTER)
    return {
        "trees": [
            {
                "path": f"/{tree}",
                "tree": "catalog",
                "args": {
                    "uri": f"sqlite:///{directory / tree / 'catalog.db'}",
                    "writable_storage": [
                        str(directory / tree / "files"),
                        f"sqlite:///{directory / tree / 'tables.db'}",
                    ],
                    "specs": [{"name": "CatalogOfBlueskyRuns", "version": "3.0"}],
                    **(files if tree == TREES[0] else {}),
                },
            }
            for tree in TREES
        ],
        "authentication": {"allow_anonymous_access": allow_anonymous_access},
        # run.documents() answers 406 without it
        "media_types": {
            "BlueskyRun": {
                "application/json-seq": "bluesky_tiled_plugins.exporters:json_seq_exporter"
            }
        },
        "streaming_cache": {"uri": "memory"},
        # A file as it is on the disk: Tiled 0.2 does not look where it lies, and sends any file
        # for a relative_path of "../..". What is in it is served as arrays.
        "expose_raw_assets": False,
        # the page at /custom/dashboard/
        "routers": ["rankaae_stream.dashboard.router:router"],
        "uvicorn": {
            "host": host,
            "port": port,
            # a browser may give its key in the query, which these logs would keep
            "access_log": False,
            "log_level": "warning",
            # a page that follows a stream would hold a stop up for ever
            "timeout_graceful_shutdown": 2,
        },
    }
