"""Find and read the file that a document names, if it is in an allowed folder.

Documents come from other programs and other machines. Whatever path they name, only files
under the profile's allowed roots are opened, after all links are followed, and only files
of a size that a scan can have.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path, PurePosixPath
from urllib.parse import unquote, urlsplit

from rankaae_stream.errors import Refused
from rankaae_stream.files.base import MAX_BYTES

__all__ = ["path_of_uri", "read_sized", "resolve"]


def resolve(
    root: str,
    resource_path: str,
    root_map: Mapping[str, str],
    allowed_roots: Sequence[str | Path],
) -> Path:
    """Return the path of a resource's file on this machine; it need not exist yet.

    Parameters
    ----------
    root, resource_path : str
        As in the resource document. An absolute path is used without the root.
    root_map : mapping of str
        Folders as the documents name them to folders on this machine; of several that
        match, the longest is used.
    allowed_roots : sequence of str or Path
        Folders on this machine.

    Returns
    -------
    Path
        Absolute, with all links followed.

    Raises
    ------
    Refused
        ``outside_roots`` for a file outside the allowed folders.

    Examples
    --------
    >>> resolve("/nsls2/data", "/nsls2/data/raw/a.bin", {"/nsls2/data": "/mnt"}, ["/mnt"])
    PosixPath('/mnt/raw/a.bin')
    """
    stated = PurePosixPath(root) / resource_path
    fitting = [old for old in root_map if stated.is_relative_to(old)]
    mapped = stated
    if fitting:
        old = max(fitting, key=lambda name: len(PurePosixPath(name).parts))
        mapped = PurePosixPath(root_map[old]) / stated.relative_to(old)
    try:
        path = Path(mapped).expanduser().resolve()
        inside = any(
            path.is_relative_to(Path(allowed).expanduser().resolve()) for allowed in allowed_roots
        )
    except (OSError, RuntimeError, ValueError) as error:  # a loop of links, a NUL in the name
        raise Refused("outside_roots", f"{stated} cannot be resolved: {error}") from error
    if not inside:
        allowed = ", ".join(str(folder) for folder in allowed_roots) or "none"
        raise Refused(
            "outside_roots",
            f"{stated} is {path} on this machine, outside layout.allowed_roots ({allowed}); "
            "add its folder there, or map it with layout.root_map",
        )
    return path


def path_of_uri(uri: str) -> str:
    """Return the path of a ``file:`` address.

    ophyd-async and others put a path into it as it is: a ``#`` or ``?`` in the name of a sample
    is part of the file's name, and so is a percent sign that encodes nothing.

    Raises
    ------
    Refused
        ``outside_roots`` for any other kind of address.

    Examples
    --------
    >>> path_of_uri("file://localhost/data/FeO%20%233.h5"), path_of_uri("file://x/data/FeO #3.h5")
    ('/data/FeO #3.h5', '/data/FeO #3.h5')
    """
    try:
        parts = urlsplit(uri, allow_fragments=False)
    except ValueError as error:  # half an IPv6 address
        raise Refused("outside_roots", f"an address cannot be read: {error}") from error
    if parts.scheme not in ("file", ""):
        # Without the rest, which may hold a key.
        raise Refused(
            "outside_roots", f"a {parts.scheme}: address is not that of a file; only file: is read"
        )
    path = f"{parts.path}?{parts.query}" if parts.query else parts.path
    try:
        return unquote(path, errors="strict")
    except UnicodeDecodeError:
        return path


def read_sized(path: Path, max_bytes: int = MAX_BYTES) -> bytes:
    """Read the bytes of a file, unless it is too large.

    Raises
    ------
    Refused
        ``file`` when it cannot be read or is larger than `max_bytes`.
    """
    try:
        size = path.stat().st_size
        if size > max_bytes:
            raise Refused(
                "file", f"{size / 1024**2:.0f} MiB; at most {max_bytes / 1024**2:.0f} MiB are read"
            )
        with path.open("rb") as file:
            return file.read(max_bytes)
    except OSError as error:
        raise Refused("file", f"cannot be read: {error.strerror}") from error
