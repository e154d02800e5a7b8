"""Write a log as one JSON object a line, for programs that collect logs.

A line has ``time`` (UTC), ``level``, ``event``, ``logger``, ``profile`` and ``pid``, and where they
are known ``run_uid``, ``scan_id`` and ``exception``. Messages of every library pass here: what
would steer a terminal is taken out, and so is what looks like a key.
"""

import json
import logging
import os
import re
import sys
from collections.abc import Iterable, Mapping
from datetime import UTC, datetime
from typing import Any, TextIO

from rankaae_stream.about import run_at_hand
from rankaae_stream.addresses import hide_secrets
from rankaae_stream.printable import printable

__all__ = ["JsonLines", "use_json_logs"]

EVENT = 4000
"""Characters of a message that are kept."""
EXCEPTION = 16_000
"""Characters of an exception that are kept: its end, which names the error."""
UID = 100
"""Characters of a uid or a scan id that are kept; both come from documents."""

_SECRET = re.compile(r"KEY|TOKEN|PASSW|SECRET|CREDENTIAL", re.IGNORECASE)
_SHORTEST = 6
"""Characters of a secret that is looked for: a shorter one would blacken half the log."""


def use_json_logs(
    profile: str,
    *,
    level: int = logging.INFO,
    stream: TextIO | None = None,
    secrets: Iterable[str] = (),
    environment: Mapping[str, str] = os.environ,
) -> logging.Handler:
    """Write all messages of this process as JSON lines, in place of what wrote them before.

    Parameters
    ----------
    profile : str
        Named in each line.
    level : int
        Of this program's messages; those of other libraries from ``WARNING`` on.
    stream : text file, optional
        Standard error without.
    secrets : iterable of str
        Never written, beside the values of environment variables that are named as keys.
    environment : mapping of str

    Returns
    -------
    logging.Handler
        To take it off again.
    """
    named = [value for name, value in environment.items() if _SECRET.search(name)]
    handler = logging.StreamHandler(stream or sys.stderr)
    handler.setFormatter(JsonLines(profile, [*secrets, *named]))
    root = logging.getLogger()
    for old in tuple(root.handlers):
        root.removeHandler(old)
    root.addHandler(handler)
    root.setLevel(max(level, logging.WARNING))
    logging.getLogger("rankaae_stream").setLevel(level)
    logging.captureWarnings(True)
    return handler


class JsonLines(logging.Formatter):
    """Make a line of a record.

    Parameters
    ----------
    profile : str
    secrets : iterable of str
        Replaced wherever they occur.
    """

    def __init__(self, profile: str, secrets: Iterable[str] = ()) -> None:
        super().__init__()
        self._profile = printable(profile)
        found = {secret for secret in secrets if len(secret) >= _SHORTEST}
        # The longest first: one may be the beginning of another.
        whole = "|".join(re.escape(secret) for secret in sorted(found, key=len, reverse=True))
        self._secrets = re.compile(whole) if whole else None

    def format(self, record: logging.LogRecord) -> str:
        """Return a JSON object in one line."""
        line: dict[str, Any] = {
            "time": _utc(record.created),
            "level": record.levelname.lower(),
            "event": self._clean(_message(record))[:EVENT],
            "logger": record.name,
            **self._run(record),
            "profile": self._profile,
            "pid": record.process,
        }
        exception = self._exception(record)
        if exception:
            line["exception"] = self._clean(exception)[-EXCEPTION:]
        return json.dumps(line)

    def _run(self, record: logging.LogRecord) -> dict[str, Any]:
        """Return the run that a record names, else the one at hand."""
        run = run_at_hand()
        uid = getattr(record, "run_uid", None)
        scan_id = getattr(record, "scan_id", None)
        if uid is None and run is not None:
            uid, scan_id = run
        values = {"run_uid": uid, "scan_id": scan_id}
        return {
            name: value if type(value) is int else self._clean(str(value))[:UID]
            for name, value in values.items()
            if value is not None
        }

    def _exception(self, record: logging.LogRecord) -> str:
        text = record.exc_text or ""
        if record.exc_info and not text:
            text = self.formatException(record.exc_info)
        if record.stack_info:
            text = f"{text}\n{self.formatStack(record.stack_info)}".strip()
        return text

    def _clean(self, text: str) -> str:
        # First the control characters: one may stand within a secret.
        text = printable(text)
        if self._secrets is not None:
            text = self._secrets.sub("***", text)
        return hide_secrets(text)


def _message(record: logging.LogRecord) -> str:
    try:
        return record.getMessage()
    except Exception:  # noqa: BLE001 - what does not fit its arguments is written as it is
        return str(record.msg)


def _utc(seconds: float) -> str:
    moment = datetime.fromtimestamp(seconds, UTC)
    return moment.isoformat(timespec="milliseconds").replace("+00:00", "Z")
