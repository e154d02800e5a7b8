"""The shipped profiles, start-up snippets and the guide's examples work as they are."""

import re

import pytest

from rankaae_stream import resources
from rankaae_stream.layouts.plugged import GROUP
from rankaae_stream.profile import load_profile


@pytest.mark.parametrize("name", ["sim", "iss", "qas", "bmm", "tes", "generic"])
def test_each_profile_says_what_to_change_and_publishes_valid_documents(name):
    text = (resources.folder("profiles") / f"{name}.toml").read_text()
    assert re.search("change", text, re.IGNORECASE)
    assert load_profile(name).name == name


@pytest.mark.parametrize(
    "snippet", sorted(resources.folder("profiles").glob("startup/*.py")), ids=lambda path: path.stem
)
def test_a_startup_snippet_subscribes_once(snippet, monkeypatch, tmp_path):
    class Engine:
        subscribed = 0

        def subscribe(self, callback):
            self.subscribed += 1

    monkeypatch.setenv("RANKAAE_STREAM_TILED_API_KEY", "secret")
    monkeypatch.setenv("RANKAAE_STREAM_SPOOL", str(tmp_path))
    monkeypatch.setenv("RANKAAE_STREAM_TILED__URI", "http://127.0.0.1:9")
    session = {"RE": Engine()}
    times = 2 if snippet.stem == "queueserver" else 1
    for _ in range(times):
        exec(snippet.read_text(), session)
    try:
        assert session["RE"].subscribed == 1
        assert session["rankaae"].status().enabled
    finally:
        session["rankaae"].close(1.0)


def test_the_tiled_client_profile_opens_the_results(server, tmp_path, monkeypatch):
    import tiled.profiles
    from tiled.client import from_profile

    text = (resources.folder("profiles") / "tiled" / "rankaae-stream.yml").read_text()
    server.client("processed")
    (tmp_path / "one.yml").write_text(text.replace("http://127.0.0.1:8000", server.uri))
    monkeypatch.setattr(tiled.profiles, "paths", [tmp_path])
    tiled.profiles.load_profiles.cache_clear()
    try:
        results = from_profile("rankaae-stream", api_key=server.api_key)
        assert results.path_parts == ["processed"]
        results.context.http_client.close()
    finally:
        tiled.profiles.load_profiles.cache_clear()


def test_the_guides_profiles_load_as_they_stand(tmp_path):
    text = (resources.folder("profiles") / "README.md").read_text()
    layout, fly, run, energy, plugged = re.findall(r"```toml\n(.*?)```", text, flags=re.DOTALL)
    assert f'[project.entry-points."{GROUP}"]' in plugged
    path = tmp_path / "mine.toml"
    path.write_text(layout + run + energy)
    profile = load_profile(path)
    assert profile.run.build().unwanted({"plan_name": "list_scan"}) == ""
    assert profile.run.build().unwanted({"plan_name": "list_scan", "spectrometer": "johann"})
    path.write_text('name = "fly"\n' + fly + run)
    assert load_profile(path).build_layout().allowed_roots == ("/data/2025",)
