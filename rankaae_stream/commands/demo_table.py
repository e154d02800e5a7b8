"""Show what a demo played beside what Tiled says of it."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from rich import box
from rich.markup import escape
from rich.table import Table

from rankaae_stream.show.table import flag_markup
from rankaae_stream.simulate.sessions import Case

__all__ = ["PlayedCase", "scans_table", "series_table", "session_table"]

FITS = 4.0
"""Misfit in units of the noise, beyond which it is shown."""


@dataclass(frozen=True, slots=True)
class PlayedCase:
    """A case, and what Tiled says of it.

    Attributes
    ----------
    case : Case
    uid : str
        Of the raw run.
    summaries : sequence of mapping
        Of all its results, one a channel and sweep; none where the profile leaves such runs alone.
    silence : str
        Why there is none.
    latency : float
        From the stop document to the last result in Tiled, s.
    """

    case: Case
    uid: str
    summaries: Sequence[Mapping[str, Any]]
    silence: str
    latency: float

    def shown(self) -> list[Mapping[str, Any]]:
        """Return the summaries of the channel that the case is about, by sweep."""
        wanted = self.case.channel
        primary = [item["channel"] for item in self.summaries if item["primary"]]
        channel = wanted or (primary[0] if primary else None)
        found = [item for item in self.summaries if item["channel"] == channel]
        return sorted(found, key=lambda item: item["sweep"])


def scans_table(played: Sequence[PlayedCase]) -> Table:
    """Return a table of scanned samples with their true values; it fits 80 columns.

    The caption says of each sample out of domain what it is.
    """
    caption = [
        "CN: coordination number. Latency: from the scan's stop to the result in Tiled, an "
        "element's first with the what-if curves of its model."
    ]
    for item in played:
        outside = item.shown()[-1]["flags"].get("out_of_domain")
        if outside and item.case.reference:
            caption.append(f"{item.case.reference.name}: {escape(outside['message'])}.")
    table = _table("Oxidation states of measured spectra, as read from Tiled", "\n".join(caption))
    table.add_column("sample")
    for name in ("true", "found", "90 % interval", "CN (true)"):
        table.add_column(name, justify="right", no_wrap=True)
    table.add_column("flags")
    table.add_column("latency", justify="right", no_wrap=True)
    element = ""
    for item in played:
        sample = item.case.reference
        assert sample is not None
        if element not in ("", sample.element):
            table.add_section()
        element = sample.element
        summary = item.shown()[-1]
        estimates = summary["estimates"]
        state, number = estimates.get("oxidation_state"), estimates.get("coordination_number")
        table.add_row(
            sample.name,
            f"{sample.oxidation_state:+.2f}",
            f"[bold]{state['value']:+.2f}[/]" if state else "-",
            f"{state['low']:+.2f} to {state['high']:+.2f}" if state else "-",
            f"{number['value'] if number else math.nan:.1f} ({sample.coordination_number:.1f})",
            _flag_names(summary),
            f"{item.latency * 1e3:.0f} ms",
        )
    return table


def series_table(
    played: Sequence[PlayedCase], resolved: Mapping[str, Mapping[str, Any]] | None = None
) -> Table:
    """Return a table of a series, scan by scan, beside what is known; it fits 80 columns.

    Parameters
    ----------
    played : sequence of PlayedCase
        The scans of one series, in their order.
    resolved : mapping of mapping, optional
        What the whole series says of a scan, by the raw run's uid, as `series.state.rows` names
        it: ``share_1`` ..., ``valence``, ``half_width``, ``misfit``. A scan that takes no part is
        not in it.
    """
    first = played[0].case
    product = list(first.fractions)[-1]
    told = (
        f"{product}, known: its share of the metal's atoms and the mean valence, as played. Alone: "
        "the scan by itself, as read from Tiled."
    )
    if resolved is not None:
        told += " Shares, series: the scan as a mixture of the series' purest spectra."
    faults = [
        f"{one.case.what.capitalize()}: {one.case.fault}." for one in played if one.case.fault
    ]
    table = _table(f"A reduction, scan by scan: {first.series}", "\n".join([told, *faults]))
    found = () if resolved is None else ("shares", "series")
    for name in ("scan", product, "known", "alone", *found):
        table.add_column(name, justify="right", no_wrap=True)
    table.add_column("flags")
    for item in played:
        case, summary = item.case, item.shown()[-1]
        alone, names = summary["estimates"].get("oxidation_state"), _flag_names(summary)
        table.add_row(
            case.what.removeprefix("scan "),
            f"{case.fractions[product]:.2f}",
            "-" if case.truth is None else f"{case.truth:+.2f}",
            _with_half(alone["value"], (alone["high"] - alone["low"]) / 2.0) if alone else "-",
            *(() if resolved is None else _of_series(resolved.get(item.uid, {}))),
            ", ".join(filter(None, (_misfit((resolved or {}).get(item.uid, {})), names))),
        )
    return table


def _of_series(row: Mapping[str, Any]) -> tuple[str, str]:
    """Return the shares of a scan and its valence; dashes where it takes no part."""
    shares: list[str] = []
    while f"share_{len(shares) + 1}" in row:
        shares.append(f"{row[f'share_{len(shares) + 1}']:.2f}")
    valence = _with_half(row["valence"], row["half_width"]) if shares else "-"
    return " ".join(shares) or "-", valence


def _misfit(row: Mapping[str, Any]) -> str:
    """Name the misfit of a scan that is no mixture of the series' ends."""
    misfit: float = row.get("misfit") or 0.0
    return f"[bold red]misfit {misfit:.0f}[/]" if misfit > FITS else ""


def _with_half(value: float, half: float) -> str:
    return f"{value:+.2f} ±{half:.2f}"


def _flag_names(summary: Mapping[str, Any]) -> str:
    """Return the refusal and the flags by name."""
    words = [flag_markup(name, flag["severity"]) for name, flag in summary["flags"].items()]
    if summary["refusal"]:
        words.insert(0, f"[bold]refused: {escape(summary['refusal']['name'])}[/]")
    return ", ".join(words)


def session_table(beamline: str, played: Sequence[PlayedCase]) -> Table:
    """Return a table of a beamline's session with flags and refusals in words, 80 columns wide."""
    table = _table(
        f"A session at {beamline}, as read from Tiled",
        "Of each run one channel is shown; all have their results in Tiled.",
    )
    table.add_column("what was played", max_width=24)
    table.add_column("found", justify="right", no_wrap=True)
    table.add_column("90 % interval", justify="right", no_wrap=True)
    table.add_column("flags, or why there is no answer")
    for item in played:
        table.add_row(f"{item.case.sample}, {escape(item.case.what)}", *_answer(item))
    return table


def _table(title: str, caption: str) -> Table:
    return Table(
        box=box.SIMPLE_HEAD,
        padding=(0, 1),
        pad_edge=False,
        title=title,
        title_justify="left",
        caption=caption,
        caption_justify="left",
    )


def _answer(item: PlayedCase) -> tuple[str, str, str]:
    """Return the mean value of the sweeps, their mean interval, and their flags."""
    shown = item.shown()
    if not shown:
        return "-", "-", f"[dim]left alone: {escape(item.silence)}[/]"
    states = [s["estimates"].get("oxidation_state") for s in shown if not s["refusal"]]
    answers = [state["value"] for state in states if state]
    words = [_words(shown[-1], item.case.about)]
    if len(shown) > 1:
        spread = f", {min(answers):+.2f} to {max(answers):+.2f}" if answers else ""
        words.insert(0, f"{len(shown)} sweeps, {len(answers)} answered{spread}")
    if not answers:
        return "-", "-", "; ".join(filter(None, words))
    low, high = (sum(state[end] for state in states if state) for end in ("low", "high"))
    mean = sum(answers) / len(answers)
    interval = f"{low / len(answers):+.2f} to {high / len(answers):+.2f}"
    # Greyed, never hidden: a number out of domain is shown as what it is.
    style = "dim" if any("out_of_domain" in s["flags"] for s in shown) else "bold"
    return f"[{style}]{mean:+.2f}[/]", interval, "; ".join(filter(None, words))


def _words(summary: Mapping[str, Any], about: str) -> str:
    """Return the refusal, the warnings and the flag `about` in words, other flags by name."""
    words: list[str] = []
    if summary["refusal"]:
        refusal = summary["refusal"]
        words.append(f"[bold]refused, {escape(refusal['name'])}[/]: {escape(refusal['message'])}")
    for name, flag in summary["flags"].items():
        text = flag_markup(name, flag["severity"])
        # The sentence of a refusal is enough, and says the same.
        if (flag["severity"] == "warning" or name == about) and not summary["refusal"]:
            text += f": {escape(flag['message'])}"
        words.append(text)
    return "; ".join(words)
