"""What a profile hashes to is part of every result's uid, and must not change with the version."""

import json
import tomllib
from pathlib import Path

import pytest

from rankaae_stream.profile import load_profile
from rankaae_stream.profile.layouts import StepSettings

GOLDEN = json.loads((Path(__file__).parents[1] / "goldens" / "profile_hashes.json").read_text())
"""Settings with keys at their default and not, and what version 0.1 hashed each of them to."""


@pytest.fixture
def mine(tmp_path):
    path = tmp_path / "mine.toml"
    path.write_text('name = "mine"\n')
    return path


def test_a_setting_hashes_as_in_the_first_version_whether_stated_or_not(mine):
    changed = [
        item["settings"]
        for item in GOLDEN
        if load_profile(mine, **item["settings"]).analysis_hash() != item["hash"]
    ]
    assert not changed


def test_a_later_setting_counts_where_it_is_not_the_default():
    class Later(StepSettings):
        later: str = "none"

    plain = StepSettings(i0=("I0",)).analysis()
    assert Later(i0=("I0",)).analysis() == plain
    assert Later(i0=("I0",), later="none").analysis() == plain
    assert Later(i0=("I0",), later="some").analysis() == plain | {"later": "some"}


def test_the_file_is_read_once(mine, monkeypatch):
    mine.write_text('name = "mine"\nstop_deadline = 100.0\n[layout]\ni0 = ["I0"]\n')
    parsed = []
    for name in ("load", "loads"):
        real = getattr(tomllib, name)
        counted = lambda source, real=real: (parsed.append(source), real(source))[1]  # noqa: E731
        monkeypatch.setattr(tomllib, name, counted)
    profile = load_profile(mine)
    assert (profile.stop_deadline, profile.layout.i0) == (100.0, ("I0",))
    assert len(parsed) == 1
