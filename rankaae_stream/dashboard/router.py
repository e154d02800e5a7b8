"""Serve the page from Tiled itself: one line of its configuration mounts this router.

``routers: ["rankaae_stream.dashboard.router:router"]`` puts the page at
``/custom/dashboard/`` of the server, so that it has the server's origin and no
process of its own. A Tiled server needs none of the package's dependencies for it:
``pip install --no-deps rankaae-stream`` is enough.
"""

import hashlib
from pathlib import Path

from fastapi import APIRouter
from starlette.requests import Request
from starlette.responses import RedirectResponse, Response

__all__ = ["router"]

STATIC = Path(__file__).with_name("static")
TYPES = {
    "index.html": "text/html; charset=utf-8",
    "app.js": "text/javascript; charset=utf-8",
    "app.css": "text/css; charset=utf-8",
    "icon.svg": "image/svg+xml",
}
"""All files that are served; no other file can be requested."""

HEADERS = {
    # 'self' includes the websocket of this server.
    "Content-Security-Policy": (
        "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; "
        "connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'self'; "
        "require-trusted-types-for 'script'"
    ),
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
}

router = APIRouter()


@router.get("/dashboard", include_in_schema=False)
async def dashboard(request: Request) -> Response:
    """Redirect to the address with a slash, to which the page's addresses are relative."""
    query = f"?{request.url.query}" if request.url.query else ""
    return RedirectResponse(f"dashboard/{query}", status_code=307, headers=HEADERS)


@router.get("/dashboard/", include_in_schema=False)
async def page(request: Request) -> Response:
    """Return the page; never cached, so that it is that of the server's version."""
    return _file(request, "index.html")


@router.get("/dashboard/{name}", include_in_schema=False)
async def file(request: Request, name: str) -> Response:
    """Return a file of the page; the browser caches it and revalidates it each time."""
    return _file(request, name)


def _file(request: Request, name: str) -> Response:
    kind = TYPES.get(name)
    if kind is None:
        return Response("no such file", status_code=404, headers=HEADERS)
    content = (STATIC / name).read_bytes()
    if name == "index.html":
        return Response(content, media_type=kind, headers={**HEADERS, "Cache-Control": "no-store"})
    tag = f'"{hashlib.sha256(content).hexdigest()[:32]}"'
    headers = {**HEADERS, "Cache-Control": "no-cache", "ETag": tag}
    cached = request.headers.get("if-none-match", "").split(",")
    if tag in [known.strip().removeprefix("W/") for known in cached]:
        return Response(status_code=304, headers=headers)
    return Response(content, media_type=kind, headers=headers)
