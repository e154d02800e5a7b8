"""Many quick sweeps of a run are rows of one result run; a few, or slow ones, are runs each."""

import json
import uuid
from dataclasses import replace

import numpy as np
import pytest
from composing import validate

from rankaae_stream.callback import DescriptorStream
from rankaae_stream.profile import load_profile
from rankaae_stream.replay import replay
from rankaae_stream.results.compose import PURPOSE, ResultRun
from rankaae_stream.results.publisher import FEWEST_ROWS
from rankaae_stream.results.spool import Spool
from rankaae_stream.simulate import SERIES
from rankaae_stream.simulate.documents import Beam
from rankaae_stream.simulate.steps import ophyd_step

FE2O3 = next(sample for sample in SERIES if sample.name == "Fe2O3")


def documents(sweeps, *, second=0.01):
    """A run of sweeps up and down, in which a point takes so many seconds."""
    run = ophyd_step(
        Beam(FE2O3, noise=1e-3),
        name=f"quick-{sweeps}-{second}",
        repeats=sweeps,
        back_and_forth=True,
        element="Fe",
        sample_name="quick",
    )
    began = None
    for name, doc in run:
        began = began or doc["time"]
        yield name, {**doc, "time": began + second * (doc["time"] - began)}


class Runs(dict):
    """A sink: the documents of all runs, by uid."""

    def __call__(self, name, doc):
        uid = doc.get("uid") if name == "start" else doc.get("run_start", doc.get("descriptor"))
        if name == "descriptor":
            self[doc["uid"]] = self[doc["run_start"]]
        if name == "start":
            self[uid] = []
        self[uid].append((name, doc))

    @property
    def results(self):
        """Results of the primary channel that are complete, and no series."""
        found = {docs[0][1]["uid"]: docs for docs in self.values()}
        whole = [ResultRun.of(docs) for docs in found.values() if docs[-1][0] == "stop"]
        results = [run for run in whole if run.start["purpose"] == PURPOSE]
        return [run for run in results if run.start["primary"]]


def plain(run):
    return json.dumps(list(run.documents()))  # NaN equals itself there


def live(documents, tmp_path):
    runs = Runs()
    profile = load_profile("generic", spool=tmp_path, provisional_interval=float("inf"))
    with DescriptorStream(profile, sinks=[runs], to_tiled=False) as stream:
        for name, doc in documents:
            stream(name, doc)
        assert stream.wait_idle(120.0)
    return runs.results


@pytest.fixture(scope="module")
def rows(tmp_path_factory):
    (run,) = live(documents(FEWEST_ROWS + 2), tmp_path_factory.mktemp("rows"))
    return run


def test_it_is_one_run_with_a_row_a_sweep(rows):
    validate(rows)
    assert rows.start["sweeps"] == FEWEST_ROWS + 2
    assert rows.stop["num_events"] == {"primary": FEWEST_ROWS + 2}
    assert rows.stop["sweeps"] == {"answered": FEWEST_ROWS + 2, "refused": 0}
    events = [*rows.earlier, rows.event]
    assert [event["data"]["sweep"] for event in events] == list(range(FEWEST_ROWS + 2))
    assert [event["seq_num"] for event in events] == list(range(1, FEWEST_ROWS + 3))
    assert all(event["data"].keys() == rows.descriptor["data_keys"].keys() for event in events)
    values = [event["data"]["oxidation_state"] for event in events]
    assert np.std(values) > 0, "each sweep has noise of its own"
    assert np.allclose(values, 3.0, atol=0.3)


def test_its_summary_is_found_by_the_queries_of_single_results(rows):
    summary = rows.stop["summary"]
    assert summary["estimates"]["oxidation_state"]["value"] == rows.event["data"]["oxidation_state"]
    assert (rows.start["element"], rows.start["primary"], rows.start["sweep"]) == ("Fe", True, 0)


def test_a_replay_composes_the_same_run(rows, tmp_path):
    runs = Runs()
    profile = load_profile("generic", spool=tmp_path, provisional_interval=float("inf"))
    replay([list(documents(FEWEST_ROWS + 2))], profile, sinks=[runs], to_tiled=False)
    (again,) = runs.results
    assert plain(again) == plain(rows)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("sweeps", "second"), [(3, 0.01), (FEWEST_ROWS, 1.0)], ids=["a few", "slow ones"]
)
def test_a_few_or_slow_sweeps_are_results_of_their_own(tmp_path, sweeps, second):
    found = live(documents(sweeps, second=second), tmp_path)
    assert len(found) == sweeps
    assert not any("sweeps" in run.start for run in found)


def test_the_spool_and_tiled_keep_the_rows(rows, tmp_path, server):
    from rankaae_stream.results.tiled_sink import TiledSink

    spool = Spool(tmp_path / "spool")
    spool.add(rows)
    read = spool.read(rows.uid)
    assert plain(read) == plain(rows)
    sink = TiledSink(server.uri, "processed", server.api_key)
    # A first sweep that was shown while it grew is replaced.
    sink.provisional(ResultRun(rows.start, rows.descriptor, rows.earlier[0], rows.stop))
    sink.final(read)
    sink.final(read)
    sink.close()
    run = server.client("processed")[rows.uid]
    table = run["primary"].read()
    assert table["sweep"].values.tolist() == list(range(FEWEST_ROWS + 2))
    assert table["curves"].shape[:2] == (FEWEST_ROWS + 2, 3)
    assert run.metadata["stop"]["num_events"] == {"primary": FEWEST_ROWS + 2}
    spool.close()


@pytest.mark.parametrize("earlier", [1, 5, "refused"])
def test_rows_replace_what_a_session_that_ended_before_the_run_had_of_them(rows, earlier, server):
    from rankaae_stream.results.tiled_sink import TiledSink

    whole = replace(rows, start={**rows.start, "uid": str(uuid.uuid4())}).numbered(1)
    if earlier == 1:
        start = {key: value for key, value in whole.start.items() if key != "sweeps"}
        stop = {key: value for key, value in whole.stop.items() if key != "sweeps"}
        part = replace(whole, start=start, event=whole.earlier[0], earlier=(), stop=stop)
    elif earlier == "refused":
        told = {"answered": FEWEST_ROWS + 1, "refused": 1}
        part = replace(whole, stop={**whole.stop, "sweeps": told})
    else:
        start, stop = {**whole.start, "sweeps": earlier}, dict(whole.stop)
        stop["sweeps"] = {"answered": earlier, "refused": 0}
        rest = {"event": whole.earlier[4], "earlier": whole.earlier[:4]}
        part = replace(whole, start=start, stop=stop, **rest)
    part = part.numbered(1)
    sink = TiledSink(server.uri, "processed", server.api_key)
    for run in (part, whole, part):
        sink.final(run)
    sink.close()
    stored = server.client("processed")[whole.uid]
    assert len(stored["primary"].read()["sweep"]) == FEWEST_ROWS + 2
    assert stored.metadata["stop"]["sweeps"] == whole.stop["sweeps"]
