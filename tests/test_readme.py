"""The README does what it says."""

import re

import pytest


@pytest.fixture(scope="module")
def readme(root):
    return (root / "README.md").read_text(encoding="utf-8")


def blocks(readme, language):
    return re.findall(rf"```{language}\n(.*?)```", readme, flags=re.DOTALL)


def test_the_first_screen_shows_the_two_commands_and_where_the_result_is(readme):
    first = "\n".join(readme.splitlines()[:45])
    assert "pip install . && rankaae-stream demo" in first
    assert "pip install -e '.[test]' && pytest" in first
    assert "RE.subscribe(stream)" in first
    assert "Where is my result?" in first


def test_ci_calls_exactly_the_readmes_test_command(readme, root):
    pattern = re.search(r"grep -m1 -E \"(.*?)\" README.md", (root / ".ci" / "run").read_text())[1]
    assert len(re.findall(pattern, readme, flags=re.MULTILINE)) == 1


def test_the_examples_run_as_they_stand(readme, server, tmp_path, monkeypatch, capsys):
    from rankaae_stream.simulate import Beamline, scan, series

    monkeypatch.setenv("RANKAAE_STREAM_TILED_API_KEY", server.api_key)
    monkeypatch.setenv("RANKAAE_STREAM_TILED__URI", server.uri)
    monkeypatch.setenv("RANKAAE_STREAM_SPOOL", str(tmp_path))
    session, reading, *_ = blocks(readme, "python")
    names = {}
    exec(session, names)
    stream = names["stream"]
    try:
        names["RE"](scan(Beamline(dwell=0.0), series("Fe")[2], quick=True))
        assert stream.wait_idle(60)
    finally:
        assert stream.close() == 0
    exec(reading.replace("http://127.0.0.1:8000", server.uri), names)
    names["results"].context.http_client.close()
    printed = capsys.readouterr().out
    assert "'value': " in printed
    assert str(stream.last.estimate("oxidation_state").value)[:6] in printed


def test_the_example_for_arrays_runs_as_it_stands(readme, root, monkeypatch, capsys):
    monkeypatch.chdir(root)
    (example,) = [block for block in blocks(readme, "python") if "import infer" in block]
    exec(example, {})
    assert re.search(
        r"Estimate\(name='oxidation_state', value=(2\.9|3\.0)", capsys.readouterr().out
    )
