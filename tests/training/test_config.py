"""Configurations are read to the last key."""

import pytest

from rankaae_stream.errors import ConfigurationError
from training.config import load

GOOD = """
name = "x"
version = "1"
element = "Fe"
[data]
simulated = "fe-*.parquet"
core_hole_width = 1.25
"""


def written(tmp_path, text):
    path = tmp_path / "config.toml"
    path.write_text(text, encoding="utf-8")
    return path


def test_defaults_fill_what_is_not_said(tmp_path):
    config = load(written(tmp_path, GOOD))
    assert config.grid.energy_grid().points == 256
    assert config.network.latent == 6  # five tied, one free
    assert config.folder == "fe-k/1"


def test_a_kind_of_networks_differs_in_what_it_says(tmp_path):
    text = GOOD + "[fit]\nepochs = 30\n[[kinds]]\nwidth = 48\ndepth = 3\nepochs = 20\n"
    own, other = load(written(tmp_path, text)).each_kind()
    assert (own.network.width, own.network.depth, own.fit.epochs) == (128, 4, 30)
    assert (other.network.width, other.network.depth, other.fit.epochs) == (48, 3, 20)
    assert other.losses == own.losses
    assert own.kinds == other.kinds == ()
    assert len(load(written(tmp_path, "kinds = []\n" + GOOD)).each_kind()) == 1


@pytest.mark.parametrize(
    ("addition", "complaint"),
    [
        ("[fit]\nepochz = 3\n", "epochz"),
        ("[losses]\nrank = -1.0\n", "rank"),
        ("[fit]\ntrials = 2\nkeep = 3\n", "keep = 3 exceeds"),
        ("[fit\n", "config.toml"),
        ("[network]\nencoder = 'rnn'\n", "'fc' or 'cnn'"),
        ("[network]\nfree = -1\n", "free"),
        ("[network]\ndescriptors = []\n", "at least 1 item"),
        ("[network]\ndescriptors = ['colour']\n", "does not know colour; choose"),
        ("[network]\ndescriptors = ['angle_spread', 'angle_spread']\n", "names one twice"),
        ("[network]\nencoder = 'cnn'\nchannels = [8, 0]\n", "channels"),
        ("[augment]\nbroadening = [1.6, 0.3]\n", "should be \\[smallest, largest\\]"),
        ("[augment]\ngap_share = 1.5\n", "gap_share"),
    ],
)
def test_a_mistake_is_an_error_that_names_it(tmp_path, addition, complaint):
    with pytest.raises(ConfigurationError, match=complaint):
        load(written(tmp_path, GOOD + addition))


def test_an_unknown_element_is_an_error(tmp_path):
    with pytest.raises(ConfigurationError, match="'Xx'"):
        load(written(tmp_path, GOOD.replace('"Fe"', '"Xx"')))


def test_a_missing_file_is_an_error(tmp_path):
    with pytest.raises(ConfigurationError, match=r"none\.toml"):
        load(tmp_path / "none.toml")


def test_any_descriptors_and_free_dimensions_can_be_chosen(tmp_path):
    chosen = "[network]\ndescriptors = ['angle_spread', 'coordination_number']\nfree = 0\n"
    network = load(written(tmp_path, GOOD + chosen)).network
    assert network.latent == 2
    assert network.averaged == (1,)
    assert load(written(tmp_path, GOOD)).network.averaged == (0, 1)
