"""Disturbed copies of made-up standards."""

import numpy as np
import pytest

from training.evaluation.disturbed import COPIES, disturb, pooled


def test_every_copy_of_every_compound_is_judged(steps):
    files = [
        steps.standard("FeO", 2.0),
        steps.standard("Fe2O3", 3.0),
        steps.standard("Fe2O3", 3.0, file="again.xdi"),
        steps.standard("Fe", 0.0, role="foil"),
    ]
    found = disturb(steps.judge(half=0.3), files)
    assert list(found) == list(COPIES)
    assert all(len(one.errors) == 2 for one in found.values())
    assert found["as measured"].errors == pytest.approx((0.0, 0.0), abs=0.02)
    assert found["as measured"].held == (1.0, 1.0)
    noisy = found["noise of 2.0% of the step"]
    assert np.abs(noisy.errors).max() > np.abs(found["as measured"].errors).max()


def test_a_scan_too_short_to_be_cut_is_refused_and_counted(steps):
    short = steps.standard("FeO", 2.0, reach=(-20.0, 65.0))
    found = disturb(steps.judge(), [short])
    assert found["from -30 eV on"].refused == found["as measured"].refused
    both = pooled([found, found], "as measured")
    assert both["compounds"] + both["refused"] == 2


def test_without_compounds_nothing_is_said():
    nothing = pooled([], "as measured")
    assert nothing["compounds"] == 0
    assert np.isnan(nothing["held"])
