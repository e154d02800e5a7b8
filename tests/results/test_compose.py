"""A report becomes a run that the schemas accept, the same documents each time."""

import json
import math
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from composing import GRID, composed, result, validate
from hypothesis import given
from hypothesis import strategies as st

from rankaae_stream.results.compose import compose, is_partial


def strict(value: Any) -> str:
    """JSON as every reader takes it: no NaN."""
    return json.dumps(value, allow_nan=False, sort_keys=True)


CASES: dict[str, dict[str, Any]] = {
    "an answer": {},
    "a provisional answer": {"complete": False},
    "a refusal with a model": {"state": None},
    "a refusal without a model": {"state": None, "model": False},
    "numpy in the raw start": {
        "scan_id": np.int64(7),
        "proposal": {"id": np.float32(1.5), "tags": np.array(["a", "b"])},
        "cycle": np.array([1.0, np.nan]),
        "tiled_access_tags": ("x", "y"),
    },
}


@pytest.mark.parametrize("settings", CASES.values(), ids=CASES.keys())
def test_a_result_is_a_run_that_the_schemas_accept(settings):
    run = composed(**settings)
    validate(run)
    validate(run.numbered(5))
    assert [name for name, _ in run.documents()] == ["start", "descriptor", "event", "stop"]


@pytest.mark.parametrize("settings", CASES.values(), ids=CASES.keys())
def test_its_documents_hang_together(settings):
    for run, number in ((composed(**settings), 1), (composed(**settings).numbered(4), 4)):
        assert run.descriptor["run_start"] == run.stop["run_start"] == run.start["uid"] == run.uid
        assert run.event["descriptor"] == run.descriptor["uid"]
        assert run.event["seq_num"] == run.stop["num_events"]["primary"] == number
        assert run.event["data"].keys() == run.descriptor["data_keys"].keys()
        assert run.event["timestamps"].keys() == run.event["data"].keys()
        uids = [doc["uid"] for _, doc in run.documents()]
        assert len(set(uids)) == 4


@pytest.mark.parametrize("settings", CASES.values(), ids=CASES.keys())
def test_its_metadata_are_plain_json_without_nan(settings):
    run = composed(**settings)
    for doc in (run.start, run.descriptor, run.stop):
        assert json.loads(strict(doc)) == doc


@pytest.mark.parametrize("settings", CASES.values(), ids=CASES.keys())
def test_the_same_report_gives_the_same_documents(settings):
    assert repr(composed(**settings)) == repr(composed(**settings))


def test_every_column_has_the_type_that_its_descriptor_says():
    for settings in CASES.values():
        run = composed(**settings)
        python = {"number": float, "string": str, "boolean": bool, "array": list}
        for key, about in run.descriptor["data_keys"].items():
            value = run.event["data"][key]
            assert type(value) is python[about["dtype"]], key
            assert list(np.shape(value)) == about["shape"]


def test_an_answer_and_a_refusal_of_one_model_have_the_same_columns():
    answer, refusal = composed(), composed(state=None)
    assert answer.descriptor == refusal.descriptor
    assert refusal.event["data"]["refusal"] == "coverage"
    assert math.isnan(refusal.event["data"]["oxidation_state"])
    assert np.isnan(refusal.event["data"]["curves"]).all()
    assert refusal.stop["reason"] == "the scan spans 7000.0-7100.0 eV"
    assert refusal.stop["summary"]["estimates"] == {}


def test_grid_and_units_are_in_the_descriptor_and_the_curves_on_the_grid():
    run = composed()
    assert run.descriptor["data_keys"]["energy_first"]["units"] == "eV"
    settings = run.descriptor["configuration"]["rankaae_stream"]
    assert settings["data"]["energy_grid"] == GRID.tolist()
    assert settings["data_keys"]["energy_grid"]["units"] == "eV"
    curves = dict(zip(settings["data"]["curve_rows"], run.event["data"]["curves"], strict=True))
    assert len(curves["flat"]) == GRID.size
    residual = np.subtract(curves["flat"], curves["reconstruction"])
    assert curves["residual"] == pytest.approx(residual)


def test_the_value_can_be_searched_in_the_stop_document():
    summary = composed().stop["summary"]
    assert summary["estimates"]["oxidation_state"]["value"] == 2.7
    assert summary["flags"]["small_edge_step"]["severity"] == "warning"
    assert summary["model"]["id"] == "ab" * 32


def test_the_start_names_the_raw_run_and_copies_what_it_must():
    kept = {
        "data_session": "pass-1",
        "tiled_access_tags": ["pass-1"],
        "proposal": {"id": "1"},
        "cycle": "2026-3",
        "scan_id": 12,
        "sample_name": "FeO",
        "scan_group_uid": "g",
    }
    start = composed(**kept, secret="stays", uid="raw-9").start
    assert kept.items() <= start.items()
    assert "secret" not in start
    assert start["original_run_uid"] == "raw-9"
    assert start["uid"] != "raw-9"
    assert start["model"]["version"] == "2026-11-22"
    assert start["profile"] == {"name": "sim"}
    assert [one["evidence"] for one in start["descriptors"]] == ["measured", "simulation"]
    assert (start["channel"], start["sweep"], start["code_version"]) == ("transmission", 0, "0.1.0")


def test_a_copied_key_never_replaces_one_of_ours():
    run = compose(result(channel="theirs"), {}, ("channel", "uid", "time"))
    assert run.start["channel"] == "transmission"
    assert run.uid == result().uid


_values = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**53), 2**53)
    | st.floats()
    | st.text()
    | st.binary()
    | st.floats(width=32).map(np.float32)
    | st.lists(st.floats(), max_size=3).map(np.array),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=6,
)


@given(value=_values)
def test_whatever_a_raw_start_holds_is_copied_as_plain_json(value):
    run = composed(sample_name=value)
    assert "sample_name" in run.start
    assert json.loads(strict(run.start)) == run.start


@pytest.mark.parametrize("name", ["missing_file", "file", "outside_roots", "coverage"])
def test_only_a_refusal_for_want_of_data_is_partial(name):
    stop = composed(state=None, model=False).stop
    stop["summary"]["refusal"]["name"] = name
    assert is_partial(stop) == (name != "coverage")


def test_numbering_leaves_the_run_itself_alone():
    run = composed()
    assert replace(run) == run
    numbered = run.numbered(3)
    assert run.event["seq_num"] == 1
    assert numbered.event["seq_num"] == 3
    assert numbered.start is run.start
