"""Run `rankaae-stream calibrate`: fit a model to a beamline's own standards, and judge it."""

from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
from rich import box
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from rankaae_stream.commands.infer import read_columns
from rankaae_stream.inference import read_foil
from rankaae_stream.loading import analysis_with, default_analysis
from rankaae_stream.model.card import ModelCard
from rankaae_stream.model.folder import newest_models
from rankaae_stream.show.progress import progress_bar
from rankaae_stream.show.terminal import Terminal
from rankaae_stream.spectrum import Floats
from rankaae_stream.standards.encode import Encoded, Measurement, encode
from rankaae_stream.standards.leave_out import Judged, judge
from rankaae_stream.standards.table import OWN, left_out_groups, read_table
from rankaae_stream.standards.write import calibrated_card, require_new, write_folder

__all__ = ["run_calibrate"]

SHOWN = 24
"""Standards that the table lists; of more, so many at equal distances."""
SCALE = 18
"""Width of the picture of before and after, characters."""
QUIET = 40
"""Standards below which no progress is shown."""


def run_calibrate(
    console: Console,
    standards: Path,
    *,
    output: Path | None = None,
    blocks: int | None = None,
    element: str | None = None,
    columns: str | None = None,
    foil: str | None = None,
    model: Path | None = None,
    plot: Path | None = None,
) -> ModelCard:
    """Fit a model to the standards of a table, write it, and print before and after.

    Parameters
    ----------
    console : Console
    standards : Path
        See `standards.table.read_table`.
    output : Path, optional
        Folder of the calibrated model, which must not exist yet.
    blocks : int, optional
        How many blocks of a series are left out in turn, instead of each compound.
    element, columns, foil : str, optional
        As for `rankaae-stream infer`.
    model : Path, optional
        Folder of the model to fit; the newest shipped one by default.
    plot : Path, optional

    Returns
    -------
    ModelCard
        Of the calibrated model.

    Raises
    ------
    ConfigurationError
        When the standards cannot be used, or the model not be written.
    """
    if output is not None:
        require_new(output.expanduser())
    rows = read_table(standards)
    count = len(np.unique(left_out_groups([row.compound for row in rows], blocks)))
    choice = read_columns(columns) if columns else None
    analysis = analysis_with(model) if model else default_analysis()
    reference = read_foil(foil, element) if foil else None
    with progress_bar(Terminal(stderr=True), "") as bar:
        reading = bar.add_task("standards", total=len(rows), visible=len(rows) >= QUIET)
        measured = encode(
            rows,
            analysis,
            blocks=blocks,
            element=element,
            columns=choice,
            foil=reference,
            tell=lambda: bar.advance(reading),
        )
        leaving = bar.add_task("left out", total=count, visible=len(rows) >= QUIET)
        parent, encoded = measured.model.card, measured.standards
        valence = next(out for out in parent.outputs if out.name == "oxidation_state")
        judged = judge(
            valence, encoded, measured.groups, measured.theory, lambda: bar.advance(leaving)
        )
    made = datetime.now(UTC).date()
    folder = output or Path("calibrated") / f"{_key(parent)}-{made.isoformat()}"
    card = calibrated_card(parent, judged, encoded, made, blocks)
    written = write_folder(folder.expanduser(), model or _shipped(parent), card)
    _show(console, written, measured, judged, blocks)
    _show_use(console, written, folder)
    if plot is not None:
        from rankaae_stream.show.plot import save_known

        before = np.array([one.before.value for one in encoded])
        title = f"{written.edge} {written.version}"
        save_known(plot, judged.known, before, judged.value, judged.half, title)
        console.print(f"drawn into {escape(str(plot))}", style="dim")
    return written


def _key(card: ModelCard) -> str:
    return f"{card.edge.element}-{card.edge.shell}".lower()


def _shipped(card: ModelCard) -> Path:
    return newest_models()[_key(card)][0]


def _show(
    console: Console,
    card: ModelCard,
    measured: Measurement,
    judged: Judged,
    blocks: int | None,
) -> None:
    """Print each standard, then the errors, what was fitted, and what the intervals rest on."""
    encoded = measured.standards
    before = np.array([one.before.value for one in encoded])
    console.print(_table(encoded, judged))
    if len(encoded) > SHOWN:
        console.print(f"{SHOWN} of {len(encoded)} standards are listed", style="dim")
    for note in measured.notes:
        console.print(escape(note), style="dim", soft_wrap=True)
    held = np.mean(
        [one.before.low <= one.row.valence <= one.before.high for one in encoded], dtype=float
    )
    width = np.median([one.before.high - one.before.low for one in encoded])
    console.print(
        f"mean error {np.abs(before - judged.known).mean():.3f} before, {judged.error:.3f} after "
        f"(left out); 90 % intervals held {held:.0%} before with a median width of {width:.2f}, "
        f"{judged.holds:.0%} after with {2 * np.median(judged.half):.2f}",
        highlight=False,
    )
    console.print(_fitted(judged), highlight=False)
    console.print(_rests_on(judged, len({one.row.compound for one in encoded})), highlight=False)
    if blocks:
        console.print(
            "[bold]note:[/] blocks of one series were left out: the intervals hold for scans of "
            "such a series; another sample, cycle or session was not tested",
            highlight=False,
        )
    for warning in _warnings(card, encoded, judged, before):
        console.print(f"[bold]note:[/] {escape(warning)}", highlight=False)


def _table(encoded: Sequence[Encoded], judged: Judged) -> Table:
    table = Table(box=box.SIMPLE_HEAD, padding=(0, 1), pad_edge=False)
    table.add_column("standard", overflow="ellipsis", no_wrap=True, max_width=20)
    for name in ("known", "× before", "● after"):
        table.add_column(name, justify="right", no_wrap=True, min_width=len(name))
    table.add_column("90 % interval", no_wrap=True, min_width=14)
    table.add_column("│ is known", no_wrap=True, min_width=SCALE)
    values = np.concatenate([[one.before.value for one in encoded], judged.known, judged.value])
    span = float(values.min()), float(values.max())
    chosen = np.unique(np.linspace(0, len(encoded) - 1, min(SHOWN, len(encoded))).astype(int))
    for i in map(int, chosen):
        one, value, half = encoded[i], float(judged.value[i]), float(judged.half[i])
        holds = abs(value - one.row.valence) <= half
        interval = f"{value - half:+.2f} to {value + half:+.2f}"
        table.add_row(
            escape(_name(one)),
            f"{one.row.valence:+.2f}",
            f"{one.before.value:+.2f}",
            f"[bold]{value:+.2f}[/]",
            interval if holds else f"[bold red]{interval}[/]",
            _marks(one.row.valence, one.before.value, value, span),
        )
    return table


def _name(one: Encoded) -> str:
    named = one.row.compound
    return Path(one.row.file).name if "/" in named or named == one.row.file else named


def _marks(known: float, before: float, after: float, span: tuple[float, float]) -> str:
    """Return a line of characters with known, before and after where they lie in the span."""
    low, high = span
    line = [" "] * SCALE
    for value, mark in ((known, "│"), (before, "×"), (after, "●")):
        line[round((value - low) / ((high - low) or 1.0) * (SCALE - 1))] = mark
    return "".join(line)


def _fitted(judged: Judged) -> str:
    found = judged.correction
    if found.kind == "none":
        return "nothing is fitted: no shift, line or map answers left out standards clearly better"
    if found.kind == "map":
        return f"fitted: a monotone map of {found.maps[0].latent.size - 2} knots for each member"
    slope = f", slope {found.slope:.2f}" if found.kind == "line" else ""
    return f"fitted: energy shift {found.ev:+.1f} eV, valence {found.offset:+.2f}{slope}"


def _rests_on(judged: Judged, compounds: int) -> str:
    supported = f"these standards alone support a level of {judged.level:.0%}"
    if judged.replaces_theory:
        return (
            f"{supported}: the intervals come from them and replace the uncertainty of the theory"
        )
    kept = (
        f"the shipped intervals are widened by {judged.widened:.2f}, so that they hold all of them"
        if judged.widened > 1.0
        else "the shipped intervals are kept"
    )
    return f"{compounds} compounds: {supported}, 90 % needs {OWN}; {kept}"


def _warnings(
    card: ModelCard, encoded: Sequence[Encoded], judged: Judged, before: Floats
) -> list[str]:
    found: list[str] = []
    if judged.error >= np.abs(before - judged.known).mean() and judged.correction.kind != "none":
        found.append("left out standards are answered no better than before: measure more of them")
    without = [one for one in encoded if not one.foil]
    if without:
        some = "no standard has" if len(without) == len(encoded) else f"{len(without)} lack"
        found.append(
            f"{some} a foil: the fit contains the axis of this session, and holds for scans on "
            "that axis only"
        )
    outside = [_name(one) for one in encoded if "out_of_domain" in one.flags]
    if outside:
        found.append(f"out of the model's domain, but used: {', '.join(outside)}")
    low, high = card.own.range if card.own else (np.nan, np.nan)
    found.append(f"answers beyond {low:.2f} to {high:.2f} are flagged outside_standards")
    return found


def _show_use(console: Console, card: ModelCard, folder: Path) -> None:
    console.print(f"\nwritten to {escape(str(folder))}; pin it in your profile:\n", soft_wrap=True)
    for line in (
        f'[models."{card.edge}"]',
        f'path = "{folder.expanduser().resolve()}"',
        f'id = "{card.id}"',
    ):
        console.print(line, markup=False, highlight=False, soft_wrap=True)
