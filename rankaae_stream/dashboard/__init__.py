"""The page that shows results while the scan runs; it reads from Tiled only.

`router` serves the page from a Tiled server, `proxy` from beside one. The page's
sources are in ``web/``; the files built from them, in ``static/``, are committed.
"""

__all__ = ["PATH"]

PATH = "/custom/dashboard/"
"""Path of the page, in Tiled and in the proxy."""
