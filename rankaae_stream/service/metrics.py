"""Tell Prometheus how a service is: its state at each scrape, and how long runs took.

No value here is kept: a collector reads the `ServiceState` when somebody asks. Names have the
prefix ``xas_`` and base units. Labels come from the sets below, whatever a document says; a
run's uid is in the log and in no label, because each would be a time series of its own.
"""

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping
from time import time

from prometheus_client import CollectorRegistry, Histogram, ProcessCollector, generate_latest
from prometheus_client.metrics_core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from rankaae_stream.printable import printable
from rankaae_stream.resources import code_version
from rankaae_stream.service.health import problems
from rankaae_stream.service.state import ServiceState

__all__ = ["ServiceMetrics"]

CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"

OTHER = "other"
"""Label of whatever is in none of the sets."""

DOCUMENTS = (
    *("start", "descriptor", "event", "event_page", "bulk_events", "stop"),
    *("resource", "datum", "datum_page", "stream_resource", "stream_datum"),
)
REFUSALS = (
    *("bad_signal", "coverage", "crash", "energy_order", "file", "internal_error"),
    *("missing_fields", "missing_file", "no_edge", "no_foil", "no_model", "no_overlap"),
    *("normalization", "not_xas", "outside_roots", "overrun", "unknown_element", "wrong_spec"),
)
MESSAGES = ("depth", "expired", "format", "name", "pickle", "size", "unreadable")
RESTARTS = ("crash", "memory", "stalled")

SECONDS = (0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 120, 300, 600, 3600)
"""Upper ends of the bins of a run's latency: a quick answer takes a few tenths of a second, a
late file 20 s, a hanging run is killed after 120 s, and a server may be away for an hour."""


class ServiceMetrics:
    """The metrics of one service, in a registry of their own.

    Parameters
    ----------
    state : callable
        Returns the state now; called in the thread that asks.
    clock : callable
        Seconds since the epoch.

    Attributes
    ----------
    registry : CollectorRegistry
    """

    def __init__(
        self, state: Callable[[], ServiceState], *, clock: Callable[[], float] = time
    ) -> None:
        self.registry = CollectorRegistry()
        self._latency = Histogram(
            "xas_run_latency_seconds",
            "From a run's stop document to its last result",
            buckets=SECONDS,
            registry=self.registry,
        )
        self.registry.register(_State(state, clock))
        ProcessCollector(registry=self.registry)  # of the supervisor: files, memory, begin

    def observe(self, seconds: float) -> None:
        """Count a run that was answered `seconds` after its stop document."""
        self._latency.observe(max(seconds, 0.0))  # clocks of two machines differ

    def page(self) -> tuple[str, bytes]:
        """Return the content type and the text of all metrics, as Prometheus reads it."""
        return CONTENT_TYPE, generate_latest(self.registry)


class _State(Collector):
    """Make metrics of the state at this moment."""

    def __init__(self, state: Callable[[], ServiceState], clock: Callable[[], float]) -> None:
        self._state, self._clock = state, clock
        self._version = code_version()

    def describe(self) -> Iterable[Metric]:
        """Return nothing: the registry need not read the state to know the names."""
        return ()

    def collect(self) -> Iterator[Metric]:
        """Yield every metric but the latency."""
        state, now = self._state(), self._clock()
        yield from _about(state, self._version)
        yield _gauge("ready", "1 where the service is ready", not problems(state, now))
        yield _gauge("worker_up", "1 while the worker runs", state.worker == "running")
        yield _gauge("worker_resident_bytes", "Memory of the worker", state.memory)
        yield _counter(
            "worker_restarts", "Restarts of the worker", "reason", state.restarts, RESTARTS
        )
        yield from _taken(state, now)
        yield from _answered(state, now)

    __call__ = collect


def _about(state: ServiceState, version: str) -> Iterator[Metric]:
    info = GaugeMetricFamily(
        "xas_build_info",
        "Version of the program, and the settings that it answers with",
        labels=("version", "profile", "profile_hash"),
    )
    info.add_metric([version, printable(state.profile), state.profile_hash], 1)
    yield info
    models = GaugeMetricFamily("xas_model_info", "The model of an edge", labels=("edge", "model"))
    for edge, model in sorted(state.models.items()):
        models.add_metric([printable(edge), printable(model)], 1)
    yield models


def _taken(state: ServiceState, now: float) -> Iterator[Metric]:
    """Yield what is known of the bus and of the documents on the disk."""
    yield _gauge("source_up", "1 while documents can come", not state.source_failing)
    if state.lag is not None:
        yield _gauge("source_lag_messages", "Messages that wait on the bus", state.lag)
    yield _counter(
        "messages_refused",
        "Messages that were no documents, or that the bus had dropped (expired)",
        "reason",
        state.messages_refused,
        MESSAGES,
    )
    yield _counter("documents_received", "Documents", "name", state.documents, DOCUMENTS)
    if state.last_document:
        name, text = "last_document_timestamp_seconds", "When the last document was taken"
        yield _gauge(name, text, state.last_document)
    yield _gauge("waiting_documents", "Documents kept and not handled yet", state.waiting)
    name, text = "oldest_waiting_seconds", "For how long the oldest of them waits"
    yield _gauge(name, text, _age(state.oldest_waiting, now))
    yield _gauge("open_runs", "Runs that have begun and not ended", state.open_runs)
    yield _gauge("kept_bytes", "Documents on the disk, of runs not ended", state.kept_bytes)
    yield CounterMetricFamily(
        "xas_quarantined_runs", "Runs put aside: the worker died of them", state.quarantined
    )


def _answered(state: ServiceState, now: float) -> Iterator[Metric]:
    results = CounterMetricFamily(
        "xas_results", "Results; the reason of a refusal", labels=("outcome", "reason")
    )
    results.add_metric(["answered", ""], state.answered)
    for reason, count in _within(state.refused, REFUSALS).items():
        results.add_metric(["refused", reason], count)
    yield results
    if state.last_result:
        name, text = "last_result_timestamp_seconds", "When the last result was made"
        yield _gauge(name, text, state.last_result)
    yield _gauge("unsent_results", "Final results in the spool", state.unsent)
    name, text = "oldest_unsent_seconds", "For how long the oldest of them waits"
    yield _gauge(name, text, _age(state.oldest_unsent, now))


def _age(moment: float, now: float) -> float:
    return max(now - moment, 0.0) if moment else 0.0


def _gauge(name: str, text: str, value: float) -> GaugeMetricFamily:
    return GaugeMetricFamily(f"xas_{name}", text, float(value))


def _counter(
    name: str, text: str, label: str, counts: Mapping[str, int], known: Iterable[str]
) -> CounterMetricFamily:
    family = CounterMetricFamily(f"xas_{name}", text, labels=(label,))
    for value, count in _within(counts, known).items():
        family.add_metric([value], count)
    return family


def _within(counts: Mapping[str, int], known: Iterable[str]) -> dict[str, int]:
    """Return the counts of all known labels, also those at 0, and the sum of the others.

    A series that begins at 0 has its first increase seen; one that begins at 1 has not.
    """
    within = Counter(dict.fromkeys((*known, OTHER), 0))
    for name, count in tuple(counts.items()):
        within[name if name in within else OTHER] += count
    return dict(within)
