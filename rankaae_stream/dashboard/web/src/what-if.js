// The slider: the spectrum that the model expects with one descriptor changed, the others kept.
//
// A stored what-if curve is the model's mean curve plus the effect of the descriptor's value.
// The curve at the slider's value minus the curve at the estimated value is added to the
// reconstruction; at rest the slider is on the estimate and changes nothing.

import { LATER } from "./curves.js";
import { $, setOptions, setText } from "./dom.js";
import { descriptorName, unitText, value as asText } from "./words.js";

const STEPS = 200; // of the slider, over the range of stored values

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

  // Take the result and the curves that are shown; a moved slider stays while its run is shown.
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
        this.#published = null; // Live shows the state of the connection
      }
      if (this.#result !== result) return;
      clearTimeout(this.#again);
      if (!this.#published && model) {
        // A little after Curves has forgotten that there were none.
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
    const names = published.descriptors.map((each) => each.name);
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
    const names = (published?.descriptors ?? []).map((each) => each.name);
    setOptions($("what-if-name"), names.map((name) => [name, descriptorName(name)]), this.#name);
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
    [slider.min, slider.max, slider.step] = [values[0], values.at(-1), (values.at(-1) - values[0]) / STEPS];
    if (this.#touched) this.#move();
    else this.#rest();
  }

  // The slider is off until the stored curves, a spectrum and an estimate are there.
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
    setText($("what-if-hint"), `Dotted: the spectrum the model expects, up to ${most.toFixed(3)} edge steps away.`);
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

// The curve at a value, linear between the two stored next to it; beyond the ends, the end's.
export function interpolate(values, curves, at) {
  const last = values.length - 1;
  const held = Math.min(Math.max(at, values[0]), values[last]);
  let i = values.findIndex((value) => value >= held);
  i = Math.max(1, i < 0 ? last : i);
  const part = (held - values[i - 1]) / (values[i] - values[i - 1]);
  return curves[i].map((y, k) => curves[i - 1][k] + part * (y - curves[i - 1][k]));
}
