"""A service with something of everything, for tests of what is told of it."""

from rankaae_stream.service.state import ServiceState

NOW = 1_000_000.0
FULL = ServiceState(
    profile="iss",
    profile_hash="ab12",
    models={"Fe K": "fe-k 2026.11"},
    began=NOW - 500,
    source="zmq 127.0.0.1:5578",
    lag=7,
    messages_refused={"pickle": 2, "size": 1},
    documents={"start": 3, "event": 40},
    last_document=NOW - 5,
    last_result=NOW - 20,
    waiting=4,
    oldest_waiting=NOW - 3,
    open_runs=1,
    answered=9,
    refused={"coverage": 2, "no_edge": 1},
    unsent=3,
    oldest_unsent=NOW - 60,
    kept_bytes=12345,
    quarantined=1,
    worker="running",
    restarts={"crash": 2},
    memory=300_000_000,
)
