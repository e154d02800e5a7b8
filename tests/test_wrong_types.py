"""Wrong types and sizes at every entry: an answer, a refusal or a configuration error."""

import json
import os
import stat
from pathlib import Path

import msgpack
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rankaae_stream import infer
from rankaae_stream.addresses import read_server
from rankaae_stream.errors import ConfigurationError, ModelError, Refused
from rankaae_stream.files.athena import read_athena
from rankaae_stream.files.columns import read_columns
from rankaae_stream.files.resolve import path_of_uri, resolve
from rankaae_stream.inference import find_files, infer_file
from rankaae_stream.loading import open_foils
from rankaae_stream.model.card import ModelCard
from rankaae_stream.model.folder import checked_files
from rankaae_stream.past.in_files import read_runs
from rankaae_stream.past.selection import Selection
from rankaae_stream.profile import load_profile
from rankaae_stream.report import FoilShift
from rankaae_stream.spectra.foils import AcceptedFoil, FoilHistory

OURS = (Refused, ConfigurationError)
"""What may be raised; a `ModelError` is a configuration error."""

HUGE = 10**401
odd = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(10**18), 10**18)
    | st.floats(width=64)
    | st.text(max_size=8)
    | st.sampled_from([HUGE, -HUGE, 1e308, "²", "٣", "1" * 401, "", "\ud800", "\x00"]),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3)
    ),
    max_leaves=6,
)
"""A value of any type that JSON has."""
bounded = settings(max_examples=40, derandomize=True, deadline=None)


def ours(ask) -> object:
    """What is returned; nothing but our own errors may come out."""
    try:
        return ask()
    except OURS as error:
        return error


def changed(plain: object, places: list[int], value: object) -> object:
    """A copy of nested data in which the value at one place is another."""
    copy = json.loads(json.dumps(plain))
    at = copy
    while True:
        keys = list(at) if isinstance(at, dict) else range(len(at))
        key = keys[places.pop() % len(keys)] if places else next(iter(keys))
        below = at[key]
        if not places or not isinstance(below, dict | list) or not below:
            at[key] = value
            return copy
        at = below


@bounded
@given(odd, odd, st.text(max_size=4))
def test_an_athena_project_of_any_json(x, y, name):
    group = {"_h": "Athena project file", name: {"x": x, "y": y, "args": {"bkg_z": x, "label": y}}}
    ours(lambda: read_athena(json.dumps(group).encode()))
    ours(lambda: read_athena(json.dumps({"_h": "Athena project file", "g": x}).encode()))


@bounded
@given(st.dictionaries(st.sampled_from(["energy", "mu", "i0", "it", "x"]), st.text(max_size=6)))
def test_columns_of_any_name(choice):
    ours(lambda: read_columns(b"# energy mu\n7000 1\n7100 2\n7200 3\n", choice))


@pytest.mark.parametrize("column", ["²", "٣", "0", "-1", "1e3", "9" * 5000, "5+", "+", "\x00"])
def test_a_column_that_is_no_number_of_one_is_refused(column):
    with pytest.raises(Refused, match="energy"):
        read_columns(b"7000 1\n7100 2\n7200 3\n", {"energy": column, "mu": "2"})


@pytest.fixture(scope="module")
def card(root):
    """A shipped model's folder, and its card as plain data."""
    folder = sorted((root / "models").glob("fe-k/*"))[-1]
    return folder, json.loads((folder / "card.json").read_bytes())


@bounded
@given(value=odd, places=st.lists(st.integers(0, 30), min_size=1, max_size=4))
def test_a_card_with_one_wrong_value(card, value, places):
    text = json.dumps(changed(card[1], places, value))
    ours(lambda: ModelCard.from_bytes(text.encode()))


@pytest.mark.parametrize(
    "content",
    [b"[" * 100_000, b'{"schema": 2, "members": 1e999}', b"9" * 5000, b"[]", b"\xff", b""],
)
def test_a_card_that_is_none_is_a_model_error_and_its_hash_comes_first(content, tmp_path):
    with pytest.raises(ModelError):
        ModelCard.from_bytes(content)
    (tmp_path / "card.json").write_bytes(content)
    with pytest.raises(ModelError, match="has sha256"):
        checked_files(tmp_path, "0" * 64)


@pytest.mark.parametrize(
    "text", ["x = " + "9" * 5000, "x = " + "[" * 3000, "\x00", "x = 1e999999", "[[layout]]" * 1000]
)
def test_a_profile_that_cannot_be_read(text, tmp_path):
    (tmp_path / "own.toml").write_text(text)
    with pytest.raises(ConfigurationError, match=r"own\.toml"):
        load_profile(tmp_path / "own.toml")


@pytest.mark.parametrize("name", ["a" * 5000, "\x00", "~nobody-here/x", "/", ""])
def test_a_profile_of_any_name(name):
    with pytest.raises(ConfigurationError):
        load_profile(name)


@bounded
@given(
    st.sampled_from(["layout", "run", "energy", "tiled", "models", "spool", "device", "name"]), odd
)
def test_a_profile_with_any_value(key, value):
    ours(lambda: load_profile("sim", **{key: value}))


@pytest.mark.parametrize("value", ["[" * 100_000, '{"uri": ' * 3000, "9" * 5000, "[1"])
def test_a_setting_of_the_environment_of_any_text(value, monkeypatch):
    for variable in ("LAYOUT", "TILED", "RUN__XAS", "STOP_DEADLINE", "LAYOUT__" + "9" * 50):
        monkeypatch.setenv(f"RANKAAE_STREAM_{variable}", value)
        ours(lambda: load_profile("iss"))
        monkeypatch.delenv(f"RANKAAE_STREAM_{variable}")


@bounded
@given(item=odd, number=st.booleans())
def test_runs_of_any_documents(tmp_path_factory, item, number):
    folder = tmp_path_factory.getbasetemp()
    start = ["start", {"uid": "a", "time": 1.0, "x": item}]
    for content in (item, start, [start[0], item], ["event", {"descriptor": item, "data": item}]):
        path = folder / "odd.jsonl"
        path.write_text(json.dumps(start) + "\n" + json.dumps(content) + "\n")
        for run in read_runs(path):
            ours(lambda run=run: Selection.parse(since="2026-11-22").takes(run.start))


@pytest.mark.parametrize("kind", ["<f8", "O", "|V8", "", "f4,(", "{'a'", 5, None, [1]])
@pytest.mark.parametrize("data", [b"", b"12345678", "text", None])
def test_an_array_of_msgpack_of_any_kind(tmp_path, kind, data):
    for nd, shape in ((False, None), (True, [1]), (True, [-1, 2]), (True, "x")):
        array = {b"nd": nd, b"type": kind, b"data": data, b"shape": shape}
        path = tmp_path / "odd.msgpack"
        path.write_bytes(msgpack.packb(["start", {"uid": "a", "x": array}]))
        read_runs(path)


FOIL = AcceptedFoil("Fe K", "run", 1.0, 0, "transmission", FoilShift(0.1, 0.1, 0.1, "x", 0.0))
LINE = {
    "settings": "s",
    "result": "r",
    "foil": {
        **{key: getattr(FOIL, key) for key in ("edge", "run", "time", "sweep", "channel")},
        "shift": {"value": 0.1, "uncertainty": 0.1, "misfit": 0.1, "library": "x", "moved": 0.0},
    },
}


@bounded
@given(value=odd, places=st.lists(st.integers(0, 30), min_size=1, max_size=3))
def test_foils_with_one_wrong_value(tmp_path_factory, value, places):
    path = tmp_path_factory.getbasetemp() / "foils.jsonl"
    path.write_text(f"{json.dumps(changed(LINE, places, value))}\n{json.dumps(value)}\n", "utf-8")
    history = FoilHistory("s", 12.0, path)
    history.latest("Fe K", 2.0)
    history.earlier("r", "Fe K", 2.0)


def test_a_damaged_line_of_the_foils_leaves_the_others(tmp_path, caplog):
    path = tmp_path / "foils.jsonl"
    for key, wrong in (("edge", []), ("time", "x"), ("time", HUGE), ("sweep", 0.5), ("run", 5)):
        bad = {**LINE, "foil": {**LINE["foil"], key: wrong}}
        path.write_text(f"{json.dumps(bad)}\n{'[' * 9000}\n{json.dumps(LINE)}\n")
        assert FoilHistory("s", 12.0, path).latest("Fe K", 2.0) == FOIL


@bounded
@given(st.sampled_from([5, 0, 26.0, True, [], {}, b"Fe", "5", "Xx", "\x00", "K" * 5000]))
def test_an_element_of_any_type_is_refused(element):
    energy = np.linspace(7000.0, 7300.0, 50)
    for given_as in ({"element": element}, {"element": "Fe", "shell": element}):
        report = infer(energy, np.zeros(50), **given_as)
        assert report.refusal is not None


@pytest.mark.parametrize(
    "uri",
    ["file://[::1/x", "file:///a\x00b", "file://" + "a" * 9000, "http://x/y", "s3://k:pw@b/x"],
)
def test_an_address_of_a_file_of_any_form(uri):
    found = ours(lambda: resolve("/", path_of_uri(uri), {}, ["/allowed"]))
    assert isinstance(found, Refused)
    assert found.name == "outside_roots"
    assert "pw" not in str(found)


@bounded
@given(st.text(max_size=20))
def test_an_address_of_a_server_of_any_form(text):
    ours(lambda: read_server(text, "KEY"))
    ours(lambda: read_server(f"http://{text}", "KEY"))


@pytest.mark.parametrize("name", ["a" * 5000, "\x00", "**x", "a**", "[", "*[", "..*", "?" * 300])
def test_a_file_of_any_name_is_refused_by_name(name, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for found in find_files([name]):
        (answer,) = infer_file(found)
        assert answer.report.refusal.name == "file"


@bounded
@given(st.text(max_size=12))
def test_a_time_of_any_text(text):
    ours(lambda: Selection.parse(since=text, until=text))
    ours(lambda: Selection.parse(where=[f"a={text}"]).takes({"a": 1}))


@pytest.mark.parametrize("text", ["9999-12-31", "0001-01-01", "9999-12-31T23:59:59+00:00"])
def test_a_time_beyond_every_clock_is_told(text):
    ours(lambda: Selection.parse(until=text))


def modes(folder: Path) -> dict[str, int]:
    return {path.name: stat.S_IMODE(path.stat().st_mode) for path in folder.rglob("*")}


def test_the_foils_beside_the_spool_are_for_their_owner_only(tmp_path):
    before = os.umask(0)
    try:
        profile = load_profile("sim", spool=tmp_path / "deep" / "spool")
        open_foils(profile).add("r", FOIL)
        assert modes(tmp_path) == {"deep": 0o700, "spool": 0o700, "foils.jsonl": 0o600}
        path = tmp_path / "deep" / "spool" / "foils.jsonl"
        path.chmod(0o644)
        open_foils(profile)
        assert modes(tmp_path)["foils.jsonl"] == 0o600, "those of an earlier version too"
    finally:
        os.umask(before)
