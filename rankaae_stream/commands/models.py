"""Run `rankaae-stream models`: list the shipped models with their scores, or verify them."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, cast

import numpy as np
from rich import box
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from rankaae_stream import resources
from rankaae_stream.errors import ModelError
from rankaae_stream.model.card import ModelCard
from rankaae_stream.model.folder import checked_files, shipped_models
from rankaae_stream.model.verify import verify_model
from rankaae_stream.spectra.library import library_foil
from rankaae_stream.spectrum import K_EDGES

__all__ = ["Scores", "read_scores", "run_list", "run_verify"]

LEGEND = (
    "rho, MAE: oxidation state of simulated compounds that no trial saw. left out: its mean error "
    "on measured standards, each left out of the fit (compounds). width: of its interval on "
    "these, full, median."
)


@dataclass(frozen=True, slots=True, eq=False)
class Scores:
    """The scores that a person chooses a model by; None where its card has none.

    Attributes
    ----------
    model : str
        Its name in the index, ``<edge>/<version>``.
    id, name, version, edge : str
    test_spearman_score, test_mean_absolute_error_loss : float or None
        Oxidation state on simulated compounds that no trial saw.
    standards_mean_absolute_error_loss : float or None
        Oxidation state of measured compounds, each left out of the fit.
    standards_compounds : int
    interval_width, interval_level : float or None
        Full width of the oxidation state's interval for a spectrum whose axis and
        edge step are exact, and the probability it is made for.
    theory_shift, theory_shift_uncertainty : float
        eV.
    evidence : dict
        By descriptor: "measured" or "simulation".
    """

    model: str
    id: str
    name: str
    version: str
    edge: str
    test_spearman_score: float | None
    test_mean_absolute_error_loss: float | None
    standards_mean_absolute_error_loss: float | None
    standards_compounds: int
    interval_width: float | None
    interval_level: float | None
    theory_shift: float
    theory_shift_uncertainty: float
    evidence: dict[str, str | None]


def run_list(console: Console, *, as_json: bool = False) -> None:
    """Show the shipped models, one a row, or one JSON object a line.

    Raises
    ------
    ModelError
        When a model is damaged.
    """
    root = resources.folder("models")
    rows = [
        read_scores(root / key, key, digest) for key, digest in sorted(shipped_models().items())
    ]
    if as_json:
        for row in rows:
            print(json.dumps(asdict(row), allow_nan=False), flush=True)  # noqa: T201
        return
    table = Table(box=box.SIMPLE_HEAD, padding=(0, 1), pad_edge=False, collapse_padding=True)
    table.title, table.title_justify = "Shipped models", "left"
    for name in ("edge", "version", "rho", "MAE", "left out", "width", "shift, eV", "id"):
        table.add_column(name, no_wrap=True)
    for row in rows:
        table.add_row(*_cells(row))
    console.print(table)
    for row in rows:
        console.print(f"{row.edge}, shown on simulations only: {_simulated(row)}", highlight=False)
    console.print(LEGEND, style="dim", highlight=False)


def run_verify(console: Console, names: Sequence[str]) -> bool:
    """Verify models, one line each, then print how far each library foil was moved.

    Parameters
    ----------
    console : Console
    names : sequence of str
        Names as in the index (``fe-k/2026-11-22`` or ``fe-k``), or folders; none
        for every shipped model.

    Returns
    -------
    bool
        Whether none is damaged.

    Raises
    ------
    ModelError
        When the index cannot be read.
    """
    index = shipped_models()
    good = True
    for name in names or sorted(index):
        try:
            line = _verify(name, index)
        except ModelError as error:
            good = False
            line = f"[bold red]FAILED[/] {escape(f'{name}: {error}')}"
        console.print(line, highlight=False, soft_wrap=True)
    if not names:
        for foil in map(library_foil, K_EDGES):
            line = (
                f"{foil.file}: moved by {foil.moved:+.2f} eV, so that {foil.edge.element} metal's "
                f"first inflection is {foil.edge.e0:.1f} eV"
            )
            console.print(line, highlight=False, soft_wrap=True)
    return good


def read_scores(path: Path, model: str, expected_id: str) -> Scores:
    """Read the scores of a model from its card and evaluation, with hashes compared.

    Parameters
    ----------
    path : Path
        Folder with card.json.
    model : str
        Its name in the index.
    expected_id : str
        sha256 of card.json.

    Raises
    ------
    ModelError
        When a file is missing or altered.
    """
    card, contents = checked_files(path, expected_id)
    state = next((out for out in card.outputs if out.name == "oxidation_state"), None)
    left_out = _left_out(contents.get("evaluation.json", b"{}"))
    return Scores(
        model=model,
        id=card.id,
        name=card.name,
        version=card.version,
        edge=str(card.edge),
        test_spearman_score=_test_score(card, "spearman_score"),
        test_mean_absolute_error_loss=_test_score(card, "mean_absolute_error_loss"),
        standards_mean_absolute_error_loss=float(np.mean(left_out)) if left_out else None,
        standards_compounds=len(left_out),
        interval_width=_interval_width(contents.get("evaluation.json", b"{}")),
        interval_level=state.level if state else None,
        theory_shift=card.theory_shift.value,
        theory_shift_uncertainty=card.theory_shift.uncertainty,
        evidence={item["name"]: item.get("evidence") for item in card.raw["outputs"]},
    )


def _test_score(card: ModelCard, score: str) -> float | None:
    return _number(card.raw, "scores", "test", "oxidation_state", score)


def _left_out(evaluation: bytes) -> list[float]:
    """Return the absolute error of each standard's valence, with its compound left out."""
    try:
        compounds = json.loads(evaluation).get("compounds", [])
        errors = [_number(row, "error", "oxidation_state") for row in compounds]
    except (ValueError, AttributeError):
        return []
    return [abs(error) for error in errors if error is not None]


def _interval_width(evaluation: bytes) -> float | None:
    """Return the median full width of the valence's interval over all files of standards."""
    try:
        files = json.loads(evaluation).get("files", {})
        ends = [
            (_number(row, "oxidation_state_low"), _number(row, "oxidation_state_high"))
            for row in files.values()
            if row.get("role") == "standard"
        ]
    except (ValueError, AttributeError):
        return None
    widths = [high - low for low, high in ends if low is not None and high is not None]
    return float(np.median(widths)) if widths else None


def _number(value: Any, *keys: str) -> float | None:
    """Return the value under nested keys where it is a finite number, else None."""
    for key in keys:
        value = cast("Mapping[str, Any]", value).get(key) if isinstance(value, Mapping) else None
    known = isinstance(value, int | float) and not isinstance(value, bool) and np.isfinite(value)
    return float(value) if known else None


def _cells(row: Scores) -> tuple[str, ...]:
    left_out = f"{_shown(row.standards_mean_absolute_error_loss)} ({row.standards_compounds})"
    return (
        row.edge,
        escape(row.version),
        _shown(row.test_spearman_score),
        _shown(row.test_mean_absolute_error_loss),
        left_out if row.standards_compounds else "-",
        _shown(row.interval_width),
        f"{row.theory_shift:+.2f} ± {row.theory_shift_uncertainty:.2f}",
        row.id[:12],
    )


def _simulated(row: Scores) -> str:
    """Name the descriptors tested on simulations only; a dash where the card does not tell."""
    if not any(row.evidence.values()):
        return "-"
    names = [name for name, evidence in row.evidence.items() if evidence == "simulation"]
    return escape(", ".join(names)) or "none"


def _shown(value: float | None) -> str:
    return "-" if value is None else f"{value:.2f}"


def _verify(name: str, index: Mapping[str, str]) -> str:
    path, expected = _find(name, index)
    done = verify_model(path, expected)
    known = "" if expected else f"; not in the index, id {done.card.id}"
    return (
        f"[bold green]ok[/] {escape(name)} {done.card.id[:12]}: {len(done.card.files)} files, "
        f"{done.spectra} spectra, latents within {done.latent_difference:.0e}, curves within "
        f"{done.flat_difference:.0e}{known}"
    )


def _find(name: str, index: Mapping[str, str]) -> tuple[Path, str | None]:
    """Return the folder that a name or path means, and its id where the index has it."""
    root = resources.folder("models")
    path = Path(name).expanduser()
    for key, digest in index.items():
        if name in {key, key.split("/")[0]} or path.resolve() == (root / key).resolve():
            return root / key, digest
    if not path.is_dir():
        raise ModelError(
            f"no such model; shipped are {', '.join(sorted(index))}, or give a folder with a "
            "card.json"
        )
    return path, None
