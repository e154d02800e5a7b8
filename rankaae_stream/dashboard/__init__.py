"""The page that shows results while the scan runs; it reads Tiled and nothing else.

`router` serves the page from a Tiled server, `proxy` from beside one. The page's
sources are in ``web/``, and what they are built into, in ``static/``, is committed.
"""

__all__ = ["PATH"]

PATH = "/custom/dashboard/"
"""Where Tiled mounts the page, and the proxy shows it."""
