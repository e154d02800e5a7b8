"""`rankaae-stream check`: a check list in words, with the fix where something is wrong."""

import itertools
import json
from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path

from rich.console import Console, Group
from rich.table import Table
from rich.text import Text

from rankaae_stream.checks.base import Finding
from rankaae_stream.checks.profile import check_profile
from rankaae_stream.server.tiled_server import EmbeddedServer

__all__ = ["run_check"]

STYLES = {"ok": "green", "not checked": "yellow", "failed": "bold red"}
IN_FULL = ("profile", "tiled", "run")
"""Areas of which every finding is shown; of the others only what is not ok."""


def run_check(
    console: Console,
    profile: str | Path,
    *,
    run: str | None = None,
    online: bool = False,
    verbose: bool = False,
    as_json: bool = False,
    server: EmbeddedServer | None = None,
) -> bool:
    """Check a profile and show what is found as it is found.

    Parameters
    ----------
    console : Console
    profile : str or Path
    run : str, optional
        A recorded run: a file, a Tiled address or a uid.
    online : bool
        Whether the profile's own Tiled is asked.
    verbose : bool
        Whether every check is shown, also where all of an area are ok.
    as_json : bool
        One object a line instead.
    server : EmbeddedServer, optional
        Where the sink is tried; one of its own by default.

    Returns
    -------
    bool
        Whether nothing failed; what could not be checked is no failure.
    """
    verdicts: Counter[str] = Counter()
    with console.status("checking") if not as_json else _Silent() as status:
        findings = check_profile(
            profile,
            run=run,
            online=online,
            server=server,
            progress=lambda what: status.update(f"checking {what}"),
        )
        for area, group in itertools.groupby(findings, lambda one: one.area):
            found = list[Finding]()
            for one in group:
                verdicts[one.verdict] += 1
                found.append(one)
                if as_json:
                    print(json.dumps(asdict(one), allow_nan=False), flush=True)  # noqa: T201
            if not as_json:
                console.print(_shown(area, found, verbose=verbose))
    if not as_json:
        counts = [f"[{STYLES[one]}]{verdicts[one]} {one}[/]" for one in STYLES]
        console.print(f"\n{', '.join(counts)}", highlight=False)
    return not verdicts["failed"]


class _Silent:
    """A status line that nobody sees."""

    def __enter__(self) -> "_Silent":
        return self

    def __exit__(self, *exc_info: object) -> None:
        pass

    def update(self, status: str) -> None:
        del status


def _shown(area: str, found: Sequence[Finding], *, verbose: bool) -> Group:
    """A heading and a line for each finding, or one line for many that are ok."""
    table = Table.grid(padding=(0, 2, 0, 0))
    table.add_column(no_wrap=True, width=11)
    table.add_column()
    for one in found if verbose or area in IN_FULL else _condensed(found):
        table.add_row(Text(one.verdict, style=STYLES[one.verdict]), _told(one))
    return Group(Text(f"\n{area}", style="bold"), table)


def _condensed(found: Sequence[Finding]) -> list[Finding]:
    good = [one for one in found if one.verdict == "ok"]
    if len(good) < 2:
        return list(found)
    names = "; ".join(one.name for one in good)
    first = Finding(good[0].area, f"{len(good)} of {len(found)} checks", "ok", names)
    return [first, *(one for one in found if one.verdict != "ok")]


def _told(one: Finding) -> Text:
    # A curve and its title keep their lines.
    curve = one.name == "curve" and one.verdict == "ok"
    said = Text(one.message if curve else f"{one.name}: {one.message}", no_wrap=curve)
    if one.fix:
        what = "to check it" if one.verdict == "not checked" else "fix"
        said.append(f"\n{what}: {one.fix}", style="bold")
    return said
