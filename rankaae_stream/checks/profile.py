"""Check a profile in the order of the data: settings, runs, models, sink, a recorded run."""

import functools
import tempfile
from collections.abc import Callable, Iterator
from contextlib import nullcontext
from pathlib import Path

from rankaae_stream.analysis import Analysis
from rankaae_stream.checks.base import Check, Finding, run_checks
from rankaae_stream.checks.fields import check_fields
from rankaae_stream.checks.find_run import find_run
from rankaae_stream.checks.layouts import layout_checks
from rankaae_stream.checks.models import model_checks
from rankaae_stream.checks.online import offline_notes, online_checks
from rankaae_stream.checks.pipeline import answer_checks
from rankaae_stream.checks.recorded import recorded_findings
from rankaae_stream.checks.rehearsal import start_of
from rankaae_stream.checks.settings import layout_names, settings_checks
from rankaae_stream.checks.sinks import tiled_sink_checks
from rankaae_stream.errors import ConfigurationError
from rankaae_stream.loading import load_analysis
from rankaae_stream.profile import Profile, load_profile
from rankaae_stream.server.tiled_server import EmbeddedServer

__all__ = ["check_profile"]


def check_profile(
    profile: str | Path,
    *,
    run: str | None = None,
    online: bool = False,
    server: EmbeddedServer | None = None,
    progress: Callable[[str], object] = lambda _: None,
) -> Iterator[Finding]:
    """Check a profile; nothing is written but a temporary folder, and online a probe.

    Parameters
    ----------
    profile : str or Path
        A shipped profile's name, or a TOML file.
    run : str, optional
        A recorded run, see `find_run.find_run`.
    online : bool
        Whether the profile's own Tiled is checked too.
    server : EmbeddedServer, optional
        Server on which the sink is checked; by default a new one, which takes some seconds.
    progress : callable, optional
        Receives a few words on what is being checked.

    Yields
    ------
    Finding
        One area after the other.
    """
    try:
        settings = load_profile(profile)
    except ConfigurationError as error:
        yield Finding("profile", "settings", "failed", str(error))
        return
    names = layout_names(settings)
    kinds = ", ".join(str(layout.kind) for layout in settings.layouts)
    summary = f"{settings.name!r}, layout {kinds}"
    yield Finding("profile", "settings", "ok", f"{summary}; no key is misspelt")
    load = functools.cache(lambda: load_analysis(settings))
    progress("the settings")
    yield from run_checks(settings_checks(settings, load))
    choice = settings.run.build()
    start = start_of(choice, choice.xas[0] if choice.xas else None)
    layouts = settings.build_layouts()
    with tempfile.TemporaryDirectory(prefix="rankaae-stream-check-") as temporary:
        for name, layout in zip(names, layouts, strict=True):
            progress(f"{name} with generated runs")
            folder = Path(tempfile.mkdtemp(dir=temporary))
            checks = [
                Check(name, "fields", lambda layout=layout, name=name: check_fields(layout, name)),
                *layout_checks(layout, folder, start, name),
                *answer_checks(settings, layouts, layout, name, folder, load),
            ]
            for number, finding in enumerate(run_checks(checks)):
                yield finding
                # The other checks need the fields' names and the first generated run.
                if number < 2 and finding.verdict != "ok":
                    break
    progress("the models")
    yield from run_checks(model_checks(settings))
    progress("the sink, on a Tiled server of its own")
    yield from _of_sink(server)
    progress(f"Tiled at {settings.tiled.uri}")
    yield from run_checks(online_checks(settings) if online else offline_notes(settings))
    progress("the recorded run")
    yield from _of_run(settings, run, names, load)


def _of_sink(server: EmbeddedServer | None) -> Iterator[Finding]:
    try:
        with nullcontext(server) if server is not None else EmbeddedServer() as running:
            yield from run_checks(tiled_sink_checks(running))
    except ConfigurationError as error:
        yield Finding("sink", "a Tiled server of its own", "failed", str(error))


def _of_run(
    profile: Profile, run: str | None, names: list[str], load: Callable[[], Analysis]
) -> Iterator[Finding]:
    if run is None:
        yield Finding(
            "run",
            "a recorded run",
            "not checked",
            "only one of your own scans can show that the profile fits them",
            "give a file of documents (*.jsonl, *.msgpack), or a uid in the profile's Tiled: --run",
        )
        return
    try:
        yield from recorded_findings(profile, find_run(profile, run), names, load)
    except ConfigurationError as error:
        yield Finding("run", "found", "failed", str(error))
    except Exception as error:  # noqa: BLE001 - of documents that are none, or a foreign layout
        message = f"its documents cannot be read: {type(error).__name__}: {error}"
        fix = "give a complete file of a bluesky run's documents"
        yield Finding("run", "documents", "failed", message, fix)
