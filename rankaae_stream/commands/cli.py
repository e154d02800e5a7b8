"""Define the command line, ``rankaae-stream``: options, help, and which function runs."""

from pathlib import Path
from typing import Annotated, Literal

import typer

from rankaae_stream import resources
from rankaae_stream.errors import ConfigurationError
from rankaae_stream.show.commands import Commands
from rankaae_stream.show.terminal import Terminal

__all__ = ["app"]

console = Terminal()

app = typer.Typer(
    cls=Commands,
    help="Oxidation state and coordination from XANES while the scan runs.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)
ProfileOption = Annotated[str, typer.Option(help="Name of a shipped profile, or a TOML file.")]
JsonOption = Annotated[bool, typer.Option("--json", help="Print one JSON object a line.")]
BrowserOption = Annotated[bool, typer.Option(help="Open the web page in the browser.")]
ElementOption = Annotated[
    str | None,
    typer.Option(help="Absorbing element, Fe; by default from the headers or the energies."),
]
ColumnsOption = Annotated[
    str | None,
    typer.Option(
        help="Which column is what, by name or number: energy=1,mu=2 or "
        "energy=1,i0=2,it=3,ir=4; for fluorescence iff, of several detectors iff=5+6+7."
    ),
]
FoilOption = Annotated[
    str | None,
    typer.Option(help="A metal foil of the same session, where the files have none."),
]
ModelOption = Annotated[
    Path | None, typer.Option(help="Folder of a model of your own, such as calibrate writes.")
]


@app.callback(invoke_without_command=True)
def main(
    version: Annotated[bool, typer.Option("--version", help="Print the version and exit.")] = False,
) -> None:
    """Oxidation state and coordination from XANES while the scan runs."""
    if version:
        console.print(resources.code_version(), highlight=False)
        raise typer.Exit


UidOption = Annotated[
    list[str] | None,
    typer.Option(help="Only this run, by the beginning of its uid; may be repeated."),
]
SinceOption = Annotated[
    str | None,
    typer.Option(help="Only runs that began at this time or later, 2026-11-22T14:30."),
]
UntilOption = Annotated[
    str | None,
    typer.Option(help="Only runs that began before this time; a date includes its whole day."),
]
WhereOption = Annotated[
    list[str] | None,
    typer.Option(
        help="Only runs whose start document has this value, element=Fe; repeated, all of them."
    ),
]


@app.command()
def demo(
    element: Annotated[
        str | None, typer.Option(help="Scan only this element's samples: Fe, V or Mn.")
    ] = None,
    quick: Annotated[
        bool, typer.Option("--quick", help="Scan iron only, with wide steps.")
    ] = False,
    directory: Annotated[
        Path | None,
        typer.Option(
            help="Folder for Tiled's files, which are kept; a new temporary one by default."
        ),
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
        bool, typer.Option("--dashboard", help="Show the results on a web page, until Ctrl-C.")
    ] = False,
    browser: BrowserOption = True,
) -> None:
    """Scan measured spectra on a simulated beamline and publish their oxidation states.

    Starts a Tiled server on this machine, runs ordinary bluesky scans with the
    plugin subscribed, and prints what a client then reads from Tiled. Needs no
    beamline and no network. Begin with: rankaae-stream demo --quick
    """
    from rankaae_stream.commands.demo import run_demo

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
            help="Files of any format that is read (project.prj::group for one group, "
            "file.spec::2 for one scan), folders, quoted patterns.",
            metavar="FILE...",
        ),
    ],
    element: ElementOption = None,
    edge: Annotated[str | None, typer.Option(help="Shell of the absorption edge, K.")] = None,
    columns: ColumnsOption = None,
    foil: Annotated[
        str | None,
        typer.Option(
            help="A metal foil of the same session, to calibrate the energy axis; a file or "
            "project.prj::group."
        ),
    ] = None,
    axis_from: Annotated[
        list[str] | None,
        typer.Option(
            help="Cr2O3=FILE: a known compound of the same session, to calibrate the energy axis "
            "where there is no foil; once for each element."
        ),
    ] = None,
    model: ModelOption = None,
    plot: Annotated[
        Path | None,
        typer.Option(
            help="Draw each spectrum with its answer into a .pdf (one page each), .png or .svg."
        ),
    ] = None,
    as_json: JsonOption = False,
    verbose: Annotated[
        bool,
        typer.Option("--verbose", "-v", help="List spectra of other edges too, in full sentences."),
    ] = False,
) -> bool:
    """Print oxidation state and coordination of spectra in files, computed as in a live scan.

    Give --foil where the energy axis is not calibrated, and --columns where the header
    does not name the columns. Exit status 1 when a file could not be read or a spectrum
    was refused.
    """
    from rankaae_stream.commands.infer import run_infer

    return run_infer(
        console,
        files,
        element=element,
        shell=edge,
        columns=columns,
        foil=foil,
        axis_from=axis_from or (),
        model=model,
        plot=plot,
        as_json=as_json,
        verbose=verbose,
    )


@app.command()
def calibrate(
    standards: Annotated[
        Path,
        typer.Option(
            help="A CSV with the header file,valence,compound, or a TOML with [[standard]] tables "
            "of these. Files are searched beside it."
        ),
    ],
    output: Annotated[
        Path | None,
        typer.Option(help="New folder for the calibrated model; calibrated/EDGE-DATE by default."),
    ] = None,
    blocks: Annotated[
        int | None,
        typer.Option(
            help="For a series, such as a charge: leave out so many blocks of neighbours in turn "
            "instead of each compound; 10 is usual."
        ),
    ] = None,
    element: ElementOption = None,
    columns: ColumnsOption = None,
    foil: FoilOption = None,
    model: Annotated[
        Path | None, typer.Option(help="Folder of the model to fit; the shipped one by default.")
    ] = None,
    plot: Annotated[
        Path | None, typer.Option(help="Draw before and after into a .pdf, .png or .svg.")
    ] = None,
) -> None:
    """Fit a model to spectra of known compounds that your beamline measured.

    Two or more compounds move energy axis and valence, four or more stretch the valence, too,
    ten or more may bend it. What is fitted is chosen, and judged, by standards that were left
    out. From nine on the intervals come from your standards; fewer leave the shipped
    intervals as they are, or widen them. Begin with three compounds that span your valences,
    each in a file:

    file,valence,compound

    FeO.xdi,2,FeO

    Fe3O4.xdi,2.67,Fe3O4

    Fe2O3.xdi,3,Fe2O3

    The new model has an id of its own and names its parent; pin it in your profile with the
    lines that are printed, or use it once: rankaae-stream infer --model FOLDER FILE...
    """
    from rankaae_stream.commands.calibrate import run_calibrate

    run_calibrate(
        console,
        standards,
        output=output,
        blocks=blocks,
        element=element,
        columns=columns,
        foil=foil,
        model=model,
        plot=plot,
    )


@app.command()
def series(
    files: Annotated[
        list[str],
        typer.Argument(
            help="Files, folders or patterns, in the order of their names; or stored runs: a Tiled "
            "catalog, http://127.0.0.1:8000#raw, or a file of documents, *.jsonl or *.msgpack.",
            metavar="FILE...|SOURCE",
        ),
    ],
    end: Annotated[
        list[str] | None,
        typer.Option(
            help="A file of a known reference; repeated, the series is fitted as mixtures of "
            "these (linear combination fit). By default its own purest spectra are taken."
        ),
    ] = None,
    element: ElementOption = None,
    columns: ColumnsOption = None,
    foil: FoilOption = None,
    model: ModelOption = None,
    stop_at: Annotated[
        float | None,
        typer.Option(
            min=0.001,
            help="Half-width of the valence's interval that you want, 0.1: says how many more "
            "repeats it takes, or that repeats do not help.",
        ),
    ] = None,
    profile: ProfileOption = "sim",
    uid: UidOption = None,
    since: SinceOption = None,
    until: UntilOption = None,
    where: WhereOption = None,
    against: Annotated[
        list[str] | None,
        typer.Option(
            help="A number in the start documents of stored runs, sample_T: changes are told at "
            "its values instead of times."
        ),
    ] = None,
    plot: Annotated[
        Path | None,
        typer.Option(help="Draw valence, fractions, pure spectra and residual: .pdf, .png, .svg."),
    ] = None,
    table: Annotated[Path | None, typer.Option(help="Write a row a spectrum as CSV.")] = None,
    as_json: JsonOption = False,
) -> None:
    """Merge repeats, or resolve a changing series into fractions of its purest spectra.

    Five spectra or more are counted for components: one means repeats, which are averaged and
    answered together; several mean mixtures, whose valence is the fractions times the
    valences of the pure spectra. Give a foil channel or --foil: axes that differ look like
    chemistry.

    rankaae-stream series scans/ --plot series.png

    rankaae-stream series scans/ --end FeO.xdi --end Fe2O3.xdi --table fractions.csv

    rankaae-stream series repeats/ --stop-at 0.1

    rankaae-stream series http://127.0.0.1:8000#raw --profile iss --where sample_name=cell-3
    """
    from rankaae_stream.commands.series import run_series
    from rankaae_stream.past.selection import Selection

    run_series(
        console,
        files,
        ends=end or (),
        element=element,
        columns=columns,
        foil=foil,
        model=model,
        stop_at=stop_at,
        profile=profile,
        selection=Selection.parse(uid or (), since, until, where or ()),
        against=against or (),
        plot=plot,
        table=table,
        as_json=as_json,
    )


@app.command()
def replay(
    source: Annotated[
        str,
        typer.Argument(
            help="A Tiled catalog, http://127.0.0.1:8000#raw, or its address in Tiled's "
            "interface; or a file or folder of documents, *.jsonl or *.msgpack."
        ),
    ],
    profile: ProfileOption = "sim",
    uid: UidOption = None,
    since: SinceOption = None,
    until: UntilOption = None,
    where: WhereOption = None,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Show the answers, publish nothing.")
    ] = False,
    workers: Annotated[
        int | None,
        typer.Option(min=1, help="Answer in so many processes; the results are the same."),
    ] = None,
    requests: Annotated[
        int, typer.Option(min=1, help="With workers: runs read from the server at once, at most.")
    ] = 8,
    dask: Annotated[
        str | None,
        typer.Option(help="Answer on the workers of this Dask scheduler, tcp://host:8786."),
    ] = None,
    again: Annotated[
        bool, typer.Option("--again", help="Answer anew what an interrupted replay has finished.")
    ] = False,
    compare: Annotated[
        bool,
        typer.Option("--compare", help="Compare with the published results; publish nothing."),
    ] = False,
    compare_model: Annotated[
        Path | None,
        typer.Option(help="Compare the profile's answers with those of this model; a folder."),
    ] = None,
    table: Annotated[
        Path | None, typer.Option(help="Of a comparison: write all of it to this CSV file.")
    ] = None,
    page: Annotated[
        Path | None,
        typer.Option(
            help="Of a comparison: draw it, and list the largest differences, in this HTML file."
        ),
    ] = None,
) -> bool:
    """Answer stored runs as the live stream would have, and publish the results.

    Replaying a run twice changes nothing; a replay that was killed goes on where it was.
    Results go to the profile's Tiled, with the key in RANKAAE_STREAM_TILED_API_KEY; to read
    from another server, set TILED_API_KEY. Exit status 1 when a run could not be read or a
    result not published; differences that a comparison finds are no failure.
    """
    from rankaae_stream.commands.compare import run_compare
    from rankaae_stream.commands.replay import run_replay
    from rankaae_stream.past.selection import Selection
    from rankaae_stream.workers.choose import Workers

    selection = Selection.parse(uid or (), since, until, where or ())
    several = Workers(workers or 1, dask, requests) if workers or dask else None
    if compare or compare_model:
        return run_compare(
            console,
            source,
            profile=profile,
            selection=selection,
            model=compare_model,
            workers=several,
            table=table,
            page=page,
        )
    for name, file in (("--table", table), ("--page", page)):
        if file is not None:
            raise ConfigurationError(f"{name} is of a comparison; add --compare")
    return run_replay(
        console,
        source,
        profile=profile,
        selection=selection,
        dry_run=dry_run,
        workers=several,
        again=again,
    )


@app.command()
def serve(
    profile: Annotated[str, typer.Argument(help="Name of a shipped profile, or a TOML file.")],
    source: Annotated[
        Literal["zmq", "kafka", "tiled"],
        typer.Option("--from", help="The bus: bluesky's 0MQ proxy, Kafka, or a Tiled of raw runs."),
    ],
    address: Annotated[
        str,
        typer.Option(
            help="host:port of the proxy (127.0.0.1:5578 by default) or of Kafka's servers; "
            "http://host:8000#raw of Tiled."
        ),
    ] = "",
    topic: Annotated[list[str] | None, typer.Option(help="Kafka's topic; may be repeated.")] = None,
    group: Annotated[
        str, typer.Option(help="Kafka's consumer group; xas-PROFILE by default.")
    ] = "",
    first: Annotated[
        Literal["latest", "earliest"],
        typer.Option(help="What Kafka or Tiled gives at the first time: from now on, or all."),
    ] = "latest",
    settings: Annotated[
        Path | None,
        typer.Option(help="File with the settings of Kafka's connection: /etc/bluesky/kafka.yml."),
    ] = None,
    prefix: Annotated[str, typer.Option(help="Of the 0MQ messages that are taken.")] = "",
    allow_pickle: Annotated[
        bool,
        typer.Option(
            "--allow-pickle",
            help="Take pickled 0MQ messages, bluesky's default, from this machine: whoever can "
            "write to that port can run programs here.",
        ),
    ] = False,
    curve: Annotated[
        tuple[Path, Path] | None,
        typer.Option(
            help="Certificates for a 0MQ proxy that wants them: the file of our secret key, and "
            "that of the proxy's public key.",
        ),
    ] = None,
    port: Annotated[
        int, typer.Option(help="Port on this machine for health and metrics; 0 takes a free one.")
    ] = 9108,
    drain: Annotated[
        float, typer.Option(min=0.0, help="Seconds to finish in once it is told to end.")
    ] = 30.0,
    json_logs: Annotated[
        bool, typer.Option("--json-logs", help="Log one JSON object a line.")
    ] = False,
) -> bool:
    """Answer runs in processes of their own, fed by a bus, until Ctrl-C or SIGTERM.

    Documents are on the disk before a worker sees them; one that dies is replaced, and what it
    had is given to the next. How it is: /status, /healthz, /readyz and /metrics on the port. The
    key for Tiled comes from RANKAAE_STREAM_TILED_API_KEY. Unit, container file, alarm rules and
    a Grafana dashboard are in profiles/service. Needs the package's extra "service", and "kafka"
    for Kafka.

    rankaae-stream serve sim --from zmq

    rankaae-stream serve iss --from kafka --settings /etc/bluesky/kafka.yml --topic TOPIC

    rankaae-stream serve iss --from tiled --address https://tiled.facility#iss/raw
    """
    from rankaae_stream.commands.serve import Bus, run_serve

    topics = tuple(topic or ())
    bus = Bus(source, address, topics, group, first, settings, prefix, allow_pickle, curve)
    return run_serve(console, profile, bus, port=port, drain=drain, json_logs=json_logs)


@app.command()
def tiled(
    directory: Annotated[
        Path | None,
        typer.Argument(help="Folder for the data; ~/.local/share/rankaae-stream/tiled by default."),
    ] = None,
    host: Annotated[
        str, typer.Option(help="Address to listen on; the default is for this machine only.")
    ] = "127.0.0.1",
    port: Annotated[int, typer.Option(help="Port to listen on; 0 takes a free one.")] = 8000,
    files: Annotated[
        list[Path] | None,
        typer.Option(help="Folder with files of raw fly scans, to be served too; may be repeated."),
    ] = None,
    allow_host: Annotated[
        list[str] | None,
        typer.Option(
            help="A further name of the server in browsers and clients, NAME or NAME:PORT, such "
            "as that of a server in front; may be repeated."
        ),
    ] = None,
) -> None:
    """Start a Tiled server for scans and results on this machine, for a single instrument.

    The key to write comes from RANKAAE_STREAM_TILED_API_KEY; reading needs no key from
    this machine. Web pages of other sites are refused. The data are kept in SQLite; for a
    facility see profiles/tiled/facility.yml. Ctrl-C ends the server.
    """
    from rankaae_stream.commands.tiled import run_tiled

    run_tiled(console, directory, host=host, port=port, files=files or (), names=allow_host or ())


@app.command()
def check(
    profile: Annotated[str, typer.Argument(help="Name of a shipped profile, or a TOML file.")],
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
            help="Also test the profile's own Tiled: key, node, and writing and removing a result.",
        ),
    ] = False,
    verbose: Annotated[
        bool, typer.Option("--verbose", "-v", help="Show every check, also where all are ok.")
    ] = False,
    as_json: JsonOption = False,
) -> bool:
    """Check a beamline's profile: settings, layouts, models, sink, and a run of yours.

    Plays generated scans in the format and with the field names of the profile, and tries
    the sink on a Tiled server of its own. With --run it shows what was read of a recorded
    run: plan, element, fields, direction, sweeps, foil, answer, and mu(E) as a small plot;
    or the first thing that does not fit, and the key to change. Needs the network for
    --online and --run UID only. Exit status 1 when a check failed.
    """
    from rankaae_stream.commands.check import run_check

    return run_check(console, profile, run=run, online=online, verbose=verbose, as_json=as_json)


@app.command()
def dashboard(
    tiled: Annotated[str, typer.Option(help="Address of the Tiled server, http://HOST:8000.")],
    node: Annotated[str, typer.Option(help="Container of the results.")] = "processed",
    port: Annotated[int, typer.Option(help="Port on this machine; 0 takes a free one.")] = 8050,
    browser: BrowserOption = True,
) -> None:
    """Show results on a web page while scans run, for a Tiled server without that page.

    The page is for this machine only. The key to read comes from
    RANKAAE_STREAM_TILED_API_KEY or TILED_API_KEY and stays here: the browser never has it.
    A server of `rankaae-stream tiled` has the page already; for other servers see
    profiles/tiled/README.md.
    """
    from rankaae_stream.commands.dashboard import run_dashboard

    run_dashboard(console, tiled, node=node, port=port, browser=browser)


models = typer.Typer(help="List the shipped models with their scores, or verify their files.")
app.add_typer(models, name="models")


@models.callback(invoke_without_command=True)
def list_models(
    context: typer.Context,
    as_json: JsonOption = False,
) -> None:
    """List the shipped models: edge, version, scores, and the id that results carry."""
    from rankaae_stream.commands.models import run_list

    if context.invoked_subcommand is None:
        run_list(console, as_json=as_json)


@models.command()
def verify(
    names: Annotated[
        list[str] | None,
        typer.Argument(
            help="Shipped models, fe-k, or folders of your own, ./fe-k; by default all shipped "
            "models.",
            metavar="NAME|PATH",
        ),
    ] = None,
) -> bool:
    """Compare every file of a model with its hash, and recompute its stored example spectra.

    Exit status 1 when a model is damaged; the file and the fix are named.
    """
    from rankaae_stream.commands.models import run_verify

    return run_verify(console, names or ())


spool = typer.Typer(
    help="List results that wait for Tiled or that it rejected, or send them again."
)
app.add_typer(spool, name="spool")


@spool.callback(invoke_without_command=True)
def list_spool(
    context: typer.Context,
    profile: ProfileOption = "sim",
    sent: Annotated[int, typer.Option(help="How many sent results to show.")] = 5,
) -> None:
    """List the results in a profile's spool: state, age, element, sample, reason of rejection."""
    from rankaae_stream.commands.spool import run_list

    if context.invoked_subcommand is None:
        run_list(console, profile, sent=sent)


@spool.command()
def send(
    profile: ProfileOption = "sim",
) -> bool:
    """Send the results that wait, and those rejected before, to Tiled again.

    A result that Tiled has already is not written twice. The key comes from
    RANKAAE_STREAM_TILED_API_KEY. Exit status 1 when a result could not be sent.
    """
    from rankaae_stream.commands.spool import run_send

    return run_send(console, profile)


Uid = Annotated[str, typer.Argument(help="The result's uid, or its beginning.")]
SpoolProfile = Annotated[str, typer.Option(help="Name of a shipped profile, or a TOML file.")]


@spool.command()
def aside(
    uid: Uid,
    profile: SpoolProfile = "sim",
    reason: Annotated[str, typer.Option(help="Kept beside it.")] = "",
) -> None:
    """Put one waiting result aside, so that nobody tries to send it; `retry` undoes it."""
    from rankaae_stream.commands.spool import run_aside

    run_aside(console, uid, profile, reason)


@spool.command()
def retry(uid: Uid, profile: SpoolProfile = "sim") -> None:
    """Let one result that was put aside, or rejected, wait again."""
    from rankaae_stream.commands.spool import run_retry

    run_retry(console, uid, profile)


@spool.command()
def repair(uid: Uid, profile: SpoolProfile = "sim") -> None:
    """Let one result be written anew: what Tiled has of it is deleted, and it waits again.

    For a result whose arrays were lost or damaged on the server, also one that was sent.
    """
    from rankaae_stream.commands.spool import run_repair

    run_repair(console, uid, profile)
