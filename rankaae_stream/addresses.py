"""Check the addresses of servers: they are published, logged and shown, so they hold no secret."""

import contextlib
import re
from urllib.parse import SplitResult, unquote, urlsplit

from rankaae_stream.errors import ConfigurationError

__all__ = ["has_secret", "hide_secrets", "read_server", "refuse_secret"]

MOST = 8
"""How often percent signs may be written as such, and still be read."""

# scheme://user:password@host, also without the scheme or with slashes too few.
_USER = re.compile(r"(?:[^/\\?#@]*:)?[/\\]*[^/\\?#]*@")
_NAME = "(?:api[_.-]?key|token|passw|passphrase|pwd|secret|credential|authorization|signature)"
_PARAMETER = re.compile(
    rf"[?#&;/](?:[\w.\[\]-]*{_NAME}[\w.\[\]-]*|key|auth|pass|sig)=",
    re.IGNORECASE,
)
# The same within a text: scheme://user:password@host, ?key=..., "api_key": "...", Bearer ...
# Possessive and bounded, because a text comes from anywhere and may be made to take minutes.
_IN_TEXT = (
    re.compile(r"(://)[^\s/?#@]{1,200}+(?=@)"),
    re.compile(
        rf"""((?:{_NAME}[\w.\[\]-]{{0,40}}+["']?\s?[:=]\s?["']?|[?#&;](?:key|auth|pass|sig)=))[^\s"'&;,]++""",
        re.IGNORECASE,
    ),
    re.compile(r"""(\b(?:apikey|bearer)\s)[^\s"',]++""", re.IGNORECASE),
)


def has_secret(address: str) -> bool:
    """Return whether an address holds a user, a password or a key, however it is written.

    Examples
    --------
    >>> has_secret("https://me:word@tiled.example"), has_secret("http://a.example?API%5FKEY=x")
    (True, True)
    >>> has_secret("http://127.0.0.1:8000/api/v1/metadata/raw#raw")
    False
    """
    for _ in range(MOST):
        address = re.sub(r"[\s\x00-\x1f]+", "", address)  # which most readers pass over
        if _USER.match(address) or _PARAMETER.search(address):
            return True
        before, address = address, unquote(address)
        if address == before:
            return False
    return True


def hide_secrets(text: str) -> str:
    """Return a text, say of a log, without what is written in it as a key or a password.

    Examples
    --------
    >>> hide_secrets("GET http://me:word@tiled.example/x?api_key=abc&n=1 with Apikey abc")
    'GET http://***@tiled.example/x?api_key=***&n=1 with Apikey ***'
    """
    for pattern in _IN_TEXT:
        text = pattern.sub(r"\1***", text)
    return text


def refuse_secret(address: str, variable: str, what: str = "the address") -> None:
    """Refuse an address with a user, a password or a key; the message does not repeat it.

    Raises
    ------
    ConfigurationError
        It names the environment variable for the key.
    """
    if has_secret(address):
        raise ConfigurationError(
            f"{what} contains a key or a password, which would appear in results, logs and the "
            f"list of processes; take it out and put the key into the environment: "
            f"export {variable}=..."
        )


def read_server(address: str, variable: str, what: str = "the address") -> SplitResult:
    """Return the parts of a server's address, ``http(s)://HOST[:PORT][/PATH]``.

    Raises
    ------
    ConfigurationError
        When it is none, or holds a secret.
    """
    refuse_secret(address, variable, what)
    with contextlib.suppress(ValueError):  # a port that is no number, half an IPv6 address
        parts = urlsplit(address)
        named = parts.scheme in ("http", "https") and parts.hostname and parts.port != 0
        if named and not re.search(r"\s", address):
            return parts
    raise ConfigurationError(
        f"{what} is not that of a server; write it as http://HOST:8000 or https://HOST"
    )
