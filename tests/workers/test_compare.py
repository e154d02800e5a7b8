"""`rankaae-stream replay --compare`: what is published, or another model's answers, beside ours."""

import csv
import json
import shutil
from types import SimpleNamespace

import pytest
import suitcase.jsonl
from typer.testing import CliRunner

from rankaae_stream import replay as module
from rankaae_stream.commands.cli import app
from rankaae_stream.loading import load_analysis
from rankaae_stream.model.folder import newest_models
from rankaae_stream.past.compare import Place, Said, Value, choose, compare, said_in, said_of
from rankaae_stream.profile import API_KEY_VARIABLE, load_profile
from rankaae_stream.replay import replay
from rankaae_stream.simulate import SERIES
from rankaae_stream.simulate.documents import Beam
from rankaae_stream.simulate.steps import ophyd_step

PLACE = Place("run", "transmission", 0)


def said(value=3.0, low=2.8, high=3.2, **more):
    return Said({"oxidation_state": Value(value, low, high)}, **more)


@pytest.mark.parametrize(
    ("before", "after", "verdict"),
    [
        (said(), said(), "identical"),
        (said(), said(uid="another", model="another"), "identical"),
        (said(), said(flags=frozenset({"noisy"})), "within"),
        (said(), said(3.1), "within"),
        (said(), said(high=3.3), "within"),
        (said(), said(3.21), "beyond"),
        (said(), Said(refusal="coverage"), "one_refused"),
        (Said(refusal="noise"), Said(refusal="coverage"), "one_refused"),
        (Said(refusal="coverage"), Said(refusal="coverage"), "identical"),
        (None, said(), "missing"),
        (said(), None, "missing"),
    ],
)
def test_two_answers_are_alike_or_not(before, after, verdict):
    assert compare(PLACE, before, after).verdict == verdict


def test_of_several_published_answers_that_of_the_same_uid_counts_else_model_else_the_last():
    ours = said(uid="u", model_id="m")
    same, model, last = said(uid="u"), said(uid="v", model_id="m"), said(uid="w")
    assert choose([same, model, last], ours) is same
    assert choose([model, last], ours) is model
    assert choose([last, said(uid="x")], ours).uid == "x"
    assert choose([], ours) is None


@pytest.fixture
def invoked(monkeypatch, server, tmp_path):
    monkeypatch.setenv("RANKAAE_STREAM_TILED__URI", server.uri)
    monkeypatch.setenv(API_KEY_VARIABLE, server.api_key)
    monkeypatch.setenv("RANKAAE_STREAM_SPOOL", str(tmp_path / "spool"))

    def run(*arguments):
        shown = CliRunner().invoke(app, ["replay", *map(str, arguments)])
        return shown, " ".join(shown.output.split())

    return run


@pytest.mark.slow
def test_what_is_published_is_compared_run_by_run_and_nothing_is_published(
    invoked, server, hourly, tmp_path
):
    folder, table = tmp_path / "runs", tmp_path / "table.csv"
    folder.mkdir()
    for hour, foil in enumerate((False, True, False)):
        run = hourly(f"compared-{hour}", hour, foil=foil, sample_name="=x")
        suitcase.jsonl.export(run, folder)
    assert invoked(folder)[0].exit_code == 0
    results = server.client("processed")
    count = len(results)
    _, told = invoked(folder, "--compare", "--table", table)
    assert "3 spectra compared: 3 identical; nothing was published." in told
    assert len(results) == count
    rows = list(csv.DictReader(table.read_text().splitlines()))
    assert {row["verdict"] for row in rows} == {"identical"}
    assert {row["published"] == row["replayed"] for row in rows} == {True}
    assert {row["difference"] for row in rows} == {"0.0"}
    assert len({row["raw_uid"] for row in rows}) == 3


@pytest.mark.slow
def test_each_quick_sweep_is_compared_with_its_row(tmp_path):
    beam = Beam(next(sample for sample in SERIES if sample.name == "Fe2O3"), noise=1e-3)
    quick = list(ophyd_step(beam, name="rows", repeats=20, back_and_forth=True, element="Fe"))
    began = quick[0][1]["time"]
    run = [(name, {**doc, "time": began + 0.01 * (doc["time"] - began)}) for name, doc in quick]
    told = []
    profile = load_profile("generic", spool=tmp_path)
    done = replay([run], profile, sinks=[lambda *pair: told.append(pair)], to_tiled=False)
    ours = dict(said_of(one, profile.analysis_hash()) for one in done.outcomes[0].reports)
    stored = {}
    for at, (name, doc) in enumerate(told):
        if name == "start" and doc.get("sweeps") == 20:
            (end,) = [
                i
                for i, (_, stop) in enumerate(told)
                if stop.get("run_start") == doc["uid"] and told[i][0] == "stop"
            ]
            documents = json.loads(json.dumps(told[at : end + 1]))
            metadata = {"start": documents[0][1], "stop": documents[-1][1]}
            stored |= said_in(SimpleNamespace(metadata=metadata, documents=lambda d=documents: d))
    assert len(stored) == len(ours) > 20
    assert {compare(place, stored[place], ours[place]).verdict for place in ours} == {"identical"}


def test_a_model_is_compared_with_that_of_the_profile(invoked, hourly, tmp_path, monkeypatch):
    monkeypatch.setattr(module, "load_analysis", load_analysis)
    folder, other = tmp_path / "runs", tmp_path / "model"
    folder.mkdir()
    for hour in range(2):
        suitcase.jsonl.export(hourly(f"by-model-{hour}", hour), folder)
    shipped, _ = newest_models()["fe-k"]
    shutil.copytree(shipped, other)
    card = json.loads((other / "card.json").read_text())
    card["theory_shift"]["value"] += 0.3
    (other / "card.json").write_text(json.dumps(card))
    page = tmp_path / "page.html"
    shown, told = invoked(folder, "--compare-model", other, "--page", page)
    assert shown.exit_code == 0, shown.output
    assert "2 spectra compared: 2 different within the interval; nothing was published." in told
    assert "published" not in told.split("2 spectra")[0]
    text = page.read_text(encoding="utf-8")
    assert "Profile against model" in text
    assert "<b>2</b> different within the interval" in text
    assert text.count('id="row-') == 2
    assert not list(tmp_path.glob("spool/*"))


def test_a_table_without_a_comparison_and_results_that_cannot_be_read_are_told(
    invoked, hourly, tmp_path, monkeypatch
):
    suitcase.jsonl.export(hourly("told", 0), tmp_path)
    shown, _ = invoked(tmp_path, "--table", tmp_path / "a.csv")
    assert "--table is of a comparison; add --compare" in shown.stderr
    shown, _ = invoked(tmp_path, "--page", tmp_path / "a.html")
    assert "--page is of a comparison; add --compare" in shown.stderr
    shown, _ = invoked(tmp_path, "--compare", "--table", tmp_path / "none" / "a.csv")
    assert "there is no folder for" in shown.stderr
    monkeypatch.setenv("RANKAAE_STREAM_TILED__URI", "http://127.0.0.1:1")
    shown, _ = invoked(tmp_path, "--compare")
    assert shown.exit_code == 1
    assert "cannot be read: Tiled at http://127.0.0.1:1 does not answer" in " ".join(
        shown.stderr.split()
    )
