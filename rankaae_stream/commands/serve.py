"""Run `rankaae-stream serve`: answer what a bus brings, until Ctrl-C."""

import dataclasses
from collections.abc import Sequence
from pathlib import Path
from typing import Literal

from rich.console import Console

from rankaae_stream.errors import ConfigurationError
from rankaae_stream.profile import Profile, load_profile
from rankaae_stream.service.logs import use_json_logs
from rankaae_stream.service.serve import serve
from rankaae_stream.service.source import Source

__all__ = ["Bus", "run_serve"]


@dataclasses.dataclass(frozen=True, slots=True)
class Bus:
    """Which bus a service reads, as a person names it.

    Attributes
    ----------
    kind : {"zmq", "kafka", "tiled"}
    address : str
        ``host:port`` of a 0MQ proxy or of Kafka's servers; ``http://host:8000#raw`` of Tiled.
    topics : tuple of str
        Of Kafka.
    group : str
        Kafka's consumer group; ``xas-<profile>`` by default.
    first : {"latest", "earliest"}
        What a new group, or a Tiled that was never read, gives: what comes from now on, or all.
    settings : Path or None
        A file with the settings of Kafka's connection, such as ``/etc/bluesky/kafka.yml``.
    prefix : str
        Of 0MQ messages.
    allow_pickle : bool
        Of 0MQ messages from this machine.
    curve : (Path, Path) or None
        Certificates of 0MQ: our secret key, and the proxy's public key.
    """

    kind: Literal["zmq", "kafka", "tiled"]
    address: str = ""
    topics: tuple[str, ...] = ()
    group: str = ""
    first: Literal["latest", "earliest"] = "latest"
    settings: Path | None = None
    prefix: str = ""
    allow_pickle: bool = False
    curve: tuple[Path, Path] | None = None


def run_serve(
    console: Console,
    profile: str,
    bus: Bus,
    *,
    port: int = 0,
    drain: float = 30.0,
    json_logs: bool = False,
) -> bool:
    """Serve a profile, and say how things are whenever that changes.

    Parameters
    ----------
    console : Console
    profile : str
        A shipped profile's name or a TOML file.
    bus : Bus
    port : int
        On this machine, for health and metrics; 0 takes a free one.
    drain : float
        Seconds to finish in once it ends.
    json_logs : bool
        Log one JSON object a line, and print nothing else.

    Returns
    -------
    bool
        Whether all results were sent.

    Raises
    ------
    ConfigurationError
        When profile, models, key, port or bus are wrong.
    """
    settings = load_profile(profile)
    settings.api_key()
    if json_logs:
        use_json_logs(settings.name)
    source = open_bus(bus, settings)
    before: Sequence[str] | None = None

    def told(problems: Sequence[str], address: str) -> None:
        nonlocal before
        if json_logs:
            return
        if before is None:
            console.print(f"{settings.name} is served from {source.name}", highlight=False)
            console.print(f"how it is: {address}/status; Ctrl-C ends it", highlight=False)
            console.print(f"results go to {settings.tiled.node!r} at {settings.tiled.uri}")
        if problems != (before or []):
            for problem in problems:
                console.print(problem, style="yellow", markup=False, highlight=False)
            if not problems:
                console.print("all is well again", style="green")
        before = problems

    left = serve(
        settings,
        source,
        port=port,
        drain=drain,
        json_logs=json_logs,
        again=lambda: load_profile(profile),
        told=told,
    )
    if left and not json_logs:
        console.print(
            f"{left} results stay in {settings.spool.expanduser()}; the next service sends them",
            style="yellow",
            highlight=False,
        )
    return not left


def open_bus(bus: Bus, profile: Profile) -> Source:
    """Make the bus; its library is imported here and not before.

    Raises
    ------
    ConfigurationError
        When its address or settings are wrong, or its library is not installed.
    """
    folder = profile.spool.expanduser() / "bus"
    try:
        if bus.kind == "zmq":
            from rankaae_stream.service.zmq import ZmqBus

            return ZmqBus(
                bus.address or "127.0.0.1:5578",
                prefix=bus.prefix,
                allow_pickle=bus.allow_pickle,
                curve=bus.curve,
            )
        if bus.kind == "kafka":
            from rankaae_stream.service.kafka import KafkaBus
            from rankaae_stream.service.kafka_settings import read_settings

            servers, settings = read_settings(bus.settings)
            if not (bus.address or servers):
                raise ConfigurationError("name Kafka's servers: --address host:9092, or --settings")
            if not bus.topics:
                raise ConfigurationError(
                    "name Kafka's topic: --topic iss.bluesky.runengine.documents"
                )
            return KafkaBus(
                bus.address or servers,
                bus.topics,
                bus.group or f"xas-{profile.name}",
                first=bus.first,
                folder=folder,
                settings=settings,
            )
        from rankaae_stream.service.tiled_bus import TiledBus
    except ImportError as error:
        extra = {"zmq": "service", "kafka": "service,kafka"}.get(bus.kind, "service")
        raise ConfigurationError(
            f"{error.name} is not installed: pip install 'rankaae-stream[{extra}]'"
        ) from error
    if not bus.address:
        raise ConfigurationError("name the catalog of raw runs: --address http://host:8000#raw")
    return TiledBus(bus.address, profile.own_server, folder, first=bus.first)
