"""What a check finds, in words: ok, not checked, failed.

A check is a function without arguments that returns what it saw. It raises `Broken`
where a contract is not kept and `NotChecked` where that could not be found out here.
So the same function is a line of `rankaae-stream check` and a test in pytest.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from rankaae_stream.errors import ConfigurationError, Refused

__all__ = ["Broken", "Check", "Finding", "NotChecked", "run_checks"]


class Broken(AssertionError):
    """A contract is not kept: one sentence, and what to change."""

    def __init__(self, message: str, fix: str = "") -> None:
        super().__init__(f"{message}; {fix}" if fix else message)
        self.message = message
        self.fix = fix


class NotChecked(Exception):
    """It cannot be found out here and now: why, and what would find it out."""

    def __init__(self, message: str, fix: str = "") -> None:
        super().__init__(f"{message}; {fix}" if fix else message)
        self.message = message
        self.fix = fix


@dataclass(frozen=True, slots=True)
class Check:
    """One question: what is asked of what, and the function that answers it."""

    area: str
    name: str
    ask: Callable[[], str]


@dataclass(frozen=True, slots=True)
class Finding:
    """What became of one check.

    Attributes
    ----------
    area : str
        ``profile``, ``layout``, ``models``, ``sink``, ``tiled`` or ``run``.
    name : str
        What was checked, in a few words.
    verdict : {"ok", "not checked", "failed"}
    message : str
        What was seen, or why not.
    fix : str
        What to change, or what would check it.
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
    """Ask one after the other; nothing that a check raises ends the others."""
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
            said = f"{type(error).__name__}: {name}{error}"
            yield Finding(check.area, check.name, "failed", said)
        else:
            yield Finding(check.area, check.name, "ok", seen)
