"""``python -m training``: train, evaluate and export from a checkout."""

from pathlib import Path
from typing import Annotated

import torch
import typer
from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn
from rich.table import Table

from rankaae_stream.errors import ConfigurationError
from training.build import Built, build
from training.config import load
from training.export import MODELS
from training.train import RUNS

app = typer.Typer(no_args_is_help=True, add_completion=False, help=__doc__)
console = Console()


@app.callback()
def main() -> None:
    """Train RankAAE models on simulated spectra and export them for the stream."""


@app.command()
def fit(
    config: Annotated[Path, typer.Argument(help="TOML file, such as training/configs/fe-k.toml")],
    models: Annotated[Path, typer.Option(help="Where <edge>/<version>/ is written")] = MODELS,
    runs: Annotated[Path, typer.Option(help="Where finished trials are kept")] = RUNS,
    threads: Annotated[int, typer.Option(help="CPU threads of torch")] = 1,
) -> None:
    """Train every trial, keep the best, calibrate on measured standards, export.

    A trial that finished before under the same configuration and data is taken
    from --runs, so an interrupted command resumes where it stopped.
    """
    torch.set_num_threads(threads)
    try:
        settings = load(config)
        columns = (
            TextColumn("{task.description}"),
            BarColumn(),
            TextColumn("{task.completed}/{task.total} epochs {task.fields[losses]}"),
            TimeRemainingColumn(),
        )
        with Progress(*columns, console=console) as bars:

            def started(seed: int):
                task = bars.add_task(f"trial {seed}", total=settings.fit.epochs, losses="")

                def epoch(done: int, losses: dict[str, float]) -> None:
                    text = " ".join(f"{name[:6]} {value:.3f}" for name, value in losses.items())
                    bars.update(task, completed=done, losses=text)

                return epoch

            built = build(settings, models=models, runs=runs, progress=started)
    except ConfigurationError as error:
        console.print(f"[red]{error}[/red]")
        raise typer.Exit(1) from error
    _show(built)


def _show(built: Built) -> None:
    card, evaluation = built.card, built.evaluation
    console.print(f"{card.name} {card.version}, id {card.id[:12]}, seeds {evaluation['kept']}")
    console.print(f"theory shift {card.theory_shift}")
    table = Table("descriptor", "test rho", "test MAE", "simulated ±", "standards ±")
    for output in card.outputs:
        scores = evaluation["test"][output.name]
        table.add_row(
            output.name,
            f"{scores['spearman_score']:.2f}",
            f"{scores['mean_absolute_error_loss']:.3f}",
            f"{output.simulated_error:.3f}",
            f"{output.standards_error:.3f}",
        )
    console.print(table)
    table = Table("standard", "true", "estimate", "left out", "distance")
    for compound, row in evaluation["standards"].items():
        table.add_row(
            compound,
            f"{row['oxidation_state']:.2f}",
            f"{row['estimate']:.2f}",
            f"{row['left_out_error']:+.2f}",
            f"{row['distance']:.3f}",
        )
    console.print(table)
    console.print(f"domain {evaluation['domain']}")


if __name__ == "__main__":
    app()
