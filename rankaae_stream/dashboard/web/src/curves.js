// Spectra on the model's grid and the model's what-if curves, fetched when they are shown.

import { merged } from "./story.js";

const KEPT = 60; // finished results whose curves stay in memory
export const LATER = 3000; // ms until curves that were not there are asked for again
// As rankaae_stream/results/what_if.py publishes it; a test compares the two.
const WHAT_IF = "what-if curves by rankaae-stream";
const ABOUT =
  "[configuration.rankaae_stream.data.[energy_grid, curve_rows], data_keys, " +
  "hints.rankaae_stream.fields]";

export class Curves {
  #tiled;
  #of = new Map();
  #about = new Map();
  #whatIf = new Map();
  #rows = new Map();

  constructor(tiled) {
    this.#tiled = tiled;
  }

  // {energy, flat, reconstruction, residual} of a finished result, or null where it has none.
  async final(result) {
    const kept = this.#of.get(result.uid);
    if (kept) return kept;
    const about = await this.about(result);
    if (about.energy.length === 0) return null;
    const rows = await this.#tiled.array([result.uid, "primary", "curves"], "-1");
    const curves = arrange(rows, about);
    keep(this.#of, result.uid, curves);
    return curves;
  }

  // The rows of a finished result's table; see story.js.
  async rows(result) {
    const kept = this.#rows.get(result.uid);
    if (kept) return kept;
    const rows = merged(null, await this.#tiled.table([result.uid, "primary", "internal"]));
    keep(this.#rows, result.uid, rows);
    return rows;
  }

  // {energy, rows, descriptors, units} of a result's stream; the same for all of a model.
  async about(result) {
    const key = result.model.id || result.uid;
    if (!this.#about.has(key)) {
      const answer = this.#tiled.metadata([result.uid, "primary"], ABOUT).then(read);
      this.#about.set(key, answer);
      answer.catch(() => this.#about.delete(key));
    }
    return this.#about.get(key);
  }

  // The what-if run that a model publishes once: {uid, descriptors}, or null where there is none.
  async whatIf(modelId) {
    if (!modelId) return null;
    if (!this.#whatIf.has(modelId)) {
      const select = "[stop.uid, start.descriptors]";
      const where = { "start.model.id": modelId };
      const answer = this.#tiled.runs(WHAT_IF, select, { limit: 1, where }).then(({ runs }) => {
        const [whole, descriptors] = runs[0]?.selected ?? [];
        if (!whole) return null; // not there, or its arrays are still being written
        return { uid: runs[0].uid, descriptors: Array.isArray(descriptors) ? descriptors : [] };
      });
      this.#whatIf.set(modelId, answer);
      const forget = () => this.#whatIf.delete(modelId);
      // They are published with the model's first result: ask again later.
      answer.then((found) => found ?? setTimeout(forget, LATER), forget);
    }
    return this.#whatIf.get(modelId);
  }

  // {values (v), curves (v x grid)} of one descriptor.
  async family(uid, name) {
    const part = (key) => this.#tiled.array([uid, "primary", `${name}_${key}`], "-1");
    const [values, curves] = await Promise.all([part("values"), part("curves")]);
    return { values, curves };
  }
}

// {energy, flat, ...} from the rows of the stored array, or null where nothing is on the grid.
export function arrange(rows, about) {
  if (!Array.isArray(rows)) return null;
  const curves = { energy: about.energy };
  about.rows.forEach((name, index) => (curves[name] = rows[index]));
  if (!curves.flat || !curves.flat.some((value) => value !== null)) return null;
  // Of a part of a spectrum, which is not normalised, the model draws no reconstruction.
  curves.part = !curves.reconstruction?.some((value) => value !== null);
  return curves;
}

function keep(known, uid, what) {
  known.set(uid, what);
  if (known.size > KEPT) known.delete(known.keys().next().value);
}

function read(selected) {
  const [grid, keys, fields] = selected ?? [];
  const [energy, rows] = grid ?? [];
  const units = {};
  for (const [name, key] of Object.entries(keys ?? {})) units[name] = String(key?.units ?? "");
  return {
    energy: Array.isArray(energy) ? energy : [],
    rows: Array.isArray(rows) ? rows : [],
    descriptors: Array.isArray(fields) ? fields : [],
    units,
  };
}
