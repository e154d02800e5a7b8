"""Draw a series: valence and fractions along it, its pure spectra, and what the fit leaves."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.figure import Figure

from rankaae_stream.series.mixtures import Mixtures
from rankaae_stream.series.resolve import Resolved
from rankaae_stream.spectrum import Floats

__all__ = ["draw_series"]

# Okabe and Ito's palette, which colour-blind readers can tell apart.
COLORS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7")
QUIET = "#999999"


def draw_series(
    found: Resolved, title: str = "", label: Callable[[str], str] = lambda name: Path(name).name
) -> Figure:
    """Draw a series on one page, 16:9 for a slide; `label` returns a spectrum's short name."""
    figure = Figure(figsize=(10.0, 5.6), layout="constrained")
    if title:
        figure.suptitle(title, x=0.01, ha="left", fontsize=11)
    panels: Any = figure.subplots(2, 2)
    _valence(panels[0, 0], found)
    _fractions(panels[1, 0], found)
    _spectra(panels[0, 1], found, label)
    _residual(figure, panels[1, 1], found)
    for axes in panels.flat:
        axes.spines[["top", "right"]].set_visible(False)
    return figure


def _valence(axes: Any, found: Resolved) -> None:
    series, mixtures = found.series, found.mixtures
    x = np.arange(1, len(series.sources) + 1)
    axes.errorbar(
        x, series.valence, series.half, fmt=".", color=QUIET, lw=0.8, label="each spectrum alone"
    )
    if mixtures is not None:
        valence = _of_mixtures(mixtures, mixtures.valence)
        low, high = valence - mixtures.half, valence + mixtures.half
        axes.fill_between(x, low, high, color=COLORS[0], alpha=0.25, lw=0)
        axes.plot(x, valence, color=COLORS[0], label="from the fractions")
        if mixtures.unlike.any():
            others = x[mixtures.unlike], mixtures.valence[mixtures.unlike]
            axes.plot(*others, "x", color=COLORS[1], label="no mixture of the components")
    state = found.merged.estimate("oxidation_state") if found.merged is not None else None
    if state is not None:
        axes.axhspan(state.low, state.high, color=COLORS[2], alpha=0.25, lw=0)
        axes.axhline(state.value, color=COLORS[2], label="mean of the repeats")
    for change in found.changes:
        axes.axvline(change.at + 0.5, color=QUIET, ls=":")
    axes.set_ylabel("oxidation state (e)")
    axes.legend(frameon=False, fontsize=8)


def _of_mixtures(mixtures: Mixtures, values: Floats) -> Floats:
    """Return values with a gap where a spectrum is no mixture."""
    return np.where(mixtures.unlike, np.nan, values)


def _fractions(axes: Any, found: Resolved) -> None:
    mixtures = found.mixtures
    axes.set_xlabel("spectrum")
    if mixtures is None:
        axes.text(0.5, 0.5, "one component", ha="center", color=QUIET, transform=axes.transAxes)
        axes.set_yticks([])
        return
    x = np.arange(1, len(mixtures.fractions) + 1)
    for k, color in zip(range(len(mixtures.ends)), COLORS, strict=False):
        share = _of_mixtures(mixtures, mixtures.fractions[:, k])
        half = 1.645 * mixtures.sigma[:, k]
        axes.fill_between(x, share - half, share + half, color=color, alpha=0.25, lw=0)
        axes.plot(x, share, color=color, label=f"component {k + 1}")
    axes.set_ylabel("fraction")
    axes.set_ylim(-0.05, 1.05)
    axes.legend(frameon=False, fontsize=8)


def _spectra(axes: Any, found: Resolved, label: Callable[[str], str]) -> None:
    series, mixtures = found.series, found.mixtures
    curves = mixtures.ends if mixtures is not None else series.flat.mean(axis=0)[None]
    for number, (curve, color) in enumerate(zip(curves, COLORS, strict=False), 1):
        name = label(mixtures.names[number - 1]) if mixtures is not None else "mean"
        axes.plot(series.energy, curve, color=color, label=name)
    axes.set_ylabel("normalised absorption")
    axes.legend(frameon=False, fontsize=8)


def _residual(figure: Figure, axes: Any, found: Resolved) -> None:
    series, mixtures = found.series, found.mixtures
    rest = mixtures.residual if mixtures is not None else series.flat - series.flat.mean(axis=0)
    limit = max(3.0 * series.noise, float(np.abs(rest).max()))
    extent = (series.energy[0], series.energy[-1], len(rest) + 0.5, 0.5)
    picture = axes.imshow(
        rest, aspect="auto", extent=extent, cmap="PuOr", vmin=-limit, vmax=limit, origin="upper"
    )
    axes.set_xlabel("energy (eV)")
    axes.set_ylabel("spectrum")
    figure.colorbar(picture, ax=axes, label="what the fit leaves")
