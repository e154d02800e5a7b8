"""Spectra that should be flagged, on made-up ones."""

from dataclasses import replace

import numpy as np
import pytest

from rankaae_stream.spectrum import K_EDGES, Edge
from training.evaluation.detection import alarm_threshold, distances_of_others, score_detection
from training.evaluation.on_measured import read_standards


def test_detection_is_judged_at_the_cards_threshold_and_at_its_own():
    inside = list(np.linspace(0.5, 1.0, 21))
    found = score_detection("foil", [0.4, 0.98, 1.2, 1.5, float("nan")], inside, 1.1)
    assert alarm_threshold(inside) == pytest.approx(0.975)
    assert found.files == 4
    assert found.at_card == 0.5
    assert found.at_false_alarms == 0.75
    # 0.4 lies below all 21 oxides, 0.98 above 20 of them, two above all.
    assert found.auroc_score == pytest.approx((0 + 20 + 21 + 21) / 84)
    told = [True, None, False, True, True]
    found = score_detection("foil", [0.4, 0.98, 1.2, 1.5, float("nan")], inside, 1.1, told)
    assert found.at_card == 0.75, "recognised, beyond, or both; a refused one counts nowhere"
    assert found.metals == (True, None, False, True)


def test_without_oxides_or_others_nothing_is_said():
    assert np.isnan(score_detection("foil", [2.0], [], 1.0).auroc_score)
    assert np.isnan(score_detection("foil", [], [1.0], 1.0).at_card)


def test_only_good_oxides_of_other_elements_stand_for_a_wrong_one(steps):
    files = [steps.standard("FeO", 2.0), steps.standard("Fe", 0.0, role="foil")]
    moved = K_EDGES["Mn"] - K_EDGES["Fe"]
    others = [
        replace(
            one,
            spectrum=replace(
                one.spectrum,
                energy=one.spectrum.energy + moved,
                edge=Edge("Mn", "K", K_EDGES["Mn"]),
            ),
        )
        for one in files
    ]
    judge = steps.judge()
    (own,) = read_standards(judge, files[:1])
    found = distances_of_others(judge, {"Fe": files, "Mn": others})
    assert found == pytest.approx([own.distance])
    # A file that does not reach across the edge is no example.
    short = replace(others[0].spectrum, energy=others[0].spectrum.energy - moved)
    assert distances_of_others(judge, {"Mn": [replace(others[0], spectrum=short)]}) == []
