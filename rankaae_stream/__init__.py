"""Oxidation state and coordination from XANES while the scan runs.

Public names are imported when they are first used, so that importing the
package alone costs nothing and needs no dependency.
"""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from rankaae_stream.callback import DescriptorStream
    from rankaae_stream.inference import infer, infer_series

__all__ = ["DescriptorStream", "infer", "infer_series"]


def __getattr__(name: str) -> Any:
    if name == "DescriptorStream":
        from rankaae_stream.callback import DescriptorStream

        return DescriptorStream
    if name in ("infer", "infer_series"):
        import rankaae_stream.inference as module

        return getattr(module, name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return __all__
