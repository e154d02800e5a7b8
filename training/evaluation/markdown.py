"""What Markdown pages of figures are made of."""

from collections.abc import Iterable, Sequence

import numpy as np

from rankaae_stream.show.plot import TITLES

__all__ = ["NOTHING", "as_table", "heading", "number", "percent", "share"]

NOTHING = "–"


def heading(name: str) -> str:
    """A descriptor as a column is headed."""
    return {**TITLES, "mean_bond_length": "mean bond length", "angle_spread": "angle spread"}.get(
        name, name
    )


def share(rate: float, files: int) -> str:
    """A rate and of how many; nothing where there are none."""
    return f"{rate:.0%} of {files}" if files else NOTHING


def percent(value: float) -> str:
    """A share in whole percent."""
    return f"{value:.0%}" if np.isfinite(value) else NOTHING


def number(value: float, digits: int = 2) -> str:
    """A figure, or a dash where there is none."""
    return f"{value:.{digits}f}" if np.isfinite(value) else NOTHING


def as_table(heads: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """Rows below their heads."""
    lines = [heads, ["---"] * len(heads), *rows]
    return "\n".join(
        "| " + " | ".join(cell.replace("|", "\\|") for cell in line) + " |" for line in lines
    )
