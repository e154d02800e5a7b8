// One descriptor with its interval against the energy that the scan had reached.

import { $, color, setText } from "./dom.js";
import { Plot, SIDE, axis, axisBelow, room, whisker } from "./plots.js";
import { descriptorName, value, withUnit } from "./words.js";

const TOUCH = "4d"; // opacity of an interval, in hexadecimal

export class Narrowing {
  #plot;
  #answers = [];
  #name = "";
  #unit = "";
  #final = false;

  constructor() {
    this.#plot = new Plot($("narrowing-plot"), () => this.#options());
  }

  // answers: as story() returns them; final: whether the last one is.
  show(answers, { name, unit, final }) {
    const renamed = name !== this.#name || unit !== this.#unit;
    [this.#answers, this.#name, this.#unit, this.#final] = [answers, name, unit, final];
    const enough = answers.length > 1;
    $("narrowing-plot").classList.toggle("hidden", !enough);
    $("narrowing-nothing").hidden = enough;
    const why = final ? "Only the final answer is on this server." : "Drawn from the second answer of a scan on.";
    setText($("narrowing-nothing"), why);
    if (!enough) return setText($("narrowing-reading"), "");
    this.#plot.set(columnsOf(answers));
    if (renamed) this.#plot.remake();
    const words = narrowed(answers, name);
    setText($("narrowing-reading"), words);
    $("narrowing-plot").setAttribute("aria-label", `${descriptorName(name)} while the scan grew. ${words}`);
  }

  remake() {
    this.#plot.remake();
  }

  #options() {
    const [part, whole] = [color("--moved"), color("--model")];
    const edge = (stroke) => ({ stroke, width: 1, points: { show: false } });
    const line = (stroke, dash) => ({ stroke, dash, width: 2.2, points: { show: this.#answers.length < 40, size: 5 } });
    return {
      scales: { x: { time: false, range: (_, low, high) => room(low, high, 1) }, y: { range: (_, low, high) => room(low, high, 0.2) } },
      cursor: { show: false },
      padding: [10, 16, 0, 0],
      axes: [axisBelow("Energy reached (eV)"), axis(withUnit(this.#name, this.#unit), { size: SIDE })],
      series: [{}, edge(part), edge(part), line(part, [6, 4]), edge(whole), edge(whole), line(whole)],
      bands: [
        { series: [2, 1], fill: part + TOUCH },
        { series: [5, 4], fill: whole + TOUCH },
      ],
      hooks: { draw: [(u) => this.#markLast(u)] },
    };
  }

  // The final answer with its interval, which is hard to see at the end of a band.
  #markLast(u) {
    const last = this.#answers.at(-1);
    if (!this.#final || !last) return;
    const { ctx } = u;
    const x = u.valToPos(last.energy, "x", true);
    const [y, low, high] = ["value", "low", "high"].map((key) => u.valToPos(last[key], "y", true));
    const ratio = devicePixelRatio;
    const size = 5 * ratio;
    ctx.save();
    whisker(ctx, x, [low, high], size, color("--ink"), ratio, 1);
    ctx.fillStyle = color("--ink");
    ctx.beginPath();
    ctx.arc(x, y, size, 0, 2 * Math.PI);
    ctx.fill();
    ctx.restore();
  }
}

// Columns for the plot by rising energy: energy, then low, high and value of parts, and of
// complete spectra.
function columnsOf(answers) {
  const sorted = [...answers].sort((a, b) => a.energy - b.energy);
  const of = (key, part) => sorted.map((one) => (one.part === part ? one[key] : null));
  const three = (part) => ["low", "high", "value"].map((key) => of(key, part));
  return [sorted.map((one) => one.energy), ...three(true), ...three(false)];
}

function narrowed(answers, name) {
  const half = (one) => `±${value("", (one.high - one.low) / 2)} at ${one.energy.toFixed(0)} eV`;
  const [begin, end] = [answers[0], answers.at(-1)];
  return `${value(name, begin.value)} ${half(begin)}, now ${value(name, end.value)} ${half(end)}`;
}
