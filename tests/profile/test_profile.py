"""Configuration: one reader, an order of precedence, and errors that name the fix."""

import pytest

from rankaae_stream import resources
from rankaae_stream.documents.rules import lookup
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
    ("variable", "value", "found"),
    [
        ("LAYOUT__0__D_SPACING", "3.2", lambda p: p.layout[0].d_spacing == 3.2),
        ("LAYOUT__0__ALLOWED_ROOTS", '["/m"]', lambda p: str(p.layout[0].allowed_roots[0]) == "/m"),
        ("LAYOUT__0__FRAMES__1__HIGHEST", "9", lambda p: p.layout[0].frames[1].highest == 9.0),
        ("LAYOUT__1__LIMITS__I0__HIGH", "99", lambda p: p.layout[1].limits["i0"].high == 99.0),
        ("LAYOUT__0__OFFSET", "{n}_offset", lambda p: p.layout[0].offset == "{n}_offset"),
        ("RUN__NOT_XAS__1__REASON", "sharp", lambda p: p.run.not_xas[1]["reason"] == "sharp"),
    ],
)
def test_one_of_several_tables_is_set_by_its_number(monkeypatch, variable, value, found):
    shipped = load_profile("iss")
    monkeypatch.setenv(f"RANKAAE_STREAM_{variable}", value)
    changed = load_profile("iss")
    assert found(changed)
    assert not found(shipped)
    assert [one.kind for one in changed.layout] == ["pizzabox", "step"]
    other = 1 if "__0__" in variable else 0
    assert "LAYOUT" not in variable or changed.layout[other] == shipped.layout[other]


def test_the_number_of_a_single_table_is_0(monkeypatch):
    monkeypatch.setenv("RANKAAE_STREAM_LAYOUT__0__I0", '["other"]')
    assert load_profile("bmm").layout.i0 == ("other",)
    assert load_profile("bmm").layout.it == ("It",)


@pytest.mark.parametrize(
    ("variable", "value", "fix"),
    [
        ("LAYOUT__STREAM", "x", r"2 tables \[\[layout\]\]; name one of them: \S+LAYOUT__0__STREAM"),
        ("LAYOUT__2__STREAM", "x", "counted from 0 to 1"),
        ("LAYOUT__1__STREEM", "x", r"layout\.1\.streem: no such setting here; did you mean stream"),
        ("LAYOUT__0__ALLOWED_ROOTS", "/mnt", r"layout\.0\.allowed_roots"),
    ],
)
def test_a_setting_in_the_environment_that_has_no_place_is_an_error(
    monkeypatch, variable, value, fix
):
    monkeypatch.setenv(f"RANKAAE_STREAM_{variable}", value)
    with pytest.raises(ConfigurationError, match=fix):
        load_profile("iss")


def test_a_list_in_the_environment_that_is_no_json_says_how_to_write_one(monkeypatch):
    monkeypatch.setenv("RANKAAE_STREAM_LAYOUT__ALLOWED_ROOTS", "/mnt")
    with pytest.raises(ConfigurationError, match="lists and tables are JSON, such as"):
        load_profile("qas")


@pytest.mark.parametrize(
    ("top", "bottom", "where"),
    [
        ("provisonal_interval = 1.0", "", "provisonal_interval.*mean provisional_interval"),
        ("", "[layuot]\nkind = 'step'", "layuot: no such setting here; did you mean layout"),
        ("", "nod = 'x'", "tiled.nod"),
        ("provisional_interval = 0.1", "", "provisional_interval"),
        ("device = 'tpu'", "", "device"),
        ("", "[normalization]\nnorm2 = inf", "normalization.norm2"),
        ("", "[normalization]\npre1 = nan", "normalization.pre1"),
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
