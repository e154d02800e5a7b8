"""The README does what it says."""

import csv
import io
import re
import shlex

import httpx
import numpy as np
import pytest
from tiled.queries import Key
from waiting import PATIENCE

from rankaae_stream.results.compose_series import PURPOSE as SERIES


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


@pytest.fixture(scope="module")
def session(readme, server, tmp_path_factory):
    """The names of the session's example after one scan, and the result's uid."""
    from rankaae_stream.simulate import Beamline, scan, series

    names, uids = {}, []
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("RANKAAE_STREAM_TILED_API_KEY", server.api_key)
        patch.setenv("RANKAAE_STREAM_TILED__URI", server.uri)
        patch.setenv("RANKAAE_STREAM_SPOOL", str(tmp_path_factory.mktemp("spool")))
        exec(blocks(readme, "python")[0], names)
    stream = names["stream"]
    try:
        names["RE"].subscribe(lambda _, doc: uids.append(doc["uid"]), "start")
        names["RE"](scan(Beamline(dwell=0.0), series("Fe")[2], quick=True))
        assert stream.wait_idle(PATIENCE)
    finally:
        assert stream.close() == 0
    found = server.client("processed").search(Key("start.original_run_uid") == uids[-1])
    return names, found.keys().last()


def test_a_result_is_read_by_tileds_client_and_as_a_bluesky_run(readme, session, server, capsys):
    names, uid = dict(session[0]), session[1]
    _, reading, as_a_run, *_ = blocks(readme, "python")
    exec(reading.replace("http://127.0.0.1:8000", server.uri), names)
    printed = capsys.readouterr().out
    value = names["stream"].last.estimate("oxidation_state").value
    assert "'value': " in printed
    assert str(value)[:6] in printed
    names["found"] = names["found"].search(Key("start.uid") == uid)
    exec(as_a_run, names)
    names["results"].context.http_client.close()
    assert names["events"]["oxidation_state"].values[-1] == pytest.approx(value)
    assert names["flat"].shape == names["residual"].shape == (256,)
    at = names["trend"]["uid"].tolist().index(uid)
    assert names["trend"]["value"][at] == pytest.approx(value)
    assert capsys.readouterr().out


def test_published_series_are_read_in_three_lines(readme, server, capsys):
    results = server.client("processed")
    start = {"purpose": SERIES, "time": 1.0, "sample_name": "charge", "group": {}}
    state = {"components": 2, "spectra": [{"uid": "a", "valence": 2.5}], "ends": ["a"]}
    stop = {"time": 2.0, "summary": state}
    results.create_container("series-of-the-readme", metadata={"start": start, "stop": stop})
    try:
        (example,) = [block for block in blocks(readme, "python") if "read_series" in block]
        exec(example, {"results": results})
    finally:
        results.delete_contents(["series-of-the-readme"], recursive=True, external_only=False)
    assert "charge 2 [nan nan nan] [2.5]" in capsys.readouterr().out


def test_a_result_is_read_as_csv_over_plain_http(readme, session, server):
    names, uid = session
    commands = [line for block in blocks(readme, "sh") for line in block.splitlines()]
    table, curves = (
        httpx.get(
            shlex.split(line)[1].replace("http://127.0.0.1:8000", server.uri).replace("UID", uid)
        )
        for line in commands
        if line.startswith("curl ")
    )
    rows = list(csv.DictReader(io.StringIO(table.text)))
    report = names["stream"].last
    assert float(rows[-1]["oxidation_state"]) == pytest.approx(
        report.estimate("oxidation_state").value
    )
    assert rows[-1]["complete"] == "True"
    found = np.loadtxt(io.StringIO(curves.text), delimiter=",")
    np.testing.assert_allclose(found[0], report.curves.flat, equal_nan=True)


def test_the_example_for_arrays_runs_as_it_stands(readme, root, monkeypatch, capsys):
    monkeypatch.chdir(root)
    (example,) = [block for block in blocks(readme, "python") if "import infer" in block]
    exec(example, {})
    assert re.search(
        r"Estimate\(name='oxidation_state', value=(2\.9|3\.0)", capsys.readouterr().out
    )
