"""Remove array folders without an entry in the catalog, which a killed Tiled leaves behind.

Tiled makes an array's folder and then commits its entry. Killed in between, it leaves a
folder that makes each later attempt to write that array end in HTTP 500, for ever.
"""

import shutil
import sqlite3
from contextlib import closing
from pathlib import Path

from rankaae_stream.printable import get_logger

__all__ = ["remove_orphans"]

logger = get_logger(__name__)


def remove_orphans(catalog: Path, files: Path) -> list[Path]:
    """Remove the array folders of runs that the catalog does not know.

    Call it while no server uses the catalog.

    Parameters
    ----------
    catalog : Path
        Database of a Tiled catalog (SQLite).
    files : Path
        Where the catalog's arrays are written, ``RUN/STREAM/ARRAY``.

    Returns
    -------
    list of Path
        What was removed.
    """
    if not (catalog.is_file() and files.is_dir()):
        return []
    query = """
        SELECT run.key, stream.key, array.key FROM nodes AS array
        JOIN nodes AS stream ON array.parent = stream.id
        JOIN nodes AS run ON stream.parent = run.id
        WHERE array.structure_family = 'array'
    """
    with closing(sqlite3.connect(f"{catalog.as_uri()}?mode=ro", uri=True)) as database:
        known = {"/".join(keys) for keys in database.execute(query)}
    removed: list[Path] = []
    for folder in files.glob("*/*/*"):
        if folder.is_dir() and folder.relative_to(files).as_posix() not in known:
            shutil.rmtree(folder)
            removed.append(folder)
            logger.warning("removed %s: it has no entry in %s", folder, catalog)
    return removed
