"""From what a document says of a file to the file itself, and to nothing else.

Documents come from other programs and other machines. Whatever path they name,
only files under the profile's allowed roots are opened, with links followed
before that is judged, and no more of them is read than a scan can have written.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path, PurePosixPath
from urllib.parse import unquote, urlparse

from rankaae_stream.errors import Refused
from rankaae_stream.files.base import MAX_BYTES

__all__ = ["path_of_uri", "read_sized", "resolve"]


def resolve(
    root: str,
    resource_path: str,
    root_map: Mapping[str, str],
    allowed_roots: Sequence[str | Path],
) -> Path:
    """Where a resource's file is on this machine; it need not exist yet.

    Parameters
    ----------
    root, resource_path : str
        As the resource document has them. A path that is absolute stands for
        itself, whether or not it repeats the root.
    root_map : mapping of str
        Folders as the documents name them to folders on this machine; of several
        that fit, the longest.
    allowed_roots : sequence of str or Path
        Folders on this machine.

    Returns
    -------
    Path
        Absolute, all links followed.

    Raises
    ------
    Refused
        ``outside_roots`` for a file in none of the allowed folders.

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
            f"{stated} leads to {path}, which is in none of layout.allowed_roots ({allowed}); "
            "allow its folder, or name it in layout.root_map",
        )
    return path


def path_of_uri(uri: str) -> str:
    """Path of a ``file:`` address.

    Raises
    ------
    Refused
        ``outside_roots`` for any other kind of address.
    """
    parts = urlparse(uri)
    if parts.scheme not in ("file", ""):
        raise Refused("outside_roots", f"{uri} is not a file's address; only file: is read")
    return unquote(parts.path)


def read_sized(path: Path, max_bytes: int = MAX_BYTES) -> bytes:
    """Content of a file whose size is looked at first.

    Raises
    ------
    Refused
        ``file`` when it cannot be read or is too large for a scan.
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
