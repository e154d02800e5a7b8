"""Show how many of a known number are done."""

from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    ProgressColumn,
    Task,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)
from rich.text import Text

__all__ = ["RateColumn", "progress_bar", "time_left"]


class RateColumn(ProgressColumn):
    """How many are done in a second, of late."""

    def render(self, task: Task) -> Text:
        """Return the rate; nothing before the second is done."""
        speed = task.finished_speed or task.speed
        return Text("" if speed is None else f"{speed:.1f}/s")


def time_left() -> ProgressColumn:
    """Return a column with the time that the rest will take."""
    return TimeRemainingColumn(compact=True)


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
