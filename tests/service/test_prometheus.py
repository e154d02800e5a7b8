"""What Prometheus itself makes of the alarm rules and of the dashboard's expressions."""

import json
import shutil
import subprocess
import time
import urllib.error
import urllib.parse
import urllib.request
from dataclasses import replace

import pytest
import yaml
from postgres import free_port
from service_states import FULL
from waiting import PATIENCE, wait_until

from rankaae_stream.service.health import HealthServer
from rankaae_stream.service.metrics import ServiceMetrics

SERVICE = "127.0.0.1:9108"
RATE_INTERVAL = "4s"
"""What Grafana would put in for a scrape each second."""


def tool(name):
    found = shutil.which(name)
    if found is None:
        pytest.skip(f"no {name}: apt-get install prometheus")
    return found


def check(*command):
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.fixture(scope="module")
def alerts(shipped):
    return shipped / "alerts.yml"


@pytest.fixture(scope="module")
def alarms(rules):
    return {rule["alert"]: rule for rule in rules}


@pytest.fixture(scope="module")
def shown(panels):
    """What each panel asks for, by its title and letter."""
    return {
        f"{panel['title']} {target['refId']}": target["expr"]
        .replace("$service", ".*")
        .replace("$__rate_interval", RATE_INTERVAL)
        for panel in panels
        for target in panel["targets"]
    }


def test_rules_and_panels_can_be_read(alerts, shown, tmp_path):
    panels = tmp_path / "panels.yml"  # a panel's expression is checked as a rule
    recorded = [{"record": f"r{n}", "expr": text} for n, text in enumerate(shown.values())]
    panels.write_text(yaml.safe_dump({"groups": [{"name": "panels", "rules": recorded}]}))
    check(tool("promtool"), "check", "rules", str(alerts), str(panels))


DAY = 24 * 60
CASES = {
    # alert: series by name and one label, a sample a minute; quiet and ringing at which minute;
    # what the one who is called reads.
    "XasDown": (
        {"up": "1x9 0x30"},
        (11, 14),
        "{service} does not answer; runs are not analysed",
    ),
    "XasNotReady": (
        {"xas_ready": "1x9 0x30"},
        (14, 16),
        "{service} answers no runs",
    ),
    "XasResultsNotSent": (
        {"xas_oldest_unsent_seconds": "0x9 60+60x60"},
        (19, 22),
        "{service}: results wait for Tiled since 13m 0s",
    ),
    "XasNothingTaken": (
        {"xas_last_document_timestamp_seconds": "0x60", "xas_source_lag_messages": "0x19 5x60"},
        (19, 26),
        "{service}: messages wait on the bus, and none was taken for 26m 0s",
    ),
    "XasNoDocuments": (
        {"process_start_time_seconds": f"0x{DAY + 60}"},
        (DAY - 1, DAY + 1),
        "{service}: no document for 1d 0h 1m 0s",
    ),
    "XasBehindTheBus": (
        {"xas_source_lag_messages": "500x9 1100+100x60"},
        (35, 41),
        "{service}: 2700 messages wait on the bus, and they become more",
    ),
    "XasBehindItsDocuments": (
        {"xas_oldest_waiting_seconds": "0+60x30"},
        (9, 12),
        "{service}: documents wait for the worker since 12m 0s",
    ),
    "XasSlow": (
        {
            'xas_run_latency_seconds_bucket{le="60"}': "0x120",
            'xas_run_latency_seconds_bucket{le="120"}': "0+1x120",
            'xas_run_latency_seconds_bucket{le="+Inf"}': "0+1x120",
        },
        (10, 20),
        "{service}: one run in ten has its result later than 1m 54s after its end",
    ),
    "XasWorkerRestarts": (
        {
            'xas_worker_restarts_total{reason="crash"}': "0x9 1 2 3x60",
            'xas_worker_restarts_total{reason="memory"}': "0+1x80",
        },
        (10, 20),
        "{service}: the worker died 3 times in 30 min",
    ),
    "XasRunPutAside": (
        {"xas_quarantined_runs_total": "0x9 1x90"},
        (9, 11),
        "{service}: a run ended the worker twice and is put aside",
    ),
    "XasFault": (
        {'xas_results_total{outcome="refused", reason="crash"}': "0x9 1x90"},
        (9, 11),
        "{service}: spectra were refused for a fault of this program",
    ),
    "XasMostlyRefused": (
        {
            'xas_results_total{outcome="answered", reason=""}': "0+1x20 20x120",
            'xas_results_total{outcome="refused", reason="coverage"}': "0x20 0+2x120",
            'xas_results_total{outcome="refused", reason="not_xas"}': "0+9x140",
        },
        (22, 60),
        "{service}: 79.59% of the results are refusals",
    ),
    "XasMessagesExpired": (
        # Counted at once when it begins: there was no 0 before.
        {
            'xas_messages_refused_total{reason="expired"}': "_x9 7x30",
            "process_start_time_seconds": "0x40",
        },
        (8, 10),
        "{service}: Kafka dropped 7 messages before they were read",
    ),
    "XasStrangeMessages": (
        {'xas_messages_refused_total{reason="pickle"}': "0x9 0+2x60"},
        (11, 30),
        "{service}: 40 messages of the last hour were no documents",
    ),
}
LABELS = {"XasFault": {"outcome": "refused"}, "XasMessagesExpired": {"reason": "expired"}}
"""Labels that an alarm has besides those of the scrape."""


def series(name):
    """Add the labels that a scrape gives to a name, with or without labels of its own."""
    name, _, own = name.partition("{")
    labels = [f'instance="{SERVICE}"', 'job="rankaae-stream"', *filter(None, [own.rstrip("}")])]
    return f"{name}{{{', '.join(labels)}}}"


def test_every_alarm_is_tried(alarms):
    assert CASES.keys() == alarms.keys()


@pytest.mark.parametrize("alarm", CASES)
def test_an_alarm_rings_when_it_should_and_not_before(alerts, alarms, tmp_path, alarm):
    inputs, (quiet, ringing), summary = CASES[alarm]
    description = alarms[alarm]["annotations"]["description"]
    ring = {
        "exp_labels": {
            "instance": SERVICE,
            "job": "rankaae-stream",
            **alarms[alarm]["labels"],
            **LABELS.get(alarm, {}),
        },
        "exp_annotations": {
            "summary": summary.format(service=SERVICE),
            "description": description.replace("{{ $labels.instance }}", SERVICE),
        },
    }
    tried = {
        "interval": "1m",
        "input_series": [
            {"series": series(name), "values": values} for name, values in inputs.items()
        ],
        "alert_rule_test": [
            {"eval_time": f"{quiet}m", "alertname": alarm, "exp_alerts": []},
            {"eval_time": f"{ringing}m", "alertname": alarm, "exp_alerts": [ring]},
        ],
    }
    file = tmp_path / "tests.yml"
    file.write_text(yaml.safe_dump({"rule_files": [str(alerts)], "tests": [tried]}))
    check(tool("promtool"), "test", "rules", str(file))


@pytest.fixture(scope="module")
def prometheus(alerts, tmp_path_factory):
    """A Prometheus that reads twice a second a service with something of everything."""
    program, folder = tool("prometheus"), tmp_path_factory.mktemp("prometheus")
    begin = time.time()

    def state():
        now = time.time()
        more = int(now - begin)
        return replace(
            FULL,
            began=begin,
            last_document=now - 5,
            last_result=now - 20,
            oldest_waiting=now - 3,
            oldest_unsent=now - 60,
            documents={"start": more, "event": 10 * more},
            answered=more,
            refused={"coverage": more, "a reason of a newer version": more},
            restarts={"crash": more},
            messages_refused={"pickle": more},
        )

    metrics = ServiceMetrics(state)
    with HealthServer(state, metrics) as service:
        config = {
            "global": {"scrape_interval": "500ms", "evaluation_interval": "1s"},
            "rule_files": [str(alerts)],
            "scrape_configs": [
                {
                    "job_name": "rankaae-stream",
                    "static_configs": [
                        {"targets": [urllib.parse.urlsplit(service.address).netloc]}
                    ],
                }
            ],
        }
        (folder / "prometheus.yml").write_text(yaml.safe_dump(config))
        port = free_port()
        with subprocess.Popen(
            [
                program,
                f"--config.file={folder / 'prometheus.yml'}",
                f"--storage.tsdb.path={folder / 'data'}",
                f"--web.listen-address=127.0.0.1:{port}",
            ],
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        ) as process:
            try:

                def ask(what, **parameters):
                    metrics.observe(1.5)
                    query = urllib.parse.urlencode(parameters)
                    address = f"http://127.0.0.1:{port}/api/v1/{what}?{query}"
                    try:
                        with urllib.request.urlopen(address, timeout=PATIENCE) as answer:
                            return json.load(answer)["data"]
                    except urllib.error.URLError:  # not up yet
                        return None

                yield ask
            finally:
                process.terminate()


@pytest.mark.services
@pytest.mark.slow
def test_each_panel_shows_what_the_service_says(prometheus, shown):
    found = {}

    def all_shown():
        for title in shown.keys() - found.keys():
            answer = prometheus("query", query=shown[title])
            if answer and answer["result"]:
                found[title] = answer["result"]
        return found.keys() == shown.keys()

    wait_until(all_shown, "each panel to show something")
    assert [one["value"][1] for one in found["Ready A"]] == ["1"]
    assert [one["value"][1] for one in found["Runs put aside A"]] == ["1"]
    assert 4 < float(found["Since the last document A"][0]["value"][1]) < PATIENCE
    reasons = {one["metric"].get("reason") for one in found["Results by outcome A"]}
    assert reasons == {None, "coverage", "other"}  # no reason where it was answered
    median = float(found["From a run's end to its result A"][0]["value"][1])
    assert 1.0 < median < 2.5  # the ends of the bin
    models = {one["metric"]["model"] for one in found["Version B"]}
    assert models == {"fe-k 2026.11"}


@pytest.mark.services
@pytest.mark.slow
def test_prometheus_takes_the_rules_and_rings(prometheus, alarms):
    def ringing():
        answer = prometheus("alerts")
        return {one["labels"]["alertname"] for one in (answer or {}).get("alerts", [])}

    wait_until(lambda: "XasWorkerRestarts" in ringing(), "the alarm of restarts to ring")
    (group,) = prometheus("rules")["groups"]
    assert {rule["name"] for rule in group["rules"]} == alarms.keys()
    assert [rule["name"] for rule in group["rules"] if rule["health"] != "ok"] == []
