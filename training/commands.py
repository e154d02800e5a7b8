"""``python -m training evaluate``, ``learn`` and ``splits``: reports and what they show."""

import json
from pathlib import Path
from typing import Annotated, Any

import torch
import typer
from pydantic import ValidationError
from rich.console import Console
from rich.progress import track

from rankaae_stream.errors import ConfigurationError
from rankaae_stream.model.folder import load_model
from training.config import Config, load
from training.domain.build import read_domain
from training.evaluation import learning_curve
from training.evaluation.evaluate import Evaluation, evaluate_model
from training.evaluation.figures import draw_report, draw_sweeps
from training.evaluation.pages import models_readme, write_report
from training.evaluation.single import write_figures
from training.evaluation.splits import judge_splits
from training.folders import DATA, LEARNING, MODELS, RUNS, SPLITS
from training.measured import standards
from training.partial.build import read_partial
from training.simulated import dataset
from training.trials.progress import Display
from training.trials.workers import Workers

__all__ = ["evaluate", "learn", "splits"]

console = Console()


def evaluate(
    names: Annotated[
        list[str] | None,
        typer.Argument(help="As in index.json, fe-k/2026-11-22 or fe-k; all by default"),
    ] = None,
    models: Annotated[Path, typer.Option(help="Folder of index.json")] = MODELS,
    data: Annotated[Path, typer.Option(help="Folder of data.simulated")] = DATA,
) -> None:
    """Judge exported models and write report.md and its pictures beside them.

    With all models also README.md in their folder.
    """
    torch.set_num_threads(1)
    index = _index(models)
    chosen = _chosen(index, names or [])
    found: list[Evaluation] = []
    for key in track(chosen, "evaluate", console=console, disable=not console.is_terminal):
        one = _evaluate(key, index[key], models, data)
        folder = models / key
        (folder / "report.png").write_bytes(draw_report(one))
        (folder / "sweeps.png").write_bytes(draw_sweeps(one))
        (folder / "report.md").write_text(write_report(one), encoding="utf-8")
        console.print(f"{folder / 'report.md'}", highlight=False, soft_wrap=True)
        found.append(one)
    if set(chosen) == set(index):
        page = models_readme(found, read_domain(models).card, read_partial(models))
        (models / "README.md").write_text(page, encoding="utf-8")
        console.print(f"{models / 'README.md'}", highlight=False, soft_wrap=True)


def learn(
    config: Annotated[Path, typer.Argument(help="TOML file, such as training/configs/fe-k.toml")],
    fractions: Annotated[
        list[float] | None,
        typer.Option("--fractions", help="Parts of the training spectra; repeat the option"),
    ] = None,
    seeds: Annotated[int, typer.Option(min=1, help="Networks a part")] = 2,
    runs: Annotated[Path, typer.Option(help="Where finished trials are kept")] = RUNS,
    data: Annotated[Path, typer.Option(help="Folder of data.simulated")] = DATA,
    threads: Annotated[int, typer.Option(min=1, help="CPU threads of a trial")] = 1,
    workers: Annotated[int | None, typer.Option(min=1, help="Trials at once")] = None,
) -> None:
    """Train on parts of the compounds and write training/learning/<config>.json.

    Resumes as `fit` does, and finds the model's own trials for the whole.
    """
    torch.set_num_threads(threads)
    with Display(console) as watch:
        found = learning_curve.learn(
            load(config),
            fractions or [0.25, 0.5, 1.0],
            seeds,
            runs=runs,
            data=data,
            workers=Workers(workers, threads),
            watch=watch,
        )
    path = LEARNING / f"{config.stem}.json"
    write_figures(found, path)
    console.print(f"{path}", highlight=False, soft_wrap=True)


def splits(
    config: Annotated[Path, typer.Argument(help="TOML file, such as training/configs/fe-k.toml")],
    count: Annotated[int, typer.Option("--splits", min=1, help="How many")] = 5,
    runs: Annotated[Path, typer.Option(help="Where finished trials are kept")] = RUNS,
    data: Annotated[Path, typer.Option(help="Folder of data.simulated")] = DATA,
    threads: Annotated[int, typer.Option(min=1, help="CPU threads of a network")] = 1,
) -> None:
    """Train one network on each of several splits and write training/splits/<config>.json.

    Resumes as `fit` does, and finds the model's own first trial.
    """
    torch.set_num_threads(threads)
    settings = load(config)
    first = settings.data.split_seed
    with Display(console) as watch:
        found = judge_splits(
            settings,
            range(first, first + count),
            runs=runs,
            data=data,
            workers=Workers(1, threads),
            watch=watch,
        )
    path = SPLITS / f"{config.stem}.json"
    write_figures(found, path)
    console.print(f"{path}", highlight=False, soft_wrap=True)


def _evaluate(key: str, digest: str, models: Path, data: Path) -> Evaluation:
    model = load_model(models / key, digest, "cpu")
    try:
        config = Config.model_validate(model.card.raw["training"]["config"])
    except (KeyError, ValidationError) as error:
        raise ConfigurationError(
            f"{models / key / 'card.json'}: its training.config is not one that this version "
            f"reads ({error}); fit the model again"
        ) from error
    simulated = dataset.read(config.element, config.data, config.grid, data)
    split = dataset.split(simulated, config.data)
    name = f"{key.split('/', maxsplit=1)[0]}.json"
    evaluation = json.loads((models / key / "evaluation.json").read_text(encoding="utf-8"))
    return evaluate_model(
        key,
        model,
        config,
        simulated,
        split,
        standards.load(config.element),
        evaluation,
        learning=_read(LEARNING / name),
        splits=_read(SPLITS / name),
    )


def _read(path: Path) -> dict[str, Any] | None:
    return json.loads(path.read_text(encoding="utf-8")) if path.is_file() else None


def _index(models: Path) -> dict[str, str]:
    path = models / "index.json"
    try:
        return dict(json.loads(path.read_text(encoding="utf-8")))
    except (OSError, TypeError, ValueError) as error:
        raise ConfigurationError(
            f"{path} is no index of models ({error}); name their folder with --models"
        ) from error


def _chosen(index: dict[str, str], names: list[str]) -> list[str]:
    wanted = [
        key
        for key in sorted(index)
        if not names or any(name in (key, key.split("/")[0]) for name in names)
    ]
    unknown = [name for name in names if not any(name in (key, key.split("/")[0]) for key in index)]
    if unknown or not wanted:
        raise ConfigurationError(
            f"no model {', '.join(unknown) or 'at all'}; the index holds "
            f"{', '.join(sorted(index)) or 'none'}"
        )
    return wanted
