"""Thresholds and scores on small made-up evidence."""

import numpy as np
import pytest

from training.evaluate import domain_start
from training.standards import Standard
from training.theory import Measured, domain_score, domain_threshold


def measured(compound: str, distance: float, role: str = "standard") -> Measured:
    empty = np.empty(0)
    standard = Standard(f"{compound}.xdi", compound, role, 2.0, 6.0, empty, empty, "", 0.0)
    return Measured(standard, {}, distance)


def test_the_fence_of_the_standards_is_the_threshold_where_simulations_are_harder():
    standards = [
        measured(name, d) for name, d in zip("abcde", (0.10, 0.12, 0.13, 0.14, 0.16), strict=True)
    ]
    found = domain_threshold(np.linspace(0.1, 0.9, 100), standards)
    assert found == pytest.approx(0.14 + 1.5 * 0.02)


def test_validation_is_the_threshold_where_it_is_stricter_or_alone():
    simulated = np.linspace(0.0, 0.1, 101)
    standards = [
        measured(name, d) for name, d in zip("abcde", (0.1, 0.2, 0.3, 0.4, 0.5), strict=True)
    ]
    assert domain_threshold(simulated, standards) == pytest.approx(0.095)
    assert domain_threshold(simulated, standards[:4]) == pytest.approx(0.095)


def test_suspects_and_foils_do_not_move_the_threshold():
    standards = [measured(name, 0.1) for name in "abcde"]
    others = [measured("x", 9.0, "suspect"), measured("y", 9.0, "foil")]
    simulated = np.full(10, 5.0)
    assert domain_threshold(simulated, [*standards, *others]) == pytest.approx(0.1)


def test_the_domain_score_is_one_when_every_foil_lies_beyond_every_oxide():
    inside = [measured("a", 0.1), measured("b", 0.2)]
    outside = [measured("f", 0.3, "foil"), measured("s", 0.15, "other")]
    assert domain_score([*inside, outside[0]]) == 1.0
    assert domain_score([*inside, *outside]) == pytest.approx(0.75)
    assert np.isnan(domain_score(inside))


def test_the_domain_starts_where_most_was_simulated():
    class Sites:
        first = np.linspace(-1.0, 3.0, 1000)

    found = domain_start(Sites(), np.arange(1000))  # pyright: ignore[reportArgumentType]
    assert found == 1.0
