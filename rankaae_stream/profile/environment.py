"""Apply the environment's settings to those of the file, key by key."""

import json
from collections.abc import Mapping
from typing import Any, cast

from pydantic_settings import BaseSettings, EnvSettingsSource

from rankaae_stream.errors import ConfigurationError

__all__ = ["API_KEY_VARIABLE", "PREFIX", "FileAndEnvironment"]

PREFIX = "RANKAAE_STREAM_"
API_KEY_VARIABLE = f"{PREFIX}TILED_API_KEY"


class FileAndEnvironment(EnvSettingsSource):
    """The file's settings, in which the environment replaces single keys.

    pydantic-settings merges sources table by table, and would apply a setting of one
    of several ``[[layout]]`` to all of them.
    """

    def __init__(self, settings_cls: type[BaseSettings], file: Mapping[str, Any]) -> None:
        super().__init__(settings_cls)
        self._file = file

    def __call__(self) -> dict[str, Any]:
        """Return all settings of both."""
        settings = dict(self._file)
        for key, value in super().__call__().items():
            known = settings.get(key)
            settings[key] = value if known is None else _over(known, value, (key,))
        return settings


def _over(below: Any, above: Any, where: tuple[str, ...]) -> Any:
    """Return the settings `below` with those of the environment above."""
    above = _decoded(above)
    if not isinstance(above, Mapping) or not isinstance(below, (Mapping, list)):
        return cast("Any", above)
    over = cast("Mapping[str, Any]", above)
    if isinstance(below, Mapping):
        under = cast("Mapping[str, Any]", below)
        if set(over) == {"0"}:  # the only one of its kind is the first
            return _over(under, over["0"], where)
        return {**under, **{k: _over(under.get(k), v, (*where, k)) for k, v in over.items()}}
    merged = list(cast("list[Any]", below))
    for key, value in over.items():
        if not key.isdecimal() or len(key) > 9 or int(key) >= len(merged):
            name = "__".join(part.upper() for part in (*where, key))
            first = "__".join(part.upper() for part in (*where, "0", key))
            fix = f"name one of them: {PREFIX}{first} is the first"
            if key.isdecimal():
                fix = f"they are counted from 0 to {len(merged) - 1}"
            raise ConfigurationError(
                f"{PREFIX}{name} is set, and the profile has {len(merged)} tables "
                f"[[{'.'.join(where)}]]; {fix}"
            )
        merged[int(key)] = _over(merged[int(key)], value, (*where, key))
    return merged


def _decoded(value: Any) -> Any:
    """Return lists and tables, JSON in the environment; a text that is no JSON stays a text."""
    if not isinstance(value, str) or not value.startswith(("[", "{")):
        return value
    try:
        return json.loads(value)
    except (ValueError, RecursionError):
        return value
