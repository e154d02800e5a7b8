"""Connect to a Tiled server so that each request is sent once."""

# pyright: basic
# tiled's client has few types

from collections.abc import Callable
from typing import Any
from urllib.parse import urlsplit

from rankaae_stream.results.sinks import Unavailable, Unreachable

__all__ = ["open_context"]


def open_context(uri: str, api_key: str | None, timeout: float) -> tuple[Any, list[str]]:
    """Connect to a Tiled server; each request is sent once, see `TiledSink`.

    Parameters
    ----------
    uri : str
        Server, or a node by its address in the interface, ``.../api/v1/metadata/a/b``.
    api_key : str or None
        None for what TILED_API_KEY holds, if anything.
    timeout : float
        Seconds that the server may take for one answer.

    Returns
    -------
    context : tiled.client.context.Context
    path : list of str
        The node's.

    Raises
    ------
    Unreachable, Unavailable
    """
    import httpx
    from tiled.client.context import Context

    # A proxy in the environment is not for a server on this machine.
    local = urlsplit(uri).hostname in ("127.0.0.1", "localhost", "::1")
    limits = httpx.Timeout(timeout, connect=min(timeout, 3.0))
    # Asked before the client is made, which already repeats its requests.
    _only_once(httpx.get, uri)(uri, timeout=limits, trust_env=not local)
    context, path = Context.from_any_uri(uri, api_key=api_key, timeout=limits, trust_env=not local)
    context.http_client.send = _only_once(context.http_client.send, uri)
    return context, path


def _only_once(send: Callable[..., Any], uri: str) -> Callable[..., Any]:
    """An httpx call whose failure Tiled does not repeat: it repeats httpx's errors only."""
    from httpx import TransportError

    def sent(*args: Any, **settings: Any) -> Any:
        try:
            response = send(*args, **settings)
        except TransportError as error:
            raise silent(uri, error) from error
        if response.status_code == 429 or response.status_code >= 500:
            asked = f"{response.request.method} {response.request.url.path}"
            raise Unavailable(f"Tiled at {uri} answers {asked} with HTTP {response.status_code}")
        return response

    return sent


def silent(uri: str, error: Exception) -> Unreachable:
    return Unreachable(f"Tiled at {uri} does not answer: {str(error) or type(error).__name__}")
