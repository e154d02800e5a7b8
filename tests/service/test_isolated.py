"""`isolation = "process"`: the session survives what its analysis dies of, and loses nothing."""

import os
import signal

import pytest
from bluesky import RunEngine
from tiled.queries import Key
from waiting import PATIENCE, wait_until

from rankaae_stream.callback import DescriptorStream
from rankaae_stream.errors import ConfigurationError
from rankaae_stream.simulate import SERIES, Beamline, scan
from rankaae_stream.trends import read_series

FE2O3 = next(sample for sample in SERIES if sample.name == "Fe2O3")


@pytest.mark.services
def test_a_worker_killed_in_the_middle_of_a_scan_harms_neither_scan_nor_result(server, tmp_path):
    engine = RunEngine({}, call_returns_result=True)
    with DescriptorStream(
        "sim",
        isolation="process",
        tiled={"uri": server.uri},
        tiled_api_key=server.api_key,
        spool=tmp_path / "spool",
    ) as stream:
        engine.subscribe(stream)
        supervisor = stream._session._supervisor

        def kill(_, doc):
            if doc["seq_num"] == 40:
                os.kill(supervisor._process.pid, signal.SIGKILL)

        first = engine(scan(Beamline(dwell=0.0), FE2O3, quick=True))
        assert stream.wait_idle(PATIENCE)
        engine.subscribe(kill, "event")
        done = engine(scan(Beamline(dwell=0.0), FE2O3, quick=True))
        assert done.exit_status == "success"
        assert stream.wait_idle(PATIENCE)
        found = server.client("processed").search(
            Key("start.original_run_uid") == done.run_start_uids[0]
        )
        (result,) = found.values()
        state = result.metadata["stop"]["summary"]["estimates"]["oxidation_state"]
        assert state["value"] == pytest.approx(2.97, abs=0.02)
        wait_until(lambda: stream.status().answered == 2, "it is counted")
        assert supervisor.state().restarts == {"crash": 1}
    raw = [first.run_start_uids[0], done.run_start_uids[0]]
    stored = read_series(server.client("processed"))
    # The server has those of other tests, too, also without a spectrum.
    (series,) = [one for one in stored if {*raw} & {*one.spectra.get("raw_uid", ())}]
    assert (series.spectra["raw_uid"].tolist(), series.complete) == (raw, True)
    assert not list((tmp_path / "spool" / "documents").rglob("*.docs"))


@pytest.mark.parametrize("wrong", [{"sinks": [print]}, {"to_tiled": False}])
def test_what_another_process_cannot_do_is_said_at_the_start(tmp_path, wrong):
    with pytest.raises(ConfigurationError, match="set isolation to thread"):
        DescriptorStream("sim", isolation="process", spool=tmp_path, tiled_api_key="k", **wrong)
