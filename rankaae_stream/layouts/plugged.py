"""Make layouts of other packages, found in the entry point group `rankaae_stream.layouts`.

For a detector whose documents or files no layout here reads. The entry point names a
callable; a profile's table ``[layout]`` with that `kind` is passed to it as keyword
arguments, and what it returns is the Layout.
"""

from collections.abc import Mapping
from importlib.metadata import entry_points
from typing import Any

from rankaae_stream.errors import ConfigurationError
from rankaae_stream.layouts.base import Layout

__all__ = ["GROUP", "plugged_layout"]

GROUP = "rankaae_stream.layouts"


def plugged_layout(kind: str, table: Mapping[str, Any], built_in: tuple[str, ...] = ()) -> Layout:
    """Make the layout that an installed package calls `kind`.

    Parameters
    ----------
    kind : str
        The entry point's name.
    table : mapping
        Keyword arguments: plain values, as the profile has them.
    built_in : tuple of str
        Kinds that need no package, for the message.

    Raises
    ------
    ConfigurationError
        When none is installed under that name, or it does not take the table.
    """
    found = {point.name: point for point in entry_points(group=GROUP)}
    if kind not in found:
        raise ConfigurationError(
            f"there is no layout of kind {kind!r}; set layout.kind to one of "
            f"{', '.join(built_in)}, or install the package that brings it (entry point group "
            f"{GROUP}; installed: {', '.join(sorted(found)) or 'none'})"
        )
    try:
        layout = found[kind].load()(**table)
    except Exception as error:  # whatever a foreign package raises
        raise ConfigurationError(
            f"the layout of kind {kind!r} ({found[kind].value}) does not take this [layout]: "
            f"{type(error).__name__}: {error}"
        ) from error
    if not callable(getattr(layout, "open", None)):
        raise ConfigurationError(
            f"the layout of kind {kind!r} ({found[kind].value}) has no method open(start); see "
            "rankaae_stream.layouts.base.Layout"
        )
    return layout
