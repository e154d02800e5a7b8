// Shared by the plots: uPlot in the page's colours, sized to its element.

import uPlot from "uplot";
import { color } from "./dom.js";
import { dateTime } from "./words.js";

const FONT = "system-ui, sans-serif";
export const SIDE = 62; // width of the axis on the left in px; the same, so that plots align

// An axis in the page's type and colours.
export function axis(label, more = {}) {
  const size = typeSize();
  return {
    label,
    font: `${size}px ${FONT}`,
    labelFont: `${size}px ${FONT}`,
    labelSize: size + 8,
    labelGap: 0,
    values: plainNumbers,
    stroke: color("--soft"),
    grid: { stroke: color("--grid"), width: 1 },
    ticks: { stroke: color("--grid"), width: 1, size: 5 },
    ...more,
  };
}

function typeSize() {
  return document.body.classList.contains("wall") ? 18 : 13;
}

// Without thousands separators, which energies do not have.
const plainNumbers = (_, ticks) => ticks.map((tick) => (tick === null ? "" : String(+tick.toFixed(6))));

// The axis at the bottom: room for a single line of numbers, or two lines of time and date.
export function axisBelow(label, more = {}) {
  const lines = more === timeAxis ? 2 : 1;
  const space = (lines + 3) * 1.5 * typeSize();
  return axis(label, { size: 14 + 1.3 * lines * typeSize(), gap: 4, space, ...more });
}

const MINUTE = 60;
const HOUR = 3600;
const DAY = 86400;

export const timeAxis = {
  incrs: [1, 5, 15, 30, 1, 2, 5, 10, 30, 1, 2, 3, 6, 12, 1, 2, 7, 14, 30, 90, 365].map(
    (n, i) => n * (i < 4 ? 1 : i < 9 ? MINUTE : i < 14 ? HOUR : DAY),
  ),
  values: (_, ticks, __, ___, step) => {
    let day = null;
    return ticks.map((tick) => {
      const [date, time] = dateTime(tick).split(" ");
      const shown = step >= DAY ? date : step >= MINUTE ? time.slice(0, 5) : time;
      const below = step < DAY && date !== day ? `\n${date}` : "";
      day = date;
      return shown + below;
    });
  },
};

// A plot that remake() builds again after the page's colours or type size have changed.
export class Plot {
  #place;
  #options;
  #data = null;
  #plot = null;

  constructor(place, options) {
    this.#place = place;
    this.#options = options;
    new ResizeObserver(() => this.#size()).observe(place);
  }

  get uplot() {
    return this.#plot;
  }

  set(data, keepScales = false) {
    this.#data = data;
    if (this.#plot) this.#plot.setData(data, !keepScales);
    else this.#make();
  }

  remake() {
    this.#plot?.destroy();
    this.#plot = null;
    if (this.#data) this.#make();
  }

  #make() {
    const { clientWidth: width, clientHeight: height } = this.#place;
    if (width === 0 || height === 0) return;
    const common = { width, height, legend: { show: false } };
    this.#plot = new uPlot({ ...common, ...this.#options() }, this.#data, this.#place);
  }

  #size() {
    const { clientWidth: width, clientHeight: height } = this.#place;
    if (width === 0 || height === 0) return;
    if (this.#plot) this.#plot.setSize({ width, height });
    else if (this.#data) this.#make();
  }
}

// The range with a margin; a single value gets `least` on each side.
export function room(low, high, least) {
  if (low === null || high === null) return [0, 1];
  const more = Math.max(0.04 * (high - low), high > low ? 0 : least);
  return [low - more, high + more];
}

// A vertical line between two ends, with caps of half a width.
export function whisker(ctx, x, [low, high], cap, stroke, ratio, opacity) {
  ctx.globalAlpha = opacity;
  ctx.strokeStyle = stroke;
  ctx.lineWidth = 1.5 * ratio;
  ctx.beginPath();
  ctx.moveTo(x, low);
  ctx.lineTo(x, high);
  for (const y of cap ? [low, high] : []) {
    ctx.moveTo(x - cap, y);
    ctx.lineTo(x + cap, y);
  }
  ctx.stroke();
  ctx.globalAlpha = 1;
}

// Filled disc; triangle with a warning; open diamond out of domain; open while growing.
export function mark(ctx, kind, x, y, size, final, colors, ratio) {
  ctx.beginPath();
  if (kind === "warned") {
    ctx.moveTo(x, y - 1.3 * size);
    ctx.lineTo(x + 1.2 * size, y + size);
    ctx.lineTo(x - 1.2 * size, y + size);
    ctx.closePath();
  } else if (kind === "outside") {
    ctx.moveTo(x, y - 1.3 * size);
    ctx.lineTo(x + 1.3 * size, y);
    ctx.lineTo(x, y + 1.3 * size);
    ctx.lineTo(x - 1.3 * size, y);
    ctx.closePath();
  } else ctx.arc(x, y, size, 0, 2 * Math.PI);
  const open = kind === "outside" || !final;
  ctx.fillStyle = open ? colors.card : colors[kind];
  ctx.fill();
  ctx.strokeStyle = colors[kind];
  ctx.lineWidth = (open ? 2 : 1) * ratio;
  ctx.stroke();
}

export function ring(ctx, x, y, radius, stroke, ratio) {
  ctx.strokeStyle = stroke;
  ctx.lineWidth = 2 * ratio;
  ctx.beginPath();
  ctx.arc(x, y, radius, 0, 2 * Math.PI);
  ctx.stroke();
}
