"""Make a web page of a comparison: one file without a script, which asks nobody for anything.

All of it is built as elements, so that names of samples and flags are text whatever they are.
"""

import math
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any
from urllib.parse import quote
from xml.etree.ElementTree import Element, tostring

from rankaae_stream.past.compare import Compared, Said, Value, Verdict
from rankaae_stream.printable import printable
from rankaae_stream.show.comparison import COUNTED, MAIN, by_size, label, what_differs
from rankaae_stream.show.plot import TITLES

__all__ = ["Sides", "comparison_page"]

ROWS = 500
"""Of the table, those with the largest differences."""

POINTS = 3000
"""Of a plot, those with the largest differences and then identical ones: a browser draws them at
once."""

SIZE = 420.0
"""Width and height of a plot, in its own units, with `MARGIN` for the numbers of the axes."""
MARGIN = 52.0

POLICY = "default-src 'none'; style-src 'unsafe-inline'"


@dataclass(frozen=True, slots=True)
class Sides:
    """What is compared, and where it can be looked at.

    Attributes
    ----------
    before, after : str
        Names: ``published`` and ``replayed``.
    source, profile : str
    raw, results : str
        Addresses in a browser of the containers of raw runs and of the results before, in which
        a run is found under its uid; empty where there is none.
    made : float
        Seconds since the epoch.
    """

    before: str
    after: str
    source: str
    profile: str
    raw: str = ""
    results: str = ""
    made: float = 0.0


def comparison_page(
    found: Sequence[Compared], starts: Mapping[str, Mapping[str, Any]], sides: Sides
) -> str:
    """Return the page as HTML.

    Parameters
    ----------
    found : sequence of Compared
    starts : mapping of mapping
        Start documents by the uids of raw runs.
    sides : Sides
    """
    differing = by_size(found)
    same = [one for one in found if one.verdict == "identical"]
    rows = {id(one): f"row-{number}" for number, one in enumerate(differing[:ROWS], 1)}
    title = f"{sides.before.capitalize()} against {sides.after}"
    drawn = [*differing, *same][:POINTS]
    page = h(
        "html",
        {"lang": "en"},
        h(
            "head",
            {},
            h("meta", {"charset": "utf-8"}),
            h("meta", {"http-equiv": "Content-Security-Policy", "content": POLICY}),
            h("meta", {"name": "viewport", "content": "width=device-width, initial-scale=1"}),
            h("meta", {"name": "color-scheme", "content": "light dark"}),
            h("title", {}, f"{title} · rankaae-stream"),
            h("style", {}, STYLE),
        ),
        h(
            "body",
            {},
            h("header", {}, h("h1", {}, title), h("p", {}, *_about(found, sides))),
            h("main", {}, _counts(found), *_plots(drawn, starts, sides, rows, len(found))),
            _table(differing, starts, sides, rows),
        ),
    )
    return "<!doctype html>\n" + tostring(page, encoding="unicode", method="html") + "\n"


def h(tag: str, attributes: Mapping[str, str], *children: "Element | str") -> Element:
    """Make an element; text stays text."""
    element = Element(tag, {name: printable(value) for name, value in attributes.items()})
    last: Element | None = None
    for child in children:
        if isinstance(child, Element):
            element.append(child)
            last = child
        elif last is None:
            element.text = (element.text or "") + printable(child)
        else:
            last.tail = (last.tail or "") + printable(child)
    return element


def _about(found: Sequence[Compared], sides: Sides) -> Iterator[Element | str]:
    yield f"{len(found)} spectra of "
    yield h("b", {}, sides.source)
    yield ", profile "
    yield h("b", {}, sides.profile)
    for name, said in ((sides.before, "before"), (sides.after, "after")):
        models = {answer.model for one in found if (answer := getattr(one, said)) is not None}
        if models - {""}:
            yield f"; {name} by {', '.join(sorted(models - {''}))}"
    yield f". Made {_when(sides.made)}."


def _counts(found: Sequence[Compared]) -> Element:
    counts = Counter(one.verdict for one in found)
    chips = [
        h("li", {"class": kind}, _mark(kind), h("b", {}, str(counts[kind])), f" {words}")
        for kind, words in COUNTED.items()
        if counts[kind]
    ]
    return h("ul", {"class": "counts"}, *chips)


def _mark(verdict: str) -> Element:
    """Return a verdict's shape, as it is drawn in a plot."""
    box = {"viewBox": "-7 -7 14 14", "width": "14", "height": "14", "aria-hidden": "true"}
    return h("svg", box, *_shape(verdict, 0.0, 0.0))


# ---- plots


def _plots(
    drawn: Sequence[Compared],
    starts: Mapping[str, Mapping[str, Any]],
    sides: Sides,
    rows: Mapping[int, str],
    total: int,
) -> Iterator[Element]:
    """Yield a plot for each descriptor, the main one in sight, the others folded."""
    names = dict.fromkeys(
        name for one in drawn for side in (one.before, one.after) if side for name in side.values
    )
    ordered = sorted(names, key=lambda name: name != MAIN)
    figures = [
        figure
        for name in ordered
        if (figure := _plot(name, drawn, starts, sides, rows, total)) is not None
    ]
    if figures:
        yield figures[0]
    if figures[1:]:
        summary = h("summary", {}, f"Other descriptors ({len(figures) - 1})")
        yield h("details", {"open": ""}, summary, h("div", {"class": "others"}, *figures[1:]))


def _plot(
    name: str,
    drawn: Sequence[Compared],
    starts: Mapping[str, Mapping[str, Any]],
    sides: Sides,
    rows: Mapping[int, str],
    total: int,
) -> Element | None:
    """Draw a descriptor after against before, with both intervals, and the line of equality."""
    pairs = [
        (one, old, new)
        for one in drawn
        if (old := _value(one.before, name)) is not None
        and (new := _value(one.after, name)) is not None
    ]
    if not pairs:
        return None
    low, high, step = _range([each for _, old, new in pairs for each in (old, new)])
    scale = (SIZE - MARGIN - 8) / (high - low)

    def x(value: float) -> float:
        return MARGIN + (min(max(value, low), high) - low) * scale

    def y(value: float) -> float:
        return SIZE - MARGIN - (min(max(value, low), high) - low) * scale

    title = TITLES.get(name, name.replace("_", " ")).capitalize()
    parts = list(_axes(low, high, step, x, y))
    ends = [x(low), y(low), x(high), y(high)]
    parts.append(_line("equal", *ends))
    for one, old, new in reversed(pairs):  # the largest differences on top
        said = h("title", {}, _told(one, starts, name, old, new))
        shape = [
            said,
            _line("interval", x(old.low), y(new.value), x(old.high), y(new.value)),
            _line("interval", x(old.value), y(new.low), x(old.value), y(new.high)),
            *_shape(_verdict_of(one, name), x(old.value), y(new.value)),
        ]
        row = rows.get(id(one))
        kind = {"class": f"point {_verdict_of(one, name)}"}
        parts.append(h("a", {"href": f"#{row}", **kind}, *shape) if row else h("g", kind, *shape))
    middle = (MARGIN + SIZE - 8) / 2
    parts.append(h("text", {"class": "axis", "x": _px(middle), "y": _px(SIZE - 10)}, sides.before))
    turned = f"translate(14 {_px((SIZE - MARGIN) / 2)}) rotate(-90)"
    parts.append(h("text", {"class": "axis", "transform": turned}, sides.after))
    described = f"{title}: {sides.after} against {sides.before}, {len(pairs)} spectra"
    box = {"viewBox": f"0 0 {SIZE:.0f} {SIZE:.0f}", "role": "img", "aria-label": described}
    shown = f"{len(pairs)} spectra" + (f" of {total}" if len(pairs) < total else "")
    about = f"{shown}, with both intervals; on the line nothing has changed."
    return h("figure", {}, h("figcaption", {}, h("h2", {}, title), about), h("svg", box, *parts))


def _value(said: Said | None, name: str) -> Value | None:
    value = said.values.get(name) if said else None
    return value if value is not None and all(math.isfinite(each) for each in value) else None


def _verdict_of(one: Compared, name: str) -> Verdict:
    """Return the verdict for one descriptor of a spectrum."""
    if one.verdict == "beyond" and name not in one.beyond:
        return "within"
    return one.verdict


def _range(values: Sequence[Value]) -> tuple[float, float, float]:
    """Return the ends of both axes, which hold all values, and the step of their numbers."""
    low, high = min(each.value for each in values), max(each.value for each in values)
    # Intervals may be cut: of some they are so wide that the values would be one dot.
    room = max(0.12 * (high - low), 0.25 * max(each.high - each.low for each in values), 1e-3)
    low, high = low - room, high + room
    rough = (high - low) / 6
    power = 10.0 ** math.floor(math.log10(rough))
    step = power * next(times for times in (1, 2, 5, 10) if times * power >= rough)
    return low, high, step


def _axes(low: float, high: float, step: float, x: Any, y: Any) -> Iterator[Element]:
    digits = max(0, -math.floor(math.log10(step)))
    for number in range(math.ceil(low / step), math.floor(high / step) + 1):
        at = number * step
        words = f"{at:.{digits}f}"
        yield _line("grid", x(at), y(low), x(at), y(high))
        yield _line("grid", x(low), y(at), x(high), y(at))
        place = {"x": _px(x(at)), "y": _px(y(low) + 18)}
        yield h("text", {"class": "tick middle", **place}, words)
        place = {"x": _px(x(low) - 8), "y": _px(y(at) + 4)}
        yield h("text", {"class": "tick end", **place}, words)


def _shape(verdict: str, x: float, y: float) -> Iterator[Element]:
    """Yield a verdict's shape: told apart without colours, too."""
    place = {"cx": _px(x), "cy": _px(y)}
    if verdict == "identical":
        yield h("circle", {"class": "mark identical", **place, "r": "2.5"})
    elif verdict == "within":
        yield h("circle", {"class": "mark within", **place, "r": "4"})
    elif verdict == "beyond":
        path = f"M{_px(x)} {_px(y - 6)} l6 6 l-6 6 l-6 -6 z"
        yield h("path", {"class": "mark beyond", "d": path})
    else:
        path = f"M{_px(x - 4)} {_px(y - 4)} l8 8 m0 -8 l-8 8"
        yield h("path", {"class": f"mark {verdict}", "d": path})


def _line(kind: str, x1: float, y1: float, x2: float, y2: float) -> Element:
    ends = {"x1": _px(x1), "y1": _px(y1), "x2": _px(x2), "y2": _px(y2)}
    return h("line", {"class": kind, **ends})


def _px(value: float) -> str:
    return f"{value:.1f}"


def _told(
    one: Compared, starts: Mapping[str, Mapping[str, Any]], name: str, old: Value, new: Value
) -> str:
    named = label(one.place, starts.get(one.place.run, {}))
    difference = new.value - old.value
    return f"{named}: {_plain(name, old)} before, {_plain(name, new)} after ({difference:+.3f})"


# ---- table


def _table(
    differing: Sequence[Compared],
    starts: Mapping[str, Mapping[str, Any]],
    sides: Sides,
    rows: Mapping[int, str],
) -> Element:
    if not differing:
        return h("section", {}, h("h2", {}, "Differences"), h("p", {}, "None."))
    heads = ("Spectrum", "Measured", sides.before, sides.after, "Difference", "What differs")
    head = h("tr", {}, *(h("th", {"scope": "col"}, name.capitalize()) for name in heads))
    body = [
        _row(one, starts.get(one.place.run, {}), sides, rows[id(one)]) for one in differing[:ROWS]
    ]
    more = len(differing) - len(body)
    left = [h("p", {}, f"{more} more differ by less; --table FILE.csv has all.")] if more else []
    table = h("table", {}, h("thead", {}, head), h("tbody", {}, *body))
    title = h("h2", {}, "Differences, the largest first")
    return h("section", {}, title, h("div", {"class": "scroll"}, table), *left)


def _row(one: Compared, start: Mapping[str, Any], sides: Sides, name: str) -> Element:
    difference = one.difference(MAIN)
    began = start.get("time")
    named = label(one.place, start)
    when = _when(float(began)) if isinstance(began, int | float) else ""
    result = _link(sides.results, one.before.uid if one.before else "", "result")
    raw = _link(sides.raw, one.place.run, named)
    scan = start.get("scan_id")
    number = [h("small", {}, f" scan {scan}")] if isinstance(scan, int) else []
    cells: list[tuple[str, list[Element | str]]] = [
        ("Spectrum", [raw if raw is not None else named, *number]),
        ("Measured", [when]),
        (sides.before, [*_answer(one.before), *([" ", result] if result is not None else [])]),
        (sides.after, _answer(one.after)),
        ("Difference", [_moved(difference)]),
        ("What differs", [_mark(one.verdict), COUNTED[one.verdict], *_more(one)]),
    ]
    parts = [h("td", {"data-label": head.capitalize()}, *inside) for head, inside in cells]
    return h("tr", {"id": name, "class": one.verdict}, *parts)


def _answer(said: Said | None) -> list[Element | str]:
    value = _value(said, MAIN)
    if said is None:
        return ["–"]
    if value is None:
        return [f"refused: {said.refusal}" if said.refusal else "–"]
    interval = f" {_sign(value.low)} to {_sign(value.high)}"
    return [h("b", {}, _sign(value.value)), h("small", {}, interval)]


def _moved(difference: float | None) -> str:
    known = difference is not None and math.isfinite(difference)
    return f"{difference:+.3f}".replace("-", "−") if known else "–"


def _more(one: Compared) -> list[Element | str]:
    words = what_differs(one).removeprefix("beyond: ")
    return [h("small", {}, f" {words}")] if words else []


def _link(container: str, uid: str, words: str) -> Element | None:
    """Return a link to a run in Tiled's own page, in another window; None where there is none."""
    if not container or not uid:
        return None
    address = f"{container.rstrip('/')}/{quote(uid, safe='')}"
    return h("a", {"href": address, "target": "_blank", "rel": "noopener noreferrer"}, words)


def _plain(name: str, value: Value) -> str:
    shown = _sign if name == MAIN else "{:.3f}".format
    return f"{shown(value.value)} ({shown(value.low)} to {shown(value.high)})"


def _sign(value: float) -> str:
    return f"{value:+.2f}".replace("-", "−")


def _when(seconds: float) -> str:
    try:
        return f"{datetime.fromtimestamp(seconds, UTC):%Y-%m-%d %H:%M} UTC"
    except (OverflowError, OSError, ValueError):
        return ""


# Colours as on the dashboard: Okabe and Ito's, told apart by the colour-blind.
STYLE = """
:root { --paper: #f3f5f7; --card: #fff; --ink: #14202b; --soft: #51606e; --line: #d5dce2;
  --grid: #e6eaee; --within: #0072b2; --beyond: #c05600; --other: #7b4a86; --same: #7b8792;
  color-scheme: light dark; font: 15px/1.45 system-ui, -apple-system, "Segoe UI", Roboto, Arial,
  sans-serif; font-variant-numeric: tabular-nums; }
@media (prefers-color-scheme: dark) { :root { --paper: #0e151b; --card: #17212a; --ink: #eef3f6;
  --soft: #a9b7c3; --line: #2f3c47; --grid: #26323c; --within: #56b4e9; --beyond: #f0915a;
  --other: #d9a6e3; --same: #8b98a4; } }
* { box-sizing: border-box; }
body { margin: 0; padding: 20px; background: var(--paper); color: var(--ink); }
header, main, section { max-width: 1180px; margin: 0 auto 16px; overflow-wrap: anywhere; }
h1 { margin: 0; font-size: 1.6rem; }
h2 { margin: 0; font-size: 1.1rem; color: var(--ink); }
header p, figcaption, small { color: var(--soft); }
header p { margin: 4px 0 0; }
a { color: var(--within); }
a:focus-visible { outline: 2px solid var(--ink); outline-offset: 2px; }
main, section { background: var(--card); border: 1px solid var(--line); border-radius: 10px;
  padding: 16px 18px; }
.counts { display: flex; flex-wrap: wrap; gap: 8px 20px; margin: 0 0 14px; padding: 0;
  list-style: none; }
.counts svg, td svg { vertical-align: -2px; margin-right: 6px; }
figure { margin: 0; max-width: 640px; }
@media (min-width: 900px) { main { display: grid; gap: 0 28px;
  grid-template-columns: minmax(0, 5fr) minmax(0, 4fr); } .counts { grid-column: 1 / -1; } }
figcaption { margin-bottom: 6px; }
svg[role] { width: 100%; height: auto; display: block; }
summary { cursor: pointer; font-weight: 600; }
.others { display: grid; grid-template-columns: repeat(auto-fill, minmax(210px, 1fr)); gap: 18px;
  margin-top: 12px; }
.grid { stroke: var(--grid); }
.equal { stroke: var(--soft); stroke-dasharray: 5 4; }
.interval { stroke: currentColor; opacity: 0.35; }
.tick, .axis { fill: var(--soft); font-size: 12px; }
.axis { font-size: 13px; text-anchor: middle; }
.others .tick, .others .axis { font-size: 20px; }
.middle { text-anchor: middle; }
.end { text-anchor: end; }
.mark { fill: currentColor; stroke: none; }
path.missing, path.one_refused { fill: none; stroke: currentColor; stroke-width: 2; }
.mark.within { fill: var(--card); stroke: currentColor; stroke-width: 2; }
.identical { color: var(--same); }
.within { color: var(--within); }
.beyond { color: var(--beyond); }
.one_refused, .missing { color: var(--other); }
.counts li[class], tbody tr[class] { color: var(--ink); }
.identical .mark, .identical > svg { color: var(--same); }
.within .mark, .within > svg { color: var(--within); }
.beyond .mark, .beyond > svg { color: var(--beyond); }
.one_refused .mark, .missing .mark { color: var(--other); }
.point:hover .interval, .point:focus .interval { opacity: 1; stroke-width: 2; }
.scroll { overflow-x: auto; }
table { border-collapse: collapse; width: 100%; margin-top: 8px; }
th { text-align: left; color: var(--soft); font-weight: 600; font-size: 0.87rem;
  white-space: nowrap; }
th, td { padding: 7px 10px 7px 0; border-bottom: 1px solid var(--line); vertical-align: top; }
td { max-width: 34ch; }
tr:target { background: var(--grid); }
@media (max-width: 700px) { body { padding: 10px; } main, section { padding: 12px; }
  thead { position: absolute; width: 1px; height: 1px; overflow: hidden; clip-path: inset(50%); }
  tr { display: block; padding: 8px 0; border-bottom: 1px solid var(--line); }
  td { display: block; position: relative; padding: 2px 0 2px 8em; border: 0; max-width: none;
    min-height: 1.6em; }
  td::before { content: attr(data-label); color: var(--soft); position: absolute; left: 0; } }
@media print { body { background: none; } }
"""
