"""Configuration: one reader, an order of precedence, and errors that name the fix."""

import pytest

from rankaae_stream import resources
from rankaae_stream.choose import lookup
from rankaae_stream.errors import ConfigurationError
from rankaae_stream.loading import load_analysis
from rankaae_stream.profile import load_profile


@pytest.fixture
def toml(tmp_path):
    text = (resources.folder("profiles") / "sim.toml").read_text()

    def write(top="", bottom=""):
        path = tmp_path / "mine.toml"
        path.write_text(f"{top}\n{text}\n{bottom}\n")
        return path

    return write


def test_every_shipped_profile_loads():
    names = [path.stem for path in resources.folder("profiles").glob("*.toml")]
    assert "sim" in names
    for name in names:
        assert load_profile(name).name == name


def test_program_stands_above_environment_above_file(toml, monkeypatch):
    path = toml("stop_deadline = 100.0")
    assert load_profile(path).stop_deadline == 100.0
    monkeypatch.setenv("RANKAAE_STREAM_STOP_DEADLINE", "200")
    assert load_profile(path).stop_deadline == 200.0
    assert load_profile(path, stop_deadline=300.0).stop_deadline == 300.0


def test_nested_settings_come_from_the_environment_too(monkeypatch):
    monkeypatch.setenv("RANKAAE_STREAM_TILED__URI", "http://127.0.0.1:1234")
    profile = load_profile("sim")
    assert profile.tiled.uri == "http://127.0.0.1:1234"
    assert profile.tiled.node == "processed"


@pytest.mark.parametrize(
    ("top", "bottom", "where"),
    [
        ("provisonal_interval = 1.0", "", "provisonal_interval"),
        ("", "[layuot]\nkind = 'step'", "layuot"),
        ("", "nod = 'x'", "tiled.nod"),
        ("provisional_interval = 0.1", "", "provisional_interval"),
        ("device = 'tpu'", "", "device"),
    ],
)
def test_a_wrong_key_or_value_is_named(toml, top, bottom, where):
    with pytest.raises(ConfigurationError, match=where):
        load_profile(toml(top, bottom))


def test_a_profile_that_does_not_exist_names_those_that_do():
    with pytest.raises(ConfigurationError, match=r"no profile 'sym'.*sim"):
        load_profile("sym")


def test_broken_toml_says_where(tmp_path):
    path = tmp_path / "broken.toml"
    path.write_text("name = \nx = 1")
    with pytest.raises(ConfigurationError, match="line 1"):
        load_profile(path)


def test_the_key_comes_from_the_environment_only(toml, monkeypatch):
    with pytest.raises(ConfigurationError, match="RANKAAE_STREAM_TILED_API_KEY"):
        load_profile(toml("tiled_api_key = 'abc'"))
    with pytest.raises(ConfigurationError, match="export RANKAAE_STREAM_TILED_API_KEY"):
        load_profile("sim").api_key()
    monkeypatch.setenv("RANKAAE_STREAM_TILED_API_KEY", "abc")
    profile = load_profile("sim")
    assert profile.api_key() == "abc"
    assert "abc" not in str(profile)
    assert "abc" not in str(profile.published())


def test_only_what_can_change_a_number_is_in_the_hash(tmp_path):
    one = load_profile("sim")
    assert one.analysis_hash() == load_profile("sim", spool=tmp_path).analysis_hash()
    elsewhere = load_profile("sim", tiled={"uri": "http://127.0.0.1:9", "node": "other"})
    assert one.analysis_hash() == elsewhere.analysis_hash()
    other = load_profile("sim", layout={"kind": "step", "i0": ("other",)})
    assert one.analysis_hash() != other.analysis_hash()


def test_a_normalisation_that_differs_from_the_card_is_an_error_at_start(toml):
    load_analysis(load_profile(toml("", "[normalization]\nnorm2 = 150")))
    with pytest.raises(ConfigurationError, match=r"norm2.*300.*150"):
        load_analysis(load_profile(toml("", "[normalization]\nnorm2 = 300")))


def test_a_model_of_ones_own_is_pinned_by_its_id(toml, tmp_path):
    with pytest.raises(ConfigurationError, match="cannot read"):
        load_analysis(load_profile(toml("", f'[models."Fe K"]\npath="{tmp_path}"\nid="00"')))


def test_nested_and_single_element_metadata_are_found():
    start = {"XDI": {"Element": {"symbol": ["Fe"]}}, "element": ""}
    assert lookup(start, ("element", "XDI.Element.symbol")) == "Fe"
    assert lookup(start, ("XDI.Element.symbol.deeper",)) is None
    assert lookup({"element": 26}, ("element",)) is None
