"""Draw the pictures beside a report: how good a model is, and the spectra that it decodes."""

import io
from collections.abc import Callable
from typing import Any

import numpy as np
from matplotlib import colormaps
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from training.evaluation.evaluate import KINDS, Evaluation
from training.evaluation.on_simulated import CLASSES
from training.evaluation.sweeps import Sweep
from training.evaluation.text import heading

__all__ = ["draw_report", "draw_sweeps"]

# Okabe and Ito's palette, which colour-blind readers can tell apart.
BLACK, BLUE, ORANGE, GREEN, PURPLE, SKY = (
    "#000000",
    "#0072B2",
    "#D55E00",
    "#009E73",
    "#CC79A7",
    "#56B4E9",
)
QUIET = "#777777"
RESOLUTION = 100
PANEL = (4.6, 3.9)
"""Width and height of one panel, inches."""


def draw_report(found: Evaluation) -> bytes:
    """Draw valences, distances, coordination, mixtures and the learning curve as a PNG.

    A panel without data is left out.
    """
    panels: list[Callable[[Any, Evaluation], None]] = [_valences, _distances]
    if found.stated[1].confusion is not None:
        panels.append(_confusion)
    if found.mixtures is not None:
        panels.append(_mixtures)
    if found.foil_mixtures.flagged:
        panels.append(_foils)
    if found.learning is not None:
        panels.append(_learning)
    axes, figure = _panels(len(panels))
    for one, panel in zip(axes, panels, strict=True):
        panel(one, found)
    figure.suptitle(f"{found.card.name} {found.card.version}", x=0.01, ha="left", fontsize=13)
    return _png(figure)


def draw_sweeps(found: Evaluation) -> bytes:
    """Draw decoded spectra along every descriptor as a PNG."""
    axes, figure = _panels(len(found.sweeps))
    for one, swept in zip(axes, found.sweeps, strict=True):
        _sweep(one, swept)
    figure.suptitle(
        f"{found.card.name} {found.card.version}: spectra the decoder draws as one descriptor "
        "changes and the others stay as training spectra have them",
        x=0.01,
        ha="left",
        fontsize=11,
    )
    return _png(figure)


def _panels(count: int) -> tuple[list[Any], Figure]:
    columns = 3 if count > 4 else 2
    rows = -(-count // columns)
    figure = Figure(figsize=(columns * PANEL[0], rows * PANEL[1]), layout="constrained")
    FigureCanvasAgg(figure)
    axes = list(np.ravel(figure.subplots(rows, columns, squeeze=False)))
    for one in axes[count:]:
        one.set_axis_off()
    for one in axes[:count]:
        one.spines[["top", "right"]].set_visible(False)
    return axes[:count], figure


def _png(figure: Figure) -> bytes:
    target = io.BytesIO()
    figure.savefig(target, format="png", dpi=RESOLUTION, metadata={"Software": None})
    return target.getvalue()


def _valences(axes: Any, found: Evaluation) -> None:
    truth, value = found.valences
    jitter = np.random.default_rng(0).uniform(-0.06, 0.06, truth.size)
    axes.plot(truth + jitter, value, ".", ms=4, color=SKY, alpha=0.6)
    named: list[tuple[float, float, str]] = []
    for one in found.compounds:
        state = one.descriptors.get("oxidation_state")
        if state is None:
            continue
        axes.plot([state.truth] * 2, [state.low, state.high], color=ORANGE, lw=1.2, alpha=0.5)
        axes.plot(state.truth, state.estimate, "D", ms=5, color=ORANGE)
        named.append((state.truth, state.estimate, _short(one.name)))
    known = truth[np.isfinite(truth)]
    ends = np.array([min(known.min(), 2.0) - 0.4, known.max() + 0.4])
    axes.plot(ends, ends, color=QUIET, lw=0.7)
    axes.set_xlim(*ends)
    axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    axes.yaxis.set_major_locator(MaxNLocator(integer=True))
    _name_points(axes, named)
    axes.set_xlabel("formal valence")
    axes.set_ylabel("estimated valence")
    axes.set_title("valence: unseen simulated compounds", fontsize=10, loc="left", color=BLUE)
    axes.text(
        0.02,
        0.98,
        "measured compounds, left out of\nthe fit, with their intervals",
        transform=axes.transAxes,
        va="top",
        fontsize=8,
        color=ORANGE,
    )


def _short(name: str, most: int = 17) -> str:
    """Cut a long compound's name at a word."""
    return name if len(name) <= most else f"{name[:most].rpartition(' ')[0] or name[:most]} ..."


def _name_points(axes: Any, named: list[tuple[float, float, str]]) -> None:
    """Write names in a column at the right, each with a line to its point."""
    low, high = axes.get_ylim()
    right = axes.get_xlim()[1]
    ordered = sorted(named, key=lambda one: one[1])
    for (x, y, name), at in zip(
        ordered, _apart([one[1] for one in ordered], low, high), strict=True
    ):
        axes.annotate(
            name,
            (x, y),
            (right, at),
            fontsize=7,
            va="center",
            color=BLACK,
            parse_math=False,
            annotation_clip=False,
            arrowprops={"arrowstyle": "-", "color": QUIET, "lw": 0.4, "shrinkB": 3},
        )


def _apart(wanted: list[float], low: float, high: float, least: float = 0.05) -> list[float]:
    """Move ascending positions apart by a share of the axis, none beyond its ends."""
    gap = (high - low) * least
    found: list[float] = []
    for y in wanted:
        found.append(max([y, low, *(one + gap for one in found[-1:])]))
    ceiling = high
    for i in reversed(range(len(found))):
        found[i] = min(found[i], ceiling)
        ceiling = found[i] - gap
    return found


def _distances(axes: Any, found: Evaluation) -> None:
    limit = found.card.domain.threshold
    alarms = float(np.mean(np.array(found.inside) > limit)) if found.inside else 0.0
    rows = [("good oxides", found.inside, alarms, BLUE)]
    colors = {"foil": ORANGE, "other": PURPLE, "suspect": QUIET}
    rows += [
        (label, found.detections[kind].distances, found.detections[kind].at_card, colors[kind])
        for kind, label in KINDS.items()
    ]
    rows = [row for row in rows if row[1]]
    rng = np.random.default_rng(0)
    for i, (label, distances, flagged, color) in enumerate(rows):
        height = -i + rng.uniform(-0.12, 0.12, len(distances))
        axes.plot(distances, height, "o", ms=4, color=color, alpha=0.6, mew=0)
        axes.text(
            0.0,
            -i + 0.24,
            f"{label}: {flagged:.0%} of {len(distances)} flagged",
            transform=axes.get_yaxis_transform(),
            fontsize=8,
            color=color,
        )
    axes.axvline(limit, color=BLACK, lw=0.8, ls="--")
    axes.text(limit, -len(rows) + 0.45, " flagged", fontsize=8, va="bottom")
    axes.set_xlim(-0.02, 1.02)
    axes.set_ylim(-len(rows) + 0.4, 0.6)
    axes.set_yticks([])
    axes.spines["left"].set_visible(False)
    axes.set_xlabel("probability of being no oxide")
    axes.set_title("out of domain, measured spectra", fontsize=10, loc="left")


def _confusion(axes: Any, found: Evaluation) -> None:
    kind, scores = found.stated
    matrix = np.array(scores.confusion)
    share = matrix / np.maximum(matrix.sum(axis=1, keepdims=True), 1)
    axes.imshow(share, cmap="Blues", vmin=0.0, vmax=1.0, aspect="auto")
    for i, row in enumerate(matrix):
        for j, count in enumerate(row):
            color = "white" if share[i, j] > 0.6 else BLACK
            axes.text(j, i, f"{count}", ha="center", va="center", color=color)
    axes.set_xticks(range(len(CLASSES)), CLASSES)
    axes.set_yticks(range(len(CLASSES)), CLASSES)
    axes.set_xlabel("estimated coordination number")
    axes.set_ylabel("true coordination number")
    axes.set_title(
        f"coordination, {_kind(kind)}: weighted F1 {scores.f1_score:.2f}", fontsize=10, loc="left"
    )


def _kind(kind: str) -> str:
    return "native test sites" if kind == "native" else "all test spectra"


def _mixtures(axes: Any, found: Evaluation) -> None:
    mixed = found.mixtures
    assert mixed is not None
    shares, values = np.array(mixed.shares), np.array(mixed.valences)
    line = values[0] + shares * (values[-1] - values[0])
    axes.fill_between(100 * shares, line - 0.15, line + 0.15, color=QUIET, alpha=0.15, lw=0)
    axes.plot(100 * shares, line, color=QUIET, lw=0.8)
    axes.plot(100 * shares, values, "o-", color=BLUE, ms=4)
    for name, x, y, side, up in (
        (mixed.low, 0, values[0], "left", -6),
        (mixed.high, 100, values[-1], "right", 6),
    ):
        axes.annotate(
            name,
            (x, y),
            (0, up),
            textcoords="offset points",
            ha=side,
            va="bottom" if up > 0 else "top",
            fontsize=9,
            parse_math=False,
        )
    axes.text(
        100, line[5] - 0.3, "grey: within 0.15 of linear", ha="right", fontsize=8, color=QUIET
    )
    axes.set_xlabel(f"share of {mixed.high} (%)", parse_math=False)
    axes.set_ylabel("estimated valence")
    axes.set_title("mixtures of measured spectra", fontsize=10, loc="left")


def _foils(axes: Any, found: Evaluation) -> None:
    mixed = found.foil_mixtures
    axes.plot(100 * np.array(mixed.shares), 100 * np.array(mixed.flagged), "o-", color=ORANGE)
    axes.set_ylim(-4, 104)
    axes.set_xlim(0, 53)
    axes.set_xlabel("metal in an oxide (%)")
    axes.set_ylabel("flagged (%)")
    axes.set_title(
        f"metal mixed into measured oxides, {mixed.pairs} pairs", fontsize=10, loc="left"
    )


def _learning(axes: Any, found: Evaluation) -> None:
    assert found.learning is not None
    points = found.learning["points"]
    size = np.array([one["spectra"] for one in points])
    colors = dict(
        zip((one.name for one in found.card.outputs), _cycle(len(found.card.outputs)), strict=True)
    )
    ends: list[tuple[float, str, str]] = []
    for name, color in colors.items():
        if any(name not in seed for one in points for seed in one["scores"]):
            continue
        each = [[seed[name]["spearman_score"] for seed in one["scores"]] for one in points]
        middle = np.array([np.mean(one) for one in each])
        low, high = (np.array([edge(one) for one in each]) for edge in (min, max))
        axes.plot(size, middle, "o-", ms=4, color=color)
        axes.vlines(size, low, high, color=color, lw=1.0, alpha=0.6)
        ends.append((float(middle[-1]), heading(name), color))
    ends.sort()
    places = _apart([one[0] for one in ends], *axes.get_ylim())
    for (_, name, color), at in zip(ends, places, strict=True):
        axes.text(size[-1] * 1.03, at, name, fontsize=8, va="center", color=color)
    axes.set_xlim(0, size[-1] * 1.75)
    axes.set_xticks(size)
    axes.set_xlabel("training spectra")
    axes.set_ylabel("Spearman ρ, unseen compounds")
    axes.set_title("learning curve, single networks", fontsize=10, loc="left")


def _cycle(count: int) -> list[str]:
    colors = [BLUE, ORANGE, GREEN, PURPLE, BLACK, SKY, QUIET]
    return [colors[i % len(colors)] for i in range(count)]


def _sweep(axes: Any, swept: Sweep) -> None:
    low, high = float(swept.values[0]), float(swept.values[-1])
    palette = colormaps["viridis"].resampled(256)
    span = max(high - low, 1e-9)
    for value, curve in zip(swept.values, swept.curves, strict=True):
        axes.plot(swept.energy, curve, color=palette(0.92 * (value - low) / span), lw=1.3)
    unit = "" if swept.unit in ("1", "e") else f" {swept.unit}"
    digits = 2 if swept.unit == "Å" else 1
    axes.set_title(
        f"{heading(swept.name)}: {low:.{digits}f} to {high:.{digits}f}{unit}",
        fontsize=10,
        loc="left",
    )
    inset = axes.inset_axes((0.55, 0.13, 0.4, 0.045))
    inset.imshow(np.linspace(0.0, 0.92, 64)[None], cmap=palette, vmin=0, vmax=1, aspect="auto")
    inset.set_yticks([])
    inset.set_xticks([0, 63], [f"{low:.{digits}f}", f"{high:.{digits}f}{unit}"], fontsize=8)
    inset.tick_params(length=0)
    axes.axhline(1.0, color=QUIET, lw=0.5)
    axes.set_xlabel("energy above the tabulated edge (eV)")
    axes.set_ylabel("normalised absorption")
