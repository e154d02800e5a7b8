"""`rankaae-stream replay`: the same answer for past scans, from wherever they are kept."""

import json
import os
import uuid
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import msgpack
import numpy as np
import pytest
import suitcase.jsonl
import suitcase.msgpack
from bluesky.callbacks.json_writer import JSONLinesWriter
from bluesky_tiled_plugins import TiledWriter
from engines import run_engine
from hypothesis import example, given
from hypothesis import strategies as st
from tiled.client.container import DEFAULT_STRUCTURE_CLIENT_DISPATCH, Container
from tiled.queries import Key
from typer.testing import CliRunner
from waiting import PATIENCE

from rankaae_stream import replay as module
from rankaae_stream.callback import DescriptorStream
from rankaae_stream.commands.cli import app
from rankaae_stream.errors import ConfigurationError
from rankaae_stream.past.archive import open_archive
from rankaae_stream.past.in_files import read_runs
from rankaae_stream.past.selection import Selection
from rankaae_stream.profile import API_KEY_VARIABLE, load_profile
from rankaae_stream.replay import replay
from rankaae_stream.server.tiled_server import EmbeddedServer
from rankaae_stream.simulate import SERIES, Beamline, scan

SAMPLES = [sample for sample in SERIES if sample.name in ("FeO", "Fe2O3", "Fe foil")]
LONG_AGO = 1e6
"""Seconds after a run, by the clock of these tests: whatever has no end is over."""

Documents = list[tuple[str, dict[str, Any]]]


@pytest.fixture(autouse=True)
def _models_loaded_once(monkeypatch, analysis):
    monkeypatch.setattr(module, "load_analysis", lambda _: analysis)


@pytest.fixture(autouse=True)
def _runs_read_by_other_tests_as_before():
    """A catalog's `.v2` changes how every client of the process reads runs, not only its own."""
    Container.discover_clients_from_entrypoints()
    clients = DEFAULT_STRUCTURE_CLIENT_DISPATCH["numpy"]
    before = clients["BlueskyRun"]
    yield
    clients.set("BlueskyRun", lambda: before)


class Collector:
    """A sink that keeps what it gets, by run."""

    def __init__(self) -> None:
        self.runs: dict[str, Documents] = {}

    def __call__(self, name: str, doc: dict[str, Any]) -> None:
        key = "uid" if name == "start" else "run_start"
        if name == "event":
            (uid,) = [u for u, docs in self.runs.items() if docs[1][1]["uid"] == doc["descriptor"]]
        else:
            uid = doc[key]
        self.runs.setdefault(uid, []).append((name, doc))


@dataclass
class Session:
    """What a live session left: raw runs, its results, and the settings it had."""

    tag: str
    raw: dict[str, Documents]
    results: dict[str, Documents]
    settings: dict[str, Any]

    @property
    def last(self) -> Documents:
        return list(self.raw.values())[-1]


@pytest.fixture(scope="module")
def session(server, tmp_path_factory) -> Session:
    """Three quick scans, answered live and published, as the demo does."""
    tag, collector = uuid.uuid4().hex, Collector()
    raw: dict[str, Documents] = {}
    settings = {"tiled": {"uri": server.uri}, "tiled_api_key": server.api_key}

    def keep(name: str, doc: dict[str, Any]) -> None:
        if name == "start":
            raw[doc["uid"]] = []
        list(raw.values())[-1].append((name, json.loads(json.dumps(doc))))

    with (
        run_engine({"session_tag": tag, "beam": {"line": "sim"}}) as engine,
        DescriptorStream(
            "sim", sinks=[collector], spool=tmp_path_factory.mktemp("spool"), **settings
        ) as stream,
    ):
        engine.subscribe(stream)
        engine.subscribe(TiledWriter(server.client("raw"), batch_size=100))
        engine.subscribe(keep)
        for sample in SAMPLES:
            engine(scan(Beamline(dwell=0.0), sample, quick=True))
        assert stream.wait_idle(PATIENCE)
    return Session(tag, raw, collector.runs, settings)


@pytest.fixture
def profile(session, tmp_path):
    return load_profile("sim", spool=tmp_path / "spool", **session.settings)


@pytest.fixture
def catalog(session, server):
    return server.client("raw").search(Key("start.session_tag") == session.tag)


@pytest.fixture(scope="module")
def folders(session, tmp_path_factory) -> dict[str, Path]:
    """The session's runs as files of each kind."""
    made = {kind: tmp_path_factory.mktemp(kind) for kind in ("jsonl", "msgpack", "one-file")}
    writer = JSONLinesWriter(str(made["one-file"]), "all.jsonl")
    for documents in session.raw.values():
        suitcase.jsonl.export(documents, made["jsonl"])
        suitcase.msgpack.export(documents, made["msgpack"])
        for name, doc in documents:
            writer(name, doc)
    return made


def opened(path: Path) -> Any:
    return open_archive(str(path), Selection(), ("", None)).runs


def told(documents: Documents) -> str:
    """A result run as text, without the events of a scan that was still growing."""
    kept: dict[str, Any] = dict(documents)
    kept["event"] = {k: v for k, v in kept["event"].items() if k not in ("uid", "seq_num")}
    kept["stop"] = {k: v for k, v in kept["stop"].items() if k != "num_events"}
    return json.dumps(kept, sort_keys=True)


def results(server: EmbeddedServer, session: Session) -> dict[str, Any]:
    found = [
        run
        for uid in session.raw
        for run in server.client("processed").search(Key("start.original_run_uid") == uid).values()
    ]
    return {run.start["uid"]: run for run in found}


# ---- the same numbers ----------------------------------------------------------------


@pytest.mark.parametrize(
    "kind",
    ["tiled", "v1", "v2", "v2 of v1", "streams", "jsonl", "msgpack", "one-file"],
)
def test_a_replayed_session_equals_the_live_one_bit_for_bit(
    kind, session, catalog, folders, profile
):
    runs = {
        "tiled": lambda: catalog,
        "v1": lambda: catalog.v1,
        "v2": lambda: catalog.v2,
        "v2 of v1": lambda: catalog.v1.v2,
        "streams": session.raw.values,
    }.get(kind, lambda: opened(folders[kind]))()
    sink = Collector()
    done = replay(runs, profile, sinks=[sink], to_tiled=False)
    assert not done.failed
    assert len(session.results) == len(SAMPLES)
    found = {uid: documents for uid, documents in sink.runs.items() if uid in session.results}
    assert set(found) == set(session.results)
    # A catalog's `.v2` forgets what was searched for, and has other tests' runs too.
    assert kind.startswith("v2") or len(sink.runs) == len(found)
    for uid, documents in session.results.items():
        assert told(found[uid]) == told(documents)
        assert [name for name, _ in found[uid]] == ["start", "descriptor", "event", "stop"]
    raw = session.raw
    for documents in map(dict, found.values()):
        original = dict(raw[documents["start"]["original_run_uid"]])
        assert documents["start"]["time"] == original["start"]["time"]
        assert documents["event"]["time"] == documents["stop"]["time"] == original["stop"]["time"]


def test_publishing_again_changes_nothing(session, catalog, profile, server):
    before = {uid: list(run.documents()) for uid, run in results(server, session).items()}
    assert len(before) == len(SAMPLES)
    for _ in range(2):
        done = replay(catalog, profile)
        assert not done.failed
        assert done.unsent == 0
    after = {uid: list(run.documents()) for uid, run in results(server, session).items()}
    assert json.dumps(before) == json.dumps(after)


def test_what_a_replay_publishes_reads_from_tiled_as_what_the_live_stream_did(
    session, catalog, profile, server
):
    live = results(server, session)
    before = {uid: list(run.documents()) for uid, run in live.items()}
    server.client("processed").delete_contents(list(live), recursive=True, external_only=False)
    assert not replay(catalog, profile).failed
    after = {uid: list(run.documents()) for uid, run in results(server, session).items()}
    assert set(after) == set(before)
    for uid, documents in before.items():
        assert told(after[uid]) == told(documents)


def test_the_command_replays_a_catalog_to_the_table(session, server, monkeypatch, tmp_path):
    monkeypatch.setenv(API_KEY_VARIABLE, server.api_key)
    monkeypatch.setenv("RANKAAE_STREAM_TILED__URI", server.uri)
    monkeypatch.setenv("RANKAAE_STREAM_SPOOL", str(tmp_path))
    for address in (f"{server.uri}#raw", f"{server.uri}/ui/browse/raw"):
        shown = CliRunner().invoke(
            app, ["replay", address, "--where", f"session_tag={session.tag}"]
        )
        assert shown.exit_code == 0, shown.output
        assert "3 answered, 0 refused; published to 'processed' at" in shown.output
        for sample, uid in zip(SAMPLES, session.raw, strict=True):
            assert f"{sample.name} ({uid[:8]})" in shown.output
    assert list(tmp_path.glob("*/*.jsonl")) == []


def test_a_dry_run_needs_no_key_and_publishes_nothing(session, server, folders, monkeypatch):
    live = results(server, session)
    server.client("processed").delete_contents(list(live), recursive=True, external_only=False)
    spool = folders["jsonl"].parent / "never"
    monkeypatch.setenv("RANKAAE_STREAM_SPOOL", str(spool))
    shown = CliRunner().invoke(app, ["replay", str(folders["jsonl"]), "--dry-run"])
    assert shown.exit_code == 0, shown.output
    assert "What would be published" in shown.output
    assert "3 answered, 0 refused; nothing was published." in shown.output
    assert not spool.exists()
    assert results(server, session) == {}


# ---- which runs ----------------------------------------------------------------------


def chosen(runs: Any, **typed: Any) -> list[str]:
    """Samples that a selection takes, from an archive that is not asked for it."""
    done = replay(runs, "sim", dry_run=True, selection=Selection.parse(**typed))
    return [outcome.start["sample_name"] for outcome in done.outcomes]


SELECTIONS = [
    ({"where": ["sample_name=Fe2O3"]}, ["Fe2O3"]),
    ({"where": ["sample_name=Fe2O3", "element=Mn"]}, []),
    ({"where": ["scan_id=1"]}, ["FeO"]),
    ({"where": ["beam.line=sim", "scan_id=3"]}, ["Fe foil"]),
    ({"where": ["scan_id=true"]}, []),
    ({"since": "2020-01-01", "until": "2020-12-31T12:00"}, []),
    ({"since": "2020-01-01"}, ["FeO", "Fe2O3", "Fe foil"]),
]


@pytest.mark.parametrize(("typed", "samples"), SELECTIONS)
def test_runs_are_chosen_by_time_and_by_what_their_start_says(typed, samples, session):
    assert chosen(session.raw.values(), **typed) == samples


@pytest.mark.parametrize(("typed", "samples"), SELECTIONS)
def test_tiled_is_asked_for_the_chosen_runs_only(typed, samples, session, server):
    typed = {**typed, "where": [*typed.get("where", ()), f"session_tag={session.tag}"]}
    selection, own = Selection.parse(**typed), (server.uri, server.api_key)
    with open_archive(f"{server.uri}#raw", selection, own) as archive:
        # SQLite takes true for 1: what it finds is looked at again.
        assert archive.total == len(samples) + ("scan_id=true" in typed["where"])
        done = replay(archive.runs, dry_run=True, selection=selection)
    assert [outcome.start["sample_name"] for outcome in done.outcomes] == samples


def test_runs_are_chosen_by_the_beginning_of_their_uid(session, server):
    first, _, last = session.raw
    selection = Selection.parse(uids=[first[:8], last])
    with open_archive(f"{server.uri}#raw", selection, (server.uri, server.api_key)) as archive:
        done = replay(archive.runs, "sim", dry_run=True, selection=selection)
    assert [outcome.name for outcome in done.outcomes] == [first, last]
    assert chosen(session.raw.values(), uids=[first[:8], last]) == ["FeO", "Fe foil"]


def test_a_uid_that_no_run_has_is_told(session, folders):
    shown = CliRunner().invoke(
        app, ["replay", str(folders["jsonl"]), "--dry-run", "--uid", "00000000-none"]
    )
    assert shown.exit_code == 1
    assert "has a uid that begins with 00000000-none" in shown.output


def test_times_of_a_start_on_the_edge_belong_to_the_day():
    day = Selection.parse(since="2026-11-22", until="2026-11-22")
    assert day.since is not None
    assert day.until == day.since + 86400
    assert day.takes({"uid": "x", "time": day.since})
    assert not day.takes({"uid": "x", "time": day.until})
    assert Selection.parse(since="2026-11-22T00:00+00:00").since == 1795305600.0


@pytest.mark.parametrize(
    ("typed", "message"),
    [
        ({"since": "yesterday"}, "--since 'yesterday' is no ISO date or time"),
        ({"where": ["element"]}, "--where 'element': write key=value"),
        ({"uids": ["%"]}, "a uid holds letters, digits and hyphens"),
    ],
)
def test_a_selection_that_cannot_be_read_is_told(typed, message):
    with pytest.raises(ConfigurationError, match=message):
        Selection.parse(**typed)


def test_results_are_not_analysed_again_and_counted(session, server):
    shown = CliRunner().invoke(app, ["replay", f"{server.uri}#processed", "--dry-run"])
    done = replay(session.results.values(), dry_run=True)
    assert not done.failed
    assert {outcome.skipped for outcome in done.outcomes} == {"an analysis of another run"}
    assert "answered" not in shown.output


def test_the_same_run_in_two_files_is_answered_once(folders):
    both = [*opened(folders["jsonl"]), *opened(folders["msgpack"])]
    assert len(replay(both, dry_run=True).outcomes) == len(SAMPLES)


# ---- runs without an end, damaged ones, archives that go ------------------------------


def test_a_run_without_a_stop_is_answered_and_flagged_once_it_must_be_over(session, server):
    uid, writer = str(uuid.uuid4()), TiledWriter(server.client("raw"), batch_size=1)
    text = json.dumps(session.last[:-1]).replace(session.last[0][1]["uid"], uid)
    documents = json.loads(text.replace(session.last[1][1]["uid"], str(uuid.uuid4())))
    for name, doc in documents[:20]:
        writer(name, doc)
    now = documents[-1][1]["time"]
    for runs in ([documents], server.client("raw").search(Key("start.uid") == uid)):
        (early,) = replay(runs, dry_run=True, clock=lambda: now + 10).outcomes
        assert (early.skipped, early.reports) == ("perhaps still running", ())
    (late,) = replay([documents], dry_run=True, clock=lambda: now + LONG_AGO).outcomes
    (report,) = late.reports
    assert "no_stop" in {flag.name for flag in report.flags}
    assert any("holds no end of the run" in flag.message for flag in report.flags)
    assert report.estimate("oxidation_state") is not None


class Unreadable:
    """A run whose documents end in an error."""

    def __init__(self, first: tuple[str, dict[str, Any]]) -> None:
        self.start = first[1]
        self._first = first

    def documents(self):
        yield self._first
        raise RuntimeError("the disk has a\nbad block")


def damaged(documents: Documents) -> dict[str, Any]:
    """What a run can be that is none, by what is said of it."""
    start, _, *rest = documents
    return {
        "RuntimeError: the disk has a bad block": Unreadable(start),
        "no start document with a uid and a time": rest,
        "TypeError": 5,
    }


def test_a_damaged_run_is_told_in_a_sentence_and_the_others_are_answered(session):
    first, second, third = session.raw.values()
    for sentence, bad in damaged(second).items():
        done = replay([first, bad, third], dry_run=True)
        assert [bool(outcome.problem) for outcome in done.outcomes] == [False, True, False]
        assert sentence in done.outcomes[1].problem
        assert "\n" not in done.outcomes[1].problem
        assert done.failed


def test_a_run_with_a_damaged_descriptor_names_its_element_and_is_refused(session):
    first, (start, (_, descriptor), *rest), third = session.raw.values()
    without = {key: value for key, value in descriptor.items() if key != "data_keys"}
    done = replay([first, [start, ("descriptor", without), *rest], third], dry_run=True)
    (report,) = done.outcomes[1].reports
    assert report.refusal.name == "missing_fields"
    assert "KeyError: 'data_keys'" in report.refusal.message
    assert not done.failed


def cut(path: Path, share: float) -> None:
    path.write_bytes(path.read_bytes()[: int(path.stat().st_size * share)])


@pytest.mark.parametrize("kind", ["jsonl", "msgpack"])
def test_a_file_that_is_cut_short_is_told_and_the_others_are_answered(kind, session, tmp_path):
    export = {"jsonl": suitcase.jsonl, "msgpack": suitcase.msgpack}[kind].export
    for documents in session.raw.values():
        export(documents, tmp_path)
    bad = list(session.raw)[1]
    cut(tmp_path / f"{bad}.{kind}", 0.6005)
    shown = CliRunner().invoke(app, ["replay", str(tmp_path), "--dry-run"])
    assert shown.exit_code == 1
    assert "2 answered, 0 refused" in shown.output
    assert f"not answered: {bad}: " in shown.output
    assert "it is cut short" in shown.output
    assert "Traceback" not in shown.output


@pytest.mark.parametrize(
    ("name", "content", "sentence"),
    [
        ("a.jsonl", b"", "is empty"),
        ("a.jsonl", b"<html>\n<body>\n", "line 1: it is not JSON"),
        ("a.jsonl", b'{"energy": 7112}\n', "line 1: no bluesky document"),
        ("a.jsonl", b'["event", {"descriptor": "d"}]\n', "belongs to no run of the file"),
        ("a.jsonl", b'["start", {}]\n', "a start document has no uid"),
        ("a.jsonl", b"[" * 100_000 + b"\n", "line 1: it is not JSON"),
        ("a.msgpack", b"<html>", "document 1: no bluesky document"),
        ("a.msgpack", b"\xc1\xc1", "it is not msgpack of documents"),
        ("a.msgpack", b"\xdd\xff\xff\xff\xff", "document 1: it is"),
    ],
)
def test_a_file_that_is_something_else_is_told(name, content, sentence, tmp_path):
    (tmp_path / name).write_bytes(content)
    (run,) = read_runs(tmp_path / name)
    (outcome,) = replay([run], dry_run=True).outcomes
    assert sentence in outcome.problem
    assert str(tmp_path / name) in outcome.problem


def test_nothing_in_a_file_is_unpickled(tmp_path):
    class Trap:
        def __reduce__(self):
            return os.mkdir, (str(tmp_path / "trapped"),)

    array = np.array([Trap()], dtype=object)
    doc = {"uid": "x", "time": 1.0, "trap": array}
    (tmp_path / "a.msgpack").write_bytes(suitcase.msgpack._encode(("start", doc)))
    (run,) = read_runs(tmp_path / "a.msgpack")
    assert "it is not msgpack of documents (an array of" in run.problem
    assert not (tmp_path / "trapped").exists()


def test_numpy_values_in_msgpack_come_back_as_they_were(tmp_path):
    doc = {
        "uid": "x",
        "a": np.array([1.5, -2.0]),
        "b": np.float64(0.1),
        "c": np.arange(6).reshape(2, 3),
        "d": np.array(["Fe", "Mn"]),
    }
    (tmp_path / "a.msgpack").write_bytes(suitcase.msgpack._encode(("start", doc)))
    (run,) = read_runs(tmp_path / "a.msgpack")
    assert run.problem == ""
    assert run.start["a"] == [1.5, -2.0]
    assert run.start["b"] == 0.1
    assert run.start["c"].tolist() == [[0, 1, 2], [3, 4, 5]]
    assert run.start["d"] == ["Fe", "Mn"]


@pytest.mark.parametrize("ending", [".jsonl", ".msgpack"])
@given(content=st.binary(max_size=200) | st.text().map(str.encode))
@example(content=b'["start", {"uid": "x", "time": "noon"}]\n')
@example(content=b'["start", {"uid": ["x"], "time": 1}]\n["stop", {"run_start": "x"}]\n')
@example(content=msgpack.packb({b"nd": True, b"type": "<f8", b"data": b"1", b"shape": [9]}))
@example(content=msgpack.packb({b"nd": True}))
def test_no_bytes_whatever_escape_as_a_traceback(ending, content, tmp_path_factory):
    path = tmp_path_factory.mktemp("bytes") / f"a{ending}"
    path.write_bytes(content)
    assert replay(read_runs(path), dry_run=True).failed


@pytest.mark.services
def test_an_archive_that_disappears_is_told_and_what_was_read_is_published(
    session, profile, tmp_path
):
    sink = Collector()
    server = EmbeddedServer(tmp_path / "tiled").start()
    try:
        writer = TiledWriter(server.client("raw"), batch_size=1000)
        for documents in session.raw.values():
            for name, doc in documents:
                writer(name, dict(doc))
        source, own = f"{server.uri}#raw", (server.uri, server.api_key)
        with open_archive(source, Selection(), own) as archive:
            done = replay(
                archive.runs,
                profile,
                sinks=[sink],
                to_tiled=False,
                told=lambda _: server.stop(),
            )
    finally:
        server.close()
    assert [outcome.problem for outcome in done.outcomes] == [""]
    assert len(sink.runs) == 1
    assert f"Tiled at {server.uri} does not answer" in done.lost
    assert done.failed


def test_results_that_cannot_be_sent_stay_in_the_spool_and_are_told(session, folders, tmp_path):
    nowhere = {"uri": "http://127.0.0.1:1"}
    profile = load_profile("sim", spool=tmp_path, tiled=nowhere, tiled_api_key="key")
    left: list[int] = []
    done = replay(opened(folders["jsonl"]), profile, patience=0.5, sending=left.append)
    assert done.unsent == len(SAMPLES) + 1, "with the what-if curves of iron"
    assert set(left) == {len(SAMPLES) + 1}
    assert "does not answer" in done.failing
    assert done.failed
    assert len(list(tmp_path.glob("*/*.jsonl"))) == len(SAMPLES) + 1


# ---- opening -------------------------------------------------------------------------


def test_a_source_that_is_no_archive_is_told(server, tmp_path):
    (tmp_path / "a.txt").write_text("")
    (tmp_path / "empty").mkdir()
    for source, sentence in {
        str(tmp_path / "none"): "neither a file or folder nor a Tiled address",
        str(tmp_path / "a.txt"): "its name must end in .jsonl or .msgpack",
        str(tmp_path / "empty"): "holds no .jsonl or .msgpack files",
        "http://127.0.0.1:1#raw": "Tiled at http://127.0.0.1:1 does not answer",
        f"{server.uri}#nothing": "has no 'nothing' under /nothing that the key may see",
        server.uri: "is no catalog of bluesky runs; it holds processed, raw; name the catalog",
        f"{server.uri}?api_key=s3cr3t#raw": "contains a key or a password",
    }.items():
        shown = CliRunner().invoke(app, ["replay", source, "--dry-run"])
        assert shown.exit_code == 1
        assert sentence in " ".join(shown.stderr.split()), shown.stderr
        assert "s3cr3t" not in shown.output


@pytest.mark.services
def test_a_server_that_wants_a_key_is_told_with_the_variable_to_set(tmp_path, monkeypatch):
    monkeypatch.delenv("TILED_API_KEY", raising=False)
    with EmbeddedServer(tmp_path, allow_anonymous_access=False) as server:
        shown = CliRunner().invoke(app, ["replay", f"{server.uri}#raw", "--dry-run"])
        assert shown.exit_code == 1
        assert "export TILED_API_KEY=" in shown.stderr
        monkeypatch.setenv("TILED_API_KEY", server.api_key)
        shown = CliRunner().invoke(app, ["replay", f"{server.uri}#raw", "--dry-run"])
        assert shown.exit_code == 1
        assert "no run of" in shown.output


def test_publishing_without_a_key_is_told_at_once(folders):
    shown = CliRunner().invoke(app, ["replay", str(folders["jsonl"])])
    assert shown.exit_code == 1
    assert f"export {API_KEY_VARIABLE}=" in shown.stderr
