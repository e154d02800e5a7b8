"""Guard a server of this machine against web pages of other sites.

A page of any site in a browser on this machine can call a server here: by its address, from
another origin, or under a name of its own that it lets resolve to this machine (DNS
rebinding). The proxy and the embedded Tiled server refuse both by the rule of `OwnAddresses`.
"""

import re
from collections.abc import Iterable, Mapping
from ipaddress import IPv6Address, ip_address
from typing import NamedTuple

from starlette.responses import JSONResponse
from starlette.types import ASGIApp, Receive, Scope, Send
from starlette.websockets import WebSocket

__all__ = ["OwnAddresses", "read_authority"]

DEFAULT_PORTS = {"http": 80, "https": 443}
_AUTHORITY = re.compile(r"(\[[0-9a-f:.]+\]|[a-z0-9._-]+)(?::([0-9]{1,5}))?", re.IGNORECASE)
_ORIGIN = re.compile(r"(https?)://(.+)", re.IGNORECASE)


class Authority(NamedTuple):
    """A host, in lower case and an IP address in its usual form, with the port that is named."""

    host: str
    port: int | None


def read_authority(text: str) -> Authority | None:
    """Read ``HOST`` or ``HOST:PORT`` as a Host header or an origin has it; None if it is none.

    Examples
    --------
    >>> read_authority("LocalHost.:8000")
    Authority(host='localhost', port=8000)
    >>> read_authority("[0:0::1]"), read_authority("me@localhost")
    (Authority(host='::1', port=None), None)
    """
    found = _AUTHORITY.fullmatch(text)
    if found is None:
        return None
    host = _plain(found[1].strip("[]").lower().removesuffix("."))
    return Authority(host, int(found[2]) if found[2] else None) if host else None


def _plain(host: str) -> str:
    """Return an IP address in its usual form, and a name as it is."""
    try:
        address = ip_address(host)
    except ValueError:
        return host
    mapped = address.ipv4_mapped if isinstance(address, IPv6Address) else None
    return str(mapped or address)


class OwnAddresses:
    """Pass on requests that name this server and come from a program or its own pages.

    The Host header must be the address that the connection came to, a name of this machine's
    loopback where it came to that, or one of `names`. An Origin, which browsers send with
    websockets and with requests of other sites, must be one of these, too. A program sends none.

    Parameters
    ----------
    app : ASGI application
    names : iterable of str
        Further names of this server: with its own port or none where the name is alone,
        with that port where it is ``NAME:PORT``.
    origins : iterable of str
        Pages of other servers that may read, ``https://page.example``.
    sentence : str
        What a refused request is told.
    headers : mapping of str
        Of the refusal.
    """

    def __init__(
        self,
        app: ASGIApp,
        names: Iterable[str] = (),
        *,
        origins: Iterable[str] = (),
        sentence: str,
        headers: Mapping[str, str] | None = None,
    ) -> None:
        self.app = app
        self._names = {found for name in names if (found := read_authority(name)) is not None}
        self._origins = {origin.lower() for origin in origins}
        self._sentence = sentence
        self._headers = headers

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request or websocket, or refuse it."""
        if scope["type"] == "lifespan" or self._is_ours(scope):
            await self.app(scope, receive, send)
        elif scope["type"] == "websocket":
            await WebSocket(scope, receive, send).close(1008)
        else:
            refusal = JSONResponse({"detail": self._sentence}, 403, headers=self._headers)
            await refusal(scope, receive, send)

    def _is_ours(self, scope: Scope) -> bool:
        named = _values(scope, b"host")
        if len(named) != 1 or not self._is_own(named[0], DEFAULT_PORTS.values(), scope):
            return False
        origins = _values(scope, b"origin")
        if origins:
            return len(origins) == 1 and self._may_read(origins[0], scope)
        # Browsers send this header also with reading requests, which have no Origin. A link
        # on another site may open the page: that site cannot read the answer.
        sites = set(_values(scope, b"sec-fetch-site"))
        return sites <= {"none", "same-origin"} or _values(scope, b"sec-fetch-mode") == ["navigate"]

    def _may_read(self, origin: str, scope: Scope) -> bool:
        if origin.lower() in self._origins:
            return True
        found = _ORIGIN.fullmatch(origin)
        return found is not None and self._is_own(
            found[2], (DEFAULT_PORTS[found[1].lower()],), scope
        )

    def _is_own(self, text: str, default_ports: Iterable[int], scope: Scope) -> bool:
        """Return whether a host with its port is this server's; without one, a default port."""
        asked = read_authority(text)
        if asked is None:
            return False
        ports = set(default_ports) if asked.port is None else {asked.port}
        address, port = scope.get("server") or ("", None)
        address = _plain(address.partition("%")[0])
        if port in ports and asked.host in {address, *_loopback_names(address)}:
            return True
        return any(
            asked.host == name.host
            and (
                (name.port or port) in ports
                # Behind a server that forwards, or by its own port.
                or (asked.port is None and name.port is None)
            )
            for name in self._names
        )


def _values(scope: Scope, wanted: bytes) -> list[str]:
    return [value.decode("latin-1") for name, value in scope["headers"] if name.lower() == wanted]


def _loopback_names(address: str) -> tuple[str, ...]:
    """Return the usual names of the loopback where an address is one of it."""
    try:
        loopback = ip_address(address).is_loopback
    except ValueError:
        return ()
    return ("localhost", "127.0.0.1", "::1") if loopback else ()
