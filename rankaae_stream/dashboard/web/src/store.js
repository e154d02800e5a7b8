// All results the page knows, which of them are looked at, and which one is shown.

import { edgeText } from "./words.js";
import { isAnswered, isFlagged, isOutside } from "./results.js";

export class Store {
  #results = new Map();
  #sorted = null;
  filter = { model: "", channel: "primary", text: "", state: "all" };
  pinned = null;

  // True when something is new or changed.
  add(results) {
    let changed = false;
    for (const result of results) {
      const before = this.#results.get(result.uid);
      if (before && sameAs(before, result)) continue;
      this.#results.set(result.uid, result);
      changed = true;
    }
    if (changed) this.#sorted = null;
    return changed;
  }

  // What a growing run's newest row says.
  grow(result) {
    this.#results.set(result.uid, result);
    this.#sorted = null;
  }

  get(uid) {
    return this.#results.get(uid) ?? null;
  }

  get size() {
    return this.#results.size;
  }

  // Newest measurement first.
  get all() {
    this.#sorted ??= [...this.#results.values()].sort(
      (a, b) => b.time - a.time || b.primary - a.primary || b.sweep - a.sweep,
    );
    return this.#sorted;
  }

  // Those of the chosen model and channel: the trend's, and what is followed.
  get chosen() {
    const { model, channel } = this.filter;
    const [edge, id] = model.split("|");
    return this.all.filter(
      (one) =>
        (!edge || edgeText(one) === edge) &&
        (!id || one.model.id === id) &&
        (channel === "all" || (channel === "primary" ? one.primary : one.channel === channel)),
    );
  }

  // The table's: those chosen that the words and the state asked for fit.
  get listed() {
    const { text, state } = this.filter;
    const words = text.toLowerCase().split(/\s+/).filter(Boolean);
    return this.chosen.filter((one) => STATES[state](one) && words.every((word) => has(one, word)));
  }

  // The result shown: the one chosen by hand, else the newest. One that has no answer yet
  // waits beside the last one a while, so that the figures stay in sight between two scans.
  get shown() {
    const pinned = this.pinned && this.get(this.pinned);
    if (pinned) return pinned;
    const [newest, before] = this.chosen;
    if (!newest || newest.final || isAnswered(newest) || !before?.final) return newest ?? null;
    return newest.updated - before.updated < STAY ? before : newest;
  }

  // The scan that is growing, if the newest one is.
  get growing() {
    const newest = this.chosen[0];
    return newest && !newest.final ? newest : null;
  }

  get models() {
    const edges = new Map();
    for (const one of this.all) {
      const edge = edgeText(one);
      if (!edge) continue;
      if (!edges.has(edge)) edges.set(edge, new Map());
      if (one.model.id) edges.get(edge).set(one.model.id, `${one.model.name} ${one.model.version}`);
    }
    const options = [["", "All elements"]];
    for (const [edge, models] of [...edges].sort()) {
      const names = [...models.values()];
      options.push([edge, names.length === 1 ? `${edge} · ${names[0]}` : edge]);
      if (names.length > 1) {
        for (const [id, name] of models) options.push([`${edge}|${id}`, `${edge} · ${name}`]);
      }
    }
    return options;
  }

  get channels() {
    const names = [...new Set(this.all.map((one) => one.channel).filter(Boolean))].sort();
    return [["primary", "Primary channel"], ...names.map((n) => [n, n]), ["all", "All channels"]];
  }

  get descriptors() {
    const units = new Map();
    for (const one of this.chosen) {
      for (const [name, estimate] of Object.entries(one.estimates)) {
        if (!units.has(name)) units.set(name, estimate.unit);
      }
    }
    return units;
  }

  get conditions() {
    const keys = new Set();
    for (const one of this.chosen) for (const key of one.conditions.keys()) keys.add(key);
    return [...keys].sort();
  }
}

const STAY = 900;

const STATES = {
  all: () => true,
  good: (one) => !one.refusal && !isFlagged(one),
  flagged: (one) => isFlagged(one),
  outside: (one) => isOutside(one),
  refused: (one) => one.refusal !== null,
};

function has(one, word) {
  one.searched ??= [
    one.sample,
    edgeText(one),
    one.channel,
    one.scan ?? "",
    one.raw,
    one.refusal?.name ?? "",
    ...one.flags.map((flag) => flag.name),
  ]
    .join(" ")
    .toLowerCase();
  return one.searched.includes(word);
}

// A listing must not take a growing run's rows away again, nor count as a change.
function sameAs(before, after) {
  if (before.final !== after.final) return before.final && !after.final;
  if (!after.final) return after.updated <= before.updated;
  return before.updated === after.updated && before.complete === after.complete;
}
