"""Serve the page beside a Tiled server whose configuration cannot be changed.

A reverse proxy on this machine's loopback address. It serves the page, forwards the
page's requests to Tiled and adds the API key, so that the key never reaches a browser.
It forwards reading requests of the page only; everyone who is logged in on this machine
can see the page.
"""

import asyncio
import contextlib
import logging
import re
import socket
from collections.abc import AsyncGenerator
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import quote, urlsplit

import httpx
import uvicorn
from fastapi import FastAPI
from starlette.requests import Request
from starlette.responses import JSONResponse, RedirectResponse, Response
from starlette.types import ASGIApp
from starlette.websockets import WebSocket, WebSocketDisconnect
from websockets.asyncio.client import connect
from websockets.exceptions import ConnectionClosed, InvalidStatus, WebSocketException

from rankaae_stream.addresses import read_server
from rankaae_stream.dashboard import PATH
from rankaae_stream.dashboard.guard import OwnAddresses
from rankaae_stream.dashboard.prompt import PromptBody, PromptProtocol
from rankaae_stream.dashboard.router import router
from rankaae_stream.errors import ConfigurationError
from rankaae_stream.printable import get_logger

__all__ = ["Target", "listen", "make_app", "serve"]

logger = get_logger(__name__)

# At DEBUG the websocket's own log would contain the header with the key.
_without_headers = logging.getLogger(f"{__name__}.websocket")
_without_headers.setLevel(logging.INFO)

HOST = "127.0.0.1"
READ = re.compile(r"(search|metadata|array/full|table/full)/[^\\]*")
"""Paths below ``/api/v1/`` that the page reads."""

NUMBER = re.compile(r"[0-9]{1,18}")
"""A place in a stream; it fits into the 64 bits in which Tiled counts."""

PASSED = ("date", "etag", "content-type")
MARK = {
    "X-Rankaae-Stream-Proxy": "1",
    "X-Content-Type-Options": "nosniff",
    "Content-Security-Policy": "default-src 'none'",
    "Cache-Control": "no-store",
}
PATIENCE = 30.0
"""Seconds until a request that Tiled does not answer has failed."""

NO_CODE = (1005, 1006, 1015)
"""Close codes of a websocket that may not be sent."""


@dataclass(frozen=True, slots=True)
class Target:
    """The Tiled server behind the proxy.

    Parameters
    ----------
    uri : str
        Its address, ``https://tiled.example``; the address of one of its nodes works, too.
    api_key : str
        Empty for a server that everyone may read.
    key_variable : str
        Name of the environment variable that holds the key, for messages.

    Raises
    ------
    ConfigurationError
        When it is not an http address, or contains a key or a password.
    """

    uri: str
    api_key: str = field(default="", repr=False)
    key_variable: str = "RANKAAE_STREAM_TILED_API_KEY"

    def __post_init__(self) -> None:
        parts = read_server(self.uri, self.key_variable)
        path = parts.path.partition("/api/v1")[0].rstrip("/")
        object.__setattr__(self, "uri", f"{parts.scheme}://{parts.netloc}{path}")

    @property
    def headers(self) -> dict[str, str]:
        """Return the header with the key, or none without a key."""
        return {"Authorization": f"Apikey {self.api_key}"} if self.api_key else {}

    @property
    def local(self) -> bool:
        """Return whether it is on this machine, so that no proxy of the environment applies."""
        return urlsplit(self.uri).hostname in ("127.0.0.1", "localhost", "::1")

    def refused(self, code: int) -> str:
        """Return the message for an answer of HTTP 401 or 403, with the fix."""
        if not self.api_key:
            return f"Tiled at {self.uri} asks for a key; set {self.key_variable} and start again"
        problem = "does not know the key" if code == 401 else "does not let the key read this"
        return (
            f"Tiled at {self.uri} {problem} (HTTP {code}); set {self.key_variable} to a key that "
            "may read, and start again"
        )


def serve(target: Target, bound: socket.socket) -> None:
    """Serve the page on a listening socket until Ctrl-C."""
    config = uvicorn.Config(
        make_app(target),
        http=PromptProtocol,
        access_log=False,
        log_level="warning",
        date_header=False,
        server_header=False,
        timeout_graceful_shutdown=2,
    )
    uvicorn.Server(config).run(sockets=[bound])


def listen(port: int) -> socket.socket:
    """Return a socket that listens on the loopback address; port 0 takes a free port.

    Raises
    ------
    ConfigurationError
        When another program listens there.
    """
    bound = socket.socket()
    bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        bound.bind((HOST, port))
        bound.listen()  # now, so that a browser may connect before the server runs
    except (OSError, OverflowError) as error:
        bound.close()
        raise ConfigurationError(
            f"the dashboard cannot listen on {HOST} port {port}: {error}; "
            "stop the program that listens there, or take a free port with --port 0"
        ) from error
    return bound


def make_app(target: Target) -> ASGIApp:
    """Return the proxy as an ASGI application, for the page of its own address only."""

    @contextlib.asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncGenerator[None]:
        async with httpx.AsyncClient(
            timeout=httpx.Timeout(PATIENCE, connect=5.0), trust_env=not target.local
        ) as client:
            app.state.client = client
            yield

    app = FastAPI(lifespan=lifespan, openapi_url=None)

    @app.get("/")
    async def start(request: Request) -> Response:
        query = f"?{request.url.query}" if request.url.query else ""
        return RedirectResponse(f"{PATH}{query}", status_code=307)

    @app.get("/ui/{path:path}")
    async def own_page(path: str) -> Response:
        """Send the browser to Tiled itself, which asks for its own key."""
        return RedirectResponse(f"{target.uri}/ui/{quote(path)}", status_code=307)

    @app.api_route("/api/v1/{path:path}", methods=["GET", "HEAD"])
    async def read(request: Request, path: str) -> Response:
        return await _read(app.state.client, target, request, path)

    @app.websocket("/api/v1/stream/single/{path:path}")
    async def follow(websocket: WebSocket, path: str) -> None:
        await _follow(target, websocket, path)

    app.include_router(router, prefix="/custom")
    return OwnAddresses(
        PromptBody(app, headers=MARK),
        sentence="the dashboard's proxy answers its own page on this machine only",
        headers=MARK,
    )


async def _read(client: httpx.AsyncClient, target: Target, request: Request, path: str) -> Response:
    parameters = request.query_params.multi_items()
    formats = {value for key, value in parameters if key == "format"} | {"json"}
    if not READ.fullmatch(path) or ".." in path.split("/") or formats != {"json"}:
        return _message(
            403, "the dashboard's proxy forwards the reading requests of its page, and no more"
        )
    try:
        answer = await client.request(
            request.method,
            f"{target.uri}/api/v1/{quote(path)}",
            params=[(key, value) for key, value in parameters if key != "api_key"],
            headers={"Accept": "application/json", **target.headers},
        )
    except httpx.HTTPError as error:
        logger.info("%s", type(error).__name__)
        return _message(502, f"Tiled at {target.uri} does not answer")
    if answer.status_code in (401, 403):
        return _message(answer.status_code, target.refused(answer.status_code))
    if answer.status_code >= 300 and answer.status_code not in (400, 404, 410, 422):
        return _message(502, f"Tiled at {target.uri} answers HTTP {answer.status_code}")
    if not answer.headers.get("content-type", "").startswith("application/json"):
        return _message(502, f"Tiled at {target.uri} does not answer in JSON")
    headers = {key: answer.headers[key] for key in PASSED if key in answer.headers}
    return Response(answer.content, answer.status_code, {**headers, **MARK})


async def _follow(target: Target, websocket: WebSocket, path: str) -> None:
    """Forward a stream to the page, in this direction only."""
    start = websocket.query_params.get("start") or ""
    query = f"&start={start}" if NUMBER.fullmatch(start) else ""
    address = (
        f"ws{target.uri.removeprefix('http')}/api/v1/stream/single/{quote(path)}"
        f"?envelope_format=json{query}"
    )
    if ".." in path.split("/"):
        await websocket.close(1008)
        return
    options: dict[str, Any] = {"proxy": None} if target.local else {}
    try:
        upstream = await connect(
            address,
            additional_headers=target.headers,
            logger=_without_headers,
            max_size=None,
            open_timeout=10,
            **options,
        )
    except InvalidStatus as error:
        # A websocket that is not accepted yet can only be closed, without a message.
        logger.info("stream refused: HTTP %d", error.response.status_code)
        await websocket.close(1011)
        return
    except (OSError, TimeoutError, WebSocketException) as error:
        logger.info("no stream: %s", type(error).__name__)
        await websocket.close(1011)
        return
    await websocket.accept()
    forwarding = asyncio.create_task(_forward(upstream, websocket))
    try:
        # Messages of the page are dropped; this waits for it to close.
        while True:
            await websocket.receive_text()
    except (WebSocketDisconnect, RuntimeError, KeyError):
        pass
    finally:
        forwarding.cancel()
        await asyncio.gather(forwarding, return_exceptions=True)
        await upstream.close()


async def _forward(upstream: Any, websocket: WebSocket) -> None:
    code = 1011
    try:
        async for message in upstream:
            await websocket.send_text(message if isinstance(message, str) else message.decode())
        code = upstream.close_code or code
    except ConnectionClosed as closed:
        code = closed.rcvd.code if closed.rcvd else code
    except (WebSocketDisconnect, RuntimeError):
        return
    with contextlib.suppress(RuntimeError, WebSocketDisconnect):
        await websocket.close(1011 if code in NO_CODE else code)


def _message(status: int, sentence: str) -> JSONResponse:
    return JSONResponse({"detail": sentence}, status, headers=MARK)
