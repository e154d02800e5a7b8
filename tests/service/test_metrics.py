"""What Prometheus reads: every value of the state, bounded labels, no uid."""

import ast
import re
from collections import Counter

import pytest
from prometheus_client.parser import text_string_to_metric_families
from service_states import FULL, NOW

from rankaae_stream.service.metrics import MESSAGES, OTHER, REFUSALS, ServiceMetrics
from rankaae_stream.service.state import ServiceState


def read(state, *runs):
    metrics = ServiceMetrics(lambda: state, clock=lambda: NOW)
    for seconds in runs:
        metrics.observe(seconds)
    _, text = metrics.page()
    families = list(text_string_to_metric_families(text.decode()))
    samples = [sample for family in families for sample in family.samples]
    values = {(s.name, tuple(sorted(s.labels.items()))): s.value for s in samples}
    return {
        (name, *(f"{k}={v}" for k, v in labels)): value for (name, labels), value in values.items()
    }


def test_every_value_of_the_state_is_told_in_base_units():
    found = read(FULL)
    expected = {
        ("xas_documents_received_total", "name=event"): 40,
        ("xas_results_total", "outcome=answered", "reason="): 9,
        ("xas_results_total", "outcome=refused", "reason=coverage"): 2,
        ("xas_unsent_results",): 3,
        ("xas_oldest_unsent_seconds",): 60,
        ("xas_last_document_timestamp_seconds",): NOW - 5,
        ("xas_last_result_timestamp_seconds",): NOW - 20,
        ("xas_source_lag_messages",): 7,
        ("xas_source_up",): 1,
        ("xas_messages_refused_total", "reason=pickle"): 2,
        ("xas_waiting_documents",): 4,
        ("xas_oldest_waiting_seconds",): 3,
        ("xas_open_runs",): 1,
        ("xas_kept_bytes",): 12345,
        ("xas_quarantined_runs_total",): 1,
        ("xas_worker_restarts_total", "reason=crash"): 2,
        ("xas_worker_up",): 1,
        ("xas_worker_resident_bytes",): 300_000_000,
        ("xas_ready",): 1,
        ("xas_model_info", "edge=Fe K", "model=fe-k 2026.11"): 1,
    }
    assert {key: found.get(key) for key in expected} == expected
    (about,) = [key for key in found if key[0] == "xas_build_info"]
    assert {"profile=iss", "profile_hash=ab12"} < set(about)


def test_what_never_happened_has_no_time_and_counts_from_zero():
    found = read(ServiceState("iss", "ab12"))
    names = {key[0] for key in found}
    assert not names & {
        *("xas_last_document_timestamp_seconds", "xas_last_result_timestamp_seconds"),
        "xas_source_lag_messages",
    }
    # A series that begins with 1 has had no increase, and no alarm.
    assert found["xas_worker_restarts_total", "reason=crash"] == 0
    assert found["xas_results_total", "outcome=refused", "reason=internal_error"] == 0
    assert found["xas_oldest_unsent_seconds",] == found["xas_ready",] == 0


def test_unknown_names_of_a_document_a_reason_or_a_refusal_become_one_series():
    strange = {f"name {number}\n{{}}": 1 for number in range(1000)}
    state = ServiceState(
        "iss", "ab12", documents=strange, messages_refused=Counter(strange), refused=strange
    )
    found = read(state)
    assert found["xas_documents_received_total", f"name={OTHER}"] == 1000
    assert found["xas_messages_refused_total", f"reason={OTHER}"] == 1000
    assert found["xas_results_total", "outcome=refused", f"reason={OTHER}"] == 1000
    assert len(found) == len(read(ServiceState("iss", "ab12")))


def test_a_run_is_counted_by_its_seconds_and_not_below_zero():
    found = read(FULL, 0.3, 20.0, -4.0)
    assert found["xas_run_latency_seconds_count",] == 3
    assert found["xas_run_latency_seconds_sum",] == pytest.approx(20.3)
    assert found["xas_run_latency_seconds_bucket", "le=0.5"] == 2


def test_the_state_is_read_at_each_scrape_and_not_before():
    asked = []
    metrics = ServiceMetrics(lambda: asked.append(None) or FULL, clock=lambda: NOW)
    assert not asked
    metrics.page()
    metrics.page()
    assert len(asked) == 2


def test_every_refusal_of_the_program_is_a_label_of_its_own(root):
    names = set()
    for path in (root / "rankaae_stream").rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            called = isinstance(node, ast.Call) and getattr(node.func, "id", "")
            if called in ("Refusal", "Refused", "cls") and len(node.args) == 2:
                name = node.args[0]
                if isinstance(name, ast.Constant) and isinstance(name.value, str):
                    names.add(name.value)
    assert {"internal_error", "coverage"} < names
    assert names <= set(REFUSALS)


def test_every_reason_for_which_a_bus_refuses_a_message_is_a_label_of_its_own(root):
    names = set()
    for path in (root / "rankaae_stream/service").glob("*.py"):
        text = path.read_text(encoding="utf-8")
        names |= set(re.findall(r'(?:NotADocument\(|refused\[)"(\w+)"', text))
    assert {"pickle", "expired"} < names
    assert names <= set(MESSAGES)
