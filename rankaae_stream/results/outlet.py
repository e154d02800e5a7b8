"""The last station before the sinks: results composed, spooled and handed to publishers.

Live and replay both end here, so that a result has one way out whoever found it.
"""

import re
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from rankaae_stream.errors import ConfigurationError
from rankaae_stream.model.networks import Model
from rankaae_stream.profile import API_KEY_VARIABLE, Profile
from rankaae_stream.report import Result
from rankaae_stream.results.compose import ResultRun, compose
from rankaae_stream.results.sender import Publisher
from rankaae_stream.results.sinks import CallableSink
from rankaae_stream.results.spool import Spool
from rankaae_stream.results.tiled_sink import TiledSink
from rankaae_stream.results.what_if import compose_what_if

__all__ = ["Outlet", "tiled_folder"]


class Outlet:
    """Takes every `Result` and brings it to Tiled and to other sinks.

    Parameters
    ----------
    profile : Profile
    sinks : sequence of callables, optional
        Each receives (name, document) of every result, beside Tiled.
    to_tiled : bool
        False to publish to `sinks` only.
    models : mapping of Model, optional
        Their what-if curves go to Tiled with the first result of each.

    Raises
    ------
    ConfigurationError
        At once, when there is no key for Tiled or the spool cannot be written.
    """

    def __init__(
        self,
        profile: Profile,
        sinks: Sequence[Callable[[str, dict[str, Any]], Any]] = (),
        *,
        to_tiled: bool = True,
        models: Mapping[str, Model] | None = None,
    ) -> None:
        self._published = profile.published()
        self._copied = profile.copied_keys()
        # Of the models whose curves this process has not sent.
        self._models = {one.card.id: one for one in (models or {}).values()} if to_tiled else {}
        chosen: list[Any] = [CallableSink(sink) for sink in sinks]
        if to_tiled:
            chosen.insert(0, _tiled_sink(profile, profile.api_key()))
            # Imported here and not in the publisher's thread: an import holds the
            # interpreter for hundreds of milliseconds, which a scan would feel.
            import bluesky_tiled_plugins  # noqa: F401  # pyright: ignore[reportUnusedImport]
            import tiled.client  # noqa: F401  # pyright: ignore[reportUnusedImport]
        spools = [_spool(profile, folder) for folder in _folders(chosen)]
        self.publishers = [Publisher(*pair) for pair in zip(chosen, spools, strict=True)]

    def __call__(self, result: Result) -> None:
        """Take a result; a final one is on the disk when this returns."""
        run = compose(result, self._published, self._copied)
        for publisher in self.publishers:
            if result.report.complete:
                publisher.final(run)
            else:
                publisher.provisional(run)
        model = result.report.model and self._models.pop(result.report.model.id, None)
        if model:
            self.publishers[0].extra(lambda: _what_if(model))

    @property
    def waiting(self) -> int:
        """Final results not yet sent."""
        return sum(publisher.waiting for publisher in self.publishers)

    @property
    def failing(self) -> str:
        """Why sinks take nothing now, or an empty string."""
        return "; ".join(p.failing for p in self.publishers if p.failing)

    @property
    def rejected(self) -> int:
        """Final results that a sink understood and did not take."""
        return sum(publisher.rejected for publisher in self.publishers)

    def wait_idle(self, timeout: float) -> bool:
        """Wait until everything is sent; False on time-out."""
        deadline = time.monotonic() + timeout
        return all(
            publisher.wait_idle(max(deadline - time.monotonic(), 0.0))
            for publisher in self.publishers
        )

    def drain(self, patience: float, told: Callable[[int], object] | None = None) -> bool:
        """Wait until everything is sent; False when none has left for `patience` seconds.

        `told` receives how many are waiting, a few times a second.
        """
        left, since = self.waiting, time.monotonic()
        while not self.wait_idle(0.25):
            if self.waiting < left:
                left, since = self.waiting, time.monotonic()
            elif time.monotonic() - since > patience:
                return False
            if told is not None:
                told(left)
        return True

    def close(self, timeout: float) -> int:
        """Send what can be sent in time; returns how many results stay in the spool."""
        deadline = time.monotonic() + timeout
        return sum(
            publisher.close(max(deadline - time.monotonic(), 0.0)) for publisher in self.publishers
        )


def _what_if(model: Model) -> ResultRun:
    middle = np.zeros((model.card.members, 1, model.card.latent))
    mean = model.decode(middle).mean(axis=0, dtype=float)[0]
    return compose_what_if(model.card, mean, model.what_if)


def tiled_folder(profile: Profile) -> Path:
    """The spool of what goes to the profile's Tiled."""
    return profile.spool.expanduser() / _tiled_sink(profile, "").name


def _tiled_sink(profile: Profile, key: str) -> TiledSink:
    server = profile.tiled
    return TiledSink(server.uri, server.node, key, key_variable=API_KEY_VARIABLE)


def _folders(sinks: Sequence[Any]) -> list[str]:
    """A folder's name for each sink; two functions of one name must not share a spool."""
    names: list[str] = []
    for sink in sinks:
        plain = re.sub(r"\W+", "-", sink.name).strip("-") or "sink"
        same = sum(name == plain or name.startswith(f"{plain}.") for name in names)
        names.append(f"{plain}.{same + 1}" if same else plain)
    return names


def _spool(profile: Profile, name: str) -> Spool:
    folder = profile.spool.expanduser() / name
    try:
        return Spool(folder)
    except OSError as error:
        raise ConfigurationError(
            f"cannot write the spool {folder} ({error.strerror}); set spool in profile "
            f"{profile.name!r} to a folder that can be written"
        ) from error
