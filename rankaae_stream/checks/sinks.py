"""Check what every sink must do: take each result once and complete, whatever came before.

For a sink of your own, in pytest::

    @pytest.mark.parametrize("check", sink_checks(MySink, read), ids=lambda check: check.name)
    def test_my_sink(check):
        check.ask()
"""

import uuid
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import replace
from typing import Any

from rankaae_stream.checks.base import Broken, Check
from rankaae_stream.checks.rehearsal import SAMPLE, example_scan
from rankaae_stream.errors import Refusal
from rankaae_stream.loading import default_analysis
from rankaae_stream.report import Report, Result
from rankaae_stream.results.compose import ResultRun, compose
from rankaae_stream.results.sinks import Sink
from rankaae_stream.results.tiled_sink import TiledSink
from rankaae_stream.server.tiled_server import EmbeddedServer
from rankaae_stream.spectrum import Origin

__all__ = ["PROBE", "example_result", "sink_checks", "tiled_sink_checks"]

PROBE = "a probe of rankaae-stream check"
"""Sample name of the results that are sent here."""

Read = Callable[[str], Iterable[tuple[str, Mapping[str, Any]]]]


def sink_checks(make: Callable[[], Sink], read: Read, area: str = "sink") -> list[Check]:
    """Return the contract of a sink, as checks that can be run in any order.

    Parameters
    ----------
    make : callable
        Returns a new sink for the same place, as another session would have it.
    read : callable
        Returns the documents that are there of a result, by its uid.
    area : str
        Of the checks.
    """
    contract = _Contract(make, read)
    return [Check(area, name, ask) for name, ask in contract.checks().items()]


def tiled_sink_checks(server: EmbeddedServer) -> list[Check]:
    """Return the contract for Tiled, on a server of our own."""

    def make() -> Sink:
        return TiledSink(server.uri, "processed", server.api_key)

    return sink_checks(make, lambda uid: server.client("processed")[uid].documents())


def example_result(state: float | None, uid: str | None = None) -> ResultRun:
    """Return a result of Fe2O3 with this oxidation state, or a refusal if it is None."""
    analysis, scan = default_analysis(), example_scan("a result")
    mu = scan.signals["fluorescence"] / scan.signals["i0"]
    report = analysis.process_columns(scan.energy, mu, SAMPLE.edge, Origin())
    if state is None:
        refusal = Refusal("coverage", "a refusal, for a change")
        report = analysis.refuse(refusal, scan.energy, Origin(), edge=SAMPLE.edge)
    report = _with_state(report, state)
    model = analysis.models[str(SAMPLE.edge)].card
    uid = uid or str(uuid.uuid4())
    raw = {"uid": str(uuid.uuid5(uuid.UUID(uid), "raw")), "time": 1.75e9, "sample_name": PROBE}
    grid = model.edge.e0 + model.grid.relative()
    result = Result(report, uid, raw, 1.75e9 + 60, model.described, grid)
    return compose(result, {"name": "check"}, ("sample_name",))


def _with_state(report: Report, state: float | None) -> Report:
    estimates = tuple(
        replace(estimate, value=state)
        if estimate.name == "oxidation_state" and state is not None
        else estimate
        for estimate in report.estimates
    )
    return replace(report, estimates=estimates)


class _Contract:
    def __init__(self, make: Callable[[], Sink], read: Read) -> None:
        self._make = make
        self._read = read

    def checks(self) -> dict[str, Callable[[], str]]:
        return {
            "a result arrives complete": self.whole,
            "a refusal arrives like any result": self.refusal,
            "a result that is sent again changes nothing": self.twice,
            "provisional results and the final result are one run": self.growing,
            "a run that was interrupted is written again": self.interrupted,
        }

    def whole(self) -> str:
        run = example_result(2.5)
        for sink in self._sinks(1):
            sink.final(run)
        self._found(run)
        return "start, descriptor, event and stop"

    def refusal(self) -> str:
        run = example_result(None)
        for sink in self._sinks(1):
            sink.final(run)
        self._found(run)
        return run.stop["reason"]

    def twice(self) -> str:
        run = example_result(2.5)
        for sink in self._sinks(2):
            sink.final(run)
        before = self._found(run)
        for sink in self._sinks(2):
            sink.final(run)
            sink.provisional(run)
        after = self._found(run)
        if str(before) != str(after):  # a number that is missing equals no other
            raise Broken("a result that was sent again has changed there")
        return "by the same sink and by another, final and provisional"

    def growing(self) -> str:
        run = example_result(3.0)
        for sink in self._sinks(1):
            for state in (1.0, 2.0):
                sink.provisional(example_result(state, run.uid))
            sink.final(run)
        found = self._found(run)
        numbers = [doc["seq_num"] for name, doc in found if name == "event"]
        if numbers != [1, 2, 3]:
            raise Broken(f"three events were sent, and the numbers {numbers} are there")
        return "three events of one run"

    def interrupted(self) -> str:
        run = example_result(3.0)
        broken, other = self._make(), self._make()
        try:
            for state in (1.0, 2.0):
                broken.provisional(example_result(state, run.uid))
            # The spool tells the next session what a killed one has left growing.
            if (abandon := getattr(other, "abandon", None)) is not None:
                abandon(run.uid, None)
            other.final(run)
        finally:
            broken.close()
            other.close()
        self._found(run)
        return "begun by one session, ended by the next"

    def _sinks(self, count: int) -> Iterator[Sink]:
        """Yield `count` sinks for the same place, one after the other."""
        for _ in range(count):
            sink = self._make()
            try:
                yield sink
            finally:
                sink.close()

    def _found(self, run: ResultRun) -> list[tuple[str, Mapping[str, Any]]]:
        """Return the documents that are there of a result, once they equal what was sent."""
        found = list(self._read(run.uid))
        names = [name for name, _ in found]
        for name in ("start", "descriptor", "stop"):
            if names.count(name) != 1:
                raise Broken(f"the result has {names.count(name)} {name} documents, not one")
        documents = {name: doc for name, doc in found if name != "event"}
        events = [doc for name, doc in found if name == "event"]
        start = {key: documents["start"].get(key) for key in run.start}
        if start != run.start:
            wrong = sorted(key for key in run.start if start[key] != run.start[key])
            raise Broken(f"the start document differs in {', '.join(wrong)}")
        if documents["stop"]["summary"] != run.stop["summary"]:
            raise Broken("the summary of the stop document is not the one that was sent")
        if not events or documents["stop"]["num_events"] != {"primary": len(events)}:
            raise Broken(
                f"the stop document counts {documents['stop']['num_events']} events, there are "
                f"{len(events)}"
            )
        for key in ("oxidation_state", "refusal"):
            last, sent = events[-1]["data"][key], run.event["data"][key]
            if last != sent and not (last != last and sent != sent):  # noqa: PLR0124 - NaN
                raise Broken(f"the last event has {key} = {last}, {sent} was sent")
        return found
