// The page: what comes from Tiled goes into the store, and the store is shown.

import "../app.css";
import { Curves, arrange } from "./curves.js";
import { showCurrent, showNext } from "./current.js";
import { $, download, h, setOptions, setText } from "./dom.js";
import { fileName, toCsv, toXdi } from "./export.js";
import { Growing } from "./growing.js";
import { Live } from "./live.js";
import { withRow } from "./results.js";
import { SpectrumView } from "./spectrum.js";
import { announce, showAge, showConnection } from "./status.js";
import { Store } from "./store.js";
import { SeriesTable } from "./table.js";
import { Tiled, joined } from "./tiled.js";
import { Trend } from "./trend.js";
import { WhatIf } from "./what-if.js";
import { descriptorName, edgeText, interval, value } from "./words.js";

const query = new URLSearchParams(location.search);
const node = query.get("node") || "processed";
const rawTree = query.get("raw") || "raw";
// The router is mounted below /custom and, for older clients, below /api/v1.
const root = new URL(location.pathname.replace(/(custom|api\/v1)\/dashboard\/[^/]*$/, ""), location.origin);

const tiled = new Tiled(new URL("api/v1/", root), node);
const store = new Store();
const curves = new Curves(tiled);
const spectrum = new SpectrumView();
const whatIf = new WhatIf(curves, (moved) => spectrum.move(moved));
const trend = new Trend(store, choose, drawSeries);
const table = new SeriesTable(store, () => trend.y, choose);
const live = new Live(tiled, heard, connectionChanged);

const AGAIN = 3000;
const READING = 600;

let growing = null;
let drawn = { uid: null, updated: null, final: null };
let scheduled = null;
let allRead = false;

// ---- what comes in

function heard(results, { first, more }) {
  const known = results.filter((one) => store.get(one.uid)?.final === false);
  const changed = store.add(results);
  if (first) markOnce("first-results");
  if (!more && !allRead) {
    allRead = true;
    markOnce("all-read");
    requestAnimationFrame(() => requestAnimationFrame(() => markOnce("all-drawn", store.size)));
  }
  setText($("where"), more ? `${node} · reading, ${store.size} so far` : node);
  for (const one of known) if (store.get(one.uid)?.final) tell(store.get(one.uid));
  // While a long history is read, the page is drawn now and then, not for each part of it.
  if (changed || first) schedule(first || !more ? 0 : READING);
}

// What a benchmark asks for; only the last of each is kept, for the page runs for weeks.
function markOnce(name, detail = null) {
  performance.clearMarks(name);
  performance.mark(name, { detail });
}

function tell(result) {
  const estimate = result.estimates.oxidation_state;
  const said = result.refusal
    ? `refused: ${result.refusal.message}`
    : estimate
      ? `${descriptorName("oxidation_state")} ${value("oxidation_state", estimate.value)}, ${interval("oxidation_state", estimate)}`
      : "answered";
  announce(`${result.sample || edgeText(result)}: ${said}`);
}

function connectionChanged(state, same) {
  showConnection(state, node);
  const askForKey = state.kind === "refused" && !state.proxied;
  $("key-form").hidden = !askForKey;
  if (askForKey) {
    setText($("key-wrong"), tiled.key ? "The server does not know this key. Paste another one." : "");
    if (!same) $("key").focus();
  }
  if (same) return;
  announce($("connection").textContent);
  schedule();
}

// ---- what is shown

function schedule(after = 0) {
  if (scheduled && (after > 0 || scheduled.after === 0)) return;
  if (scheduled) clearTimeout(scheduled.timer);
  const drawSoon = () =>
    requestAnimationFrame(() => {
      scheduled = null;
      draw();
    });
  scheduled = { after, timer: after > 0 ? setTimeout(drawSoon, after) : drawSoon() };
}

function draw() {
  const shown = store.shown;
  const some = store.size > 0;
  $("main").hidden = !some;
  $("empty").hidden = some || !["live", "polling"].includes(live.state.kind);
  setOptions($("model"), store.models, store.filter.model);
  setOptions($("channel"), store.channels, store.filter.channel);
  $("follow").hidden = !store.pinned;
  if (some) {
    if (shown) showResult(shown);
    follow(shown && !shown.final ? shown : besides(shown));
    drawSeries();
  }
  showAges();
}

// What grows old though nothing comes.
function showAges() {
  const shown = store.shown;
  showNext(besides(shown), tiled.now());
  showAge(tiled, shown, live.state.kind);
}

// The scan that is growing while another result is shown.
function besides(shown) {
  const { growing } = store;
  return growing?.uid === shown?.uid ? null : growing;
}

function drawSeries() {
  trend.draw();
  table.draw();
}

function showResult(result) {
  const same = drawn.uid === result.uid;
  if (same && drawn.updated === result.updated && drawn.final === result.final) return;
  // Its raw run may come after its first answer.
  if (!same || result.final) showRaw(result);
  drawn = { uid: result.uid, updated: result.updated, final: result.final };
  document.title = `${result.sample || edgeText(result) || "XANES"} · XANES live`;
  showCurrent(result);
  if (result.final) showFinal(result);
  else if (!same) showCurves(result, null, "Waiting for the first answer of this scan.");
}

async function showFinal(result) {
  let found = null;
  let reason = result.refusal
    ? "Refused: there is no spectrum on the model’s grid."
    : "This result has no spectrum on the model’s grid.";
  try {
    found = await curves.final(result);
  } catch (error) {
    if (error.status !== 404) {
      reason = "The spectrum could not be read from the server; trying again.";
      setTimeout(() => store.shown?.uid === result.uid && showFinal(result), AGAIN);
    }
  }
  if (store.shown?.uid !== result.uid || store.get(result.uid)?.final === false) return;
  showCurves(result, found, reason);
}

// Follows a growing run's reports, one run at a time; null for none.
function follow(result) {
  if (growing?.uid === result?.uid) return;
  growing?.end();
  growing = result && new Growing(tiled, result.uid, () => live.streaming, (report) => grow(result.uid, report));
}

async function grow(uid, report) {
  const about = await curves.about(store.get(uid)).catch(() => null);
  const before = store.get(uid);
  if (!about || before.final) return;
  const updated = withRow(before, report.columns, report.index, about);
  store.grow(updated);
  if (store.shown.uid === uid) {
    showResult(updated);
    showCurves(updated, arrange(report.curves, about), "No spectrum on the model’s grid yet.");
  }
  schedule();
  requestAnimationFrame(() => markOnce("report-drawn", updated.updated));
}

function showCurves(result, found, reason) {
  spectrum.show(found, reason);
  whatIf.show(result, found);
}

async function showRaw(result) {
  const address = new URL(`ui/browse/${joined(rawTree, result.raw)}`, root);
  const short = result.raw.slice(0, 8);
  setText($("raw"), "");
  let there = false;
  try {
    there = result.raw !== "" && (await tiled.has(rawTree, result.raw));
  } catch {
    return;
  }
  if (store.shown?.uid !== result.uid) return;
  if (there) {
    const link = h("a", { href: address.href, target: "_blank", rel: "noopener" }, `Raw scan ${short} in Tiled`);
    $("raw").replaceChildren(link);
  } else if (short) setText($("raw"), `Raw scan ${short}: not in the tree “${rawTree}” of this server.`);
}

function choose(uid) {
  store.pinned = uid;
  schedule();
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
  download("results.csv", "text/csv;charset=utf-8", toCsv(table.rows, store.descriptors));
});
$("xdi").addEventListener("click", () => {
  const { curves: shown } = spectrum.drawn;
  if (shown) download(fileName(store.shown, "xdi"), "text/plain;charset=utf-8", toXdi(store.shown, shown));
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
  trend.remake();
}

setInterval(showAges, 1000);
setText($("where"), node);
if (query.has("wall")) wall(true);
live.run();
