"""`rankaae-stream spool`: what waits, what was not taken, and sending it again."""

import os
from io import StringIO
from pathlib import Path

import pytest
from rich.console import Console
from tiled.queries import Key
from typer.testing import CliRunner
from waiting import wait_until

from rankaae_stream.callback import DescriptorStream
from rankaae_stream.commands.cli import app
from rankaae_stream.commands.spool import run_list, run_send
from rankaae_stream.profile import load_profile
from rankaae_stream.results.publisher import tiled_folder
from rankaae_stream.results.spool import Spool, entries

NOBODY = "http://127.0.0.1:9"


@pytest.fixture
def series(tmp_path, documents, hematite, monkeypatch):
    """Three results and their model's what-if curves wait: nobody listens where they should go."""
    monkeypatch.setenv("RANKAAE_STREAM_SPOOL", str(tmp_path))
    monkeypatch.setenv("RANKAAE_STREAM_TILED__URI", NOBODY)
    monkeypatch.setenv("RANKAAE_STREAM_TILED_API_KEY", "0123456789abcdef")
    with DescriptorStream("sim") as stream:
        for number in range(3):
            scan = documents(
                *hematite, uid=f"{tmp_path.name}-{number}", sample_name=f"ore {number}"
            )
            for item in scan:
                stream(*item)
        wait_until(lambda: not stream.status().waiting, "the scan is read")
    folder = tiled_folder(load_profile("sim"))
    assert [entry.state for entry in entries(folder)] == ["waiting"] * 4
    return folder


@pytest.fixture
def reachable(series, server, monkeypatch):
    """The same spool, of a server that answers."""
    monkeypatch.setenv("RANKAAE_STREAM_TILED__URI", server.uri)
    monkeypatch.setenv("RANKAAE_STREAM_TILED_API_KEY", server.api_key)
    folder = tiled_folder(load_profile("sim"))
    series.rename(folder)
    return folder


def listed(**settings) -> str:
    console = Console(file=StringIO(), width=200)
    run_list(console, **settings)
    return console.file.getvalue()


def raw_uids(server, prefix: str) -> list[str]:
    """Raw runs that Tiled holds results of, one name a result."""
    results = server.client("processed").search(Key("stop.summary.complete") == True)  # noqa: E712
    found = [run.start["original_run_uid"] for run in results.values()]
    return sorted(uid for uid in found if uid.startswith(prefix))


def test_what_waits_is_listed_with_its_age_its_element_and_its_sample(series):
    spool = Spool(series)
    _, _, second, third = spool.waiting()
    spool.rejected(second, "422: [no] such column")
    spool.sent(third)
    spool.close()
    written = 1000.0
    for path in series.rglob("*.jsonl"):
        os.utime(path, (written, written))
    text = listed(now=written + 7200.0)
    rows = [line.split() for line in text.splitlines() if " Fe " in line]
    assert sorted((row[0], *row[1:3], row[3], " ".join(row[4:6])) for row in rows) == [
        ("rejected", "2", "h", "Fe", "ore 1"),
        ("sent", "2", "h", "Fe", "ore 2"),
        ("waiting", "2", "h", "Fe", "ore 0"),
        ("waiting", "2", "h", "Fe", "what-if curves"),
    ]
    assert "422: [no] such column" in text
    assert "2 waiting, 1 rejected, 1 sent" in text
    assert "rankaae-stream spool send" in text


def test_listing_needs_no_key_and_disturbs_nobody(series, monkeypatch):
    monkeypatch.delenv("RANKAAE_STREAM_TILED_API_KEY")
    owner = Spool(series)
    before = sorted(series.rglob("*"))
    assert "4 waiting" in listed()
    assert sorted(series.rglob("*")) == before
    owner.close()


def test_a_spool_that_was_never_used_is_told(tmp_path, monkeypatch):
    monkeypatch.setenv("RANKAAE_STREAM_SPOOL", str(tmp_path / "none"))
    assert "nothing was ever spooled" in listed()
    assert not (tmp_path / "none").exists()


def test_sending_brings_what_waits_and_what_was_rejected_once_and_no_more(
    reachable, server, tmp_path
):
    spool = Spool(reachable)
    spool.rejected(spool.waiting()[0], "a bug of yesterday's version")
    spool.close()
    done = CliRunner().invoke(app, ["spool", "send", "--profile", "sim"])
    assert done.exit_code == 0, done.output
    assert "4 of 4 results are in 'processed'" in done.output
    wanted = [f"{tmp_path.name}-{number}" for number in range(3)]
    assert raw_uids(server, tmp_path.name) == wanted
    assert [entry.state for entry in entries(reachable)] == ["sent"] * 4
    # And again: nothing is left to send, and nothing is there twice.
    for path in (reachable / "sent").glob("*.jsonl"):
        path.rename(reachable / path.name)
    assert CliRunner().invoke(app, ["spool", "send"]).exit_code == 0
    assert raw_uids(server, tmp_path.name) == wanted


def test_what_cannot_be_sent_is_told_with_the_reason_and_stays(series):
    console = Console(file=StringIO(), width=300)
    assert not run_send(console, patience=0.1)
    text = console.file.getvalue()
    assert "0 of 4 results are in" in text
    assert f"4 still wait: Tiled at {NOBODY} does not answer" in text
    assert [entry.state for entry in entries(series)] == ["waiting"] * 4


def test_a_damaged_result_is_put_aside_again_and_ends_with_status_1(reachable):
    (reachable / "damaged.jsonl").write_text("{")
    done = CliRunner().invoke(app, ["spool", "send"])
    assert done.exit_code == 1
    assert "4 of 5 results" in done.output
    (aside,) = (entry for entry in entries(reachable) if entry.state == "rejected")
    assert "the file is damaged" in aside.reason
    assert "the file is damaged" in listed()


def test_a_spool_that_a_session_has_is_left_to_it(reachable):
    session = Spool(Path(reachable))
    done = CliRunner().invoke(app, ["spool", "send"])
    session.close()
    assert done.exit_code == 1
    assert "a running session or replay has the spool" in " ".join(done.output.split())
    assert [entry.state for entry in entries(reachable)] == ["waiting"] * 4
