"""Say how wide an interval is, what it is made of, and how far a scan has come."""

from dataclasses import asdict

from rich.text import Text

from rankaae_stream.report import Estimate, Report

__all__ = ["CAUSES", "SHADES", "causes", "moving_end", "span", "value_and_half", "width_lines"]

CAUSES = {
    "noise": "noise",
    "normalization": "normalisation",
    "axis": "energy axis",
    "ensemble": "networks",
    "theory": "simulation",
    "extent": "unseen part",
}
"""The shares of an interval in words; the page has the same in words.js."""

SHADES = {
    "noise": "#56B4E9",
    "normalization": "#009E73",
    "axis": "#E69F00",
    "ensemble": "#CC79A7",
    "theory": "#0072B2",
    "extent": "#D55E00",
}
"""Their colours, Okabe and Ito's; the page has the same in app.css."""

LEAST = 0.005
"""A smaller share is not named: it rounds to 0 %."""

BAR = 40
"""Characters of a bar."""

_FILLS = "█▓▒░▞▏"
"""Characters of a bar's parts in their order, which tell them apart without colours."""


def value_and_half(estimate: Estimate) -> str:
    """Return a valence and the half-width of its interval.

    Examples
    --------
    >>> value_and_half(Estimate("oxidation_state", 2.984, 2.85, 3.11, 0.9, "e"))
    '+2.98 ±0.13'
    """
    return f"{estimate.value:+.2f} ±{(estimate.high - estimate.low) / 2.0:.2f}"


def span(report: Report) -> tuple[float, float] | None:
    """Return the first and the last energy of a report, eV from the tabulated edge.

    On the model's axis, as `Report.extent`; None where edge or energies are not known.
    """
    if report.edge is None or report.energy_range is None:
        return None
    off = report.shifts.calibration + report.shifts.theory - report.edge.e0
    return report.energy_range[0] + off, report.energy_range[1] + off


def moving_end(before: tuple[float, float], now: tuple[float, float]) -> float:
    """Return the end that a growing scan has reached: the upper, or of a falling scan the lower.

    Examples
    --------
    >>> moving_end((-60.0, 10.0), (-60.0, 17.0)), moving_end((-5.0, 200.0), (-20.0, 200.0))
    (17.0, -20.0)
    """
    return now[0] if before[0] - now[0] > now[1] - before[1] else now[1]


def causes(estimate: Estimate) -> list[tuple[str, float]]:
    """Return the name and the share of each cause of an interval, the largest first."""
    found = asdict(estimate.shares) if estimate.shares else {}
    large = [(name, share) for name, share in found.items() if share >= LEAST]
    return sorted(large, key=lambda one: -one[1])


def width_lines(report: Report) -> list[Text]:
    """Return a bar of what the valence's interval is made of, its legend, and the advice.

    Empty where the report gives no valence with shares.
    """
    state = report.estimate("oxidation_state")
    parts = causes(state) if state else []
    if not state or not parts:
        return []
    bar, legend = Text(f"{value_and_half(state)}  "), Text(" " * (len(value_and_half(state)) + 2))
    ends = [0, *(round(BAR * sum(share for _, share in parts[: i + 1])) for i in range(len(parts)))]
    for (name, share), fill, begin, end in zip(parts, _FILLS, ends, ends[1:], strict=False):
        bar.append(fill * (end - begin), SHADES[name])
        legend.append(fill, SHADES[name]).append(f" {CAUSES[name]} {share:.0%}  ")
    lines = [bar, legend]
    if report.advice:
        lines.append(Text(f"{' ' * (len(value_and_half(state)) + 2)}{report.advice}"))
    return lines
