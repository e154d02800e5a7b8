"""Pictures of answers, and the words in them."""

import re

from rankaae_stream.loading import default_analysis
from rankaae_stream.show.intervals import CAUSES, SHADES
from rankaae_stream.show.plot import TITLES, draw
from rankaae_stream.spectrum import K_EDGES, Edge, Origin, Spectrum


def test_the_page_and_the_pictures_call_a_descriptor_the_same(root):
    script = (root / "rankaae_stream/dashboard/web/src/words.js").read_text(encoding="utf-8")
    names = script[script.index("NAMES = {") : script.index("};")]
    on_the_page = {
        name: words.lower().replace("\N{EN DASH}", "-").replace("o-o", "O-O")
        for name, words in re.findall(r'(\w+): "([^"]+)"', names)
    }
    assert on_the_page == TITLES
    described = default_analysis().models["Fe K"].card.outputs
    assert TITLES.keys() >= {output.name for output in described}


def test_the_page_and_the_pictures_name_and_colour_the_shares_alike(root):
    page = root / "rankaae_stream/dashboard/web"
    script = (page / "src/words.js").read_text(encoding="utf-8")
    names = script[script.index("CAUSES = {") :].partition("};")[0]
    assert dict(re.findall(r'(\w+): "([^"]+)"', names)) == CAUSES
    style = (page / "app.css").read_text(encoding="utf-8")
    for name, colour in SHADES.items():
        assert f"--{name}: {colour.lower()};" in style


def test_a_picture_of_a_part_says_that_it_is_not_normalised_and_draws_no_reconstruction(
    analysis, measured
):
    energy, mu = measured("Fe/Fe2O3_rt_01.xdi")
    edge = Edge("Fe", "K", K_EDGES["Fe"])
    grown = []
    for end in (15.0, 25.0, 140.0):
        seen = energy < edge.e0 + end
        spectrum = Spectrum(energy[seen], mu[seen], edge, Origin("a", complete=False))
        grown.append((end, analysis.process(spectrum)))
    part, whole = (labels(draw(grown[i][1], {}, None, grown)) for i in (1, 2))
    assert "absorption (highest = 1), not normalised" in part
    assert "residual" not in part
    assert {"normalised absorption", "residual", "energy reached (eV from the edge)"} <= whole


def labels(figure):
    """What stands beside the axes of a picture."""
    return {label for axes in figure.axes for label in (axes.get_xlabel(), axes.get_ylabel())}
