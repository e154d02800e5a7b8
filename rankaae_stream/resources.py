"""Find the models, profiles and spectra that ship with the package, and its version.

In a checkout they are at the top level, in a wheel in ``rankaae_stream/_data``. An editable
install has both, and its copy in site-packages gets out of date: so the checkout's folder is
used where it lies beside the package together with pyproject.toml.
"""

import functools
import importlib.metadata
import subprocess
from pathlib import Path

from rankaae_stream.errors import ConfigurationError

__all__ = ["checkout", "code_version", "folder"]

_PACKAGE = Path(__file__).resolve().parent


def checkout() -> Path | None:
    """Return the root of the checkout this package runs from, or None for an installed wheel."""
    root = _PACKAGE.parent
    return root if (root / "pyproject.toml").is_file() and (root / "models").is_dir() else None


def folder(kind: str) -> Path:
    """Return a folder of shipped data.

    Parameters
    ----------
    kind : str
        ``models``, ``profiles`` or ``profiles/spectra``.

    Raises
    ------
    ConfigurationError
        When the installation has no such folder.
    """
    root = checkout() or _PACKAGE / "_data"
    path = root / kind
    if not path.is_dir():
        raise ConfigurationError(
            f"this installation has no folder {kind!r} (looked in {path}); "
            "reinstall with: pip install --force-reinstall rankaae-stream"
        )
    return path


@functools.cache
def code_version() -> str:
    """Return the version; for a checkout also the commit, and ``dirty`` after edits.

    Examples are ``0.3.0`` from a wheel and ``0.3.0+checkout.1a2b3c4.dirty``.
    """
    try:
        version = importlib.metadata.version("rankaae-stream")
    except importlib.metadata.PackageNotFoundError:
        version = "unknown"
    root = checkout()
    if root is None:
        return version
    commit = _git(root, "rev-parse", "--short", "HEAD")
    if not commit:
        return version
    dirty = ".dirty" if _git(root, "status", "--porcelain", "--untracked-files=no") else ""
    return f"{version.split('+')[0]}+checkout.{commit}{dirty}"


def _git(root: Path, *arguments: str) -> str:
    try:
        done = subprocess.run(
            ["git", "-C", str(root), *arguments],
            capture_output=True,
            text=True,
            timeout=5,
            check=False,
        )
    except (OSError, subprocess.TimeoutExpired):
        return ""
    return done.stdout.strip() if done.returncode == 0 else ""
