"""Show results in a web page while the scan runs; the page reads Tiled only.

`router` serves the page from within a Tiled server, `proxy` serves it from another port.
The page's sources are in ``web/``; they are built into ``static/``, which is committed.
"""

__all__ = ["PATH"]

PATH = "/custom/dashboard/"
"""Where Tiled mounts the page, and the proxy shows it."""
