"""One value of many results, from the summaries that Tiled holds."""

import numpy as np
import pytest
from tiled.queries import Key
from waiting import PATIENCE

from rankaae_stream.callback import DescriptorStream
from rankaae_stream.results.compose import PURPOSE
from rankaae_stream.results.compose_series import PURPOSE as SERIES
from rankaae_stream.trends import read_series, read_trend


@pytest.fixture(scope="module")
def results(server, tmp_path_factory, documents, hematite):
    """Three scans of hematite as it warms up, one of them refused, beside the what-if curves."""
    energy, *signals = hematite
    half = energy < 7112
    with DescriptorStream(
        "sim",
        run={"copy": ["sample_heater_1_T_rb", "gas-flow"]},
        tiled={"uri": server.uri, "node": "processed"},
        tiled_api_key=server.api_key,
        spool=tmp_path_factory.mktemp("spool"),
    ) as stream:
        for number, (time, columns) in enumerate(
            [
                (2000.0, (energy, *signals)),
                (1000.0, (energy[half], *(one[half] for one in signals))),
                (3000.0, (energy, *signals)),
            ]
        ):
            scan = documents(
                *columns,
                uid=f"trend-{number}",
                time=time,
                scan_id=number,
                sample_name='<b>"hematite"</b>',
                sample_heater_1_T_rb=300.0 + number,
                **{"gas-flow": "N2" if number else 5},
            )
            for item in scan:
                stream(*item)
            assert stream.wait_idle(PATIENCE)
    return server.client("processed").search(Key("start.sample_name") == '<b>"hematite"</b>')


def test_values_come_in_the_order_of_the_scans_with_their_intervals(results):
    trend = read_trend(results)
    assert trend["raw_uid"].tolist() == ["trend-1", "trend-0", "trend-2"]
    np.testing.assert_array_equal(trend["time"], [1000.0, 2000.0, 3000.0])
    np.testing.assert_array_equal(trend["scan_id"], [1.0, 0.0, 2.0])
    for number, uid in enumerate(trend["uid"]):
        summary = results[uid].metadata["stop"]["summary"]
        told = summary["estimates"].get("oxidation_state", {})
        for name in ("value", "low", "high"):
            assert np.isclose(trend[name][number], told.get(name, np.nan), equal_nan=True)
    assert np.all(trend["low"][1:] < trend["value"][1:])


def test_a_refused_scan_keeps_its_place_and_says_why(results):
    trend = read_trend(results)
    assert trend["refusal"].tolist() == ["coverage", "", ""]
    assert np.isnan(trend["value"][0])
    assert not trend["out_of_domain"].any()


def test_anything_of_the_start_document_can_stand_beside_them(results):
    trend = read_trend(
        results,
        "mean_bond_length",
        against=("start.sample_heater_1_T_rb", "start.gas-flow", "start.nothing"),
    )
    np.testing.assert_array_equal(trend["start.sample_heater_1_T_rb"], [301.0, 300.0, 302.0])
    assert trend["start.gas-flow"].tolist() == ["N2", "5", "N2"]
    assert np.isnan(trend["start.nothing"]).all()
    assert 1.9 < trend["value"][1] < 2.2


def test_what_is_no_result_of_a_scan_is_left_out(server, results):
    everything = server.client("processed")
    told = set(read_trend(everything)["uid"])
    assert set(read_trend(results)["uid"]) <= told
    assert len(everything) > len(told), "the what-if curves are there too"
    assert told == {
        run.start["uid"]
        for run in everything.search(Key("start.purpose") == PURPOSE).values()
        if run.metadata.get("stop")
    }


def test_more_than_one_page_is_read(results, monkeypatch):
    monkeypatch.setattr("rankaae_stream.trends.PAGE", 2)
    assert read_trend(results)["raw_uid"].tolist() == ["trend-1", "trend-0", "trend-2"]


def test_nothing_found_is_an_empty_trend(server):
    trend = read_trend(server.client("processed").search(Key("start.element") == "Xx"))
    assert {len(one) for one in trend.values()} == {0}
    assert trend["value"].dtype == float


def test_results_of_other_programs_of_any_type_leave_the_others(server):
    results = server.client("processed")
    huge = 10**401
    odd = [True, "x", "5", [1], {"a": 1}, -1.5]
    summary = {"estimates": {"oxidation_state": {"value": 2.5, "low": 2.0, "high": 3.0}}}
    stop = {"time": 5.0, "summary": summary}
    for number, value in enumerate(odd):
        rows = {
            "scan_id": {"time": 1.0 + number, "scan_id": value},
            "time": {"time": value},
            "sample_name": {"time": 1.0, "sample_name": value, "element": value},
            "raw": {"time": 1.0, "original_run_uid": value},
        }
        for name, start in rows.items():
            metadata = {"start": {"original_run_uid": "foreign", **start}, "stop": stop}
            results.create_container(f"foreign-{name}-{number}", metadata=metadata)
        estimate = {"value": value, "low": value, "high": str(huge)}
        foreign = {"estimates": {"oxidation_state": estimate}, "refusal": value, "flags": value}
        for name, end in (("summary", {"time": value, "summary": foreign}), ("stop", value)):
            metadata = {"start": {"original_run_uid": "foreign", "time": 1.0}, "stop": end}
            results.create_container(f"foreign-{name}-{number}", metadata=metadata)
    try:
        trend = read_trend(results, against=("start.scan_id", "stop.summary"))
        told = trend["uid"].tolist()
        assert {f"foreign-scan_id-{number}" for number in range(len(odd))} <= set(told)
        assert trend["scan_id"][told.index("foreign-scan_id-1")] == "x"
        assert trend["value"][told.index("foreign-scan_id-1")] == 2.5
        assert "foreign-time-1" not in told, "without a time it has no place among the scans"
        assert np.all(np.diff(trend["time"]) >= 0)
    finally:
        for key in [key for key in results if key.startswith("foreign-")]:
            results.delete_contents([key], recursive=True, external_only=False)


@pytest.fixture
def heated(server, results):
    """Two series, the newer one of the results as mixtures, beside runs of other programs."""
    container = server.client("processed")
    uids = read_trend(results)["uid"][1:].tolist()
    rows = [
        {"uid": uid, "scan_id": i, "time": 60.0 * i, "share_1": 1.0 - i, "share_2": float(i)}
        | {"valence": 3.0 - i, "half_width": 0.2, "alone": 2.9 - i, "T": 300 + i}
        for i, uid in enumerate(uids)
    ]
    merged = {"value": 3.0, "low": 2.8, "high": 3.2, "level": 0.9}
    repeats = [{"uid": uid, "alone": 3.0} for uid in uids]
    states = {
        "mixed": {"count": 2, "components": 2, "ends": ["a", "b"], "spectra": rows, "merged": None}
        | {"changes": [{"at": 1, "within": 1, "at_value": None}], "complete": True},
        "same": {"components": 1, "spectra": repeats, "merged": merged, "advice": "2 more"},
        "part": {"components": 1, "spectra": repeats[1:], "advice": "of a session that ended"},
    }
    for number, value in enumerate([None, "x", 7, [1], {"spectra": [3], "components": "x"}]):
        states[f"odd-{number}"] = value
    for number, (key, state) in enumerate(states.items()):
        start = {"purpose": SERIES, "time": 100.0 - number, "original_run_uid": ""}
        start |= {"sample_name": "series", "element": "Fe", "group": {"sample_name": "series"}}
        stop = {"time": 200.0, "summary": state}
        container.create_container(f"series-{key}", metadata={"start": start, "stop": stop})
    yield container
    for key in states:
        container.delete_contents([f"series-{key}"], recursive=True, external_only=False)


def test_series_are_read_as_tables_in_the_order_of_their_scans(heated, monkeypatch):
    monkeypatch.setattr("rankaae_stream.trends.SERIES_PAGE", 2)
    found = read_series(heated.search(Key("start.sample_name") == "series"))
    assert [one.uid for one in found][-2:] == ["series-same", "series-mixed"], "and no part of one"
    assert "series-part" not in [one.uid for one in found]
    same, mixed = found[-2:]
    np.testing.assert_array_equal(mixed.spectra["valence"], [3.0, 2.0])
    np.testing.assert_array_equal(mixed.spectra["share_2"], [0.0, 1.0])
    np.testing.assert_array_equal(mixed.spectra["T"], [300.0, 301.0])
    np.testing.assert_array_equal(mixed.changes["at"], [1.0])
    assert np.isnan(mixed.changes["at_value"]).all()
    assert (mixed.components, mixed.ends, mixed.complete) == (2, ["a", "b"], True)
    np.testing.assert_array_equal(same.merged, [3.0, 2.8, 3.2])
    assert (same.advice, same.complete, same.group) == ("2 more", False, {"sample_name": "series"})
    assert np.isnan(mixed.merged).all()
    assert all(one.components == 1 and not one.ends for one in found[:-2]), "of other programs"


def test_a_trend_tells_the_valence_of_each_result_as_a_mixture(heated, results):
    trend = read_trend(results, series=read_series(heated))
    np.testing.assert_array_equal(trend["mixture_value"], [np.nan, 3.0, 2.0])
    np.testing.assert_array_equal(trend["mixture_half_width"], [np.nan, 0.2, 0.2])
