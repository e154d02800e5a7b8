"""Keep no connection whose other side is slow: at a request's head, its body, or the answer.

uvicorn waits for each of them as long as the connection lasts. A program that opens many
connections and sends or reads a byte a second would take all open files, and a body without an
end all memory.
"""

import asyncio
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from starlette.responses import JSONResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

if TYPE_CHECKING:  # a type checker cannot follow uvicorn's choice between two libraries
    from uvicorn.protocols.http.h11_impl import H11Protocol as HTTPProtocol
else:
    from uvicorn.protocols.http.auto import AutoHTTPProtocol as HTTPProtocol

__all__ = ["PromptBody", "PromptProtocol"]

MIB = 1024**2
BLOCK = 64 * 1024
"""Bytes that the slowest reader takes within `PromptProtocol.SECONDS`."""


class PromptBody:
    """Take a request's body of a bounded size, as long as it comes fast enough.

    A body may take `SECONDS`, and a second more for each `RATE` bytes that have come; only the
    waiting for it counts. What is slower is answered with HTTP 408, what is larger with 413.

    Parameters
    ----------
    app : ASGI application
    headers : mapping of str
        Of a refusal.
    """

    SECONDS = 20.0
    RATE = 64 * 1024
    LARGEST = 128 * MIB
    """Of a scan with its arrays; the server holds a body whole."""

    def __init__(self, app: ASGIApp, *, headers: Mapping[str, str] | None = None) -> None:
        self.app = app
        self._headers = {**(headers or {}), "Connection": "close"}

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request, or refuse it for its body."""
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        size, waited, whole, begun = 0, 0.0, False, False
        refused = (413, self._too_large) if _stated(scope) > self.LARGEST else None

        async def bounded() -> Message:
            nonlocal size, waited, whole, refused
            if whole:
                return await receive()
            if refused is None:
                now = asyncio.get_running_loop().time
                began = now()
                try:
                    async with asyncio.timeout(self.SECONDS + size / self.RATE - waited):
                        message = await receive()
                except TimeoutError:
                    refused = 408, "the body of this request came too slowly"
                else:
                    waited += now() - began
                    size += len(message.get("body", b""))
                    whole = not message.get("more_body", False)
                    if size <= self.LARGEST:
                        return message
                    refused = 413, self._too_large
            return {"type": "http.disconnect"}

        async def answer(message: Message) -> None:
            nonlocal begun
            if begun or refused is None:  # else ours takes its place
                begun = True
                await send(message)

        try:
            if refused is None:
                await self.app(scope, bounded, answer)
        except Exception:
            if refused is None or begun:
                raise
        if refused is not None and not begun:
            status, sentence = refused
            answered = JSONResponse({"detail": sentence}, status, headers=self._headers)
            await answered(scope, receive, send)

    @property
    def _too_large(self) -> str:
        return f"the body of a request may have {self.LARGEST // MIB} MiB"


def _stated(scope: Scope) -> int:
    """Return the largest size that a request states for its body."""
    stated = [value for name, value in scope["headers"] if name.lower() == b"content-length"]
    return max((int(value) for value in stated if value.isdigit()), default=0)


class PromptProtocol(HTTPProtocol):
    """uvicorn's protocol, which also closes a connection without a request or a reader.

    The bodies of requests are `PromptBody`'s.
    """

    SECONDS = 20.0
    """From the connection, or the end of the last answer, to the end of a request's head; and
    that somebody has to read `BLOCK` bytes of an answer."""

    _deadline: asyncio.TimerHandle | None = None
    _reader: asyncio.TimerHandle | None = None

    def connection_made(self, transport: Any) -> None:
        """Begin to wait for a request."""
        super().connection_made(transport)
        self._await_request()

    def data_received(self, data: bytes) -> None:
        """Take what was sent; a request that is whole ends the waiting."""
        before = self.cycle
        super().data_received(data)
        if self.cycle is not before:
            self._end_waiting()

    def handle_websocket_upgrade(  # pyright: ignore[reportIncompatibleMethodOverride]
        self, *event: Any
    ) -> None:
        """Hand the connection over, which is none of HTTP any more."""
        self._end_waiting()
        super().handle_websocket_upgrade(*event)

    def on_response_complete(self) -> None:
        """Begin to wait for the next request, unless it is there."""
        super().on_response_complete()
        if self.cycle.response_complete:
            self._await_request()

    def pause_writing(self) -> None:
        """Begin to watch who reads the answer, of which more is ready than can be sent."""
        super().pause_writing()
        self._watch_reader()

    def resume_writing(self) -> None:
        """Stop watching: the answer has been read."""
        self._end_watching()
        super().resume_writing()

    def connection_lost(self, exc: Exception | None) -> None:
        """Stop waiting."""
        self._end_waiting()
        self._end_watching()
        super().connection_lost(exc)

    def _await_request(self) -> None:
        self._end_waiting()
        self._deadline = self.loop.call_later(self.SECONDS, self._close_late)

    def _end_waiting(self) -> None:
        if self._deadline is not None:
            self._deadline.cancel()
            self._deadline = None

    def _close_late(self) -> None:
        self._deadline = None
        if not self.transport.is_closing():
            self.transport.close()
        if self._reader is None and _unread(self.transport):
            self._watch_reader()

    def _watch_reader(self) -> None:
        self._end_watching()
        unread = _unread(self.transport)
        self._reader = self.loop.call_later(self.SECONDS, self._abort_unread, unread)

    def _abort_unread(self, before: int) -> None:
        if _unread(self.transport) > max(before - BLOCK, 0):
            self.transport.abort()
        else:
            self._watch_reader()

    def _end_watching(self) -> None:
        if self._reader is not None:
            self._reader.cancel()
            self._reader = None


def _unread(transport: asyncio.Transport) -> int:
    return transport.get_write_buffer_size()
