"""Draw a curve in a terminal by braille characters, two by four dots each."""

import numpy as np

from rankaae_stream.spectrum import Floats

__all__ = ["text_plot"]

_DOTS = ((0x01, 0x08), (0x02, 0x10), (0x04, 0x20), (0x40, 0x80))
"""Bits of a braille character, by row and column of its dots (Unicode 2800 to 28FF)."""


def text_plot(
    energy: Floats,
    mu: Floats,
    *,
    mark: tuple[float, str] | None = None,
    width: int = 56,
    height: int = 12,
) -> list[str]:
    """Return lines of text that show mu(E), with the ends of both axes in numbers.

    Parameters
    ----------
    energy : (n,) array
        eV, in any order.
    mu : (n,) array
        Points that are not finite are left out.
    mark : (float, str), optional
        An energy, eV, to mark, and its name.
    width, height : int
        Of the curve, characters.
    """
    order = np.argsort(energy, kind="stable")
    energy, mu = energy[order], mu[order]
    good = np.isfinite(energy) & np.isfinite(mu)
    if np.count_nonzero(good) < 2 or energy[good][0] == energy[good][-1]:
        return ["(fewer than two points with a number)"]
    energy, mu = energy[good], mu[good]
    low, high = float(mu.min()), float(mu.max())
    at: Floats = np.linspace(float(energy[0]), float(energy[-1]), 2 * width)
    rows: Floats = (high - np.interp(at, energy, mu)) / ((high - low) or 1.0) * (4 * height - 1)
    cells = np.zeros((height, width), dtype=int)
    previous = round(float(rows[0]))
    for column, row in enumerate(np.rint(rows).astype(int)):
        # From the last column's end on, so that a steep edge stays one line.
        toward = 1 if row >= previous else -1
        for dot in range(previous if row == previous else previous + toward, row + toward, toward):
            cells[dot // 4, column // 2] |= _DOTS[dot % 4][column % 2]
        previous = int(row)
    labels = [""] * height
    labels[0], labels[-1] = f"{high:.3g}", f"{low:.3g}"
    margin = max(map(len, labels))
    lines = [
        f"{label:>{margin}} ┤" + "".join(chr(0x2800 + cell) for cell in line)
        for label, line in zip(labels, cells, strict=True)
    ]
    return [*lines, " " * (margin + 2) + _axis(energy[0], energy[-1], mark, width)]


def _axis(first: float, last: float, mark: tuple[float, str] | None, width: int) -> str:
    """Return the ends of the energy axis, with the mark where there is room for it."""
    begin, end = f"{first:.0f}", f"{last:.0f}"
    line = begin + " " * max(width - len(begin) - len(end), 1) + end
    if mark is None or not first < mark[0] < last:
        return line
    text = f"▲ {mark[1]}"
    place = int((mark[0] - first) / (last - first) * width)
    fits = len(begin) < place and place + len(text) < width - len(end)
    return line[:place] + text + line[place + len(text) :] if fits else line
