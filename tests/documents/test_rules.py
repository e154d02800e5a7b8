"""Which runs are XAS, and of which element and edge."""

import pytest

from rankaae_stream.documents.rules import Exclusion, RunRules
from rankaae_stream.errors import ConfigurationError
from rankaae_stream.profile import load_profile

ISS = RunRules(
    xas=({"experiment": ("fly_scan", "step_scan")}, {"plan_name": ("scan_nd xafs*",)}),
    not_xas=(Exclusion("an emission spectrum", {"spectrometer": ("?*",)}),),
)


def test_without_rules_every_run_may_be_xas():
    assert RunRules().unwanted({"plan_name": "count"}) == ""


@pytest.mark.parametrize(
    "start",
    [
        {"experiment": "fly_scan"},
        {"experiment": "STEP_SCAN", "spectrometer": ""},
        {"plan_name": "scan_nd xafs transmission"},
        {"experiment": ("step_scan",)},
        {"experiment": {"step_scan": {"channels": 8}}},
    ],
)
def test_a_run_is_xas_when_one_rule_fits(start):
    assert ISS.unwanted(start) == ""


@pytest.mark.parametrize(
    ("start", "words"),
    [
        ({"experiment": "collect_n_exposures"}, "collect_n_exposures"),
        ({}, "no experiment"),
        ({"experiment": "fly_scan", "spectrometer": "johann"}, "an emission spectrum"),
        ({"experiment": "fly_scan", "spectrometer": "johann"}, "johann"),
    ],
)
def test_what_is_not_xas_says_why(start, words):
    assert words in ISS.unwanted(start)


def test_a_rule_can_leave_a_run_to_a_model_that_was_trained_on_its_kind():
    herfd = Exclusion("HERFD", {"spectrometer": ("johann",)}, unless_model="herfd")
    start = {"experiment": "fly_scan", "spectrometer": "johann"}
    rules = RunRules(xas=ISS.xas, not_xas=(herfd, *ISS.not_xas))
    assert rules.unwanted(start) == "HERFD (spectrometer 'johann')"
    assert rules.unwanted(start, {"herfd"}) == ""
    assert rules.unwanted({**start, "experiment": "count"}, {"herfd"}), "it must be XAS still"
    assert "emission" in rules.unwanted({**start, "spectrometer": "von_hamos"}, {"herfd"})
    emission = RunRules(not_xas=(*ISS.not_xas, herfd))
    assert "emission" in emission.unwanted(start, {"herfd"}), "the first that fits says why"


def test_all_keys_of_a_rule_have_to_fit():
    rules = RunRules(xas=({"XDI._mode": ("trans*",), "plan_name": ("*xafs*",)},))
    assert not rules.unwanted({"XDI": {"_mode": ["transmission"]}, "plan_name": "scan_nd xafs"})
    assert rules.unwanted({"XDI": {"_mode": ["test"]}, "plan_name": "scan_nd xafs"})
    assert rules.unwanted({"XDI": "none", "plan_name": "scan_nd xafs"})


@pytest.mark.parametrize(
    ("start", "found"),
    [
        ({"element": "Fe"}, ("Fe", "K")),
        ({"element": "Pt", "edge": "L3"}, ("Pt", "L3")),
        ({"edge": "Fe K"}, ("Fe", "K")),
        ({"element": "fe ", "edge": "1s"}, ("Fe", "K")),
        ({"edge": "Pt_L3"}, ("Pt", "L3")),
        ({"element": "Fe", "edge": "Ka1"}, ("Fe", "Ka1")),
        ({}, (None, "K")),
    ],
)
def test_element_and_edge_are_read_as_a_run_states_them(start, found):
    assert RunRules().stated_edge(start) == found


@pytest.mark.parametrize(
    ("said", "channel"),
    [
        ("fluo", "fluorescence"),
        (("Fluorescence",), "fluorescence"),
        (["transmission"], "transmission"),
        ("pips", "pips"),
        ("both", "fluorescence"),
        ("", "fluorescence"),
        (None, "fluorescence"),
    ],
)
def test_the_primary_channel_is_the_runs_own_or_the_profiles(said, channel):
    rules = RunRules(channel=("XDI._mode",), primary="fluorescence")
    assert rules.primary_of({"XDI": {"_mode": said}}) == channel


def toml(tmp_path, text):
    path = tmp_path / "mine.toml"
    path.write_text('name = "mine"\n[layout]\nkind = "step"\n' + text)
    return path


def test_dotted_keys_and_tables_are_the_same_rule(tmp_path):
    one = load_profile(toml(tmp_path, '[[run.xas]]\n"XDI._mode" = "trans*"')).run
    two = load_profile(toml(tmp_path, '[[run.xas]]\nXDI._mode = ["trans*"]')).run
    assert one == two
    assert one.build().xas == ({"XDI._mode": ("trans*",)},)
    assert "." not in str(list(one.model_dump()["xas"][0]))


def test_a_rule_that_is_none_is_named(tmp_path):
    with pytest.raises(ConfigurationError, match="plan_name must be a text"):
        load_profile(toml(tmp_path, "[[run.xas]]\nplan_name = []"))
    with pytest.raises(ConfigurationError, match=r"unless_model is 'xes'.*can have: herfd"):
        load_profile(toml(tmp_path, '[[run.not_xas]]\nx = "y"\nunless_model = "xes"'))
    with pytest.raises(ConfigurationError, match="skip is 'yes'; set it to true or false"):
        load_profile(toml(tmp_path, '[[run.not_xas]]\nx = "y"\nskip = "yes"'))
    with pytest.raises(ConfigurationError, match="primary"):
        load_profile(toml(tmp_path, '[run]\nprimary = "reference"'))


def test_rules_decide_which_results_there_are_so_they_are_in_the_hash(tmp_path):
    plain = load_profile(toml(tmp_path, ""))
    ruled = load_profile(toml(tmp_path, '[[run.xas]]\nplan_name = "scan"'))
    shown = load_profile(toml(tmp_path, '[run]\nprimary = "fluorescence"'))
    assert plain.analysis_hash() != ruled.analysis_hash()
    assert plain.analysis_hash() == shown.analysis_hash()


def test_the_simulated_beamlines_results_keep_their_uids():
    """A new setting at its default must not make replays publish everything again."""
    assert load_profile("sim").analysis_hash().startswith("39a040286051b423")
