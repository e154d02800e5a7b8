"""A model's what-if curves reach Tiled once, as a run that says what it is."""

import json

import numpy as np
import pytest
from event_model import DocumentNames, schema_validators
from tiled.queries import Key
from waiting import PATIENCE

from rankaae_stream.callback import DescriptorStream
from rankaae_stream.profile import load_profile
from rankaae_stream.replay import replay
from rankaae_stream.results.compose import PURPOSE as RESULTS
from rankaae_stream.results.spool import entries
from rankaae_stream.results.what_if import PURPOSE, compose_what_if, what_if_uid


@pytest.fixture(scope="module")
def model(analysis):
    return analysis.models["Fe K"]


@pytest.fixture(scope="module")
def mean(model):
    return model.decode(np.zeros((model.card.members, 1, model.card.latent))).mean(axis=0)[0]


@pytest.fixture(scope="module")
def run(model, mean):
    return compose_what_if(model.card, mean, model.what_if)


def test_the_curves_are_a_run_that_the_schemas_accept_and_json_holds(run):
    for name, doc in run.documents():
        schema_validators[DocumentNames[name]].validate(doc)
        assert json.loads(json.dumps(doc, allow_nan=False)) == doc
    assert run.uid == what_if_uid(run.start["model"]["id"])
    assert run.event["data"].keys() == run.descriptor["data_keys"].keys()
    for key, about in run.descriptor["data_keys"].items():
        assert list(np.shape(run.event["data"][key])) == about["shape"], key


def test_the_same_model_gives_the_same_documents(run, model, mean):
    assert compose_what_if(model.card, mean, model.what_if) == run


def test_each_descriptor_goes_through_all_that_the_model_has_learned(run, model):
    data = run.event["data"]
    assert run.start["descriptors"] == [
        {"name": output.name, "unit": output.unit, "evidence": output.evidence}
        for output in model.card.outputs
    ]
    for output in model.card.outputs:
        values = data[f"{output.name}_values"]
        assert np.all(np.diff(values) > 0)
        ends = [(one.value[0], one.value[-1]) for one in output.maps]
        assert values[0] == min(low for low, _ in ends)
        assert values[-1] == max(high for _, high in ends)
        curves = np.array(data[f"{output.name}_curves"])
        assert np.abs(curves - model.what_if(output.name, values)).max() <= 0.5e-5 + 1e-12


def test_a_higher_valence_moves_the_edge_up(run):
    data = run.event["data"]
    energy = np.array(data["energy_grid"])
    half = [energy[np.array(one) > 0.5][0] for one in data["oxidation_state_curves"]]
    assert half[-1] > half[0] + 1.0
    assert data["energy_grid"][0] == 7112.0 - 12.0


def published(server):
    return server.client("processed").search(Key("start.purpose") == PURPOSE)


def test_a_session_and_a_replay_publish_them_once_beside_the_results(
    server, tmp_path, documents, hematite
):
    settings = {"tiled": {"uri": server.uri}, "tiled_api_key": server.api_key, "spool": tmp_path}
    scan = list(documents(*hematite, uid="what-if-scan"))
    seen = []
    for _ in range(2):
        with DescriptorStream("sim", sinks=[lambda *item: seen.append(item)], **settings) as stream:
            for item in scan:
                stream(*item)
            assert stream.wait_idle(PATIENCE)
    done = replay([scan], load_profile("sim", **settings))
    assert not done.failed
    iron = published(server).search(Key("start.element") == "Fe")
    (found,) = iron.values()
    assert found.stop["num_events"] == {"primary": 1}
    assert found["primary"]["oxidation_state_curves"].read().shape == (1, 21, 256)
    assert found["primary"]["oxidation_state_values"].read().shape == (1, 21)
    assert found["primary"]["energy_grid"].metadata["units"] == "eV"
    assert {doc["purpose"] for name, doc in seen if name == "start"} == {RESULTS}, "for Tiled only"


def test_they_follow_the_first_final_result_and_are_counted_with_what_waits(
    tmp_path, documents, hematite, analysis
):
    nobody = {"tiled": {"uri": "http://127.0.0.1:9"}, "tiled_api_key": "0123456789abcdef"}
    stream = DescriptorStream("sim", spool=tmp_path, **nobody)
    for number in range(2):
        for item in documents(*hematite, uid=f"scan-{number}"):
            stream(*item)
    assert stream.close(60) == 3
    (folder,) = (path for path in tmp_path.iterdir() if path.is_dir() and path.name != "series")
    curves = what_if_uid(analysis.models["Fe K"].card.id)
    assert [entry.uid == curves for entry in entries(folder)] == [False, True, False]


def test_curves_that_cannot_be_computed_leave_the_results_alone(
    server, tmp_path, documents, hematite, monkeypatch, caplog
):
    def broken(*_):
        raise ValueError("no such curve")

    monkeypatch.setattr("rankaae_stream.model.networks.Model.what_if", broken)
    settings = {"tiled": {"uri": server.uri}, "tiled_api_key": server.api_key, "spool": tmp_path}
    with DescriptorStream("sim", **settings) as stream:
        for item in documents(*hematite, uid="no-curves"):
            stream(*item)
        assert stream.wait_idle(60)
        assert stream.status().answered == 1
        assert stream.status().last_error == ""
    assert "what-if curves" in caplog.text
    assert "no such curve" in caplog.text


def test_a_model_that_answered_nothing_publishes_nothing(server, tmp_path):
    settings = {"tiled": {"uri": server.uri}, "tiled_api_key": server.api_key, "spool": tmp_path}
    with DescriptorStream("sim", **settings) as stream:
        assert stream.wait_idle(PATIENCE)
    assert len(published(server).search(Key("start.element") == "Ni")) == 0


def test_they_are_never_taken_for_a_scan(run, pipeline):
    for name, doc in run.documents():
        pipeline.feed(name, doc, 0.0)
    pipeline.finish()
    assert pipeline.results == []
