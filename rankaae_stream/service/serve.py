"""Run a service: a bus, a worker, and a port at which it is watched."""

import contextlib
import dataclasses
import signal
import threading
import time
from collections.abc import Callable, Generator, Sequence

from rankaae_stream.errors import ConfigurationError
from rankaae_stream.printable import get_logger
from rankaae_stream.profile import Profile
from rankaae_stream.service import notify
from rankaae_stream.service.health import HealthServer, problems
from rankaae_stream.service.metrics import ServiceMetrics
from rankaae_stream.service.source import Source
from rankaae_stream.service.state import ServiceState
from rankaae_stream.service.supervisor import Limits, Supervisor

__all__ = ["serve"]

logger = get_logger(__name__)

BEAT = 5.0
"""Seconds between two words to systemd, which waits for 30."""


def serve(
    profile: Profile,
    source: Source,
    *,
    port: int = 0,
    limits: Limits | None = None,
    drain: float = 30.0,
    stopping: threading.Event | None = None,
    json_logs: bool = False,
    again: Callable[[], Profile] | None = None,
    told: Callable[[Sequence[str], str], object] = lambda _problems, _address: None,
) -> int:
    """Answer what a bus brings until a signal, or until the bus cannot be used.

    Parameters
    ----------
    profile : Profile
    source : Source
    port : int
        On this machine, for health and metrics; 0 takes a free one.
    limits : Limits, optional
    drain : float
        Seconds to answer and send what was taken once it ends.
    stopping : threading.Event, optional
        Ends it, as SIGTERM and Ctrl-C do.
    json_logs : bool
        Of the worker; the caller's own are its own.
    again : callable, optional
        Reads the profile anew: one that has changed is named, and used after a restart.
    told : callable, optional
        Receives what is wrong, and the address of `HealthServer`, at the start and every few
        seconds.

    Returns
    -------
    int
        How many results stay in the spool.

    Raises
    ------
    ConfigurationError
        When profile, models, key, port or bus are wrong.
    """
    stopping = stopping or threading.Event()
    wrong: list[ConfigurationError] = []
    seconds: list[Callable[[float], None]] = []
    supervisor = Supervisor(
        profile,
        limits,
        latency=lambda value: [observe(value) for observe in seconds],
        json_logs=json_logs,
    )

    def state() -> ServiceState:
        return dataclasses.replace(
            supervisor.state(),
            source=source.name,
            source_failing=source.failing(),
            source_note=source.note(),
            lag=source.lag(),
            messages_refused=dict(source.refused),
        )

    metrics = ServiceMetrics(state)
    seconds.append(metrics.observe)
    reader = threading.Thread(
        target=_read,
        args=(source, supervisor, stopping, wrong),
        name="rankaae-stream bus",
        daemon=True,  # one that never comes back from its bus must not keep the service
    )
    left = 0
    try:
        with HealthServer(state, metrics, port) as health:
            supervisor.wait_ready()
            with _signals(stopping):
                reader.start()
                notify.ready(source.name)
                while not stopping.is_set():
                    found = [*problems(state(), time.time()), *_changed(profile, again)]
                    told(found, health.address)
                    notify.alive("; ".join(found) or "all is well")
                    stopping.wait(min(BEAT, notify.watchdog() or BEAT))
            notify.stopping()
            deadline = time.monotonic() + drain
            reader.join(drain)
            supervisor.wait_idle(max(deadline - time.monotonic(), 0.0))
    finally:
        stopping.set()
        left = supervisor.close(drain)
    if wrong:
        raise wrong[0]
    return left


def _changed(profile: Profile, again: Callable[[], Profile] | None) -> list[str]:
    """Return in one sentence that the profile is another one by now; nothing where it is not."""
    if again is None:
        return []
    try:
        same = again().published() == profile.published()
    except ConfigurationError as error:
        return [f"the profile has changed and is wrong now; the one of the start is used: {error}"]
    return [] if same else ["the profile has changed; restart the service to use it"]


def _read(
    source: Source,
    supervisor: Supervisor,
    stopping: threading.Event,
    wrong: list[ConfigurationError],
) -> None:
    try:
        source.run(supervisor, stopping)
    except ConfigurationError as error:
        wrong.append(error)
    except BaseException as error:
        logger.exception("the bus ended")
        wrong.append(ConfigurationError(f"{source.name} ended: {error}"))
    finally:
        stopping.set()


@contextlib.contextmanager
def _signals(stopping: threading.Event) -> Generator[None]:
    """Set the event at SIGTERM and Ctrl-C, where this is the main thread."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return

    def stop(*_: object) -> None:
        stopping.set()

    before = {kind: signal.signal(kind, stop) for kind in (signal.SIGTERM, signal.SIGINT)}
    try:
        yield
    finally:
        for kind, handler in before.items():
            signal.signal(kind, handler)
