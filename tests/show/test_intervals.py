"""What an interval is made of and how far a scan is, in words and characters."""

from dataclasses import asdict, replace
from types import SimpleNamespace

import numpy as np
import pytest

from rankaae_stream.commands.demo import _Newest
from rankaae_stream.report import Shares
from rankaae_stream.show.intervals import BAR, CAUSES, SHADES, causes, span, width_lines
from rankaae_stream.spectrum import K_EDGES, Edge, Origin, Spectrum


@pytest.fixture(scope="module")
def part(analysis, measured):
    """The report on hematite's scan up to +20 eV."""
    energy, mu = measured("Fe/Fe2O3_rt_01.xdi")
    edge = Edge("Fe", "K", K_EDGES["Fe"])
    seen = energy < edge.e0 + 20.0
    return analysis.process(Spectrum(energy[seen], mu[seen], edge, Origin("a", complete=False)))


def test_the_demo_says_how_far_a_scan_is_and_how_its_interval_narrows(analysis, measured, part):
    energy, mu = measured("Fe/Fe2O3_rt_01.xdi")
    stream = SimpleNamespace(last=None)
    newest = _Newest(stream)
    assert newest.words("a") == ""
    halves = []
    for end in (12.0, 25.0, 145.0):
        seen = energy < part.edge.e0 + end
        origin = Origin("a", complete=False)
        stream.last = analysis.process(Spectrum(energy[seen], mu[seen], part.edge, origin))
        value, half, at, reached, unit = newest.words("a").split()
        assert value == f"{stream.last.estimates[0].value:+.2f}"
        assert (at, unit) == ("at", "eV")
        assert float(reached) == pytest.approx(end, abs=3.0)
        halves.append(float(half.removeprefix("±")))
    assert halves[0] > halves[1] > halves[2]
    assert newest.words("another") == ""


def with_shares(report, **shares):
    state = replace(report.estimates[0], shares=Shares(**shares))
    return replace(report, estimates=(state, *report.estimates[1:]))


def test_every_share_of_an_interval_has_words_and_a_colour_of_its_own():
    assert list(asdict(Shares())) == list(CAUSES) == list(SHADES)
    assert len(set(SHADES.values())) == len(set(CAUSES.values())) == len(CAUSES)


def test_energies_reached_are_those_that_a_part_rests_on(part):
    assert span(part) == pytest.approx(part.extent, abs=1e-9)
    assert span(replace(part, edge=None)) is None


@pytest.mark.parametrize(
    "shares",
    [
        {"axis": 0.6, "theory": 0.4},
        {"noise": 0.3, "normalization": 0.3, "axis": 0.1, "extent": 0.3},
        {**dict.fromkeys(CAUSES, 0.2), "noise": 0.1, "extent": 0.1},
        {"extent": 0.999, "noise": 0.001},
    ],
    ids=["two", "four", "all", "one"],
)
def test_a_bar_is_as_long_as_the_shares_and_told_apart_without_colours(part, shares):
    report = with_shares(part, **shares)
    bar, legend, advice = (line.plain for line in width_lines(report))
    state = report.estimates[0]
    head, drawn = bar.rsplit("  ", 1)
    assert head == f"{state.value:+.2f} ±{(state.high - state.low) / 2:.2f}"
    assert len(drawn) == BAR
    for name, share in causes(state):
        fill = legend[legend.index(CAUSES[name]) - 2]
        assert drawn.count(fill) == pytest.approx(BAR * share, abs=1.0)
        assert f"{CAUSES[name]} {share:.0%}" in legend
    assert advice.strip() == report.advice
    assert sum(name in legend for name in CAUSES.values()) == len(causes(state))


def test_nothing_is_drawn_of_an_interval_without_shares(part, analysis):
    assert width_lines(replace(part, estimates=(replace(part.estimates[0], shares=None),))) == []
    flat = np.linspace(7000.0, 7300.0, 301), np.zeros(301)
    refused = analysis.process_columns(*flat, part.edge, Origin("flat"))
    assert width_lines(refused) == []
