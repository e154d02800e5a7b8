"""Write names and figures for people, in pages and pictures."""

import numpy as np

from rankaae_stream.show.plot import TITLES

__all__ = ["NOTHING", "heading", "number", "percent", "scatter"]

NOTHING = "–"
"""Stands where there is no figure."""


def heading(name: str) -> str:
    """Return a descriptor's name as the head of a column or a panel."""
    return TITLES.get(name, name.replace("_", " "))


def percent(value: float) -> str:
    """Return a share in whole percent."""
    return f"{value:.0%}" if np.isfinite(value) else NOTHING


def number(value: float, digits: int = 2) -> str:
    """Return a figure, or a dash where there is none.

    Examples
    --------
    >>> number(0.125), number(float("nan"))
    ('0.12', '–')
    """
    return f"{value:.{digits}f}" if np.isfinite(value) else NOTHING


def scatter(figure: tuple[float, float], digits: int = 2) -> str:
    """Return a mean with its standard deviation, which may be unknown.

    Examples
    --------
    >>> scatter((0.931, 0.02)), scatter((0.931, float("nan")))
    ('0.93 ± 0.02', '0.93')
    """
    mean, spread = figure
    known = np.isfinite(spread)
    return f"{number(mean, digits)} ± {spread:.{digits}f}" if known else number(mean, digits)
