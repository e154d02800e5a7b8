"""Show the progress of training: live bars on a terminal, a few lines anywhere else."""

import os
import time
from pathlib import Path

from rich.console import Console
from rich.progress import BarColumn, Progress, TaskID, TextColumn, TimeRemainingColumn

from training.trials.trials import Job

__all__ = ["Display"]

QUARTERS = 4
"""Lines a job gets where nothing can be redrawn."""


class Display(Progress):
    """All jobs at once, wherever they run; a `training.trials.trials.Watch`.

    A job that ends leaves one line. On a terminal those that run are shown below
    as bars; elsewhere each prints a line after every quarter of its epochs.

    Parameters
    ----------
    console : Console
    """

    def __init__(self, console: Console) -> None:
        self._all: TaskID | None = None
        super().__init__(
            TextColumn("{task.description}"),
            BarColumn(),
            TextColumn("{task.completed}/{task.total} {task.fields[text]}"),
            TimeRemainingColumn(),
            console=console,
            disable=not console.is_terminal,
        )

    def starts(self, jobs: int, logs: Path) -> None:
        """Say where the losses are drawn, and by which command."""
        self._line(f"losses: tensorboard --logdir {os.path.relpath(logs)}")
        self._all = self.add_task("all", total=jobs, text="finished")

    def found(self, job: Job) -> None:
        """Print one line for a job that had finished before."""
        self._line(f"{job.name}: found, trained before")
        self._advance()

    def begin(self, job: Job):
        """Add a bar, and return what moves it after each epoch."""
        epochs = job.config.fit.epochs
        bar = self.add_task(job.name, total=epochs, text="epochs")
        started = time.monotonic()

        def epoch(done: int, losses: dict[str, float], rate: float) -> None:
            del rate
            text = " ".join(f"{name[:6]} {value:.3f}" for name, value in losses.items())
            if done == epochs:
                spent = time.monotonic() - started
                self.remove_task(bar)
                self._line(f"{job.name}: {done} epochs in {spent:.0f} s: {text}")
                self._advance()
                return
            self.update(bar, completed=done, text=f"epochs {text}")
            quarter = done * QUARTERS // epochs
            if not self.console.is_terminal and quarter > (done - 1) * QUARTERS // epochs:
                self._line(f"{job.name}: {done}/{epochs} epochs: {text}")

        return epoch

    def _advance(self) -> None:
        if self._all is not None:
            self.advance(self._all)

    def _line(self, line: str) -> None:
        """Print a line unbroken, so that a path or a command can be copied."""
        self.console.print(line, markup=False, highlight=False, soft_wrap=True)
