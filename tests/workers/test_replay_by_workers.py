"""Replays by processes and on a Dask cluster publish what a replay here does, bit for bit."""

import uuid

import pytest
from bluesky_tiled_plugins import TiledWriter
from engines import run_engine
from poison import Deadly, Endless
from waiting import PATIENCE

from rankaae_stream.errors import ConfigurationError
from rankaae_stream.past.archive import open_archive
from rankaae_stream.past.selection import Selection
from rankaae_stream.replay import Workers
from rankaae_stream.simulate import SERIES, Beamline, scan
from rankaae_stream.workers import processes


def test_an_archive_that_holds_each_is_counted_and_none_ends_it(opened, replayed):
    """Runs without a stop, without a file's end, without a foil, results, and no run at all."""
    alone = replayed(opened().runs)
    found = {name: (skipped, bool(problem), n) for name, skipped, problem, n in alone.outcomes}
    assert found["run-g"] == ("an analysis of another run", False, 0)
    assert found["run-h"] == ("", True, 0)
    assert [found[f"run-{letter}"][2] for letter in "abcdef"] == [1] * 6
    assert len(found) == 9, "run-c counts once, though it lies in two files"
    (nothing,) = (problem for name, _, problem, _ in alone.outcomes if name.endswith("run-i.jsonl"))
    assert "line 1: it is not JSON" in nothing
    assert alone.done.failed


@pytest.mark.slow
def test_processes_publish_what_one_does_whatever_dies(opened, replayed, hourly, tmp_path):
    deadly = []
    for uid, deaths in {"once": 1, "twice": 2}.items():
        (tmp_path / uid).mkdir()
        deadly.append(Deadly(uid, tmp_path / uid, deaths, hourly(uid, 6.0, sample_name="z")))
    once, twice = deadly
    alone = replayed([*opened().runs, hourly("last", 7.0), once], "alone")
    several = replayed(
        [twice, *opened().references, hourly("last", 7.0), once], "several", workers=Workers(2)
    )
    assert several.told == alone.told
    first, *rest = several.outcomes
    assert rest == alone.outcomes
    assert first == ("twice", "", "the process that answered it died twice (exit code -9)", 0)
    assert [len(list((tmp_path / uid).iterdir())) for uid in ("once", "twice")] == [2, 2]
    foils = [(tmp_path / name / "foils.jsonl").read_text() for name in ("alone", "several")]
    assert foils[0] == foils[1]
    # Once more, with the foils that are known now: no run waits for the others.
    again = [
        replayed(runs, spool, workers=workers)
        for runs, spool, workers in (
            (opened().runs, "alone", None),
            (opened().references, "several", Workers(2)),
        )
    ]
    assert again[0].told == again[1].told
    assert {*again[0].told} <= {*alone.told}


@pytest.mark.slow
def test_a_process_that_does_not_answer_is_ended(replayed, hourly, tmp_path, monkeypatch):
    monkeypatch.setattr(processes, "DEADLINE", 3.0)
    endless = Endless("endless", tmp_path, 0, hourly("endless", 0.0))
    done = replayed([endless, hourly("good", 1.0)], workers=Workers(1))
    (name, _, problem, _), good = done.outcomes
    assert name == "endless"
    assert problem == "the process that answered it died twice (no answer in 3 s)"
    assert good == ("good", "", "", 1)


@pytest.mark.slow
def test_processes_that_have_other_models_are_not_used(opened, replayed, analysis, monkeypatch):
    monkeypatch.setattr(analysis, "code_version", "another")
    with pytest.raises(ConfigurationError, match="a worker has version"):
        replayed(opened().references, workers=Workers(1))


@pytest.mark.slow
def test_a_catalog_is_read_by_the_processes_themselves(server, replayed):
    tag = uuid.uuid4().hex
    with run_engine({"session_tag": tag}) as engine:
        engine.subscribe(TiledWriter(server.client("raw"), batch_size=100))
        for sample in SERIES[:3]:
            engine(scan(Beamline(dwell=0.0), sample, quick=True))
    selection = Selection.parse(where=[f"session_tag={tag}"])
    own = server.uri, server.api_key
    with open_archive(f"{server.uri}#raw", selection, own) as archive:
        assert archive.on_server
        alone = replayed(archive.runs, "alone", selection=selection)
        several = replayed(
            archive.references, "several", selection=selection, workers=Workers(2, requests=1)
        )
    assert several.told == alone.told
    assert several.outcomes == alone.outcomes
    assert [n for *_, n in alone.outcomes] == [1, 1, 1]


def test_runs_that_a_server_cannot_hand_out_do_not_end_the_others(server, replayed, hourly):
    """After HTTP 500 it closes the connection, which the next request may have taken."""
    writer = TiledWriter(server.client("raw"), batch_size=1000)
    for hour in range(3):
        for name, doc in hourly(f"bad-{hour}", hour, session_tag="cannot-be-exported"):
            writer(name, doc)
    selection = Selection.parse(where=["session_tag=cannot-be-exported"])
    own = server.uri, server.api_key
    with open_archive(f"{server.uri}#raw", selection, own) as archive:
        alone = replayed(archive.runs, selection=selection)
    bad = [f"bad-{hour}" for hour in range(3)]
    server.client("raw").delete_contents(bad, recursive=True, external_only=False)
    assert [name for name, *_ in alone.outcomes] == bad
    assert all("HTTP 500" in problem for _, _, problem, _ in alone.outcomes)
    assert alone.done.lost == ""


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")
def test_a_dask_cluster_publishes_what_one_process_does(opened, replayed, hourly, tmp_path):
    from distributed import LocalCluster

    (tmp_path / "once").mkdir()
    once = Deadly("once", tmp_path / "once", 1, hourly("once", 6.0, sample_name="z"))
    alone = replayed([*opened().runs, once], "alone")
    with LocalCluster(n_workers=2, threads_per_worker=1, dashboard_address=None) as cluster:
        cluster.wait_for_workers(2, PATIENCE)
        workers = Workers(dask=cluster.scheduler_address)
        several = replayed([*opened().references, once], "several", workers=workers)
    assert several.told == alone.told
    assert several.outcomes == alone.outcomes


def test_workers_that_are_none_are_refused():
    with pytest.raises(ConfigurationError, match="0 workers answer nothing"):
        Workers(0)
    with pytest.raises(ConfigurationError, match="0 requests read nothing"):
        Workers(2, requests=0)
