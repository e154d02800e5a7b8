"""Run checks and collect their findings: ok, not checked, failed.

A check is a function without arguments that returns a sentence of what it saw. It raises
`Broken` if a contract is not kept and `NotChecked` if that cannot be decided here.
So the same function is a line of `rankaae-stream check` and a test in pytest.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from rankaae_stream.errors import ConfigurationError, Refused

__all__ = ["Broken", "Check", "Finding", "NotChecked", "run_checks"]


class _Verdict(Exception):
    def __init__(self, message: str, fix: str = "") -> None:
        super().__init__(f"{message}; {fix}" if fix else message)
        self.message = message
        self.fix = fix


class Broken(_Verdict, AssertionError):
    """A contract is not kept: a sentence, and what to change."""


class NotChecked(_Verdict):
    """The check cannot be done here: the reason, and what would make it possible."""


@dataclass(frozen=True, slots=True)
class Check:
    """One question: its area and name, and the function that answers it."""

    area: str
    name: str
    ask: Callable[[], str]


@dataclass(frozen=True, slots=True)
class Finding:
    """The outcome of one check.

    Attributes
    ----------
    area : str
        ``profile``, ``layout``, ``models``, ``sink``, ``tiled`` or ``run``.
    name : str
        A few words.
    verdict : {"ok", "not checked", "failed"}
    message : str
        What the check saw, or the reason for another verdict.
    fix : str
        What to change, or what would make the check possible.
    data : mapping
        The same for programs, JSON types only.
    """

    area: str
    name: str
    verdict: Literal["ok", "not checked", "failed"]
    message: str = ""
    fix: str = ""
    data: Mapping[str, Any] = field(default_factory=dict[str, Any])


def run_checks(checks: Iterable[Check]) -> Iterator[Finding]:
    """Run one check after the other; an exception in one does not end the others."""
    for check in checks:
        try:
            seen = check.ask()
        except NotChecked as reason:
            yield Finding(check.area, check.name, "not checked", reason.message, reason.fix)
        except Broken as broken:
            yield Finding(check.area, check.name, "failed", broken.message, broken.fix)
        except ConfigurationError as error:
            yield Finding(check.area, check.name, "failed", str(error))
        except Exception as error:  # noqa: BLE001 - whatever a foreign layout or sink raises
            name = f"{error.name}: " if isinstance(error, Refused) else ""
            message = f"{type(error).__name__}: {name}{error}"
            yield Finding(check.area, check.name, "failed", message)
        else:
            yield Finding(check.area, check.name, "ok", seen)
