"""Configure the documentation site: the repository's own Markdown files, and the docstrings.

Build from the top level; needs no network: ``sphinx-build -W -c rankaae_stream/docs . build/docs``.
"""

import html
from typing import Any

from docutils import nodes
from docutils.parsers.rst import Directive
from sphinx.application import Sphinx

from rankaae_stream.resources import code_version

project = "rankaae-stream"
release = code_version()

extensions = ["myst_parser", "sphinx.ext.autodoc", "sphinx.ext.napoleon", "sphinx.ext.viewcode"]
include_patterns = [
    "README.md",
    ".github/CONTRIBUTING.md",
    "models/**.md",
    "profiles/**.md",
    "rankaae_stream/**.md",
    "training/**.md",
]
exclude_patterns = ["**/node_modules", "rankaae_stream/_data"]
root_doc = "rankaae_stream/docs/index"

myst_enable_extensions = ["deflist"]
myst_fence_as_directive = ["mermaid"]
myst_heading_anchors = 3

autodoc_member_order = "bysource"
autodoc_typehints = "none"  # numpydoc sections name the types, with shapes and units
default_role = "code"

html_theme = "furo"
html_title = "rankaae-stream"
html_static_path = ["static"]
html_additional_pages = {"index": "first_page.html"}
templates_path = ["templates"]


class Mermaid(Directive):
    """Leave a diagram's text to mermaid.js, which draws it in the reader's browser."""

    has_content = True

    def run(self) -> list[nodes.Node]:
        """Return the text as preformatted HTML."""
        text = html.escape("\n".join(self.content))
        return [nodes.raw("", f'<pre class="mermaid">{text}</pre>', format="html")]


def _add_mermaid(app: Sphinx, _page: str, _template: str, context: dict[str, Any], _: Any) -> None:
    """Load the 2.6 MB of mermaid.js only on pages with a diagram."""
    if 'class="mermaid"' in context.get("body", ""):
        app.add_js_file("mermaid.tiny.js")


def setup(app: Sphinx) -> None:
    """Register the diagrams."""
    app.add_directive("mermaid", Mermaid)
    app.connect("html-page-context", _add_mermaid)
