// The page: results from Tiled go into the store, and the store is drawn.

import "../app.css";
import { showBudget } from "./budget.js";
import { Curves } from "./curves.js";
import { heroOf, showModels, showNext } from "./current.js";
import { $, download, scheduler, setOptions, setText } from "./dom.js";
import { fileName, toCsv, toXdi } from "./export.js";
import { Follower } from "./growing.js";
import { LATE_PURPOSE, LateReader } from "./late.js";
import { Live } from "./live.js";
import { Narrowing } from "./narrowing.js";
import { isOutside } from "./results.js";
import { SeriesCard } from "./series-card.js";
import { SeriesReader } from "./series-reader.js";
import { ShownResult } from "./shown.js";
import { SpectrumView } from "./spectrum.js";
import { story } from "./story.js";
import { announce, showAge, showConnection } from "./status.js";
import { Store } from "./store.js";
import { ResultsTable } from "./table.js";
import { Tiled } from "./tiled.js";
import { Trend } from "./trend.js";
import { WhatIf } from "./what-if.js";
import { descriptorName, edgeText, interval, value } from "./words.js";

const query = new URLSearchParams(location.search);
const node = query.get("node") || "processed";
// The router is mounted below /custom and, for older clients, below /api/v1.
const root = new URL(location.pathname.replace(/(custom|api\/v1)\/dashboard\/[^/]*$/, ""), location.origin);

const tiled = new Tiled(new URL("api/v1/", root), node);
const store = new Store();
const curves = new Curves(tiled);
const spectrum = new SpectrumView();
const narrowing = new Narrowing();
const whatIf = new WhatIf(curves, (moved) => spectrum.move(moved));
const shown = new ShownResult({
  tiled,
  store,
  curves,
  show: showCurves,
  raw: { tree: query.get("raw") || "raw", root },
});
const trend = new Trend(store, choose, drawResults);
const table = new ResultsTable(store, () => trend.descriptor, choose);
const series = new SeriesReader(tiled, drawSeries);
const seriesCard = new SeriesCard(store, choose);
const late = new LateReader(tiled);
const live = new Live(tiled, receive, connectionChanged, hear);
const follower = new Follower(tiled, () => live.streaming, grow);
const schedule = scheduler(draw);

const READING = 600; // ms between two drawings while a long history is read

// ---- what comes in

function receive(results, { first, more }) {
  const unfinished = results.filter(({ uid }) => store.get(uid)?.final === false);
  const changed = store.add(results);
  if (first) markOnce("first-results");
  if (!more && performance.getEntriesByName("all-read").length === 0) {
    markOnce("all-read");
    requestAnimationFrame(() => requestAnimationFrame(() => markOnce("all-drawn", store.size)));
  }
  setText($("where"), more ? `${node} · reading, ${store.size} so far` : node);
  for (const { uid } of unfinished) if (store.get(uid).final) announceFinal(store.get(uid));
  if (changed) series.news();
  if (changed || first) schedule(first || !more ? 0 : READING);
}

function hear(purpose, uid, metadata) {
  (purpose === LATE_PURPOSE ? late : series).hear(uid, metadata);
}

// For benchmarks; only the last mark of each name is kept, for the page runs for weeks.
function markOnce(name, detail = null) {
  performance.clearMarks(name);
  performance.mark(name, { detail });
}

function announceFinal(result) {
  const estimate = result.estimates.oxidation_state;
  const answer = result.refusal
    ? `refused: ${result.refusal.message}`
    : estimate
      ? `${descriptorName("oxidation_state")} ${value("oxidation_state", estimate.value)}, ${interval("oxidation_state", estimate)}`
      : "answered";
  announce(`${result.sample || edgeText(result)}: ${answer}`);
}

function connectionChanged(state, same) {
  showConnection(state, node);
  if (["live", "polling"].includes(state.kind)) {
    series.poll(live.streaming);
    late.poll(live.streaming);
  }
  const askForKey = state.kind === "refused" && !state.proxied;
  $("key-form").hidden = !askForKey;
  if (askForKey) {
    setText($("key-wrong"), tiled.key ? "The server does not know this key. Paste another key." : "");
    if (!same) $("key").focus();
  }
  if (same) return;
  announce($("connection").textContent);
  schedule();
}

// ---- what is shown

function draw() {
  const result = store.shown;
  const some = store.size > 0;
  $("main").hidden = !some;
  $("empty").hidden = some || !["live", "polling"].includes(live.state.kind);
  setOptions($("model"), store.models, store.filter.model);
  setOptions($("channel"), store.channels, store.filter.channel);
  $("follow").hidden = !store.pinned;
  if (some) {
    if (result) {
      shown.draw(result);
      showModels(result, store.answersTo(result), chooseModel);
    }
    drawSeries();
    const growing = result && !result.final ? result : besides(result);
    follower.follow(growing?.uid ?? null);
    drawResults();
  }
  showAges();
}

// What grows old without any news.
function showAges() {
  const result = store.shown;
  showNext(besides(result), tiled.now());
  showAge(tiled, result, live.state.kind);
  late.show();
}

// The scan that is growing while another result is shown.
function besides(result) {
  const { growing } = store;
  return growing?.uid === result?.uid ? null : growing;
}

// The series can change without any news of results.
function drawSeries() {
  const result = store.shown;
  const moved = seriesCard.show(result && series.of(result), result);
  if (moved && document.body.classList.contains("wall")) redraw();
}

function drawResults() {
  trend.draw();
  table.draw();
}

async function grow(uid, row) {
  const updated = await shown.grow(uid, row);
  if (!updated) return;
  schedule();
  requestAnimationFrame(() => markOnce("report-drawn", updated.updated));
}

function showCurves(result, found, reason, rows) {
  spectrum.show(found, reason);
  whatIf.show(result, found?.part ? null : found);
  const name = heroOf(result);
  const { answers, shares, advice } = story(rows ?? [], name ?? "oxidation_state");
  narrowing.show(answers, { name: name ?? "oxidation_state", unit: result.estimates[name]?.unit ?? "", final: result.final });
  // Of a number that should not be used there is no more to say.
  showBudget(name && !isOutside(result) ? shares : [], advice);
}

function choose(uid) {
  store.pinned = uid;
  schedule();
}

// Another model's answer to the same spectrum: the trend and the table become that model's, too.
function chooseModel(result) {
  store.filter.model = `${edgeText(result)}|${result.model.id}`;
  choose(result.uid);
}

// ---- what a person does

$("follow").addEventListener("click", () => {
  store.pinned = null;
  schedule();
});
for (const key of ["model", "channel"]) {
  $(key).addEventListener("change", (event) => {
    store.filter[key] = event.target.value;
    store.pinned = null;
    schedule();
  });
}
$("filter-text").addEventListener("input", (event) => {
  store.filter.text = event.target.value;
  table.draw();
});
$("filter-state").addEventListener("change", (event) => {
  store.filter.state = event.target.value;
  table.draw();
});
$("csv").addEventListener("click", () => {
  download("results.csv", "text/csv;charset=utf-8", toCsv(table.rows, store.descriptors, seriesCard.state));
});
$("xdi").addEventListener("click", () => {
  const { curves: drawn } = spectrum;
  if (drawn) download(fileName(store.shown, "xdi"), "text/plain;charset=utf-8", toXdi(store.shown, drawn));
});
$("key-form").addEventListener("submit", (event) => {
  event.preventDefault();
  tiled.key = $("key").value.trim();
  $("key").value = "";
  live.again();
});
$("wall").addEventListener("click", () => wall(!document.body.classList.contains("wall")));
matchMedia("(prefers-color-scheme: dark)").addEventListener("change", redraw);

function wall(on) {
  document.body.classList.toggle("wall", on);
  $("wall").setAttribute("aria-pressed", String(on));
  setText($("wall"), on ? "Desk view" : "Wall view");
  redraw();
}

function redraw() {
  spectrum.remake();
  narrowing.remake();
  seriesCard.remake();
  trend.remake();
}

setInterval(showAges, 1000);
setText($("where"), node);
if (query.has("wall")) wall(true);
live.run();
