"""Tell systemd how a service is, as ``sd_notify(3)`` does: one datagram, and nothing elsewhere.

A unit with ``Type=notify`` counts as started after `ready`. With ``WatchdogSec=`` systemd kills
and starts again a service that is `alive` more seldom than that.
"""

import os
import socket
from collections.abc import Mapping
from contextlib import suppress

from rankaae_stream.printable import printable

__all__ = ["alive", "ready", "say", "stopping", "watchdog"]

LONGEST = 500
"""Characters of a status that are told."""


def ready(text: str = "") -> bool:
    """Tell that the service has started; return whether somebody was told."""
    return _tell("READY=1", text)


def say(text: str) -> bool:
    """Tell the state in one line, which ``systemctl status`` shows."""
    return _tell("", text)


def alive(text: str = "") -> bool:
    """Tell the watchdog that the service works."""
    return _tell("WATCHDOG=1", text)


def stopping(text: str = "") -> bool:
    """Tell that the service ends on purpose."""
    return _tell("STOPPING=1", text)


def watchdog(environment: Mapping[str, str] = os.environ) -> float | None:
    """Return the seconds between two calls of `alive`, half of what the unit allows.

    None where no watchdog waits for this process.

    Examples
    --------
    >>> watchdog({"WATCHDOG_USEC": "30000000"})
    15.0
    >>> watchdog({}) is None
    True
    """
    allowed = environment.get("WATCHDOG_USEC", "")
    # A child inherits the environment, and is not meant.
    if environment.get("WATCHDOG_PID", str(os.getpid())) != str(os.getpid()):
        return None
    return int(allowed) / 2e6 if allowed.isdecimal() and int(allowed) else None


def _tell(what: str, text: str) -> bool:
    address = os.environ.get("NOTIFY_SOCKET", "")
    if address[:1] not in ("/", "@"):
        return False
    if address.startswith("@"):  # a name that is in no folder
        address = "\0" + address[1:]
    line = " ".join(printable(text).split())[:LONGEST]
    message = "\n".join(part for part in (what, f"STATUS={line}" if line else "") if part)
    # A service goes on where systemd cannot be told, or is too busy to listen.
    with suppress(OSError), socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as sender:
        sender.settimeout(1.0)
        sender.sendto(message.encode(), address)
        return True
    return False
