"""Run `rankaae-stream dashboard`: serve the page for a Tiled server until Ctrl-C."""

import os
import sys
import webbrowser
from collections.abc import Mapping
from urllib.parse import urlencode

from rich.console import Console

from rankaae_stream.dashboard import PATH
from rankaae_stream.profile import API_KEY_VARIABLE

__all__ = ["TILED_KEY_VARIABLE", "page_address", "run_dashboard", "show_page"]

TILED_KEY_VARIABLE = "TILED_API_KEY"
"""Tiled's own variable, for those who have set it already."""


def run_dashboard(
    console: Console, uri: str, *, node: str = "processed", port: int = 8050, browser: bool = True
) -> None:
    """Serve the page for a Tiled server until Ctrl-C.

    Parameters
    ----------
    console : Console
    uri : str
        The Tiled server.
    node : str
        Container of the results.
    port : int
        Of this machine's loopback address; 0 takes a free one.
    browser : bool
        Whether to open the page in the browser.

    Raises
    ------
    ConfigurationError
        When the address is not valid or the port is taken.
    """
    from rankaae_stream.dashboard.proxy import Target, listen, serve

    target = Target(uri, *_key(os.environ))
    bound = listen(port)
    with bound:
        address = page_address(f"http://127.0.0.1:{bound.getsockname()[1]}", node)
        console.print(f"Results of {target.uri} are shown at", markup=False, highlight=False)
        show_page(console, address, browser=browser)
        key = f"the key in {target.key_variable}" if target.api_key else "no key"
        console.print(f"  reading with {key}; Ctrl-C ends it.", markup=False, highlight=False)
        serve(target, bound)


def page_address(server: str, node: str = "processed") -> str:
    """Return the address of the page on a server that has it."""
    query = "" if node == "processed" else f"?{urlencode({'node': node})}"
    return f"{server}{PATH}{query}"


def show_page(console: Console, address: str, *, browser: bool) -> None:
    """Print the page's address, and open it where there is a screen."""
    console.print(f"  {address}", style="bold", markup=False, highlight=False, soft_wrap=True)
    if browser and _has_screen(os.environ):
        webbrowser.open(address)


def _has_screen(environment: Mapping[str, str]) -> bool:
    """Return whether there is a screen: else a browser would open in the terminal and take it."""
    if sys.platform in ("darwin", "win32"):
        return True
    return bool(environment.get("DISPLAY") or environment.get("WAYLAND_DISPLAY"))


def _key(environment: Mapping[str, str]) -> tuple[str, str]:
    """Return the key and the variable that it is in; ours comes first."""
    for name in (API_KEY_VARIABLE, TILED_KEY_VARIABLE):
        if environment.get(name):
            return environment[name], name
    return "", API_KEY_VARIABLE
