"""Sums of measured spectra, on made-up ones."""

import numpy as np
import pytest

from training.evaluation.mixtures import deviation_from_line, mix_end_members, mix_foil
from training.evaluation.on_measured import read_standards


def wiggle(energy):
    """Nothing that a step could describe."""
    return 0.5 * (1.0 + np.tanh(energy - 10.0)) * (1.0 + 0.4 * np.sin(energy))


def test_a_linear_judge_sees_linear_mixtures(steps):
    files = [
        steps.standard("FeO", 2.0),
        steps.standard("Fe2O3 hematite", 3.0),
        steps.standard("Fe2O3 hematite", 3.0, file="again.xdi"),
    ]
    found = mix_end_members(steps.judge(), read_standards(steps.judge(), files))
    assert found is not None
    assert found.pairs == 2
    assert found.monotone == 1.0
    assert found.worst < 1e-3
    assert found.valences[3] == pytest.approx(2.3, abs=0.02)
    assert mix_end_members(steps.judge(), read_standards(steps.judge(), files[:1])) is None


def test_the_largest_deviation_is_that_from_the_own_end_members():
    shares = np.linspace(0.0, 1.0, 5)
    assert deviation_from_line(shares, np.array([2.0, 2.1, 2.9, 2.8, 3.0])) == pytest.approx(0.4)


def test_more_metal_in_an_oxide_is_flagged_more_often(steps):
    files = [steps.standard("FeO", 2.0), steps.standard("Fe", 0.0, role="foil", flat=wiggle)]
    judge = steps.judge(threshold=0.8)
    readings = read_standards(judge, files)
    found = mix_foil(judge, readings)
    assert found.pairs == 1
    assert found.flagged[0] == 0.0
    assert found.flagged[-1] == 1.0
    assert list(found.flagged) == sorted(found.flagged)
    assert mix_foil(judge, readings[:1]).flagged == ()
