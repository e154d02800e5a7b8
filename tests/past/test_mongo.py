"""A catalog of MongoDB, as databroker serves it: replayed from Tiled like any other."""

import json
import socket
import subprocess
import sys
from pathlib import Path

import httpx
import pytest
from waiting import wait_until

from rankaae_stream import replay as module
from rankaae_stream.past.archive import documents_of, open_archive
from rankaae_stream.past.references import Access
from rankaae_stream.past.selection import Selection
from rankaae_stream.profile import reading_under
from rankaae_stream.replay import replay
from rankaae_stream.report import to_dict
from rankaae_stream.simulate.documents import Beam
from rankaae_stream.simulate.pizzabox import fly_scan
from rankaae_stream.simulate.samples import curves, series
from rankaae_stream.simulate.steps import iss_step

pytestmark = pytest.mark.services

HEMATITE = next(sample for sample in series("Fe") if sample.name == "Fe2O3")
SERVER = Path(__file__).parents[1] / "mongo_server.py"


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    return tmp_path_factory.mktemp("data")


@pytest.fixture(scope="module")
def runs(data):
    """A step scan, one without an end, a fly scan, and one of which a file is missing."""
    beam = Beam(HEMATITE, noise=1e-3)
    step = list(iss_step(beam, name="step"))
    endless = list(iss_step(beam, name="endless"))[:-1]
    played = curves(HEMATITE)
    fly, lost = (
        fly_scan(data, played, element="Fe", seconds=2.0, seed=number) for number in (1, 2)
    )
    lost.files["apb_stream"].unlink()
    return {"step": step, "endless": endless, "fly": fly.documents, "lost": lost.documents}


@pytest.fixture(scope="module")
def mongo(runs, tmp_path_factory):
    """The address of the catalog on a server of its own."""
    pytest.importorskip("mongomock", reason="pip install 'databroker[server]'")
    folder = tmp_path_factory.mktemp("mongo")
    lines = [json.dumps(pair) for run in runs.values() for pair in run]
    (folder / "runs.jsonl").write_text("\n".join(lines))
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    with (folder / "log").open("w") as log:
        process = subprocess.Popen(
            [sys.executable, str(SERVER), str(port), str(folder / "runs.jsonl")],
            stdout=log,
            stderr=log,
        )
    try:
        uri = f"http://127.0.0.1:{port}"

        def answers():
            assert process.poll() is None, (folder / "log").read_text()
            try:
                return httpx.get(f"{uri}/api/v1/", trust_env=False).is_success
            except httpx.HTTPError:
                return False

        wait_until(answers, "databroker's server")
        yield f"{uri}#raw"
    finally:
        process.kill()
        process.wait()


@pytest.fixture
def opened(mongo):
    return lambda **wanted: open_archive(mongo, Selection(**wanted), ("", None))


def uid_of(run):
    return run[0][1]["uid"]


def test_runs_are_selected_by_uid_time_and_values(opened, runs):
    def found(**wanted):
        with opened(**wanted) as archive:
            taken = [run.start["uid"] for run in archive.runs]
            assert len(taken) == archive.total
            return set(taken)

    every = {uid_of(run) for run in runs.values()}
    step, fly = uid_of(runs["step"]), uid_of(runs["fly"])
    assert found() == every
    assert found(uids=(step[:8],)) == {step}
    assert found(uids=(step, fly[:3])) >= {step, fly}
    assert found(uids=("none",)) == set()
    assert found(where=(("element", "Fe"),)) == every
    assert found(where=(("element", "Ni"),)) == set()
    began = runs["fly"][0][1]["time"]
    assert fly in found(since=began)
    assert fly not in found(until=began)


def test_documents_are_those_of_the_run_also_for_another_process(opened, runs):
    """In pages, which mean the same; an end that is not there is not made up."""
    with opened() as archive:
        here = {run.start["uid"]: documents_of(run) for run in archive.runs}
    access = Access(("", None))
    with opened() as archive:
        for reference in archive.references:
            (run,) = reference.open(access)
            assert documents_of(run) == here[reference.start["uid"]]
    access.close()
    for run in runs.values():
        stored = here[uid_of(run)]
        assert dict(stored[0][1]) == json.loads(json.dumps(run[0][1]))
        assert (stored[-1][0] == "stop") == (run[-1][0] == "stop")


def test_a_replay_answers_as_from_the_documents_and_tells_what_is_missing(
    opened, runs, data, analysis, monkeypatch, tmp_path
):
    monkeypatch.setattr(module, "load_analysis", lambda _: analysis)

    def replayed(source, spool):
        published = []
        profile = reading_under("iss", data).model_copy(update={"spool": tmp_path / spool})
        done = replay(
            source,
            profile,
            sinks=[lambda *pair: published.append(pair)],
            to_tiled=False,
            clock=lambda: 4e9,
        )
        assert not done.lost
        return {one.name: one for one in done.outcomes}, json.dumps(published, sort_keys=True)

    with opened() as archive:
        told, published = replayed(archive.runs, "mongo")
    assert set(told) == {uid_of(run) for run in runs.values()}
    # Of a run without a stop databroker's server keeps back the last page of events, of 25.
    endless = [pair for pair in runs["endless"] if pair[0] != "event" or pair[1]["seq_num"] <= 225]
    assert len(runs["endless"]) - len(endless) == 6
    by_uid = {uid_of(run): run for run in {**runs, "endless": endless}.values()}
    expected, _ = replayed([by_uid[name] for name in told], "documents")
    for name, one in told.items():
        same = expected[name]
        assert (one.skipped, one.problem) == (same.skipped, same.problem)
        assert list(map(to_dict, one.reports)) == list(map(to_dict, same.reports))
    for name in ("step", "fly"):
        reports = told[uid_of(runs[name])].reports
        assert [report.refusal for report in reports] == [None] * len(reports) != []
    cut = told[uid_of(runs["endless"])].reports
    assert all("no_stop" in {flag.name for flag in report.flags} for report in cut)
    assert cut
    (lost,) = told[uid_of(runs["lost"])].reports
    assert lost.refusal.name == "missing_file"
    assert uid_of(runs["lost"]) in published
