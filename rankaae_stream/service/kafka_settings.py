"""Read how a facility's Kafka is reached: its servers, and how to sign in.

The file is the one that the facility has, ``/etc/bluesky/kafka.yml`` at NSLS-II, or a TOML of
the same form. What its producers need is passed over. A password is taken from the environment
only, also where the file holds one.
"""

import os
import re
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Any, cast

from rankaae_stream.errors import ConfigurationError

__all__ = ["SECRETS", "read_settings"]

SECRETS = {
    "sasl.password": "RANKAAE_STREAM_KAFKA_PASSWORD",
    "ssl.key.password": "RANKAAE_STREAM_KAFKA_SSL_KEY_PASSWORD",
    "ssl.keystore.password": "RANKAAE_STREAM_KAFKA_SSL_KEYSTORE_PASSWORD",
    "sasl.oauthbearer.client.secret": "RANKAAE_STREAM_KAFKA_CLIENT_SECRET",
}
"""The environment variable of each of Kafka's settings that is a secret."""

_TABLES = ("consumer_config", "runengine_producer_config")
_TAKEN = re.compile(
    r"(security|sasl|ssl|socket|broker|reconnect|enable\.ssl|client|fetch|receive|session"
    r"|heartbeat)\..+"
)
"""Settings of a connection; those of a producer, such as ``acks``, are not a consumer's."""


def read_settings(
    path: Path | None, environment: Mapping[str, str] = os.environ
) -> tuple[str, dict[str, Any]]:
    """Return the servers and the settings of a connection.

    Parameters
    ----------
    path : Path or None
        A file with ``bootstrap_servers`` and a table ``consumer_config`` (else
        ``runengine_producer_config``) of librdkafka's settings; YAML, or TOML by its ending.
        None for the secrets alone.
    environment : mapping

    Returns
    -------
    servers : str
        ``host:port``, with commas; empty where the file names none.
    settings : dict
        For librdkafka, with the secrets.

    Raises
    ------
    ConfigurationError
        When the file cannot be read, or a secret is missing in the environment.
    """
    held = _read(path) if path is not None else {}
    servers = held.get("bootstrap_servers", "")
    if isinstance(servers, list):
        servers = ",".join(str(server) for server in cast("list[Any]", servers))
    if not isinstance(servers, str):
        raise ConfigurationError(f"{path}: bootstrap_servers is no list of host:port")
    table: Any = next((held[name] for name in _TABLES if name in held), dict[str, Any]())
    if not isinstance(table, dict):
        raise ConfigurationError(f"{path}: {' or '.join(_TABLES)} is no table of settings")
    settings = dict[str, Any]()
    for key, value in cast("dict[str, Any]", table).items():
        if not isinstance(value, (str, int, float)):
            raise ConfigurationError(f"{path}: {key} is no text and no number")
        if _TAKEN.fullmatch(str(key)):
            settings[str(key)] = value
    for key, variable in SECRETS.items():
        stated = settings.pop(key, None)
        if environment.get(variable):
            settings[key] = environment[variable]
        elif stated is not None:
            raise ConfigurationError(
                f"the {key} in {path} is not read; put it into the environment: "
                f"export {variable}=..."
            )
    return servers, settings


def _read(path: Path) -> dict[str, Any]:
    try:
        text = path.read_text(encoding="utf-8")
        value = tomllib.loads(text) if path.suffix == ".toml" else _yaml(text)
    except OSError as error:
        raise ConfigurationError(f"{path} cannot be read: {error.strerror}") from error
    except ValueError as error:  # also TOMLDecodeError and a text that is no UTF-8
        # A parser's message may quote the line, and with it a password.
        kind = type(error).__name__
        raise ConfigurationError(
            f"{path} is not TOML or YAML as its name has it ({kind})"
        ) from error
    if not isinstance(value, dict):
        raise ConfigurationError(f"{path} holds no table with bootstrap_servers")
    return cast("dict[str, Any]", value)


def _yaml(text: str) -> Any:
    import yaml

    try:
        return yaml.safe_load(text)
    except yaml.YAMLError as error:
        raise ValueError(type(error).__name__) from None
