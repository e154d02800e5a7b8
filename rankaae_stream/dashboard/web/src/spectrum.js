// The spectrum on the model's grid with its reconstruction, the what-if curve and the residual.

import { $, color, setText } from "./dom.js";
import { Plot, SIDE, axis, axisBelow } from "./plots.js";

export class SpectrumView {
  #main;
  #residual;
  #curves = null;
  #moved = null;
  #part = false;

  constructor() {
    const sync = { key: "energy" };
    const x = { x: { time: false } };
    this.#main = new Plot($("spectrum-plot"), () => ({
      scales: x,
      cursor: { sync, y: false, points: { size: 7 } },
      padding: [8, 12, 0, 0],
      axes: [
        // Below lies the residual with the same axis, where there is one.
        this.#part ? axisBelow("Energy (eV)") : axis(null, { values: (_, ticks) => ticks.map(() => ""), size: 8 }),
        axis(isSmall() ? "Absorption" : `Absorption (${this.#part ? "highest" : "edge step"} = 1)`, { size: SIDE }),
      ],
      series: [
        {},
        { stroke: color("--ink"), width: 2.2 },
        { stroke: color("--model"), width: 2.2, dash: [9, 5] },
        { stroke: color("--moved"), width: 2.2, dash: [2, 4] },
      ],
      hooks: { setCursor: [(u) => this.#read(u.cursor.idx)] },
    }));
    this.#residual = new Plot($("residual-plot"), () => ({
      scales: x,
      cursor: { sync, y: false, points: { size: 7 } },
      padding: [4, 12, 0, 0],
      axes: [axisBelow("Energy (eV)"), axis(isSmall() ? null : "Residual", { size: SIDE })],
      series: [
        {},
        { stroke: color("--residual"), width: 1.6, fill: color("--residual-fill"), fillTo: 0 },
      ],
    }));
  }

  // curves of a result, or null with the reason in words.
  show(curves, reason = "") {
    this.#curves = curves;
    this.#moved = null;
    $("spectrum-nothing").hidden = curves !== null;
    for (const id of ["spectrum-plot", "residual-plot"]) {
      $(id).classList.toggle("hidden", curves === null);
    }
    $("xdi").disabled = curves === null;
    setText($("spectrum-nothing"), curves === null ? reason : "");
    setText($("spectrum-reading"), "");
    if (!curves) return;
    const relabelled = curves.part !== this.#part;
    this.#part = curves.part;
    document.body.classList.toggle("part", curves.part);
    const title = curves.part ? "Spectrum as far as seen, not normalised" : "Spectrum and the model’s reconstruction";
    setText($("spectrum-title"), title);
    this.#draw();
    if (relabelled) this.remake();
  }

  // (n) reconstruction with one descriptor moved, or null.
  move(moved) {
    this.#moved = moved;
    document.body.classList.toggle("moving", moved !== null);
    if (this.#curves) this.#draw();
  }

  get curves() {
    return this.#curves;
  }

  remake() {
    this.#main.remake();
    this.#residual.remake();
  }

  #draw() {
    const { energy, flat, reconstruction, residual } = this.#curves;
    const moved = this.#moved ?? energy.map(() => null);
    this.#main.set([energy, flat, reconstruction, moved]);
    if (!this.#part) this.#residual.set([energy, residual]);
    const ends = `${energy[0].toFixed(0)} to ${energy.at(-1).toFixed(0)} eV`;
    const off = rms(residual);
    const what = this.#part ? "Spectrum as far as seen" : "Spectrum and reconstruction";
    $("spectrum-plot").setAttribute("aria-label", `${what}, ${ends}`);
    $("residual-plot").setAttribute(
      "aria-label",
      off === null ? "Residual" : `Residual, root mean square ${off.toFixed(3)} edge steps`,
    );
  }

  #read(index) {
    if (index === null || index === undefined || !this.#curves) {
      setText($("spectrum-reading"), "");
      return;
    }
    const at = (values) => values?.[index]?.toFixed(3) ?? "–";
    const { energy, flat, reconstruction } = this.#curves;
    const moved = this.#moved ? `, what if ${at(this.#moved)}` : "";
    const beside = this.#part ? "" : `, reconstruction ${at(reconstruction)}${moved}`;
    setText($("spectrum-reading"), `${energy[index].toFixed(1)} eV: ${at(flat)}${beside}`);
  }
}

// On the wall beside a series there is little room.
const isSmall = () => document.body.matches(".wall.with-series");

function rms(values) {
  const good = values.filter((value) => value !== null);
  if (good.length === 0) return null;
  return Math.sqrt(good.reduce((sum, value) => sum + value * value, 0) / good.length);
}
