"""The table of a series shows each scan beside what is known and what the series says of it."""

from io import StringIO

import pytest
from rich.console import Console

from rankaae_stream.commands.demo_table import PlayedCase, series_table
from rankaae_stream.simulate.reduction import reduction


def summary(valence, flags=(), refusal=None):
    state = {"value": valence, "low": valence - 0.2, "high": valence + 0.2}
    return {
        "primary": True,
        "channel": "transmission",
        "sweep": 0,
        "refusal": refusal,
        "flags": {name: {"severity": "info", "message": ""} for name in flags},
        "estimates": {} if refusal else {"oxidation_state": state},
    }


@pytest.fixture
def played():
    rows = [
        PlayedCase(case, f"run-{number}", [summary(case.truth, ["energy_shift"])], "", 0.1)
        for number, case in enumerate(reduction(quick=True, dwell=0.0), start=1)
    ]
    refused = summary(0.0, ["noisy"], {"name": "bad_signal", "message": "it is not"})
    rows[1] = PlayedCase(rows[1].case, "run-2", [refused], "", 0.1)
    return rows


def printed(table):
    console = Console(width=80, file=StringIO(), record=True)
    console.print(table)
    text = console.export_text()
    assert max(map(len, text.splitlines())) <= 80
    return text, {line.split()[0]: line.split() for line in text.splitlines() if line.strip()}


def test_a_scan_alone_is_shown_beside_the_known_valence(played):
    text, lines = printed(series_table(played))
    assert lines["7"] == ["7", "0.30", "+2.70", "+2.70", "±0.20", "energy_shift"]
    assert lines["2"][:5] == ["2", "0.00", "+3.00", "-", "refused:"]
    assert "shares" not in text
    assert "Scan 3: half of the beam passed beside the sample." in " ".join(text.split())


def test_what_the_series_says_of_a_scan_stands_beside_it_and_of_others_nothing(played):
    found = {"share_1": 0.71, "share_2": 0.29, "share_1_sigma": 0.01}
    resolved = {"run-7": found | {"valence": 2.731, "half_width": 0.054}}
    _, lines = printed(series_table(played, resolved))
    row = ["7", "0.30", "+2.70", "+2.70", "±0.20", "0.71", "0.29", "+2.73", "±0.05"]
    assert lines["7"] == [*row, "energy_shift"]
    assert lines["8"][5:] == ["-", "-", "energy_shift"]


def test_a_scan_that_is_no_mixture_of_the_ends_says_its_misfit(played):
    shares = {"share_1": 0.7, "share_2": 0.3, "valence": 2.7, "half_width": 0.2}
    resolved = {row.uid: {**shares, "misfit": 1.1} for row in played} | {
        "run-3": {**shares, "misfit": 10.7}
    }
    text, lines = printed(series_table(played, resolved))
    assert lines["3"][9:] == ["misfit", "11,"]
    assert text.count("misfit") == 1


def test_three_shares_still_fit_into_a_terminal(played):
    shares = {"share_1": 0.5, "share_2": 0.3, "share_3": 0.2, "valence": 2.5, "half_width": 0.1}
    _, lines = printed(series_table(played, dict.fromkeys([row.uid for row in played], shares)))
    assert lines["14"][5:10] == ["0.50", "0.30", "0.20", "+2.50", "±0.10"]
