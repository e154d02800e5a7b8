"""``rankaae-stream demo --beamline iss``: a beamline's session in its own documents and files.

The documents go out by a RunEngine's dispatcher, at a beamline's pace: step scans grow,
fly scans are silent until their motion has ended. The table is read back from Tiled.
"""

import tempfile
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from bluesky.run_engine import RunEngine
from bluesky_tiled_plugins import TiledWriter
from event_model import DocumentNames
from rich import box
from rich.console import Console
from rich.markup import escape
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn
from rich.table import Table
from tiled.queries import Key

from rankaae_stream.callback import DescriptorStream
from rankaae_stream.commands.demo import PATIENCE, hand_over, show_dashboard
from rankaae_stream.documents.inbox import Inbox
from rankaae_stream.documents.rules import RunRules
from rankaae_stream.errors import ConfigurationError
from rankaae_stream.files.tiled_adapters import raw_writer_options
from rankaae_stream.profile import reading_under
from rankaae_stream.server.tiled_server import EmbeddedServer
from rankaae_stream.show.table import flag_markup
from rankaae_stream.simulate.documents import stamped
from rankaae_stream.simulate.sessions import LATE, SESSIONS, Case, session

__all__ = ["PlayedCase", "run_beamline_demo"]


@dataclass(frozen=True, slots=True)
class PlayedCase:
    """What was played, and what Tiled says of it.

    Attributes
    ----------
    case : Case
    uid : str
        Of the raw run.
    summaries : sequence of mapping
        Of all its results, one a channel and sweep; none where the profile leaves such runs alone.
    silence : str
        Why there is none.
    latency : float
        From the stop document to the last result in Tiled, s.
    """

    case: Case
    uid: str
    summaries: Sequence[Mapping[str, Any]]
    silence: str
    latency: float

    def shown(self) -> list[Mapping[str, Any]]:
        """Of the channel that the case is about, by sweep."""
        wanted = self.case.channel
        primary = [item["channel"] for item in self.summaries if item["primary"]]
        channel = wanted or (primary[0] if primary else None)
        found = [item for item in self.summaries if item["channel"] == channel]
        return sorted(found, key=lambda item: item["sweep"])


def run_beamline_demo(
    console: Console,
    beamline: str,
    *,
    directory: Path | None = None,
    keep: bool = False,
    dashboard: bool = False,
    browser: bool = True,
    pace: float = 1.0,
) -> list[PlayedCase]:
    """Play a beamline's session with its shipped profile, show progress, then the table.

    Parameters
    ----------
    console : Console
    beamline : str
        One of `SESSIONS`.
    directory : Path, optional
        For Tiled's files, the beamline's own and the spool; a new temporary one by default.
    keep : bool
        Leave the server up until Ctrl-C.
    dashboard : bool
        Show the page before the first run, and leave the server up.
    browser : bool
        Open that page where there is a screen.
    pace : float
        Factor on all waiting but a late file's; 0 plays as fast as can be.

    Raises
    ------
    ConfigurationError
        When there is no such session, the server does not start or the results do not get there.
    """
    if beamline not in SESSIONS:
        raise ConfigurationError(
            f"no session of beamline {beamline!r} to play; there are {', '.join(SESSIONS)}"
        )
    folder = (directory or Path(tempfile.mkdtemp(prefix="rankaae-stream-demo-"))).resolve()
    data = folder / "data"
    with console.status("starting the Tiled server"):
        server = EmbeddedServer(folder, readable=[data]).start()
    try:
        if dashboard:
            show_dashboard(console, server, browser=browser)
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
        console.print(_table(beamline, played))
        hand_over(console, server, folder, keep=keep or dashboard)
    finally:
        server.close()
    return played


def _play(
    console: Console,
    server: EmbeddedServer,
    stream: DescriptorStream,
    cases: Sequence[Case],
    pace: float,
) -> list[PlayedCase]:
    engine = RunEngine({})
    engine.subscribe(stream)
    # Arrays stay out of the tables, whose SQLite takes numbers only.
    writer = TiledWriter(
        server.client("raw"), batch_size=1000, max_array_size=0, **raw_writer_options()
    )
    raw = Inbox(lambda name, doc, _: writer(name, dict(doc)), name="raw")
    choice, results = stream.profile.run.build(), server.client("processed")
    played: list[PlayedCase] = []
    with _progress(console) as progress:
        task = progress.add_task("", total=len(cases), now="")
        for case in cases:
            progress.update(task, description=f"{case.sample}: {case.what}")
            documents: list[tuple[str, dict[str, Any]]] = []
            for name, doc in case.documents:
                documents.append((name, stamped(doc, time.time())))
                engine.dispatcher.process(DocumentNames[name], documents[-1][1])
                progress.update(task, now=_now(stream, documents[0][1]["uid"]))
                time.sleep(pace * case.pace.get(name, 0.0))
            stopped = time.monotonic()
            if case.late is not None:
                progress.update(task, now="its file is late")
                time.sleep(LATE)
                case.late[0].rename(case.late[1])
            if not stream.wait_idle(PATIENCE):
                raise ConfigurationError(
                    f"the results of {case.sample}, {case.what}, did not reach Tiled within "
                    f"{PATIENCE:.0f} s: {stream.status()}"
                )
            latency = time.monotonic() - stopped
            played.append(_read_back(results, case, documents[0][1], choice, latency))
            # Tiled looks into the files when the run is written, so they have to be there.
            for item in documents:
                raw(*item)
            progress.advance(task)
        progress.update(task, description="writing the last raw run", now="")
        if not raw.close(PATIENCE) or raw.errors:
            raise ConfigurationError(f"the raw runs did not all reach Tiled: {raw.last_error}")
    return played


def _now(stream: DescriptorStream, uid: str) -> str:
    """The newest answer on a run, where it has one."""
    report = stream.last
    state = report.estimate("oxidation_state") if report and report.source == uid else None
    return f"{state.value:+.2f}" if state else ""


def _read_back(
    results: Any, case: Case, start: Mapping[str, Any], choice: RunRules, latency: float
) -> PlayedCase:
    """Summaries of all results of one run, as any client finds them."""
    found = results.search(Key("start.original_run_uid") == start["uid"]).values()
    summaries = [
        {**run.metadata["stop"]["summary"], "primary": run.metadata["start"]["primary"]}
        for run in found
    ]
    silence = "" if summaries else choice.unwanted(start) or "no energy and signals to read"
    return PlayedCase(case, start["uid"], summaries, silence, latency)


def _progress(console: Console) -> Progress:
    return Progress(
        TextColumn("{task.description:<40}"),
        BarColumn(bar_width=None),
        MofNCompleteColumn(),
        TextColumn("runs"),
        TextColumn("{task.fields[now]:<7}"),
        TimeElapsedColumn(),
        console=console,
    )


def _table(beamline: str, played: Sequence[PlayedCase]) -> Table:
    """Fits a terminal of 80 columns."""
    table = Table(box=box.SIMPLE_HEAD, padding=(0, 1), pad_edge=False)
    table.add_column("what was played", max_width=24)
    table.add_column("found", justify="right", no_wrap=True)
    table.add_column("90 % interval", justify="right", no_wrap=True)
    table.add_column("flags, or why there is no answer")
    for item in played:
        table.add_row(f"{item.case.sample}, {escape(item.case.what)}", *_cells(item))
    table.title = f"A session at {beamline}, as read from Tiled"
    table.title_justify = "left"
    table.caption = "Of each run one channel is shown; all have their results in Tiled."
    table.caption_justify = "left"
    return table


def _cells(item: PlayedCase) -> tuple[str, str, str]:
    shown = item.shown()
    if not shown:
        return "-", "-", f"[dim]left alone: {escape(item.silence)}[/]"
    states = [s["estimates"].get("oxidation_state") for s in shown if not s["refusal"]]
    answers = [state["value"] for state in states if state]
    words = [_words(shown[-1], item.case.about)]
    if len(shown) > 1:
        spread = f", {min(answers):+.2f} to {max(answers):+.2f}" if answers else ""
        words.insert(0, f"{len(shown)} sweeps, {len(answers)} answered{spread}")
    if not answers:
        return "-", "-", "; ".join(filter(None, words))
    low, high = (sum(state[end] for state in states if state) for end in ("low", "high"))
    mean = sum(answers) / len(answers)
    interval = f"{low / len(answers):+.2f} to {high / len(answers):+.2f}"
    # Greyed, never hidden: a number out of domain is shown as what it is.
    style = "dim" if any("out_of_domain" in s["flags"] for s in shown) else "bold"
    return f"[{style}]{mean:+.2f}[/]", interval, "; ".join(filter(None, words))


def _words(summary: Mapping[str, Any], about: str) -> str:
    """Refusal, warnings and what the case is about in words, other flags by name."""
    words: list[str] = []
    if summary["refusal"]:
        refusal = summary["refusal"]
        words.append(f"[bold]refused, {escape(refusal['name'])}[/]: {escape(refusal['message'])}")
    for name, flag in summary["flags"].items():
        said = flag_markup(name, flag["severity"])
        # The sentence of a refusal is enough, and says the same.
        if (flag["severity"] == "warning" or name == about) and not summary["refusal"]:
            said += f": {escape(flag['message'])}"
        words.append(said)
    return "; ".join(words)
