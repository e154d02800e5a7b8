"""What profiles/service ships: it names what the program has, and its own tools accept it."""

import configparser
import json
import re
import shutil
import subprocess
import tomllib

import pytest
from service_states import FULL, NOW
from typer.main import get_command

from rankaae_stream.commands.cli import app
from rankaae_stream.service.metrics import MESSAGES, OTHER, REFUSALS, RESTARTS, ServiceMetrics

LABELS = {"reason": {*MESSAGES, *REFUSALS, *RESTARTS, OTHER}, "outcome": {"answered", "refused"}}


@pytest.fixture(scope="module")
def expressions(rules, panels):
    """Everything that Prometheus is asked for, by where it stands."""
    asked = {rule["alert"]: rule["expr"] for rule in rules}
    for panel in panels:
        for target in panel["targets"]:
            asked[f"{panel['title']} {target['refId']}"] = target["expr"]
    return asked


def test_every_expression_asks_for_what_is_exported(expressions):
    _, text = ServiceMetrics(lambda: FULL, clock=lambda: NOW).page()
    exported = set(re.findall(r"^(\w+)[ {]", text.decode(), flags=re.MULTILINE))
    for where, expression in expressions.items():
        names = set(re.findall(r"\b(?:xas|process)_\w+", expression))
        assert names <= exported, where
        assert names or "up{" in expression, where
        for label, value in re.findall(r'(reason|outcome)[!=~]+"([^"]*)"', expression):
            assert set(value.split("|")) <= LABELS[label], where


def test_every_alarm_says_what_and_what_then(rules):
    assert len({rule["alert"] for rule in rules}) == len(rules) > 10
    for rule in rules:
        assert rule["labels"]["severity"] in ("page", "ticket")
        assert set(rule["annotations"]) == {"summary", "description"}


def test_panels_lie_beside_each_other_and_have_numbers_of_their_own(panels):
    assert len({panel["id"] for panel in panels}) == len(panels)
    cells = [
        (panel["gridPos"]["x"] + right, panel["gridPos"]["y"] + down)
        for panel in panels
        for right in range(panel["gridPos"]["w"])
        for down in range(panel["gridPos"]["h"])
    ]
    assert len(set(cells)) == len(cells)
    assert max(x for x, _ in cells) == 23  # Grafana has 24 columns
    assert {panel["type"] for panel in panels} == {"stat", "timeseries"}
    assert {panel["datasource"]["uid"] for panel in panels} == {"${source}"}


def test_grafana_knows_every_key_of_the_dashboard(shipped):
    """By Grafana's own types, generated from its schema: what they do not know is left out."""
    pytest.importorskip("grafana_foundation_sdk", reason="pip install grafana-foundation-sdk")
    from grafana_foundation_sdk.cog import plugins
    from grafana_foundation_sdk.cog.encoder import JSONEncoder
    from grafana_foundation_sdk.models.dashboard import Dashboard

    plugins.register_default_plugins()  # the panels' and Prometheus' own options

    def read(told):
        return json.loads(JSONEncoder(sort_keys=True).encode(Dashboard.from_json(told)))

    ours = json.loads((shipped / "dashboard.json").read_text(encoding="utf-8"))
    assert list(left_out(ours, read(ours))) == []
    ours["panels"][5]["fieldConfig"]["defaults"]["unitt"] = "s"
    assert list(left_out(ours, read(ours))) == ["/panels/5/fieldConfig/defaults/unitt"]


def left_out(ours, theirs, path=""):
    """Yield where something of ours is missing or another value."""
    if isinstance(ours, dict) and isinstance(theirs, dict):
        for key, value in ours.items():
            yield from left_out(value, theirs.get(key), f"{path}/{key}")
    elif isinstance(ours, list) and isinstance(theirs, list) and len(ours) == len(theirs):
        for number, (one, other) in enumerate(zip(ours, theirs, strict=True)):
            yield from left_out(one, other, f"{path}/{number}")
    elif ours != theirs:
        yield path


@pytest.fixture(scope="module")
def unit(shipped):
    read = configparser.RawConfigParser(strict=False)
    read.optionxform = str
    read.read(shipped / "rankaae-stream@.service", encoding="utf-8")
    return read


def test_the_unit_restarts_watches_and_ends_the_supervisor_in_order(unit):
    service = dict(unit["Service"])
    assert (service["Type"], service["WatchdogSec"]) == ("notify", "30")
    assert service["Restart"] == "on-failure"
    # Its worker must not be told to end, and its death must not end it.
    assert (service["KillMode"], service["OOMPolicy"]) == ("mixed", "continue")
    assert int(service["TimeoutStopSec"]) > 3 * 30
    for key in ("NoNewPrivileges", "PrivateTmp", "RestrictSUIDSGID"):
        assert service[key] == "yes"
    assert service["ProtectSystem"] == "strict"


def test_systemd_accepts_the_unit(shipped, tmp_path):
    if shutil.which("systemd-analyze") is None:
        pytest.skip("no systemd-analyze")
    name = "rankaae-stream@.service"
    text = (shipped / name).read_text(encoding="utf-8")
    # It looks for the program, too.
    text = re.sub(r"^ExecStart=\S+", "ExecStart=/bin/true", text, flags=re.MULTILINE)
    (tmp_path / name).write_text(text, encoding="utf-8")
    done = subprocess.run(
        ["systemd-analyze", "verify", str(tmp_path / "rankaae-stream@iss.service")],
        capture_output=True,
        text=True,
        check=False,
    )
    # Other units of this machine are read along, and may be wrong.
    assert "rankaae-stream@" not in done.stdout + done.stderr
    assert done.returncode == 0, done.stderr


def test_the_container_installs_extras_that_there_are_and_runs_as_nobody_special(root, shipped):
    text = (shipped / "Containerfile").read_text(encoding="utf-8")
    project = tomllib.loads((root / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    (extras,) = re.findall(r"\.whl\)\[([\w,]+)\]", text)
    assert set(extras.split(",")) <= set(project["optional-dependencies"])
    for image in re.findall(r"^FROM \S+/python:(\S+)-slim", text, flags=re.MULTILINE):
        assert project["requires-python"] == f">={image}"
    made, used = re.findall(r"useradd --uid (\d+)|^USER (\d+)", text, flags=re.MULTILINE)
    assert made[0] == used[1] != "0"
    assert "VOLUME /state\n" in text
    assert "RANKAAE_STREAM_SPOOL=/state/" in text


def test_unit_and_container_ask_for_health_where_the_service_tells_it(unit, shipped):
    container = (shipped / "Containerfile").read_text(encoding="utf-8")
    (entry,) = re.findall(r"^ENTRYPOINT (.*)$", container, flags=re.MULTILINE)
    words = json.loads(entry)
    port = words[words.index("--port") + 1]
    assert f"http://127.0.0.1:{port}/healthz" in container
    assert f"PORT={port}" in (shipped / "rankaae-stream@.service").read_text(encoding="utf-8")
    assert f"127.0.0.1:{port}" in (shipped / "alerts.yml").read_text(encoding="utf-8")


def test_unit_and_container_start_it_with_options_that_there_are(unit, shipped):
    container = (shipped / "Containerfile").read_text(encoding="utf-8")
    heads = container + (shipped / "rankaae-stream@.service").read_text(encoding="utf-8")
    (entry,) = re.findall(r"^ENTRYPOINT (.*)$", container, flags=re.MULTILINE)
    examples = re.findall(r"--from zmq --address \S+", heads)
    assert len(examples) == 2
    words = [
        *unit["Service"]["ExecStart"].split()[1:],
        *json.loads(entry)[1:],
        *(word for example in examples for word in example.split()),
    ]
    serve = get_command(app).commands["serve"]
    known = {option for parameter in serve.params for option in parameter.opts}
    assert words.count("serve") == 2
    assert {word for word in words if word.startswith("--")} <= known
