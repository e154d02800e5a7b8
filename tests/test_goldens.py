"""What an earlier version answered, published and left on the disk holds for this one."""

import importlib.util
import json
import os
from pathlib import Path

import pytest

from rankaae_stream.results.spool import Spool

GOLDENS = Path(__file__).parent / "goldens"

TOLERANCE = float(os.environ.get("GOLDEN_TOLERANCE", "1e-5"))
"""The networks compute in single precision, each kind of processor in its own order; on one
machine before and after a change of structure, set GOLDEN_TOLERANCE=1e-9."""


@pytest.fixture(scope="module")
def golden():
    return json.loads((GOLDENS / "answers.json").read_text(encoding="utf-8"))


@pytest.fixture(scope="module")
def now():
    spec = importlib.util.spec_from_file_location("make_answers", GOLDENS / "make_answers.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def same(now, then, where=""):
    """Equal, numbers within `TOLERANCE`, or fail with the place of the first difference."""
    if isinstance(then, dict):
        assert now.keys() == then.keys(), where
        for key, value in then.items():
            same(now[key], value, f"{where}.{key}")
    elif isinstance(then, list):
        assert len(now) == len(then), where
        for i, value in enumerate(then):
            same(now[i], value, f"{where}[{i}]")
    elif isinstance(then, float):
        assert now == pytest.approx(then, rel=TOLERANCE, abs=TOLERANCE, nan_ok=True), where
    elif isinstance(then, str) and then.startswith(("{", "[")):  # flags and shares, as JSON
        same(json.loads(now), json.loads(then), where)
    else:
        assert now == then, where


def test_every_shipped_spectrum_is_answered_as_before(now, golden):
    same(now.answers(), golden["answers"])


def test_a_session_publishes_the_documents_of_before(now, golden):
    same(now.published(), golden["published"])


def test_the_settings_of_shipped_profiles_keep_their_hash(now, golden):
    same(now.hashes(), golden["hashes"])


def test_a_spool_of_the_earlier_version_is_read(golden, tmp_path):
    start, descriptor, event, stop = (doc for _, doc in golden["published"][:4])
    event = event | {"uid": "event", "seq_num": 1}
    documents = {"start": start, "descriptor": descriptor, "event": event, "stop": stop}
    written = "".join(json.dumps(line) + "\n" for line in documents.items())
    Spool(tmp_path).close()
    (tmp_path / f"{start['uid']}.jsonl").write_text(written, encoding="utf-8")
    spool = Spool(tmp_path)
    assert spool.waiting() == [start["uid"]]
    read = spool.read(start["uid"])
    assert (read.uid, dict(read.event)) == (start["uid"], event)
    spool.close()
