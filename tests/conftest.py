"""Shared by all tests: hypothesis without deadlines, one Tiled server a session."""

import os
from pathlib import Path

import pytest
from hypothesis import settings

settings.register_profile("default", deadline=None, max_examples=25)
settings.register_profile("ci", deadline=None, max_examples=50, derandomize=True)
settings.load_profile("ci" if os.environ.get("CI") else "default")


@pytest.fixture(autouse=True)
def _no_settings_from_outside(monkeypatch):
    """A developer's own profile settings must not decide a test."""
    for name in os.environ:
        if name.startswith("RANKAAE_STREAM_"):
            monkeypatch.delenv(name)


@pytest.fixture(scope="session")
def server(tmp_path_factory):
    """The one embedded Tiled server of a test session."""
    from rankaae_stream.server import EmbeddedServer

    with EmbeddedServer(tmp_path_factory.mktemp("tiled")) as running:
        yield running


@pytest.fixture(scope="session")
def root() -> Path:
    """Top level of the checkout."""
    return Path(__file__).resolve().parents[1]
