"""Disturbed copies of made-up standards."""

from dataclasses import replace

import numpy as np
import pytest

from training.evaluation.disturbed import COPIES, SHARES, disturb, mix, pooled


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
    both = pooled([found["as measured"]] * 2)
    assert both["answered"] + both["refused"] == 2


def test_mixtures_of_any_two_compounds_of_other_valence_are_judged(steps):
    files = [
        steps.standard("FeO", 2.0),
        steps.standard("FeCO3", 2.0),
        steps.standard("Fe2O3", 3.0),
        steps.standard("Fe2O3", 3.0, file="again.xdi"),
        steps.standard("Fe", 0.0, role="foil"),
    ]
    found = mix(steps.judge(half=0.3), files)
    assert len(found.errors) == 2 * len(SHARES)  # the two of valence 2 are never mixed
    assert found.refused == 0
    # A step's area is linear in a mixture, and the axis jitters by .05 eV.
    assert np.abs(found.errors).max() < 0.1
    assert set(found.held) == {1.0}
    blind = mix(steps.judge(half=0.001), [replace(one, shift=None) for one in files])
    assert np.median(blind.widths) > np.median(mix(steps.judge(half=0.001), files).widths)


def test_a_pair_without_a_common_edge_gives_no_mixture(steps):
    files = [steps.standard("FeO", 2.0, reach=(-20.0, 5.0)), steps.standard("Fe2O3", 3.0)]
    assert mix(steps.judge(), files).errors == ()


def test_without_compounds_nothing_is_said():
    nothing = pooled([])
    assert nothing["answered"] == 0
    assert np.isnan(nothing["held"])
