"""Measured compounds laid on simulations whose place is known."""

from dataclasses import replace

import numpy as np
import pytest

from training.measured.own_shift import (
    Laid,
    apart,
    lay_compounds,
    lay_on_classes,
    left_out_shifts,
    shift_table,
)


@pytest.fixture
def world(steps):
    """Steps of valence 2, 3 and 4 in six compounds, named by their formulas."""
    simulated = steps.simulated(compounds=6)
    labels = simulated.labels.copy()
    labels[:, 1] = 6.0
    return replace(simulated, labels=labels)


def measured(steps, valence, by, formula=""):
    """A standard whose energies lie `by` eV above the simulation's."""
    one = steps.standard(f"c{valence}", valence)
    spectrum = replace(one.spectrum, energy=one.spectrum.energy + by)
    return replace(one, spectrum=spectrum, formula=formula)


def test_a_compound_is_laid_on_its_own_formula(steps, world):
    odd = replace(world, mu=world.mu.copy())
    odd.mu[world.group == "M3O"] = np.interp(world.energy - 2.0, world.energy, world.mu[0])
    own, other, alike = (
        lay_compounds(odd, [measured(steps, 2.0, 1.0, name)])[0] for name in ("M3O", "M0O", "")
    )
    assert (own.own, other.own, alike.own) == (True, True, False)
    assert (own.shift, other.shift) == pytest.approx((1.0, -1.0))


def test_a_compound_is_laid_on_every_site_of_its_class(steps, world):
    odd = replace(world, mu=world.mu.copy())
    axis, mu = world.energy, world.mu[0]
    odd.mu[world.group == "M3O"] = [np.interp(axis - by, axis, mu) for by in (1.0, 2.0, 3.0)]
    odd.mu[world.group == "M0O"] += 0.1 * np.sin(axis)  # the worse half
    files = [measured(steps, 2.0, 0.0, "M3O"), measured(steps, 3.0, -3.0)]
    two, three = lay_on_classes(odd, files)
    assert (two.sites, three.sites) == (6, 6)  # two compounds of three geometries
    assert (two.shift, two.scatter) == pytest.approx((2.0, np.std([1.0, 2.0, 3.0])))
    assert (three.shift, three.scatter) == pytest.approx((3.0, 0.0))
    assert apart([two, three]) == pytest.approx({"c2.0": -0.5, "c3.0": 0.5})
    assert lay_on_classes(odd, [measured(steps, 2.5, 0.0)]) == []
    assert apart([]) == {}


def test_a_mean_valence_has_no_class(steps, world):
    assert lay_compounds(world, [measured(steps, 2.5, 0.0)]) == []


def test_a_compound_that_fits_nowhere_says_nothing(steps, world):
    wild = steps.standard("wild", 2.0, flat=lambda e: (e > 5.0) * (1.0 + 0.6 * np.sin(e)))
    assert lay_compounds(world, [wild]) == []


def laid(compound, valence, shift, *, own=True):
    return Laid(compound, valence, shift, 0.05, own, 5)


def test_the_table_is_the_mean_over_own_structures():
    found = [laid("a", 2.0, 1.0), laid("b", 2.0, 2.0), laid("c", 2.0, 9.0, own=False)]
    assert shift_table([*found, laid("d", 3.0, 0.5, own=False)], {2.0: 1.0}) == {2.0: 2.5, 3.0: 0.5}


def test_a_compound_that_is_left_out_takes_its_share_with_it():
    found = left_out_shifts([laid("a", 2.0, 1.0), laid("b", 2.0, -1.0)], {2.0: 3.0})
    assert found == pytest.approx({"a": 1.0, "b": -1.0})


def test_the_only_compound_of_a_valence_leaves_what_its_neighbours_say():
    rows = [laid("a", 2.0, 0.0), laid("b", 3.0, 0.0), laid("c", 4.0, 0.0)]
    found = left_out_shifts(rows, {2.0: 3.0, 3.0: 0.0, 4.0: 1.0})
    assert found["b"] == pytest.approx(0.0 - 2.0)
