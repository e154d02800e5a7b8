"""Oxidation state and coordination from XANES while the scan runs.

Public names are imported when they are first used, so that importing the
package alone costs nothing and needs no dependency.
"""

import os
from importlib import import_module
from typing import TYPE_CHECKING, Any

# ONNX Runtime 1.29 and later sends its maker which models are run, unless this is set before it is
# imported. Whoever wants that sets it to 0.
os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")

if TYPE_CHECKING:
    from rankaae_stream.callback import DescriptorStream
    from rankaae_stream.inference import infer, infer_series
    from rankaae_stream.server.tiled_server import EmbeddedServer
    from rankaae_stream.trends import read_series, read_trend

__all__ = [
    "DescriptorStream",
    "EmbeddedServer",
    "infer",
    "infer_series",
    "read_series",
    "read_trend",
]

_HOMES = {
    "DescriptorStream": "callback",
    "EmbeddedServer": "server.tiled_server",
    "infer": "inference",
    "infer_series": "inference",
    "read_series": "trends",
    "read_trend": "trends",
}


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_HOMES[name]}"), name)


def __dir__() -> list[str]:
    return __all__
