"""Define what is raised on purpose.

Two families, because two different people read them. A `ConfigurationError` is
for whoever starts the program and is raised at start-up. A `Refused` is about
one spectrum: a station raises it, the pipeline turns it into a published
refusal, and the next scan goes on.

What is kept of a `Refused` is its `Refusal`. The exception itself holds the frames
that it went through, with every array in them, for as long as somebody holds it.
"""

from dataclasses import dataclass
from threading import current_thread, main_thread

__all__ = ["ConfigurationError", "ModelError", "Refusal", "Refused", "describe"]

LONGEST = 2000
"""Characters of a foreign error's text that are kept."""


class ConfigurationError(Exception):
    """A setting, file or key is wrong; the message names the fix."""


class ModelError(ConfigurationError):
    """A model folder is incomplete, altered, or unknown to this version."""


@dataclass(frozen=True, slots=True)
class Refusal:
    """Why there is no number: the rule's name and one sentence."""

    name: str
    message: str

    @classmethod
    def of(cls, error: BaseException) -> "Refusal":
        """Return the refusal after an error of this program.

        What ends a program, such as Ctrl-C, is raised again in its main thread. In another
        it would end nothing but that thread.
        """
        if not isinstance(error, Exception) and current_thread() is main_thread():
            raise error
        return cls("internal_error", describe(error))

    def error(self) -> "Refused":
        """Return the exception to raise."""
        return Refused(self.name, self.message)


class Refused(Exception):
    """A spectrum gets no number, and this is why.

    Parameters
    ----------
    name : str
        The rule, a short identifier such as ``coverage``; it stays the same
        from version to version so that people can search for it.
    message : str
        One sentence with the numbers and units that led to the refusal.
    """

    def __init__(self, name: str, message: str) -> None:
        super().__init__(message)
        self.name = name
        self.message = message

    @property
    def refusal(self) -> Refusal:
        """What may be kept, without the frames that the exception holds."""
        return Refusal(self.name, self.message)


def describe(error: BaseException) -> str:
    """Return the name and text of any error, also of one that cannot be written as text.

    Examples
    --------
    >>> describe(ValueError("no number"))
    'ValueError: no number'
    """
    try:
        text = str(error)[:LONGEST]
    except Exception:  # noqa: BLE001 - of another program, it may do whatever it likes
        text = ""
    return f"{type(error).__name__}: {text}" if text else type(error).__name__
