// One descriptor with its interval over all chosen results, against time or a condition.

import { $, color, setOptions, setText } from "./dom.js";
import { isFlagged, isOutside } from "./results.js";
import { Plot, SIDE, axis, axisBelow, mark, ring, room, timeAxis, whisker } from "./plots.js";
import { dateTime, descriptorName, interval, plain, unitText, value, withUnit } from "./words.js";

const CROWDED = 400; // results from which on smaller marks without caps are drawn
const REACH = 28; // px from a point at which a click still means it, about a fingertip

export class Trend {
  #plot;
  #choose;
  #store;
  #points = [];
  #zoomed = false;
  #y = "oxidation_state";
  #x = "time";
  #unit = "";
  #drawn = ""; // axes of the plot as it is; other ones need a new plot

  // choose(uid) when a point is clicked.
  constructor(store, choose, changed) {
    this.#store = store;
    this.#choose = choose;
    this.#plot = new Plot($("trend-plot"), () => this.#options());
    $("trend-y").addEventListener("change", (event) => {
      this.#y = event.target.value;
      this.#whole();
      changed();
    });
    $("trend-x").addEventListener("change", (event) => {
      this.#x = event.target.value;
      this.#whole();
      changed();
    });
    $("trend-reset").addEventListener("click", () => {
      this.#whole();
      this.draw();
    });
  }

  // Name of the descriptor that is shown.
  get descriptor() {
    return this.#y;
  }

  draw() {
    const units = this.#store.descriptors;
    if (!units.has(this.#y) && units.size > 0) this.#y = units.keys().next().value;
    this.#unit = units.get(this.#y) ?? "";
    setOptions($("trend-y"), [...units].map(([name]) => [name, descriptorName(name)]), this.#y);
    const conditions = this.#store.conditions;
    if (!["time", "scan"].includes(this.#x) && !conditions.includes(this.#x)) this.#x = "time";
    const over = [["time", "time of the scan"], ["scan", "scan number"]];
    setOptions($("trend-x"), [...over, ...conditions.map((key) => [key, key])], this.#x);

    this.#points = this.#store.chosen
      .map((result) => ({ result, x: this.#place(result), estimate: result.estimates[this.#y] ?? null }))
      .filter((point) => point.x !== null)
      .sort((a, b) => a.x - b.x);
    const of = (key) => this.#points.map(({ estimate }) => (estimate ? estimate[key] : null));
    const data = [this.#points.map((point) => point.x), of("value"), of("low"), of("high")];
    const axes = `${this.#x}|${this.#y}|${this.#unit}`;
    if (this.#drawn !== axes) {
      this.#drawn = axes;
      this.#plot.set(data);
      this.#plot.remake();
    } else this.#plot.set(data, this.#zoomed);
    $("trend-reset").hidden = !this.#zoomed;
    const shown = this.#points.filter((point) => point.estimate).length;
    $("trend-plot").setAttribute(
      "aria-label",
      `${descriptorName(this.#y)} of ${shown} results against ${this.#label()}; the table below has the numbers`,
    );
  }

  remake() {
    this.#plot.remake();
  }

  #whole() {
    this.#zoomed = false;
  }

  #place(result) {
    if (this.#x === "time") return result.time;
    if (this.#x === "scan") return result.scan;
    return result.conditions.get(this.#x) ?? null;
  }

  #label() {
    if (this.#x === "time") return "time of the scan";
    return this.#x === "scan" ? "scan number" : this.#x;
  }

  #options() {
    const below = this.#x === "time" ? axisBelow(null, timeAxis) : axisBelow(plain(this.#label()));
    const hidden = { paths: () => null, points: { show: false } };
    return {
      scales: {
        x: { time: this.#x === "time", range: (_, low, high) => room(low, high, this.#x === "time" ? 30 : 1) },
        y: { range: (_, low, high) => room(low, high, 0.2) },
      },
      cursor: { y: false, points: { show: false }, drag: { x: true, y: false, dist: 8 } },
      padding: [10, 16, 0, 0],
      axes: [below, axis(withUnit(this.#y, this.#unit), { size: SIDE })],
      series: [{}, hidden, hidden, hidden],
      hooks: {
        draw: [(u) => this.#paint(u)],
        setCursor: [(u) => this.#read(u)],
        setSelect: [(u) => this.#selected(u)],
        ready: [(u) => this.#listen(u)],
      },
    };
  }

  #selected(u) {
    if (u.select.width > 0) {
      this.#zoomed = true;
      $("trend-reset").hidden = false;
    }
  }

  #listen(u) {
    let down = 0;
    u.over.addEventListener("mousedown", (event) => (down = event.clientX));
    u.over.addEventListener("click", (event) => {
      const near = Math.abs(event.clientX - down) < 6 ? this.#nearest(u) : null;
      if (near) this.#choose(near.result.uid);
    });
    u.over.addEventListener("dblclick", () => {
      this.#whole();
      $("trend-reset").hidden = true;
    });
  }

  #nearest(u) {
    const { left, top } = u.cursor;
    if (left === undefined || left < 0) return null;
    let best = null;
    let least = REACH ** 2;
    for (const point of this.#points) {
      const dx = u.valToPos(point.x, "x") - left;
      const dy = point.estimate ? u.valToPos(point.estimate.value, "y") - top : u.over.clientHeight - 8 - top;
      if (dx * dx + dy * dy < least) [best, least] = [point, dx * dx + dy * dy];
    }
    return best;
  }

  #read(u) {
    const near = this.#nearest(u);
    u.over.style.cursor = near ? "pointer" : "crosshair";
    if (!near) return setText($("trend-reading"), "Click a point to look at its spectrum; drag to zoom.");
    const { result, estimate } = near;
    const words = estimate
      ? `${value(this.#y, estimate.value)} ${unitText(estimate.unit)} (${interval(this.#y, estimate)})`
      : `refused: ${result.refusal?.name ?? "no number"}`;
    setText($("trend-reading"), `${result.sample || "no sample name"}, ${dateTime(result.time)}: ${words}`);
  }

  #paint(u) {
    const { ctx } = u;
    const ratio = devicePixelRatio;
    const { left, top, width, height } = u.bbox;
    const many = this.#points.length > CROWDED;
    const size = (many ? 3 : 5) * ratio;
    const opacity = Math.min(0.75, Math.max(0.06, 150 / this.#points.length));
    const colors = Object.fromEntries(
      ["good", "warned", "outside", "ink", "card"].map((name) => [name, color(`--${name}`)]),
    );
    const shown = this.#store.shown?.uid;
    ctx.save();
    ctx.beginPath();
    ctx.rect(left, top, width, height);
    ctx.clip();
    let last = null;
    for (const pass of ["outside", "others", "shown"]) {
      for (const point of this.#points) {
        const { result, estimate } = point;
        const outside = isOutside(result);
        const mine = result.uid === shown ? "shown" : outside ? "outside" : "others";
        if (mine !== pass) continue;
        const x = Math.round(u.valToPos(point.x, "x", true));
        if (!estimate) {
          cross(ctx, x, top + height - 8 * ratio, size, colors.ink, ratio);
          continue;
        }
        const kind = outside ? "outside" : isFlagged(result) ? "warned" : "good";
        const y = u.valToPos(estimate.value, "y", true);
        const ends = [u.valToPos(estimate.low, "y", true), u.valToPos(estimate.high, "y", true)];
        whisker(ctx, x, ends, many ? 0 : size, colors[kind], ratio, opacity);
        mark(ctx, kind, x, y, size, result.final, colors, ratio);
        if (pass === "shown") last = [x, y];
      }
    }
    if (last) ring(ctx, ...last, size + 4 * ratio, colors.ink, ratio);
    ctx.restore();
  }
}

function cross(ctx, x, y, size, stroke, ratio) {
  ctx.strokeStyle = stroke;
  ctx.lineWidth = 2 * ratio;
  ctx.beginPath();
  for (const side of [-1, 1]) {
    ctx.moveTo(x - size, y - side * size);
    ctx.lineTo(x + size, y + side * size);
  }
  ctx.stroke();
}
