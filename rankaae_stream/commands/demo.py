"""The whole way through on one machine: a simulated beamline, live answers, Tiled.

Measured spectra are played by an ordinary RunEngine; nothing knows that this is
a demonstration. The table at the end is read back from Tiled, not from memory.
"""

# pyright: basic
# bluesky's RunEngine has few types

import math
import tempfile
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from bluesky.run_engine import RunEngine
from bluesky_tiled_plugins import TiledWriter
from rich import box
from rich.console import Console
from rich.markup import escape
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn
from rich.table import Table
from tiled.queries import Key

from rankaae_stream.callback import DescriptorStream
from rankaae_stream.commands.dashboard import page_address, show_page
from rankaae_stream.documents.inbox import Inbox
from rankaae_stream.errors import ConfigurationError
from rankaae_stream.results.compose import PURPOSE
from rankaae_stream.server.tiled_server import EmbeddedServer
from rankaae_stream.show.table import flag_markup
from rankaae_stream.simulate import Beamline, Sample, scan, scan_energies, series

__all__ = ["PATIENCE", "hand_over", "run_demo", "show_dashboard"]

DWELL, QUICK_DWELL, WATCHED_DWELL = 0.02, 0.005, 0.06
"""Seconds a point takes; the last while somebody watches the page."""
PATIENCE = 120.0
"""Seconds to wait for the last results; then the demo has failed and says so."""


@dataclass(frozen=True, slots=True)
class Row:
    """One scan of the table: what was played, and what Tiled says of it."""

    sample: Sample
    summary: Mapping[str, Any]
    latency: float


def run_demo(
    console: Console,
    *,
    element: str | None = None,
    quick: bool = False,
    directory: Path | None = None,
    keep: bool = False,
    dashboard: bool = False,
    browser: bool = True,
) -> list[Row]:
    """Scan the series, show progress, then the table.

    Parameters
    ----------
    console : Console
    element : str, optional
        Only this element's series.
    quick : bool
        One series, short dwell, wide steps.
    directory : Path, optional
        For Tiled's files and the spool; a new temporary one by default. It stays.
    keep : bool
        Leave the server up until Ctrl-C.
    dashboard : bool
        Show the page before the first scan, scan more slowly, and keep the server up.
    browser : bool
        Whether to open the page in the browser, too.

    Returns
    -------
    list of Row

    Raises
    ------
    ConfigurationError
        When the server does not start or the results do not get there.
    """
    samples = series(element or ("Fe" if quick else None))
    folder = (directory or Path(tempfile.mkdtemp(prefix="rankaae-stream-demo-"))).resolve()
    with console.status("starting the Tiled server"):
        server = EmbeddedServer(folder).start()
    try:
        if dashboard:
            show_dashboard(console, server, browser=browser)
        dwell = WATCHED_DWELL if dashboard else QUICK_DWELL if quick else DWELL
        rows = _scan(console, server, samples, folder / "spool", quick, dwell)
        console.print(_table(rows))
        hand_over(console, server, folder, keep=keep or dashboard)
    finally:
        server.close()
    return rows


def _scan(
    console: Console,
    server: EmbeddedServer,
    samples: tuple[Sample, ...],
    spool: Path,
    quick: bool,
    dwell: float,
) -> list[Row]:
    engine = RunEngine({})
    # The raw data's writer stands behind an Inbox too: it takes tens of
    # milliseconds an event, which the scan would otherwise pay.
    writer = TiledWriter(server.client("raw"), batch_size=100)
    raw = Inbox(lambda name, doc, _: writer(name, dict(doc)), name="raw")
    stream = DescriptorStream(
        "sim",
        tiled={"uri": server.uri, "node": "processed"},
        tiled_api_key=server.api_key,
        spool=spool,
    )
    beamline = Beamline(dwell=dwell)
    stopped: list[tuple[str, float]] = []
    done: list[tuple[Sample, str, float]] = []
    with stream, _progress(console) as progress:
        task = progress.add_task("", total=sum(scan_energies(s, quick=quick).size for s in samples))
        engine.subscribe(raw)
        engine.subscribe(stream)
        engine.subscribe(lambda *_: progress.advance(task), "event")
        engine.subscribe(
            lambda _, doc: stopped.append((doc["run_start"], time.monotonic())), "stop"
        )
        for sample in samples:
            progress.update(task, description=f"{sample.name} ({sample.element} K)")
            engine(scan(beamline, sample, quick=quick))
            if not stream.wait_idle(PATIENCE):
                raise ConfigurationError(
                    f"the result of {sample.name} did not reach Tiled within {PATIENCE:.0f} s: "
                    f"{stream.status()}"
                )
            uid, when = stopped[-1]
            done.append((sample, uid, time.monotonic() - when))
        progress.update(task, description="writing the last raw run")
        if not raw.close(PATIENCE) or raw.errors:
            raise ConfigurationError(f"the raw runs did not all reach Tiled: {raw.last_error}")
    results = server.client("processed")
    return [Row(sample, _summary(results, uid), latency) for sample, uid, latency in done]


def _summary(results: Any, raw_uid: str) -> Mapping[str, Any]:
    """The stop document's summary of one scan's result, as any client finds it."""
    found = results.search(Key("start.original_run_uid") == raw_uid).values().first()
    return found.metadata["stop"]["summary"]


def _progress(console: Console) -> Progress:
    return Progress(
        TextColumn("{task.description:<22}"),
        BarColumn(),
        MofNCompleteColumn(),
        TextColumn("points"),
        TimeElapsedColumn(),
        console=console,
    )


def _table(rows: list[Row]) -> Table:
    """Fits a terminal of 80 columns."""
    table = Table(box=box.SIMPLE_HEAD, padding=(0, 1), pad_edge=False)
    table.add_column("sample")
    for name in ("true", "found", "90 % interval", "CN (true)"):
        table.add_column(name, justify="right", no_wrap=True)
    table.add_column("flags")
    table.add_column("latency", justify="right", no_wrap=True)
    previous = rows[0].sample.element if rows else ""
    for row in rows:
        if row.sample.element != previous:
            table.add_section()
            previous = row.sample.element
        table.add_row(*_cells(row))
    table.title = "Oxidation states of measured spectra, as read from Tiled"
    table.title_justify = "left"
    table.caption = "CN: coordination number. Latency: from the scan's stop to the result in Tiled."
    table.caption_justify = "left"
    return table


def _cells(row: Row) -> tuple[str, ...]:
    sample, summary = row.sample, row.summary
    estimates = summary["estimates"]
    state, number = estimates.get("oxidation_state"), estimates.get("coordination_number")
    words = [flag_markup(name, flag["severity"]) for name, flag in summary["flags"].items()]
    if summary["refusal"]:
        words.insert(0, f"[bold]refused: {escape(summary['refusal']['name'])}[/]")
    return (
        sample.name,
        f"{sample.oxidation_state:+.2f}",
        f"[bold]{state['value']:+.2f}[/]" if state else "-",
        f"{state['low']:+.2f} to {state['high']:+.2f}" if state else "-",
        f"{number['value'] if number else math.nan:.1f} ({sample.coordination_number:.1f})",
        ", ".join(words),
        f"{row.latency * 1e3:.0f} ms",
    )


def _say_where(console: Console, server: EmbeddedServer, folder: Path, keep: bool) -> None:
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


def _wait_for_interrupt(console: Console) -> None:
    console.print("\nThe server stays up; Ctrl-C ends it.")
    try:
        while True:
            time.sleep(3600)
    except KeyboardInterrupt:
        console.print("stopping the server")


def show_dashboard(console: Console, server: EmbeddedServer, *, browser: bool) -> None:
    """Say where the page is, and open it where there is a screen."""
    console.print("Watch the scans on this page, which reads Tiled:")
    show_page(console, page_address(server.uri), browser=browser)


def hand_over(console: Console, server: EmbeddedServer, folder: Path, *, keep: bool) -> None:
    """Say where the results are and, where it is to be kept, leave the server up."""
    _say_where(console, server, folder, keep)
    if keep:
        _wait_for_interrupt(console)
