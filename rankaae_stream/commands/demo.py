"""Play a session on this machine: a simulated beamline, live answers, Tiled.

Measured spectra are scanned by an ordinary RunEngine. A beamline's session goes out by a
RunEngine's dispatcher in the beamline's own documents and files, at its pace: step scans
grow, fly scans are silent until their motion has ended. The table at the end is read back
from Tiled, not from memory.
"""

import tempfile
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from bluesky.run_engine import RunEngine
from bluesky_tiled_plugins import TiledWriter
from event_model import DocumentNames
from rich.console import Console
from rich.markup import escape
from rich.progress import TextColumn
from tiled.queries import Key

from rankaae_stream.callback import DescriptorStream
from rankaae_stream.commands.dashboard import page_address, show_page
from rankaae_stream.commands.demo_table import (
    PlayedCase,
    scans_table,
    series_table,
    session_table,
)
from rankaae_stream.documents.inbox import Inbox
from rankaae_stream.documents.rules import RunRules
from rankaae_stream.errors import ConfigurationError
from rankaae_stream.files.tiled_adapters import raw_writer_options
from rankaae_stream.profile import reading_under
from rankaae_stream.results.compose import PURPOSE
from rankaae_stream.results.compose_series import PURPOSE as SERIES
from rankaae_stream.server.tiled_server import EmbeddedServer
from rankaae_stream.show.intervals import moving_end, span, value_and_half
from rankaae_stream.show.progress import progress_bar
from rankaae_stream.simulate.documents import stamped
from rankaae_stream.simulate.reduction import reduction
from rankaae_stream.simulate.samples import series
from rankaae_stream.simulate.sessions import LATE, SESSIONS, Case, scans, session

__all__ = ["run_demo"]

DWELL, QUICK_DWELL, WATCHED_DWELL = 0.02, 0.005, 0.06
"""Seconds that a point of a scan takes; the last while somebody watches the page."""
HASTE = 5.0
"""How many times as fast the points of a reduction are: it has more scans than all samples."""
PATIENCE = 120.0
"""Seconds to wait for the last results; then the demo has failed and says so."""


def run_demo(
    console: Console,
    beamline: str = "sim",
    *,
    element: str | None = None,
    quick: bool = False,
    directory: Path | None = None,
    keep: bool = False,
    dashboard: bool = False,
    browser: bool = True,
    pace: float = 1.0,
) -> list[PlayedCase]:
    """Play a session with its shipped profile, show progress, then the table.

    Parameters
    ----------
    console : Console
    beamline : str
        ``sim`` to scan measured spectra, or one of `SESSIONS`.
    element : str, optional
        Scan only this element's samples.
    quick : bool
        Scan one element, with a short dwell and wide steps.
    directory : Path, optional
        For Tiled's files, the beamline's own and the spool; a new temporary one by default.
        It stays.
    keep : bool
        Leave the server up until Ctrl-C.
    dashboard : bool
        Show the page before the first run, scan more slowly, and leave the server up.
    browser : bool
        Whether to open the page in the browser, too.
    pace : float
        Factor on all waiting of a beamline's session but a late file's; 0 plays as fast as
        can be.

    Raises
    ------
    ConfigurationError
        When there is no such session, the server does not start or the results do not get there.
    """
    cases: list[Case] = []
    if beamline == "sim":
        dwell = WATCHED_DWELL if dashboard else QUICK_DWELL if quick else DWELL
        cases = _samples(element or ("Fe" if quick else None), quick=quick, dwell=dwell)
    elif element or quick:
        raise ConfigurationError(
            "--element and --quick choose scans of the demo itself; leave them out beside "
            "--beamline"
        )
    elif beamline not in SESSIONS:
        raise ConfigurationError(
            f"no session of beamline {beamline!r} to play; there are sim, {', '.join(SESSIONS)}"
        )
    folder = (directory or Path(tempfile.mkdtemp(prefix="rankaae-stream-demo-"))).resolve()
    data = folder / "data"
    with console.status("starting the Tiled server"):
        server = EmbeddedServer(folder, readable=[data]).start()
    try:
        if dashboard:
            console.print("Watch the scans on this page, which reads Tiled:")
            show_page(console, page_address(server.uri), browser=browser)
        if not cases:
            data.mkdir(exist_ok=True)
            with console.status("writing the beamline's files"):
                cases = session(beamline, data)
        profile = reading_under(
            beamline,
            data,
            tiled={"uri": server.uri, "node": "processed"},
            tiled_api_key=server.api_key,
            spool=folder / "spool",
        )
        with DescriptorStream(profile) as stream:
            played = _play(console, server, stream, cases, pace)
        if beamline == "sim":
            console.print(scans_table([item for item in played if not item.case.series]))
            reduced = [item for item in played if item.case.series]
            if reduced:
                console.print()
                console.print(series_table(reduced, _resolved(server.client("processed"))))
        else:
            console.print(session_table(beamline, played))
        hand_over(console, server, folder, keep=keep or dashboard)
    finally:
        server.close()
    return played


def _samples(element: str | None, *, quick: bool, dwell: float) -> list[Case]:
    """Return a scan of each sample of an element, or of all, and of iron a reduction as well."""
    cases = scans(series(element), quick=quick, dwell=dwell)
    if any(case.reference and case.reference.element == "Fe" for case in cases):
        cases += reduction(quick=quick, dwell=dwell / HASTE)
    return cases


def _play(
    console: Console,
    server: EmbeddedServer,
    stream: DescriptorStream,
    cases: Sequence[Case],
    pace: float,
) -> list[PlayedCase]:
    # Arrays stay out of the tables, whose SQLite takes numbers only.
    writer = TiledWriter(
        server.client("raw"), batch_size=1000, max_array_size=0, **raw_writer_options()
    )
    # Behind an inbox: it takes tens of milliseconds an event, which a scan would otherwise pay.
    raw = Inbox(lambda name, doc, _: writer(name, dict(doc)), name="raw")
    rules, results = stream.profile.run.build(), server.client("processed")
    documents: list[tuple[str, Mapping[str, Any]]] = []
    newest = _Newest(stream)
    played: list[PlayedCase] = []
    engine = RunEngine({})
    engine.subscribe(stream)
    with progress_bar(console, "runs", TextColumn("{task.fields[now]:<23}")) as progress:
        task = progress.add_task("", total=len(cases), now="")

        def show(name: str, doc: Mapping[str, Any]) -> None:
            documents.append((name, doc))
            progress.update(task, now=newest.words(documents[0][1]["uid"]))
            if name == "event" and case.points:
                progress.update(task, completed=len(played) + doc["seq_num"] / case.points)

        engine.subscribe(show)
        for case in cases:
            progress.update(task, description=f"{f'{case.sample}: {case.what}':<24}")
            documents.clear()
            _run(engine, case, pace)
            stopped = time.monotonic()
            if case.late is not None:
                progress.update(task, now="its file is late")
                time.sleep(LATE)
                case.late[0].rename(case.late[1])
            if not stream.wait_idle(PATIENCE, series=False):
                raise ConfigurationError(
                    f"the results of {case.sample}, {case.what}, did not reach Tiled within "
                    f"{PATIENCE:.0f} s: {stream.status()}"
                )
            latency = time.monotonic() - stopped
            played.append(_read_back(results, case, documents[0][1], rules, latency))
            # Tiled looks into the files when the run is written, so they have to be there.
            for item in documents:
                raw(*item)
            progress.update(task, completed=len(played))
        progress.update(task, description="writing the last raw run", now="")
        if not raw.close(PATIENCE) or raw.errors:
            raise ConfigurationError(f"the raw runs did not all reach Tiled: {raw.last_error}")
    return played


def _run(engine: RunEngine, case: Case, pace: float) -> None:
    """Run a case's plan, or send its documents as a RunEngine would."""
    if case.plan is not None:
        engine(case.plan)
    for name, doc in case.documents:
        engine.dispatcher.process(DocumentNames[name], stamped(doc, time.time()))
        time.sleep(pace * case.pace.get(name, 0.0))


class _Newest:
    """The newest oxidation state of the run that is played, in words."""

    def __init__(self, stream: DescriptorStream) -> None:
        self._stream = stream
        self._uid = ""
        self._first = (0.0, 0.0)

    def words(self, uid: str) -> str:
        """Return value, half-width and energy reached of a run; empty before its first answer."""
        report = self._stream.last
        if report is None or report.source != uid:
            return ""
        state, covered = report.estimate("oxidation_state"), span(report)
        if state is None or covered is None:
            return ""
        if uid != self._uid:
            self._uid, self._first = uid, covered
        return f"{value_and_half(state)} at {moving_end(self._first, covered):+.0f} eV"


def _read_back(
    results: Any, case: Case, start: Mapping[str, Any], rules: RunRules, latency: float
) -> PlayedCase:
    """Read the summaries of all results of one run, as any client finds them."""
    found = results.search(Key("start.original_run_uid") == start["uid"]).values()
    summaries = [
        {**run.metadata["stop"]["summary"], "primary": run.metadata["start"]["primary"]}
        for run in found
    ]
    silence = "" if summaries else rules.unwanted(start) or "no energy and signals to read"
    return PlayedCase(case, start["uid"], summaries, silence, latency)


def _resolved(results: Any) -> dict[str, Mapping[str, Any]]:
    """Read what all series say of their scans, by the raw run's uid."""
    found = results.search(Key("start.purpose") == SERIES).values()
    states = [run.metadata["stop"]["summary"] for run in found]
    return {row["raw_uid"]: row for state in states for row in state["spectra"]}


def hand_over(console: Console, server: EmbeddedServer, folder: Path, *, keep: bool) -> None:
    """Print where the results are, and leave the server up until Ctrl-C where `keep` is set."""
    console.print(f"\nThe results are runs in Tiled, kept in [bold]{escape(str(folder))}[/]")
    console.print("(raw scans in the tree raw, results in the tree processed). Read them with:\n")
    newest = f'.search(Key("start.purpose") == "{PURPOSE}").values().last()'
    read = f'{newest}.metadata["stop"]["summary"]["estimates"]'
    if keep:
        lines = (
            "from tiled.client import from_uri; from tiled.queries import Key",
            f'print(from_uri("{server.uri}")["processed"]{read})',
        )
    else:
        lines = (
            "from rankaae_stream import EmbeddedServer; from tiled.queries import Key",
            f'with EmbeddedServer("{folder}") as server: print(server.client("processed"){read})',
        )
    for line in lines:
        console.print(f"    {line}", markup=False, highlight=False, soft_wrap=True)
    if not keep:
        console.print("\n--keep leaves the server up, for a browser too.", style="dim")
        return
    console.print("\nThe server stays up; Ctrl-C ends it.")
    try:
        server.wait()
    except KeyboardInterrupt:
        console.print("stopping the server")
