"""Show how many of a known number are done."""

from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    ProgressColumn,
    TextColumn,
    TimeElapsedColumn,
)

__all__ = ["progress_bar"]


def progress_bar(console: Console, unit: str, *more: ProgressColumn) -> Progress:
    """Return a bar with a task's description, a count in `unit`, `more`, and the time taken."""
    return Progress(
        TextColumn("{task.description}"),
        BarColumn(bar_width=None),
        MofNCompleteColumn(),
        TextColumn(unit),
        *more,
        TimeElapsedColumn(),
        console=console,
    )
