"""Run `rankaae-stream tiled`: a Tiled server for one instrument, until Ctrl-C."""

import os
import signal
from collections.abc import Generator, Sequence
from contextlib import contextmanager
from pathlib import Path

from rich.console import Console
from rich.markup import escape

from rankaae_stream.dashboard import PATH
from rankaae_stream.errors import ConfigurationError
from rankaae_stream.profile import API_KEY_VARIABLE
from rankaae_stream.server.tiled_server import LOG, EmbeddedServer

__all__ = ["DIRECTORY", "run_tiled"]

DIRECTORY = Path("~/.local/share/rankaae-stream/tiled")
"""Where the data are kept by default."""


def run_tiled(
    console: Console,
    directory: Path | None = None,
    *,
    host: str = "127.0.0.1",
    port: int = 8000,
    files: Sequence[Path] = (),
    names: Sequence[str] = (),
) -> None:
    """Serve a directory until Ctrl-C or SIGTERM.

    Parameters
    ----------
    console : Console
    directory : Path, optional
        For the databases and files, made where it is missing; `DIRECTORY` by default.
    host, port : str, int
        Port 0 takes a free one.
    files : sequence of Path
        Folders of raw fly scans' own files, served with their runs.
    names : sequence of str
        Further names of the server, see `EmbeddedServer`.

    Raises
    ------
    ConfigurationError
        When the environment has no key, the server does not start, or it ends by
        itself.
    """
    readable = [folder.expanduser().resolve() for folder in files]
    for folder in readable:
        if not folder.is_dir():
            raise ConfigurationError(f"there is no folder {folder} with files of scans to serve")
    server = EmbeddedServer(
        directory or DIRECTORY,
        host=host,
        port=port,
        api_key=_key(),
        readable=readable,
        names=names,
    )
    with _terminated_as_interrupted():
        try:
            with console.status("starting the Tiled server"):
                server.start()
            _print_addresses(console, server)
            server.wait()
        except KeyboardInterrupt:
            console.print("stopping the server")
        finally:
            server.close()


def _key() -> str:
    """Read the server's one key from the environment.

    A key that the server made up would have to be shown, and would end in a terminal's
    history or a service's log.
    """
    key = os.environ.get(API_KEY_VARIABLE, "")
    if not key:
        raise ConfigurationError(
            "the Tiled server needs a key, which all who write to it share; make one and set it "
            f"here and in the session that writes: export {API_KEY_VARIABLE}=$(openssl rand -hex "
            "32), or keep it in a file that only you can read: (umask 077; openssl rand -hex 32 > "
            f"~/.tiled-key); export {API_KEY_VARIABLE}=$(cat ~/.tiled-key)"
        )
    return key


def _print_addresses(console: Console, server: EmbeddedServer) -> None:
    folder = escape(str(server.directory))
    console.print(f"Tiled serves [bold]{folder}[/] at {server.uri}", soft_wrap=True)
    reading = (
        "no key from this machine"
        if server.allow_anonymous_access
        else f"the key in {API_KEY_VARIABLE} too; the connection is not encrypted"
    )
    for line in (
        "  scans   the tree raw",
        "  results the tree processed",
        f"  watch   {server.uri}{PATH}",
        f"  browse  {server.uri}/ui/browse/processed",
        f'  Python  from tiled.client import from_uri; from_uri("{server.uri}")["processed"]',
        f'  writing the key in {API_KEY_VARIABLE}, and uri = "{server.uri}" under [tiled] in the '
        "profile",
        f"  reading {reading}",
        f"  log     {server.directory / LOG}",
        "Ctrl-C ends it; the data stay.",
    ):
        console.print(line, markup=False, highlight=False, soft_wrap=True)


@contextmanager
def _terminated_as_interrupted() -> Generator[None]:
    """Let a service manager's SIGTERM end the server as cleanly as Ctrl-C does."""

    def interrupt(*_: object) -> None:
        raise KeyboardInterrupt

    before = signal.signal(signal.SIGTERM, interrupt)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)
