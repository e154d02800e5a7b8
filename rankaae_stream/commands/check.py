"""Run `rankaae-stream check`: a list of checks, with the fix where something is wrong."""

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
) -> bool:
    """Check a profile and show each finding at once.

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

    Returns
    -------
    bool
        Whether nothing failed; what could not be checked is no failure.
    """
    verdicts: Counter[str] = Counter()
    if as_json:
        console = Console(quiet=True)
    with console.status("checking") as status:
        findings = check_profile(
            profile,
            run=run,
            online=online,
            progress=lambda what: status.update(f"checking {what}"),
        )
        for area, group in itertools.groupby(findings, lambda finding: finding.area):
            found = list[Finding]()
            for finding in group:
                verdicts[finding.verdict] += 1
                found.append(finding)
                if as_json:
                    print(json.dumps(asdict(finding), allow_nan=False), flush=True)  # noqa: T201
            console.print(_shown(area, found, verbose=verbose))
    counts = [f"[{style}]{verdicts[name]} {name}[/]" for name, style in STYLES.items()]
    console.print(f"\n{', '.join(counts)}", highlight=False)
    return not verdicts["failed"]


def _shown(area: str, found: Sequence[Finding], *, verbose: bool) -> Group:
    """Return a heading with a line for each finding, or one line for many that are ok."""
    table = Table.grid(padding=(0, 2, 0, 0))
    table.add_column(no_wrap=True, width=11)
    table.add_column()
    for finding in found if verbose or area in IN_FULL else _condensed(found):
        table.add_row(Text(finding.verdict, style=STYLES[finding.verdict]), _text(finding))
    return Group(Text(f"\n{area}", style="bold"), table)


def _condensed(found: Sequence[Finding]) -> list[Finding]:
    good = [finding for finding in found if finding.verdict == "ok"]
    if len(good) < 2:
        return list(found)
    names = "; ".join(finding.name for finding in good)
    first = Finding(good[0].area, f"{len(good)} of {len(found)} checks", "ok", names)
    return [first, *(finding for finding in found if finding.verdict != "ok")]


def _text(finding: Finding) -> Text:
    # A curve and its title keep their lines.
    curve = finding.name == "curve" and finding.verdict == "ok"
    text = Text(finding.message if curve else f"{finding.name}: {finding.message}", no_wrap=curve)
    if finding.fix:
        what = "to check it" if finding.verdict == "not checked" else "fix"
        text.append(f"\n{what}: {finding.fix}", style="bold")
    return text
