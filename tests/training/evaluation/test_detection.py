"""Spectra that should be flagged, on made-up ones."""

import numpy as np
import pytest

from training.evaluation.detection import alarm_threshold, score_detection


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
