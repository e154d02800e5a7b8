"""Spectra that are answered together get the numbers that each gets alone."""

from dataclasses import asdict, replace

import numpy as np
import pytest

from rankaae_stream.analysis import Columns
from rankaae_stream.files.read import read_spectrum
from rankaae_stream.loading import default_analysis
from rankaae_stream.resources import folder
from rankaae_stream.spectrum import K_EDGES, Edge, Origin

IRON = Edge("Fe", "K", K_EDGES["Fe"])


@pytest.fixture(scope="module")
def asked():
    """Spectra that differ in what can differ: axis, foil, channel, extent, element, defects."""
    rng = np.random.default_rng(1)
    energy, mu = near("Fe/Fe2O3_rt_01.xdi")
    other, oxide = near("Fe/FeO_rt_01.xdi")
    metal = near("Fe/Fe_metal_rt_01.xdi")
    found: list[Columns] = []

    def ask(energy, mu, reference=None, edge=IRON, complete=True, **more):
        origin = Origin(f"s{len(found)}", more.pop("channel", "transmission"), 0, complete)
        noisy = mu + rng.normal(0.0, 1e-3, mu.size)
        found.append(Columns(energy, noisy, edge, origin, reference, **more))

    for by in (0.0, 0.3, -0.8, 0.0):
        foil = metal[0] - by, metal[1]
        ask(energy, mu)
        ask(energy, mu, foil)
        ask(other, oxide, foil)
        ask(energy - by, mu, channel="fluorescence", beside=(energy, mu))
        ask(energy, mu / (1.0 + mu), channel="fluorescence")
        ask(energy, mu, complete=False)
    seen = energy < IRON.e0 + 25.0
    for complete in (True, False):
        ask(energy[seen], mu[seen], complete=complete)
    glitch = np.where(np.arange(mu.size) == 150, mu + 0.5, mu)
    ask(energy, glitch)
    # Axes and lengths of their own: a scan that ends with the model's grid, 70 eV past the edge,
    # has copies whose axis is moved beyond its last point.
    for i, last in enumerate((70.3, 71.0, 80.0, 110.0, 140.0, 170.0)):
        own = slice(i, np.searchsorted(energy, IRON.e0 + last))
        axis = energy[own] + 0.03 * i
        ask(axis, mu[own], (metal[0] + 0.03 * i, metal[1]))
        ask(axis, glitch[own], channel="fluorescence")
        ask(axis, mu[own], complete=False)
    ask(energy, -mu)
    ask(energy, np.full(mu.size, np.nan))
    ask(energy[::-1], mu[::-1])
    ask(*metal)
    ask(energy, mu, edge=Edge("Mn", "K", K_EDGES["Mn"]))
    ask(energy, mu, edge=Edge("Zn", "K", 9659.0))
    ask(energy, mu, complete=False)
    return found


def near(file):
    found = read_spectrum(folder("profiles/spectra") / file)
    used = np.abs(found.energy - IRON.e0) < 180.0
    return found.energy[used], found.mu[used]


def plain(report):
    """A report's values, to the last bit."""
    curves, measured = report.curves, report.measured
    arrays = [] if curves is None else [curves.energy, curves.flat, curves.reconstruction]
    arrays += [] if measured is None else [measured.energy, measured.mu]
    return asdict(replace(report, curves=None, measured=None)), [a.tobytes() for a in arrays]


def test_a_batch_has_the_answers_of_its_spectra_alone(asked):
    analysis = default_analysis()
    alone = [plain(analysis.answer([one])[0]) for one in asked]
    names = {report[0]["refusal"]["name"] for report in alone if report[0]["refusal"]}
    assert {"no_edge", "bad_signal", "no_model"} <= names
    assert [plain(report) for report in analysis.answer(asked)] == alone
    order = np.random.default_rng(2).permutation(len(asked))
    shuffled = analysis.answer([asked[i] for i in order])
    assert [plain(report) for report in shuffled] == [alone[i] for i in order]


def test_more_spectra_than_are_answered_at_once_keep_their_order(asked):
    first = replace(asked[0], origin=Origin("again"))
    reports = default_analysis().answer([asked[0]] * 70 + [first] * 70)
    assert [report.source for report in reports] == ["s0"] * 70 + ["again"] * 70


def test_nothing_asked_is_nothing_answered():
    assert default_analysis().answer([]) == []
