"""`rankaae-stream demo --beamline`: every beamline's session, and what comes of each case."""

import re
from io import StringIO

import event_model
import numpy as np
import pytest
from rich.console import Console
from tiled.queries import Key
from typer.testing import CliRunner

from rankaae_stream.commands.cli import app
from rankaae_stream.commands.demo import run_demo
from rankaae_stream.loading import build_pipeline
from rankaae_stream.profile import reading_under
from rankaae_stream.simulate import SERIES, sessions
from rankaae_stream.simulate.documents import stamped
from rankaae_stream.simulate.sessions import SESSIONS, session

REFUSED = {
    "NaN": "bad_signal",
    "XES": "not_xas",
    "HERFD": "not_xas",
    "no scan": "not_xas",
}
FLAGGED = {
    r"(aborted|ended) at \+40 eV": "partial",
    "no foil": "no_foil",
    "saturates": "saturated",
}
SWEEPS = {"ten": 10, "three": 3, "one page": 3}
EVERY = ("falling", "+40 eV", "same again")
CHAMBERS = (*EVERY, "NaN", "no foil", "dilute")
HOLDS = {
    "iss": (*CHAMBERS, "ten", "3 s late", "it saturates", "XES", "HERFD", "no scan", "step scan"),
    "qas": (*CHAMBERS, "ten", "3 s late", "it saturates", "no scan"),
    "bmm": (*CHAMBERS, "no XAS"),
    "tes": (*EVERY, "ten", "no XAS"),
    "generic": (*CHAMBERS, "ten", "3 s late", "growing", "no XAS"),
}
"""What a session has to play, each where the beamline's format has it."""
STATES = {sample.name: sample.oxidation_state for sample in SERIES}


def fitting(table, what, otherwise=None):
    return next((value for words, value in table.items() if re.search(words, what)), otherwise)


@pytest.mark.slow
@pytest.mark.parametrize("name", SESSIONS)
def test_every_case_of_a_session_ends_as_it_says(analysis, tmp_path, name):
    """Documents, pipeline and the final reports; a late file comes three seconds later."""
    results = []
    pipeline = build_pipeline(reading_under(name, tmp_path), results.append, analysis)
    played = []
    for number, case in enumerate(session(name, tmp_path)):
        results.clear()
        now = 1000.0 * number
        start = None
        for kind, doc in case.documents:
            event_model.schema_validators[event_model.DocumentNames[kind]].validate(doc)
            start = start or doc
            pipeline.feed(kind, stamped(doc, 1.8e9 + now), now)
        if case.late is not None:
            pipeline.tick(now + 2.9)
            assert not any(r.report.complete for r in results)
            case.late[0].rename(case.late[1])
            pipeline.tick(now + 3.0)
            pipeline.tick(now + 3.2)
        assert pipeline.open_runs == 0, case.what
        final = [r for r in results if r.report.complete]
        played.append(case.what)
        if case.sample == "stage":
            assert final == []
            continue
        wanted = [r for r in final if r.report.channel == case.channel or not case.channel]
        primary = [r.report for r in wanted if case.channel or r.primary]
        assert primary
        assert [r.sweep for r in primary] == list(range(fitting(SWEEPS, case.what, len(primary))))
        refusal = fitting(REFUSED, case.what)
        for report in primary:
            assert (report.refusal and report.refusal.name) == refusal, (case, report.refusal)
            about = fitting(FLAGGED, case.what)
            assert about in {None, *(flag.name for flag in report.flags)}
            if refusal is None and about != "saturated":
                state = report.estimate("oxidation_state")
                assert state.low - 0.1 < STATES[case.sample] < state.high + 0.1, case
    shift = " | ".join(played)
    assert [words for words in HOLDS[name] if words not in shift] == []


@pytest.fixture(scope="module")
def shown(tmp_path_factory):
    """ISS's session with its last cases only, through RunEngine, stream and Tiled."""
    last = 7
    patch = pytest.MonkeyPatch()
    whole = sessions.SESSIONS["iss"]
    patch.setitem(sessions.SESSIONS, "iss", lambda folder: list(whole(folder))[-last:])
    folder = tmp_path_factory.mktemp("shown") / "demo"
    console = Console(record=True, width=80, file=StringIO())
    found = {}

    def look(_console, server, _folder, *, keep):
        assert keep
        found["raw"], found["processed"] = server.client("raw"), server.client("processed")
        found["served"] = {
            key: (run.stop["exit_status"], list(run)) for key, run in found["raw"].items()
        }
        uid = next(key for key, (_, streams) in found["served"].items() if "xs_stream" in streams)
        run = found["raw"][uid]
        found["apb"] = run["apb_stream"]["apb_stream"].read()
        found["results"] = {
            uid: len(found["processed"].search(Key("start.original_run_uid") == uid))
            for uid in found["served"]
        }

    patch.setattr("rankaae_stream.commands.demo.hand_over", look)
    try:
        played = run_demo(console, "iss", directory=folder, keep=True, pace=0.0)
    finally:
        patch.undo()
    assert len(played) == last
    return played, console.export_text(), found


@pytest.mark.services
def test_the_demo_says_of_each_run_what_came_of_it(shown):
    played, text, _ = shown
    words = " ".join(text.split())
    for item in played:
        assert item.summaries
        assert item.latency > 0
    for said in ("a file 3 s", "HERFD", "refused, not_xas", "saturated", "dilute"):
        assert said in words
    by_case = {item.case.what: item for item in played}
    (state,) = [s["estimates"]["oxidation_state"] for s in by_case["step scan"].shown()]
    assert f"{state['value']:+.2f}" in words
    assert by_case["a file 3 s late"].latency > 3.0
    dilute = by_case["dilute, by Xspress3 frames"].shown()
    assert [s["channel"] for s in dilute] == ["fluorescence"]


@pytest.mark.services
def test_raw_runs_and_results_of_the_demo_lie_side_by_side_in_tiled(shown):
    played, _, found = shown
    assert found["served"].keys() == {item.uid for item in played}
    assert {status for status, _ in found["served"].values()} == {"success"}
    assert found["results"] == {item.uid: len(item.summaries) for item in played}
    assert found["apb"].ndim == 3
    assert np.isfinite(found["apb"]).all()


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["--beamline", "esrf"], "there are sim, iss, qas, bmm, tes, generic"),
        (["--beamline", "iss", "--quick"], "leave them out beside --beamline"),
        (["--beamline", "iss", "--element", "Fe"], "leave them out beside --beamline"),
    ],
)
def test_what_cannot_be_played_is_told(tmp_path, arguments, says):
    result = CliRunner().invoke(app, ["demo", *arguments, "--directory", str(tmp_path)])
    assert result.exit_code == 1
    assert says in " ".join(result.stderr.split())
    assert list(tmp_path.iterdir()) == []
