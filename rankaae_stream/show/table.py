"""Show reports as a table in a terminal."""

from collections.abc import Sequence

from rich import box
from rich.markup import escape
from rich.table import Table
from rich.text import Text

from rankaae_stream.report import Report

__all__ = ["flag_markup", "report_table"]


def report_table(
    reports: Sequence[Report], names: Sequence[str], title: str = "", *, one_line: bool = False
) -> Table:
    """Return a table with a row a report: spectrum, edge, main estimates, flags or the refusal.

    Parameters
    ----------
    reports : sequence of Report
    names : sequence of str
        Of each report's spectrum: a file, a sample.
    title : str
    one_line : bool
        Cut what does not fit into the terminal's width instead of wrapping it.
    """
    table = Table(box=box.SIMPLE_HEAD, padding=(0, 1), pad_edge=False, title=title or None)
    table.title_justify = "left"
    table.add_column("spectrum", overflow="fold")
    table.add_column("edge", no_wrap=True)
    table.add_column("state", justify="right", no_wrap=True)
    table.add_column("90 % interval", no_wrap=True)
    table.add_column("CN", justify="right", no_wrap=True)
    table.add_column("flags, or why there is no number")
    for report, name in zip(reports, names, strict=True):
        cells = [Text.from_markup(cell) for cell in (escape(name), *_cells(report))]
        if one_line:
            for cell in cells:
                cell.no_wrap, cell.overflow = True, "ellipsis"
        table.add_row(*cells)
    return table


def flag_markup(name: str, severity: str) -> str:
    """Mark up a flag's name as every table shows it: warnings in red, others dim."""
    return f"[{'bold red' if severity == 'warning' else 'dim'}]{escape(name)}[/]"


def _cells(report: Report) -> tuple[str, ...]:
    edge = f"{report.element} {report.edge.shell}" if report.edge else report.element or "?"
    state = report.estimate("oxidation_state")
    number = report.estimate("coordination_number")
    words = [flag_markup(flag.name, flag.severity) for flag in report.flags]
    if report.refusal is not None:
        refused = f"[bold]{escape(report.refusal.name)}[/]: {escape(report.refusal.message)}"
        words.insert(0, refused)
    # Greyed, never hidden: a number out of domain is shown as what it is.
    style = "dim" if any(flag.name == "out_of_domain" for flag in report.flags) else "bold"
    return (
        edge,
        f"[{style}]{state.value:+.2f}[/]" if state else "-",
        f"{state.low:+.2f} to {state.high:+.2f}" if state else "-",
        f"{number.value:.1f}" if number else "-",
        ", ".join(words),
    )
