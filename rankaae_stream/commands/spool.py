"""Run `rankaae-stream spool`: list what waits or was rejected, and send it again."""

import time
from collections.abc import Generator, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from rich import box
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from rankaae_stream.errors import ConfigurationError
from rankaae_stream.profile import Profile, load_profile
from rankaae_stream.results.publisher import PATIENCE, ResultPublisher, tiled_folder, tiled_sink
from rankaae_stream.results.sinks import Postponed, Rejected, Unavailable
from rankaae_stream.results.spool import SUBFOLDERS, Entry, Spool, entries
from rankaae_stream.results.what_if import PURPOSE
from rankaae_stream.show.progress import progress_bar

__all__ = ["run_aside", "run_list", "run_repair", "run_retry", "run_send"]


def run_list(
    console: Console, profile: str | Path = "sim", *, sent: int = 5, now: float | None = None
) -> None:
    """Show every sink's spool of a profile.

    Parameters
    ----------
    console : Console
    profile : str or Path
    sent : int
        How many sent results to show, the newest.
    now : float, optional
        Seconds since the epoch.
    """
    settings = load_profile(profile)
    root = settings.spool.expanduser()
    now = time.time() if now is None else now
    # Beside them lie documents, and the scans of open series.
    folders = sorted(path for path in root.glob("*") if (path / SUBFOLDERS["sent"]).is_dir())
    for folder in folders:
        found = entries(folder)
        states = [entry.state for entry in found]
        console.print(_table(folder, found, sent, now))
        line = ", ".join(f"{states.count(state)} {state}" for state in SUBFOLDERS)
        if len(states) > states.count("sent"):
            # Only a session has the other sinks: they are functions of its own.
            ours = folder == tiled_folder(settings)
            line += "; " + (
                "send them again with: rankaae-stream spool send"
                if ours
                else "the next session with this sink sends what waits"
            )
        console.print(line, highlight=False, soft_wrap=True)
    if not folders:
        console.print(f"nothing was ever spooled in {escape(str(root))}", soft_wrap=True)


def run_send(console: Console, profile: str | Path = "sim", *, patience: float = PATIENCE) -> bool:
    """Send the results that wait, and those that Tiled rejected before.

    Parameters
    ----------
    console : Console
    profile : str or Path
    patience : float
        Seconds without one result leaving after which sending ends.

    Returns
    -------
    bool
        Whether all of them are in Tiled now.

    Raises
    ------
    ConfigurationError
        When there is no key, or another session or process has the spool.
    """
    settings = load_profile(profile)
    settings.api_key()
    folder = tiled_folder(settings)
    if not folder.is_dir():
        console.print(f"nothing was ever spooled in {escape(str(folder))}", soft_wrap=True)
        return True
    total = _make_wait(folder)
    # It sends whatever waits in the spool.
    publisher = ResultPublisher(settings)
    with progress_bar(console, "results") as progress:
        task = progress.add_task("sending", total=total)
        publisher.drain(patience, lambda left: progress.update(task, completed=total - left))
        failing, rejected = publisher.failing, publisher.rejected
        unsent = publisher.close(1.0)
        progress.update(task, completed=total - unsent)
    for line in _lines(settings, total, unsent, rejected, failing):
        console.print(line, markup=False, highlight=False, soft_wrap=True)
    return not (unsent or rejected)


def run_aside(console: Console, uid: str, profile: str | Path = "sim", reason: str = "") -> None:
    """Put one waiting result aside; a session that runs goes on with the others.

    Raises
    ------
    ConfigurationError
        When no result waits whose uid begins so, or several do.
    """
    with _opened(profile) as spool:
        whole = _find(spool, uid, ("waiting",)).uid
        spool.rejected(whole, reason or "put aside by hand")
    console.print(
        f"{whole} is put aside; rankaae-stream spool retry {whole[:8]} sends it after all"
    )


def run_retry(console: Console, uid: str, profile: str | Path = "sim") -> None:
    """Let one result that was put aside wait again: a session that runs sends it.

    Raises
    ------
    ConfigurationError
        As for `run_aside`.
    """
    with _opened(profile) as spool:
        whole = _find(spool, uid, ("rejected",)).uid
        spool.restore(whole)
    console.print(f"{whole} waits again; a session sends it, or: rankaae-stream spool send")


def run_repair(console: Console, uid: str, profile: str | Path = "sim") -> None:
    """Let one result be written anew: delete what Tiled has of it, and let it wait again.

    Parameters
    ----------
    console : Console
    uid : str
        Of the result, sent or not, or its beginning.
    profile : str or Path

    Raises
    ------
    ConfigurationError
        As for `run_aside`, and when Tiled cannot be asked or has something else under that uid.
    """
    settings = load_profile(profile)
    sink = tiled_sink(settings, settings.api_key())
    with _opened(profile) as spool:
        entry = _find(spool, uid, tuple(SUBFOLDERS))
        try:
            cleared = sink.clear({**entry.start, "uid": entry.uid})
        except (Rejected, Unavailable, Postponed) as error:
            raise ConfigurationError(f"nothing is changed: {error}") from error
        finally:
            sink.close()
        spool.restore(entry.uid, entry.state)
    done = "is deleted in Tiled and waits again" if cleared else "waits again; Tiled has none"
    console.print(f"{entry.uid} {done}; a session sends it, or: rankaae-stream spool send")


@contextmanager
def _opened(profile: str | Path) -> Generator[Spool]:
    folder = tiled_folder(load_profile(profile))
    if not folder.is_dir():
        raise ConfigurationError(f"nothing was ever spooled in {folder}")
    spool = Spool(folder)
    try:
        yield spool
    finally:
        spool.close()


def _find(spool: Spool, uid: str, states: Sequence[str]) -> Entry:
    """Return the one result whose uid begins so."""
    found = [
        entry
        for entry in entries(spool.folder)
        if entry.state in states and entry.uid.startswith(uid)
    ]
    if len(found) != 1:
        raise ConfigurationError(
            f"{len(found)} results that are {' or '.join(states)} have a uid that begins with "
            f"{uid!r}; rankaae-stream spool lists them"
        )
    return found[0]


def _make_wait(folder: Path) -> int:
    """Let rejected results wait again; return how many wait then."""
    spool = Spool(folder)
    try:
        if not spool.owner:
            raise ConfigurationError(
                f"a running session or replay has the spool {folder} and sends what waits there "
                "by itself; end it, or see its status(), and try again"
            )
        for entry in entries(folder):
            if entry.state == "rejected":
                spool.restore(entry.uid)
        return len(spool.waiting())
    finally:
        spool.close()


def _lines(profile: Profile, total: int, unsent: int, rejected: int, failing: str) -> Iterator[str]:
    where = f"{profile.tiled.node!r} at {profile.tiled.uri}"
    yield f"{total - unsent - rejected} of {total} results are in {where} now."
    if unsent:
        yield f"{unsent} still wait: {failing or 'there was not enough time; try again'}."
    if rejected:
        yield f"{rejected} were not taken; rankaae-stream spool lists why."


def _table(folder: Path, found: Sequence[Entry], sent: int, now: float) -> Table:
    table = Table(box=box.SIMPLE_HEAD, padding=(0, 1), pad_edge=False)
    table.title, table.title_justify = escape(str(folder)), "left"
    for name in ("state", "age", "element", "sample"):
        table.add_column(name, no_wrap=name != "sample")
    table.add_column("result", no_wrap=True)
    table.add_column("reason", overflow="fold")
    done = [entry for entry in found if entry.state == "sent"][-sent:] if sent > 0 else []
    for entry in [entry for entry in found if entry.state != "sent"] + done:
        style = {"rejected": "bold red", "waiting": "bold", "sent": "dim"}[entry.state]
        start = entry.start
        table.add_row(
            f"[{style}]{entry.state}[/]",
            _age(now - entry.written),
            escape(str(start.get("element", "?"))),
            escape(_sample(start)),
            escape(entry.uid[:8]),
            escape(entry.reason),
        )
    return table


def _sample(start: Mapping[str, Any]) -> str:
    if start.get("purpose") == PURPOSE:
        return "what-if curves"
    return str(start.get("sample_name", "") or start.get("scan_id", ""))


def _age(seconds: float) -> str:
    """Write an age in its largest whole unit: 12 s, 5 min, 3 h, 2 d."""
    for size, unit in ((86400.0, "d"), (3600.0, "h"), (60.0, "min")):
        if seconds >= size:
            return f"{seconds / size:.0f} {unit}"
    return f"{max(seconds, 0.0):.0f} s"
