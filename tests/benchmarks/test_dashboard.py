"""The page: how long 5,000 results take to be listed and plotted, and an update to be seen."""

import copy
import statistics
import time
import uuid
from typing import Any

import httpx
import pytest

from rankaae_stream.callback import DescriptorStream
from rankaae_stream.dashboard import PATH
from rankaae_stream.results.compose import PURPOSE
from rankaae_stream.server.tiled_server import EmbeddedServer

PATIENCE = 120.0
RESULTS = 5000
UPDATES = 15
PAGE = 300
"""Most runs that Tiled lists in one answer."""


@pytest.fixture(scope="module")
def tiled(tmp_path_factory):
    with EmbeddedServer(tmp_path_factory.mktemp("many")) as running:
        yield running


@pytest.fixture(scope="module")
def stream(tiled, tmp_path_factory):
    now = [0.0]
    settings: dict[str, Any] = {"tiled": {"uri": tiled.uri}, "tiled_api_key": tiled.api_key}
    spool = tmp_path_factory.mktemp("spool")
    with DescriptorStream("sim", spool=spool, clock=lambda: now[0], **settings) as running:
        yield running, now


@pytest.fixture(scope="module")
def driver(browser, tmp_path_factory):
    with browser(tmp_path_factory.mktemp("browser")) as running:
        yield running


def mark(driver: Any, name: str) -> dict[str, Any] | None:
    """The page's own mark: when, in s since the epoch and since it was asked for; its detail."""
    return driver.execute_script(
        "const m = performance.getEntriesByName(arguments[0]).at(-1); return m ? {at: "
        "(performance.timeOrigin + m.startTime) / 1000, after: m.startTime / 1000, "
        "detail: m.detail} : null",
        name,
    )


def wait_for_mark(
    driver: Any, name: str, detail: float | None = None, pause: float = 0.02
) -> dict[str, Any]:
    deadline = time.monotonic() + PATIENCE
    while True:
        found = mark(driver, name)
        if found and (detail is None or found["detail"] == pytest.approx(detail, abs=1e-6)):
            return found
        assert time.monotonic() < deadline, f"{name} did not come"
        time.sleep(pause)


def test_a_provisional_answer_on_the_page(benchmark, tiled, stream, driver, documents, hematite):
    """From the document that a report is due at to the frame that shows it."""
    running, now = stream
    driver.get(f"{tiled.uri}{PATH}")
    wait_for_mark(driver, "all-drawn")
    taken: list[float] = []
    growing = list(documents(*hematite, uid="watched", sample_name="watched"))[:-1]
    events = [i for i, (name, doc) in enumerate(growing) if name == "event"]
    answered = next(i for i in events if growing[i][1]["data"]["mono-energy"] > 7112 + 105)

    def feed(until: int, since: int = 0) -> float:
        for name, doc in growing[since:until]:
            running(name, doc)
        assert running.wait_idle(PATIENCE)
        now[0] += 1.0
        return growing[until - 1][1]["time"]

    feed(answered)
    running(*growing[answered])
    wait_for_mark(driver, "report-drawn", growing[answered][1]["time"])
    position = answered + 1

    def one() -> None:
        nonlocal position
        assert running.wait_idle(PATIENCE)
        now[0] += 1.0
        started = time.time()
        running(*growing[position])
        shown = wait_for_mark(driver, "report-drawn", growing[position][1]["time"])
        taken.append(shown["at"] - started)
        position += 1

    benchmark.pedantic(one, rounds=UPDATES, iterations=1, warmup_rounds=1)
    benchmark.extra_info.update(
        updates=UPDATES,
        median_ms=round(statistics.median(taken[1:]) * 1e3),
        slowest_ms=round(max(taken[1:]) * 1e3),
    )


def test_5000_results_listed_and_plotted(benchmark, tiled, stream, driver, documents, hematite):
    """From asking for the page to the frame with all of them, beside listings of plain metadata.

    The results' own runs are listed; what is below them is not read for it.
    """
    running, _ = stream
    for item in documents(*hematite, uid="pattern", sample_name="Fe2O3"):
        running(*item)
    assert running.wait_idle(PATIENCE)
    fill(tiled, RESULTS)
    drawn, read, first = [], [], []

    def one() -> None:
        driver.get("about:blank")
        driver.get(f"{tiled.uri}{PATH}")
        # Asked rarely: the page answers in the thread that draws.
        last = wait_for_mark(driver, "all-drawn", pause=0.25)
        assert last["detail"] >= RESULTS
        drawn.append(last["after"])
        read.append(wait_for_mark(driver, "all-read")["after"])
        first.append(wait_for_mark(driver, "first-results")["after"])

    benchmark.pedantic(one, rounds=5, iterations=1, warmup_rounds=1)
    benchmark.extra_info.update(
        results=RESULTS,
        first_300_s=round(statistics.median(first[1:]), 2),
        all_read_s=round(statistics.median(read[1:]), 2),
        all_drawn_s=round(statistics.median(drawn[1:]), 2),
        plain_metadata_listing_s=round(min(listing(tiled) for _ in range(3)), 2),
        uids_only_listing_s=round(min(listing(tiled, fields="") for _ in range(3)), 2),
    )


def fill(tiled: EmbeddedServer, results: int) -> None:
    """Results with the metadata of a real one, each its own time and value."""
    headers = {"Authorization": f"Apikey {tiled.api_key}"}
    with httpx.Client(base_url=tiled.uri, headers=headers, timeout=60) as client:
        found = client.get("/api/v1/search/processed", params={"fields": "metadata"}).json()["data"]
        metadata = (one["attributes"]["metadata"] for one in found)
        pattern = next(m for m in metadata if m["start"]["purpose"] == PURPOSE and m.get("stop"))
        for number in range(results):
            run = copy.deepcopy(pattern)
            uid, begun = str(uuid.uuid4()), 1.79e9 + 60.0 * number
            run["start"] |= {"uid": uid, "time": begun, "scan_id": number}
            run["stop"]["time"] = begun + 50.0
            value = run["stop"]["summary"]["estimates"]["oxidation_state"]
            for key in ("value", "low", "high"):
                value[key] += (number % 100) / 100.0
            specs = [{"name": "BlueskyRun", "version": "3.0"}]
            body = {"id": uid, "structure_family": "container", "data_sources": []}
            body |= {"metadata": run, "specs": specs}
            client.post("/api/v1/metadata/processed", json=body).raise_for_status()


def listing(tiled: EmbeddedServer, fields: str = "metadata") -> float:
    """Seconds to list all runs, page by page."""
    started = time.monotonic()
    cursor: str | None = None
    with httpx.Client(base_url=tiled.uri, timeout=60) as client:
        while True:
            query = {"fields": fields, "page[limit]": PAGE, "omit_links": True, "sort": "-"}
            if cursor is not None:
                query["page[cursor]"] = cursor
            answer = client.get("/api/v1/search/processed", params=query).json()
            following = (answer["links"] or {}).get("next") or ""
            if "page[cursor]=" not in following:
                return time.monotonic() - started
            cursor = following.split("page[cursor]=")[1].split("&")[0]
