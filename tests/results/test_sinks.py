"""A callable receives every result as one run."""

from typing import Any

from composing import composed
from event_model import DocumentNames, schema_validators

from rankaae_stream.results.sinks import CallableSink


def test_a_callable_gets_one_run_of_all_events():
    got: list[tuple[str, Any]] = []
    sink = CallableSink(lambda name, doc: got.append((name, doc)))
    sink.provisional(composed(1, state=1.0))
    sink.provisional(composed(1, state=2.0))
    sink.final(composed(1, state=3.0))
    sink.final(composed(2))
    names = [name for name, _ in got]
    assert names[:6] == ["start", "descriptor", "event", "event", "event", "stop"]
    assert names[6:] == ["start", "descriptor", "event", "stop"]
    events = [doc for name, doc in got[:6] if name == "event"]
    assert [event["seq_num"] for event in events] == [1, 2, 3]
    assert [event["data"]["oxidation_state"] for event in events] == [1.0, 2.0, 3.0]
    assert len({event["uid"] for event in events}) == 3
    assert got[5][1]["num_events"] == {"primary": 3}
    for name, doc in got:
        schema_validators[DocumentNames[name]].validate(doc)
