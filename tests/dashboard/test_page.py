"""The page in a real browser: what somebody at the beamline sees, and what nobody may do to it."""

import csv
import json
import os
import re
import shutil
import signal
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from page import Page, Session
from tiled.queries import Key
from waiting import PATIENCE

from rankaae_stream.callback import DescriptorStream
from rankaae_stream.files.columns import text_tables
from rankaae_stream.model.folder import checked_files, newest_models
from rankaae_stream.profile import load_profile
from rankaae_stream.replay import replay
from rankaae_stream.results import late
from rankaae_stream.results.compose_series import PURPOSE as SERIES
from rankaae_stream.results.sinks import Postponed
from rankaae_stream.results.tiled_sink import TiledSink
from rankaae_stream.results.what_if import what_if_uid
from rankaae_stream.server.tiled_server import EmbeddedServer
from rankaae_stream.show.intervals import CAUSES, causes

pytestmark = pytest.mark.services

KEY = "0123456789abcdef" * 4
MARKUP = '<img src="x" onerror="window.pwned = true"><b id="injected">bold</b>'


@pytest.fixture(scope="module")
def tiled(tmp_path_factory) -> Iterator[EmbeddedServer]:
    """A server of its own, for it is killed here."""
    with EmbeddedServer(tmp_path_factory.mktemp("page"), api_key=KEY) as running:
        yield running


@pytest.fixture(scope="module")
def session(tiled, tmp_path_factory, documents, hematite) -> Iterator[Session]:
    now = [0.0]
    stream = DescriptorStream(
        "sim",
        tiled={"uri": tiled.uri},
        tiled_api_key=KEY,
        spool=tmp_path_factory.mktemp("spool"),
        run={"copy": ["temperature"]},
        series={"stop_at": 0.5, "against": ["temperature"]},
        clock=lambda: now[0],
    )
    with stream:
        yield Session(stream, now, documents, hematite)


@pytest.fixture(scope="module")
def page(tiled, browser, tmp_path_factory, screenshots) -> Iterator[Page]:
    folder = tmp_path_factory.mktemp("browser")
    with browser(folder) as driver:
        yield Page(driver, tiled.uri, screenshots)


@pytest.fixture(scope="module")
def downloads(page) -> Path:
    return page.folder.parent / "browser0"


@pytest.fixture(scope="module")
def foil(measured) -> tuple[Any, ...]:
    """A metal foil as a sample: no oxide."""
    energy, mu = measured("Fe/Fe_metal_rt_02.xdi")
    keep = (energy > 7112 - 160) & (energy < 7112 + 200)
    i0 = np.full(keep.sum(), 1e6)
    it = i0 * np.exp(-mu[keep])
    return energy[keep], i0, it, it * np.exp(-mu[keep])


# The tests go on from one another, as a day at a beamline does.


def test_before_the_first_result_it_says_what_to_do(page):
    page.open()
    page.wait(lambda: page.shown("empty"), "the empty page")
    assert "DescriptorStream" in page.text("empty")
    assert "rankaae-stream demo --dashboard" in page.text("empty")
    page.wait_for("connection", "Live")
    page.picture("empty")


def test_a_scan_grows_before_ones_eyes(page, session, analysis):
    scan = session.begin("Fe2O3")
    session.feed(scan, until=7112 + 5)
    page.wait_for("refusal", "an answer needs -2 to +8 eV at least")
    assert page.text("sample") == "Fe2O3"
    assert page.text("refusal").startswith("No answer yet: ")
    assert "The scan is growing" in page.text("state")
    for end in (12, 16, 20, 26, 35):
        before = page.text("about")
        session.feed(scan, until=7112 + end)
        page.wait(lambda before=before: page.text("about") != before, "more points")
    page.wait_for("state", "Provisional")
    page.wait(lambda: page.ink("spectrum-plot") > 1000, "the spectrum is drawn")
    page.wait_for("spectrum-title", "as far as seen, not normalised")
    assert page.ink("spectrum-plot", "--model") == 0, "no reconstruction of a part"
    assert page.slider_off
    assert not page.shown("residual-plot")
    page.wait(lambda: page.ink("narrowing-plot", "--moved") > 200, "the interval of the part")
    begin, end = halves(page)
    assert end < begin
    shares = named_shares(page)
    assert shares == expected_shares(session.stream.last)
    assert page.text("advice").rstrip(".").lower() == session.stream.last.advice.lower()
    page.picture("part")
    session.feed(scan, until=7112 + 120)
    page.wait_for("spectrum-title", "the model’s reconstruction")
    assert "Provisional" in page.text("state")
    before = page.text("about")
    page.wait(lambda: page.ink("spectrum-plot", "--model") > 100, "the reconstruction is drawn")
    page.picture("growing")
    session.feed(scan, until=7112 + 160)
    page.wait(lambda: page.text("about") != before, "more points")
    assert "Provisional" in page.text("state")
    session.feed(scan)
    page.wait_for("state", "Final")
    estimate = session.stream.last.estimate("oxidation_state")
    assert page.text("hero-number") == f"+{estimate.value:.2f}"
    assert page.text("hero-interval") == (
        f"90 % interval: +{estimate.low:.2f} to +{estimate.high:.2f}"
    )
    page.wait(lambda: page.ink("narrowing-plot", "--ink") > 50, "the final answer is marked")
    page.run("document.getElementById('narrowing-title').scrollIntoView()")
    page.picture("narrowed")
    page.run("scrollTo(0, 0)")
    assert halves(page)[0] == begin, "from the stored rows as from those that came"
    assert halves(page)[1] < begin
    assert named_shares(page) == expected_shares(session.stream.last)
    outputs = analysis.models["Fe K"].card.outputs
    hints = [one.name for one in outputs if one.evidence == "simulation"]
    marked = page.run("return [...document.querySelectorAll('#others dt')].map(d => d.innerText)")
    assert sum("hint" in one for one in marked) == len(hints)
    assert ("learned from simulations" in page.text("hint")) == bool(hints)
    page.wait(lambda: page.ink("residual-plot") > 1000, "the residual is drawn")
    page.wait(lambda: page.ink("trend-plot") > 1000, "the series is drawn")
    assert "reconstruction" in page.run(
        "return document.getElementById('spectrum-plot').getAttribute('aria-label')"
    )
    page.picture("final")


def halves(page: Page) -> tuple[float, float]:
    """The first and the newest half-width of the interval, as the page says them."""
    found = page.wait(lambda: re.findall(r"±([\d.]+) at", page.text("narrowing-reading")), "halves")
    return float(found[0]), float(found[1])


def named_shares(page: Page) -> list[str]:
    return page.run(
        "return [...document.querySelectorAll('#budget-causes li')].map(one => one.textContent)"
    )


def expected_shares(report: Any) -> list[str]:
    found = causes(report.estimate("oxidation_state"))
    return [f"{CAUSES[name]} {share:.0%}".replace("%", " %") for name, share in found]


def test_the_slider_moves_the_curve_as_the_stored_curves_say(page, session, tiled, analysis):
    page.wait(lambda: not page.slider_off, "the slider")
    page.wait(lambda: page.ink("spectrum-plot", "--model") > 100, "the reconstruction is drawn")
    assert page.ink("spectrum-plot", "--moved") == 0
    page.run("document.getElementById('what-if-value').focus()")
    from selenium.webdriver.common.keys import Keys

    page.keys(Keys.HOME)
    page.wait_for("what-if-hint", "edge steps away")
    moved = float(page.text("what-if-hint").split(" edge steps")[0].split()[-1])
    page.wait(lambda: page.ink("spectrum-plot", "--moved") > 100, "the moved curve is drawn")
    page.picture("what-if")

    stored = tiled.client("processed")[what_if_uid(analysis.models["Fe K"].card.id)]["primary"]
    values = stored["oxidation_state_values"].read()[0]
    curves = stored["oxidation_state_curves"].read()[0]
    report = session.stream.last
    held = report.estimate("oxidation_state").value
    here = np.array([np.interp(held, values, column) for column in curves.T])
    drawn = np.isfinite(report.curves.reconstruction)
    assert moved == pytest.approx(np.abs(curves[0] - here)[drawn].max(), abs=6e-4)
    assert page.text("what-if-output") == f"+{values[0]:.2f} e"
    page.click("what-if-reset")
    page.wait(lambda: page.text("what-if-output") == f"+{held:.2f} e", "the slider rests")
    page.wait(lambda: page.ink("spectrum-plot", "--moved") == 0, "the curve is back")


def test_a_slider_whose_curves_are_still_being_written_comes_when_they_are_there(
    page, tiled, analysis
):
    results = tiled.client("processed")
    start = dict(results[what_if_uid(analysis.models["Fe K"].card.id)].metadata["start"])
    results.create_container("begun", metadata={"start": start})
    page.open()
    assert page.slider_off, "from the first"
    page.wait(lambda: page.ink("spectrum-plot") > 1000, "the spectrum is drawn")
    for _ in range(10):
        assert page.slider_off, "nothing to move the curve by"
        time.sleep(0.1)
    results.delete_contents(["begun"], external_only=False)
    page.wait(lambda: not page.slider_off, "the slider")


def test_a_refused_scan_says_why_and_the_last_answer_stays_in_the_series(page, session):
    energy = session.columns[0]
    short = tuple(column[energy < 7112 + 5] for column in session.columns)
    report = session.scan("too short", short)
    assert report.refusal.name == "coverage"
    page.wait_for("state", "Refused")
    assert page.text("sample") == "too short"
    assert page.text("refusal") == f"Refused: coverage. {report.refusal.message}"
    assert not page.shown("hero")
    assert not page.shown("budget")
    assert not page.shown("narrowing-plot")
    rows = page.rows()
    assert ["too short" in row["text"] for row in rows] == [True, False]
    assert "refused: coverage" in rows[0]["text"]
    page.picture("refused")


def test_what_is_out_of_domain_is_greyed_and_never_hidden(page, session, foil):
    report = session.scan("Fe foil", foil)
    assert [flag.name for flag in report.flags if flag.severity == "warning"] == ["out_of_domain"]
    page.wait_for("state", "Out of domain: do not use")
    assert page.text("hero-number") == f"+{report.estimate('oxidation_state').value:.2f}"
    assert "its numbers should not be used" in page.text("flags")
    (row,) = [row for row in page.rows() if "Fe foil" in row["text"]]
    assert row["outside"]
    grey = page.run(
        "return ['hero-number', 'sample'].map(id => "
        "getComputedStyle(document.getElementById(id)).color)"
    )
    assert grey[0] != grey[1]
    page.picture("out-of-domain")


def test_markup_in_a_sample_name_is_shown_and_never_executed(page, session):
    session.scan(MARKUP)
    page.wait(lambda: page.text("sample") == MARKUP, "the name as it is")
    assert MARKUP in page.rows()[0]["text"]
    assert page.run("return window.pwned ?? null") is None
    assert page.run("return document.querySelectorAll('#injected, main img').length") == 0
    page.picture("markup")


def test_a_series_is_shown_against_a_condition_of_the_start_document(page):
    page.set("trend-x", "temperature")
    label = "return document.getElementById('trend-plot').getAttribute('aria-label')"
    page.wait(lambda: "against temperature" in page.run(label), "the series against temperature")
    assert "of 3 results" in page.run(label)
    page.set("trend-y", "coordination_number")
    page.wait(lambda: page.run(label).startswith("Coordination number"), "another descriptor")
    page.picture("against-temperature")
    page.set("trend-x", "time")
    page.set("trend-y", "oxidation_state")


def test_the_table_is_filtered_and_sorted(page):
    page.set("filter-state", "refused")
    page.wait(lambda: len(page.rows()) == 1, "refused ones only")
    page.set("filter-state", "all")
    page.set("filter-text", "transmission fe2o3")
    page.wait(lambda: in_order(page.rows(), ["Fe2O3"]), "those with words")
    page.set("filter-text", "nothing has this")
    page.wait(lambda: page.rows() == [], "none")
    assert "No result matches the filter" in page.text("rows")
    page.set("filter-text", "")
    sort = "document.querySelector('th[data-key=\"sample\"] button').click()"
    page.run(sort)
    ordered = [MARKUP, "Fe foil", "Fe2O3", "too short"]
    page.wait(lambda: in_order(page.rows(), ordered), "by the sample's name")
    page.run(sort)
    page.wait(lambda: in_order(page.rows(), ordered[::-1]), "the other way round")
    page.run("document.querySelector('th[data-key=\"time\"] button').click()")


def in_order(rows: list[dict[str, Any]], names: list[str]) -> bool:
    return len(rows) == len(names) and all(
        name in row["text"] for row, name in zip(rows, names, strict=True)
    )


def test_the_keyboard_reaches_everything_and_walks_through_the_table(page):
    from selenium.webdriver.common.keys import Keys

    page.wait(lambda: not page.slider_off, "the slider, which a key passes over while it is off")
    page.run("document.querySelector('.skip').focus()")
    reached = []
    for _ in range(40):
        reached.append(
            page.run(
                "const e = document.activeElement; return e.id || e.className || "
                "(e.dataset.uid ? 'row' : `head ${e.closest('th')?.dataset.key}`)"
            )
        )
        if page.run("return document.activeElement.matches('#rows tr')"):
            break
        page.keys(Keys.TAB)
    wanted = [
        "skip", "model", "channel", "wall", "xdi", "what-if-name", "what-if-value",
        "what-if-reset", "trend-y", "trend-x", "filter-text", "filter-state", "csv",
    ]  # fmt: skip
    assert [name for name in reached if name in wanted] == wanted
    assert page.run("return document.activeElement.matches(':focus-visible')")
    first, second, third, last = [row["uid"] for row in page.rows()]
    focused = "return document.activeElement.dataset.uid"
    for key, uid in [
        (Keys.ARROW_DOWN, second),
        (Keys.ARROW_DOWN, third),
        (Keys.ARROW_UP, second),
        (Keys.END, last),
        (Keys.HOME, first),
    ]:
        page.keys(key)
        page.wait(lambda uid=uid: page.run(focused) == uid, f"the row after {key!r}")
        page.wait(
            lambda uid=uid: [row["uid"] for row in page.rows() if row["selected"]] == [uid],
            "the row is chosen",
        )
    page.picture("keyboard")


def test_the_table_and_a_spectrum_are_saved_as_files(page, session, tiled, downloads):
    page.show("Fe2O3")
    page.wait(lambda: not page.run("return document.getElementById('xdi').disabled"), "a spectrum")
    page.click("xdi")
    page.click("csv")
    (xdi,) = page.wait(lambda: list(downloads.glob("Fe2O3_*.xdi")), "the XDI file")
    (table,) = page.wait(lambda: list(downloads.glob("*.csv")), "the CSV file")
    (saved,) = text_tables(xdi.read_bytes())
    columns = dict(zip(saved.names, saved.rows.T, strict=True))
    results = tiled.client("processed")
    (run,) = results.search(Key("start.sample_name") == "Fe2O3").values()
    flat, reconstruction, residual = run["primary"]["curves"].read()[-1]
    grid = run["primary"].metadata["configuration"]["rankaae_stream"]["data"]["energy_grid"]
    assert xdi.read_text().startswith("# XDI/1.0 ")
    assert saved.facts["element.symbol"] == "Fe"
    assert saved.facts["element.edge"] == "K"
    assert saved.facts["sample.name"] == "Fe2O3"
    assert saved.facts["rankaae.raw_run"] == run.start["original_run_uid"]
    np.testing.assert_allclose(columns["energy"], grid, atol=1e-4)
    np.testing.assert_allclose(columns["norm"], flat, atol=1e-6)
    np.testing.assert_allclose(columns["reconstruction"], reconstruction, atol=1e-6)
    np.testing.assert_allclose(columns["residual"], residual, atol=1e-6)

    with table.open(newline="") as file:
        rows = {row["sample"]: row for row in csv.DictReader(file)}
    assert set(rows) == {MARKUP, "Fe foil", "Fe2O3", "too short"}
    said = run.stop["summary"]["estimates"]["oxidation_state"]
    assert float(rows["Fe2O3"]["oxidation_state (e)"]) == said["value"]
    assert float(rows["Fe2O3"]["oxidation_state_high"]) == said["high"]
    assert rows["too short"]["refusal"] == "coverage"
    assert rows["too short"]["oxidation_state (e)"] == ""
    assert "out_of_domain" in rows["Fe foil"]["flags"]


def test_a_formula_in_a_sample_name_is_text_in_the_saved_table(page, session, downloads):
    session.scan('=HYPERLINK("http://evil.example","x")')
    page.wait(lambda: len(page.rows()) == 5, "the result is listed")
    for old in downloads.glob("*.csv"):
        old.unlink()
    page.click("csv")
    (table,) = page.wait(lambda: list(downloads.glob("*.csv")), "the CSV file")
    with table.open(newline="") as file:
        samples = [row["sample"] for row in csv.DictReader(file)]
    assert samples[0] == '\'=HYPERLINK("http://evil.example","x")'


def test_a_chosen_result_stays_until_the_newest_is_asked_for(page, session):
    page.show("Fe2O3")
    scan = session.begin("next")
    session.feed(scan, until=7112 + 20)
    page.wait_for("next", "Now scanning next")
    assert "no news" not in page.text("next")
    # The clock runs ahead again and again, for every answer of the server puts it right.
    page.run(
        "const now = Date.now; let ahead = 0;"
        "window.later = setInterval(() => (ahead += 90_000), 700);"
        "Date.now = () => now() + ahead;"
        "window.backToNow = () => { clearInterval(window.later); Date.now = now; }"
    )
    page.wait_for("next", "no news for")  # though nothing came that the page could draw
    page.run("window.backToNow()")
    session.feed(scan)
    page.wait(lambda: "next" in page.rows()[0]["text"], "the new result is listed")
    assert page.text("sample") == "Fe2O3"
    page.click("follow")
    page.wait(lambda: page.text("sample") == "next", "the newest")


def test_the_answers_of_two_models_are_both_kept_and_one_is_chosen(
    page, session, tiled, tmp_path, monkeypatch
):
    scans = [list(session.begin(f"by two {number}")) for number in range(2)]
    for scan in scans:
        session.feed(scan)
    live = session.stream.last
    shipped, _ = newest_models()["fe-k"]
    shutil.copytree(shipped, tmp_path / "model")
    card = json.loads((tmp_path / "model" / "card.json").read_text())
    card["version"], card["theory_shift"]["value"] = "2001.1", card["theory_shift"]["value"] + 2.0
    (tmp_path / "model" / "card.json").write_text(json.dumps(card))
    other, _ = checked_files(tmp_path / "model", None)
    models = {"Fe K": {"path": str(tmp_path / "model"), "id": other.id}}
    profile = load_profile(
        "sim",
        tiled={"uri": tiled.uri},
        tiled_api_key=KEY,
        spool=tmp_path / "spool",
        models=models,
        series={"publish": False},
    )
    assert not replay(scans, profile, patience=PATIENCE).failed
    results = tiled.client("processed").search(Key("start.sample_name") == "by two 1").values()
    said = {one.start["model"]["id"]: one.stop["summary"]["estimates"] for one in results}
    assert set(said) == {live.model.id, other.id}
    before, after = (said[key]["oxidation_state"]["value"] for key in (live.model.id, other.id))
    assert before != after

    page.click("follow")
    page.wait(lambda: page.shown("models"), "that another model has answered, too")
    assert page.text("hero-number") == f"+{before:.2f}"
    page.wait_for("models", f"also by {other.name} 2001.1: +{after:.2f}")
    rows = [row["text"] for row in page.rows() if "by two" in row["text"]]
    assert len(rows) == 2, "one answer to each"
    page.run("document.getElementById('models').scrollIntoView()")
    page.picture("two-models")
    page.run("scrollTo(0, 0); document.querySelector('#models button').click()")
    page.wait_for("hero-number", f"+{after:.2f}")
    chosen = page.run("return document.getElementById('model').selectedOptions[0].textContent")
    assert chosen == f"Fe K · {other.name} 2001.1"
    page.wait(lambda: len(page.rows()) == 2, "the table has this model's answers only")
    label = "return document.getElementById('trend-plot').getAttribute('aria-label')"
    page.wait(lambda: "of 2 results" in page.run(label), "the trend, too")
    page.wait_for("models", f"also by {live.model.name} {live.model.version}: +{before:.2f}")
    page.picture("other-model")
    page.set("model", "")
    page.wait_for("hero-number", f"+{before:.2f}")


def test_the_raw_scan_is_one_click_away_or_said_to_be_elsewhere(page, session, tiled):
    page.show("Fe2O3")
    page.wait_for("raw", "not in the tree “raw” of this server")
    uid = f"page-{session.scans + 1:03d}-0000"
    tiled.client("raw").create_container(uid, metadata={"start": {"uid": uid}})
    session.scan("with raw data")
    page.click("follow")
    page.wait(lambda: page.text("sample") == "with raw data", "the newest")
    link = "return document.querySelector('#raw a')?.href"
    page.wait(lambda: page.run(link) == f"{tiled.uri}/ui/browse/raw/{uid}", "the link")


def test_nothing_needs_scrolling_sideways_on_a_phone(page):
    page.size(375, 740, phone=True)
    try:
        page.wait(lambda: page.run("return innerWidth") == 375, "a phone's width")
        assert page.run("return document.documentElement.scrollWidth") <= 375
        for name in ("connection", "age", "hero-number", "state"):
            box = page.run(
                "const r = document.getElementById(arguments[0]).getBoundingClientRect();"
                "return [r.left, r.right]",
                name,
            )
            assert 0 <= box[0] < box[1] <= 375, name
        page.picture("phone")
        page.run("document.getElementById('results').scrollIntoView()")
        page.picture("phone-table")
    finally:
        page.desk()


def test_the_wall_view_fits_the_screen_and_the_night_is_dark(page):
    page.size(1920, 1080)
    dark = [{"name": "prefers-color-scheme", "value": "dark"}]
    page.driver.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": dark})
    try:
        page.show("Fe2O3")
        page.click("wall")
        page.wait(lambda: not page.shown("results"), "no table on the wall")
        height = page.run("return [document.documentElement.scrollHeight, innerHeight]")
        assert height[0] <= height[1]
        page.wait(lambda: page.ink("trend-plot") > 1000, "the series is drawn")
        page.wait(lambda: page.ink("narrowing-plot") > 1000, "the narrowing interval is drawn")
        paper = page.run("return getComputedStyle(document.body).backgroundColor")
        assert sum(int(part) for part in paper[4:-1].split(",")) < 150
        size = page.run("return getComputedStyle(document.querySelector('.hero-value')).fontSize")
        assert float(size.removesuffix("px")) > 110
        page.picture("wall")
    finally:
        page.click("wall")
        page.click("follow")
        page.driver.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": []})
        page.desk()


def test_repeats_of_a_sample_are_shown_as_a_series_that_grows(page, session, tiled):
    assert not page.shown("series"), "no sample was measured twice"
    again(session, "thrice")
    again(session, "thrice")
    page.wait(lambda: page.shown("series"), "the series")
    page.wait_for("series-title", "Series: thrice")
    page.wait_for("series-name", "Mean of 2 repeats")
    again(session, "thrice")
    page.wait_for("series-name", "Mean of 3 repeats")
    assert "Growing" in page.text("series-state")
    state = newest_series(tiled).metadata["stop"]["summary"]
    merged = state["merged"]
    assert page.text("series-number") == f"+{merged['value']:.2f}"
    assert page.text("series-interval") == (
        f"90 % interval: +{merged['low']:.2f} to +{merged['high']:.2f}"
    )
    assert page.shown("series-enough"), state["advice"]
    assert not page.shown("shares-plot")
    page.wait(lambda: page.ink("course-plot") > 1000, "the repeats are drawn")
    page.show("Fe2O3")
    page.wait(lambda: not page.shown("series"), "Fe2O3 is of no series")
    page.click("follow")
    page.wait(lambda: page.shown("series"), "the newest is")


def again(session: Session, sample: str) -> None:
    """A scan so long after the last one that its series is due to be resolved."""
    session.now[0] += 60.0
    session.scan(sample)


def newest_series(tiled: EmbeddedServer) -> Any:
    return tiled.client("processed").search(Key("start.purpose") == SERIES).values().last()


def test_a_series_of_mixtures_shows_fractions_valence_and_changes(page, tiled, downloads):
    node = newest_series(tiled)
    stop = dict(node.metadata["stop"])
    stop["summary"] = mixed = mixtures(stop["summary"])
    node.update_metadata({"stop": stop}, drop_revision=True)
    page.wait(lambda: page.shown("shares-plot"), "the fractions")
    shown = mixed["spectra"][2]
    page.wait_for("series-number", f"+{shown['valence']:.2f}")
    ends = [f"scan {mixed['spectra'][i]['scan_id']}" for i in (0, -1)]
    shares = page.run(
        "return [...document.querySelectorAll('#series-shares li')].map(li => li.textContent)"
    )
    assert shares == [f"80 ± 2 % like {ends[0]}", f"20 ± 2 % like {ends[1]}"]
    page.wait(lambda: page.ink("shares-plot", "--share-1") > 100, "one end's fractions")
    assert page.ink("shares-plot", "--share-2") > 100
    assert page.ink("course-plot", "--warned") > 10, "the one that does not fit"
    assert "1 of 12 spectra are no mixture" in page.text("series-misfit")
    page.set("series-x", "temperature")
    page.wait_for("series-changes", "The course changes at temperature 370 ± 20.")
    left = page.text("series-left")
    assert "gone: " in left
    assert "<b>too short</b>" in left
    page.picture("series")

    for old in downloads.glob("*.csv"):
        old.unlink()
    page.click("csv")
    (table,) = page.wait(lambda: list(downloads.glob("*.csv")), "the CSV file")
    with table.open(newline="") as file:
        rows = {row["result_run"]: row for row in csv.DictReader(file)}
    for one in mixed["spectra"][:3]:
        assert float(rows[one["uid"]]["share_1"]) == one["share_1"]
        assert float(rows[one["uid"]]["valence"]) == one["valence"]
        assert float(rows[one["uid"]]["half_width"]) == one["half_width"]
    assert [row["share_1"] for row in rows.values()].count("") == len(rows) - 3


def mixtures(state: dict[str, Any]) -> dict[str, Any]:
    """What the series would say of a sample that is reduced; the composer has its own tests."""
    known = [dict(row) for row in state["spectra"]]
    assert len(known) == 3
    spectra = []
    for i in range(12):
        row = known[i] if i < 3 else {**known[2], "uid": f"made-{i}", "spectrum": f"made-{i}"}
        shares = {"share_1": 1 - i / 10, "share_2": i / 10} if i < 10 else {"share_1": 0.0}
        moved = {"temperature": 300.0 + 20 * i, "scan_id": 500 + i, "misfit": 9.0 if i == 6 else 1}
        widths = {"half_width": 0.2, "share_1_sigma": 0.01, "share_2_sigma": 0.01}
        spectra.append({**row, **moved, **widths, "valence": 3 - i / 10, "share_2": 1.0} | shares)
    return {
        **state,
        "count": 12,
        "spectra": spectra,
        "components": 2,
        "merged": None,
        "ends": [spectra[0]["spectrum"], spectra[-1]["spectrum"]],
        "changes": [{"at": 4, "within": 1, "before": 0.0, "after": -0.1}],
        "left_out": [{"spectrum": "gone", "reason": "it is <b>too short</b>"}],
        "surprise": {"of": ["a later version"]},
    }


def test_a_series_fits_a_phone_and_the_wall(page):
    page.size(375, 740, phone=True)
    try:
        page.wait(lambda: page.run("return innerWidth") == 375, "a phone's width")
        page.run("document.getElementById('series').scrollIntoView()")
        assert page.run("return document.documentElement.scrollWidth") <= 375
        page.picture("series-phone")
        page.size(1920, 1080)
        page.click("wall")
        page.wait(lambda: page.ink("shares-plot") > 1000, "the fractions on the wall")
        height = page.run("return [document.documentElement.scrollHeight, innerHeight]")
        assert height[0] <= height[1]
        assert page.shown("spectrum-plot")
        page.picture("series-wall")
    finally:
        page.click("wall")
        page.desk()


def test_results_that_wait_are_told_until_they_are_there(page, session, monkeypatch):
    for name, seconds in (("LATE", 1.0), ("LASTS", 0.2), ("RENEW", 1.0)):
        monkeypatch.setattr(late, name, seconds)
    with monkeypatch.context() as patched:
        patched.setattr(TiledSink, "final", refuse)
        session.begin_to_answer("waits")
        page.wait(lambda: page.shown("late"), "the warning")
        page.wait_for("late", "1 result has waited to be stored, the oldest for ")
        assert "profile “sim” are late" in page.text("late")
        page.wait_for("late", "<b>HTTP 500</b>")
        assert page.run("return document.querySelectorAll('#late b').length") == 0
        page.picture("late")
        page.size(375, 740, phone=True)
        assert page.run("return document.documentElement.scrollWidth") <= 375
        page.picture("late-phone")
        page.desk()
    page.wait(lambda: not page.shown("late"), "it is taken back")
    page.wait_for("sample", "waits")


def refuse(sink: TiledSink, run: Any) -> None:
    raise Postponed("Tiled answers POST /metadata with <b>HTTP 500</b>")


def test_a_server_that_dies_is_told_and_its_return_brings_what_came_meanwhile(page, session, tiled):
    page.wait_for("connection", "Live")
    os.kill(tiled.pid, signal.SIGKILL)
    page.wait_for("connection", "Disconnected since")
    assert page.shown("banner")
    assert "The server does not answer" in page.text("banner")
    assert page.run("return getComputedStyle(document.querySelector('main')).filter") != "none"
    page.picture("disconnected")
    tiled.stop()
    tiled.start()
    page.wait_for("connection", "Live")
    assert not page.shown("banner")
    session.scan("after the return")
    page.wait_for("sample", "after the return")
    page.wait_for("state", "Final")


def test_a_server_that_wants_a_key_is_given_it_and_a_wrong_one_is_told(page, session, tiled):
    tiled.stop()
    tiled.allow_anonymous_access = False
    tiled.start()
    page.wait(lambda: page.shown("key-form"), "the question for the key")
    assert page.text("key-wrong") == ""
    page.set("key", "f" * 64)
    page.run("document.getElementById('key-form').requestSubmit()")
    page.wait_for("key-wrong", "does not know this key")
    page.wait_for("connection", "Key refused")
    page.picture("wrong-key")
    page.set("key", KEY)
    page.run("document.getElementById('key-form').requestSubmit()")
    page.wait(lambda: not page.shown("key-form"), "the key is taken")
    page.wait_for("connection", "Live")  # so the first message of the websocket has it
    assert KEY not in page.driver.current_url
    assert page.run(
        "return performance.getEntriesByType('resource')"
        ".every(e => !e.name.includes(arguments[0]))",
        KEY,
    )
    assert page.run("return Object.keys(localStorage).length") == 0
    assert page.run("return document.cookie") == ""
    session.scan("with a key")
    page.wait_for("sample", "with a key")


def test_where_the_server_does_not_stream_it_is_asked(page, session, tiled, tmp_path_factory):
    tiled.stop()
    with EmbeddedServer(
        tiled.directory, port=tiled.port, api_key=KEY, extra={"streaming_cache": None}
    ):
        page.wait_for("connection", "Polling")
        scan = session.begin("asked for")
        session.feed(scan, until=7112 + 120)
        page.wait_for("sample", "asked for")
        page.wait_for("state", "Provisional")
        session.feed(scan)
        page.wait_for("state", "Final")
        page.picture("polling")
        again(session, "asked for")
        page.wait_for("series-title", "Series: asked for")
        assert page.shown("series")


def test_the_page_broke_none_of_its_own_rules(page):
    said = [entry["message"] for entry in page.driver.get_log("browser")]
    assert not [message for message in said if "Content Security Policy" in message]
    assert not [message for message in said if "Uncaught" in message]
