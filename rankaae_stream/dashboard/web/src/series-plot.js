// A series against scan number, time or a condition: fractions with their bands, below them the
// valence of the mixtures with the answers to single spectra; of repeats the latter only.

import { $, color, setText } from "./dom.js";
import { Plot, SIDE, axis, axisBelow, mark, ring, room, timeAxis, whisker } from "./plots.js";
import { GOOD_FIT, changesOn, isMixture, placesOn, spectrumName } from "./series.js";
import { dateTime, plain, value } from "./words.js";

const WIDE = 1.645; // standard deviations of a 90 % interval
const BAND = 0.22; // opacity
const CROWDED = 80; // spectra from which on no marks are drawn
const REACH = 28; // px
const DASHES = [[], [9, 5], [2, 4], [12, 4, 2, 4]];
const WHOLE = [1, 2, 5, 10, 20, 50, 100, 200, 500, 1000, 2000, 5000];

export class SeriesPlot {
  #shares;
  #course;
  #choose;
  #state = null;
  #shown = "";
  #x = { key: "place", words: "" };
  #places = [];
  #drawn = "";

  // choose(uid) when a spectrum is clicked.
  constructor(choose) {
    this.#choose = choose;
    this.#shares = new Plot($("shares-plot"), () => this.#options(true));
    this.#course = new Plot($("course-plot"), () => this.#options(false));
  }

  // x: {key, words}; shown: the uid of the result that is shown.
  show(state, x, shown) {
    [this.#state, this.#x, this.#shown] = [state, x, shown];
    this.#places = placesOn(state, x.key);
    const mixed = isMixture(state);
    $("shares-plot").hidden = !mixed;
    const rows = this.#inOrder();
    const xs = rows.map(([place]) => place);
    const kind = `${x.key}|${mixed}`;
    const other = this.#drawn !== kind;
    this.#drawn = kind;
    if (mixed) this.#shares.set([xs, xs.map(() => 0)]);
    this.#course.set([xs, ...lowestAndHighest(rows.map(([, row]) => row), state)]);
    if (other) this.remake();
  }

  remake() {
    this.#shares.remake();
    this.#course.remake();
  }

  // Rows with a place, by rising place, as the plot's cursor wants them.
  #inOrder() {
    const placed = this.#state.rows.map((row, i) => [this.#places[i], row]);
    return placed.filter(([place]) => place !== null).sort(([a], [b]) => a - b);
  }

  #options(above) {
    const time = this.#x.key === "time";
    const whole = ["scan", "place"].includes(this.#x.key) ? { incrs: WHOLE } : {};
    const nothing = axis(null, { values: (_, ticks) => ticks.map(() => ""), size: 8, ...whole });
    const below = time ? axisBelow(null, timeAxis) : axisBelow(plain(this.#x.words), whole);
    const hidden = { paths: () => null, points: { show: false } };
    return {
      scales: {
        x: { time, range: (_, low, high) => room(low, high, time ? 30 : 1) },
        y: { range: above ? () => [-0.08, 1.08] : (_, low, high) => room(low, high, 0.1) },
      },
      cursor: { sync: { key: "series" }, y: false, points: { show: false }, drag: { x: false, y: false } },
      padding: [8, 16, 0, 0],
      axes: [above ? nothing : below, axis(above ? "Fraction" : "Valence (e)", { size: SIDE })],
      series: above ? [{}, hidden] : [{}, hidden, hidden],
      hooks: {
        draw: [(u) => this.#paint(u, above)],
        setCursor: [(u) => this.#read(u)],
        ready: [(u) => u.over.addEventListener("click", () => this.#click(u))],
      },
    };
  }

  // The spectrum beside the cursor.
  #nearest(u) {
    const { left } = u.cursor;
    if (left === undefined || left < 0 || !this.#state) return null;
    let [best, least] = [null, REACH];
    this.#state.rows.forEach((row, i) => {
      if (this.#places[i] === null) return;
      const away = Math.abs(u.valToPos(this.#places[i], "x") - left);
      if (away < least) [best, least] = [row, away];
    });
    return best;
  }

  #click(u) {
    const row = this.#nearest(u);
    if (row?.uid) this.#choose(row.uid);
  }

  #read(u) {
    const row = this.#nearest(u);
    u.over.style.cursor = row ? "pointer" : "crosshair";
    const state = this.#state;
    setText($("series-reading"), row ? describe(state, row) : "Click a point to look at its spectrum.");
  }

  #paint(u, above) {
    const { ctx } = u;
    const { left, top, width, height } = u.bbox;
    const ratio = devicePixelRatio;
    ctx.save();
    ctx.beginPath();
    ctx.rect(left, top, width, height);
    ctx.clip();
    this.#paintChanges(u, ratio);
    if (above) this.#state.ends.forEach((_, k) => this.#paintShare(u, k, ratio));
    else this.#paintCourse(u, ratio);
    ctx.restore();
  }

  #paintChanges(u, ratio) {
    const { ctx } = u;
    const { top, height } = u.bbox;
    for (const [middle, low, high] of changesOn(this.#state, this.#places)) {
      const [x, a, b] = [middle, low, high].map((place) => u.valToPos(place, "x", true));
      ctx.fillStyle = color("--soft");
      ctx.globalAlpha = 0.16;
      ctx.fillRect(a, top, Math.max(b - a, 2 * ratio), height);
      ctx.globalAlpha = 1;
      ctx.strokeStyle = color("--soft");
      ctx.lineWidth = 1.5 * ratio;
      ctx.setLineDash([6 * ratio, 4 * ratio]);
      ctx.beginPath();
      ctx.moveTo(x, top);
      ctx.lineTo(x, top + height);
      ctx.stroke();
      ctx.setLineDash([]);
    }
  }

  #paintShare(u, k, ratio) {
    const points = this.#points(u, (row) => {
      const { value, sigma } = row.shares[k];
      return value === null ? null : [value, value - WIDE * (sigma ?? 0), value + WIDE * (sigma ?? 0)];
    });
    const stroke = color(`--share-${k + 1}`);
    band(u.ctx, points, stroke);
    line(u.ctx, points, stroke, DASHES[k], ratio);
    this.#marks(u.ctx, points, { good: stroke, ring: stroke }, 3.5 * ratio, ratio);
  }

  #paintCourse(u, ratio) {
    const mixed = isMixture(this.#state);
    const { ctx } = u;
    const [ink, warned, card] = ["--ink", "--warned", "--card"].map(color);
    const good = color(mixed ? "--outside" : "--good");
    const alone = this.#points(u, ({ alone, aloneHalf }) => around(alone, aloneHalf));
    if (!mixed) this.#paintMerged(u, ratio);
    const faint = (mixed ? 0.4 : 0.75) * (this.#crowded ? 0.5 : 1);
    for (const { x, low, high } of alone.filter(Boolean)) whisker(ctx, x, [low, high], 0, good, ratio, faint);
    this.#marks(ctx, alone, { good, card, ring: mixed ? null : ink }, (this.#crowded ? 2.5 : mixed ? 3 : 4.5) * ratio, ratio);
    if (!mixed) return;
    const points = this.#points(u, ({ valence, half }) => around(valence, half));
    band(ctx, points, ink);
    line(ctx, points, ink, [], ratio);
    this.#marks(ctx, points, { good: ink, warned, ring: ink }, 3.5 * ratio, ratio);
  }

  // The answer to the mean of the repeats, across all of them.
  #paintMerged(u, ratio) {
    const { merged } = this.#state;
    if (!merged) return;
    const { ctx } = u;
    const { left, width } = u.bbox;
    const [y, low, high] = [merged.value, merged.low, merged.high].map((one) => u.valToPos(one, "y", true));
    const ends = [left, left + width].map((x) => ({ x, y, low, high }));
    band(ctx, ends, color("--ok"));
    line(ctx, ends, color("--ok"), [9, 5], ratio);
  }

  get #crowded() {
    return this.#state.rows.length > CROWDED;
  }

  // A mark for each point, of many on a line for the conspicuous ones only: a triangle where it
  // fits badly and has a colour for that, open where it was left out; a ring about the shown result.
  #marks(ctx, points, colors, size, ratio) {
    const out = new Set(this.#state.leftOut.map((one) => one.spectrum));
    this.#state.rows.forEach((row, i) => {
      if (!points[i]) return;
      const { x, y } = points[i];
      const kind = colors.warned && row.misfit > GOOD_FIT ? "warned" : "good";
      if (!this.#crowded || kind === "warned" || colors.card) mark(ctx, kind, x, y, size, !(colors.card && out.has(row.spectrum)), colors, ratio);
      if (colors.ring && row.uid === this.#shown) ring(ctx, x, y, 8 * ratio, colors.ring, ratio);
    });
  }

  // Pixels of every row in the order of measuring, null where there is nothing to draw.
  #points(u, of) {
    return this.#state.rows.map((row, i) => {
      const [place, found] = [this.#places[i], of(row)];
      if (place === null || found === null) return null;
      const [y, low, high] = found.map((one) => u.valToPos(one, "y", true));
      return { x: u.valToPos(place, "x", true), y, low, high };
    });
  }
}

const around = (middle, half) => (middle === null ? null : [middle, middle - (half ?? 0), middle + (half ?? 0)]);

function lowestAndHighest(rows, state) {
  const known = rows.map(({ alone, aloneHalf, valence, half }) =>
    [around(alone, aloneHalf), around(valence, half), state.merged && [state.merged.low, state.merged.high]].flat().filter((one) => one !== null),
  );
  return [Math.min, Math.max].map((pick) => known.map((all) => (all.length ? pick(...all) : null)));
}

// In the order of measuring: against a temperature that rises and falls it goes and returns.
function* runs(points) {
  let run = [];
  for (const point of [...points, null]) {
    if (point) run.push(point);
    else if (run.length) {
      yield run;
      run = [];
    }
  }
}

function band(ctx, points, fill) {
  ctx.fillStyle = fill;
  ctx.globalAlpha = BAND;
  for (const run of runs(points)) {
    ctx.beginPath();
    for (const { x, high } of run) ctx.lineTo(x, high);
    for (const { x, low } of run.reverse()) ctx.lineTo(x, low);
    ctx.fill();
  }
  ctx.globalAlpha = 1;
}

function line(ctx, points, stroke, dash, ratio) {
  ctx.strokeStyle = stroke;
  ctx.lineWidth = 2.2 * ratio;
  ctx.setLineDash(dash.map((one) => one * ratio));
  for (const run of runs(points)) {
    ctx.beginPath();
    for (const { x, y } of run) ctx.lineTo(x, y);
    ctx.stroke();
  }
  ctx.setLineDash([]);
}

const state = "oxidation_state";
const withHalf = (middle, half) => `${value(state, middle)}${half === null ? "" : ` ± ${half.toFixed(2)}`}`;

// A row in words, as it is read when the cursor is beside it.
export function describe(series, row) {
  const words = [];
  if (isMixture(series)) {
    row.shares.forEach((share, k) => words.push(`${percent(share)} ${spectrumName(series, series.ends[k])}`));
    words.push(`valence ${withHalf(row.valence, row.half)}`);
  }
  words.push(`alone ${withHalf(row.alone, row.aloneHalf)}`);
  if (row.misfit !== null) words.push(`misfit ${row.misfit.toFixed(1)}`);
  const when = row.time === null ? "" : ` (${dateTime(row.time)})`;
  return `${spectrumName(series, row.spectrum)}${when}: ${words.join(", ")}`;
}

export function percent({ value, sigma }) {
  if (value === null) return "–";
  const shown = Math.round(100 * value);
  return sigma === null ? `${shown} %` : `${shown} ± ${Math.round(100 * WIDE * sigma)} %`;
}
