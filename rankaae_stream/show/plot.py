"""Draw a report: spectrum, reconstruction, residual, estimates, what intervals are made of, flags.

This is the only module that imports matplotlib. It does without pyplot, so that a figure
leaves those of a session alone and needs no screen.
"""

import textwrap
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.backends.backend_pdf import PdfPages
from matplotlib.figure import Figure

from rankaae_stream.errors import ConfigurationError
from rankaae_stream.report import Estimate, Report
from rankaae_stream.show.intervals import CAUSES, SHADES, causes
from rankaae_stream.spectrum import Floats

__all__ = ["draw", "save", "save_figure", "save_figures", "save_known"]

# Okabe and Ito's palette, which colour-blind readers can tell apart.
MEASURED, MODEL, RESIDUAL, QUIET, ALARM = "#000000", "#0072B2", "#D55E00", "#777777", "#D55E00"

TITLES = {
    "oxidation_state": "oxidation state",
    "coordination_number": "coordination number",
    "ligand_coordination": "cations around oxygen",
    "bond_length_spread": "spread of bond lengths",
    "mean_bond_length": "mean bond length",
    "min_ligand_distance": "shortest O-O distance",
}
"""Descriptors in words, for pictures, tables and reports; the page has the same in words.js."""

Raw = tuple[Floats, Floats] | None
"""Energy in eV and mu as they were read, for a report without curves on the model's grid."""

Grown = Sequence[tuple[float, Report]]
"""Energies, eV from the tabulated edge, and what is answered of a spectrum up to there."""


def save(
    reports: Sequence[Report],
    path: Path,
    ranges: dict[str, tuple[float, float]],
    raw: Sequence[Raw] = (),
    grown: Sequence[Grown] = (),
) -> None:
    """Write one page a report to a PDF, or one report to a PNG or SVG.

    Parameters
    ----------
    reports : sequence of Report
    path : Path
        Its ending is the format. Each of several PNG or SVG files gets a number.
    ranges : dict
        Lowest and highest value of each descriptor, for the axes.
    raw : sequence of (energy, mu), optional
        One for each report.
    grown : sequence of Grown, optional
        One for each report, to draw the valence's interval against the energy reached.

    Raises
    ------
    ConfigurationError
        For another ending, or where the file cannot be written.
    """
    ending = _require_picture(path)
    measured = list(raw) or [None] * len(reports)
    parts = list(grown) or [()] * len(reports)
    try:
        if ending == ".pdf":
            with PdfPages(path) as pages:
                for report, spectrum, part in zip(reports, measured, parts, strict=True):
                    pages.savefig(draw(report, ranges, spectrum, part))
            return
        for i, report in enumerate(reports):
            file = path if len(reports) == 1 else path.with_stem(f"{path.stem}-{i + 1}")
            draw(report, ranges, measured[i], parts[i]).savefig(file, dpi=160)
    except (OSError, ValueError) as error:
        reason = error.strerror if isinstance(error, OSError) else error
        raise ConfigurationError(f"cannot write {path}: {reason}") from error


def save_known(
    path: Path, known: Floats, before: Floats, after: Floats, half: Floats, title: str
) -> None:
    """Draw what a model answers of known standards, before and after it was calibrated.

    Parameters
    ----------
    path : Path
    known, before, after, half : (n,) arrays
        Valences, and half-widths of the intervals after.
    title : str

    Raises
    ------
    ConfigurationError
        For another ending than .pdf, .png or .svg, or where the file cannot be written.
    """
    figure = Figure(figsize=(5.6, 5.6), layout="constrained")
    axes = figure.subplots()
    ends = np.array([min(known.min(), before.min()), max(known.max(), before.max())])
    axes.plot(ends, ends, color=QUIET, lw=0.8)
    axes.plot(known, before, "x", color=RESIDUAL, ms=5, label="before")
    axes.errorbar(known, after, half, fmt="o", color=MODEL, ms=4, lw=0.8, label="left out, after")
    axes.set_xlabel("known valence")
    axes.set_ylabel("answered valence")
    axes.set_title(title, fontsize=10, loc="left")
    axes.legend(frameon=False)
    axes.spines[["top", "right"]].set_visible(False)
    save_figure(figure, path)


def save_figure(figure: Figure, path: Path) -> None:
    """Write one picture.

    Raises
    ------
    ConfigurationError
        For another ending than .pdf, .png or .svg, or where the file cannot be written.
    """
    save_figures([figure], path)


def save_figures(figures: Sequence[Figure], path: Path) -> None:
    """Write pictures, several as the pages of a .pdf.

    Raises
    ------
    ConfigurationError
        For another ending than .pdf, .png or .svg, or where the file cannot be written.
    """
    ending = _require_picture(path)
    if len(figures) > 1 and ending != ".pdf":
        raise ConfigurationError(f"{len(figures)} pictures do not fit in {path}; give a .pdf")
    try:
        if len(figures) == 1:
            figures[0].savefig(path, dpi=160)
        else:
            with PdfPages(path) as pages:
                for figure in figures:
                    pages.savefig(figure)
    except (OSError, ValueError) as error:
        reason = error.strerror if isinstance(error, OSError) else error
        raise ConfigurationError(f"cannot write {path}: {reason}") from error


def _require_picture(path: Path) -> str:
    """Return the ending of a picture's name.

    Raises
    ------
    ConfigurationError
        For one that no picture has.
    """
    ending = path.suffix.lower()
    if ending not in (".pdf", ".png", ".svg"):
        raise ConfigurationError(f"cannot draw into {path}; give a name with .pdf, .png or .svg")
    return ending


def draw(
    report: Report, ranges: dict[str, tuple[float, float]], raw: Raw = None, grown: Grown = ()
) -> Figure:
    """Draw one report on one page, 16:9 for a slide."""
    figure = Figure(figsize=(11.6, 6.5), layout="constrained")
    panels: Any = figure.subfigures(1, 2, width_ratios=(3, 2))
    left, right = panels
    if grown:
        above, below = left.subfigures(2, 1, height_ratios=(5, 2))
        _spectrum(above, report, raw)
        _growth(below.subplots(), grown)
    else:
        _spectrum(left, report, raw)
    _answers(right, report, ranges)
    what = f"{report.element} {report.edge.shell}" if report.edge else report.element or "?"
    figure.suptitle(
        f"{Path(report.source).name or 'spectrum'}    {what} edge, {report.channel}",
        fontsize=12,
        x=0.01,
        ha="left",
        parse_math=False,
    )
    return figure


def _spectrum(panel: Any, report: Report, raw: Raw) -> None:
    curves = report.curves
    if curves is None:
        _raw(panel.subplots(), raw)
        return
    energy = curves.energy
    if report.extent is not None:
        axes = panel.subplots()
        axes.plot(energy, curves.flat, color=MEASURED, lw=1.6)
        axes.set_xlabel("energy (eV)")
        axes.set_ylabel("absorption (highest = 1), not normalised")
        axes.set_xlim(energy[0], energy[-1])
        axes.spines[["top", "right"]].set_visible(False)
        return
    above, below = panel.subplots(2, 1, sharex=True, height_ratios=(3, 1))
    above.plot(energy, curves.flat, color=MEASURED, lw=1.6, label="measured, flattened")
    above.plot(energy, curves.reconstruction, color=MODEL, lw=1.4, ls="--", label="reconstruction")
    above.axhline(1.0, color=QUIET, lw=0.5)
    above.set_ylabel("normalised absorption")
    above.legend(frameon=False, loc="lower right")
    below.axhline(0.0, color=QUIET, lw=0.5)
    below.fill_between(energy, curves.flat - curves.reconstruction, color=RESIDUAL, alpha=0.6, lw=0)
    below.set_ylabel("residual")
    below.set_xlabel("energy (eV)")
    below.set_xlim(energy[0], energy[-1])
    for axes in (above, below):
        axes.spines[["top", "right"]].set_visible(False)


def _raw(axes: Any, raw: Raw) -> None:
    """Draw a refused spectrum as it was read, which shows why it was refused."""
    if raw is None or raw[0].size == 0:
        axes.text(0.5, 0.5, "nothing was read", ha="center", color=QUIET)
        axes.set_axis_off()
        return
    axes.plot(*raw, color=MEASURED, lw=1.2)
    axes.set_xlabel("energy (eV)")
    axes.set_ylabel("absorption, as read")
    axes.spines[["top", "right"]].set_visible(False)


def _growth(axes: Any, grown: Grown) -> None:
    """Draw the valence with its interval against the energy that the scan had reached."""
    found = [(energy, one.estimate("oxidation_state"), one.extent) for energy, one in grown]
    for part, color, label in ((True, RESIDUAL, "of the part"), (False, MODEL, "normalised")):
        rows = [
            (energy, state.low, state.value, state.high)
            for energy, state, extent in found
            if state is not None and (extent is not None) == part
        ]
        if not rows:
            continue
        energy, low, value, high = np.array(rows).T
        axes.fill_between(energy, low, high, color=color, alpha=0.3, lw=0)
        axes.plot(energy, value, color=color, lw=1.4, ls="--" if part else "-", label=label)
    axes.set_xlabel("energy reached (eV from the edge)")
    axes.set_ylabel("oxidation state")
    axes.legend(frameon=False, loc="upper right", fontsize=8, ncols=2)
    axes.spines[["top", "right"]].set_visible(False)


def _answers(panel: Any, report: Report, ranges: dict[str, tuple[float, float]]) -> None:
    if report.refusal is not None:
        axes = panel.subplots()
        axes.set_axis_off()
        axes.text(0, 1, f"refused: {report.refusal.name}", color=ALARM, weight="bold", va="top")
        words = [_wrapped(report.refusal.message), *(_wrapped(f.message) for f in report.flags)]
        axes.text(0, 0.94, "\n\n".join(words), va="top", fontsize=9, parse_math=False)
        return
    *rows, bar, words = panel.subplots(
        len(report.estimates) + 2, 1, height_ratios=[1] * len(report.estimates) + [1.2, 3.4]
    )
    # Greyed, never hidden: an answer out of domain is shown as what it is.
    outside = any(flag.name == "out_of_domain" for flag in report.flags)
    for axes, estimate in zip(rows, report.estimates, strict=True):
        _interval(axes, estimate, ranges.get(estimate.name), QUIET if outside else MODEL)
    _made_of(bar, report.estimate("oxidation_state"))
    words.set_axis_off()
    words.text(0, 1, _flags(report), va="top", fontsize=8, parse_math=False)


def _interval(axes: Any, estimate: Estimate, span: tuple[float, float] | None, color: str) -> None:
    low, high = span or (estimate.low, estimate.high)
    axes.plot([estimate.low, estimate.high], [0, 0], color=color, lw=5, alpha=0.35)
    axes.plot(estimate.value, 0, "o", color=color)
    margin = 0.05 * (high - low) or 1.0
    axes.set_xlim(min(low, estimate.low) - margin, max(high, estimate.high) + margin)
    axes.set_yticks([])
    axes.spines[["top", "right", "left"]].set_visible(False)
    axes.tick_params(labelsize=7)
    unit = "" if estimate.unit in ("1", "e") else f" {estimate.unit}"
    digits = 1 if estimate.name.endswith("coordination") or "number" in estimate.name else 2
    axes.set_title(
        f"{TITLES.get(estimate.name, estimate.name)}:  {estimate.value:.{digits}f}{unit}  "
        f"({estimate.low:.{digits}f} to {estimate.high:.{digits}f})",
        fontsize=9,
        loc="left",
        color=color,
    )


def _made_of(axes: Any, state: Estimate | None) -> None:
    """Draw what the valence's interval is made of as a stacked bar with its legend."""
    axes.set_axis_off()
    begin = 0.0
    for name, share in causes(state) if state else []:
        label = f"{CAUSES[name]} {share:.0%}"
        axes.barh(0, share, left=begin, color=SHADES[name], edgecolor="white", label=label)
        begin += share
    if begin:
        axes.set_xlim(0, 1)
        axes.set_title("what the oxidation state's interval is made of", fontsize=9, loc="left")
        axes.legend(
            frameon=False, fontsize=7, ncols=3, loc="upper left", bbox_to_anchor=(-0.02, 0.1),
            handlelength=1.0, columnspacing=1.0,
        )  # fmt: skip


def _flags(report: Report) -> str:
    lines = [_wrapped(f"{flag.name}: {flag.message}") for flag in report.flags]
    if report.advice:
        lines.insert(0, _wrapped(report.advice))
    shifts = report.shifts
    lines.append(
        f"axis moved by {shifts.calibration:+.2f} eV (foil) and {shifts.theory:+.2f} eV (theory)"
    )
    if report.model is not None:
        lines.append(f"{report.model.name} {report.model.version}, {report.model.id[:12]}")
    level = report.estimates[0].level
    lines.append(f"intervals hold the true value with probability {level:.0%}")
    return "\n".join(lines)


def _wrapped(text: str) -> str:
    return "\n".join(textwrap.wrap(text, 62))
