"""The command line: ``rankaae-stream --help``."""

from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from rankaae_stream import resources
from rankaae_stream.errors import ConfigurationError

__all__ = ["app"]

app = typer.Typer(
    help="Oxidation state and coordination from XANES while the scan runs.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)
console = Console()
errors = Console(stderr=True)


@app.callback(invoke_without_command=True)
def main(
    version: Annotated[bool, typer.Option("--version", help="Print the version and end.")] = False,
) -> None:
    """Oxidation state and coordination from XANES while the scan runs."""
    if version:
        console.print(resources.code_version(), highlight=False)
        raise typer.Exit


@app.command()
def demo(
    element: Annotated[
        str | None, typer.Option(help="Only this element's series: Fe, V or Mn.")
    ] = None,
    quick: Annotated[
        bool, typer.Option("--quick", help="One series, short dwell, wide steps: a few seconds.")
    ] = False,
    directory: Annotated[
        Path | None,
        typer.Option(help="Folder for Tiled's files; a new temporary one by default. It stays."),
    ] = None,
    keep: Annotated[
        bool, typer.Option("--keep", help="Leave the Tiled server up until Ctrl-C.")
    ] = False,
    beamline: Annotated[
        str,
        typer.Option(
            help="Play this beamline's session, in its own documents and files: iss, qas, bmm, "
            "tes or generic; sim scans measured spectra."
        ),
    ] = "sim",
    dashboard: Annotated[
        bool, typer.Option("--dashboard", help="Watch it on a page, which stays until Ctrl-C.")
    ] = False,
    browser: Annotated[bool, typer.Option(help="Open that page in the browser.")] = True,
) -> None:
    """Scan measured spectra on a simulated beamline and publish their oxidation states.

    Starts a Tiled server on this machine, runs ordinary bluesky scans with the
    plugin subscribed, and prints what a client then reads from Tiled.
    """
    from rankaae_stream.commands.demo import run_demo

    with _told_plainly():
        run_demo(
            console,
            beamline,
            element=element.capitalize() if element else None,
            quick=quick,
            directory=directory,
            keep=keep,
            dashboard=dashboard,
            browser=browser,
        )


@app.command()
def infer(
    files: Annotated[
        list[str],
        typer.Argument(
            help="XDI files, Athena projects (project.prj::group for one group), columns of "
            "numbers; folders and quoted patterns too.",
            metavar="FILE...",
        ),
    ],
    element: Annotated[
        str | None, typer.Option(help="Absorbing element; else the header or the energies tell.")
    ] = None,
    edge: Annotated[str | None, typer.Option(help="Shell of the edge; K.")] = None,
    columns: Annotated[
        str | None,
        typer.Option(
            help="Which column is what, by name or number: energy=1,mu=2 or "
            "energy=1,i0=2,it=3,ir=4 (or iff for fluorescence)."
        ),
    ] = None,
    foil: Annotated[
        Path | None,
        typer.Option(help="A metal foil of the same session, to calibrate the energy axis."),
    ] = None,
    plot: Annotated[
        Path | None,
        typer.Option(help="Draw each spectrum with its answer: .pdf (a page each), .png, .svg."),
    ] = None,
    as_json: Annotated[
        bool, typer.Option("--json", help="One JSON object a line instead of the table.")
    ] = False,
) -> None:
    """Oxidation state and coordination of spectra in files, exactly as in a live scan.

    Exit status 1 when a file could not be read or a spectrum was refused.
    """
    from rankaae_stream.commands.infer import run_infer

    with _told_plainly():
        good = run_infer(
            console,
            files,
            element=element,
            shell=edge,
            columns=columns,
            foil=foil,
            plot=plot,
            as_json=as_json,
        )
    raise typer.Exit(0 if good else 1)


@app.command()
def replay(
    source: Annotated[
        str,
        typer.Argument(
            help="A Tiled catalog, http://127.0.0.1:8000#raw or the address that Tiled shows for "
            "it; or a file or folder of documents, *.jsonl or *.msgpack."
        ),
    ],
    profile: Annotated[str, typer.Option(help="Shipped profile or TOML file.")] = "sim",
    uid: Annotated[
        list[str] | None, typer.Option(help="Only this run, by the beginning of its uid; repeat.")
    ] = None,
    since: Annotated[
        str | None, typer.Option(help="Only runs that began then or later, 2026-11-22T14:30.")
    ] = None,
    until: Annotated[
        str | None, typer.Option(help="Only runs that began before; a date includes its day.")
    ] = None,
    where: Annotated[
        list[str] | None,
        typer.Option(help="Only runs whose start document says so, element=Fe; repeat for and."),
    ] = None,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Answer and show, publish nothing.")
    ] = False,
) -> None:
    """Answer stored runs as the live scans were, and publish the answers as they would have.

    Replaying twice changes nothing. Results go where the profile says, with the key in
    RANKAAE_STREAM_TILED_API_KEY; another server's key for reading comes from
    TILED_API_KEY. Exit status 1 when a run could not be read or a result not published.
    """
    from rankaae_stream.commands.replay import run_replay
    from rankaae_stream.past.selection import Selection

    with _told_plainly():
        selection = Selection.parse(uid or (), since, until, where or ())
        good = run_replay(console, source, profile=profile, selection=selection, dry_run=dry_run)
    raise typer.Exit(0 if good else 1)


@app.command()
def tiled(
    directory: Annotated[
        Path | None,
        typer.Argument(help="For the data; ~/.local/share/rankaae-stream/tiled by default."),
    ] = None,
    host: Annotated[str, typer.Option(help="Whom to listen to; this machine only.")] = "127.0.0.1",
    port: Annotated[int, typer.Option(help="0 takes a free one.")] = 8000,
    files: Annotated[
        list[Path] | None,
        typer.Option(help="Folder with the files of raw fly scans, to be served too; repeat."),
    ] = None,
) -> None:
    """Serve scans and results by Tiled on this machine, for a single instrument.

    The key to write comes from RANKAAE_STREAM_TILED_API_KEY; reading needs none on
    a loopback host. SQLite; for a facility see profiles/tiled/facility.yml.
    """
    from rankaae_stream.commands.tiled import run_tiled

    with _told_plainly():
        run_tiled(console, directory, host=host, port=port, files=files or ())


@app.command()
def check(
    profile: Annotated[str, typer.Argument(help="Shipped profile or TOML file.")],
    run: Annotated[
        str | None,
        typer.Option(
            help="One of your runs: a file of documents (*.jsonl, *.msgpack; FILE#UID for one of "
            "several), a Tiled address as for replay, or a uid in the profile's Tiled."
        ),
    ] = None,
    online: Annotated[
        bool,
        typer.Option(
            "--online",
            help="Ask the profile's own Tiled too: the key, the node, and a probe that is removed.",
        ),
    ] = False,
    verbose: Annotated[
        bool, typer.Option("--verbose", "-v", help="Every check, also where all are ok.")
    ] = False,
    as_json: Annotated[
        bool, typer.Option("--json", help="One JSON object a line instead of the list.")
    ] = False,
) -> None:
    """Check a beamline's profile: settings, layouts, models, sink, and a run of yours.

    Plays generated scans in the format and with the field names of the profile, tries the
    sink on a Tiled server of its own, and says of a recorded run what was understood: plan,
    element, fields, direction, sweeps, foil, answer, and mu(E) as a small plot; or the first
    thing that does not fit and the key to change. Needs no network without --online and
    --run UID. Exit status 1 when something failed.
    """
    from rankaae_stream.commands.check import run_check

    with _told_plainly():
        good = run_check(console, profile, run=run, online=online, verbose=verbose, as_json=as_json)
    raise typer.Exit(0 if good else 1)


@app.command()
def dashboard(
    tiled: Annotated[str, typer.Option(help="The Tiled server, http://HOST:8000.")],
    node: Annotated[str, typer.Option(help="Container of the results.")] = "processed",
    port: Annotated[int, typer.Option(help="On this machine; 0 takes a free one.")] = 8050,
    browser: Annotated[bool, typer.Option(help="Open the page in the browser.")] = True,
) -> None:
    """Show results while scans run, for a Tiled server that does not serve the page itself.

    Served on this machine only. The key to read comes from RANKAAE_STREAM_TILED_API_KEY
    or TILED_API_KEY and stays here: the browser never has it. `rankaae-stream tiled`
    serves the page itself; other servers can, see profiles/tiled/README.md.
    """
    from rankaae_stream.commands.dashboard import run_dashboard

    with _told_plainly():
        run_dashboard(console, tiled, node=node, port=port, browser=browser)


models = typer.Typer(help="The shipped models with their scores, and whether they are whole.")
app.add_typer(models, name="models")


@models.callback(invoke_without_command=True)
def list_models(
    context: typer.Context,
    as_json: Annotated[
        bool, typer.Option("--json", help="One JSON object a line instead of the table.")
    ] = False,
) -> None:
    """List the shipped models: edge, version, scores, and the id that results carry."""
    from rankaae_stream.commands.models import run_list

    if context.invoked_subcommand is None:
        with _told_plainly():
            run_list(console, as_json=as_json)


@models.command()
def verify(
    names: Annotated[
        list[str] | None,
        typer.Argument(
            help="Shipped models, fe-k, or folders of your own, ./fe-k; all shipped ones by "
            "default.",
            metavar="NAME|PATH",
        ),
    ] = None,
) -> None:
    """Compare every file with its hash, and run the golden spectra through both graphs.

    Exit status 1 when a model is damaged, with the file and the fix.
    """
    from rankaae_stream.commands.models import run_verify

    with _told_plainly():
        good = run_verify(console, names or ())
    raise typer.Exit(0 if good else 1)


spool = typer.Typer(help="Results that wait for Tiled, or that it did not take; send them again.")
app.add_typer(spool, name="spool")


@spool.callback(invoke_without_command=True)
def list_spool(
    context: typer.Context,
    profile: Annotated[str, typer.Option(help="Shipped profile or TOML file.")] = "sim",
    sent: Annotated[int, typer.Option(help="How many of those that were sent to show.")] = 5,
) -> None:
    """List the results of a profile's spool: state, age, element, sample, why not taken."""
    from rankaae_stream.commands.spool import run_list

    if context.invoked_subcommand is None:
        with _told_plainly():
            run_list(console, profile, sent=sent)


@spool.command()
def send(
    profile: Annotated[str, typer.Option(help="Shipped profile or TOML file.")] = "sim",
) -> None:
    """Send to Tiled what waits and what it did not take before; twice changes nothing.

    The key comes from RANKAAE_STREAM_TILED_API_KEY. Exit status 1 when a result
    stays behind.
    """
    from rankaae_stream.commands.spool import run_send

    with _told_plainly():
        good = run_send(console, profile)
    raise typer.Exit(0 if good else 1)


class _told_plainly:  # noqa: N801 - reads as a phrase where it is used
    """Print a configuration error as one sentence and end with status 1."""

    def __enter__(self) -> None:
        return None

    def __exit__(self, kind: object, error: BaseException | None, trace: object) -> None:
        if isinstance(error, ConfigurationError):
            errors.print(f"error: {error}", style="red", markup=False, highlight=False)
            raise typer.Exit(1) from error
