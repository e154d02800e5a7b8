"""No key and no password in an address: it would be published, logged and shown."""

import json
import logging

import pytest
from typer.testing import CliRunner

from rankaae_stream.addresses import has_secret, read_server
from rankaae_stream.commands.cli import app
from rankaae_stream.dashboard.proxy import Target
from rankaae_stream.errors import ConfigurationError
from rankaae_stream.past.archive import open_archive
from rankaae_stream.past.selection import Selection
from rankaae_stream.profile import Profile, load_profile
from rankaae_stream.results.tiled_sink import TiledSink

SECRET = "hunter2"
WITH_SECRET = [
    f"http://user:{SECRET}@127.0.0.1:9",
    f"http://{SECRET}@127.0.0.1:9",
    f"HTTPS://:{SECRET}@tiled.example",
    f"http:/user:{SECRET}@127.0.0.1:9",
    f"http:\\\\user:{SECRET}@127.0.0.1:9",
    f"//user:{SECRET}@127.0.0.1:9",
    f"http://user%3A{SECRET}%40127.0.0.1:9",
    f"http://user%253A{SECRET}%2540127.0.0.1:9",
    f"http://us\ner:{SECRET}@127.0.0.1:9",
    f"http://127.0.0.1:9?api_key={SECRET}",
    f"http://127.0.0.1:9?API_KEY={SECRET}",
    f"http://127.0.0.1:9/x?node=raw&Api-Key={SECRET}",
    f"http://127.0.0.1:9?%61pi_key={SECRET}",
    f"http://127.0.0.1:9?api%5fkey%3d{SECRET}",
    f"http://127.0.0.1:9?%2561pi_key={SECRET}",
    f"http://127.0.0.1:9;token={SECRET}",
    f"http://127.0.0.1:9#raw&access_token={SECRET}",
    f"http://127.0.0.1:9#Token={SECRET}",
    f"http://127.0.0.1:9?x=1&PASSWORD={SECRET}",
    f"http://127.0.0.1:9?client_secret={SECRET}",
    f"http://127.0.0.1:9?auth={SECRET}",
]
WITHOUT = [
    "http://127.0.0.1:8000",
    "http://[::1]:8000/api/v1/metadata/raw",
    "https://tiled.example/at/ui/browse/a@b#raw",
    "https://tiled.example/?author=me&monkey=1",
]


def refused(ask, *words: str) -> None:
    """Whether it is refused without the secret, in the message and in what caused it."""
    with pytest.raises(ConfigurationError) as caught:
        ask()
    error: BaseException | None = caught.value
    assert all(word in str(error) for word in words), str(error)
    while error is not None:
        assert SECRET not in repr(error) + str(error)
        error = error.__cause__ or error.__context__


@pytest.mark.parametrize("address", WITH_SECRET)
def test_an_address_with_a_secret_is_refused_wherever_it_is_given(
    address, tmp_path, monkeypatch, caplog
):
    caplog.set_level(logging.DEBUG)
    fix = "export RANKAAE_STREAM_TILED_API_KEY="
    assert has_secret(address)
    refused(lambda: load_profile("sim", tiled={"uri": address}), "tiled.uri", fix)
    refused(lambda: Profile(name="x", layout={"kind": "step"}, tiled={"uri": address}), fix)
    path = tmp_path / "own.toml"
    path.write_text(f"name = 'x'\n[layout]\nkind = 'step'\n[tiled]\nuri = {json.dumps(address)}\n")
    refused(lambda: load_profile(path), "tiled.uri", fix)
    refused(lambda: Target(address), fix)
    refused(lambda: TiledSink(address, "processed", "k"), fix)
    refused(lambda: open_archive(address, Selection(), ("", None)), "export TILED_API_KEY=")
    monkeypatch.setenv("RANKAAE_STREAM_TILED__URI", address)
    refused(lambda: load_profile("sim"), "tiled.uri", fix)
    monkeypatch.delenv("RANKAAE_STREAM_TILED__URI")
    monkeypatch.setenv("RANKAAE_STREAM_TILED", json.dumps({"uri": address}))
    refused(lambda: load_profile("sim"), "tiled.uri", fix)
    assert SECRET not in caplog.text


@pytest.mark.parametrize(
    ("command", "addresses"),
    [
        (["dashboard", "--no-browser", "--tiled"], (0, 9, 13)),
        (["replay"], (0, 9, 13)),
        # It checks everything else, too, each time.
        pytest.param(["check", "sim", "--run"], (9,), marks=pytest.mark.slow),
    ],
    ids=["dashboard", "replay", "check"],
)
def test_a_command_neither_takes_nor_repeats_it(command, addresses):
    for number in addresses:
        done = CliRunner().invoke(app, [*command, WITH_SECRET[number]])
        assert done.exit_code == 1
        assert "contains a key or a password" in " ".join(done.output.split())
        assert SECRET not in done.output


@pytest.mark.parametrize("command", [["spool"], ["spool", "send"], ["check", "sim"]])
def test_a_command_with_a_profile_neither_takes_nor_repeats_it(command, monkeypatch):
    monkeypatch.setenv("RANKAAE_STREAM_TILED__URI", WITH_SECRET[0])
    done = CliRunner().invoke(app, command)
    assert done.exit_code == 1
    assert "contains a key or a password" in " ".join(done.output.split())
    assert SECRET not in done.output


@pytest.mark.parametrize(
    ("settings", "where"),
    [
        ({"run": {"not_xas": [{"source": f"kafka://me:{SECRET}@broker:9092"}]}}, "run.not_xas"),
        ({"spool": f"s3://key:{SECRET}@bucket/spool"}, "spool"),
        (
            {"layout": {"kind": "no-such", "broker": [f"redis://:{SECRET}@db:6379"]}},
            "layout.broker",
        ),
        (
            {"models": {"Fe K": {"path": f"https://h?token={SECRET}", "id": "0"}}},
            "models.Fe K.path",
        ),
    ],
)
def test_no_other_setting_takes_one_either(settings, where):
    refused(lambda: load_profile("sim", **settings), where)


def test_a_wrong_setting_is_not_repeated_in_what_caused_the_error():
    refused(lambda: load_profile("sim", tiled={"api_key": SECRET}), "tiled.api_key")
    refused(lambda: load_profile("sim", tiled={"node": [SECRET]}), "tiled.node")


@pytest.mark.parametrize("address", WITHOUT)
def test_an_address_without_a_secret_is_taken(address):
    assert not has_secret(address)
    assert load_profile("sim", tiled={"uri": address}).tiled.uri == address


@pytest.mark.parametrize(
    "address",
    [
        "",
        "tiled.example",
        "ftp://h",
        "http://",
        "http://h:x",
        "http://[::1",
        "http://h:99999",
        "a b",
    ],
)
def test_what_is_no_address_of_a_server_says_how_to_write_one(address):
    for ask in (
        lambda: read_server(address, "KEY"),
        lambda: load_profile("sim", tiled={"uri": address}),
        lambda: Target(address),
    ):
        with pytest.raises(ConfigurationError, match=r"write it as http://HOST:8000"):
            ask()
