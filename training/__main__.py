"""``python -m training``: train, evaluate and export from a checkout."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any

import torch
import typer
from pydantic import ValidationError
from rich.console import Console
from rich.table import Table

from rankaae_stream.errors import Refused
from rankaae_stream.show.commands import Commands
from training.build import Built, build
from training.commands import evaluate, learn, splits
from training.config import Config, Data, load
from training.domain.build import build_domain
from training.folders import CONFIGS, DATA, MODELS, RUNS
from training.measured.find_shifts import Shifts, find_shifts, judge_elsewhere
from training.measured.own_shift import APART, apart, shift_table
from training.measured.shown import ELSEWHERE, Shown, as_toml
from training.measured.standards import Standard, read_table
from training.partial.build import build_partial
from training.simulated.cutoffs import sensitivity
from training.simulated.sources import elements, read_sites
from training.trials.progress import Display
from training.trials.search import Found, search
from training.trials.workers import TrialFailedError, Workers


class TrainingCommands(Commands):
    """Print what a configuration, a spectrum, a trial or a file has wrong as one sentence."""

    EXPECTED = (*Commands.EXPECTED, Refused, TrialFailedError, ValidationError, OSError)


app = typer.Typer(
    cls=TrainingCommands,
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    help=__doc__,
)
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
    threads: Annotated[int, typer.Option(min=1, help="CPU threads of a trial")] = 1,
    workers: Annotated[
        int | None,
        typer.Option(
            min=1, help="Trials at once; unless given, as many as cores // threads or Dask workers"
        ),
    ] = None,
    dask: Annotated[
        str | None,
        typer.Option(
            help="Train on a Dask cluster, such as tcp://host:8786; its workers need this "
            "checkout, not the data, and --nthreads 1"
        ),
    ] = None,
    samples: Annotated[
        int | None,
        typer.Option(
            "--search",
            min=1,
            help="Instead of a model: try so many settings near the given ones and write the best",
        ),
    ] = None,
) -> None:
    """Train every trial, keep the best, calibrate on measured standards, export.

    A trial that finished before under the same configuration and data is taken
    from --runs, so an interrupted command resumes where it stopped; so does a search.
    """
    torch.set_num_threads(threads)
    where = Workers(workers, threads, dask)
    settings = load(config)
    with Display(console) as watch:
        if samples is None:
            result = build(
                settings,
                models=models,
                runs=runs,
                data=data,
                workers=where,
                watch=watch,
                skip_bad=skip_bad,
            )
        else:
            result = search(
                settings,
                samples,
                runs=runs,
                data=data,
                workers=where,
                watch=watch,
                skip_bad=skip_bad,
            )
    if isinstance(result, Built):
        _show(result)
    else:
        _show_search(result)


@app.command()
def constants(
    tables: Annotated[
        list[Path], typer.Argument(help="Parquet files of measured spectra, see `read_table`")
    ],
    configs: Annotated[
        list[Path] | None,
        typer.Option("--config", help="Models; by default all of training/configs but tiny.toml"),
    ] = None,
    out: Annotated[Path, typer.Option(help="Where it is written")] = ELSEWHERE,
    runs: Annotated[Path, typer.Option(help="Where finished trials are kept")] = RUNS,
    data: Annotated[Path, typer.Option(help="Folder of data.simulated")] = DATA,
) -> None:
    """Judge measured spectra that may not be shipped, and write what came of them.

    Writes training/data/standards/elsewhere.toml: `fit` takes it where the spectra are absent.
    The models' trials have to be trained: run `fit` before, and once more after.
    """
    measured = _measured(tables)
    found: list[Shown] = []
    for path in configs or standing_configs():
        with Display(console) as watch:
            found += judge_elsewhere(load(path), measured, runs=runs, data=data, watch=watch)
        console.print(f"{path.stem}: {len(found)} compounds so far", highlight=False)
    out.write_text(as_toml(found), encoding="utf-8")
    console.print(f"{out}: {len(found)} compounds", highlight=False, soft_wrap=True)


@app.command()
def shifts(
    config: Annotated[Path, typer.Argument(help="TOML file, such as training/configs/fe-k.toml")],
    tables: Annotated[
        list[Path] | None, typer.Argument(help="Parquet files of more measured spectra")
    ] = None,
    runs: Annotated[Path, typer.Option(help="Where finished trials are kept")] = RUNS,
    data: Annotated[Path, typer.Option(help="Folder of data.simulated")] = DATA,
) -> None:
    """Show what `data.shifts` should be: every compound laid on its own structure.

    Where trials are trained, also the valence error at common shifts beyond the table: the two
    should agree within 1 eV, else find out why before a card is made.
    """
    measured = _measured(tables or [])
    found = find_shifts(load(config), measured, runs=runs, data=data)
    _show_shifts(load(config), found)


@app.command()
def domain(
    version: Annotated[str, typer.Argument(help="Name of the folder below models/domain")],
    tables: Annotated[
        list[Path] | None,
        typer.Argument(help="Parquet files of measured spectra that are judged, not learned"),
    ] = None,
    models: Annotated[Path, typer.Option(help="Where domain/<version>/ is written")] = MODELS,
    data: Annotated[Path, typer.Option(help="Folder of the simulated spectra")] = DATA,
) -> None:
    """Train the classifier that tells oxides from what is none, for all elements.

    A few minutes. `fit` puts it into every model that it writes afterwards.
    """
    torch.set_num_threads(1)
    measured = _measured(tables or [])
    with console.status("training the classifier, 13 times"):
        made = build_domain(
            [load(path) for path in standing_configs()],
            version,
            models=models,
            data=data,
            more=measured,
        )
    _show_domain(made.card)


@app.command()
def partial(
    tables: Annotated[
        list[Path] | None,
        typer.Argument(help="Parquet files of measured spectra that are judged, not learned"),
    ] = None,
    models: Annotated[Path, typer.Option(help="Folder of index.json")] = MODELS,
    runs: Annotated[Path, typer.Option(help="Where finished networks are kept")] = RUNS,
    data: Annotated[Path, typer.Option(help="Folder of the simulated spectra")] = DATA,
) -> None:
    """Train the networks that answer growing and short scans, and add them to all models.

    About a minute a model; what was trained before is taken from --runs. `fit` writes a model
    without: run this after it, then `evaluate`.
    """
    torch.set_num_threads(1)
    measured = _measured(tables or [])
    with console.status("training partial answers") as status:
        made = build_partial(
            models=models,
            runs=runs,
            data=data,
            more=measured,
            done=lambda key: status.update(f"training partial answers: {key} is done"),
        )
    for title, lines in (
        ("measured standards, each by a network that has not seen it", made.measured),
        ("measured compounds that no network has seen", made.elsewhere),
        ("simulated compounds that no network has seen", made.simulated),
    ):
        _show_partial(title, lines)


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
                table.add_row(element + kind, str(counts.sites), *(f"{a} / {b}" for a, b in pairs))
    _list_lost(tuple(bad), {})
    console.print(table)


app.command()(evaluate)
app.command()(learn)
app.command()(splits)


def _below(glob: str, data: Path) -> str:
    """Return a path that was typed from elsewhere as it is named below the data folder."""
    path = Path(glob).resolve()
    return (
        path.relative_to(data.resolve()).as_posix() if path.is_relative_to(data.resolve()) else glob
    )


def _list_lost(bad: Sequence[str], dropped: Mapping[str, int]) -> None:
    for reason, count in dropped.items():
        console.print(f"dropped {count} sites: {reason}", markup=False)
    for one in bad:
        console.print(f"skipped {one}", style="yellow", markup=False)


def _measured(tables: Sequence[Path]) -> list[Standard]:
    return [one for table in tables for one in read_table(table)]


def standing_configs() -> list[Path]:
    """Return the configurations of the shipped models."""
    return sorted(CONFIGS.glob("*-k.toml"))


def _show_shifts(config: Config, found: Shifts) -> None:
    table = Table("compound", "valence", "laid on", "shift beyond the table (eV)", "rms")
    for one in sorted(found.laid, key=lambda it: (it.oxidation_state, it.compound)):
        table.add_row(
            one.compound,
            f"{one.oxidation_state:g}",
            f"{one.sites} of its {'formula' if one.own else 'class'}",
            f"{one.shift:+.2f}",
            f"{one.misfit:.3f}",
        )
    console.print(table)
    table = Table("compound", "valence", "sites of its class", "shift (eV)", "from the median")
    off = apart(found.classes)
    for one in sorted(found.classes, key=lambda it: (it.oxidation_state, it.compound)):
        table.add_row(
            one.compound,
            f"{one.oxidation_state:g}",
            f"{one.sites}",
            f"{one.shift:+.2f} ± {one.scatter:.2f}",
            f"{off[one.compound]:+.2f}" + (" !" if abs(off[one.compound]) > APART else ""),
        )
    console.print(table)
    shifts = shift_table(found.laid, config.data.shifts)
    console.print(
        "shifts = {"
        + ", ".join(f"{v:g} = {by:.1f}" for v, by in shifts.items())
        + "}  by structure"
    )
    for one in found.scanned:
        console.print(
            f"{one.shift:+.2f} eV more: valence MAE {one.error:.2f}, bias {one.bias:+.2f}"
        )


def _show_partial(title: str, lines: Sequence[Mapping[str, Any]]) -> None:
    columns = ("begins", "ends", "noise", "compounds", "answered", "MAE", "holds", "width")
    table = Table(*columns, title=title)
    for one in lines:
        table.add_row(
            f"{one['begins']:+.0f} eV",
            f"{one['reach']:+.0f} eV",
            f"{one['noise']:.1%}",
            str(one["compounds"]),
            f"{one['answered']:.0%}",
            f"{one['error']:.2f}",
            f"{one['held']:.0%}",
            f"{one['width']:.2f}",
        )
    console.print(table)


def _show_domain(card: Mapping[str, Any]) -> None:
    table = Table("kind", "flagged, compound unseen", "flagged, kind unseen", "measured, unseen")
    for one, other in zip(card["known_kinds"], card["kinds_left_out"], strict=True):
        missed = ", ".join(other["missed"])
        table.add_row(
            one["name"],
            f"{one['flagged_simulated']:.0%} of {one['simulated']}",
            f"{other['flagged_simulated']:.0%}",
            f"{other['measured'] - len(other['missed'])} of {other['measured']}"
            + (f" (not {missed})" if missed else ""),
        )
    console.print(table)
    console.print(f"threshold {card['threshold']:.3f}", highlight=False)


def _show(built: Built) -> None:
    card, evaluation = built.card, built.evaluation
    _list_lost(built.bad, built.dropped)
    kept = [f"{one['seed']} of {one['network']}" for one in evaluation["trials"] if one["kept"]]
    console.print(f"{card.name} {card.version}, id {card.id[:12]}, seeds {', '.join(kept)}")
    table = Table("descriptor", "test rho", "test MAE", "±, members agreed", "evidence")
    for output in card.outputs:
        scores = evaluation["test"][output.name]
        table.add_row(
            output.name,
            f"{scores['spearman_score']:.2f}",
            f"{scores['mean_absolute_error_loss']:.3f}",
            f"{output.error_constant:.3f}",
            output.evidence,
        )
    console.print(table)
    table = Table("standard", "true", "estimate", "left out", "shift beyond the table")
    for compound, row in evaluation["standards"].items():
        left_out = row["left_out_error"]
        table.add_row(
            compound,
            f"{row['oxidation_state']:.2f}",
            f"{row['estimate']:.2f}",
            "-" if left_out is None else f"{left_out:+.2f}",
            "-" if row["own_shift"] is None else f"{row['own_shift']:+.2f}",
        )
    console.print(table)


def _show_search(found: Found, most: int = 4) -> None:
    """Print the best samples side by side: their figures, then the settings searched."""
    best = found.samples[:most]
    table = Table("", *(f"sample {sample.number}" for sample in best), "given")
    table.add_row("score", *(f"{sample.score:.4f}" for sample in best), "")
    figures = [sample.figures for sample in best]
    for label, values in (
        ("mean rho", [sum(f.spearman_scores) / len(f.spearman_scores) for f in figures]),
        ("free correlation", [f.free_correlation_loss for f in figures]),
        ("tied excess", [f.tied_excess_loss for f in figures]),
        ("reconstruction rms", [f.reconstruction_loss for f in figures]),
    ):
        table.add_row(label, *(f"{value:.3f}" for value in values), "")
    table.add_section()
    for key, given in found.given.items():
        table.add_row(key, *(f"{sample.settings[key]:.4g}" for sample in best), f"{given:.4g}")
    console.print(table)
    console.print(
        f"{len(found.samples)} samples; the best settings are in\n{found.path}\n"
        f"train them: python -m training fit {found.path}",
        markup=False,
        highlight=False,
        soft_wrap=True,
    )


if __name__ == "__main__":
    app()
