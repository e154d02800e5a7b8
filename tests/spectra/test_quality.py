"""Flags of an answered spectrum: what a reader should know of its numbers."""

import pytest

from rankaae_stream.report import Estimate
from rankaae_stream.spectra import quality


def state(value, half):
    return Estimate("oxidation_state", value, value - half, value + half, 0.9, "e")


def test_an_interval_without_a_whole_valence_is_called_mixed():
    flag = quality.mixed_flag(state(2.5, 0.3))
    assert (flag.name, flag.severity) == ("mixed", "info")
    assert "a mixture of 2 and 3" in flag.message
    assert quality.mixed_flag(state(2.5, 0.6)) is None
    assert quality.mixed_flag(state(3.1, 0.05)) is None, "an error, more likely"


def test_a_curve_that_misses_more_than_those_of_good_oxides_says_where():
    flag = quality.poor_fit_flag(0.2, 0.1, (5.0, 12.0))
    assert "by 20.0% of the edge step, most between +5 and +12 eV" in flag.message
    assert quality.poor_fit_flag(0.1, 0.1, (5.0, 12.0)) is None


@pytest.mark.parametrize(("compounds", "says"), [(0, "with none"), (1, "1 measured compound;")])
def test_a_valence_of_few_measured_compounds_says_so(compounds, says):
    flag = quality.few_standards_flag("Ti", 4.0, compounds)
    assert "Ti of valence 4 was compared" in flag.message
    assert says in flag.message
