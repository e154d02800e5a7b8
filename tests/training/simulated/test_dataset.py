"""Simulated spectra as they are read, continued and split."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from rankaae_stream.errors import ConfigurationError
from rankaae_stream.spectrum import K_EDGES
from training.config import Data, Grid
from training.descriptors import DESCRIPTORS
from training.simulated import dataset

IRON = Data(
    simulated="fe-feff10-*.parquet", shifts={2.0: 1.2, 3.0: -1.4, 4.0: -4.0}, core_hole_width=1.25
)


@pytest.fixture(scope="module")
def iron():
    return dataset.read("Fe", IRON, Grid())


def test_every_site_has_a_spectrum_and_its_labels(iron):
    n = len(iron.mu)
    assert iron.mu.shape == (n, iron.energy.size)
    assert np.isfinite(iron.mu).all()
    assert set(np.unique(iron.labels[:, 0])) <= {2.0, 3.0, 4.0}
    assert (iron.labels[:, 1] >= 2).all()


def test_no_compound_is_in_two_parts_of_the_split(iron):
    parts = dataset.split(iron, IRON)
    compounds = [set(iron.group[rows]) for rows in (parts.train, parts.validation, parts.test)]
    assert not compounds[0] & compounds[1]
    assert not compounds[0] & compounds[2]
    assert not compounds[1] & compounds[2]
    everything = np.concatenate([parts.train, parts.validation, parts.test])
    np.testing.assert_array_equal(np.sort(everything), np.arange(len(iron.mu)))


@pytest.mark.parametrize("seed", range(4))
def test_every_part_has_its_share_of_every_valence(iron, seed):
    parts = dataset.split(iron, IRON.model_copy(update={"split_seed": seed}))
    for valence in np.unique(iron.labels[:, 0]):
        total = np.sum(iron.labels[:, 0] == valence)
        for rows, share in ((parts.train, 0.7), (parts.validation, 0.15), (parts.test, 0.15)):
            found = np.sum(iron.labels[rows, 0] == valence) / total
            assert found == pytest.approx(share, abs=0.08)


def test_the_split_depends_on_its_seed_alone(iron):
    one, two = dataset.split(iron, IRON), dataset.split(iron, IRON)
    np.testing.assert_array_equal(one.test, two.test)
    other = dataset.split(iron, IRON.model_copy(update={"split_seed": 1}))
    assert not np.array_equal(one.test, other.test)


def test_simulated_energies_move_onto_the_measured_axis(iron):
    plain = dataset.read("Fe", IRON.model_copy(update={"shifts": {}}), Grid())
    moved = iron.first - plain.first
    wanted = {2.0: -1.2, 3.0: 1.4, 4.0: 4.0}
    np.testing.assert_allclose(moved, [wanted[one] for one in iron.labels[:, 0]], atol=1e-9)


def test_a_mixture_seems_oxidised_where_its_axis_lies_too_high(steps, iron):
    # The steps of the made-up element lie 3 eV a unit apart.
    assert dataset.valence_per_ev(steps.simulated()) == pytest.approx(1 / 3)
    assert 0.1 < dataset.valence_per_ev(iron) < 0.5


def test_between_two_valences_and_beyond_them_the_shift_is_known():
    found = dataset.theory_shifts(IRON, np.array([1.0, 2.5, 6.0, np.nan]))
    np.testing.assert_allclose(found, [1.2, -0.1, -4.0, -1.4])


TABULATED = "ti-feff10-*", "v-feff10-*", "cr-feff10-*", "mn-feff10-*", "fe-feff10-*", "co-feff10-*"


@pytest.mark.parametrize("files", [*TABULATED, "ni-feff10-*"])
def test_substituted_sites_have_the_bonds_of_native_ones(files):
    """Sites scaled by wrong bond-valence parameters taught wrong edges: Co(III) at Co-O 1.957 A."""
    element = files.split("-")[0].capitalize()
    data = Data(simulated=f"{files}.parquet", core_hole_width=1.0)
    found = dataset.read(element, data, Grid())
    bond = list(DESCRIPTORS).index("mean_bond_length")
    compared = 0
    for valence in np.unique(found.labels[:, 0]):
        for shell in (4.0, 6.0):
            same = (found.labels[:, 0] == valence) & (found.labels[:, 1] == shell)
            native, other = same & found.native, same & ~found.own_host
            if native.sum() < 5 or not other.any():
                continue
            compared += 1
            medians = [np.nanmedian(found.labels[rows, bond]) for rows in (native, other)]
            assert abs(medians[0] - medians[1]) <= 0.05, (element, valence, shell, medians)
    assert compared


@given(joint=st.floats(-2.0, 8.0), height=st.floats(0.005, 0.2), width=st.floats(0.5, 3.0))
def test_the_tail_joins_the_simulation_and_falls_away_from_it(joint, height, width):
    energy = np.linspace(joint - 30.0, joint, 200)
    tail = dataset.lorentzian_tail(energy, joint, height, width)
    assert tail[-1] == pytest.approx(height)
    assert (np.diff(tail) > 0).all()
    assert tail[0] > 0


def test_below_the_first_simulated_point_there_is_the_tail(iron):
    row = 0
    below = iron.energy < iron.first[row]
    assert (np.diff(iron.mu[row, below]) > 0).all()
    assert iron.mu[row, below].max() < 0.1


def test_files_that_match_nothing_are_named():
    with pytest.raises(ConfigurationError, match="no file matches nothing"):
        dataset.read("Fe", IRON.model_copy(update={"simulated": "nothing-*.parquet"}), Grid())


def test_an_element_that_no_file_holds_is_named():
    assert "Cu" in K_EDGES
    with pytest.raises(ConfigurationError, match="no Cu site"):
        dataset.read("Cu", IRON, Grid())
