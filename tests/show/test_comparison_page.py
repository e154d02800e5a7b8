"""The page of a comparison: whole in one file, safe to open, and right about what differs most."""

import re
from html.parser import HTMLParser

import numpy as np
import pytest

from rankaae_stream.past.compare import Place, Said, Value, compare
from rankaae_stream.show.comparison_page import POINTS, ROWS, Sides, comparison_page

MARKUP = '<script>window.pwned = true</script><img src=x onerror="window.pwned = true">'
TILED = "http://127.0.0.1:8000/ui/browse"
SIDES = Sides(
    "published", "replayed", f"{TILED}#raw", "iss", f"{TILED}/raw", f"{TILED}/processed", 1e9
)


def said(value, half=0.2, coordination=6.0, **more):
    values = {
        "oxidation_state": Value(value, value - half, value + half),
        "coordination_number": Value(coordination, coordination - 1, coordination + 1),
    }
    return Said(values, uid=f"result-{value}", model="Fe K 2026.11", **more)


def everything():
    """Comparisons of every verdict, with their start documents."""
    rng = np.random.default_rng(1)
    found, starts = [], {}
    for number, value in enumerate(np.linspace(1.9, 3.1, 60)):
        run = f"{number:08d}-run"
        starts[run] = {"sample_name": f"Fe oxide {number}", "time": 1e9 + number, "scan_id": number}
        moved = rng.normal(0, 0.1) if number % 3 else 0.0
        new = said(value + moved, coordination=6.0 + 3 * moved)
        found.append(compare(Place(run, "transmission", 0), said(value), new))
    starts["m"] = {"sample_name": MARKUP, "time": 1e9, "scan_id": MARKUP}
    found.append(
        compare(Place("m", MARKUP, 1), said(2.5), said(3.5, flags=frozenset({MARKUP, "noisy"})))
    )
    found.append(compare(Place("refused", "it", 0), said(2.5), Said(refusal="coverage")))
    found.append(compare(Place("gone", "it", 0), said(2.2), None))
    found.append(compare(Place("../a b?x#y", "it", 0), said(float("nan")), said(2.0)))
    return found, starts


class Read(HTMLParser):
    """What a page is made of."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.feed(text)

    def handle_starttag(self, tag, attrs):
        self.tags.append((tag, dict(attrs)))

    def all(self, tag: str, kind: str = "") -> list[dict[str, str | None]]:
        return [
            found for name, found in self.tags if name == tag and kind in (found.get("class") or "")
        ]


@pytest.fixture(scope="module")
def page() -> str:
    return comparison_page(*everything(), SIDES)


def test_it_holds_no_script_and_asks_nobody_for_anything(page):
    read = Read(page)
    known = {"a", "b", "body", "circle", "details", "div", "figcaption", "figure", "g", "h1", "h2"}
    known |= {"head", "header", "html", "li", "line", "main", "meta", "p", "path", "section"}
    known |= {"small", "style", "summary", "svg", "table", "tbody", "td", "text", "th", "thead"}
    assert {tag for tag, _ in read.tags} == known | {"title", "tr", "ul"}
    attributes = {name for _, found in read.tags for name in found}
    assert not {name for name in attributes if name.startswith("on") or name in ("src", "style")}
    assert "url(" not in page
    assert "@import" not in page
    (policy,) = [one for one in read.all("meta") if one.get("http-equiv")]
    assert policy["content"] == "default-src 'none'; style-src 'unsafe-inline'"


def test_names_are_text_whatever_they_are(page):
    assert MARKUP not in page
    assert page.count("&lt;script&gt;window.pwned") >= 3, "sample, channel and flag"


def test_the_largest_difference_comes_first_and_points_lead_to_their_rows(page):
    read = Read(page)
    rows = [row for row in read.all("tr") if row.get("id")]
    assert rows[0]["class"] == "beyond"
    assert page.index('id="row-1"') < page.index("&lt;script&gt;", page.index('id="row-1"'))
    assert {row["class"] for row in rows} == {"beyond", "within", "one_refused", "missing"}
    targets = {row["id"] for row in rows}
    points = [point["href"] for point in read.all("a", "point")]
    assert points
    assert {href.removeprefix("#") for href in points} <= targets


def test_runs_and_results_are_links_into_tiled(page):
    links = [a["href"] for a in Read(page).all("a") if a["href"].startswith("http")]
    assert f"{TILED}/raw/refused" in links
    assert f"{TILED}/processed/result-2.5" in links
    assert f"{TILED}/raw/..%2Fa%20b%3Fx%23y" in links
    elsewhere = Read(comparison_page(*everything(), Sides("profile", "model", "runs/", "iss")))
    assert not [a for a in elsewhere.all("a") if not a["href"].startswith("#")]


def test_every_spectrum_is_counted_and_a_plot_has_those_with_two_values(page):
    found, _ = everything()
    counted = re.findall(r"<b>(\d+)</b> (?:identical|different|beyond|refused|with one)", page)
    assert sum(map(int, counted)) == len(found)
    both = sum(bool(one.before and one.after) and not one.after.refusal for one in found) - 1
    assert f"{both} spectra of {len(found)}, with both intervals" in page


def test_of_very_many_the_largest_are_shown(monkeypatch):
    found = [compare(Place(f"r{i}", "it", 0), said(2.0), said(2.0 + i / 1e5)) for i in range(4000)]
    text = comparison_page(found, {}, SIDES)
    read = Read(text)
    assert len([row for row in read.all("tr") if row.get("id")]) == ROWS
    assert f"{3999 - ROWS} more differ by less" in text
    figures = text.count("<figure>")
    assert len(read.all("a", "point")) + len(read.all("g", "point")) == figures * POINTS
    assert len(text) < 12e6


def test_of_nothing_there_is_a_page_too():
    text = comparison_page([], {}, SIDES)
    assert "0 spectra of" in text
    assert "<figure>" not in text


@pytest.mark.services
def test_it_fits_a_phone_and_breaks_no_rule_of_its_own(page, browser, tmp_path, screenshots):
    file = tmp_path / "comparison.html"
    file.write_text(page, encoding="utf-8")
    with browser(tmp_path) as driver:
        driver.get(file.as_uri())
        driver.save_screenshot(str(screenshots / "comparison.png"))
        assert driver.execute_script("return window.pwned ?? null") is None
        size = {"width": 375, "height": 740, "deviceScaleFactor": 1, "mobile": True}
        driver.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", size)
        assert driver.execute_script("return document.documentElement.scrollWidth") <= 375
        driver.save_screenshot(str(screenshots / "comparison-phone.png"))
        driver.execute_script("document.querySelector('section').scrollIntoView()")
        driver.save_screenshot(str(screenshots / "comparison-phone-table.png"))
        dark = [{"name": "prefers-color-scheme", "value": "dark"}]
        driver.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": dark})
        size |= {"width": 1200, "height": 1900, "mobile": False}
        driver.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", size)
        driver.execute_script("scrollTo(0, 0)")
        paper = "return getComputedStyle(document.body).backgroundColor"
        assert sum(map(int, driver.execute_script(paper)[4:-1].split(","))) < 150
        driver.save_screenshot(str(screenshots / "comparison-dark.png"))
        assert not driver.get_log("browser")
