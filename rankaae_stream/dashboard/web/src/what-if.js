// The slider: what the spectrum would be with one descriptor moved, all others as they are.
//
// A what-if curve differs from the model's mean curve by what the descriptor does. That
// difference, less what it is at the spectrum's own value, is added to the reconstruction;
// at rest the slider stands on the estimate and moves nothing.

import { LATER } from "./curves.js";
import { $, setOptions, setText } from "./dom.js";
import { descriptorName, unitText, value as asText } from "./words.js";

export class WhatIf {
  #curves;
  #moved;
  #result = null;
  #shown = null;
  #published = null;
  #family = null;
  #name = "oxidation_state";
  #touched = false;
  #again = 0;

  // curves: Curves; moved(array or null) when the curve moves.
  constructor(curves, moved) {
    this.#curves = curves;
    this.#moved = moved;
    $("what-if-name").addEventListener("change", (event) => {
      this.#name = event.target.value;
      this.#touched = false;
      this.#load();
    });
    $("what-if-value").addEventListener("input", () => {
      this.#touched = true;
      this.#move();
    });
    $("what-if-reset").addEventListener("click", () => {
      this.#touched = false;
      this.#rest();
    });
  }

  // The result and curves now shown; a slider that was moved stays where it is for its run.
  async show(result, curves) {
    if (result?.uid !== this.#result?.uid) this.#touched = false;
    const model = result?.model.id ?? "";
    const known = this.#published && this.#result?.model.id === model;
    this.#result = result;
    this.#shown = curves;
    if (!known) {
      this.#published = null;
      this.#family = null;
      this.#enable(false);
      try {
        this.#published = await this.#curves.whatIf(model);
      } catch {
        this.#published = null; // the connection's state is told elsewhere
      }
      if (this.#result !== result) return;
      clearTimeout(this.#again);
      if (!this.#published && model) {
        this.#again = setTimeout(() => this.show(this.#result, this.#shown), 1.2 * LATER);
      }
      await this.#load();
    } else this.#settle();
  }

  async #load() {
    this.#family = null;
    const published = this.#published;
    this.#settle();
    if (!published) return;
    const names = published.descriptors.map((one) => one.name);
    if (!names.includes(this.#name)) this.#name = names[0];
    const name = this.#name;
    try {
      const family = await this.#curves.family(published.uid, name);
      if (name !== this.#name || published !== this.#published) return;
      this.#family = family;
    } catch {
      return;
    }
    this.#settle();
  }

  #settle() {
    const published = this.#published;
    const names = (published?.descriptors ?? []).map((one) => one.name);
    setOptions($("what-if-name"), names.map((one) => [one, descriptorName(one)]), this.#name);
    const usable = Boolean(this.#family && this.#shown && this.#estimate());
    this.#enable(usable);
    if (!usable) {
      setText($("what-if-output"), "");
      const why = published || !this.#shown ? "" : "The model’s what-if curves are not on this server.";
      setText($("what-if-hint"), why);
      this.#moved(null);
      return;
    }
    const { values } = this.#family;
    const slider = $("what-if-value");
    [slider.min, slider.max, slider.step] = [values[0], values.at(-1), (values.at(-1) - values[0]) / 200];
    if (this.#touched) this.#move();
    else this.#rest();
  }

  // Off until there is something to move the curve by.
  #enable(usable) {
    for (const id of ["what-if-name", "what-if-value", "what-if-reset"]) $(id).disabled = !usable;
    $("what-if").classList.toggle("off", !usable);
  }

  #rest() {
    $("what-if-value").value = this.#estimate().value;
    this.#label();
    setText($("what-if-hint"), "Move the slider to see how the spectrum would change.");
    this.#moved(null);
  }

  #move() {
    const to = Number($("what-if-value").value);
    const { values, curves } = this.#family;
    const there = interpolate(values, curves, to);
    const here = interpolate(values, curves, this.#estimate().value);
    const { reconstruction } = this.#shown;
    this.#label();
    const most = Math.max(...there.map((y, i) => (reconstruction[i] === null ? 0 : Math.abs(y - here[i]))));
    setText($("what-if-hint"), `Dotted: what the model expects, up to ${most.toFixed(3)} edge steps away.`);
    this.#moved(reconstruction.map((y, i) => (y === null ? null : y + there[i] - here[i])));
  }

  #label() {
    const unit = unitText(this.#estimate().unit);
    const shown = `${asText(this.#name, Number($("what-if-value").value))} ${unit}`.trim();
    setText($("what-if-output"), shown);
    $("what-if-value").setAttribute("aria-valuetext", `${descriptorName(this.#name)} ${shown}`);
    setText($("what-if-label"), `What if: ${descriptorName(this.#name)}`);
  }

  #estimate() {
    return this.#result?.estimates[this.#name] ?? null;
  }
}

// Curve between those stored for the values next to `at`; beyond the ends, the end's.
export function interpolate(values, curves, at) {
  const last = values.length - 1;
  const held = Math.min(Math.max(at, values[0]), values[last]);
  let i = values.findIndex((value) => value >= held);
  i = Math.max(1, i < 0 ? last : i);
  const part = (held - values[i - 1]) / (values[i] - values[i - 1]);
  return curves[i].map((y, k) => curves[i - 1][k] + part * (y - curves[i - 1][k]));
}
