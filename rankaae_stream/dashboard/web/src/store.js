// All results of the page, which of them are chosen, and which single one is shown.

import { edgeText } from "./words.js";
import { isAnswered, isFlagged, isOutside } from "./results.js";

export class Store {
  #results = new Map();
  #sorted = null;
  #chosen = { of: null, key: "", results: [] };
  filter = { model: "", channel: "primary", text: "", state: "all" };
  pinned = null;

  // Add or replace results; true when something is new or changed.
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

  // Replace a growing run's result by that of its newest row.
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

  // Those of the chosen model and channel: shown in the trend, and followed. Without a model
  // there is one answer to each spectrum, that of the latest one.
  get chosen() {
    const { model, channel } = this.filter;
    const [all, key] = [this.all, `${model}\n${channel}`];
    if (this.#chosen.of === all && this.#chosen.key === key) return this.#chosen.results;
    const [edge, id] = model.split("|");
    const results = all.filter(
      (result) =>
        (!edge || edgeText(result) === edge) &&
        (!id || result.model.id === id) &&
        (channel === "all" || (channel === "primary" ? result.primary : result.channel === channel)),
    );
    this.#chosen = { of: all, key, results: id ? results : latestAnswers(results) };
    return this.#chosen.results;
  }

  // All models' answers to the spectrum of a result, the latest model's first.
  answersTo(result) {
    const spectrum = spectrumOf(result);
    return this.all.filter((one) => one.raw === result.raw && spectrumOf(one) === spectrum).sort(byModel);
  }

  // The table's: those of the chosen that match the filter's words and state.
  get listed() {
    const { text, state } = this.filter;
    const words = text.toLowerCase().split(/\s+/).filter(Boolean);
    return this.chosen.filter((result) => STATES[state](result) && words.every((word) => contains(result, word)));
  }

  // The result shown: the one chosen by hand, else the newest. A scan without an answer yet
  // is not shown at once: the answer before it stays for HOLD, so that numbers stay in
  // sight between two scans.
  get shown() {
    const pinned = this.pinned && this.get(this.pinned);
    if (pinned) return pinned;
    const [newest, before] = this.chosen;
    if (!newest || newest.final || isAnswered(newest) || !before?.final) return newest ?? null;
    return newest.updated - before.updated < HOLD ? before : newest;
  }

  // The scan that is growing, if the newest one is.
  get growing() {
    const newest = this.chosen[0];
    return newest && !newest.final ? newest : null;
  }

  get models() {
    const edges = new Map();
    for (const result of this.all) {
      const edge = edgeText(result);
      if (!edge) continue;
      if (!edges.has(edge)) edges.set(edge, new Map());
      if (result.model.id) edges.get(edge).set(result.model.id, `${result.model.name} ${result.model.version}`);
    }
    const options = [["", "All elements"]];
    for (const [edge, models] of [...edges].sort()) {
      const names = [...models.values()];
      const one = names.length === 1;
      options.push([edge, one ? `${edge} · ${names[0]}` : names.length ? `${edge} · latest of ${names.length} models` : edge]);
      if (one) continue;
      for (const [id, name] of models) {
        const same = names.filter((other) => other === name).length > 1;
        options.push([`${edge}|${id}`, `${edge} · ${name}${same ? ` (${id.slice(0, 8)})` : ""}`]);
      }
    }
    return options;
  }

  get channels() {
    const names = [...new Set(this.all.map((result) => result.channel).filter(Boolean))].sort();
    return [["primary", "Primary channel"], ...names.map((n) => [n, n]), ["all", "All channels"]];
  }

  get descriptors() {
    const units = new Map();
    for (const result of this.chosen) {
      for (const [name, estimate] of Object.entries(result.estimates)) {
        if (!units.has(name)) units.set(name, estimate.unit);
      }
    }
    return units;
  }

  get conditions() {
    const keys = new Set();
    for (const result of this.chosen) for (const key of result.conditions.keys()) keys.add(key);
    return [...keys].sort();
  }
}

// Seconds by document times: longer than a XANES scan takes to its first answer, short
// enough that yesterday's number does not stay beside today's scan.
const HOLD = 900;

// A spectrum by its run; a result that names no run is of its own.
const spectrumOf = (result) => JSON.stringify([result.raw || result.uid, edgeText(result), result.channel, result.sweep]);

// The later version first; an answer without a model, a refusal, last.
function byModel(a, b) {
  const [one, other] = [a.model, b.model];
  return (
    other.version.localeCompare(one.version, "en", { numeric: true }) ||
    one.name.localeCompare(other.name, "en") ||
    one.id.localeCompare(other.id, "en")
  );
}

// One answer to each spectrum; the order stays.
function latestAnswers(results) {
  const models = new Map();
  for (const { model, element, edge } of results) models.set(`${element} ${edge}`, (models.get(`${element} ${edge}`) ?? new Set()).add(model.id));
  if (![...models.values()].some((ids) => ids.size > 1)) return results;
  const best = new Map();
  for (const result of results) {
    const spectrum = spectrumOf(result);
    const known = best.get(spectrum);
    if (!known || byModel(result, known) < 0) best.set(spectrum, result);
  }
  const kept = new Set(best.values());
  return results.filter((result) => kept.has(result));
}

const STATES = {
  all: () => true,
  good: (result) => !result.refusal && !isFlagged(result),
  flagged: (result) => isFlagged(result),
  outside: (result) => isOutside(result),
  refused: (result) => result.refusal !== null,
};

// By the result object, which a growing run replaces with each row.
const searchable = new WeakMap();

function contains(result, word) {
  if (!searchable.has(result)) {
    const { sample, channel, scan, raw, refusal, flags } = result;
    const names = [refusal?.name ?? "", ...flags.map((flag) => flag.name)];
    const words = [sample, edgeText(result), channel, scan ?? "", raw, ...names];
    searchable.set(result, words.join(" ").toLowerCase());
  }
  return searchable.get(result).includes(word);
}

// A growing run keeps the result of its rows when a listing sends its start document again.
function sameAs(before, after) {
  if (before.final !== after.final) return before.final && !after.final;
  if (!after.final) return after.updated <= before.updated;
  return before.updated === after.updated && before.complete === after.complete;
}
