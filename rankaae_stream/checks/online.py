"""Check the profile's real Tiled: it answers, knows the key, has the node, takes a result."""

from collections.abc import Callable
from typing import Any, TypeVar

from rankaae_stream.checks.base import Broken, Check, NotChecked
from rankaae_stream.checks.sinks import example_result
from rankaae_stream.profile import API_KEY_VARIABLE, Profile
from rankaae_stream.results.sinks import Rejected, Unavailable
from rankaae_stream.results.tiled_sink import TiledSink

__all__ = ["offline_notes", "online_checks"]

_T = TypeVar("_T")


def offline_notes(profile: Profile) -> list[Check]:
    """Return one check that cannot be done, in place of `online_checks`."""

    def wait() -> str:
        key = "" if profile.tiled_api_key else f"export {API_KEY_VARIABLE}=... and "
        raise NotChecked(
            "to check that it answers, knows the key, has the node "
            f"{profile.tiled.node!r} and takes results, the network and the key are needed",
            f"{key}check again with --online",
        )

    return [Check("tiled", profile.tiled.uri, wait)]


def online_checks(profile: Profile) -> list[Check]:
    """Return checks of the profile's Tiled; they write only a probe, and remove it."""
    visit = _Visit(profile)
    answers = {
        "Tiled answers and lets us in": visit.reach,
        "the node holds no raw runs": visit.no_raw_runs,
        "a probe is written, read and removed": visit.probe,
    }
    return [Check("tiled", name, ask) for name, ask in answers.items()]


class _Visit:
    """One connection for all checks; without it the later checks are not done."""

    def __init__(self, profile: Profile) -> None:
        self._profile = profile
        self._sink: TiledSink | None = None
        self._ours = False

    def reach(self) -> str:
        server, key = self._profile.tiled, self._profile.api_key()
        sink = TiledSink(server.uri, server.node, key, key_variable=API_KEY_VARIABLE)
        try:
            _checked(sink.newest)
        except BaseException:
            sink.close()
            raise
        self._sink = sink
        return f"{server.uri} has the node {server.node!r}"

    def no_raw_runs(self) -> str:
        newest = _checked(self._connected().newest)
        self._ours = newest is None or "original_run_uid" in (newest.get("start") or {})
        if newest is None:
            return f"{self._profile.tiled.node!r} is empty"
        start: dict[str, Any] = newest.get("start") or {}
        if not self._ours:
            raise Broken(
                f"the newest entry of {self._profile.tiled.node!r} is not a result but the run "
                f"{start.get('uid', 'without a uid')}",
                "set tiled.node to a container for results alone",
            )
        return "the newest entry is a result"

    def probe(self) -> str:
        sink, run = self._connected(), example_result(2.5)
        if not self._ours:
            sink.close()
            raise NotChecked("nothing is written where raw runs are", "see above")
        probe = f"a run of the sample {run.start['sample_name']!r}, uid {run.uid}"
        try:
            _checked(lambda: sink.final(run))
            found = _checked(lambda: sink.metadata(run.uid))
        finally:
            left = self._cleaned(sink, run.uid)
        if left:
            raise Broken(f"{probe}, was written and cannot be removed: {left}", _DELETE)
        if found is None or not found.get("stop"):
            raise Broken(f"{probe}, was written and is not complete there")
        return probe

    def _cleaned(self, sink: TiledSink, uid: str) -> str:
        """Remove the probe, and return the reason if that fails, else an empty text."""
        try:
            if sink.metadata(uid) is not None:
                sink.remove(uid)
        except Exception as error:  # noqa: BLE001 - reported with what went wrong before
            return str(error)
        finally:
            sink.close()
        return ""

    def _connected(self) -> TiledSink:
        if self._sink is None:
            raise NotChecked("Tiled could not be reached", "see above")
        return self._sink


def _checked(ask: Callable[[], _T]) -> _T:
    """Return what the sink returns, or fail with its reason."""
    try:
        return ask()
    except (Unavailable, Rejected) as error:
        message, _, fix = str(error).partition("; ")
        raise Broken(message, fix) from error


_DELETE = (
    "remove it by hand, and give the key the scope delete:node: an unfinished result is removed "
    "and written again"
)
