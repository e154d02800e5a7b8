"""A program of several commands: how each of them ends, and what it prints of an error."""

from collections.abc import Generator
from contextlib import contextmanager
from typing import Any, ClassVar

import typer
from typer.core import TyperGroup

from rankaae_stream.errors import ConfigurationError
from rankaae_stream.printable import printable
from rankaae_stream.show.terminal import Terminal

__all__ = ["Commands"]

errors = Terminal(stderr=True)


class Commands(TyperGroup):
    """End with status 1 where a command returns False, or its settings are wrong."""

    EXPECTED: ClassVar[tuple[type[Exception], ...]] = (ConfigurationError,)
    """Errors that say by themselves what is wrong; others are shown with their traceback."""

    def make_context(self, *args: Any, **settings: Any) -> Any:
        """Read the arguments before the command."""
        with _printable_usage():
            return super().make_context(*args, **settings)

    def invoke(self, ctx: Any) -> Any:
        """Run the command; print an expected error as one sentence, and its notes."""
        try:
            with _printable_usage():
                good = super().invoke(ctx)
        except self.EXPECTED as error:
            errors.print(f"error: {error}", style="red", markup=False, highlight=False)
            for note in getattr(error, "__notes__", ()):
                errors.print(note, markup=False, highlight=False, soft_wrap=True)
            raise typer.Exit(1) from error
        if good is False:
            raise typer.Exit(1)


@contextmanager
def _printable_usage() -> Generator[None]:
    """Make the sentence on a wrong argument, which typer prints by itself, printable."""
    try:
        yield
    except Exception as error:
        wrong: Any = error  # the class of typer's own errors is private to it
        if hasattr(wrong, "format_message") and hasattr(wrong, "message"):
            wrong.message = printable(str(wrong.message))
        raise
