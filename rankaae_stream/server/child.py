"""Run the embedded Tiled server: the program of `tiled_server.EmbeddedServer`'s child process.

It is run as a file, ``python -P child.py CONFIGURATION HOST PORT [NAME ...]``, so that nothing
of the package is imported before Tiled is.
"""

import gc
import json
import os
import signal
import sys
import threading
import time
import traceback
from collections.abc import Sequence
from pathlib import Path
from typing import Any

__all__ = ["BAD_CATALOG", "KEY_VARIABLE", "NO_TILED", "main"]

KEY_VARIABLE = "TILED_SINGLE_USER_API_KEY"
"""Environment variable that hands the key to the child: it is in no process list."""

NO_TILED, BAD_CATALOG = 81, 82
"""Exit codes: a package that the server needs is missing; a catalog cannot be made or used."""


SENTENCE = (
    "this server answers programs, and pages of its own, under its own addresses only; another "
    "name of it is allowed by: rankaae-stream tiled --allow-host NAME"
)


def main(path: str, host: str, port: str, *names: str) -> None:
    """Make the catalogs that do not exist yet, and serve until the parent is gone.

    End with `NO_TILED` or `BAD_CATALOG`, and the traceback in the log, where that is why it
    cannot serve.

    Parameters
    ----------
    path : str
        Tiled's configuration, as `configuration` makes it.
    host, port : str
        Where to listen.
    *names : str
        Further names under which requests come, see `dashboard.guard.OwnAddresses`.
    """
    # Databases, their journals, folders and arrays are for this user only.
    os.umask(0o077)
    try:
        _serve(path, host, int(port), names)
    except ImportError:
        traceback.print_exc()
        sys.exit(NO_TILED)


def _serve(path: str, host: str, port: int, names: Sequence[str]) -> None:
    threading.Thread(target=_follow_the_parent, daemon=True).start()
    # For the package's own modules; last, so that no file beside it replaces a module.
    sys.path.append(str(Path(__file__).resolve().parents[2]))
    from tiled.commandline.main import main as tiled

    # Tiled's own init_if_not_exists starts one more interpreter a tree, 3 s each.
    with open(path, encoding="utf-8") as file:
        for tree in json.load(file)["trees"]:
            init = ["catalog", "init", "--if-not-exists", tree["args"]["uri"]]
            try:
                tiled(init, standalone_mode=False)
            except ImportError:
                raise
            except Exception:  # noqa: BLE001 - whatever a database driver raises
                traceback.print_exc()
                sys.exit(BAD_CATALOG)
    app, options = _app(path, names)
    import uvicorn

    options |= {"host": host, "port": port}
    uvicorn.run(app, **options)


def _app(path: str, names: Sequence[str]) -> tuple[Any, dict[str, Any]]:
    """Return Tiled's application behind our guards, with the options of uvicorn."""
    from tiled.config import parse_configs
    from tiled.server.app import build_app_from_config
    from tiled.server.logging_config import LOGGING_CONFIG

    from rankaae_stream.dashboard.guard import OwnAddresses
    from rankaae_stream.dashboard.prompt import PromptBody, PromptProtocol
    from rankaae_stream.server.inside import keep_inside

    config = parse_configs(path)
    config.authentication.single_user_api_key = os.environ[KEY_VARIABLE]
    for tree in config.trees or ():
        keep_inside(tree.tree)
    app = PromptBody(build_app_from_config(config))
    app = OwnAddresses(app, names, origins=config.allow_origins or (), sentence=SENTENCE)
    return app, {"log_config": LOGGING_CONFIG, "http": PromptProtocol, **config.uvicorn}


def _follow_the_parent() -> None:
    """Read the pipe from the parent: a byte says that the server answered it."""
    # Leave what the start made, some 400,000 objects, out of the garbage collection: searched
    # with the rest, it held answers up by 0.3 s, three times in a listing of 5,000 results.
    while os.read(0, 1):
        gc.collect()
        gc.freeze()
        gc.set_threshold(20_000, 20, 20)
    # The pipe reports its end when the parent is gone, however it died.
    os.kill(os.getpid(), signal.SIGTERM)
    time.sleep(5)
    os._exit(1)


if __name__ == "__main__":
    main(*sys.argv[1:])
