"""`rankaae-stream demo`: the whole way through, as somebody sees it who just installed this."""

import ast
import json
import re
import subprocess
import sys
import urllib.request
from dataclasses import dataclass
from io import StringIO
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console
from tiled.queries import Key
from typer.testing import CliRunner
from waiting import PATIENCE

from rankaae_stream import resources
from rankaae_stream.commands.cli import app
from rankaae_stream.commands.demo import run_demo
from rankaae_stream.dashboard import PATH
from rankaae_stream.results.compose import PURPOSE
from rankaae_stream.results.compose_series import PURPOSE as SERIES
from rankaae_stream.server.tiled_server import EmbeddedServer
from rankaae_stream.simulate import series

pytestmark = pytest.mark.services

INDEX = json.loads((resources.folder("models") / "index.json").read_text())
ELEMENTS = sorted({sample.element for sample in series()})


def printed_program(text: str) -> str:
    """The two lines that the demo prints for reading the results."""
    lines = [line.strip() for line in text.splitlines() if line.startswith("    ")]
    first = next(i for i, line in enumerate(lines) if line.startswith("from "))
    return "\n".join(lines[first : first + 2])


def test_a_model_is_shipped_to_demonstrate():
    shipped = {key.split("-")[0].capitalize() for key in INDEX}
    assert set(ELEMENTS) <= shipped


@dataclass(frozen=True)
class Demonstration:
    """What a demo returned, printed and left behind."""

    rows: list[Any]
    text: str
    folder: Path


@pytest.fixture(scope="module")
def shown(tmp_path_factory):
    """One quick demo of all elements, for all tests that look at it."""
    folder = tmp_path_factory.mktemp("demo") / "demo"
    console = Console(record=True, width=200, file=StringIO())
    with pytest.MonkeyPatch.context() as patched:
        # Quick steps are for one element, iron if none is named.
        patched.setattr("rankaae_stream.commands.demo.series", lambda _: series())
        rows = run_demo(console, quick=True, directory=folder)
    return Demonstration(rows, console.export_text(), folder)


def of(element, rows):
    known = [row for row in rows if row.case.reference is not None]
    return [row for row in known if row.case.reference.element == element]


@pytest.mark.parametrize("element", ELEMENTS)
def test_measured_oxides_are_ranked_by_oxidation_state(shown, element):
    rows = of(element, shown.rows)
    assert [row.case.reference for row in rows] == list(series(element))
    oxides = [row for row in rows if row.case.reference.role == "standard"]
    assert len(oxides) >= 3
    for row in oxides:
        assert row.summaries[0]["refusal"] is None, row.summaries[0]["refusal"]
        assert row.summaries[0]["complete"]
        assert row.latency > 0
    states = {
        row.case.reference.name: row.summaries[0]["estimates"]["oxidation_state"]["value"]
        for row in oxides
    }
    ranked = sorted(oxides, key=lambda row: row.case.reference.oxidation_state)
    assert sorted(states, key=states.__getitem__) == [row.case.reference.name for row in ranked], (
        states
    )


@pytest.mark.parametrize("element", ELEMENTS)
def test_a_metal_foil_is_answered_with_a_warning_or_not_at_all(shown, element):
    rows = of(element, shown.rows)
    foils = [row.summaries[0] for row in rows if row.case.reference.role == "foil"]
    assert bool(foils) == (element == "Fe")
    for summary in foils:
        warnings = [f for f in summary["flags"].values() if f["severity"] == "warning"]
        assert warnings or summary["refusal"], "a metal is outside what oxides teach"


def test_the_table_names_every_sample_and_the_folder(shown):
    for row in shown.rows:
        assert row.case.sample in shown.text
        assert row.case.series or f"{row.latency * 1e3:.0f} ms" in shown.text
    assert len(re.findall(r"\d ms ", shown.text)) == len(series()), "of no scan of a series"
    assert "out_of_domain" in shown.text
    assert str(shown.folder) in shown.text


def test_the_two_printed_lines_read_the_results_afterwards(shown):
    done = subprocess.run(
        [sys.executable, "-c", printed_program(shown.text)],
        capture_output=True,
        text=True,
        timeout=PATIENCE,
        check=True,
    )
    assert ast.literal_eval(done.stdout) == shown.rows[-1].summaries[0]["estimates"]


def test_a_reduction_is_scanned_last_and_single_scans_follow_it_with_wide_intervals(shown):
    samples, scans = shown.rows[: len(series())], shown.rows[len(series()) :]
    assert not any(row.case.series for row in samples)
    assert {row.case.series for row in scans} == {"Fe2O3 under H2"}
    assert "A reduction, scan by scan" in shown.text
    states = [row.summaries[0]["estimates"]["oxidation_state"] for row in scans]
    for row, state in zip(scans, states, strict=True):
        assert state["low"] < row.case.truth < state["high"], row.case.what
    assert states[0]["value"] > 2.9
    assert states[-1]["value"] < 2.1
    glitches = [row.case.fault for row in scans if "glitch" in row.summaries[0]["flags"]]
    assert glitches == ["one point is a glitch"]


def test_a_reduction_is_a_series_in_tiled_that_is_nearer_to_the_known_valence(shown):
    with EmbeddedServer(shown.folder) as server:
        named = server.client("processed").search(Key("start.sample_name") == "Fe2O3 under H2")
        found = named.search(Key("start.purpose") == PURPOSE).values()
        starts = [run.metadata["start"] for run in found]
        (series_of_all,) = named.search(Key("start.purpose") == SERIES).values()
    scans = [row.case for row in shown.rows if row.case.series]
    told = series_of_all.metadata["stop"]["summary"]["spectra"]
    for case, row in zip(scans, told, strict=True):
        near = abs(row["valence"] - case.truth) < 0.05
        assert near == ("beside" not in case.fault), (case, row)
        assert f"{row['valence']:+.2f} ±{row['half_width']:.2f}" in shown.text
    assert len(starts) == len(shown.rows) - len(series())
    temperatures = [start["sample_temperature"] for start in starts]
    assert temperatures == sorted(temperatures)
    assert temperatures[0] < temperatures[-1]
    assert len({start["scan_group_uid"] for start in starts}) == 1


def test_scans_and_results_are_all_there_and_nothing_is_left_to_send(shown):
    with EmbeddedServer(shown.folder) as server:
        raw = server.client("raw")
        processed = server.client("processed").search(Key("start.purpose") == PURPOSE)
        assert len(raw) == len(processed) == len(shown.rows) > len(series())
        for run in processed.values():
            assert raw[run.start["original_run_uid"]].stop["exit_status"] == "success"
    assert list(shown.folder.glob("spool/*/sent/*.jsonl"))
    assert not list(shown.folder.glob("spool/*/*.jsonl"))


def test_the_page_is_shown_before_the_first_scan_and_the_server_stays(tmp_path, monkeypatch):
    shown, stayed = [], []

    def results(address: str) -> int:
        with urllib.request.urlopen(address, timeout=PATIENCE) as page:
            assert b"<!doctype html>" in page.read()
        api = address.replace("/custom/dashboard/", "/api/v1/search/processed")
        with urllib.request.urlopen(api, timeout=PATIENCE) as found:
            return len(json.load(found)["data"])

    monkeypatch.setenv("DISPLAY", ":0")
    monkeypatch.setattr("webbrowser.open", lambda address: shown.append(results(address)))
    monkeypatch.setattr("rankaae_stream.commands.demo.WATCHED_DWELL", 0.005)
    monkeypatch.setattr(
        "rankaae_stream.server.tiled_server.EmbeddedServer.wait",
        lambda server: stayed.append(results(said())),
    )
    console = Console(record=True, width=200, file=StringIO())

    def said() -> str:
        (address,) = {word for word in console.file.getvalue().split() if PATH in word}
        return address

    rows = run_demo(console, element="Mn", quick=True, directory=tmp_path / "d", dashboard=True)
    assert shown == [0]
    assert stayed == [len(rows) + 1], "the what-if curves of the model, too"


def test_where_the_server_cannot_start_the_demo_ends_with_status_1_and_the_reason(tmp_path):
    (tmp_path / "file").write_text("")
    result = CliRunner().invoke(app, ["demo", "--quick", "--directory", str(tmp_path / "file")])
    assert result.exit_code == 1
    assert result.stderr.startswith("error: ")
    assert "give a directory that you may write to" in " ".join(result.stderr.split())
    assert "Traceback" not in result.output


def test_an_element_without_samples_is_told_with_those_that_are_there(tmp_path):
    result = CliRunner().invoke(app, ["demo", "--element", "xx", "--directory", str(tmp_path)])
    assert result.exit_code == 1
    assert "no sample of Xx is shipped; there are Fe, V, Mn" in result.stderr
    assert list(tmp_path.iterdir()) == []
