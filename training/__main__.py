"""``python -m training``: train, evaluate and export from a checkout."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Annotated

import torch
import typer
from pydantic import ValidationError
from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn
from rich.table import Table

from rankaae_stream.errors import ConfigurationError
from training.build import Built, build
from training.config import Data, load
from training.cutoffs import sensitivity
from training.dataset import DATA
from training.export import MODELS
from training.sources import elements, read_sites
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
    data: Annotated[
        Path, typer.Option(help="Folder of data.simulated and data.table: your own simulations")
    ] = DATA,
    skip_bad: Annotated[
        bool, typer.Option("--skip-bad", help="Go on after what cannot be read, and list it")
    ] = False,
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

            built = build(
                settings, models=models, runs=runs, data=data, progress=started, skip_bad=skip_bad
            )
    except ConfigurationError as error:
        console.print(str(error), style="red", markup=False)
        raise typer.Exit(1) from error
    _show(built)


@app.command()
def describe(
    files: Annotated[
        list[str], typer.Argument(help="Globs below --data, such as 'fe-feff10-*.parquet'")
    ],
    data: Annotated[Path, typer.Option(help="Folder they lie in")] = DATA,
    source: Annotated[str, typer.Option(help="parquet or feff")] = "parquet",
    skip_bad: Annotated[
        bool, typer.Option("--skip-bad", help="Go on after what cannot be read, and list it")
    ] = False,
) -> None:
    """Count the sites whose labels change when the cutoffs of their definition move by 0.1 Å."""
    table = Table(
        "element",
        "sites",
        "CN",
        "ligand CN, first shell",
        "ligand CN, bonds",
        title="-0.1 / +0.1 Å",
    )
    bad: dict[str, None] = {}
    try:
        for glob in files:
            settings = Data.model_validate(
                {"source": source, "simulated": _below(glob, data), "core_hole_width": 1.0}
            )
            for element in elements(settings, data):
                found = read_sites(element, settings, data, skip_bad=skip_bad)
                bad |= dict.fromkeys(found.bad)
                _list_lost((), found.dropped)
                for kind, sites in (
                    ("", found.sites),
                    (" native", [site for site in found.sites if site.native]),
                ):
                    counts = sensitivity(sites)
                    pairs = (counts.coordination, counts.ligand_by_shell, counts.ligand_by_bond)
                    table.add_row(
                        element + kind, str(counts.sites), *(f"{a} / {b}" for a, b in pairs)
                    )
    except (ConfigurationError, ValidationError) as error:
        console.print(str(error), style="red", markup=False)
        raise typer.Exit(1) from error
    _list_lost(tuple(bad), {})
    console.print(table)


def _below(glob: str, data: Path) -> str:
    """A path that was typed from elsewhere, as it is named below the data folder."""
    path = Path(glob).resolve()
    return (
        path.relative_to(data.resolve()).as_posix() if path.is_relative_to(data.resolve()) else glob
    )


def _list_lost(bad: Sequence[str], dropped: Mapping[str, int]) -> None:
    for reason, count in dropped.items():
        console.print(f"dropped {count} sites: {reason}", markup=False)
    for one in bad:
        console.print(f"skipped {one}", style="yellow", markup=False)


def _show(built: Built) -> None:
    card, evaluation = built.card, built.evaluation
    _list_lost(built.bad, built.dropped)
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
