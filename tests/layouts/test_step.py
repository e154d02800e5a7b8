"""Step scans: which fields are read, and from which documents."""

import numpy as np
import pytest

from rankaae_stream.errors import Refused
from rankaae_stream.layouts.step import StepLayout

LAYOUT = StepLayout(
    "primary", ("mono", "dcm"), ("I0",), ("It",), ("Ir",), fluorescence=("Fe1", "Fe2")
)


def descriptor(*keys, name="primary"):
    return {"uid": "d", "name": name, "data_keys": {key: {} for key in keys}}


def event(**data):
    return {"descriptor": "d", "time": 5.0, "data": data}


def test_absorption_is_formed_from_the_currents():
    reader = LAYOUT.open({})
    reader.feed("descriptor", descriptor("mono", "I0", "It", "Ir", "Fe1", "Fe2"))
    reading = reader.feed("event", event(mono=7112, I0=100.0, It=50.0, Ir=25.0, Fe1=1, Fe2=2))
    assert reading.energy.tolist() == [7112.0]
    assert reading.energy.dtype == np.float64
    assert reading.mu["transmission"] == pytest.approx(np.log(2))
    assert reading.mu["reference"] == pytest.approx(np.log(2))
    assert reading.mu["fluorescence"] == pytest.approx(0.03)
    assert reading.time == 5.0


def test_the_first_field_that_the_run_has_is_used():
    reader = LAYOUT.open({})
    reader.feed("descriptor", descriptor("dcm", "I0", "It"))
    reading = reader.feed("event", event(dcm=7000.0, I0=1.0, It=1.0))
    assert reading.energy.tolist() == [7000.0]
    assert set(reading.mu) == {"transmission"}


def test_the_scans_own_dimension_stands_in_for_the_energy():
    start = {"hints": {"dimensions": [[["energy_readback"], "primary"]]}}
    reader = LAYOUT.open(start)
    reader.feed("descriptor", descriptor("energy_readback", "I0", "It"))
    assert reader.feed("event", event(energy_readback=1.0, I0=1.0, It=1.0)).energy == [1.0]


def test_an_event_page_is_as_many_events():
    reader = LAYOUT.open({})
    reader.feed("descriptor", descriptor("mono", "I0", "It"))
    page = {
        "descriptor": "d",
        "time": [1.0, 2.0],
        "data": {"mono": [7000, 7001], "I0": [1.0, 2.0], "It": [1.0, 1.0]},
    }
    reading = reader.feed("event_page", page)
    assert reading.energy.tolist() == [7000.0, 7001.0]
    np.testing.assert_allclose(reading.mu["transmission"], [0.0, np.log(2)])
    assert reading.time == 2.0


def test_other_streams_are_not_the_scan():
    reader = LAYOUT.open({})
    assert reader.feed("descriptor", descriptor("ring_current", name="baseline")) is None
    assert reader.feed("event", event(ring_current=400.0)) is None
    assert "baseline" in reader.missing()


@pytest.mark.parametrize(
    ("keys", "what"),
    [(("I0", "It"), "energy"), (("mono", "It"), "i0"), (("mono", "I0", "Fe1"), "fluorescence")],
)
def test_missing_fields_are_named_with_what_there_is(keys, what):
    with pytest.raises(Refused, match=what) as caught:
        LAYOUT.open({}).feed("descriptor", descriptor(*keys))
    assert caught.value.name == "missing_fields"
    assert all(key in caught.value.message for key in keys)


@pytest.mark.parametrize(("i0", "it"), [(0.0, 1.0), (1.0, 0.0), (-1.0, 1.0), (np.nan, 1.0)])
def test_a_dead_signal_is_not_finite_and_warns_nobody(i0, it):
    reader = LAYOUT.open({})
    reader.feed("descriptor", descriptor("mono", "I0", "It"))
    reading = reader.feed("event", event(mono=1.0, I0=i0, It=it))
    assert not np.isfinite(reading.mu["transmission"]).any()


def read(layout, start=None, units=None, configuration=None, **data):
    """One event's reading through a layout."""
    reader = layout.open(start or {})
    described = {key: {"units": units[key]} if key in (units or {}) else {} for key in data}
    reader.feed(
        "descriptor",
        {
            "uid": "d",
            "name": "primary",
            "data_keys": described,
            "configuration": configuration or {},
        },
    )
    return reader.feed("event", event(**data))


DWELL = {"dwell": ("t",), "pips": ("Iy",), "fluorescence": ("Fe1",)}


@pytest.mark.parametrize("seconds", [0.5, 2.0])
def test_a_sum_over_the_dwell_and_a_rate_give_the_same_mu_at_every_dwell(seconds):
    layout = StepLayout("primary", ("mono",), ("I0",), ("It",), integrated=("i0",), **DWELL)
    reading = read(layout, mono=7112, t=seconds, I0=100.0 * seconds, It=50.0, Iy=10.0, Fe1=3.0)
    assert reading.mu["transmission"] == pytest.approx(np.log(2))
    assert reading.mu["pips"] == pytest.approx(0.1)
    assert reading.mu["fluorescence"] == pytest.approx(0.03)


@pytest.mark.parametrize("seconds", [0.5, 2.0])
def test_where_all_are_sums_the_dwell_cancels(seconds):
    everything = ("i0", "it", "pips", "fluorescence")
    layout = StepLayout("primary", ("mono",), ("I0",), ("It",), integrated=everything, **DWELL)
    data = {"I0": 100.0, "It": 50.0, "Iy": 10.0, "Fe1": 3.0}
    summed = {key: value * seconds for key, value in data.items()}
    with_dwell = read(layout, mono=7112, t=seconds, **summed)
    without = read(layout, mono=7112, **summed)
    for channel, mu in with_dwell.mu.items():
        np.testing.assert_allclose(mu, without.mu[channel])
    assert with_dwell.mu["transmission"] == pytest.approx(np.log(2))


def test_a_point_without_exposure_is_a_bad_point_and_warns_nobody():
    layout = StepLayout("primary", ("mono",), ("I0",), ("It",), integrated=("i0",), **DWELL)
    reading = read(layout, mono=7112, t=0.0, I0=0.0, It=50.0)
    assert not np.isfinite(reading.mu["transmission"]).any()


def test_keV_are_made_eV_and_other_units_refused():  # noqa: N802
    layout = StepLayout("primary", ("mono",), ("I0",), ("It",))
    assert read(layout, units={"mono": "keV"}, mono=7.112, I0=1.0, It=1.0).energy == [7112.0]
    with pytest.raises(Refused, match="mono is in deg"):
        read(layout, units={"mono": "deg"}, mono=14.0, I0=1.0, It=1.0)


def test_a_pattern_sums_all_that_fit_and_of_several_lists_the_first_is_taken():
    layout = StepLayout(
        "primary", ("mono",), ("I0",), fluorescence=(("a", "b"), ("xs_channel*_roi01",))
    )
    channels = {"xs_channel1_roi01": 1.0, "xs_channel2_roi01": 2.0, "xs_channel1_roi02": 50.0}
    reading = read(layout, mono=7112, I0=100.0, a=7.0, **channels)
    assert reading.mu["fluorescence"] == pytest.approx(0.03)
    reading = read(layout, mono=7112, I0=100.0, a=7.0, b=1.0, **channels)
    assert reading.mu["fluorescence"] == pytest.approx(0.08)


@pytest.mark.parametrize("names", [("Fe1", "Fe2"), ["Fe1", "Fe2"]])
def test_the_start_document_names_the_fields_to_sum(names):
    layout = StepLayout("primary", ("mono",), ("I0",), fluorescence_from=("XDI._dtc",))
    reading = read(layout, {"XDI": {"_dtc": names}}, mono=7112, I0=100.0, Fe1=1.0, Fe2=2.0, Fe3=9.0)
    assert reading.mu["fluorescence"] == pytest.approx(0.03)


def test_offsets_of_the_configuration_are_subtracted():
    layout = StepLayout("primary", ("mono",), ("I0",), ("It",), offsets={"I0": "I0_offset"})
    configuration = {"amplifier": {"data": {"I0_offset": -4.0}}}
    reading = read(layout, configuration=configuration, mono=7112, I0=96.0, It=50.0)
    assert reading.mu["transmission"] == pytest.approx(np.log(2))
    with pytest.raises(Refused, match="I0_offset"):
        read(layout, mono=7112, I0=96.0, It=50.0)


def test_a_page_may_hold_arrays_and_lack_values():
    reader = LAYOUT.open({})
    reader.feed("descriptor", descriptor("mono", "I0", "It"))
    page = {
        "descriptor": "d",
        "time": np.array([1.0, 2.0, 3.0]),
        "seq_num": np.array([4, 5, 6]),
        "data": {"mono": np.array([7000, 7001, 7002]), "I0": [1.0, None, "x"], "It": [1.0]},
    }
    reading = reader.feed("event_page", page)
    assert reading.energy.tolist() == [7000.0, 7001.0, 7002.0]
    assert not np.isfinite(reading.mu["transmission"]).any()
    assert list(reading.events.seq) == [4, 5, 6]
    assert "which is no number" in reading.problem
