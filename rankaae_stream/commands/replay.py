"""Run `rankaae-stream replay`: answer an archive, show a table and what failed."""

from collections import Counter
from collections.abc import Iterator
from pathlib import Path

from rich.console import Console

from rankaae_stream.past.archive import open_archive
from rankaae_stream.past.selection import Selection
from rankaae_stream.profile import Profile, load_profile
from rankaae_stream.replay import Outcome, Replayed, Workers, replay
from rankaae_stream.show.progress import RateColumn, progress_bar, time_left
from rankaae_stream.show.table import report_table

__all__ = ["run_replay"]

MOST_PROBLEMS = 50
"""Runs that could not be read which are printed, each with its reason."""


def run_replay(
    console: Console,
    source: str,
    *,
    profile: str | Path = "sim",
    selection: Selection | None = None,
    dry_run: bool = False,
    workers: Workers | None = None,
    again: bool = False,
) -> bool:
    """Replay an archive and show the answers.

    Parameters
    ----------
    console : Console
    source : str
        See `past.archive.open_archive`.
    profile : str or Path
    selection : Selection, optional
    dry_run : bool
        Answer only; nothing is published.
    workers : Workers, optional
        Answer in several processes, or on a Dask cluster.
    again : bool
        Answer anew what an interrupted replay has finished.

    Returns
    -------
    bool
        Whether all that was asked for was read and published; refusals are answers.

    Raises
    ------
    ConfigurationError
        When the archive cannot be opened, or the profile, a model or the Tiled
        key is wrong.
    """
    settings = load_profile(profile)
    wanted = selection or Selection()
    with console.status("opening the archive"):
        archive = open_archive(source, wanted, settings.own_server)
    with archive, progress_bar(console, "runs", RateColumn(), time_left()) as progress:
        task = progress.add_task("replaying", total=archive.total)
        done = replay(
            archive.runs if workers is None else archive.references,
            settings,
            dry_run=dry_run,
            selection=wanted,
            workers=workers,
            resume=_name(source),
            again=again,
            told=lambda _: progress.advance(task),
            sending=lambda left: progress.update(task, description=f"publishing, {left} left"),
        )
        progress.update(task, description="replayed")
    _show(console, done, dry_run)
    for line in _lines(done, settings, source, dry_run):
        console.print(line, markup=False, highlight=False, soft_wrap=True)
    return not done.failed and bool(done.outcomes)


def _name(source: str) -> str:
    """Return the archive's name, the same from whichever folder it is replayed."""
    path = Path(source).expanduser()
    return source if "://" in source else str(path.resolve())


def _show(console: Console, done: Replayed, dry_run: bool) -> None:
    rows = [(outcome, report) for outcome in done.outcomes for report in outcome.reports]
    if not rows:
        return
    rows.sort(key=lambda row: float(row[0].start.get("time", 0.0)))
    title = "What would be published" if dry_run else "What the archive's runs say"
    reports = [report for _, report in rows]
    console.print(report_table(reports, [_label(outcome) for outcome, _ in rows], title))


def _label(outcome: Outcome) -> str:
    """Return the sample with the beginning of the uid, as --uid takes it."""
    sample = str(outcome.start.get("sample_name", "")).strip()
    return f"{sample} ({outcome.name[:8]})" if sample else outcome.name[:8]


def _lines(done: Replayed, profile: Profile, source: str, dry_run: bool) -> Iterator[str]:
    """Yield what the table does not show: counts, reasons and fixes."""
    reports = [report for outcome in done.outcomes for report in outcome.reports]
    refused = sum(report.refusal is not None for report in reports)
    where = f"{profile.tiled.node!r} at {profile.tiled.uri}"
    if reports:
        end = "nothing was published" if dry_run else f"published to {where}"
        if not dry_run and (done.unsent or done.rejected):
            end = f"not all of them published to {where}"
        yield f"{len(reports) - refused} answered, {refused} refused; {end}."
    before = sum(outcome.before for outcome in done.outcomes)
    if before:
        yield (
            f"{before} runs had been answered and published when an earlier replay was "
            "interrupted; --again answers them anew."
        )
    for reason, count in Counter(o.skipped for o in done.outcomes if o.skipped).items():
        yield f"{count} skipped: {reason}."
    problems = [outcome for outcome in done.outcomes if outcome.problem]
    for outcome in problems[:MOST_PROBLEMS]:
        yield f"not answered: {outcome.name}: {outcome.problem}"
    if len(problems) > MOST_PROBLEMS:
        yield f"{len(problems)} runs were not answered; the first {MOST_PROBLEMS} are shown."
    for uid in done.missing:
        yield f"no run of {source} has a uid that begins with {uid}."
    if done.lost:
        yield (
            f"the archive could not be read to its end: {done.lost}; start again when it is "
            "back; what is published already is left as it is."
        )
    if done.foils_unknown:
        yield (
            f"the foils of earlier runs come from this archive and {profile.spool.expanduser()} "
            f"only: {profile.tiled.uri} could not be asked ({done.foils_unknown})."
        )
    if done.unsent:
        yield (
            f"{done.unsent} results stay in {profile.spool.expanduser()} ({done.failing}); they "
            "are sent by the next session or replay with this profile."
        )
    if done.rejected:
        yield f"{done.rejected} results were not taken and lie in {profile.spool.expanduser()}."
    if not done.outcomes and not done.lost and not done.missing:
        yield f"no run of {source} is among those asked for."
