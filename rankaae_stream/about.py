"""Note which run the work at hand is about, so that a log can say it beside each message."""

from contextvars import ContextVar, Token
from typing import Any, NamedTuple

__all__ = ["Run", "about_run", "run_at_hand"]


class Run(NamedTuple):
    """A run as its start document names it; both values are untrusted."""

    uid: str
    scan_id: Any = None


_AT_HAND: ContextVar[Run | None] = ContextVar("run", default=None)


def run_at_hand() -> Run | None:
    """Return the run that this thread or task works on; None where it is none."""
    return _AT_HAND.get()


class about_run:  # noqa: N801 - used as a function is
    """Note a run for the messages of a ``with`` block, in this thread or task.

    A class, and no generator: this happens at every document, and takes 0.4 µs.

    Parameters
    ----------
    uid : str
    scan_id : int, optional

    Examples
    --------
    >>> with about_run("9d2f", 12):
    ...     run_at_hand()
    Run(uid='9d2f', scan_id=12)
    >>> run_at_hand() is None
    True
    """

    __slots__ = ("_run", "_token")
    _token: Token[Run | None]

    def __init__(self, uid: str, scan_id: Any = None) -> None:
        self._run = Run(uid, scan_id)

    def __enter__(self) -> None:
        self._token = _AT_HAND.set(self._run)

    def __exit__(self, *exc_info: object) -> None:
        _AT_HAND.reset(self._token)
