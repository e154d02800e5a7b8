"""Configure the documentation site: the repository's own Markdown files, and the docstrings.

Build from the top level; needs no network: ``sphinx-build -W -c rankaae_stream/docs . build/docs``.
"""

import html
import re
from collections.abc import Iterator
from typing import Any

import typer
from docutils import nodes
from docutils.parsers.rst import Directive
from sphinx.application import Sphinx

from rankaae_stream.commands.cli import app as runtime
from rankaae_stream.resources import code_version
from training.__main__ import app as training

project = "rankaae-stream"
release = code_version()
copyright = f"2026, the rankaae-stream developers; built from {release}"

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

napoleon_use_ivar = True
autodoc_member_order = "bysource"
autodoc_typehints = "none"  # numpydoc sections name the types, with shapes and units
default_role = "code"

html_theme = "furo"
html_title = "rankaae-stream"
html_static_path = ["static"]
html_css_files = ["site.css"]
html_additional_pages = {"index": "first_page.html"}
templates_path = ["templates"]


BAR = "\\|"
"""A bar within a cell of a Markdown table."""


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


def _plain(text: str | None) -> str:
    """Return a help text as Markdown: nothing in it is markup, and options keep both dashes."""
    return re.sub(r"(?<!\S)--[\w-]+", r"`\g<0>`", html.escape(text or "", quote=False))


def _commands(name: str, command: Any) -> Iterator[str]:
    """Yield a command's help as Markdown, then that of its subcommands."""
    yield f"## {name}\n\n{_plain(command.help)}\n"
    hidden = ("help", "version", "install_completion", "show_completion")
    options = [each for each in command.params if each.name not in hidden]
    if options:
        yield "| option | |\n|---|---|"
    for each in options:
        argument = each.param_type_name == "argument"
        names = (each.metavar or each.name.upper()) if argument else ", ".join(each.opts)
        text = " ".join(_plain(each.help).split())
        default = f" (default {each.default})" if type(each.default) in (str, int, float) else ""
        yield f"| `{names.replace('|', BAR)}` | {text.replace('|', BAR)}{default} |"
    for sub, child in getattr(command, "commands", {}).items():
        yield from ("", *_commands(f"{name} {sub}", child))


def _add_commands(_: Sphinx, page: str, source: list[str]) -> None:
    if page == "rankaae_stream/docs/commands":
        for name, group in (("rankaae-stream", runtime), ("python -m training", training)):
            source[0] += "\n" + "\n".join(_commands(name, typer.main.get_command(group))) + "\n"


def _skip_field_numbers(*event: Any) -> bool | None:
    """Leave out what Python says of a named tuple's fields: "Alias for field number 0"."""
    return str(event[3].__doc__).startswith("Alias for field number") or None


def _join_names(*event: Any) -> None:
    """Keep together attributes that share a description, such as "low, high : float"."""
    names = r"^:(ivar|vartype) \w+(, \w+)+:"
    event[-1][:] = [re.sub(names, lambda m: m[0].replace(", ", ","), line) for line in event[-1]]


def setup(app: Sphinx) -> None:
    """Register the diagrams and the page of commands."""
    app.add_directive("mermaid", Mermaid)
    app.connect("source-read", _add_commands)
    app.connect("autodoc-skip-member", _skip_field_numbers)
    app.connect("autodoc-process-docstring", _join_names, priority=900)  # after napoleon
    app.connect("html-page-context", _add_mermaid)
