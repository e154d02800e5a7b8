"""Layouts of other packages: found by their entry point, and told what they do not take."""

import sys

import pytest

from rankaae_stream.errors import ConfigurationError
from rankaae_stream.layouts.base import Field, fields_of
from rankaae_stream.layouts.step import StepLayout
from rankaae_stream.profile import load_profile

MODULE = """
from rankaae_stream.layouts.step import StepLayout

def crystal(*, crystal, stream="primary", allowed_roots=()):
    return StepLayout(stream, (crystal,), ("I0",), ("It",))

def no_layout():
    return 1
"""
HASH = "0494cb9777b95445875b3909802f93d40f32b787f53e3a285720285c9ef37fea"
"""What version 0.1 hashed the settings of this layout to."""
ENTRY_POINTS = """
[rankaae_stream.layouts]
crystal = exotic:crystal
nothing = exotic:no_layout
lost = exotic:gone
"""


@pytest.fixture
def installed(tmp_path, monkeypatch):
    """A package beside ours that brings layouts, installed as pip would."""
    site = tmp_path / "site"
    info = site / "exotic-1.0.dist-info"
    info.mkdir(parents=True)
    (site / "exotic.py").write_text(MODULE)
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: exotic\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text(ENTRY_POINTS)
    monkeypatch.syspath_prepend(site)
    yield
    sys.modules.pop("exotic", None)


@pytest.fixture
def profile(tmp_path):
    def write(layout):
        path = tmp_path / "mine.toml"
        path.write_text(f'name = "mine"\n[layout]\n{layout}\n')
        return path

    return write


@pytest.mark.usefixtures("installed")
def test_a_layout_of_another_package_receives_its_table(profile):
    mine = load_profile(profile('kind = "crystal"\ncrystal = "theta"'))
    assert mine.build_layout() == StepLayout("primary", ("theta",), ("I0",), ("It",))
    assert mine.published()["layout"] == {"kind": "crystal", "crystal": "theta"}
    other = load_profile(profile('kind = "crystal"\ncrystal = "chi"'))
    moved = load_profile(profile('kind = "crystal"\ncrystal = "theta"\nallowed_roots = ["/x"]'))
    assert mine.analysis_hash() == moved.analysis_hash() != other.analysis_hash()
    assert mine.analysis_hash() == HASH


@pytest.mark.usefixtures("installed")
def test_it_stands_among_several_layouts(tmp_path):
    path = tmp_path / "two.toml"
    path.write_text(
        'name = "two"\n[[layout]]\nkind = "step"\ni0 = ["I0"]\n'
        '[[layout]]\nkind = "crystal"\ncrystal = "theta"\n'
    )
    _, plugged = load_profile(path).build_layout().layouts
    assert plugged.energy == ("theta",)


@pytest.mark.usefixtures("installed")
@pytest.mark.parametrize(
    ("layout", "why"),
    [
        ('kind = "crystl"', "step, tes, fly, pizzabox.*installed: crystal, lost, nothing"),
        ('kind = "crystal"\nkristal = "x"', "exotic:crystal.*kristal"),
        ('kind = "lost"', "exotic:gone.*AttributeError"),
        ('kind = "nothing"', "no method open"),
    ],
)
def test_what_does_not_fit_is_told_at_start_up(profile, layout, why):
    with pytest.raises(ConfigurationError, match=why):
        load_profile(profile(layout))


def test_a_kind_that_nothing_brings_says_which_there_are(profile):
    with pytest.raises(ConfigurationError, match=r"no layout of kind 'exotic'.*installed: none"):
        load_profile(profile('kind = "exotic"'))


class Crystal:
    """A layout of another package, as it was before layouts could list their fields."""

    def open(self, start):
        raise NotImplementedError


class Listing(Crystal):
    def fields(self):
        return (Field("energy", ("theta",), "primary"),)


class OtherMeaning(Crystal):
    def fields(self, descriptor):
        return descriptor["data_keys"]


class Attribute(Crystal):
    fields = ("theta", "I0")


def test_a_layout_lists_its_fields_or_does_without():
    assert fields_of(Listing()) == (Field("energy", ("theta",), "primary"),)
    assert fields_of(Crystal()) == ()


@pytest.mark.parametrize("layout", [OtherMeaning(), Attribute()])
def test_fields_with_another_meaning_are_left_alone(layout):
    assert fields_of(layout) == ()
