"""An archive of everything that can be met, and how replays of it are compared."""

import json
from types import SimpleNamespace

import pytest
import suitcase.jsonl

from rankaae_stream import replay as module
from rankaae_stream.past.archive import open_archive
from rankaae_stream.past.selection import Selection
from rankaae_stream.profile import load_profile
from rankaae_stream.replay import replay


@pytest.fixture(autouse=True)
def _models_loaded_once(monkeypatch, analysis):
    monkeypatch.setattr(module, "load_analysis", lambda _: analysis)


@pytest.fixture(scope="session")
def hourly(documents, hematite):
    """A run without or with a foil, at an hour of the day."""
    energy, i0, it, ir = hematite

    def make(uid, hour, *, foil=True, **settings):
        told = list(
            documents(energy, i0, it, ir if foil else None, uid=uid, scan_id=int(hour), **settings)
        )
        seconds = {kind: doc["time"] for kind, doc in told if kind in ("start", "stop")}
        later = 1e9 + 3600.0 * hour - seconds["start"]
        return [
            (kind, {**doc, "time": doc["time"] + later} if "time" in doc else doc)
            for kind, doc in told
        ]

    return make


@pytest.fixture(scope="session")
def mixed(hourly):
    """Runs with a foil, without one before any, between and long after, one without an end."""
    return [
        hourly("run-a", 0.0, foil=False, sample_name="x"),
        hourly("run-b", 1.0, sample_name="x"),
        hourly("run-c", 2.0, foil=False, sample_name="x"),
        hourly("run-d", 3.0, stop=False, sample_name="y"),
        hourly("run-e", 4.0, foil=False, sample_name="x"),
        hourly("run-f", 90.0, foil=False, sample_name="y"),
        hourly("run-g", 5.0, sample_name="y", original_run_uid="run-a"),
    ]


@pytest.fixture
def folder(mixed, tmp_path):
    """Files of the runs, of one in part, of one twice, and of none."""
    path = tmp_path / "archive"
    path.mkdir()
    for run in mixed:
        suitcase.jsonl.export(run, path)
    (path / "run-c-again.jsonl").write_bytes((path / "run-c.jsonl").read_bytes())
    whole = (path / "run-b.jsonl").read_text().replace("run-b", "run-h")
    (path / "run-h.jsonl").write_text(whole[: len(whole) // 2])
    (path / "run-i.jsonl").write_text("<html>\n")
    return path


@pytest.fixture
def replayed(tmp_path):
    """Replay with a fresh spool; every document that is published, as text and in order."""

    def run(runs, spool="spool", **options):
        told = []
        profile = load_profile("sim", spool=tmp_path / spool)
        options = {"clock": lambda: 2e9, **options}
        done = replay(
            runs,
            profile,
            sinks=[lambda name, doc: told.append(json.dumps([name, doc], sort_keys=True))],
            to_tiled=False,
            **options,
        )
        outcomes = [(o.name, o.skipped, o.problem, len(o.reports)) for o in done.outcomes]
        return SimpleNamespace(done=done, told=told, outcomes=outcomes)

    return run


@pytest.fixture
def opened(folder):
    return lambda: open_archive(str(folder), Selection(), ("", None))
