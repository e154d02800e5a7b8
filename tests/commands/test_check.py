"""`rankaae-stream check`: the shipped profiles pass, and what is wrong is told with its fix."""

import json
import os
import re

import pytest
from rich.console import Console
from typer.testing import CliRunner

from rankaae_stream import resources
from rankaae_stream.checks import models as model_checks
from rankaae_stream.checks import profile as profile_checks
from rankaae_stream.checks.base import run_checks
from rankaae_stream.checks.online import online_checks
from rankaae_stream.checks.profile import check_profile
from rankaae_stream.checks.rehearsal import example_scan
from rankaae_stream.checks.sinks import PROBE
from rankaae_stream.commands.check import run_check
from rankaae_stream.commands.cli import app
from rankaae_stream.layouts.step import StepLayout
from rankaae_stream.model import runtime
from rankaae_stream.model.folder import newest_models
from rankaae_stream.profile import load_profile

PROFILES = sorted(path.stem for path in resources.folder("profiles").glob("*.toml"))
FIELDS = """
name = "mine"
[layout]
energy = ["mono"]
i0 = ["I0"]
it = ["It"]
fluorescence = ["det_[1-4]_roi"]
"""


@pytest.fixture
def profile(tmp_path):
    """The path of a profile with this text."""

    def write(text):
        path = tmp_path / "mine.toml"
        path.write_text(text)
        return path

    return write


@pytest.fixture
def without_sink(monkeypatch):
    """The sink's contract knows nothing of a profile; test_contracts asks it once for all."""
    monkeypatch.setattr(profile_checks, "_of_sink", lambda server: iter(()))


@pytest.fixture
def of_profile_only(without_sink, monkeypatch):
    """Of the shipped models, which the profile does not change, one is enough."""
    newest = {"fe-k": newest_models()["fe-k"]}
    monkeypatch.setattr(model_checks, "newest_models", lambda: dict(newest))


def verdicts(findings):
    return {f"{one.area}: {one.name}": one for one in findings}


def failed(findings):
    return [one for one in findings if one.verdict == "failed"]


@pytest.mark.slow
@pytest.mark.usefixtures("without_sink")
@pytest.mark.parametrize("name", PROFILES)
def test_a_shipped_profile_passes_where_there_is_no_beamline(name, capsys):
    findings = list(check_profile(name))
    assert failed(findings) == []
    areas = [one.area for one in findings]
    assert len([one for one in findings if one.area.startswith("layout")]) % 14 == 0
    assert areas.count("models") == 8
    open_questions = {one.area for one in findings if one.verdict == "not checked"}
    assert open_questions - {"profile"} == {"tiled", "run"}
    for one in findings:
        if one.verdict == "not checked":
            assert one.fix, "what would check it"
    assert capsys.readouterr() == ("", ""), "nothing but findings"


@pytest.mark.services
def test_the_command_needs_nothing_but_this_machine(tmp_path):
    environment = {"COLUMNS": "100", "RANKAAE_STREAM_SPOOL": str(tmp_path / "spool")}
    done = CliRunner().invoke(app, ["check", "tes"], env=environment)
    assert done.exit_code == 0, done.output
    for words in ("sink\nok", "5 of 5 checks", "14 of 14 checks", "--online", "0 failed"):
        assert words in done.output.replace(" \n", "\n")
    assert not (tmp_path / "spool").exists(), "a look, and nothing made"


@pytest.mark.usefixtures("of_profile_only")
def test_one_json_object_a_line(capsys):
    assert run_check(Console(), "sim", as_json=True)
    lines = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert {line["verdict"] for line in lines} == {"ok", "not checked"}
    assert set(lines[0]) == {"area", "name", "verdict", "message", "fix", "data"}


def test_a_profile_that_does_not_load_is_one_failure_and_exit_status_1(profile):
    path = profile(FIELDS.replace("energy =", "enregy ="))
    done = CliRunner().invoke(app, ["check", str(path)], env={"COLUMNS": "300"})
    assert done.exit_code == 1
    assert "layout.enregy: no such setting here; did you mean energy?" in done.output
    assert "0 ok, 0 not checked, 1 failed" in done.output


@pytest.mark.usefixtures("of_profile_only")
def test_any_profile_is_tried_by_its_own_names(profile):
    text = FIELDS + (
        '[layout.limits]\nit = { low = 1, high = 5 }\n[run]\nelement = ["md.sample.element"]\n'
        '[[run.xas]]\nplan = "xafs[12]*"\n"md.mode" = ["trans", "both"]\n'
        '[[run.not_xas]]\nreason = "a test"\nplan = "xafs?_test"\n'
    )
    findings = list(check_profile(profile(text)))
    assert failed(findings) == []
    found = verdicts(findings)
    assert "Fe K from md.sample.element" in found["profile: run.xas 1"].message
    assert "a test (plan 'xafsx_test')" in found["profile: run.not_xas 1"].message
    answered = found["layout (step): a whole scan is answered"].message
    assert re.search(r"transmission: Fe K, \+(2\.[89]|3\.0)", answered)
    assert re.search(r"fluorescence: Fe K, \+(2\.[89]|3\.0)", answered)


@pytest.mark.usefixtures("of_profile_only")
@pytest.mark.parametrize(
    ("old", "new", "where", "message", "fix"),
    [
        ('i0 = ["I0"]', "", "layout (step): fields", "layout.i0 is empty", "before the sample"),
        (
            '["It"]',
            '["I0"]',
            "layout (step): fields",
            "I0 is named by layout.i0 and layout.it",
            "cannot be both",
        ),
        (
            FIELDS[-1],
            '\n[[run.xas]]\nplan = "scan"\n[[run.not_xas]]\nplan = "s*"\n',
            "profile: run.xas 1",
            "is no XAS: plan 'scan'",
            "narrower",
        ),
        ('"mine"', '"mine"\nspool = "/dev/null/x"', "profile: spool", "cannot be written", "spool"),
        (
            FIELDS[-1],
            "\n[normalization]\nnorm2 = 300\n",
            "profile: models and normalisation",
            "take [normalization] out",
            "",
        ),
        (
            FIELDS[-1],
            '\n[models."Fe K"]\npath = "/nowhere"\nid = "00"\n',
            "models: fe-k",
            "cannot read /nowhere",
            "",
        ),
    ],
    ids=["no i0", "one field twice", "rules", "spool", "normalisation", "own model"],
)
def test_what_is_wrong_in_a_profile_is_named_with_the_fix(profile, old, new, where, message, fix):
    assert FIELDS.count(old) >= 1
    head, _, tail = FIELDS.rpartition(old)
    found = verdicts(check_profile(profile(head + new + tail)))
    assert found[where].verdict == "failed"
    assert message in found[where].message
    assert fix in found[where].fix


@pytest.mark.usefixtures("of_profile_only")
def test_folders_of_the_beamline_are_no_failure_and_a_file_is_one(tmp_path):
    (tmp_path / "data").mkdir()
    (tmp_path / "file").touch()
    roots = [str(tmp_path / "data"), str(tmp_path / "file"), "/nowhere"]
    settings = {"RANKAAE_STREAM_LAYOUT__ALLOWED_ROOTS": json.dumps(roots)}
    with pytest.MonkeyPatch.context() as patch:
        for key, value in settings.items():
            patch.setenv(key, value)
        found = verdicts(check_profile("qas"))
    told = [found[f"profile: layout.allowed_roots {root}"] for root in roots]
    assert [one.verdict for one in told] == ["ok", "failed", "not checked"]
    assert "not on this machine" in told[2].message


@pytest.mark.usefixtures("of_profile_only")
def test_two_runtimes_side_by_side_and_a_missing_gpu_are_told(profile, monkeypatch):
    real = runtime.importlib.metadata.version
    monkeypatch.setattr(
        runtime.importlib.metadata,
        "version",
        lambda name: "1.2.3" if name.startswith("onnxruntime") else real(name),
    )
    monkeypatch.setattr(
        runtime.onnxruntime, "get_available_providers", lambda: ["CPUExecutionProvider"]
    )
    found = verdicts(check_profile(profile('device = "cuda"\n' + FIELDS)))
    two = found["profile: ONNX Runtime"]
    assert two.verdict == "failed"
    assert "onnxruntime 1.2.3 and onnxruntime-gpu 1.2.3" in two.message
    assert two.fix.startswith("pip uninstall -y onnxruntime onnxruntime-gpu")
    assert "has no CUDA" in found["profile: device"].message
    assert found["layout (step): a whole scan is answered"].verdict == "not checked"


@pytest.mark.usefixtures("of_profile_only")
def test_documents_that_are_none_are_told_and_the_rest_is_checked_all_the_same(tmp_path):
    start = {"uid": "u", "time": 1.0}
    descriptor = {"uid": "d", "run_start": "u", "name": "primary", "time": 1.0}
    path = tmp_path / "odd.jsonl"
    path.write_text(f"{json.dumps(['start', start])}\n{json.dumps(['descriptor', descriptor])}\n")
    findings = list(check_profile("sim", run=str(path)))
    (problem,) = failed(findings)
    assert "KeyError: 'data_keys'" in problem.message
    (missing,) = failed(check_profile("sim", run=str(tmp_path / "none.jsonl")))
    assert "no archive" in missing.message


# ---- a layout of another package ---------------------------------------------------------


REHEARSE = """
    def rehearse(self, scan, folder):
        return self.inner.rehearse(scan, folder)
"""
FIELDS_TOO = """
    def fields(self):
        return self.inner.fields()
"""


@pytest.fixture
def crystal(profile, tmp_path, monkeypatch):
    """The path of a profile whose layout another package brings, with these methods more."""

    def install(methods):
        site = tmp_path / "site"
        info = site / "exotic_check-1.0.dist-info"
        info.mkdir(parents=True)
        (site / "exotic_check.py").write_text(
            "from rankaae_stream.layouts.step import StepLayout\n"
            "class Crystal:\n"
            "    def __init__(self, theta):\n"
            "        self.inner = StepLayout('primary', (theta,), ('I0',), ('It',))\n"
            "    def open(self, start):\n"
            f"        return self.inner.open(start)\n{methods}"
        )
        (info / "METADATA").write_text("Metadata-Version: 2.1\nName: exotic-check\nVersion: 1.0\n")
        (info / "entry_points.txt").write_text(
            "[rankaae_stream.layouts]\ncrystal = exotic_check:Crystal\n"
        )
        monkeypatch.syspath_prepend(site)
        monkeypatch.delitem(os.sys.modules, "exotic_check", raising=False)
        return profile('name = "mine"\n[layout]\nkind = "crystal"\ntheta = "bragg"\n')

    return install


@pytest.mark.usefixtures("of_profile_only")
@pytest.mark.parametrize("methods", [REHEARSE, ""], ids=["rehearses", "only opens"])
def test_a_layout_of_another_package_is_checked_too(crystal, methods):
    findings = [one for one in check_profile(crystal(methods)) if one.area.startswith("layout")]
    assert failed(findings) == []
    if methods:
        assert {one.verdict for one in findings} == {"ok"}
        assert len(findings) == 14
    else:
        assert [one.verdict for one in findings] == ["ok", "not checked"]
        assert "--run" in findings[1].fix
    assert findings[0].message == "the layout alone knows its fields"


@pytest.mark.usefixtures("of_profile_only")
def test_a_layout_of_another_package_that_lists_its_fields_is_equal_to_a_shipped_one(
    crystal, tmp_path
):
    path = crystal(REHEARSE + FIELDS_TOO)
    run = tmp_path / "run.jsonl"
    inner = StepLayout("primary", ("bragg",), ("ion_I0",), ("It",))
    documents = inner.rehearse(example_scan("recorded"), tmp_path)
    run.write_text("".join(f"{json.dumps(item)}\n" for item in documents))
    found = verdicts(check_profile(path, run=str(run)))
    fields = found["layout (crystal): fields"]
    assert fields.message == "first names: energy bragg, i0 I0, it It"
    named = found["run: layout (crystal)"]
    assert "no field of layout.i0 = ['I0'] is in stream primary" in named.message
    assert named.fix == "set layout.i0, perhaps to ['ion_I0']"


# ---- the profile's own Tiled -------------------------------------------------------------


@pytest.fixture
def online(server, monkeypatch):
    """Findings on the server of the tests, with these settings beside its address and key."""

    def ask(**settings):
        settings = {"TILED__URI": server.uri, "TILED_API_KEY": server.api_key, **settings}
        for key, value in settings.items():
            monkeypatch.setenv(f"RANKAAE_STREAM_{key}", value)
        return list(run_checks(online_checks(load_profile("sim"))))

    return ask


def test_online_a_probe_is_written_and_nothing_of_it_stays(server, online):
    before = sorted(server.client("processed"))
    reached, node, probe = online()
    assert [reached.verdict, node.verdict, probe.verdict] == ["ok"] * 3
    assert PROBE in probe.message
    assert sorted(server.client("processed")) == before


@pytest.mark.parametrize(
    ("settings", "message", "fix"),
    [
        ({"TILED_API_KEY": "wrong"}, "does not know the key", "set RANKAAE_STREAM_TILED_API_KEY"),
        ({"TILED_API_KEY": ""}, "export RANKAAE_STREAM_TILED_API_KEY", ""),
        ({"TILED__NODE": "prozessed"}, "no container 'prozessed'", "set node in [tiled]"),
        ({"TILED__URI": "http://127.0.0.1:9"}, "does not answer", ""),
    ],
    ids=["key", "no key", "node", "nobody"],
)
def test_online_what_is_wrong_is_told_once(online, settings, message, fix):
    first, *others = online(**settings)
    assert first.verdict == "failed"
    assert message in first.message
    assert fix in first.fix
    assert {one.verdict for one in others} == {"not checked"}


@pytest.mark.parametrize(
    "may_not", [("POST", "PUT", "PATCH"), ("DELETE",)], ids=["write", "delete"]
)
def test_online_a_key_that_lacks_a_scope_is_told(server, online, monkeypatch, may_not):
    import httpx

    real = httpx.HTTPTransport.handle_request

    def limited(self, request):
        if request.method not in may_not or "/stream/" in request.url.path:
            return real(self, request)
        detail = {"detail": "Not enough permissions. Requires scopes [...]."}
        return httpx.Response(401, json=detail, request=request)

    monkeypatch.setattr(httpx.HTTPTransport, "handle_request", limited)
    reached, node, probe = online()
    assert [reached.verdict, node.verdict, probe.verdict] == ["ok", "ok", "failed"]
    assert "does not let the key write" in probe.message
    if may_not == ("DELETE",):
        assert "cannot be removed" in probe.message
        assert "delete:node" in probe.fix
        monkeypatch.undo()
        uid = probe.message.split("uid ")[1].split(",")[0]
        server.client("processed").delete_contents([uid], recursive=True, external_only=False)


def test_online_nothing_is_written_beside_raw_runs(server, online):
    from bluesky_tiled_plugins import TiledWriter

    from rankaae_stream.simulate import series, steps
    from rankaae_stream.simulate.documents import Beam

    raw = server.client("raw")
    writer = TiledWriter(raw)
    for name, doc in steps.ophyd_async_step(Beam(series("Fe")[0]), name="beside a probe"):
        writer(name, dict(doc))
    before = len(raw)
    reached, node, probe = online(TILED__NODE="raw")
    assert [reached.verdict, node.verdict, probe.verdict] == ["ok", "failed", "not checked"]
    assert "set tiled.node" in node.fix
    assert len(raw) == before
