"""Print to a terminal: the one place through which every command's text goes."""

from collections.abc import Iterable
from typing import Any

from rich.console import Console
from rich.segment import Segment

from rankaae_stream.printable import printable

__all__ = ["Terminal"]


class Terminal(Console):
    """A console that prints no control characters but its own.

    What a table, a text or a bar is made of passes `render`; only the console's own codes, for
    colours and the cursor, are put in behind it.
    """

    def render(self, renderable: Any, options: Any = None) -> Iterable[Segment]:
        """Yield what is printed of something, without the control characters in its texts."""
        for segment in super().render(renderable, options):
            text = segment.text if segment.control else printable(segment.text)
            yield segment if text == segment.text else Segment(text, segment.style)
