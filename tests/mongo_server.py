"""Serve a databroker catalog of MongoDB over HTTP, as facilities do: a program of its own.

``python mongo_server.py PORT RUNS.jsonl``: each line of the file is a name and a document. The
database is databroker's own for tests, mongomock in memory, unless MONGO_URI names a real one.
"""

import json
import os
import sys
from pathlib import Path

import uvicorn
from databroker.mongo_normalized import MongoAdapter
from tiled.server.app import build_app_from_config


def catalog(runs: str) -> MongoAdapter:
    """The tree of the configuration below."""
    uri = os.environ.get("MONGO_URI")
    made = MongoAdapter.from_uri(uri) if uri else MongoAdapter.from_mongomock()
    serializer = made.get_serializer()
    for line in Path(runs).read_text().splitlines():
        serializer(*json.loads(line))
    return made


def main(port: int, runs: str) -> None:
    config = {
        "authentication": {"allow_anonymous_access": True},
        "trees": [{"path": "/raw", "tree": "mongo_server:catalog", "args": {"runs": runs}}],
    }
    uvicorn.run(build_app_from_config(config), host="127.0.0.1", port=port, log_level="warning")


if __name__ == "__main__":
    main(int(sys.argv[1]), sys.argv[2])
