"""Detectors that saturate or stay dark, in every layout whose limits a profile states."""

import numpy as np
import pytest

from rankaae_stream import resources
from rankaae_stream.errors import ConfigurationError
from rankaae_stream.layouts.step import StepLayout
from rankaae_stream.loading import build_pipeline
from rankaae_stream.profile import load_profile
from rankaae_stream.simulate import bmm, panda, series, steps, tes
from rankaae_stream.simulate.documents import Beam
from rankaae_stream.simulate.pizzabox import Detector, fly_scan
from rankaae_stream.simulate.samples import curves
from rankaae_stream.spectra.quality import signal_flags
from rankaae_stream.spectrum import Limits

HEMATITE = next(sample for sample in series("Fe") if sample.name == "Fe2O3")
MILLIVOLT = {"low": 20, "high": 3200, "unit": "mV"}
HUNDRED = {"it": Limits(20.0, 100.0, "mV", "chamber")}


@pytest.fixture
def play(analysis):
    """Feed one run to a profile's pipeline; of its final reports the named channel's flags."""

    def through(profile, documents, channel="transmission"):
        results = []
        pipeline = build_pipeline(profile, results.append, analysis)
        for name, doc in documents:
            pipeline.feed(name, doc, 0.0)
        pipeline.finish()
        final = [r.report for r in results if r.report.complete and r.report.channel == channel]
        return [{flag.name: flag for flag in report.flags} for report in final]

    return through


def limited(name, *, at=0, **limits):
    """A shipped profile with these limits in one of its layouts."""
    layouts = load_profile(name).layout
    layouts = layouts if isinstance(layouts, tuple) else (layouts,)
    plain = [layout.model_dump() for layout in layouts]
    plain[at]["limits"] = limits
    return load_profile(name, layout=plain)


def scaled(documents, **factors):
    for name, doc in documents:
        if name == "event":
            data = {key: value * factors.get(key, 1) for key, value in doc["data"].items()}
            yield name, {**doc, "data": data}
        else:
            yield name, doc


# ---- the judgement -------------------------------------------------------------------


def test_one_energy_above_the_limit_saturates():
    (flag,) = signal_flags("transmission", {"it": [50.0] * 99 + [101.0]}, HUNDRED)
    assert (flag.name, flag.severity, flag.value, flag.unit) == (
        "saturated",
        "warning",
        101.0,
        "mV",
    )
    assert flag.message.startswith("chamber at 1 of 100 energies is above 100 mV")
    assert signal_flags("transmission", {"it": [100.0] * 100}, HUNDRED) == []


def test_a_few_dark_points_are_the_shutter_and_more_are_a_low_signal():
    assert signal_flags("transmission", {"it": [1.0] + [50.0] * 99}, HUNDRED) == []
    (flag,) = signal_flags("transmission", {"it": [1.0] * 2 + [50.0] * 98}, HUNDRED)
    assert (flag.name, flag.value) == ("low_signal", 50.0)
    assert "chamber at 2 of 100 energies is below 20 mV" in flag.message


def test_a_channel_is_judged_by_its_own_detectors_only():
    levels = {"it": [500.0] * 100, "i0": [50.0] * 100}
    assert signal_flags("fluorescence", levels, HUNDRED) == []
    assert len(signal_flags("transmission", levels, HUNDRED)) == 1
    for channel in ("transmission", "fluorescence", "pips"):
        (flag,) = signal_flags(channel, {"i0": [200.0] * 9}, {"i0": Limits(0, 100.0, "V", "I0")})
        assert flag.name == "saturated"


def test_points_without_a_number_and_detectors_without_limits_are_not_judged():
    assert signal_flags("transmission", {"it": [np.nan] * 50 + [50.0] * 50}, HUNDRED) == []
    assert signal_flags("transmission", {"it": [1e9] * 9}, {}) == []
    assert signal_flags("transmission", {}, HUNDRED) == []


# ---- every layout --------------------------------------------------------------------


def peak(documents, field):
    return max(doc["data"][field] for name, doc in documents if name == "event")


@pytest.mark.parametrize("falling", [False, True], ids=["rising", "falling"])
def test_iss_step_scans_are_judged_by_the_limits_of_the_electrometer(play, falling):
    documents = list(steps.iss_step(Beam(HEMATITE), falling=falling))
    profile, it = load_profile("iss"), "apb_ave_ch2_mean"
    (usual,) = play(profile, documents)
    assert not {"saturated", "low_signal"} & set(usual)
    most = peak(documents, it)
    (high,) = play(profile, scaled(documents, **{it: 3300 / most}))
    assert high["saturated"].value == pytest.approx(3300)
    assert high["saturated"].message.startswith(it)
    (low,) = play(profile, scaled(documents, **{it: 15 / most}))
    assert low["low_signal"].unit == "mV"


def test_a_sum_over_the_exposure_is_judged_by_its_rate(play):
    documents = list(bmm.xafs(Beam(HEMATITE)))
    (event, *_) = (doc for name, doc in documents if name == "event" and "I0" in doc["data"])
    names = [key for key in event["data"] if key.startswith("Fe")]
    rates = [
        max(doc["data"][key] for key in names) / doc["data"]["dwti_dwell_time"]
        for name, doc in documents
        if name == "event" and "I0" in doc["data"]
    ]
    below = limited("bmm", fluorescence={"high": 0.99 * max(rates), "unit": "counts/s"})
    above = limited("bmm", fluorescence={"high": 1.01 * max(rates), "unit": "counts/s"})
    (flags,) = play(below, documents, "fluorescence")
    assert flags["saturated"].value == pytest.approx(max(rates))
    assert f"one of {len(names)} fluorescence fields" in flags["saturated"].message
    (flags,) = play(above, documents, "fluorescence")
    assert "saturated" not in flags


def test_an_offset_is_not_what_a_detector_can_follow():
    layout = StepLayout(
        "primary", ("mono",), ("I0",), ("It",), offsets={"It": "off"}, limits={"it": Limits(20)}
    )
    reader = layout.open({})
    configuration = {"box": {"data": {"off": -30.0}}}
    keys = {key: {} for key in ("mono", "I0", "It")}
    descriptor = {"uid": "d", "name": "primary", "data_keys": keys, "configuration": configuration}
    reader.feed("descriptor", descriptor)
    event = {"descriptor": "d", "time": 1.0, "data": {"mono": 7000.0, "I0": 1.0, "It": -25.0}}
    reading = reader.feed("event", event)
    assert reading.levels["it"].tolist() == [25.0]
    assert reading.mu["transmission"][0] == pytest.approx(-np.log(5.0))
    assert reading.limits["it"].name == "It"


def test_tes_scans_are_judged_each_by_its_own_pixels(play):
    documents = list(tes.fly(Beam(HEMATITE), scans=2))
    levels = [np.max(doc["data"]["I0"]) for name, doc in documents if "I0" in doc.get("data", {})]
    assert len(levels) == 2
    found = play(limited("tes", i0={"high": 0.9 * min(levels)}), documents, "fluorescence")
    assert ["saturated" in flags for flags in found] == [True, True]
    found = play(limited("tes", i0={"high": 1.1 * max(levels)}), documents, "fluorescence")
    assert ["saturated" in flags for flags in found] == [False, False]


def test_ophyd_async_fly_scans_are_judged_sweep_by_sweep(play, tmp_path):
    text = (
        'name = "async"\n[layout]\nkind = "fly"\nenergy = ["energy"]\ni0 = ["i0"]\nit = ["it"]\n'
        f'allowed_roots = ["{tmp_path}"]\n[layout.limits]\ni0 = {{ high = %g, unit = "V" }}\n'
    )
    found = []
    for number, high in enumerate((1e12, 1e-12)):
        path = tmp_path / f"{number}.toml"
        path.write_text(text % high)
        documents = panda.fly(Beam(HEMATITE), tmp_path, sweeps=2, name=f"run{number}")
        found.append(["saturated" in flags for flags in play(load_profile(path), documents)])
    assert found == [[False, False], [True, True]]


def test_frames_are_judged_by_their_rate(play, tmp_path, reading_under):
    profile = reading_under("iss", tmp_path / "data")
    usual = fly_scan(tmp_path / "data", curves(HEMATITE), element="Fe", detector=Detector("xs"))
    (flags,) = play(profile, usual.documents, "fluorescence")
    assert "saturated" not in flags
    detector = Detector("xs", counts=4e3)
    hot = fly_scan(tmp_path / "data", curves(HEMATITE), element="Fe", detector=detector)
    (flags,) = play(profile, hot.documents, "fluorescence")
    assert flags["saturated"].unit == "counts/s"
    assert flags["saturated"].value > 450_000
    (flags,) = play(profile, hot.documents)
    assert "saturated" not in flags, "the chambers are not the detector"


# ---- the profile ---------------------------------------------------------------------


def test_limits_are_the_profiles_and_change_no_results_uid():
    for name in ("iss", "qas"):
        layout = load_profile(name).layout
        fly = layout[0] if isinstance(layout, tuple) else layout
        assert {role: limit.model_dump() for role, limit in fly.limits.items()} == dict.fromkeys(
            fly.limits, MILLIVOLT
        )
        assert {"i0", "it", "fluorescence"} <= set(fly.limits)
        other = limited(name, it={"high": 1.0})
        assert other.analysis_hash() == load_profile(name).analysis_hash()


def test_limits_that_are_no_limits_fail_at_start_up():
    for wrong in ({"low": 5, "high": 2}, {"low": -1}, {"high": 0}, {"max": 3}):
        with pytest.raises(ConfigurationError, match=r"limits\.it"):
            limited("generic", it=wrong)
    with pytest.raises(ConfigurationError, match=r"limits\.i1"):
        limited("generic", i1={"high": 3})


def test_the_examples_in_the_profiles_load_when_their_marks_are_taken_off(tmp_path):
    for name in ("bmm", "generic", "tes"):
        text = (resources.folder("profiles") / f"{name}.toml").read_text()
        lines = text.splitlines()
        begin = next(i for i, line in enumerate(lines) if "[layout.limits]" in line)
        end = next(i for i in range(begin, len(lines)) if not lines[i].strip())
        lines[begin:end] = [line.lstrip("# ") for line in lines[begin:end]]
        path = tmp_path / f"{name}.toml"
        path.write_text("\n".join(lines))
        layout = load_profile(path).layout
        layout = layout[0] if isinstance(layout, tuple) else layout
        assert layout.limits["fluorescence"].high == 450_000
