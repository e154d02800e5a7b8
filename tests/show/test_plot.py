"""Pictures of answers, and the words in them."""

import re

from rankaae_stream.loading import default_analysis
from rankaae_stream.show.plot import TITLES


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
